//! A job and its states: the head that the engine keeps; payload and results are parts elsewhere.
//!
//! ```text
//!   held, blocked, then as if enqueued
//!              ┌───────────── retry, release with delay ────────────┐
//!              ▼                                                    │
//! enqueue ─► scheduled ── time ──► ready ── fetch ──► leased ───────┤
//!    └───────────────────────────► ready ◄── release, worker lost ──┤
//!                                                                   ▼
//!  held, blocked, scheduled, ready, leased ──────► completed | dead | cancelled
//!  held, blocked, scheduled, ready ── not started in time ─────────► expired
//!        completed, dead, cancelled, expired ── operator's retry ──► ready
//!                 scheduled, ready ── operator's bury ─────────────► dead
//! ```

use crate::fact::{Counts, DeadReason, End, NewJob, NewLease, Overrun, Reshape, RunLimits};
use crate::ids::{JobId, Ms, NameId, Seq, SessionId};
use crate::ledger::reports::Reports;
use crate::limits::HISTORY_MAX;
use crate::part::{Part, PartKey, Slot};
use crate::policy::Ordering;
use alloc::boxed::Box;
use serde::{Deserialize, Serialize};

/// What a job is; reasons why it waits are not states. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Prepared, not confirmed.
    Held,
    /// Waits for its time.
    Scheduled,
    /// Waits for other jobs.
    Blocked,
    /// May run.
    Ready,
    /// A session holds it.
    Leased,
    /// Done.
    Completed,
    /// Will not run again by itself.
    Dead,
    /// Called off.
    Cancelled,
    /// Not started in time.
    Expired,
}

impl State {
    /// How many there are.
    pub const COUNT: usize = 9;
    /// All, in the order of a job's life.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Held,
        Self::Scheduled,
        Self::Blocked,
        Self::Ready,
        Self::Leased,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The state's place in [`State::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Ended: it will not run again by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Held | Self::Scheduled | Self::Blocked | Self::Ready | Self::Leased => false,
            Self::Completed | Self::Dead | Self::Cancelled | Self::Expired => true,
        }
    }

    /// The word on every floor.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Scheduled => "scheduled",
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// The head of a job. Fixed in size, so that sixteen make a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// Its place in the broker's order.
    pub seq: Seq,
    /// The batch that touched it last.
    pub since: u64,
    /// Its namespace.
    pub namespace: NameId,
    /// Its queue.
    pub queue: NameId,
    /// Its kind.
    pub kind: NameId,
    /// Its lane; 0 = none.
    pub key: NameId,
    /// What it says of itself; 0 = nothing.
    pub terms: NameId,
    /// What must be so before it may start; 0 = nothing.
    pub gate: NameId,
    /// How it failed last; 0 = it has not.
    pub error: NameId,
    /// Bytes of its payload.
    pub payload_len: u32,
    /// Bytes of its headers.
    pub headers_len: u32,
    /// Its state.
    pub state: State,
    /// 0..9.
    pub level: u8,
    /// What its key means.
    pub ordering: Ordering,
    /// The last lease ended by a Settle.
    pub settled: bool,
    /// Attempts made and not given back.
    pub attempt: u32,
    /// How often it was handed out.
    pub deliveries: u32,
    /// Workers lost with it.
    pub crashes: u32,
    /// Times it was snoozed.
    pub snoozes: u32,
    /// Attempts ever noted in its history.
    pub notes: u32,
    /// When it was enqueued.
    pub created_at: Ms,
    /// When it may run.
    pub run_at: Ms,
    /// The fence of its last lease; 0 = none yet.
    pub fence: u64,
    /// Who holds it, while it is leased.
    pub lease: Option<Box<Lease>>,
    /// How it ended, once it has.
    pub ended: Option<Box<Ended>>,
    /// What its producer asked for beyond the plain; most jobs have none.
    pub plan: Option<Box<Plan>>,
}

/// What few producers ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Not started by then, the job expires; 0 = never.
    pub expires_at: Ms,
    /// It waits for a word, or did.
    pub hold: Option<Box<Hold>>,
    /// It holds a dedup key, or waits for one.
    pub dedup: bool,
    /// The tick it stands for; such a job is never held.
    pub tick: Option<Box<TickPlan>>,
    /// Where its payload and its headers lie.
    pub pieces: Pieces,
    /// What its handlers have said.
    pub reports: Option<Box<Reports>>,
    /// The job of the group that it counts into; 0 = none.
    pub group: Seq,
    /// It waits for other jobs, or has waited for some.
    pub after: bool,
    /// It is a group: no worker gets it, and it ends when its members have.
    pub is_group: bool,
}

