//! The life of a running worker: deliveries in, handlers beside each other, outcomes out, and the end.

use std::future::Future;

use super::{Worker, WorkerStats};
use crate::error::Result;

/// A worker that runs in a task of its own. Dropping it ends the worker at once, as a crash would.
#[derive(Debug)]
pub struct WorkerHandle {
    stats: WorkerStats,
}

impl WorkerHandle {
    /// The worker's counters.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        self.stats.clone()
    }

    /// Stops the worker gracefully, see [`Worker::run_until`], and waits for its end.
    ///
    /// # Errors
    /// Those of [`Worker::run_until`], if the worker ended by itself.
    pub async fn stop(self) -> Result<()> {
        todo!()
    }

    /// Waits until the worker ends by itself, which it does only with an error or when an operator asks it
    /// to.
    ///
    /// # Errors
    /// Those of [`Worker::run_until`].
    pub async fn wait(&mut self) -> Result<()> {
        todo!()
    }
}

pub(super) async fn until(worker: Worker, shutdown: impl Future<Output = ()>) -> Result<()> {
    todo!()
}

pub(super) fn start(worker: Worker) -> WorkerHandle {
    todo!()
}
