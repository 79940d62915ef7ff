//! The roster: what is derivable from the ledger or worthless after a restart. It changes freely
//! and `evolve` never reads it.

pub(crate) mod admit;
mod buckets;
pub(crate) mod claims;
mod ended_ids;
pub(crate) mod flows;
pub(crate) mod kept_bytes;
pub(crate) mod kinds;
pub(crate) mod lanes;
pub(crate) mod limits;
pub(crate) mod lookout;
mod operations;
mod presence;
pub(crate) mod queue;
pub(crate) mod retries;
mod run;
pub(crate) mod schedules;
pub(crate) mod seqs;
mod serial;
pub(crate) mod sinks;
pub(crate) mod sources;
pub(crate) mod stream;
mod timers;
mod told;
pub(crate) mod watches;

pub(crate) use ended_ids::EndedIds;
pub(crate) use operations::Operations;
pub(crate) use presence::{LeaseMark, Presence};
pub(crate) use run::Run;
pub(crate) use schedules::Schedules;
pub(crate) use timers::{Timer, Timers};
pub(crate) use told::Unwritten;

use crate::command::Change;
use crate::engine::Asker;
use crate::fact::{Fact, Failures, Totals};
use crate::frame::TouchedOne;
use crate::ids::{ConnId, Ms, NameId, Request, Seq, SessionId};
use crate::ledger::Ledger;
use crate::ledger::job::{Job, State};
use crate::limits::SESSION_LEASES_MAX;
use crate::reach::Reach;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use claims::Claims;
use flows::Flows;
use kinds::Kinds;
use limits::{BucketId, Limits};
use lookout::Lookout;
use queue::QueueIndex;
use sinks::Sinks;
use stream::{Stream, StreamKey, Streams};
use watches::Watches;

/// All that is derived.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    pub(crate) queues: BTreeMap<NameId, QueueIndex>,
    pub(crate) kinds: Kinds,
    pub(crate) timers: Timers,
    pub(crate) limits: Limits,
    /// Queues whose first job found too little room, while limits bound some jobs.
    pub(crate) skips: BTreeSet<NameId>,
    pub(crate) sessions: BTreeMap<SessionId, Presence>,
    pub(crate) conns: BTreeMap<ConnId, SessionId>,
    pub(crate) streams: Streams,
    /// Connections whose peer has too much unread.
    pub(crate) choked: BTreeSet<ConnId>,
    /// Connections whose token reaches some queues only.
    pub(crate) reaches: BTreeMap<ConnId, Reach>,
    pub(crate) ended_ids: EndedIds,
    /// Queues and kinds that got a ready job in this turn.
    pub(crate) stirred: BTreeMap<(NameId, NameId), Round>,
    /// Streams that got room in this turn.
    pub(crate) hungry: BTreeSet<StreamKey>,
    /// Long polls that end with this turn, whether they got something or not.
    pub(crate) over: BTreeSet<StreamKey>,
    /// Changes in the background.
    pub(crate) operations: Operations,
    /// Changes whose jobs are still being counted.
    pub(crate) surveys: VecDeque<Survey>,
    /// What failed in this turn, by its way, with what failed so before.
    pub(crate) failures: BTreeMap<NameId, Failures>,
    /// Dead jobs by the way they failed last.
    pub(crate) dead_of: BTreeMap<NameId, u64>,
    /// Totals of the queues that changed in this turn.
    pub(crate) tally: BTreeMap<NameId, Totals>,
    pub(crate) claims: Claims,
    pub(crate) flows: Flows,
    pub(crate) schedules: Schedules,
    /// Queues whose ended jobs may take more bytes than they are to keep.
    pub(crate) heavy: BTreeSet<NameId>,
    /// Lots drawn so far.
    pub(crate) lots: u64,
    pub(crate) watches: Watches,
    pub(crate) lookout: Lookout,
    pub(crate) sinks: Sinks,
    /// Breakers that opened or closed in this turn; true = opened.
    pub(crate) tripped: Vec<(BucketId, bool)>,
    /// Silence does not count while a connection is open.
    pub(crate) ignores_silence: bool,
    /// Bytes that runs have said and that are in memory.
    pub(crate) runs_bytes: usize,
    /// Runs that ended in this decision and had something to say.
    pub(crate) ended_runs: Vec<(Seq, Box<Run>)>,
    /// Touches that are answered when what they brought is written, then.
    pub(crate) touches: BTreeMap<Request, (Ms, Vec<TouchedOne>)>,
}

