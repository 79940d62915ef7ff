//! Deciding: the ledger evolves, the roster follows, the fact joins the batch.

use super::{Engine, Turn};
use crate::fact::{Counts, Fact, Record};
use crate::ids::{Ms, NameId, Seq};
use crate::ledger::Ledger;
use crate::ledger::job::{Job, State};
use crate::ledger::names::Name;
use crate::limits::AFTER_PER_PIECE;
use crate::roster::Share;
use crate::roster::limits::Limits;
use alloc::boxed::Box;

impl Engine {
    /// Records a decision: the ledger evolves, the roster follows, the fact joins the batch.
    pub(crate) fn decide(&mut self, turn: &mut Turn, fact: Fact) {
        let mut ties = Ties::default();
        let record = fact.record();
        if let Record::Job(seq) = record {
            // Of a job that goes there is nothing to tell afterwards.
            let is_heard = self.roster.watches.is_on();
            let goes = matches!(fact, Fact::Removed { .. });
            if is_heard && goes {
                self.tell(seq, &fact, turn);
            }
            ties = self.decide_job(turn.batch, seq, &fact);
            if is_heard && !goes {
                self.tell(seq, &fact, turn);
            }
        } else if let Record::Claim(holder) = record {
            self.decide_claim(turn.batch, holder, &fact);
        } else if let Record::After(..) | Record::Group(_) = record {
            self.decide_flow(turn.batch, &fact);
        } else {
            self.ledger.evolve(turn.batch, &fact);
        }
        self.remember(&fact);
        let freeing = if ties.dedup || ties.schedule > 0 { freeing(&fact) } else { None };
        if !self.roster.schedules.stalled.is_empty() && makes_room(&fact) {
            self.roster.schedules.wake(&mut self.roster.timers);
        }
        // What a job held is no concern of those that it is tied to.
        let is_flow = ties.is_flow && !matches!(fact, Fact::Emptied { .. });
        turn.facts.push(fact);
        if !self.roster.ended_runs.is_empty() {
            self.finish_runs(turn);
        }
        if let Some((seq, now)) = freeing {
            if ties.dedup {
                self.settle_claim(seq, now, turn);
            }
            if ties.schedule > 0 && self.ledger.jobs.get(seq).is_none_or(|job| job.state.is_final()) {
                self.tick_ended(ties.schedule, seq, now, turn);
            }
        }
        if let (Record::Job(seq), Some(before)) = (record, ties.state)
            && (is_flow || !self.roster.flows.is_idle())
        {
            self.follow_flow(seq, before, &ties, turn);
        }
    }

    fn decide_claim(&mut self, batch: u64, holder: Seq, fact: &Fact) {
        if let Some(row) = self.ledger.claims.get(&holder) {
            self.roster.claims.leave(holder, &row.claim, &mut self.roster.timers);
        }
        self.ledger.evolve(batch, fact);
        if let Some(row) = self.ledger.claims.get(&holder) {
            self.roster.claims.join(holder, &row.claim, &mut self.roster.timers);
        }
    }

    fn decide_flow(&mut self, batch: u64, fact: &Fact) {
        let (ledger, flows) = (&mut self.ledger, &mut self.roster.flows);
        if let Fact::AfterSet { waiter, piece, .. } | Fact::AfterRemoved { waiter, piece } = fact {
            flows.edges -= ledger.afters.get(&(*waiter, *piece)).map_or(0, |row| row.piece.edges.len());
        }
        if let Fact::GroupRemoved { group } = fact
            && let Some(row) = ledger.groups.get(group)
        {
            flows.lost(*group, &row.group);
        }
        ledger.evolve(batch, fact);
        if let Fact::AfterSet { body, .. } = fact {
            flows.edges += body.edges.len();
        } else if let Fact::GroupSet { group, body } = fact {
            flows.found(*group, body);
        } else if let Fact::AfterEnded { waiter, piece, place, state } = fact {
            let row = ledger.afters.get(&(*waiter, *piece));
            if let Some(edge) = row.and_then(|row| row.piece.edges.get(usize::from(*place))) {
                flows.end_edge(ledger, *waiter, edge.seq, piece * AFTER_PER_PIECE + place, *state);
            }
        }
    }

    /// What tied the job to others before.
    fn decide_job(&mut self, batch: u64, seq: Seq, fact: &Fact) -> Ties {
        if matches!(fact, Fact::Extended { .. } | Fact::CancelAsked { .. } | Fact::Overran { .. }) {
            self.ledger.evolve(batch, fact);
            if let Some(job) = self.ledger.jobs.get(seq) {
                self.roster.retime(job, fact);
            }
            return Ties::default();
        }
        if let Fact::Reported { .. } = fact {
            self.ledger.evolve(batch, fact);
            return Ties::default();
        }
        let mut ties = Ties::default();
        if let Fact::Enqueued { job, .. } = fact {
            self.tally(job.queue, job.kind, fact);
        } else if let Some(job) = self.ledger.jobs.get(seq) {
            let (queue, kind) = (job.queue, job.kind);
            ties = Ties::of(job);
            if !self.roster.limits.is_empty() {
                self.roster.note_end(job, fact);
                if job.state == State::Ready {
                    self.roster.withdraw(&self.ledger.names, job);
                }
            }
            let has_run = job.state == State::Leased && !matches!(fact, Fact::Reshaped { .. });
            self.roster.leave(job, has_run.then_some(self.now));
            self.tally(queue, kind, fact);
        }
        self.ledger.evolve(batch, fact);
        if let Some(job) = self.ledger.jobs.get(seq) {
            let share = share(&self.ledger, &mut self.roster.limits, job);
            self.roster.join(job, share, matches!(fact, Fact::Leased { .. }));
        }
        if self.roster.operations.is_watching() {
            self.roster.operations.observe(seq, fact, &mut self.roster.timers);
        }
        ties
    }

