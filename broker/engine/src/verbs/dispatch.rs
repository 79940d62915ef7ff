//! Delivery: who gets which job. Runs at the end of every turn, over what changed in it.

use crate::engine::{Engine, Turn};
use crate::fact::{Fact, NewLease};
use crate::frame::{Body, Frame, Work};
use crate::ids::{Ms, NameId, Request, Seq};
use crate::ledger::job::Job;
use crate::limits::{DELIVER_BYTES_MAX, DELIVER_WORKS_MAX, LEASES_PER_TICK};
use crate::policy::default;
use crate::roster::stream::StreamKey;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Waiting streams looked at for one job before it is left to a later turn.
const STREAMS_PER_JOB: usize = 16;

impl Engine {
    pub(crate) fn dispatch(&mut self, now: Ms, turn: &mut Turn) {
        if !self.may_lease() {
            return;
        }
        let mut left = LEASES_PER_TICK;
        let mut fed = BTreeSet::new();
        self.feed_hungry(now, &mut left, &mut fed, turn);
        self.feed_waiting(now, &mut left, &mut fed, turn);
        for key in fed {
            self.deliver(key, turn);
        }
    }

    /// Streams that got room take one job each in turn; who finds none waits.
    fn feed_hungry(&mut self, now: Ms, left: &mut usize, fed: &mut BTreeSet<StreamKey>, turn: &mut Turn) {
        let mut round: Vec<StreamKey> = core::mem::take(&mut self.roster.hungry).into_iter().collect();
        while !round.is_empty() {
            let mut next = Vec::with_capacity(round.len());
            for key in round {
                if *left == 0 {
                    self.roster.hungry.insert(key);
                } else if self.feed(key, now, turn) {
                    *left -= 1;
                    fed.insert(key);
                    next.push(key);
                } else {
                    self.park(key);
                }
            }
            round = next;
        }
    }

    /// Jobs that became ready go to the streams that wait for them, longest idle first.
    fn feed_waiting(&mut self, now: Ms, left: &mut usize, fed: &mut BTreeSet<StreamKey>, turn: &mut Turn) {
        while let Some((queue, kind)) = self.roster.stirred.pop_first() {
            let (mut ticket, mut tries) = (0, 0);
            while let Some((at, key)) = self.roster.streams.next_waiting(queue, kind, ticket) {
                if *left == 0 {
                    self.roster.stirred.insert((queue, kind));
                    return;
                }
                if self.feed(key, now, turn) {
                    *left -= 1;
                    tries = 0;
                    fed.insert(key);
                    self.park(key);
                } else {
                    ticket = at;
                    tries += 1;
                    if tries == STREAMS_PER_JOB || !self.has_ready(queue, kind) {
                        break;
                    }
                }
            }
        }
    }

    fn has_ready(&self, queue: NameId, kind: NameId) -> bool {
        self.roster.queues.get(&queue).is_some_and(|index| index.ready_kinds().any(|ready| ready == kind))
    }

    /// With room left a stream waits, behind those that wait already; without, it does not.
    fn park(&mut self, key: StreamKey) {
        match self.roster.streams.open.get(&key) {
            Some(stream) if stream.has_room(1) => self.roster.streams.wait(key),
            Some(_) => self.roster.streams.unwait(key),
            None => {}
        }
    }

    /// Leases one job to the stream, if there is one for it.
    fn feed(&mut self, key: StreamKey, now: Ms, turn: &mut Turn) -> bool {
        let Some(seq) = self.pick(key) else { return false };
        self.grant(key, seq, now, turn);
        true
    }

    /// The next job for a stream: its queues in order, suspects only for an empty session.
    fn pick(&mut self, key: StreamKey) -> Option<Seq> {
        let stream = self.roster.streams.open.get(&key)?;
        let presence = self.roster.sessions.get_mut(&stream.session)?;
        if presence.alone || !stream.has_room(1) {
            return None;
        }
        let is_empty = presence.leases.is_empty();
        if let Some(queue) = presence.empties_for {
            if !is_empty {
                return None;
            }
            presence.empties_for = None;
            if let Some(index) = self.roster.queues.get_mut(&queue) {
                index.reserved = None;
            }
        }
        for &queue in &stream.queues {
            if self.ledger.paused(queue).is_some() {
                continue;
            }
            let Some(index) = self.roster.queues.get_mut(&queue) else { continue };
            if let Some(seq) = index.suspect(&stream.kinds) {
                if is_empty {
                    return Some(seq);
                }
                let taken = index.reserved.is_some_and(|by| by != stream.session);
                if !taken {
                    index.reserved = Some(stream.session);
                    presence.empties_for = Some(queue);
                    return None;
                }
            }
            let Some(spot) = index.lanes.pick(&stream.kinds) else { continue };
            let cost = self.ledger.jobs.get(spot.seq).map_or(1, |job| self.ledger.cost(job));
            if stream.has_room(cost) {
                index.lanes.charge(spot, cost);
                return Some(spot.seq);
            }
        }
        None
    }

