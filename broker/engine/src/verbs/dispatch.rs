//! Delivery: who gets which job. Runs at the end of every turn, over what changed in it.

use crate::engine::{Engine, Turn};
use crate::fact::{Fact, NewLease};
use crate::frame::{Body, Frame, RunWork, Work};
use crate::ids::{Ms, NameId, Request, Seq, SessionId};
use crate::ledger::Ledger;
use crate::ledger::job::Job;
use crate::limits::{
    DELIVER_BYTES_MAX, DELIVER_WORKS_MAX, LEASE_BYTES_PER_TICK, LEASE_MS_MAX, LEASES_PER_TICK,
    TURNED_AWAY_PER_TICK,
};
use crate::part::Slot;
use crate::policy::{default, mix};
use crate::roster::admit::Wanted;
use crate::roster::lanes::{Spot, Taste};
use crate::roster::queue::spot;
use crate::roster::stream::{StreamKey, Texts};
use crate::roster::{Presence, Round};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Waiting streams asked in vain about one queue and kind before the rest is left to a later turn.
const STREAMS_ASKED: usize = 256;

/// Lots drawn in vain for one job before who waits is asked in turn.
const LOTS: usize = 4;

/// Works a stream makes room for with its first one.
const WORKS_RESERVED: usize = 16;

/// What became of the first suspect of a queue.
pub(super) enum Suspect {
    /// There is none, or none for this stream now.
    None,
    /// The session empties itself for it.
    Awaited,
    /// The session is empty, and takes it.
    Taken(Seq),
}

/// What a stream was given.
pub(super) struct Fed {
    pub(super) jobs: usize,
    pub(super) bytes: usize,
}

/// What one tick may still hand out, and who got something.
struct Budget {
    leases: usize,
    bytes: usize,
    /// Lanes and rings that may still be found closed.
    looks: usize,
    fed: BTreeSet<StreamKey>,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.leases == 0 || self.bytes == 0 || self.looks == 0
    }

    fn spend(&mut self, on: StreamKey, fed: &Fed) {
        self.leases = self.leases.saturating_sub(fed.jobs);
        self.bytes = self.bytes.saturating_sub(fed.bytes);
        self.fed.insert(on);
    }
}

impl Engine {
    pub(crate) fn dispatch(&mut self, now: Ms, turn: &mut Turn) {
        if self.may_lease() {
            self.feed_all(now, turn);
        }
        for key in core::mem::take(&mut self.roster.over) {
            self.end_stream(key, turn);
        }
    }

    fn feed_all(&mut self, now: Ms, turn: &mut Turn) {
        let mut left = Budget {
            leases: LEASES_PER_TICK,
            bytes: LEASE_BYTES_PER_TICK,
            looks: TURNED_AWAY_PER_TICK,
            fed: BTreeSet::new(),
        };
        self.feed_hungry(now, &mut left, turn);
        self.feed_waiting(now, &mut left, turn);
        for key in left.fed {
            self.deliver(key, turn);
        }
    }

    /// Streams that got room take one job each in turn; who finds none waits.
    fn feed_hungry(&mut self, now: Ms, left: &mut Budget, turn: &mut Turn) {
        let mut round: Vec<StreamKey> = core::mem::take(&mut self.roster.hungry).into_iter().collect();
        while !round.is_empty() {
            let mut next = Vec::with_capacity(round.len());
            for key in round {
                if left.is_spent() {
                    self.roster.hungry.insert(key);
                } else if let Some(fed) = self.feed(key, now, &mut left.looks, turn) {
                    left.spend(key, &fed);
                    next.push(key);
                } else if left.looks == 0 {
                    self.roster.hungry.insert(key);
                } else {
                    self.park(key);
                }
            }
            round = next;
        }
    }

    /// Jobs that became ready go to the streams that wait for them, longest idle first.
    fn feed_waiting(&mut self, now: Ms, left: &mut Budget, turn: &mut Turn) {
        let mut later = Vec::new();
        while !left.is_spent()
            && let Some((place, mut round)) = self.roster.stirred.pop_first()
        {
            if !self.ask_waiting(place, &mut round, now, left, turn) {
                later.push((place, round));
            }
        }
        for (place, round) in later {
            let again = round.again || self.roster.stirred.contains_key(&place);
            self.roster.stirred.insert(place, Round { again, ..round });
        }
    }

