//! Alerts: what goes wrong without anybody doing anything. A look around every few seconds, while
//! somebody listens, finds queues whose jobs wait too long or for nobody.

use crate::engine::{Engine, Turn};
use crate::event::EventName;
use crate::ids::{Ms, NameId, Request};
use crate::ledger::job::State;
use crate::limits::{
    LOOK_EVERY_MS, LOOK_EVERY_MS_MAX, LOOKED_AT_IN_QUEUE, LOOKS_PER_TURN, NO_WORKER_MS, TOLD_PER_LOOK,
};
use crate::roster::lookout::{Lookout, Stage};
use crate::verbs::watch::News;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

/// Slices of a look in one turn: where there is little to see it is over in one.
const STEPS: usize = 4;

/// Kinds named in a note.
const KINDS_NAMED: usize = 5;

impl Engine {
    /// What this turn has to tell that is not about a single job.
    pub(crate) fn alert(&mut self, now: Ms, turn: &mut Turn) {
        if self.pressure.disk_low != self.roster.lookout.told_low {
            self.roster.lookout.told_low = self.pressure.disk_low;
            self.tell_disk(turn);
        }
        if !self.roster.tripped.is_empty() {
            self.tell_breakers(now, turn);
        }
        for _ in 0..STEPS {
            if self.roster.lookout.is_looking() {
                self.look_on(now, turn);
            }
        }
    }

    /// From now on queues are looked at.
    pub(crate) fn look_out(&mut self) {
        if self.roster.lookout.at == 0 && !self.roster.lookout.is_looking() {
            self.roster.lookout.arm(self.now, LOOK_EVERY_MS, &mut self.roster.timers);
        }
    }

    /// The next look comes soon if something has moved in this turn.
    pub(crate) fn hurry(&mut self, now: Ms) {
        if self.roster.lookout.pace_ms > LOOK_EVERY_MS
            && self.may_lease()
            && !(self.roster.stirred.is_empty() && self.roster.hungry.is_empty())
        {
            self.roster.lookout.hurry(now, &mut self.roster.timers);
        }
    }

    /// A look around begins, unless nobody listens any more.
    pub(crate) fn look(&mut self) {
        self.roster.lookout.at = 0;
        if self.has_ears() {
            self.roster.lookout.stage = Stage::Queues(0);
        } else {
            let told_low = self.roster.lookout.told_low;
            self.roster.lookout = Lookout { told_low, ..Lookout::default() };
        }
    }

    /// The next slice of a look around.
    fn look_on(&mut self, now: Ms, turn: &mut Turn) {
        self.roster.lookout.stage = match self.roster.lookout.stage {
            Stage::Resting => Stage::Resting,
            Stage::Queues(after) => self.look_at_queues(after, now),
            Stage::Streams(after) => self.look_at_streams(after),
            Stage::Done => {
                self.tell_queues(now, turn);
                Stage::Resting
            }
        };
        let lookout = &mut self.roster.lookout;
        if lookout.stage == Stage::Resting {
            let is_tense = core::mem::take(&mut lookout.is_tense);
            let slower = (2 * lookout.pace_ms).clamp(LOOK_EVERY_MS, LOOK_EVERY_MS_MAX);
            lookout.arm(now, if is_tense { LOOK_EVERY_MS } else { slower }, &mut self.roster.timers);
        }
    }