/// A change whose jobs are being counted.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) asker: Asker,
    pub(crate) change: Box<Change>,
    /// The last job that was looked at.
    pub(crate) after: Option<Seq>,
    /// Jobs from here on came later.
    pub(crate) until: Seq,
    /// Jobs that match.
    pub(crate) matched: u64,
    /// Of these, those in a state that the change fits.
    pub(crate) fit: u64,
    /// The first of those.
    pub(crate) found: Vec<Seq>,
}

/// What a lease takes: slots, and its part of limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    pub(crate) cost: u32,
    pub(crate) buckets: Vec<BucketId>,
}

/// How far the waiting streams were asked whether they take a ready job.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    /// The ticket of the last one asked.
    pub(crate) after: u64,
    /// Something changed meanwhile: those asked before are asked again.
    pub(crate) again: bool,
}

impl Roster {
    /// A connection is over; the session it was of.
    pub(crate) fn forget_conn(&mut self, conn: ConnId) -> Option<SessionId> {
        self.choked.remove(&conn);
        self.reaches.remove(&conn);
        self.conns.remove(&conn)
    }

    /// Takes the job out of every index, before it changes. If its run ended with that, `ended_at` says when.
    pub(crate) fn leave(&mut self, job: &Job, ended_at: Option<Ms>) {
        let queue = self.queues.entry(job.queue).or_default();
        queue.states[job.state.index()].remove(job.seq);
        self.kinds.of(job.kind).states[job.state.index()] -= 1;
        if let Some(at) = ended_at
            && let Some(lease) = &job.lease
        {
            queue.runs.observe(at.saturating_sub(lease.leased_at));
        }
        if job.plan.is_some() && job.expires_at() > 0 {
            self.timers.remove(job.expires_at(), Timer::Expire(job.seq));
        }
        if job.is_serial()
            && let Some(kind) = queue.serial(job, false)
        {
            self.stirred.entry((job.queue, kind)).or_default().again = true;
        }
        match job.state {
            State::Scheduled => self.timers.remove(job.run_at, Timer::Due(job.seq)),
            State::Ready => {
                if !job.is_serial() {
                    queue.remove_ready(job);
                }
                let next = core::mem::take(&mut queue.skipped);
                if job.is_suspect() && !self.is_awaited(job.queue) {
                    self.release(job.queue);
                }
                if next {
                    self.stir(job.queue);
                }
            }
            State::Leased => self.end_lease(job),
            State::Completed | State::Dead | State::Cancelled | State::Expired => {
                let Some(ended) = &job.ended else { return };
                if let Some(kept) = &mut queue.kept_bytes {
                    kept.leave(job);
                }
                if ended.end.countable {
                    queue.kept.remove(&(ended.end.remove_at, job.seq));
                } else {
                    self.timers.remove(ended.end.remove_at, Timer::Remove(job.seq));
                }
                if job.state == State::Dead && job.error > 0 {
                    self.count_dead(job.error, false);
                }
            }
            State::Held => {
                let until = job.hold_until();
                if until > 0 {
                    self.timers.remove(until, Timer::Hold(job.seq));
                }
            }
            State::Blocked => {}
        }
    }

