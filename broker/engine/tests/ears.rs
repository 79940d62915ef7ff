//! Naive watchers: what they must hear follows from the facts alone, one after the other.

use crate::dice::Dice;
use crate::reference::Model;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::Fact;
use windlass_engine::command::{Enqueue, Watch};
use windlass_engine::fact::{Counts, DeadReason};
use windlass_engine::frame::{Body, Frame};
use windlass_engine::ids::{ConnId, JobId, Ms, NameId, Request, Seq};

/// All that happened, and who listens.
#[derive(Default)]
pub(crate) struct Ears {
    jobs: BTreeMap<Seq, (JobId, NameId)>,
    /// What happened, to which job, in which queue.
    all: Vec<(&'static str, JobId, NameId)>,
    wide: BTreeMap<Request, Wide>,
    until: BTreeMap<Request, BTreeSet<JobId>>,
    waits: BTreeMap<Request, (BTreeSet<JobId>, Ms)>,
}

struct Wide {
    queue: String,
    from: usize,
    heard: Vec<(&'static str, JobId)>,
    number: u64,
}

/// Mostly of a queue, else until some jobs have ended.
pub(crate) fn random(dice: &mut Dice, queues: &[&str], ids: Vec<JobId>) -> Watch {
    let mut watch = Watch { with_result: dice.one_in(2), ..Watch::default() };
    if dice.one_in(2) {
        watch.queue = dice.of(queues).unwrap_or_default().into();
    } else {
        (watch.ids, watch.until_finished) = (ids, true);
    }
    watch
}

impl Ears {
    /// A watch begins, before anything else happens in its turn.
    pub(crate) fn watch(&mut self, from: Request, watch: &Watch, model: &mut Model) {
        if watch.until_finished {
            self.until.insert(from, unfinished(&watch.ids, model));
        } else {
            let wide =
                Wide { queue: watch.queue.clone(), from: self.all.len(), heard: Vec::new(), number: 0 };
            self.wide.insert(from, wide);
        }
    }

    /// Jobs were enqueued, and their end is waited for.
    pub(crate) fn wait(&mut self, from: Request, enqueue: &Enqueue, model: &mut Model, now: Ms) {
        let ids: Vec<JobId> = enqueue.jobs.iter().flatten().map(|spec| spec.id).collect();
        let until = now + enqueue.wait_ms.expect("it waits");
        self.waits.insert(from, (unfinished(&ids, model), until));
    }

    /// A turn is over: whoever reads has heard everything, and whoever waits for nothing more is told.
    pub(crate) fn check(&mut self, world: &World, model: &Model, frames: &[Frame], facts: &[Fact]) {
        facts.iter().for_each(|fact| self.follow(fact));
        let open: BTreeSet<ConnId> = world.conns.values().copied().collect();
        let parts = |frame: &Frame| matches!(frame.body, Body::Welcome(_) | Body::Cut | Body::Closed);
        let has_parting = frames.iter().any(parts);
        for frame in frames {
            let ended = frame.last;
            match &frame.body {
                Body::Event { event: Some(event), lagged, .. } => {
                    assert!(!lagged, "nothing is ever dropped here");
                    if event.name.name() == "job.progress" {
                        // No fact stands behind it.
                        continue;
                    }
                    let Some(wide) = self.wide.get_mut(&frame.to) else { continue };
                    assert!(event.number > wide.number, "numbers rise");
                    wide.number = event.number;
                    let Some(job) = &event.job else {
                        assert!(event.name.name().starts_with("queue."), "of jobs, and of the queue itself");
                        continue;
                    };
                    wide.heard.push((event.name.name(), job.id));
                }
                Body::Event { event: None, .. } => {
                    let early = self.until.remove(&frame.to).is_some_and(|until| !until.is_empty());
                    assert!(!early || has_parting, "it ends before its jobs");
                    self.wide.remove(&frame.to);
                }
                Body::Enqueued(_) if ended => {
                    let Some((until, at)) = self.waits.remove(&frame.to) else { continue };
                    assert!(until.is_empty() || at <= world.now || has_parting, "it is answered too early");
                }
                _ => {}
            }
        }
        let is_open = |key: &Request| open.contains(&key.conn);
        self.wide.retain(|key, _| is_open(key));
        self.until.retain(|key, _| is_open(key));
        self.waits.retain(|key, _| is_open(key));
        for (key, wide) in self.wide.iter().filter(|(key, _)| !model.choked.contains(&key.conn)) {
            let is_of = |of: NameId| world.engine.ledger().names.text(of) == wide.queue;
            let due = self.all[wide.from..].iter().filter(|(.., of)| is_of(*of));
            let due: Vec<_> = due.map(|&(name, id, _)| (name, id)).collect();
            assert_eq!(wide.heard, due, "{key:?} of {}", wide.queue);
        }
        let late =
            self.until.iter().find(|(key, until)| until.is_empty() && !model.choked.contains(&key.conn));
        assert!(late.is_none(), "nobody tells {late:?}");
        let late = self.waits.iter().find(|(_, (until, at))| until.is_empty() || *at <= world.now);
        assert!(late.is_none(), "nobody answers {late:?}");
    }

