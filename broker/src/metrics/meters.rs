//! Meters: what a scrape reads. The driver fills them in a turn of its own, so that all figures are of one
//! moment, and keeps no figure twice.

use crate::door::{Door, Notice};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use windlass_engine::command::Code;
use windlass_engine::fact::Totals;
use windlass_engine::ids::{Ms, NameId};
use windlass_engine::ledger::job::State;
use windlass_engine::measure::Histogram;
use windlass_engine::view::ServerView;
use windlass_engine::{Command, Engine, Measured};

/// What passes the driver, counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Requests by verb, in the order of [`Command::VERBS`].
    pub frames: [u64; Command::VERBS.len()],
    /// Requests that the engine refused, by code, in the order of [`Code::ALL`].
    pub refusals: [u64; Code::COUNT],
    /// Time in which the driver's loop did something, in microseconds.
    pub busy_us: u64,
}

/// What passes the journal, counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commits {
    /// Time of a commit, write and sync, in microseconds.
    pub took_us: Histogram,
    /// Facts of a commit.
    pub facts: Histogram,
}

/// All that a scrape shows.
#[derive(Clone, Debug)]
pub struct Measures {
    /// Queues of all namespaces, in the order in which they came into being.
    pub queues: Vec<QueueMeasures>,
    /// The broker itself.
    pub server: ServerView,
    /// Through the driver.
    pub traffic: Traffic,
    /// Requests that were refused before they came to it, by code.
    pub turned_away: BTreeMap<&'static str, u64>,
    /// Through the journal.
    pub commits: Commits,
}

/// One queue.
#[derive(Clone, Debug)]
pub struct QueueMeasures {
    /// Its number.
    pub id: NameId,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Jobs by state, in the order of [`State::ALL`].
    pub counts: [u64; State::COUNT],
    /// What ever happened.
    pub totals: Totals,
    /// How long jobs waited, in milliseconds.
    pub waits: Histogram,
    /// How long they ran, in milliseconds.
    pub runs: Histogram,
    /// Streams that draw from it.
    pub streams: u64,
    /// Their slots.
    pub slots: u64,
    /// Age of its oldest ready job.
    pub oldest_ready_ms: Ms,
    /// It is paused.
    pub is_paused: bool,
}

/// Where scrapes wait for the driver.
#[derive(Clone, Default)]
pub struct Meters {
    door: Door,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    scrapes: Vec<oneshot::Sender<Measures>>,
    is_over: bool,
}

impl Meters {
    /// Meters read through this door.
    #[must_use]
    pub fn new(door: Door) -> Self {
        Self { door, waiting: Arc::default() }
    }

    /// What is measured now; None = the broker has stopped.
    pub async fn read(&self) -> Option<Measures> {
        let (told, measures) = oneshot::channel();
        self.wait(told)?;
        self.door.notify(Notice::Measure);
        measures.await.ok()
    }

    fn wait(&self, told: oneshot::Sender<Measures>) -> Option<()> {
        let mut waiting = self.waiting();
        (!waiting.is_over).then(|| waiting.scrapes.push(told))
    }

    /// The driver's part: measures once for all who wait.
    pub fn answer(&self, measure: impl FnOnce() -> Measures) {
        let mut scrapes = std::mem::take(&mut self.waiting().scrapes);
        let Some(last) = scrapes.pop() else { return };
        let measures = measure();
        for told in scrapes {
            let _nobody_waits = told.send(measures.clone());
        }
        let _nobody_waits = last.send(measures);
    }

    /// Nobody measures any more: who waits is told so.
    pub fn close(&self) {
        *self.waiting() = Waiting { scrapes: Vec::new(), is_over: true };
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measures {
    /// What the engine tells; the rest is the driver's to fill in.
    #[must_use]
    pub fn of(engine: &Engine, now: Ms, traffic: Traffic, commits: Commits) -> Self {
        let queue = |measured: Measured<'_>| QueueMeasures {
            id: measured.queue,
            namespace: engine.ledger().names.text(measured.namespace).to_owned(),
            name: measured.name.to_owned(),
            counts: measured.counts,
            totals: measured.totals,
            waits: *measured.waits,
            runs: *measured.runs,
            streams: measured.streams,
            slots: measured.slots,
            oldest_ready_ms: engine.oldest_ready_ms(measured.queue, now),
            is_paused: engine.is_paused(measured.queue),
        };
        let (queues, server) = (engine.measured().map(queue).collect(), engine.server(now));
        Self { queues, server, traffic, turned_away: BTreeMap::new(), commits }
    }
}

impl QueueMeasures {
    /// Adds another queue's figures to these.
    pub(super) fn add(&mut self, other: &Self) {
        let Totals { enqueued, completed, dead, cancelled, expired, failed_attempts, crashes } = other.totals;
        let totals = &mut self.totals;
        totals.enqueued += enqueued;
        totals.completed += completed;
        totals.dead += dead;
        totals.cancelled += cancelled;
        totals.expired += expired;
        totals.failed_attempts += failed_attempts;
        totals.crashes += crashes;
        for (mine, other) in self.counts.iter_mut().zip(other.counts) {
            *mine += other;
        }
        self.waits.add(&other.waits);
        self.runs.add(&other.runs);
        self.streams += other.streams;
        self.slots += other.slots;
        self.oldest_ready_ms = self.oldest_ready_ms.max(other.oldest_ready_ms);
        self.is_paused = false;
    }
}
