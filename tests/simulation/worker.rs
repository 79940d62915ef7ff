//! A worker: fetches in streams and long polls, runs, settles, forgets, falls silent, dies, and
//! comes back with or without what it held.

use super::actor::{Actor, Link};
use super::bodies::{is_of_schedule, message_of, result_of};
use super::random::Random;
use super::scene::{KINDS, QUEUES, Scene};
use super::swarm::Dial;
use std::collections::BTreeMap;
use windlass_broker::door::Door;
use windlass_engine::command::{Beat, ErrorNote, Fetch, How, JobTouch, Settlement, Telling, Touch};
use windlass_engine::frame::{Body, Signal, Work};
use windlass_engine::ids::Ms;
use windlass_engine::{Command, Frame, JobId};

/// How often a worker says that it is alive.
const BEAT_MS: u64 = 4_000;

/// One worker.
pub struct Worker {
    link: Link,
    /// What it runs, by fence.
    holds: BTreeMap<JobId, u64>,
    /// What it was told to stop.
    to_stop: Vec<JobId>,
    /// Settled, and not sure that the broker knows.
    unsure: BTreeMap<JobId, Settlement>,
    /// Which leases a request settles.
    settling: BTreeMap<u64, Vec<(JobId, u64)>>,
    /// The open stream or long poll.
    stream: Option<u64>,
    beat_at: Ms,
    /// Until when it does nothing at all.
    frozen_until: Ms,
}

impl Worker {
    /// A worker that holds nothing.
    pub fn new(name: String, namespace: &'static str, ttl_ms: u64) -> Self {
        Self {
            link: Link::new(name, namespace, ttl_ms),
            holds: BTreeMap::new(),
            to_stop: Vec::new(),
            unsure: BTreeMap::new(),
            settling: BTreeMap::new(),
            stream: None,
            beat_at: 0,
            frozen_until: 0,
        }
    }

    /// The process is another one from here on.
    fn forget_all(&mut self) {
        self.holds.clear();
        self.to_stop.clear();
        self.unsure.clear();
        self.link.session = None;
    }

    fn fetch(&mut self, scene: &mut Scene) {
        let is_leased = scene.happens(Dial::Lease, 25);
        let random = &mut scene.random;
        let mut queues: Vec<String> = QUEUES.map(Into::into).into();
        let mut kinds: Vec<String> = Vec::new();
        if !scene.is_calm {
            queues.rotate_left(random.place(3));
            queues.truncate(1 + random.place(3));
            if random.chance(40) {
                kinds = KINDS[..1 + random.place(3)].iter().map(|kind| (*kind).into()).collect();
            }
        }
        let is_poll = random.chance(30);
        let lease_ms = is_leased.then(|| random.between(1_000, 12_000));
        let few = |random: &mut Random| u32::try_from(random.between(1, 5)).expect("few");
        let is_weighted = random.chance(40);
        self.stream = self.link.ask(Command::Fetch(Box::new(Fetch {
            stream: 0,
            weights: queues.iter().filter(|_| is_weighted).map(|_| few(random)).collect(),
            batch: None,
            queues,
            kinds,
            slots: few(random),
            once: if is_poll { few(random) } else { 0 },
            wait_ms: if is_poll { random.below(10_000) } else { 0 },
            lease_ms: if scene.is_calm { None } else { lease_ms },
            close: false,
        })));
    }

    fn change_stream(&mut self, stream: u64, scene: &mut Scene) {
        let slots = u32::try_from(scene.random.between(0, 8)).expect("few");
        self.link.ask(Command::Fetch(Box::new(Fetch {
            stream,
            queues: Vec::new(),
            weights: Vec::new(),
            batch: None,
            kinds: Vec::new(),
            slots,
            once: 0,
            wait_ms: 0,
            lease_ms: None,
            close: scene.random.chance(40),
        })));
    }

