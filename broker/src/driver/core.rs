//! The driver's core: one turn over engine, parts and fold, without threads and without a clock,
//! so that a simulator can run the very code that serves.

use crate::calendar;
use crate::store::StoreError;
use crate::store::fold::{Fold, Slice};
use crate::store::parts::Parts;
use crate::store::recovery::{self, Loaded};
use crate::store::seam::{Journal, JournalStats, ReadLeaves, Recovered};
use std::sync::Arc;
use windlass_engine::engine::Pressure;
use windlass_engine::frame::Body;
use windlass_engine::limits::TICKS_PER_TURN;
use windlass_engine::part::PartKey;
use windlass_engine::view::DiskView;
use windlass_engine::{Blob, Command, ConnId, Engine, Fact, Request, Start, Turn};

/// Bounds of what waits in memory for the fold and of what is kept after it.
#[derive(Clone, Copy, Debug)]
pub struct CoreOptions {
    /// Bytes of parts that are not folded; at half of it a fold starts, at all of it Enqueue is
    /// refused.
    pub unfolded_bytes_max: usize,
    /// Bytes of folded parts that stay in memory.
    pub cache_bytes_max: usize,
    /// Jobs of all states.
    pub jobs_max: usize,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self {
            unfolded_bytes_max: 64 << 20,
            cache_bytes_max: 32 << 20,
            jobs_max: windlass_engine::limits::JOBS_MAX_DEFAULT,
        }
    }
}

/// One owner of engine, parts and fold.
pub struct Core {
    engine: Engine,
    parts: Parts,
    fold: Fold,
    options: CoreOptions,
    disk: Pressure,
    facts: u64,
    folds: u64,
}

impl Core {
    /// Recovers from the leaves and the journal; the journal may be appended to afterwards.
    ///
    /// # Errors
    /// On damage; nothing was changed then.
    pub fn recover<J: Journal>(
        journal: &mut J,
        recovered: Recovered,
        leaves: Arc<dyn ReadLeaves>,
        seed: u64,
        options: CoreOptions,
    ) -> Result<(Self, Loaded), StoreError> {
        let mut engine = Engine::new(seed);
        engine.set_jobs_max(options.jobs_max);
        let mut parts = Parts::new(leaves.clone(), options.cache_bytes_max);
        let mut fold = Fold::default();
        let loaded = recovery::load(journal, recovered, &*leaves, &mut engine, &mut parts, &mut fold)?;
        let disk = Pressure::default();
        Ok((Self { engine, parts, fold, options, disk, facts: 0, folds: 0 }, loaded))
    }

    /// The first turn of a run.
    ///
    /// # Errors
    /// Any is fatal.
    pub fn start(&mut self, start: Start, turn: &mut Turn) -> Result<(), StoreError> {
        self.engine.start(start, turn);
        self.tick(start.now, turn);
        self.settle(turn)
    }

    /// One turn: signs first, then commands, then what time asks for and who gets which job. The
    /// frames leave with every slot filled.
    ///
    /// # Errors
    /// Any is fatal.
    pub fn turn(
        &mut self,
        now: u64,
        signs: &[ConnId],
        commands: impl IntoIterator<Item = (Request, Command)>,
        turn: &mut Turn,
    ) -> Result<(), StoreError> {
        self.press();
        for &conn in signs {
            self.engine.apply(now, Request { conn, id: 0 }, Command::Sign, turn);
        }
        for (request, command) in commands {
            self.engine.apply(now, request, command, turn);
        }
        self.tick(now, turn);
        self.settle(turn)
    }

    /// What time asks for. The engine cannot read calendars: what it wants to know of them is told in
    /// the same turn, so that a tick and its job stand in one batch.
    fn tick(&mut self, now: u64, turn: &mut Turn) {
        self.engine.tick(now, turn);
        let mut left = TICKS_PER_TURN;
        let mut was_told = false;
        while left > 0
            && let Some(wanted) = self.engine.wanted()
        {
            let tick = calendar::answer(&wanted);
            left = left.saturating_sub(1 + tick.due.len());
            was_told = true;
            self.engine.apply(now, Request { conn: 0, id: 0 }, Command::Tick(Box::new(tick)), turn);
        }
        if was_told {
            self.engine.tick(now, turn);
        }
    }

