//! The fold: records are copied out of the ledger in slices, between batches, while it goes on
//! changing; whatever was copied when, the copies and the journal make the same ledger again.

use crate::dice::Dice;
use crate::model::{History, each, seeds};
use crate::world::{World, assert_same};
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::engine::Start;
use windlass_engine::fact::{Fact, Record};
use windlass_engine::ledger::Ledger;
use windlass_engine::ledger::job::Job;
use windlass_engine::ledger::names::Name;
use windlass_engine::ledger::tables::{
    AfterRow, AuditRow, ClaimRow, FailuresRow, FalloutRow, GroupRow, OperationRow, ResourceRow, ScheduleRow,
    SessionRow, TotalsRow,
};
use windlass_engine::{Engine, Turn};

/// A record as it was when it was copied.
#[derive(Clone, Debug)]
enum Copy {
    Job(Job),
    Name(u64, Name),
    Session(SessionRow),
    Resource(ResourceRow),
    Totals(TotalsRow),
    Operation(OperationRow),
    Audit(AuditRow),
    Failures(FailuresRow),
    Claim(ClaimRow),
    After(AfterRow),
    Group(GroupRow),
    Fallout(FalloutRow),
    Schedule(ScheduleRow),
}

/// What a store holds beside the journal. All of a slice is written at once, Meta included.
pub(crate) struct Store {
    dice: Dice,
    copies: BTreeMap<Record, Copy>,
    replay_from: u64,
    to: u64,
    epoch: u32,
    seq_next: u64,
    stopped: bool,
    /// Records that changed since they were copied last.
    dirty: BTreeSet<Record>,
    /// A fold under way: where it began, and what is still to be copied.
    running: Option<(u64, BTreeSet<Record>)>,
    /// Batches of the journal that were looked at.
    followed: usize,
    pub(crate) folds: usize,
}

impl Store {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            copies: BTreeMap::new(),
            replay_from: 1,
            to: 0,
            epoch: 0,
            seq_next: 1,
            stopped: true,
            dirty: BTreeSet::new(),
            running: None,
            followed: 0,
            folds: 0,
        }
    }

    /// Between two batches: now and then a fold begins, goes on, or ends.
    pub(crate) fn work(&mut self, ledger: &Ledger, journal: &[(u64, Vec<Fact>)]) {
        for (_, facts) in &journal[self.followed..] {
            let records = facts.iter().map(Fact::record).filter(|record| *record != Record::Meta);
            self.dirty.extend(records);
        }
        self.followed = journal.len();
        let Some(&(batch, _)) = journal.last() else { return };
        match &self.running {
            None if self.dice.one_in(8) => self.running = Some((batch, std::mem::take(&mut self.dirty))),
            Some(_) if self.dice.one_in(2) => self.slice(ledger, batch),
            None | Some(_) => {}
        }
    }

    fn slice(&mut self, ledger: &Ledger, batch: u64) {
        let Some((from, mut rest)) = self.running.take() else { return };
        for _ in 0..=self.dice.roll(12) {
            let first = if self.dice.one_in(2) { rest.pop_first() } else { rest.pop_last() };
            let Some(record) = first else { break };
            match copy(record, ledger) {
                Some(copy) => drop(self.copies.insert(record, copy)),
                None => drop(self.copies.remove(&record)),
            }
        }
        self.to = batch;
        (self.epoch, self.seq_next, self.stopped) = (ledger.epoch, ledger.seq_next, ledger.stopped);
        if rest.is_empty() {
            self.replay_from = from + 1;
            self.folds += 1;
        } else {
            self.running = Some((from, rest));
        }
    }

    /// From which batch on the journal is needed.
    pub(crate) fn replay_from(&self) -> u64 {
        self.replay_from
    }

    /// An engine from the copies and the journal, as after a crash; its run has not begun.
    pub(crate) fn recover(&self, seed: u64, journal: &[(u64, Vec<Fact>)]) -> Engine {
        let mut engine = Engine::new(seed);
        engine.load_meta(self.to, self.epoch, self.seq_next, self.stopped);
        for (record, copy) in &self.copies {
            if let (Record::Name(id), Copy::Name(since, name)) = (record, copy) {
                engine.load_name(*id, *since, name.clone());
            }
        }
        for (record, copy) in &self.copies {
            match (record, copy.clone()) {
                (Record::Job(_), Copy::Job(job)) => engine.load_job(job),
                (Record::Session(id), Copy::Session(row)) => engine.load_session(*id, row),
                (Record::Resource(key), Copy::Resource(row)) => engine.load_resource(*key, row),
                (Record::Failures(error), Copy::Failures(row)) => engine.load_failures(*error, row),
                (Record::Audit(number), Copy::Audit(row)) => engine.load_audit(*number, row),
                (Record::Operation(id), Copy::Operation(row)) => engine.load_operation(*id, row),
                (Record::Totals(queue), Copy::Totals(row)) => engine.load_totals(*queue, row),
                (Record::Claim(holder), Copy::Claim(row)) => engine.load_claim(*holder, row),
                (Record::After(waiter, piece), Copy::After(row)) => engine.load_after(*waiter, *piece, row),
                (Record::Group(group), Copy::Group(row)) => engine.load_group(*group, row),
                (Record::Fallout(of), Copy::Fallout(row)) => engine.load_fallout(*of, row),
                (Record::Schedule(id), Copy::Schedule(row)) => engine.load_schedule(*id, row),
                (record, copy) => assert!(matches!(copy, Copy::Name(..)), "{record:?} is no {copy:?}"),
            }
        }
        for (batch, facts) in journal {
            for fact in facts {
                if *batch < self.replay_from {
                    engine.remember(fact);
                } else {
                    engine.replay(*batch, fact).expect("the journal and the copies belong together");
                }
            }
        }
        engine
    }

    /// After a crash a fold begins anew: whatever is replayed is dirty.
    pub(crate) fn crashed(&mut self, journal: &[(u64, Vec<Fact>)]) {
        self.running = None;
        self.dirty.clear();
        self.followed = journal.iter().filter(|(batch, _)| *batch < self.replay_from).count();
    }
}