/// How a job waits for its confirmation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Until then; 0 = for ever.
    pub until: Ms,
    /// What ends the hold makes the job ready, instead of expiring it.
    pub then_run: bool,
}

/// The tick that a job stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickPlan {
    /// The schedule; a name.
    pub schedule: NameId,
    /// The tick.
    pub at: Ms,
}

/// Which versions of its parts are a job's payload and headers: both can be replaced, and a payload can
/// be a list that grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pieces {
    /// The first version that belongs to the payload.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// The version of the headers.
    pub headers: u32,
    /// The payload is a list: items with their lengths in front.
    pub is_list: bool,
}

/// Who holds a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The session.
    pub session: SessionId,
    /// Since when.
    pub leased_at: Ms,
    /// Until when; 0 = as long as the session lives.
    pub ends_at: Ms,
    /// How long that was when it was said.
    pub lasts_ms: u32,
    /// It was asked to stop; its lease is revoked then. 0 = it was not.
    pub revoke_at: Ms,
    /// How long that was when it was asked.
    pub grace_ms: u32,
    /// What the run is held to; zeros = nothing.
    pub limits: RunLimits,
    /// It was asked to stop because it broke that, and not because the job is to be cancelled.
    pub overran: Option<Overrun>,
}

impl Lease {
    pub(crate) fn extend(&mut self, now: Ms, ends_at: Ms) {
        (self.ends_at, self.lasts_ms) = (ends_at, span(now, ends_at));
    }

    pub(crate) fn ask_to_stop(&mut self, overran: Option<Overrun>, now: Ms, revoke_at: Ms) {
        (self.overran, self.revoke_at, self.grace_ms) = (overran, revoke_at, span(now, revoke_at));
    }

    /// It is to stop, because nobody wants the job any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.revoke_at > 0 && self.overran.is_none()
    }

    /// What the run is held to; None = nothing.
    #[must_use]
    pub fn held_to(&self) -> Option<RunLimits> {
        Some(self.limits).filter(|limits| *limits != RunLimits::default())
    }

    /// When its time is up; 0 = never.
    #[must_use]
    pub fn timeout_at(&self) -> Ms {
        let timeout_ms = self.limits.timeout_ms;
        if timeout_ms == 0 { 0 } else { self.leased_at.saturating_add(timeout_ms.into()) }
    }
}

/// Time from one to the other; leases and graces are shorter than what fits.
fn span(since: Ms, until: Ms) -> u32 {
    u32::try_from(until.saturating_sub(since)).unwrap_or(u32::MAX)
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, and how long it is kept.
    pub end: End,
    /// Why it is dead, if it is.
    pub reason: Option<DeadReason>,
    /// Bytes of its result.
    pub result_len: u32,
    /// Its result was not kept because the disk was low.
    pub result_dropped: bool,
    /// Payload, headers and result were let go because its queue keeps only so many bytes.
    pub emptied: bool,
}

impl Job {
    pub(crate) fn new(seq: Seq, since: u64, new: &NewJob) -> Self {
        let waits = new.run_at > new.created_at;
        Self {
            id: new.id,
            seq,
            since,
            namespace: new.namespace,
            queue: new.queue,
            kind: new.kind,
            key: new.key,
            terms: new.terms,
            gate: new.gate,
            error: 0,
            payload_len: length(new.payload.len()),
            headers_len: length(new.headers.len()),
            state: match &new.plan {
                Some(plan) if plan.is_group || plan.after => State::Blocked,
                Some(_) | None if waits => State::Scheduled,
                Some(_) | None => State::Ready,
            },
            level: new.level,
            ordering: new.ordering,
            settled: false,
            attempt: 0,
            deliveries: 0,
            crashes: 0,
            snoozes: 0,
            notes: 0,
            created_at: new.created_at,
            run_at: new.run_at,
            fence: 0,
            lease: None,
            ended: None,
            plan: new.plan.clone(),
        }
    }