    /// What was decided is taken over: parts into memory, records as dirty, slots filled.
    fn settle(&mut self, turn: &mut Turn) -> Result<(), StoreError> {
        self.facts += turn.facts.len() as u64;
        // A turn may remove or empty a job right after delivering it, so frames take their bytes while
        // the parts of such jobs are still here.
        let goes = |fact: &&Fact| matches!(fact, Fact::Removed { .. } | Fact::Emptied { .. });
        let (removals, others): (Vec<_>, Vec<_>) = turn.facts.iter().partition(goes);
        for fact in others {
            self.parts.follow(fact);
            self.fold.follow(fact);
        }
        for frame in &mut turn.frames {
            for slot in frame.slots_mut() {
                self.parts.fill(slot)?;
            }
            for slot in frame.row_slots_mut() {
                self.parts.fill(slot)?;
            }
            if let Body::Rows(rows) = &mut frame.body
                && let Some(server) = &mut rows.server
            {
                (server.disk.facts, server.disk.folds, server.disk.unfolded_bytes) = self.counted();
            }
        }
        self.parts.shed();
        for fact in removals {
            self.parts.follow(fact);
            self.fold.follow(fact);
        }
        Ok(())
    }

    /// Facts and folds since the start, and the bytes that wait for the next one.
    #[must_use]
    pub fn counted(&self) -> (u64, u64, u64) {
        (self.facts, self.folds, self.parts.unfolded_bytes() as u64)
    }

    /// What the disk has room for has changed.
    pub fn set_disk(&mut self, disk: Pressure) {
        self.disk = disk;
    }

    /// So much waits for the fold that nobody should be read until it has caught up: Enqueue is
    /// refused long before, but a result is never refused.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.parts.unfolded_bytes() >= 2 * self.options.unfolded_bytes_max
    }

    fn press(&mut self) {
        let full = self.parts.unfolded_bytes() >= self.options.unfolded_bytes_max;
        self.engine.set_pressure(Pressure {
            no_enqueue: full || self.disk.no_enqueue,
            disk_low: self.disk.no_enqueue,
            ..self.disk
        });
    }

    /// A peer has too much unread.
    pub fn choke(&mut self, conn: ConnId) {
        self.engine.choke(conn);
    }

    /// Silence does not count while a connection is open.
    pub fn ignore_silence(&mut self) {
        self.engine.ignore_silence();
    }

    /// The broker was away, or the wall clock jumped.
    pub fn shift(&mut self, by_ms: i64) {
        self.engine.shift(by_ms);
    }

    /// No new jobs, no new leases; clients are told to come back.
    pub fn drain(&mut self, turn: &mut Turn) {
        self.engine.drain(turn);
    }

    /// The last decision of a run.
    ///
    /// # Errors
    /// Any is fatal.
    pub fn stop(&mut self, turn: &mut Turn) -> Result<(), StoreError> {
        self.engine.stop(turn);
        self.settle(turn)
    }

    /// When the next turn is due if nothing else happens; 0 = at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.engine.next_deadline()
    }

    // ------------------------------------------------------------------ folding

    /// Copies the next slice of the fold, beginning one if it is due. Call it between batches only:
    /// `complete` is the last batch decided, and nothing of the next.
    pub fn slice(&mut self, complete: u64, journal_is_long: bool) -> Option<Slice> {
        let many = self.parts.unfolded_bytes() >= self.options.unfolded_bytes_max / 2;
        if !self.fold.is_running() && (many || journal_is_long) {
            self.fold.begin(complete);
        }
        self.fold.slice(self.engine.ledger(), &mut self.parts, complete)
    }

    /// How many leaves one slice of a fold copies; with few of them more comes between two slices.
    pub fn set_leaves_per_slice(&mut self, leaves: usize) {
        self.fold.set_leaves_per_slice(leaves);
    }

    /// Slices are still to be copied.
    #[must_use]
    pub fn is_copying(&self) -> bool {
        self.fold.is_copying()
    }

    /// The fold thread is done: the journal before the returned batch is needed no more. What this
    /// decides is taken over at the end of the turn, which goes on.
    pub fn folded(&mut self, turn: &mut Turn) -> Option<u64> {
        let replay_from = self.fold.end(&mut self.parts)?;
        let ahead = if windlass_engine::planted!(RecycledEarly) { 40 } else { 0 };
        self.folds += 1;
        self.engine.folded(replay_from, turn);
        Some(replay_from + ahead)
    }

    /// The bytes of a part that a job names.
    ///
    /// # Errors
    /// When the leaves cannot be read, or do not hold it.
    pub fn read(&mut self, key: PartKey) -> Result<Blob, StoreError> {
        self.parts.bytes(key)
    }

    /// The engine, to look at.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// Adds to a frame what only the threads around the core know.
pub fn complete(disk: &mut DiskView, known: &DiskView, journal: JournalStats) {
    let (facts, folds, unfolded_bytes) = (disk.facts, disk.folds, disk.unfolded_bytes);
    *disk = DiskView {
        facts,
        folds,
        unfolded_bytes,
        batches: journal.records,
        sync_p50_us: journal.sync_p50_us.into(),
        sync_p99_us: journal.sync_p99_us.into(),
        journal_bytes: journal.bytes_on_disk,
        segments: journal.segments as u64,
        ..known.clone()
    };
}

#[cfg(test)]
mod tests;