    /// Which queues have ready jobs, of which kinds, and which have had them for too long.
    fn look_at_queues(&mut self, after: NameId, now: Ms) -> Stage {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let (mut last, mut seen, mut late) = (None, 0, Vec::new());
        for (&queue, index) in self.roster.queues.range(behind).take(LOOKS_PER_TURN) {
            last = Some(queue);
            seen += 1;
            if index.states[State::Ready.index()].is_empty() {
                continue;
            }
            let kinds = index.ready_kinds().take(LOOKED_AT_IN_QUEUE);
            self.roster.lookout.waiting.extend(kinds.map(|kind| (queue, kind)));
            late.push(queue);
        }
        let promised = late.into_iter().filter_map(|queue| Some((queue, self.slo_ms(queue)?)));
        let (late, young): (Vec<_>, Vec<_>) =
            promised.partition(|&(queue, slo)| self.longest_wait_ms(queue, now) > slo);
        self.roster.lookout.is_tense |= !young.is_empty();
        self.roster.lookout.late.extend(late.into_iter().map(|(queue, _)| queue));
        let is_over = seen < LOOKS_PER_TURN;
        last.filter(|_| !is_over).map_or(Stage::Streams(None), Stage::Queues)
    }

    /// Who takes what waits.
    fn look_at_streams(&mut self, after: Option<Request>) -> Stage {
        let lookout = &mut self.roster.lookout;
        let (mut last, mut looks) = (None, 0);
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        for (&key, stream) in self.roster.streams.open.range(behind) {
            if looks > LOOKS_PER_TURN || lookout.waiting.is_empty() {
                break;
            }
            last = Some(key);
            looks += 1;
            let presence = self.roster.sessions.get(&stream.session);
            if presence.is_none_or(|presence| presence.quiet) {
                continue;
            }
            for &queue in stream.sources.queues() {
                looks += 1 + stream.kinds.len();
                if stream.kinds.is_empty() {
                    let taken = lookout.waiting.range((queue, 0)..=(queue, NameId::MAX));
                    let taken: Vec<_> = taken.copied().collect();
                    for place in taken {
                        lookout.waiting.remove(&place);
                    }
                }
                for &kind in &stream.kinds {
                    lookout.waiting.remove(&(queue, kind));
                }
            }
        }
        let is_over = looks <= LOOKS_PER_TURN || lookout.waiting.is_empty();
        last.filter(|_| !is_over).map_or(Stage::Done, |last| Stage::Streams(Some(last)))
    }

    /// What has changed since it was told last, so far as one turn tells it.
    fn tell_queues(&mut self, now: Ms, turn: &mut Turn) {
        let waiting = core::mem::take(&mut self.roster.lookout.waiting);
        let late = core::mem::take(&mut self.roster.lookout.late);
        let mut left = TOLD_PER_LOOK;
        let told_late = &self.roster.lookout.told_late;
        let changed: Vec<NameId> = told_late.symmetric_difference(&late).copied().take(left).collect();
        left -= changed.len();
        for queue in changed {
            self.tell_late(queue, late.contains(&queue), now, turn);
        }
        for &(queue, _) in &waiting {
            self.roster.lookout.idle.entry(queue).or_insert((now, false));
        }
        let idle = self.roster.lookout.idle.iter();
        let idle: Vec<(NameId, Ms, bool)> =
            idle.map(|(&queue, &(since, is_told))| (queue, since, is_told)).collect();
        for (queue, since, is_told) in idle {
            let mut kinds =
                waiting.range((queue, 0)..=(queue, NameId::MAX)).map(|&(_, kind)| kind).peekable();
            if kinds.peek().is_none() {
                if is_told && left == 0 {
                    continue;
                }
                self.roster.lookout.idle.remove(&queue);
                if is_told {
                    left -= 1;
                    let note =
                        format!("somebody takes the jobs of queue {} again", self.ledger.names.text(queue));
                    self.tell_queue(queue, EventName::QueueWorkerBack, note, turn);
                }
            } else if !is_told && now.saturating_sub(since) < NO_WORKER_MS {
                self.roster.lookout.is_tense = true;
            } else if !is_told && left > 0 {
                left -= 1;
                let kinds: Vec<NameId> = kinds.take(KINDS_NAMED).collect();
                self.tell_idle(queue, &kinds, now, turn);
            }
        }
        self.roster.lookout.is_tense |= left == 0;
    }