    /// The request is open, and nothing is owed to it.
    pub(crate) fn listens(&self, key: Request) -> bool {
        self.wide.contains_key(&key) || self.until.contains_key(&key) || self.waits.contains_key(&key)
    }

    fn follow(&mut self, fact: &Fact) {
        if let Fact::Enqueued { seq, job } = fact {
            self.jobs.insert(*seq, (job.id, job.queue));
        }
        if let Fact::Reshaped { seq, reshape } = fact
            && let Some((_, queue)) = self.jobs.get_mut(seq)
        {
            *queue = reshape.queue;
        }
        let told = match fact {
            Fact::Enqueued { seq, .. } => (*seq, "job.enqueued"),
            Fact::Readied { seq } => (*seq, "job.ready"),
            Fact::Leased { seq, .. } => (*seq, "job.started"),
            Fact::CancelAsked { seq, .. } | Fact::Overran { seq, .. } => (*seq, "job.cancelling"),
            Fact::Completed { seq, .. } => (*seq, "job.completed"),
            Fact::Returned { seq, counts: Counts::Attempt, .. } => (*seq, "job.failed"),
            Fact::Returned { seq, counts: Counts::Crash, .. } => (*seq, "job.lost"),
            Fact::Returned { seq, counts: Counts::Snooze, .. } => (*seq, "job.snoozed"),
            Fact::Returned { seq, counts: Counts::Nothing, .. } => (*seq, "job.released"),
            Fact::Died { seq, .. } | Fact::Buried { seq, .. } => (*seq, "job.dead"),
            Fact::Reshaped { seq, .. }
            | Fact::Blocked { seq }
            | Fact::Held { seq, .. }
            | Fact::Freed { seq, .. }
            | Fact::Replaced { seq, .. }
            | Fact::Appended { seq, .. } => (*seq, "job.changed"),
            Fact::Cancelled { seq, .. } => (*seq, "job.cancelled"),
            Fact::Retried { seq, .. } => (*seq, "job.retried"),
            Fact::Rescheduled { seq, .. } => (*seq, "job.rescheduled"),
            Fact::Expired { seq, .. } => (*seq, "job.expired"),
            Fact::Removed { seq, .. } => (*seq, "job.removed"),
            _ => return,
        };
        let (seq, name) = told;
        let (id, queue) = self.jobs[&seq];
        self.all.push((name, id, queue));
        if let Fact::Died { reason: DeadReason::Poison, .. } = fact {
            self.all.push(("job.poison", id, queue));
        }
        if matches!(name, "job.completed" | "job.dead" | "job.cancelled" | "job.expired" | "job.removed") {
            let waits = self.waits.values_mut().map(|(until, _)| until);
            for until in self.until.values_mut().chain(waits) {
                until.remove(&id);
            }
        }
    }
}

fn unfinished(ids: &[JobId], model: &mut Model) -> BTreeSet<JobId> {
    ids.iter().copied().filter(|&id| model.job(id).is_some_and(|job| !job.state.is_final())).collect()
}
