//! What a worker has done so far, in numbers that anybody may read while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a worker. Cheap to clone; all clones read the same counters.
#[derive(Debug, Clone, Default)]
pub struct WorkerStats {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    done: AtomicU64,
    failed: AtomicU64,
    released: AtomicU64,
    cancelled: AtomicU64,
    lost: AtomicU64,
    running: AtomicU64,
}

/// What an outcome counts as once the broker has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tally {
    Done,
    Failed,
    Released,
    Cancelled,
    Lost,
}

impl WorkerStats {
    /// Jobs that completed, as the broker has acknowledged.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.counters.done.load(Ordering::Relaxed)
    }

    /// Attempts that failed, panics included, as the broker has acknowledged.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.counters.failed.load(Ordering::Relaxed)
    }

    /// Runs that gave their job back, snoozes included.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.counters.released.load(Ordering::Relaxed)
    }

    /// Runs that stopped because they were asked to.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.counters.cancelled.load(Ordering::Relaxed)
    }

    /// Runs whose outcome was not taken, because the lease had ended.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.counters.lost.load(Ordering::Relaxed)
    }

    /// Handlers that run now.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.counters.running.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, tally: Tally) {
        let counter = match tally {
            Tally::Done => &self.counters.done,
            Tally::Failed => &self.counters.failed,
            Tally::Released => &self.counters.released,
            Tally::Cancelled => &self.counters.cancelled,
            Tally::Lost => &self.counters.lost,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a handler as running until the guard is dropped, however it ends.
    pub(crate) fn run(&self) -> Running {
        self.counters.running.fetch_add(1, Ordering::Relaxed);
        Running { stats: self.clone() }
    }
}

/// A handler that runs.
#[derive(Debug)]
pub(crate) struct Running {
    stats: WorkerStats,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stats.counters.running.fetch_sub(1, Ordering::Relaxed);
    }
}