    fn settle(&mut self, scene: &mut Scene) {
        let count = if scene.is_calm { self.holds.len() } else { scene.random.place(4) };
        let mut results = Vec::new();
        for _ in 0..count {
            let ids: Vec<JobId> = self.holds.keys().copied().collect();
            if ids.is_empty() {
                break;
            }
            let id = *scene.random.pick(&ids);
            let fence = self.holds.remove(&id).expect("just found");
            let how = if self.to_stop.contains(&id) && scene.random.chance(60) {
                How::Cancelled { note: "stopped".into() }
            } else {
                any_end(id, fence, scene)
            };
            let result = Settlement { id, fence, how, checkpoint: None, spawn: None };
            self.unsure.insert(id, result.clone());
            results.push(result);
        }
        self.send(results);
    }

    fn send(&mut self, results: Vec<Settlement>) {
        let leases = results.iter().map(|result| (result.id, result.fence)).collect();
        if !results.is_empty()
            && let Some(request) = self.link.ask(Command::Settle(results))
        {
            self.settling.insert(request, leases);
        }
    }

    /// Settles what it has no right to settle.
    fn settle_wrongly(&mut self, scene: &mut Scene) {
        let Some(id) = scene.any_id() else { return };
        let fence = self.holds.get(&id).map_or(scene.random.next() >> 20, |fence| fence - 1);
        // Often it is a lease of somebody else, or one of his own that may have ended.
        let (id, fence) = match &scene.leases[..] {
            leases if !leases.is_empty() && scene.random.chance(60) => *scene.random.pick(leases),
            _ => (id, fence),
        };
        if self.holds.get(&id) == Some(&fence) {
            return;
        }
        self.link.ask(Command::Settle(vec![Settlement {
            id,
            fence,
            how: How::Complete(result_of(id, fence)),
            checkpoint: None,
            spawn: None,
        }]));
    }

    fn touch(&mut self, scene: &mut Scene) {
        let random = &mut scene.random;
        let jobs = self.holds.iter().map(|(&id, &fence)| JobTouch {
            id,
            fence: fence - u64::from(random.chance(5)),
            extend_ms: random.chance(60).then(|| random.between(0, 9_000)),
            telling: random.chance(40).then(|| Box::new(telling(random))),
        });
        let touch = Touch { beat: None, jobs: jobs.collect() };
        self.link.ask(Command::Touch(touch));
    }

    fn welcome(&mut self, session: windlass_engine::SessionId, kept: &[JobId]) {
        if self.link.session != Some(session) {
            self.link.session = Some(session);
            self.holds.clear();
            self.unsure.clear();
        }
        self.holds.retain(|id, _| kept.contains(id));
        // The broker may have had these before the cut; if not, they are news to it.
        self.send(self.unsure.values().cloned().collect());
    }

    fn deliver(&mut self, works: Vec<Work>) {
        for work in works {
            self.to_stop.retain(|id| *id != work.id);
            self.unsure.remove(&work.id);
            self.holds.insert(work.id, work.fence);
        }
    }

    fn heed(&mut self, signal: &Signal) {
        match signal {
            Signal::Cancel { job, fence, .. } => {
                if self.holds.get(job) == Some(fence) {
                    self.to_stop.push(*job);
                }
            }
            Signal::LeaseLost { job, fence, .. } => {
                if self.holds.get(job) == Some(fence) {
                    self.holds.remove(job);
                }
            }
            Signal::GoAway | Signal::Order(_) => {}
        }
    }

    /// What a worker does rarely.
    fn misbehave(&mut self, scene: &mut Scene) {
        match scene.random.below(8) {
            0 | 1 => self.settle_wrongly(scene),
            2 => {
                self.link.ask(Command::Bye { keep_leases: scene.random.chance(50) });
            }
            3 => {
                // Its process dies; the system closes the connection.
                self.link.wire = None;
                self.lost();
                self.forget_all();
            }
            4 | 5 => self.frozen_until = scene.now + scene.random.between(500, 30_000),
            _ => {
                if let Some(stream) = self.stream {
                    self.change_stream(stream, scene);
                }
            }
        }
    }
}