    fn grant(&mut self, key: StreamKey, seq: Seq, now: Ms, turn: &mut Turn) {
        let (Some(stream), Some(job)) = (self.roster.streams.open.get(&key), self.ledger.jobs.get(seq))
        else {
            return;
        };
        let (queue, is_suspect) = (job.queue, job.is_suspect());
        let lease_ms = stream
            .lease_ms
            .or_else(|| self.ledger.effective(job, |policy| policy.lease_ms))
            .unwrap_or(default::LEASE_MS);
        let ends_at = if lease_ms == 0 { 0 } else { now + lease_ms };
        let (fence, session) = (self.ledger.next_fence(), stream.session);
        let lease = NewLease { fence, session, now, ends_at };
        self.decide(turn, Fact::Leased { seq, lease: Box::new(lease) });
        let is_poll = self.roster.streams.open.get(&key).is_some_and(|stream| stream.poll.is_some());
        let mut cost = 0;
        if let Some(mark) =
            self.roster.sessions.get_mut(&session).and_then(|presence| presence.leases.get_mut(&seq))
        {
            cost = mark.cost;
            mark.stream = (!is_poll).then_some(key);
        }
        let Some(work) = self.ledger.jobs.get(seq).map(|job| self.work(job, now)) else { return };
        let bytes = self.ledger.jobs.get(seq).map_or(0, |job| job.payload_len + job.headers_len);
        let Some(stream) = self.roster.streams.open.get_mut(&key) else { return };
        match &mut stream.poll {
            Some((left, _)) => *left -= 1,
            None => stream.held = stream.held.saturating_add(cost),
        }
        stream.works.push(work);
        stream.works_bytes += bytes as usize + 200;
        if stream.works_bytes > DELIVER_BYTES_MAX || stream.works.len() >= DELIVER_WORKS_MAX {
            let works = core::mem::take(&mut stream.works);
            stream.works_bytes = 0;
            turn.frames.push(deliver(key, works));
        }
        if is_suspect && self.roster.queues.get(&queue).is_some_and(|index| index.reserved.is_some()) {
            self.release_reservation(queue);
        }
    }

    /// The suspect found an empty session elsewhere: the one that was emptying itself goes on.
    fn release_reservation(&mut self, queue: NameId) {
        let reserved = self.roster.queues.get_mut(&queue).and_then(|index| index.reserved.take());
        let Some(session) = reserved else { return };
        if let Some(presence) = self.roster.sessions.get_mut(&session) {
            presence.empties_for = None;
        }
        self.roster.wake_session(session);
        self.roster.stir(queue);
    }

    /// Sends what a stream got in this turn; a long poll that got something ends.
    fn deliver(&mut self, key: StreamKey, turn: &mut Turn) {
        let Some(stream) = self.roster.streams.open.get_mut(&key) else { return };
        if stream.poll.is_some() {
            return self.end_stream(key, turn);
        }
        let works = core::mem::take(&mut stream.works);
        stream.works_bytes = 0;
        if !works.is_empty() {
            turn.frames.push(deliver(key, works));
        }
    }

    fn work(&self, job: &Job, now: Ms) -> Work {
        let names = &self.ledger.names;
        Work {
            seq: job.seq,
            id: job.id,
            fence: job.fence,
            ends_at: job.lease.as_ref().map_or(0, |lease| lease.ends_at),
            now,
            queue: names.text(job.queue).into(),
            kind: names.text(job.kind).into(),
            key: names.text(job.key).into(),
            payload: job.payload(),
            headers: job.headers(),
            attempt: job.attempt,
            max_attempts: self.ledger.max_attempts(job),
            deliveries: job.deliveries,
            crashes: job.crashes,
            snoozes: job.snoozes,
            created_at: job.created_at,
            suspect: job.is_suspect(),
            cost: self.ledger.cost(job),
        }
    }
}

fn deliver(to: Request, works: Vec<Work>) -> Frame {
    Frame { to, last: false, body: Body::Deliver { works, end: false } }
}
