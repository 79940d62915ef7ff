//! The history: courses over time of queues, sampled by the driver and kept in small files of their own.
//!
//! It stands outside the ledger because no promise rests on it: the last minute of it may be lost. What
//! happened in that minute is in the totals of the ledger, and is counted into the first step after it.

mod course;
mod file;

use crate::limits::{SERIES_IDLE_MS, SERIES_NAMESPACES_MAX, SERIES_QUEUES_MAX};
use course::{Course, Point, SPANS};
use file::{Draft, Piece};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use windlass_engine::fact::Totals;
use windlass_engine::ids::NameId;
use windlass_engine::ledger::job::State;
use windlass_engine::ledger::names::Name;
use windlass_engine::measure::{Histogram, Metric};
use windlass_engine::view::{ScaleView, SeriesView};
use windlass_engine::{Engine, Measured};

/// The files, and how often each is written.
const FILES: [(&str, Duration); SPANS.len()] = [
    ("10s", Duration::from_secs(60)),
    ("1m", Duration::from_secs(30 * 60)),
    ("15m", Duration::from_secs(12 * 3_600)),
];
/// Of how many of the finest steps the speed of a queue is taken: a minute.
const RECENT: usize = 6;
/// What a job is taken to need while nothing is known.
const RUN_MS_UNKNOWN: u64 = 1_000;

/// The courses, shared by the driver, who samples and reads, and the thread that saves them.
#[derive(Clone, Default)]
pub struct History {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    kept: BTreeMap<Of, Kept>,
    /// What was in the files, until the numbers of the names in them are known.
    loaded: Vec<Kept>,
    /// Totals, added up, of queues that are not kept.
    others: BTreeMap<NameId, u64>,
    /// The step that goes on.
    step: u64,
}

/// Of what a course is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    /// All queues of a namespace together.
    Namespace(NameId),
    Queue(NameId),
}

#[derive(Default)]
struct Kept {
    namespace: String,
    /// "" = all of the namespace.
    queue: String,
    /// Up to where it was measured.
    seen: Totals,
    waits: Histogram,
    /// The last step in which something happened.
    active: u64,
    course: Course,
}

/// What is measured at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    totals: Totals,
    ready: u64,
    leased: u64,
    waits: Histogram,
}

impl History {
    /// What the files of a folder hold. Damaged ones are left out: their courses begin anew.
    #[must_use]
    pub fn load(folder: &Path) -> Self {
        let history = Self::default();
        for (ring, (name, _)) in FILES.iter().enumerate() {
            let path = folder.join(name);
            match file::read(&path, ring, SPANS[ring].1) {
                Ok(pieces) => pieces.into_iter().for_each(|piece| history.lock().load(ring, piece)),
                Err(error) => tracing::warn!(path = %path.display(), %error, "the history begins anew"),
            }
        }
        history
    }

    /// Begins to measure a recovered engine.
    pub fn begin(&self, now: u64, engine: &Engine) {
        let mut shared = self.lock();
        shared.step = now / SPANS[0].0;
        shared.adopt(engine);
        // What happened before it was ever measured is no part of a course.
        let mut sums: BTreeMap<NameId, Sample> = BTreeMap::new();
        for measured in engine.measured() {
            sums.entry(measured.namespace).or_default().add(&measured);
            shared.admit(&measured, engine, measured.totals);
        }
        for (namespace, sum) in sums {
            shared.admit_namespace(namespace, engine, sum.totals);
        }
    }

    /// When the step that goes on is over.
    #[must_use]
    pub fn due_at(&self) -> u64 {
        (self.lock().step + 1) * SPANS[0].0
    }

    /// Ends the step that went on, and those that were passed over since. Call it before the first turn of a
    /// new step, or of one before.
    pub fn sample(&self, now: u64, engine: &Engine) {
        let mut shared = self.lock();
        let (step, next) = (shared.step, now / SPANS[0].0);
        shared.measure(step, engine);
        if next > step + 1 {
            // All of it was before this turn, so nothing has happened since.
            shared.measure(next - 1, engine);
        }
        shared.step = next;
    }

    /// Before the end: what came into being since the last step has a course, and is counted after the
    /// restart.
    pub fn end(&self, engine: &Engine) {
        let mut shared = self.lock();
        for measured in engine.measured() {
            shared.admit(&measured, engine, Totals::default());
            shared.admit_namespace(measured.namespace, engine, Totals::default());
        }
    }

    /// Fills rows with what is kept.
    pub fn fill(&self, rows: &mut [SeriesView]) {
        let shared = self.lock();
        for row in rows {
            let of = row.queue.as_ref().map_or(Of::Namespace(row.namespace), |(id, _)| Of::Queue(*id));
            let Some(kept) = shared.kept.get(&of) else { continue };
            let values = kept.course.values(row.metric, row.window_ms, row.step_ms);
            (row.start_at, row.step_ms, row.values) = (values.start_at, values.step_ms, values.values);
        }
    }

