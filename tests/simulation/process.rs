//! One life of the broker's process without its threads: the driver, the slot of the commit, the
//! journal's side and the fold's side, each moved on by one step when the test says so. What runs
//! is the code that serves; only threads, sockets and the clock are left out.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use windlass_broker::clock::Clock;
use windlass_broker::door::{Door, Notice, Taken};
use windlass_broker::driver::Driver;
use windlass_broker::driver::commit::{Commit, Work};
use windlass_broker::driver::core::{Core, CoreOptions};
use windlass_broker::store::StoreError;
use windlass_broker::store::fold::{Folder, Slice};
use windlass_broker::store::record;
use windlass_broker::store::seam::{EachRecord, Journal, JournalStats, Leaves, Record, Recovered};
use windlass_engine::{Command, ConnId, Engine, Fact, Request, Start, Turn};

/// Slices on their way to the fold, as in the broker.
const SLICES_WAITING: usize = 4;

/// What the journal was given since the tape began: the truth that a recovery is measured by.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Taped>>);

#[derive(Default)]
struct Taped {
    /// Batches whose append returned without an error.
    durable: Vec<(u64, Vec<Fact>)>,
    /// The batch whose append failed: it may be on disk or not.
    in_flight: Option<(u64, Vec<Fact>)>,
    /// The journal says that it is long, so that a fold begins.
    is_long: bool,
}

impl Tape {
    /// Takes off the batches that became durable since the last call.
    pub fn take(&self) -> Vec<(u64, Vec<Fact>)> {
        std::mem::take(&mut self.lock().durable)
    }