    fn tell_late(&mut self, queue: NameId, is_late: bool, now: Ms, turn: &mut Turn) {
        let name = self.ledger.names.text(queue);
        if is_late {
            self.roster.lookout.told_late.insert(queue);
            let (age, slo) = (self.longest_wait_ms(queue, now), self.slo_ms(queue).unwrap_or(0));
            let note = format!(
                "the oldest ready job of queue {name} has waited {age} ms; at most {slo} were promised"
            );
            self.tell_queue(queue, EventName::QueueSloMissed, note, turn);
        } else {
            self.roster.lookout.told_late.remove(&queue);
            let note = format!("no ready job of queue {name} waits longer than was promised");
            self.tell_queue(queue, EventName::QueueSloMet, note, turn);
        }
    }

    /// Nobody takes these kinds. A paused queue needs nobody, and a young job may wait.
    fn tell_idle(&mut self, queue: NameId, kinds: &[NameId], now: Ms, turn: &mut Turn) {
        let age = self.longest_wait_ms(queue, now);
        self.roster.lookout.is_tense |= age < NO_WORKER_MS;
        if age < NO_WORKER_MS || self.ledger.pause(queue).is_some() {
            return;
        }
        if let Some((_, is_told)) = self.roster.lookout.idle.get_mut(&queue) {
            *is_told = true;
        }
        let names = &self.ledger.names;
        let kinds: Vec<&str> = kinds.iter().map(|&kind| names.text(kind)).collect();
        let name = names.text(queue);
        let note = format!(
            "nobody takes {} from queue {name}; its oldest job has waited {age} ms",
            kinds.join(", ")
        );
        self.tell_queue(queue, EventName::QueueNoWorker, note, turn);
    }

    fn tell_queue(&mut self, queue: NameId, name: EventName, note: String, turn: &mut Turn) {
        let shared = self.ledger.names.shared(queue);
        let subject = format!("queue/{}", self.ledger.names.text(queue));
        let namespace = self.namespace_of(queue);
        self.publish(News { name, namespace, queue: shared, subject, note }, turn);
    }

    fn tell_breakers(&mut self, now: Ms, turn: &mut Turn) {
        for (id, is_open) in core::mem::take(&mut self.roster.tripped) {
            let limit = self.ledger.names.text(id.limit);
            let (name, note) = if is_open {
                let until = self.roster.limits.find(id).map_or(now, |bucket| bucket.breaker.open_until);
                let for_ms = until.saturating_sub(now);
                let note = format!("too much failed: the breaker of limit {limit} is open for {for_ms} ms");
                (EventName::BreakerOpen, note)
            } else {
                (EventName::BreakerClosed, format!("the breaker of limit {limit} lets jobs start again"))
            };
            let (namespace, subject) = (self.namespace_of(id.limit), format!("limit/{limit}"));
            self.publish(News { name, namespace, queue: None, subject, note }, turn);
        }
    }

    fn tell_disk(&mut self, turn: &mut Turn) {
        let (name, note) = if self.pressure.disk_low {
            (EventName::DiskLow, "the disk has little room: no more jobs are taken until it has more")
        } else {
            (EventName::DiskOk, "the disk has room again")
        };
        let subject = "disk".into();
        self.publish(News { name, namespace: 0, queue: None, subject, note: note.into() }, turn);
    }

    /// How long a job of the queue may be ready, if that is promised.
    fn slo_ms(&self, queue: NameId) -> Option<u64> {
        self.queue_conf(queue).map(|conf| conf.slo_ms).filter(|&slo| slo > 0)
    }

    /// How long the oldest of the first ready jobs has been ready.
    fn longest_wait_ms(&self, queue: NameId, now: Ms) -> Ms {
        let Some(index) = self.roster.queues.get(&queue) else { return 0 };
        let first = index.states[State::Ready.index()].after(None).take(LOOKED_AT_IN_QUEUE);
        let jobs = first.into_iter().filter_map(|seq| self.ledger.jobs.get(seq));
        jobs.map(|job| now.saturating_sub(job.run_at.max(job.created_at))).max().unwrap_or(0)
    }
}
