//! The driver: one thread, one loop, the only owner of the engine. Everything else in the daemon
//! exists to feed it or to obey it.
//!
//! ```text
//! door.take ─► turn: signs, commands, tick ─► batch ─► journal thread: write, sync ─► outboxes
//!                                     └─ between batches: a slice for the fold thread
//! ```

pub mod commit;
pub mod core;
pub mod folding;
pub mod sinks;
pub mod snapshots;
mod test_clock;

use crate::clock::{self, Clock, Reading};
use crate::door::{Door, Notice, Outbox, Taken, weight};
use crate::history::History;
use crate::limits::{SERIES_STEP_MS_MIN, STALL_MS};
use crate::metrics::{Measures, Meters, Traffic};
use crate::store::StoreError;
use crate::store::fold::Slice;
use commit::{Batch, Commit};
use core::Core;
use snapshots::Snapshots;
use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use test_clock::TestClock;
use windlass_engine::frame::Body;
use windlass_engine::view::DiskView;
use windlass_engine::{ConnId, Frame, Turn};

/// The loop looks up at least this often, so that a stop of the whole process is noticed for what
/// it is and not taken for the clients' silence.
const LOOK_UP: Duration = Duration::from_millis(STALL_MS / 2);
/// Pause between two slices when nothing else happens.
const COPYING: Duration = Duration::from_micros(100);
/// Segments of journal, the current one included, at which a fold is due.
const SEGMENTS_BEFORE_FOLD: usize = 4;

/// What the threads around the driver know of the disk, for whoever asks.
pub type Known = Arc<Mutex<DiskView>>;

/// The loop and what it owns.
pub struct Driver {
    core: Core,
    door: Door,
    commit: Arc<Commit>,
    slices: SyncSender<Slice>,
    known: Known,
    outboxes: HashMap<ConnId, Arc<Outbox>>,
    /// Copied, but the fold thread is behind.
    unsent: Option<Slice>,
    last: Reading,
    test_clock: Option<TestClock>,
    meters: Meters,
    traffic: Traffic,
    history: History,
    /// When the step of the history that goes on is over.
    sample_at: u64,
    is_draining: bool,
    sinks: sinks::Teller,
    snapshots: Snapshots,
}

impl Driver {
    /// A driver over a recovered core.
    #[must_use]
    pub fn new(
        core: Core,
        door: Door,
        commit: Arc<Commit>,
        slices: SyncSender<Slice>,
        known: Known,
        clock: Clock,
    ) -> Self {
        Self {
            core,
            door,
            commit,
            slices,
            known,
            outboxes: HashMap::new(),
            unsent: None,
            last: clock::read(),
            test_clock: TestClock::over(clock),
            meters: Meters::default(),
            traffic: Traffic::default(),
            history: History::default(),
            sample_at: u64::MAX,
            is_draining: false,
            sinks: sinks::Teller::new(),
            snapshots: Snapshots::default(),
        }
    }

    /// The same, with a history of what it drives.
    #[must_use]
    pub fn with_history(mut self, history: History) -> Self {
        self.sample_at = history.due_at();
        self.history = history;
        self
    }

    /// The same, measured by who reads these meters.
    #[must_use]
    pub fn with_meters(mut self, meters: Meters) -> Self {
        self.meters = meters;
        self
    }

    /// The same, with snapshots of what lies on its disk.
    #[must_use]
    pub fn with_snapshots(mut self, snapshots: Snapshots) -> Self {
        self.snapshots = snapshots;
        self
    }

    /// The sinks, for who makes deliveries.
    #[must_use]
    pub fn sinks(&self) -> sinks::Places {
        self.sinks.places()
    }

    /// Serves until it is told to drain.
    ///
    /// # Errors
    /// Any is fatal.
    pub fn run(mut self) -> Result<(), StoreError> {
        let mut taken = Taken::default();
        while !self.is_draining {
            self.door.take(Some(self.deadline()), &mut taken);
            let began = Instant::now();
            let now = self.look_up(&taken);
            self.round(now, &mut taken)?;
            self.traffic.busy_us += u64::try_from(began.elapsed().as_micros()).unwrap_or(0);
        }
        self.finish()
    }

