//! A producer: enqueues jobs under ids of its own, and sends again whatever it is not sure of.

use super::actor::{Actor, Link};
use super::scene::Scene;
use super::swarm::Dial;
use std::collections::BTreeMap;
use windlass_broker::door::Door;
use windlass_engine::command::{After, Code, Enqueue, Flow, JobSpec, Query};
use windlass_engine::flow::{DepPolicy, On};
use windlass_engine::frame::Body;
use windlass_engine::ids::Ms;
use windlass_engine::limits::IDEMPOTENCY_WINDOW_MS;
use windlass_engine::{Command, Frame, JobId};

/// One producer.
pub struct Producer {
    link: Link,
    /// Sent and not acknowledged, with the time of the first sending.
    unsure: BTreeMap<JobId, (Ms, JobSpec)>,
    /// Acknowledged; the latest few.
    sure: Vec<JobSpec>,
}

impl Producer {
    /// A producer that has done nothing yet.
    pub fn new(name: String, namespace: &'static str) -> Self {
        Self { link: Link::new(name, namespace, 0), unsure: BTreeMap::new(), sure: Vec::new() }
    }

    fn enqueue(&mut self, jobs: Vec<JobSpec>) {
        let enqueue = Enqueue { jobs: jobs.into_iter().map(Ok).collect(), partial: false, wait_ms: None };
        self.link.ask(Command::Enqueue(enqueue));
    }

    fn enqueue_new(&mut self, scene: &mut Scene) {
        let count = if scene.random.chance(5) { 30 } else { scene.random.between(1, 6) };
        let mut jobs: Vec<JobSpec> = (0..count).map(|_| scene.new_job()).collect();
        if scene.happens(Dial::Flow, 15) {
            self.tie(&mut jobs, scene);
        }
        for job in &jobs {
            self.unsure.insert(job.id, (scene.now, job.clone()));
        }
        // Sometimes a frame names a job twice.
        if scene.random.chance(5) {
            jobs.push(jobs[0].clone());
        }
        self.enqueue(jobs);
    }

    /// Some of the jobs wait for others, or count into a group.
    fn tie(&self, jobs: &mut [JobSpec], scene: &mut Scene) {
        let policies = [DepPolicy::AllOrCancel, DepPolicy::AllOrRun, DepPolicy::Any];
        let is_group = scene.random.chance(40);
        let mut known: Vec<JobId> = self.sure.iter().rev().take(10).map(|job| job.id).collect();
        let mut group = None;
        for (place, job) in jobs.iter_mut().enumerate() {
            let random = &mut scene.random;
            let mut flow = Flow { group, policy: *random.pick(&policies), ..Flow::default() };
            if is_group && place == 0 {
                group = Some(job.id);
                (job.kind, job.key, job.run_at) = (String::new(), String::new(), 0);
                job.wishes = None;
            } else if !known.is_empty() && random.chance(60) {
                let on = *random.pick(&[On::Success, On::Success, On::Finish, On::Failure]);
                let after = After { job: *random.pick(&known), on };
                flow.after = vec![after];
            }
            if Some(job.id) != group {
                known.push(job.id);
            }
            job.wishes.get_or_insert_default().flow = Some(Box::new(flow));
        }
    }

    /// Within the window, whatever is not sure is sent again.
    fn enqueue_again(&mut self, now: Ms) {
        self.unsure.retain(|_, (first, _)| now.saturating_sub(*first) < IDEMPOTENCY_WINDOW_MS);
        let jobs: Vec<JobSpec> = self.unsure.values().map(|(_, job)| job.clone()).collect();
        if !jobs.is_empty() {
            self.enqueue(jobs);
        }
    }
}

impl Actor for Producer {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn connect(&mut self, door: &Door, scene: &mut Scene) {
        let running = scene.random.chance(60).then(Vec::new);
        self.link.hello(door, running, scene);
        self.enqueue_again(scene.now);
    }

    fn act(&mut self, scene: &mut Scene) {
        if scene.is_calm {
            return self.enqueue_again(scene.now);
        }
        match scene.random.below(20) {
            0..=12 => self.enqueue_new(scene),
            13 | 14 if scene.happens(Dial::Again, 95) => self.enqueue_again(scene.now),
            15 | 16 if scene.happens(Dial::Again, 95) => {
                // A duplicate of what was acknowledged must not make a second job.
                if !self.sure.is_empty() {
                    let again = scene.random.pick(&self.sure).clone();
                    self.enqueue(vec![again]);
                }
            }
            17 | 18 => {
                if let Some(id) = scene.any_id() {
                    self.link.ask(Command::Query(Query::Job(id)));
                }
            }
            _ => {
                self.link.ask(Command::Bye { keep_leases: scene.random.chance(50) });
            }
        }
    }

    fn hear(&mut self, frame: Frame, _scene: &mut Scene) {
        match frame.body {
            Body::Welcome(welcome) => self.link.session = Some(welcome.session),
            Body::Enqueued(ones) => {
                for one in ones {
                    if let Some((_, job)) = self.unsure.remove(&one.id) {
                        self.sure.push(job);
                    }
                }
                let old = self.sure.len().saturating_sub(50);
                self.sure.drain(..old);
            }
            // A job that it was tied to is not kept any more: from now on it asks for them without.
            Body::Error(refusal) if matches!(refusal.code, Code::NotFound | Code::Invalid) => {
                for (_, job) in self.unsure.values_mut() {
                    if let Some(wishes) = &mut job.wishes {
                        wishes.flow = None;
                    }
                }
            }
            Body::Cut => self.link.wire = None,
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.unsure.is_empty()
    }
}