    /// A round over the streams that wait for this queue and kind; false when it is not over.
    fn ask_waiting(
        &mut self,
        (queue, kind): (NameId, NameId),
        round: &mut Round,
        now: Ms,
        left: &mut Budget,
        turn: &mut Turn,
    ) -> bool {
        let mut asked = 0;
        let is_random = self.roster.queues.get(&queue).is_some_and(|index| index.is_random);
        let mut lots = if is_random { LOTS } else { 0 };
        while self.has_ready(queue, kind) {
            let drawn = (lots > 0).then(|| self.draw(queue, kind)).flatten();
            lots = lots.saturating_sub(1);
            let next = || self.roster.streams.next_waiting(queue, kind, round.after);
            let Some((at, key)) = drawn.map(|key| (round.after, key)).or_else(next) else {
                if !core::mem::take(&mut round.again) {
                    return true;
                }
                round.after = 0;
                continue;
            };
            if left.is_spent() || asked == STREAMS_ASKED {
                return false;
            }
            if let Some(fed) = self.feed(key, now, &mut left.looks, turn) {
                left.spend(key, &fed);
                self.park(key);
                lots = if is_random { LOTS } else { 0 };
            } else if left.looks == 0 {
                return false;
            } else {
                round.after = at;
                asked += 1;
                if self.is_shut(key) {
                    self.roster.streams.unwait(key);
                }
            }
        }
        true
    }

    /// One of those who wait, by lot.
    fn draw(&mut self, queue: NameId, kind: NameId) -> Option<StreamKey> {
        self.roster.lots += 1;
        self.roster.streams.draw_waiting(queue, kind, mix(self.seed, self.roster.lots))
    }

    fn has_ready(&self, queue: NameId, kind: NameId) -> bool {
        self.roster.queues.get(&queue).is_some_and(|index| index.has_ready(kind))
    }

    /// With room left a stream waits, behind those that wait already; without, it does not.
    fn park(&mut self, key: StreamKey) {
        match self.roster.streams.open.get(&key) {
            Some(stream) if stream.has_room(1) && !self.is_shut(key) => self.roster.streams.wait(key),
            Some(_) => self.roster.streams.unwait(key),
            None => {}
        }
    }

    /// The stream takes nothing, whatever room it has, until it is woken: its peer has too much
    /// unread, or its session is to be empty first.
    pub(crate) fn is_shut(&self, key: StreamKey) -> bool {
        if self.roster.choked.contains(&key.conn) {
            return true;
        }
        let stream = self.roster.streams.open.get(&key);
        let presence = stream.and_then(|stream| self.roster.sessions.get(&stream.session));
        presence.is_some_and(Presence::is_shut)
    }

    /// Leases one job to the stream, or a batch, if there is something for it.
    fn feed(&mut self, key: StreamKey, now: Ms, looks: &mut usize, turn: &mut Turn) -> Option<Fed> {
        let stream = self.roster.streams.open.get(&key)?;
        let batch = stream.batch;
        self.end_reservation(key, stream.session);
        if let Some(batch) = batch {
            return self.feed_batch(key, batch, now, looks, turn);
        }
        let seq = self.pick(key, now, looks)?;
        self.grant(key, seq, now, turn).map(|bytes| Fed { jobs: 1, bytes })
    }

    /// The session has emptied itself for this stream: here comes the suspect.
    fn end_reservation(&mut self, key: StreamKey, session: SessionId) {
        let Some(presence) = self.roster.sessions.get(&session) else { return };
        if let Some((queue, by)) = presence.empties_for
            && by == key
            && presence.leases.is_empty()
        {
            self.roster.release(queue);
        }
    }

    /// The next job for a stream: its sources in order, suspects only for an empty session.
    pub(super) fn pick(&mut self, key: StreamKey, now: Ms, looks: &mut usize) -> Option<Seq> {
        if self.is_shut(key) {
            return None;
        }
        let stream = self.roster.streams.open.get(&key).filter(|stream| stream.has_room(1))?;
        let (session, count) = (stream.session, stream.sources.queues().len());
        let is_weighted = stream.sources.are_weighted();
        for place in 0..count {
            let queue = self.roster.streams.open.get(&key)?.sources.queues()[place];
            let Some(index) = self.roster.queues.get(&queue).filter(|index| index.is_filled()) else {
                continue;
            };
            if !index.suspects.is_empty() {
                match self.pick_suspect(key, session, queue, now) {
                    Suspect::Taken(seq) => return self.picked(key, place, seq),
                    Suspect::Awaited => return None,
                    Suspect::None => {}
                }
            }
            if let Some(seq) = self.pick_from(key, queue, None, now, looks) {
                return if is_weighted { self.picked(key, place, seq) } else { Some(seq) };
            }
            if *looks == 0 {
                return None;
            }
        }
        None
    }