    /// Completes rows with the speed of late.
    pub fn scale(&self, rows: &mut [ScaleView]) {
        let shared = self.lock();
        for row in rows {
            let course = shared.kept.get(&Of::Queue(row.id)).map(|kept| &kept.course);
            course.map_or_else(Speed::default, Speed::of).apply(row);
        }
    }

    fn save(&self, folder: &Path, ring: usize) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut draft = Draft::new(ring);
        let all: Vec<Of> = self.lock().kept.keys().copied().collect();
        for of in all {
            // The driver waits for the lock, so it is held for one course at a time.
            if let Some(kept) = self.lock().kept.get(&of) {
                draft.add((&kept.namespace, &kept.queue), &kept.seen, &kept.course.rings[ring]);
            }
        }
        draft.write(&folder.join(FILES[ring].0))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn load(&mut self, ring: usize, piece: Piece) {
        let Piece { namespace, queue, seen, ring: points } = piece;
        let is_it = |kept: &&mut Kept| kept.namespace == namespace && kept.queue == queue;
        if let Some(kept) = self.loaded.iter_mut().find(is_it) {
            kept.course.rings[ring] = points;
        } else if ring == 0 {
            let mut kept = Kept { namespace, queue, seen, active: points.next, ..Kept::default() };
            kept.course.rings[ring] = points;
            self.loaded.push(kept);
        }
    }

    /// Finds the numbers of the names in the files.
    fn adopt(&mut self, engine: &Engine) {
        let names = &engine.ledger().names;
        for mut kept in std::mem::take(&mut self.loaded) {
            let Some(namespace) = names.find(&Name::Namespace(kept.namespace.clone())) else { continue };
            let queue = names.find(&Name::Queue(namespace, kept.queue.clone()));
            let of = match (kept.queue.is_empty(), queue) {
                (true, _) => Of::Namespace(namespace),
                (false, Some(queue)) => Of::Queue(queue),
                (false, None) => continue,
            };
            kept.course.consolidate();
            self.kept.insert(of, kept);
        }
    }

    /// Begins a course of a queue, if there is room for one more or another one has been idle for long.
    fn admit(&mut self, measured: &Measured<'_>, engine: &Engine, seen: Totals) {
        let (of, step) = (Of::Queue(measured.queue), self.step);
        if self.kept.contains_key(&of) {
            return;
        }
        let mut seen = seen;
        if self.number(true) >= SERIES_QUEUES_MAX {
            let total = happened(&measured.totals);
            let before = self.others.insert(measured.queue, total);
            if before.is_none_or(|before| before == total) {
                return;
            }
            let idle = step.saturating_sub(SERIES_IDLE_MS / SPANS[0].0);
            let is_idle = |(of, kept): &(&Of, &Kept)| matches!(of, Of::Queue(_)) && kept.active < idle;
            let Some(other) = self.kept.iter().find(is_idle).map(|(of, _)| *of) else { return };
            self.kept.remove(&other);
            self.others.remove(&measured.queue);
            seen = measured.totals;
        }
        let namespace = engine.ledger().names.text(measured.namespace).to_owned();
        let queue = measured.name.to_owned();
        self.kept.insert(of, Kept { namespace, queue, seen, active: step, ..Kept::default() });
    }

    fn admit_namespace(&mut self, namespace: NameId, engine: &Engine, seen: Totals) {
        let of = Of::Namespace(namespace);
        if !self.kept.contains_key(&of) && self.number(false) < SERIES_NAMESPACES_MAX {
            let namespace = engine.ledger().names.text(namespace).to_owned();
            self.kept.insert(of, Kept { namespace, seen, ..Kept::default() });
        }
    }

    fn number(&self, of_queues: bool) -> usize {
        self.kept.keys().filter(|of| matches!(of, Of::Queue(_)) == of_queues).count()
    }

    /// Ends a step of every course.
    fn measure(&mut self, step: u64, engine: &Engine) {
        let mut sums: BTreeMap<NameId, Sample> = BTreeMap::new();
        for measured in engine.measured() {
            self.admit(&measured, engine, Totals::default());
            sums.entry(measured.namespace).or_default().add(&measured);
            if let Some(kept) = self.kept.get_mut(&Of::Queue(measured.queue)) {
                let mut sample = Sample::default();
                sample.add(&measured);
                kept.measure(step, &sample);
            }
        }
        for (namespace, sum) in sums {
            self.admit_namespace(namespace, engine, Totals::default());
            if let Some(kept) = self.kept.get_mut(&Of::Namespace(namespace)) {
                kept.measure(step, &sum);
            }
        }
    }
}