    pub(crate) fn lease(&mut self, new: &NewLease) {
        self.state = State::Leased;
        self.settled = false;
        self.attempt = self.attempt.saturating_add(1);
        self.deliveries = self.deliveries.saturating_add(1);
        self.fence = new.fence;
        self.lease = Some(Box::new(Lease {
            session: new.session,
            leased_at: new.now,
            ends_at: new.ends_at,
            lasts_ms: span(new.now, new.ends_at),
            revoke_at: 0,
            grace_ms: 0,
            limits: new.limits.unwrap_or_default(),
            overran: None,
        }));
    }

    /// Ends the lease; `settled` = by its worker.
    pub(crate) fn unlease(&mut self, counts: Counts, settled: bool) {
        self.lease = None;
        self.settled = settled;
        match counts {
            Counts::Attempt => {}
            Counts::Crash => {
                self.attempt = self.attempt.saturating_sub(u32::from(!planted!(CountedTwice)));
                self.crashes = self.crashes.saturating_add(1);
            }
            Counts::Snooze => {
                self.attempt = self.attempt.saturating_sub(1);
                self.snoozes = self.snoozes.saturating_add(1);
            }
            Counts::Nothing => self.attempt = self.attempt.saturating_sub(1),
        }
    }

    pub(crate) fn end(&mut self, state: State, ended: Ended) {
        self.lease = None;
        self.state = state;
        self.ended = Some(Box::new(ended));
    }

    /// Takes another shape; the names are counted elsewhere.
    pub(crate) fn reshape(&mut self, new: &Reshape) {
        self.queue = new.queue;
        self.key = new.key;
        self.terms = new.terms;
        self.level = new.level;
        self.ordering = new.ordering;
        if let Some((version, payload)) = &new.payload {
            self.payload_len = length(payload.len());
            let pieces = &mut self.plan.get_or_insert_default().pieces;
            (pieces.first, pieces.last) = (*version, *version);
        }
    }

    /// Waits until `run_at`, or is ready when that is not after `now`.
    pub(crate) fn wait(&mut self, run_at: Ms, now: Ms) {
        self.ended = None;
        self.run_at = run_at;
        self.state = if run_at > now { State::Scheduled } else { State::Ready };
    }

    /// It waits for the others of its key.
    #[must_use]
    pub fn is_serial(&self) -> bool {
        self.key > 0 && self.ordering != Ordering::Fair
    }