    /// The source that gave a job has had its turn.
    fn picked(&mut self, key: StreamKey, place: usize, seq: Seq) -> Option<Seq> {
        self.roster.streams.open.get_mut(&key)?.sources.picked(place);
        Some(seq)
    }

    /// A suspect waits for a session to be empty, unless a limit keeps it anyway.
    pub(super) fn pick_suspect(
        &mut self,
        key: StreamKey,
        session: SessionId,
        queue: NameId,
        now: Ms,
    ) -> Suspect {
        let Some(seq) = self.free_suspect(key, session, queue, now) else { return Suspect::None };
        let Some(presence) = self.roster.sessions.get_mut(&session) else { return Suspect::None };
        if presence.leases.is_empty() {
            return Suspect::Taken(seq);
        }
        match self.roster.queues.get_mut(&queue) {
            Some(index) if index.reserved.is_none() => {
                index.reserved = Some(session);
                presence.empties_for = Some((queue, key));
                Suspect::Awaited
            }
            Some(_) | None => Suspect::None,
        }
    }

    /// The oldest suspect that the stream may run and that no limit keeps.
    fn free_suspect(&mut self, key: StreamKey, session: SessionId, queue: NameId, now: Ms) -> Option<Seq> {
        let stream = self.roster.streams.open.get(&key)?;
        let index = self.roster.queues.get(&queue)?;
        index.oldest_suspects(&stream.kinds).into_iter().find(|&seq| {
            let Some(job) = self.ledger.jobs.get(seq) else { return false };
            let cost = self.ledger.cost(job);
            self.passes(session, job.gate)
                && self.roster.admit_suspect(&self.ledger.names, queue, spot(job), cost, now)
        })
    }

    /// The next job of a queue's lanes that fits and that no limit keeps; `beside` = of that lane only.
    pub(super) fn pick_from(
        &mut self,
        key: StreamKey,
        queue: NameId,
        beside: Option<Spot>,
        now: Ms,
        looks: &mut usize,
    ) -> Option<Seq> {
        while *looks > 0 {
            let stream = self.roster.streams.open.get(&key)?;
            let session = stream.session;
            let passes = |gate| self.passes(session, gate);
            let taste = Taste { kinds: &stream.kinds, passes: &passes };
            let index = self.roster.queues.get(&queue)?;
            let spot = match beside {
                Some(spot) => index.lanes.beside(spot)?,
                None => index.pick(&self.ledger.jobs, taste)?,
            };
            let job = self.ledger.jobs.get(spot.seq)?;
            let (cost, weight) = (self.ledger.cost(job), self.ledger.weight(job));
            let has_room = stream.has_room(cost);
            let wanted = Wanted { queue, spot, cost, is_retry: job.attempt > 0 };
            if !self.roster.admit(&self.ledger.names, wanted, now) {
                *looks -= 1;
                continue;
            }
            let index = self.roster.queues.get_mut(&queue)?;
            if has_room {
                index.lanes.charge(spot, cost, weight);
                return Some(spot.seq);
            }
            index.skipped = true;
            if !self.roster.limits.is_empty() {
                self.roster.skips.insert(queue);
            }
            return None;
        }
        None
    }

    /// The session has the labels that the gate asks for.
    pub(crate) fn passes(&self, session: SessionId, gate: NameId) -> bool {
        let Some(gate) = self.ledger.names.gate(gate).filter(|gate| !gate.need_labels.is_empty()) else {
            return true;
        };
        let Some(row) = self.ledger.sessions.get(&session) else { return false };
        gate.need_labels.iter().all(|label| row.session.labels.contains(label))
    }