    /// A journal was opened and ends at this batch: decides what became of the one in flight.
    pub fn reopened(&self, last_batch: u64) {
        let mut taped = self.lock();
        if let Some((batch, facts)) = taped.in_flight.take()
            && batch == last_batch
        {
            taped.durable.push((batch, facts));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taped> {
        self.0.lock().expect("nothing panics while it holds the tape")
    }
}

/// A journal that is recorded.
struct Watched<J> {
    journal: J,
    tape: Tape,
}

impl<J: Journal> Journal for Watched<J> {
    fn continue_at(&mut self, batch: u64) -> Result<(), StoreError> {
        self.journal.continue_at(batch)
    }

    fn append(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        let facts = record::decode_facts(record.format, record.body).expect("what is written can be read");
        let written = self.journal.append(record);
        let mut taped = self.tape.lock();
        match written {
            Ok(()) => taped.durable.push((record.batch, facts)),
            Err(_) => taped.in_flight = Some((record.batch, facts)),
        }
        written
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        self.journal.confirm()
    }

    fn replay(&mut self, from: u64, each: EachRecord<'_>) -> Result<(), StoreError> {
        self.journal.replay(from, each)
    }

    fn recycle(&mut self, from: u64) -> Result<(), StoreError> {
        self.journal.recycle(from)
    }

    fn stats(&self) -> JournalStats {
        let stats = self.journal.stats();
        if self.tape.lock().is_long { JournalStats { segments: 1_000, ..stats } } else { stats }
    }
}

/// What a process is started with.
#[derive(Clone, Copy)]
pub struct Setup {
    /// The clock.
    pub now: u64,
    /// The hash seed of the engine.
    pub seed: u64,
    /// Bounds of the core.
    pub core: CoreOptions,
    /// Leaves in one slice of a fold.
    pub leaves_per_slice: usize,
}

/// What one round did.
pub struct Round {
    /// Connections heard of.
    pub signs: Vec<ConnId>,
    /// Commands decided, in order.
    pub commands: Vec<(Request, Command)>,
    /// What was decided.
    pub facts: Vec<Fact>,
}

/// The process.
pub struct Process<J, L> {
    /// Where connections come in.
    pub door: Door,
    driver: Driver,
    commit: Arc<Commit>,
    journal: Watched<J>,
    /// In the hands of the journal's side.
    work: Option<Work>,
    folder: Folder<L>,
    slices: Receiver<Slice>,
    /// In the hands of the fold's side.
    slice: Option<Slice>,
    /// The last batch that is durable.
    durable: u64,
    /// Folds that were written to their end.
    pub folds: u64,
}

impl<J: Journal, L: Leaves> Process<J, L> {
    /// Recovers and begins a run, as `Broker::start` does.
    pub fn start(
        (journal, recovered, leaves): (J, Recovered, L),
        setup: &Setup,
        tape: &Tape,
    ) -> Result<Self, StoreError> {
        tape.reopened(recovered.last_batch);
        let mut journal = Watched { journal, tape: tape.clone() };
        let (mut core, loaded) =
            Core::recover(&mut journal, recovered, leaves.reader(), setup.seed, setup.core)?;
        core.set_leaves_per_slice(setup.leaves_per_slice);
        journal.recycle(loaded.meta.replay_from)?;
        let first = loaded.last_batch + 1;
        let mut turn = Turn::new(first);
        let minutes = u32::try_from(setup.now / 60_000 - 28_928_160).expect("a clock of this century");
        core.start(Start { now: setup.now, minutes }, &mut turn)?;
        let body = record::encode_facts(&turn.facts);
        journal.append(Record { batch: first, format: record::FORMAT, body: &body })?;
        let commit = Arc::new(Commit::new(first));
        let (to_fold, slices) = sync_channel(SLICES_WAITING);
        let door = Door::default();
        let driver =
            Driver::new(core, door.clone(), commit.clone(), to_fold, Arc::default(), Clock::default());
        let folder = Folder::new(leaves, loaded.meta);
        Ok(Self {
            door,
            driver,
            commit,
            journal,
            work: None,
            folder,
            slices,
            slice: None,
            durable: first,
            folds: 0,
        })
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        self.driver.core().engine()
    }

    /// When the next round is due if nothing else happens; 0 = at once.
    pub fn deadline(&self) -> Option<u64> {
        self.driver.core().next_deadline()
    }

    /// The broker was away, or the wall clock was set.
    pub fn shift(&mut self, by_ms: i64) {
        self.driver.shift(by_ms);
    }

    /// The driver's next round over what the door holds.
    pub fn round(&mut self, now: u64) -> Result<Round, StoreError> {
        let mut taken = Taken::default();
        self.door.take(Some(Instant::now()), &mut taken);
        let (signs, commands) = (taken.signs.clone(), taken.commands.clone());
        let known = self.decided(0).len();
        self.driver.round(now, &mut taken)?;
        Ok(Round { signs, commands, facts: self.decided(known) })
    }

    /// Facts of the batch that waits, after the first so many.
    fn decided(&self, known: usize) -> Vec<Fact> {
        let batch = self.commit.begin();
        let facts = batch.facts[known..].to_vec();
        self.commit.end(batch);
        facts
    }

    /// The journal's side takes what waits. From then on the driver fills the next batch.
    pub fn take(&mut self) -> bool {
        if self.work.is_none() {
            self.work = self.commit.take();
        }
        self.work.is_some()
    }

    /// The journal's side writes what it took; its frames leave.
    pub fn write(&mut self) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        self.commit.write(work, &mut self.journal)?;
        self.commit.publish(self.journal.stats());
        let taped = self.journal.tape.lock();
        self.durable = taped.durable.last().map_or(self.durable, |(batch, _)| *batch);
        Ok(())
    }

    /// Takes and writes until nothing waits.
    pub fn pump(&mut self) -> Result<(), StoreError> {
        while self.take() {
            self.write()?;
        }
        Ok(())
    }

    /// The fold's side writes its next slice, if the journal holds what it shows. False = it has
    /// nothing to do.
    pub fn fold(&mut self) -> Result<bool, StoreError> {
        if self.slice.is_none() {
            self.slice = self.slices.try_recv().ok();
        }
        let Some(slice) = self.slice.take_if(|slice| slice.to <= self.durable) else { return Ok(false) };
        if self.folder.write(slice)?.is_some() {
            self.folds += 1;
            self.door.notify(Notice::Folded);
        }
        Ok(true)
    }

    /// Begins a fold with the next round, or lets none begin.
    pub fn want_fold(&mut self, wanted: bool) -> Result<(), StoreError> {
        self.pump()?;
        self.journal.tape.lock().is_long = wanted;
        // Whatever the journal's side does, it tells its figures afterwards.
        self.commit.recycle(0);
        self.pump()
    }

    /// Stops in order: says so to everybody, writes all, and gives the leaves back.
    pub fn stop(mut self, now: u64) -> Result<L, StoreError> {
        self.door.notify(Notice::Drain);
        self.round(now)?;
        self.driver.finish()?;
        while let Some(work) = self.work.take().or_else(|| self.commit.take()) {
            self.commit.write(work, &mut self.journal)?;
        }
        for slice in self.slice.take().into_iter().chain(self.slices.try_iter()) {
            self.folder.write(slice)?;
        }
        Ok(self.folder.into_leaves())
    }
}