    /// From its second crash on a job runs alone in its session, so that it takes no innocent
    /// neighbours along.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.crashes >= 2
    }

    /// It is a group of jobs.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.is_group)
    }

    /// The names whose uses are counted.
    pub(crate) fn counted_names(&self) -> impl Iterator<Item = NameId> + use<> {
        [self.key, self.terms, self.gate, self.error].into_iter().filter(|&name| name > 0)
    }

    /// When it expires if it does not start; 0 = never, or it has started.
    #[must_use]
    pub fn expires_at(&self) -> Ms {
        let waits = !self.state.is_final() && self.lease.is_none() && self.deliveries == 0;
        self.plan.as_ref().filter(|_| waits).map_or(0, |plan| plan.expires_at)
    }

    /// Where the parts of the payload and of the headers are.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        self.plan.as_ref().map_or(Pieces::default(), |plan| plan.pieces)
    }

    /// Waits for somebody's word.
    pub(crate) fn hold(&mut self, until: Ms) {
        self.state = State::Held;
        self.plan.get_or_insert_default().hold.get_or_insert_default().until = until;
    }

    /// Another payload, and perhaps other headers, of these lengths.
    pub(crate) fn replace(
        &mut self,
        pieces: Pieces,
        (payload, headers): (usize, Option<usize>),
        run_at: Option<Ms>,
        now: Ms,
    ) {
        self.plan.get_or_insert_default().pieces = pieces;
        self.payload_len = length(payload);
        self.headers_len = headers.map_or(self.headers_len, length);
        self.run_at = run_at.unwrap_or(self.run_at);
        if matches!(self.state, State::Scheduled | State::Ready) {
            self.wait(self.run_at, now);
        }
    }

    /// One item more at the end of the payload.
    pub(crate) fn append(&mut self, version: u32, item: usize) {
        let pieces = &mut self.plan.get_or_insert_default().pieces;
        pieces.last = version;
        if self.payload_len == 0 {
            // Somebody has emptied the list, and of no bytes there is no part.
            pieces.first = version;
        }
        self.payload_len = self.payload_len.saturating_add(length(item));
    }

    /// The schedule that made it; a name. 0 = none.
    #[must_use]
    pub fn schedule(&self) -> NameId {
        self.plan.as_ref().and_then(|plan| plan.tick.as_ref()).map_or(0, |tick| tick.schedule)
    }

    /// The tick it stands for; 0 = none.
    #[must_use]
    pub fn tick(&self) -> Ms {
        self.plan.as_ref().and_then(|plan| plan.tick.as_ref()).map_or(0, |tick| tick.at)
    }

    /// When its hold ends by itself; 0 = never.
    #[must_use]
    pub fn hold_until(&self) -> Ms {
        self.plan.as_ref().and_then(|plan| plan.hold.as_ref()).map_or(0, |hold| hold.until)
    }

    /// Nobody was ever given it, and it may still run.
    #[must_use]
    pub fn is_unstarted(&self) -> bool {
        self.deliveries == 0 && !self.state.is_final()
    }

    /// Where the payload lies.
    #[must_use]
    pub fn payload(&self) -> Slot {
        let Pieces { first, last, .. } = self.pieces();
        match self.slot(Part::Payload, first, self.payload_len) {
            Slot::Part(key) if last > first => Slot::Pieces(key, last),
            slot @ (Slot::Empty | Slot::Part(_) | Slot::Pieces(..) | Slot::Bytes(_) | Slot::Note(_)) => slot,
        }
    }

    /// Where the headers lie.
    #[must_use]
    pub fn headers(&self) -> Slot {
        self.slot(Part::Headers, self.pieces().headers, self.headers_len)
    }

    /// Where the result lies. Its version is the number of the delivery that made it, so that two
    /// results of one job never share a name.
    #[must_use]
    pub fn result(&self) -> Slot {
        let len = self.ended.as_ref().map_or(0, |ended| ended.result_len);
        self.slot(Part::Result, self.deliveries, len)
    }

    /// Bytes of the result.
    #[must_use]
    pub fn result_len(&self) -> usize {
        self.ended.as_ref().map_or(0, |ended| ended.result_len as usize)
    }

    /// Bytes of what may be let go once it has ended: payload, headers and result.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        u64::from(self.payload_len) + u64::from(self.headers_len) + self.result_len() as u64
    }

    /// What it held was let go, so that it cannot run again.
    #[must_use]
    pub fn is_emptied(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.emptied)
    }

    pub(crate) fn empty(&mut self) {
        (self.payload_len, self.headers_len) = (0, 0);
        if let Some(ended) = &mut self.ended {
            (ended.result_len, ended.emptied) = (0, true);
        }
    }

    /// The numbers of the attempts in the history, oldest first.
    #[must_use]
    pub fn history(&self) -> core::ops::Range<u32> {
        self.notes.saturating_sub(HISTORY_MAX)..self.notes
    }

    /// All parts the job has now.
    pub fn parts(&self) -> impl Iterator<Item = PartKey> + '_ {
        let bodies = [self.headers(), self.result()];
        let pieces = self.pieces();
        let last = if self.payload_len == 0 { pieces.first } else { pieces.last + 1 };
        let versions = pieces.first..last;
        let payload = versions.map(|version| PartKey { seq: self.seq, part: Part::Payload, version });
        let notes = self.history().map(|note| PartKey { seq: self.seq, part: Part::History, version: note });
        bodies
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Part(key) => Some(key),
                Slot::Empty | Slot::Pieces(..) | Slot::Bytes(_) | Slot::Note(_) => None,
            })
            .chain(payload)
            .chain(notes)
            .chain(self.report_parts())
    }

    pub(crate) fn slot(&self, part: Part, version: u32, len: u32) -> Slot {
        if len == 0 { Slot::Empty } else { Slot::Part(PartKey { seq: self.seq, part, version }) }
    }
}

/// A part's length; a frame bounds it far below 4 GiB.
pub(crate) fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a part is bounded by the frame it came in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_in_memory_stays_small() {
        // A million ready jobs are to fit into 400 MB with their indexes and a cache of payloads.
        assert!(size_of::<Job>() <= 144, "{}", size_of::<Job>());
    }
}