    /// Leases the job to the stream, and tells its size.
    pub(super) fn grant(&mut self, key: StreamKey, seq: Seq, now: Ms, turn: &mut Turn) -> Option<usize> {
        let stream = self.roster.streams.open.get(&key)?;
        let job = self.ledger.jobs.get(seq)?;
        let (policies, is_poll) = (self.ledger.policies(job), stream.poll.is_some());
        let lease_ms = stream.lease_ms.or_else(|| policies.ask(|policy| policy.lease_ms));
        let lease_ms = lease_ms.unwrap_or(default::LEASE_MS);
        let ends_at = if lease_ms == 0 { 0 } else { now.saturating_add(lease_ms.min(LEASE_MS_MAX)) };
        let (fence, session) = (self.ledger.next_fence(), stream.session);
        let limits = policies.run_limits();
        let lease = NewLease { fence, session, now, ends_at, limits };
        let (is_retry, mut shared) = (job.attempt > 0, Vec::new());
        self.decide(turn, Fact::Leased { seq, lease });
        let mut cost = 0;
        if let Some(mark) =
            self.roster.sessions.get_mut(&session).and_then(|presence| presence.leases.get_mut(&seq))
        {
            cost = mark.cost;
            mark.stream = (!is_poll).then_some(key);
            if !mark.buckets.is_empty() {
                // Few limits look at retries.
                if self.roster.limits.charge(&mark.buckets, cost, is_retry, now) && !is_retry {
                    shared = mark.buckets.clone();
                }
            }
        }
        for id in shared {
            self.reseat_retries(id, now);
        }
        let job = self.ledger.jobs.get(seq)?;
        let bytes = job.payload_len as usize + job.headers_len as usize + job.checkpoint_len();
        let stream = self.roster.streams.open.get_mut(&key)?;
        let work = work(&self.ledger, &mut stream.texts, job, now);
        let bytes = bytes + 16 * work.run.as_ref().map_or(0, |run| run.after.len());
        match &mut stream.poll {
            Some((left, _)) => *left -= 1,
            None => stream.held = stream.held.saturating_add(cost),
        }
        if stream.works.is_empty() {
            let room = stream.poll.map_or(stream.slots, |(left, _)| left + 1);
            stream.works.reserve((room as usize).min(WORKS_RESERVED));
        }
        stream.works.push(work);
        stream.works_bytes += bytes + 200;
        if stream.works_bytes > DELIVER_BYTES_MAX || stream.works.len() >= DELIVER_WORKS_MAX {
            turn.frames.push(deliver(key, stream.take()));
        }
        Some(bytes)
    }

    /// Sends what a stream got in this turn; a long poll that got something ends.
    fn deliver(&mut self, key: StreamKey, turn: &mut Turn) {
        let Some(stream) = self.roster.streams.open.get_mut(&key) else { return };
        if stream.poll.is_some() {
            return self.end_stream(key, turn);
        }
        let works = stream.take();
        if !works.is_empty() {
            turn.frames.push(deliver(key, works));
        }
    }
}

fn work(ledger: &Ledger, texts: &mut Texts, job: &Job, now: Ms) -> Work {
    let (names, policies) = (&ledger.names, ledger.policies(job));
    Work {
        seq: job.seq,
        id: job.id,
        fence: job.fence,
        ends_at: job.lease.as_ref().map_or(0, |lease| lease.ends_at),
        now,
        queue: texts.get(names, job.queue),
        kind: texts.get(names, job.kind),
        key: names.text(job.key).into(),
        payload: job.payload(),
        headers: job.headers(),
        attempt: job.attempt,
        max_attempts: policies.max_attempts(),
        deliveries: job.deliveries,
        crashes: job.crashes,
        snoozes: job.snoozes,
        created_at: job.created_at,
        suspect: job.is_suspect(),
        cost: policies.cost(),
        run: run_work(ledger, job),
    }
}

/// What goes with a run beyond the plain.
fn run_work(ledger: &Ledger, job: &Job) -> Option<Box<RunWork>> {
    let limits = job.lease.as_ref().and_then(|lease| lease.held_to());
    if limits.is_none() && job.plan.is_none() {
        return None;
    }
    let (checkpoint, tick) = (job.checkpoint(), job.tick());
    let waited = job.plan.as_ref().is_some_and(|plan| plan.after);
    let after = if waited { ledger.after(job.seq).map(|edge| edge.id).collect() } else { Vec::new() };
    let is_plain = limits.is_none() && checkpoint == Slot::Empty && !waited && tick == 0;
    (!is_plain).then(|| Box::new(RunWork { limits: limits.unwrap_or_default(), checkpoint, after, tick }))
}

pub(super) fn deliver(to: Request, works: Vec<Work>) -> Frame {
    Frame { to, last: false, body: Body::Deliver { works, end: false } }
}