    /// Puts the job into every index it belongs to, after it changed. What it has its `share` in counts for
    /// leases; `starts` = it waited until now.
    pub(crate) fn join(&mut self, job: &Job, share: Share, starts: bool) {
        let queue = self.queues.entry(job.queue).or_default();
        queue.states[job.state.index()].insert(job.seq);
        self.kinds.of(job.kind).states[job.state.index()] += 1;
        if starts && let Some(lease) = &job.lease {
            queue.waits.observe(lease.leased_at.saturating_sub(job.run_at.max(job.created_at)));
        }
        if job.plan.is_some() && job.expires_at() > 0 {
            self.timers.insert(job.expires_at(), Timer::Expire(job.seq));
        }
        if job.is_serial()
            && let Some(kind) = queue.serial(job, true)
        {
            self.stirred.entry((job.queue, kind)).or_default().again = true;
        }
        match job.state {
            State::Scheduled => self.timers.insert(job.run_at, Timer::Due(job.seq)),
            State::Ready => {
                if !job.is_serial() {
                    queue.insert_ready(job);
                }
                self.stirred.entry((job.queue, job.kind)).or_default().again = true;
            }
            State::Leased => self.begin_lease(job, share),
            State::Completed | State::Dead | State::Cancelled | State::Expired => {
                let Some(ended) = &job.ended else { return };
                if let Some(kept) = &mut queue.kept_bytes {
                    kept.join(job);
                    if kept.over().is_some() {
                        self.heavy.insert(job.queue);
                    }
                }
                if ended.end.countable {
                    if queue.kept.first().is_none_or(|&(first, _)| ended.end.remove_at < first) {
                        self.timers.insert(ended.end.remove_at, Timer::Retain(job.queue));
                    }
                    queue.kept.insert((ended.end.remove_at, job.seq));
                } else {
                    self.timers.insert(ended.end.remove_at, Timer::Remove(job.seq));
                }
                if job.state == State::Dead && job.error > 0 {
                    self.count_dead(job.error, true);
                }
            }
            State::Held => {
                let until = job.hold_until();
                if until > 0 {
                    self.timers.insert(until, Timer::Hold(job.seq));
                }
            }
            State::Blocked => {}
        }
    }

    fn count_dead(&mut self, error: NameId, one_more: bool) {
        let dead = self.dead_of.entry(error).or_default();
        *dead = if one_more { *dead + 1 } else { dead.saturating_sub(1) };
        if *dead == 0 {
            self.dead_of.remove(&error);
        }
    }

    fn begin_lease(&mut self, job: &Job, share: Share) {
        let Some(lease) = &job.lease else { return };
        if lease.ends_at > 0 {
            self.timers.insert(lease.ends_at, Timer::LeaseEnd(job.seq));
        }
        if lease.revoke_at > 0 {
            self.timers.insert(lease.revoke_at, Timer::Revoke(job.seq));
        }
        let run = self.begin_run(job);
        let Share { cost, buckets } = share;
        self.limits.take(&buckets, cost);
        if !buckets.is_empty() {
            // A limit may keep that first job by now, and what stands behind it may fit.
            for queue in core::mem::take(&mut self.skips) {
                self.stir(queue);
            }
        }
        let (ends_at, revoke_at) = (lease.ends_at, lease.revoke_at);
        let mark = LeaseMark { stream: None, cost, buckets, ends_at, revoke_at, run };
        let presence = self.sessions.entry(lease.session).or_default();
        presence.leases.insert(job.seq, mark);
        presence.alone |= job.is_suspect();
        let is_bound = lease.ends_at == 0;
        presence.bound += usize::from(is_bound);
        if presence.leases.len() == 1 || is_bound && presence.bound == 1 {
            self.rearm(lease.session);
        }
    }