    /// Raises the totals of the queue and the kind by what a job's fact means.
    #[inline]
    fn tally(&mut self, queue: NameId, kind: NameId, fact: &Fact) {
        if !matches!(fact, Fact::Leased { .. } | Fact::Removed { .. } | Fact::Readied { .. }) {
            self.raise(queue, kind, fact);
        }
    }

    fn raise(&mut self, queue: NameId, kind: NameId, fact: &Fact) {
        let totals = self.roster.totals(&self.ledger, queue);
        let mut failed = 0;
        if let Fact::Returned { counts, .. } | Fact::Died { counts, .. } = fact {
            failed = u64::from(*counts == Counts::Attempt);
            totals.failed_attempts += failed;
            totals.crashes += u64::from(*counts == Counts::Crash);
        }
        let completed = u64::from(matches!(fact, Fact::Completed { .. }));
        totals.enqueued += u64::from(matches!(fact, Fact::Enqueued { .. }));
        totals.completed += if planted!(EndUncounted) { 0 } else { completed };
        totals.dead += u64::from(matches!(fact, Fact::Died { .. } | Fact::Buried { .. }));
        totals.cancelled += u64::from(matches!(fact, Fact::Cancelled { .. }));
        totals.expired += u64::from(matches!(fact, Fact::Expired { .. }));
        if completed + failed > 0 {
            self.roster.kinds.raise(kind, completed, failed);
        }
    }

    /// The totals that this turn raised become facts, one a queue; those of kinds now and then, and all of
    /// them before the end.
    pub(super) fn count(&mut self, turn: &mut Turn, is_end: bool) {
        for (of, totals) in core::mem::take(&mut self.roster.tally) {
            if self.ledger.totals.get(&of).is_none_or(|row| row.totals != totals) {
                self.decide(turn, Fact::Counted { of, totals });
            }
        }
        for (of, totals) in self.roster.kinds.due(self.now, is_end) {
            self.decide(turn, Fact::Counted { of, totals });
        }
        for (error, failures) in core::mem::take(&mut self.roster.failures) {
            self.decide(turn, Fact::FailuresCounted { error, failures: Box::new(failures) });
        }
    }

    /// The number of a name, given now if it has none. 0 for an empty key.
    pub(crate) fn intern(&mut self, turn: &mut Turn, name: Name) -> NameId {
        if let Some(id) = self.ledger.names.find(&name) {
            return id;
        }
        let id = self.ledger.names.next_id();
        self.decide(turn, Fact::Named { id, name: Box::new(name) });
        id
    }
}

/// What ties a job to others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ties {
    /// Its state; None = there is no such job yet.
    state: Option<State>,
    /// It has a dedup key, or waits for one.
    dedup: bool,
    /// The schedule that made it; 0 = none.
    schedule: NameId,
    /// It has any of the following.
    is_flow: bool,
    /// The group that it counts into; 0 = none.
    pub(crate) group: Seq,
    /// It waits for other jobs, or has waited for some.
    pub(crate) after: bool,
    /// It is a group.
    pub(crate) is_group: bool,
}

impl Ties {
    fn of(job: &Job) -> Self {
        let Some(plan) = &job.plan else { return Self { state: Some(job.state), ..Self::default() } };
        Self {
            state: Some(job.state),
            dedup: plan.dedup,
            schedule: job.schedule(),
            is_flow: plan.group > 0 || plan.after || plan.is_group,
            group: plan.group,
            after: plan.after,
            is_group: plan.is_group,
        }
    }
}

/// What a job's lease takes, if it is leased.
pub(crate) fn share(ledger: &Ledger, limits: &mut Limits, job: &Job) -> Share {
    if job.lease.is_none() {
        return Share::default();
    }
    Share { cost: ledger.cost(job), buckets: limits.claim(&ledger.names, job) }
}

/// What was too much before may fit now.
fn makes_room(fact: &Fact) -> bool {
    matches!(fact, Fact::Removed { .. } | Fact::NameDropped { .. } | Fact::Unclaimed { .. })
}

/// The job and the moment of a fact after which its dedup key may be free.
fn freeing(fact: &Fact) -> Option<(Seq, Ms)> {
    if let Fact::Leased { seq, lease } = fact {
        Some((*seq, lease.now))
    } else if let Fact::Completed { seq, end, .. }
    | Fact::Died { seq, end, .. }
    | Fact::Cancelled { seq, end, .. }
    | Fact::Expired { seq, end }
    | Fact::Buried { seq, end } = fact
    {
        Some((*seq, end.at))
    } else if let Fact::Removed { seq, at, .. } = fact {
        Some((*seq, *at))
    } else {
        None
    }
}