impl Sample {
    fn add(&mut self, measured: &Measured<'_>) {
        let Totals { enqueued, completed, dead, cancelled, expired, failed_attempts, crashes } =
            measured.totals;
        self.totals.enqueued += enqueued;
        self.totals.completed += completed;
        self.totals.dead += dead;
        self.totals.cancelled += cancelled;
        self.totals.expired += expired;
        self.totals.failed_attempts += failed_attempts;
        self.totals.crashes += crashes;
        self.ready += measured.counts[State::Ready.index()];
        self.leased += measured.counts[State::Leased.index()];
        self.waits.add(measured.waits);
    }
}

impl Kept {
    fn measure(&mut self, step: u64, sample: &Sample) {
        let Sample { totals, ready, leased, waits } = *sample;
        let (before, new) = (self.seen, waits.since(&self.waits));
        let value = |metric: Metric| match metric {
            Metric::Enqueued => totals.enqueued.saturating_sub(before.enqueued),
            Metric::Completed => totals.completed.saturating_sub(before.completed),
            Metric::Failed => totals.failed_attempts.saturating_sub(before.failed_attempts),
            Metric::Crashed => totals.crashes.saturating_sub(before.crashes),
            Metric::Dead => totals.dead.saturating_sub(before.dead),
            Metric::Ready => ready,
            Metric::Leased => leased,
            Metric::WaitP50 => new.quantile(500),
            Metric::WaitP99 => new.quantile(990),
        };
        let point: Point = Metric::ALL.map(|metric| u32::try_from(value(metric)).unwrap_or(u32::MAX));
        self.course.push(step, point);
        if totals != before || leased > 0 {
            self.active = step;
        }
        (self.seen, self.waits) = (totals, waits);
    }
}

/// All that ever happened, as one number.
fn happened(totals: &Totals) -> u64 {
    totals.enqueued + totals.completed + totals.failed_attempts + totals.crashes + totals.dead
}

/// Writes the files of a history in time.
pub struct Keeper {
    history: History,
    folder: PathBuf,
    /// When each was written last.
    written: [Instant; FILES.len()],
}

impl Keeper {
    /// A keeper of these files.
    #[must_use]
    pub fn new(history: History, folder: PathBuf) -> Self {
        Self { history, folder, written: [Instant::now(); FILES.len()] }
    }

    /// Writes the files whose time has come.
    pub fn keep(&mut self) {
        for (ring, (_, every)) in FILES.iter().enumerate() {
            if self.written[ring].elapsed() >= *every {
                self.write(ring);
            }
        }
    }

    /// Writes all files, before the end.
    pub fn close(mut self) {
        (0..FILES.len()).for_each(|ring| self.write(ring));
    }

    fn write(&mut self, ring: usize) {
        if let Err(error) = self.history.save(&self.folder, ring) {
            let path = self.folder.join(FILES[ring].0);
            tracing::warn!(path = %path.display(), %error, "history was not saved");
        }
        self.written[ring] = Instant::now();
    }
}

/// How fast a queue is worked off.
#[derive(Clone, Copy, Debug, Default)]
struct Speed {
    /// Steps looked at.
    steps: u64,
    /// Attempts that ended in them.
    ended: u64,
    /// Jobs that were leased at their ends, added up.
    leased: u64,
}

impl Speed {
    /// Of the last minute, or of the last hour if nothing ended in that.
    fn of(course: &Course) -> Self {
        let recent = Self::over(course.last(RECENT));
        if recent.ended > 0 { recent } else { Self::over(course.last(SPANS[0].1)) }
    }

    fn over<'a>(points: impl Iterator<Item = &'a Point>) -> Self {
        let mut speed = Self::default();
        for point in points {
            let value = |metric: Metric| u64::from(point[metric as usize]);
            speed.steps += 1;
            speed.ended += value(Metric::Completed) + value(Metric::Failed) + value(Metric::Crashed);
            speed.leased += value(Metric::Leased);
        }
        speed
    }

    fn apply(self, row: &mut ScaleView) {
        let span_ms = self.steps * SPANS[0].0;
        let mean_run_ms = match self.ended {
            0 => RUN_MS_UNKNOWN,
            // As many as run at a time, on the average, for as long as it took (Little's law).
            ended => self.leased * SPANS[0].0 / ended,
        };
        row.backlog_ms = match self.ended {
            0 => row.ready.saturating_mul(mean_run_ms) / row.slots.max(1),
            ended => row.ready.saturating_mul(span_ms) / ended,
        };
        let busy = self.leased.div_ceil(self.steps.max(1));
        let extra = row.ready.saturating_mul(mean_run_ms).div_ceil(row.window_ms.max(1));
        let of_worker = (row.slots / row.streams.max(1)).max(1);
        let is_needed = row.ready + row.leased > 0;
        row.desired_workers = (busy + extra).div_ceil(of_worker).max(is_needed.into());
    }
}

#[cfg(test)]
mod tests;
