//! Flows: who waits for whom, who counts into which group, and what of it this turn has still to tell.

use crate::flow::{EdgeState, Group, News, Tally};
use crate::ids::{JobId, NameId, Seq};
use crate::ledger::Ledger;
use crate::ledger::job::{Job, State};
use crate::ledger::tables::{AfterRow, GroupRow};
use crate::limits::{AFTER_PER_PIECE, DEPENDENTS_PER_TURN};
use crate::roster::seqs::Seqs;
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

/// Edges that are forgotten unused, which cost as much as one that is told.
const FORGOTTEN_PER_TOLD: usize = 8;

/// The indexes of flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    /// Open edges of jobs that wait: the job waited for, the one that waits, and where in its list.
    dependents: BTreeSet<(Seq, Seq, u16)>,
    /// Jobs that wait for others to end.
    waits: BTreeMap<Seq, Tally>,
    /// Edges in rows, of whatever state.
    pub(crate) edges: usize,
    /// The jobs that count into a group.
    members: BTreeMap<Seq, Seqs>,
    /// Groups by their ids; one that is gone may have left members behind when its id comes again.
    ids: BTreeSet<(NameId, JobId, Seq)>,
    /// Jobs that ended in this turn, and what those are told who wait for them.
    pub(crate) news: VecDeque<(Seq, News)>,
    /// Groups that this turn has to look at, with their counters.
    pub(crate) counted: BTreeMap<Seq, Group>,
    /// How many more may be told in this turn.
    pub(crate) budget: usize,
}

impl Flows {
    /// Nobody waits for any job: the one check that a job's end costs then.
    pub(crate) fn is_idle(&self) -> bool {
        self.dependents.is_empty()
    }

    /// This turn has nothing to tell.
    pub(crate) fn is_quiet(&self) -> bool {
        self.news.is_empty() && self.counted.is_empty()
    }

    /// A turn begins to tell.
    pub(crate) fn renew(&mut self) {
        self.budget = DEPENDENTS_PER_TURN;
    }

    pub(crate) fn has_dependents(&self, of: Seq) -> bool {
        self.dependent(of, Seq::MAX).is_some()
    }

    /// The first that waits for a job and came before `until`, and where it says so.
    pub(crate) fn dependent(&self, of: Seq, until: Seq) -> Option<(Seq, u16)> {
        let &(_, waiter, number) = self.dependents.range((of, 0, 0)..(of, until, 0)).next()?;
        Some((waiter, number))
    }

    /// The job waits for others to end.
    pub(crate) fn waits(&self, waiter: Seq) -> bool {
        self.waits.contains_key(&waiter)
    }

    /// The job may have begun to wait for others, or has stopped.
    pub(crate) fn follow(&mut self, ledger: &Ledger, seq: Seq) {
        let state = ledger.jobs.get(seq).map(|job| job.state);
        let may_wait = matches!(state, Some(State::Held | State::Blocked));
        match (may_wait, self.waits.contains_key(&seq)) {
            (true, false) => self.begin(ledger, seq),
            (false, true) => self.forget(ledger, seq),
            (true, true) | (false, false) => {}
        }
    }

    fn begin(&mut self, ledger: &Ledger, waiter: Seq) {
        let tally = Tally::of(pieces(ledger, waiter).map(|(_, row)| &row.piece));
        if tally.waits() {
            self.dependents.extend(open(ledger, waiter).map(|(of, number)| (of, waiter, number)));
            self.waits.insert(waiter, tally);
        }
    }

    fn forget(&mut self, ledger: &Ledger, waiter: Seq) {
        self.waits.remove(&waiter);
        let mut forgotten = 0;
        for (of, number) in open(ledger, waiter) {
            forgotten += usize::from(self.dependents.remove(&(of, waiter, number)));
        }
        self.budget = self.budget.saturating_sub(forgotten / FORGOTTEN_PER_TOLD);
    }

    /// An edge of the job is done with.
    pub(crate) fn end_edge(&mut self, ledger: &Ledger, waiter: Seq, of: Seq, number: u16, state: EdgeState) {
        self.dependents.remove(&(of, waiter, number));
        let Some(tally) = self.waits.get_mut(&waiter) else { return };
        tally.open -= 1;
        *tally.count(state) += 1;
        if !tally.waits() {
            self.forget(ledger, waiter);
        }
    }