    fn end_lease(&mut self, job: &Job) {
        let Some(lease) = &job.lease else { return };
        let Some(presence) = self.sessions.get_mut(&lease.session) else { return };
        let Some(mark) = presence.leases.remove(&job.seq) else { return };
        presence.bound -= usize::from(mark.ends_at == 0);
        let emptied = presence.leases.is_empty();
        let was_full = presence.leases.len() + 1 == SESSION_LEASES_MAX;
        if emptied {
            presence.alone = false;
        }
        if mark.ends_at > 0 {
            self.timers.remove(mark.ends_at, Timer::LeaseEnd(job.seq));
        }
        if mark.revoke_at > 0 {
            self.timers.remove(mark.revoke_at, Timer::Revoke(job.seq));
        }
        if let Some(run) = mark.run {
            self.end_run(job.seq, run);
        }
        if let Some(key) = mark.stream
            && let Some(stream) = self.streams.open.get_mut(&key)
        {
            stream.held = stream.held.saturating_sub(mark.cost);
            self.hungry.insert(key);
        }
        for id in mark.buckets {
            if self.limits.give(id, mark.cost) {
                self.open_bucket(id);
            }
        }
        if emptied {
            self.rearm(lease.session);
        }
        if emptied || was_full {
            self.wake_session(lease.session);
        }
    }

    /// All streams of a session look for work again.
    pub(crate) fn wake_session(&mut self, id: SessionId) {
        let Some(presence) = self.sessions.get(&id) else { return };
        for &conn in &presence.conns {
            let range = StreamKey { conn, id: 0 }..=StreamKey { conn, id: u64::MAX };
            self.hungry.extend(self.streams.open.range(range).map(|(&key, _)| key));
        }
    }

    /// A lease ends later, or is to be revoked: that timer moves, its slots stay. The other timer
    /// may stand elsewhere than the ledger says, where a stall or a restart moved it.
    pub(crate) fn retime(&mut self, job: &Job, fact: &Fact) {
        let Some(lease) = &job.lease else { return };
        let Some(presence) = self.sessions.get_mut(&lease.session) else { return };
        let Some(mark) = presence.leases.get_mut(&job.seq) else { return };
        let (old, new, timer) = if matches!(fact, Fact::Extended { .. }) {
            (&mut mark.ends_at, lease.ends_at, Timer::LeaseEnd(job.seq))
        } else {
            (&mut mark.revoke_at, lease.revoke_at, Timer::Revoke(job.seq))
        };
        let is_earlier = new < *old;
        if *old > 0 {
            self.timers.remove(*old, timer);
        }
        self.timers.insert(new, timer);
        *old = new;
        let is_to_stop = !matches!(fact, Fact::Extended { .. }) && mark.run.is_some();
        if is_earlier {
            self.rearm(lease.session);
        }
        if is_to_stop {
            self.still(job);
        }
    }

    /// Sets the session's timer if it would fire too late.
    pub(crate) fn rearm(&mut self, id: SessionId) {
        let Some(presence) = self.sessions.get_mut(&id) else { return };
        let deadline = presence.deadline(self.ignores_silence);
        if presence.timer_at == 0 || deadline < presence.timer_at {
            if presence.timer_at > 0 {
                self.timers.remove(presence.timer_at, Timer::Session(id));
            }
            presence.timer_at = deadline;
            self.timers.insert(deadline, Timer::Session(id));
        }
    }

    /// Everybody's deadlines move: the broker was away, or the wall clock jumped. None becomes 0,
    /// which stands for "none".
    pub(crate) fn shift(&mut self, by: i64) {
        self.ended_ids.shift(by);
        self.operations.shift(by, &mut self.timers);
        for (timer, old, new) in self.limits.shift(by) {
            self.timers.remove(old, timer);
            self.timers.insert(new, timer);
        }
        let moved = |at: Ms| at.saturating_add_signed(by).max(1);
        self.watches.shift(moved);
        self.lookout.shift(moved, &mut self.timers);
        for (&key, wait) in &mut self.watches.waits {
            self.timers.remove(wait.until, Timer::Wait(key));
            wait.until = moved(wait.until);
            self.timers.insert(wait.until, Timer::Wait(key));
        }
        for (&key, stream) in &mut self.streams.open {
            if stream.linger_at > 0 {
                // How long the jobs have waited that it collects is to be looked at by the new clock.
                self.hungry.insert(key);
            }
            let Some((_, until)) = &mut stream.poll else { continue };
            self.timers.remove(*until, Timer::Poll(key));
            *until = moved(*until);
            self.timers.insert(*until, Timer::Poll(key));
        }
        self.shift_runs(moved);
        for (&key, (until, _)) in &mut self.touches {
            self.timers.remove(*until, Timer::Touched(key));
            *until = moved(*until);
            self.timers.insert(*until, Timer::Touched(key));
        }
        for (&id, presence) in &mut self.sessions {
            presence.last_sign = moved(presence.last_sign);
            if presence.hangup_at > 0 {
                presence.hangup_at = moved(presence.hangup_at);
            }
            self.timers.remove(presence.timer_at, Timer::Session(id));
            presence.timer_at = presence.deadline(self.ignores_silence);
            self.timers.insert(presence.timer_at, Timer::Session(id));
            for (&seq, mark) in &mut presence.leases {
                for (at, timer) in
                    [(&mut mark.ends_at, Timer::LeaseEnd(seq)), (&mut mark.revoke_at, Timer::Revoke(seq))]
                {
                    if *at > 0 && !planted!(ClockBelieved) {
                        self.timers.remove(*at, timer);
                        *at = moved(*at);
                        self.timers.insert(*at, timer);
                    }
                }
            }
        }
    }