    /// One round of the loop, once the clock and the door were looked at: a slice if the moment
    /// lies between two batches, then a turn over what was taken.
    ///
    /// # Errors
    /// Any is fatal.
    pub fn round(&mut self, now: u64, taken: &mut Taken) -> Result<(), StoreError> {
        if now >= self.sample_at || now + 2 * SERIES_STEP_MS_MIN < self.sample_at {
            self.history.sample(now, self.core.engine());
            self.sample_at = self.history.due_at();
        }
        self.snapshots.look();
        let mut batch = self.commit.begin();
        if batch.is_fresh() {
            self.copy_slice(batch.number - 1);
        }
        self.turn(now, taken, &mut batch)?;
        self.commit.end(batch);
        Ok(())
    }

    /// The last round, after which the journal thread ends too.
    ///
    /// # Errors
    /// Any is fatal.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let mut batch = self.commit.begin();
        let mut turn = Turn::new(batch.number);
        self.history.end(self.core.engine());
        self.core.stop(&mut turn)?;
        self.hand_over(turn, &mut batch);
        self.commit.end(batch);
        self.commit.close();
        self.meters.close();
        Ok(())
    }

    /// What it drives, to look at.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The broker was away, or the wall clock was set, by so much.
    pub fn shift(&mut self, by_ms: i64) {
        self.core.shift(by_ms);
    }

    /// When the next turn is due at the latest.
    fn deadline(&self) -> Instant {
        if let Some(clock) = &self.test_clock {
            let most = if self.core.is_copying() { COPYING } else { LOOK_UP };
            return Instant::now() + clock.wait(&self.core, most);
        }
        let wait = match self.core.next_deadline() {
            _ if self.core.is_copying() => COPYING,
            Some(at) => Duration::from_millis(at.saturating_sub(clock::wall_ms())).min(LOOK_UP),
            None => LOOK_UP,
        };
        Instant::now() + wait
    }

    /// Reads the clock, and moves everybody's deadlines by the time in which nobody listened or by
    /// which the wall clock was set.
    fn look_up(&mut self, taken: &Taken) -> u64 {
        if let Some(clock) = &mut self.test_clock {
            if taken.commands.is_empty() {
                clock.step(&self.core);
            }
            return clock.now_ms();
        }
        let reading = clock::read();
        let away = reading.steady.saturating_duration_since(self.last.steady);
        let away_ms = i64::try_from(away.as_millis()).unwrap_or(i64::MAX);
        if away > LOOK_UP + Duration::from_millis(STALL_MS) {
            tracing::warn!(ms = away_ms, "the broker was away; nobody's silence counts for that time");
            self.shift(away_ms);
        }
        let jump_ms = reading.wall_ms.cast_signed() - self.last.wall_ms.cast_signed() - away_ms;
        if jump_ms.unsigned_abs() > STALL_MS {
            tracing::warn!(ms = jump_ms, "the wall clock was set; leases and sessions keep their time");
            self.shift(jump_ms);
        }
        self.last = reading;
        reading.wall_ms
    }

    fn turn(&mut self, now: u64, taken: &mut Taken, batch: &mut Batch) -> Result<(), StoreError> {
        let mut turn = Turn::new(batch.number);
        self.outboxes.extend(taken.opened.drain(..));
        for notice in taken.notices.drain(..) {
            match notice {
                Notice::Folded => {
                    if let Some(replay_from) = self.core.folded(&mut turn) {
                        self.commit.recycle(replay_from);
                    }
                }
                Notice::Disk(pressure) => {
                    if pressure.no_enqueue {
                        self.snapshots.give_up();
                    }
                    self.core.set_disk(pressure);
                }
                Notice::Measure => self.measure(now),
                Notice::Drain => {
                    self.is_draining = true;
                    self.core.drain(&mut turn);
                }
            }
        }
        for verb in taken.commands.iter().filter_map(|(_, command)| command.verb()) {
            self.traffic.frames[verb] += 1;
        }
        let closed: Vec<ConnId> = taken
            .commands
            .iter()
            .filter(|(_, command)| matches!(command, windlass_engine::Command::Hangup))
            .map(|(request, _)| request.conn)
            .collect();
        if let Some(clock) = &mut self.test_clock {
            clock.take(&mut taken.commands);
            clock.forget(&closed);
        }
        self.core.turn(now, &taken.signs, taken.commands.drain(..), &mut turn)?;
        self.sinks.look(&self.core);
        taken.signs.clear();
        self.door.set_deaf(self.core.is_overfull());
        for conn in closed {
            self.outboxes.remove(&conn);
        }
        if let Some(clock) = &mut self.test_clock {
            clock.answer(&self.core, &mut turn);
        }
        self.hand_over(turn, batch);
        Ok(())
    }

    /// A turn's facts join the batch; its frames go with it, by connection.
    fn hand_over(&mut self, mut turn: Turn, batch: &mut Batch) {
        batch.absorb(&mut turn.facts);
        turn.frames.sort_by_key(|frame| frame.to.conn);
        let mut frames = turn.frames.into_iter().peekable();
        while let Some(first) = frames.next() {
            let conn = first.to.conn;
            let mut of_conn = vec![first];
            while let Some(next) = frames.next_if(|frame| frame.to.conn == conn) {
                of_conn.push(next);
            }
            self.address(conn, of_conn, batch);
        }
    }

    /// Tells whoever waits for it what is measured.
    fn measure(&mut self, now: u64) {
        let (engine, known, commit) = (self.core.engine(), &self.known, &self.commit);
        let (facts, folds, unfolded_bytes) = self.core.counted();
        let (traffic, door) = (self.traffic, &self.door);
        self.meters.answer(|| {
            let mut measures = Measures::of(engine, now, traffic, commit.meters());
            measures.turned_away = door.turned_away();
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let disk = &mut measures.server.disk;
            (disk.facts, disk.folds, disk.unfolded_bytes) = (facts, folds, unfolded_bytes);
            core::complete(disk, &known, commit.stats());
            measures
        });
    }

    fn address(&mut self, conn: ConnId, mut frames: Vec<Frame>, batch: &mut Batch) {
        let Some(outbox) = self.outboxes.get(&conn) else { return };
        for frame in &mut frames {
            if let Body::Rows(rows) = &mut frame.body
                && let Err(refusal) = self.snapshots.fill(rows)
            {
                frame.body = Body::Error(refusal);
            }
            if let Body::Error(refusal) = &frame.body {
                self.traffic.refusals[refusal.code as usize] += 1;
            }
            let Body::Rows(rows) = &mut frame.body else { continue };
            if let Some(server) = &mut rows.server {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                core::complete(&mut server.disk, &known, self.commit.stats());
            }
            if !rows.series.is_empty() {
                self.history.fill(&mut rows.series);
            }
            if !rows.scales.is_empty() {
                self.history.scale(&mut rows.scales);
            }
        }
        if outbox.reserve(frames.iter().map(weight).sum()) {
            self.core.choke(conn);
        }
        batch.outgoing.push((outbox.clone(), frames));
    }

    /// Hands the fold thread a copy of what changed, if a fold is under way or due. It never waits
    /// for that thread.
    fn copy_slice(&mut self, complete: u64) {
        if self.unsent.is_none() {
            let segments = self.commit.segments();
            let journal_is_long = segments.is_some_and(|segments| segments >= SEGMENTS_BEFORE_FOLD);
            self.unsent = self.core.slice(complete, journal_is_long);
        }
        if let Some(slice) = self.unsent.take()
            && let Err(TrySendError::Full(slice)) = self.slices.try_send(slice)
        {
            self.unsent = Some(slice);
        }
    }
}