fn any_end(id: JobId, fence: u64, scene: &mut Scene) -> How {
    if scene.is_calm {
        return How::Complete(result_of(id, fence));
    }
    let random = &mut scene.random;
    let error = Box::new(ErrorNote { message: message_of(id, fence), ..ErrorNote::default() });
    match random.below(20) {
        0..=9 => How::Complete(result_of(id, fence)),
        10..=14 => {
            let retry_after_ms = random.chance(30).then(|| random.below(3_000));
            How::Fail { error, fatal: false, retry_after_ms }
        }
        15 => How::Fail { error, fatal: true, retry_after_ms: None },
        _ => {
            let delay_ms = if random.chance(50) { 0 } else { random.between(1, 3_000) };
            let reason = if random.chance(50) { "not now".into() } else { String::new() };
            How::Release { delay_ms, reason, throttle: None }
        }
    }
}

impl Actor for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn connect(&mut self, door: &Door, scene: &mut Scene) {
        if scene.random.chance(20) {
            self.forget_all();
        }
        let unsure = self.unsure.values().map(|result| (result.id, result.fence));
        let running = self.holds.iter().map(|(&id, &fence)| (id, fence)).chain(unsure).collect();
        self.link.hello(door, Some(running), scene);
        self.beat_at = scene.now + BEAT_MS;
    }

    fn act(&mut self, scene: &mut Scene) {
        if self.frozen_until > scene.now && !scene.is_calm {
            return;
        }
        let stream = self.stream;
        if scene.is_calm {
            self.settle(scene);
            if stream.is_none() {
                self.fetch(scene);
            }
            return;
        }
        match scene.random.below(100) {
            0..=49 => self.settle(scene),
            50..=79 if stream.is_none() => self.fetch(scene),
            80..=89 => self.touch(scene),
            90..=94 if scene.happens(Dial::Misdeed, 90) => self.misbehave(scene),
            // What was settled is settled once more, before the answer to the first is heard.
            95 | 96 if scene.happens(Dial::Again, 30) => self.send(self.unsure.values().cloned().collect()),
            _ => {}
        }
    }

    fn hear(&mut self, frame: Frame, scene: &mut Scene) {
        match frame.body {
            Body::Welcome(welcome) => self.welcome(welcome.session, &welcome.leases_kept),
            Body::Deliver { works, end } => {
                for work in &works {
                    scene.leased(work.id, work.fence);
                    if is_of_schedule(work.id) {
                        scene.met(work.id);
                    }
                }
                self.deliver(works);
                if end && self.stream == Some(frame.to.id) {
                    self.stream = None;
                }
            }
            Body::Settled(_) => {
                for (id, fence) in self.settling.remove(&frame.to.id).unwrap_or_default() {
                    if self.unsure.get(&id).is_some_and(|result| result.fence == fence) {
                        self.unsure.remove(&id);
                    }
                }
            }
            Body::Signal(signal) => self.heed(&signal),
            Body::Error(_) if self.stream == Some(frame.to.id) => self.stream = None,
            Body::Cut => {
                self.link.wire = None;
                self.lost();
            }
            _ => {}
        }
    }

    fn lost(&mut self) {
        self.stream = None;
        self.settling.clear();
    }

    fn beat(&mut self, now: Ms) -> Option<Ms> {
        let wire = self.link.wire.as_mut()?;
        if self.frozen_until > now {
            return Some(self.frozen_until);
        }
        if self.beat_at <= now {
            self.beat_at = now + BEAT_MS;
            wire.ask(Command::Touch(Touch { beat: Some(Beat::default()), jobs: Vec::new() }));
            wire.carry(usize::MAX);
        }
        Some(self.beat_at)
    }

    fn is_done(&self) -> bool {
        self.holds.is_empty() && self.unsure.is_empty()
    }
}

/// Something to say, small or large.
fn telling(random: &mut Random) -> Telling {
    let lines = u16::try_from(random.between(0, 3)).unwrap_or(0);
    let mut bytes = |most| vec![b'x'; usize::try_from(random.between(0, most)).unwrap_or(0)];
    Telling {
        note: Some(String::from_utf8(bytes(20)).unwrap_or_default()),
        lines,
        logs: vec![b'l'; usize::from(lines) * 100],
        checkpoint: Some(bytes(6_000).into()),
        ..Telling::default()
    }
}