    // ------------------------------------------------------------------ groups

    /// A group exists.
    pub(crate) fn found(&mut self, seq: Seq, group: &Group) {
        self.ids.insert((group.namespace, group.id, seq));
    }

    /// A group is gone, with all its members.
    pub(crate) fn lost(&mut self, seq: Seq, group: &Group) {
        self.ids.remove(&(group.namespace, group.id, seq));
    }

    /// The newest group of this id, also if its job is gone.
    pub(crate) fn group(&self, namespace: NameId, id: JobId) -> Option<Seq> {
        let range = (namespace, id, 0)..=(namespace, id, Seq::MAX);
        self.ids.range(range).next_back().map(|&(.., seq)| seq)
    }

    pub(crate) fn members(&self, group: Seq) -> Option<&Seqs> {
        self.members.get(&group)
    }

    pub(crate) fn join(&mut self, job: &Job) {
        if let Some(plan) = job.plan.as_ref().filter(|plan| plan.group > 0) {
            self.members.entry(plan.group).or_default().insert(job.seq);
        }
    }

    pub(crate) fn leave(&mut self, group: Seq, member: Seq) {
        let Some(members) = self.members.get_mut(&group) else { return };
        members.remove(member);
        if members.is_empty() {
            self.members.remove(&group);
        }
    }

    /// The counters of a group, to be raised; they become a fact at the end of the turn.
    pub(crate) fn count(&mut self, groups: &BTreeMap<Seq, GroupRow>, group: Seq) -> Option<&mut Group> {
        match self.counted.entry(group) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => Some(entry.insert(groups.get(&group)?.group.clone())),
        }
    }

    /// Whether all of it is what the ledger says, between two turns.
    pub(crate) fn audit(&self, ledger: &Ledger) -> Result<(), &'static str> {
        let mut fresh = Self::default();
        for job in ledger.jobs.iter().filter(|job| job.plan.is_some()) {
            fresh.join(job);
            fresh.follow(ledger, job.seq);
        }
        let edges: usize = ledger.afters.values().map(|row| row.piece.edges.len()).sum();
        if (&fresh.dependents, &fresh.waits, edges) != (&self.dependents, &self.waits, self.edges) {
            return Err("who waits for whom differs");
        }
        let members = |flows: &Self| -> BTreeMap<Seq, alloc::vec::Vec<Seq>> {
            flows.members.iter().map(|(&group, set)| (group, set.after(None).collect())).collect()
        };
        if members(&fresh) != members(self) {
            return Err("the members of groups differ");
        }
        if !self.is_quiet() {
            return Err("something is still to be told");
        }
        let known = ledger.groups.iter().map(|(&seq, row)| (row.group.namespace, row.group.id, seq));
        if known.collect::<BTreeSet<_>>() != self.ids {
            return Err("a group is not found by its id");
        }
        for &(of, waiter, _) in &self.dependents {
            let lives = ledger.jobs.get(of).is_some_and(|job| !job.state.is_final());
            let falls = ledger.fallouts.get(&of).is_some_and(|row| row.fallout.reaches(waiter));
            if !lives && !falls {
                return Err("somebody waits for what has ended");
            }
        }
        Ok(())
    }
}

fn pieces(ledger: &Ledger, waiter: Seq) -> impl Iterator<Item = (u16, &AfterRow)> {
    ledger.afters.range((waiter, 0)..=(waiter, u16::MAX)).map(|(&(_, piece), row)| (piece, row))
}

/// The open edges of a job: whom it waits for, and where in its list.
fn open(ledger: &Ledger, waiter: Seq) -> impl Iterator<Item = (Seq, u16)> {
    pieces(ledger, waiter).flat_map(|(piece, row)| {
        let numbered = row.piece.edges.iter().zip(piece * AFTER_PER_PIECE..);
        numbered.filter(|(edge, _)| edge.state == EdgeState::Open).map(|(edge, number)| (edge.seq, number))
    })
}