    /// A queue's ready jobs look for streams again.
    pub(crate) fn stir(&mut self, queue: NameId) {
        let Some(index) = self.queues.get(&queue) else { return };
        for kind in index.ready_kinds() {
            self.stirred.entry((queue, kind)).or_default().again = true;
        }
    }

    /// The session that empties itself for a suspect of this queue will find one.
    fn is_awaited(&self, queue: NameId) -> bool {
        let Some(index) = self.queues.get(&queue) else { return false };
        let presence = index.reserved.and_then(|session| self.sessions.get(&session));
        let by = presence.and_then(|presence| presence.empties_for);
        let stream = by.and_then(|(_, key)| self.streams.open.get(&key));
        stream.is_some_and(|stream| index.suspect(&stream.kinds).is_some())
    }

    /// Nobody empties himself for a suspect of this queue any more; who did goes on.
    pub(crate) fn release(&mut self, queue: NameId) {
        let reserved = self.queues.get_mut(&queue).and_then(|index| index.reserved.take());
        let Some(session) = reserved else { return };
        if let Some(presence) = self.sessions.get_mut(&session) {
            presence.empties_for = None;
        }
        self.wake_session(session);
        self.stir(queue);
    }

    pub(crate) fn stir_all(&mut self) {
        let queues: Vec<NameId> = self.queues.keys().copied().collect();
        for queue in queues {
            self.stir(queue);
        }
        self.hungry.extend(self.streams.open.keys().copied());
    }

    /// The totals of a queue, to be raised; they become a fact at the end of the turn.
    pub(crate) fn totals(&mut self, ledger: &Ledger, queue: NameId) -> &mut Totals {
        self.tally
            .entry(queue)
            .or_insert_with(|| ledger.totals.get(&queue).map(|row| row.totals).unwrap_or_default())
    }

    /// A stream opens or ends: its queues and its kinds know who draws from them.
    pub(crate) fn number_stream(&mut self, stream: &Stream, is_there: bool) {
        let count = |number: &mut u32| *number = if is_there { *number + 1 } else { *number - 1 };
        for queue in stream.sources.queues() {
            let index = self.queues.entry(*queue).or_default();
            count(&mut index.streams);
            let slots = u64::from(stream.slots);
            index.slots = if is_there { index.slots + slots } else { index.slots - slots };
        }
        let any = [stream.namespace];
        let kinds: &[NameId] = if stream.kinds.is_empty() { &any } else { &stream.kinds };
        kinds.iter().for_each(|kind| count(&mut self.kinds.of(*kind).streams));
    }

    /// How many jobs of the queue are in the state.
    pub(crate) fn count(&self, queue: NameId, state: State) -> usize {
        self.queues.get(&queue).map_or(0, |index| index.states[state.index()].len())
    }

    /// The first job of the queue in the state.
    pub(crate) fn oldest(&self, queue: NameId, state: State) -> Option<Seq> {
        self.queues.get(&queue)?.states[state.index()].first()
    }
}