fn copy(record: Record, ledger: &Ledger) -> Option<Copy> {
    Some(match record {
        Record::Job(seq) => Copy::Job(ledger.jobs.get(seq)?.clone()),
        Record::Name(id) => {
            let (_, since, name) = ledger.names.iter().find(|(found, ..)| *found == id)?;
            Copy::Name(since, name.clone())
        }
        Record::Session(id) => Copy::Session(ledger.sessions.get(&id)?.clone()),
        Record::Resource(key) => Copy::Resource(ledger.resources.get(&key)?.clone()),
        Record::Failures(error) => Copy::Failures(ledger.failures.get(&error)?.clone()),
        Record::Audit(number) => Copy::Audit(ledger.audits.get(&number)?.clone()),
        Record::Operation(id) => Copy::Operation(ledger.operations.get(&id)?.clone()),
        Record::Totals(queue) => Copy::Totals(ledger.totals.get(&queue)?.clone()),
        Record::Claim(holder) => Copy::Claim(ledger.claims.get(&holder)?.clone()),
        Record::After(waiter, piece) => Copy::After(ledger.afters.get(&(waiter, piece))?.clone()),
        Record::Group(group) => Copy::Group(ledger.groups.get(&group)?.clone()),
        Record::Fallout(of) => Copy::Fallout(ledger.fallouts.get(&of)?.clone()),
        Record::Schedule(id) => Copy::Schedule(ledger.schedules.get(&id)?.clone()),
        Record::Meta => return None,
    })
}

/// What comes back after a crash now is what stands now.
fn check(world: &World) {
    let store = world.store.as_ref().expect("this world has a store");
    let mut engine = store.recover(world.seed, &world.journal);
    let live = world.engine.ledger();
    assert_eq!(engine.ledger().epoch, live.epoch, "the epoch before a start");
    assert_eq!(engine.ledger().stopped, live.stopped, "stopped in order");
    engine.start(Start { now: world.now, minutes: 1 }, &mut Turn::new(world.batch + 1));
    assert_same(engine.ledger(), live);
    engine.audit().expect("the recovered engine agrees with itself");
}

#[test]
fn copies_and_journal_make_the_same_ledger() {
    let folds = each(seeds(2_000_000, 40), |seed| {
        let mut history = History::new(seed);
        history.world.store = Some(Store::new(seed));
        for step in 0..200 {
            history.step();
            if step % 10 == 0 {
                check(&history.world);
            }
        }
        history.world.store.as_ref().map_or(0, |store| store.folds)
    });
    assert!(folds.iter().sum::<usize>() > 0, "nothing was folded");
}
