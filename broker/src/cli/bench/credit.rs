//! Jobs that producers may still send: without end, a number, or as many as others have finished.
//!
//! All of a benchmark runs on one thread, so cells do, and nothing can change between a look and a wait.

use std::cell::Cell;
use tokio::sync::Notify;

/// Shared by the producers and by whoever gives them more.
#[derive(Debug)]
pub(super) struct Credit {
    jobs: Cell<u64>,
    /// More may come; else whatever is left goes out in a last, smaller request.
    is_renewed: bool,
    /// Producers are woken when this much has come together, so that they send in bulk.
    quantum: u64,
    more: Notify,
}

impl Credit {
    /// No bound at all.
    pub(super) fn endless() -> Self {
        Self { jobs: Cell::new(u64::MAX), is_renewed: true, quantum: 1, more: Notify::new() }
    }

    /// These and no more.
    pub(super) fn once(jobs: u64) -> Self {
        Self { jobs: Cell::new(jobs), is_renewed: false, quantum: 1, more: Notify::new() }
    }

    /// At most so many alive at a time.
    pub(super) fn alive(jobs: u64) -> Self {
        Self { jobs: Cell::new(jobs), is_renewed: true, quantum: (jobs / 4).max(1), more: Notify::new() }
    }

    /// Takes a request's worth of jobs; 0: none for now.
    pub(super) fn take(&self, wanted: u64) -> u64 {
        let left = self.jobs.get();
        if left < wanted && self.is_renewed {
            return 0;
        }
        let taken = left.min(wanted);
        if left != u64::MAX {
            self.jobs.set(left - taken);
        }
        taken
    }

    /// Gives back what was refused, or what has ended.
    pub(super) fn give(&self, jobs: u64) {
        let left = self.jobs.get();
        self.jobs.set(left.saturating_add(jobs));
        if left < self.quantum && self.jobs.get() >= self.quantum {
            self.more.notify_waiters();
        }
    }

    /// Nothing is left and nothing will come.
    pub(super) fn is_over(&self) -> bool {
        !self.is_renewed && self.jobs.get() == 0
    }

    /// Waits until there is more.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_request_is_smaller_only_if_nothing_more_will_come() {
        let once = Credit::once(5);
        assert_eq!((once.take(3), once.take(3), once.take(3)), (3, 2, 0));
        assert!(once.is_over());
        let alive = Credit::alive(5);
        assert_eq!((alive.take(3), alive.take(3)), (3, 0));
        assert!(!alive.is_over());
        alive.give(3);
        assert_eq!(alive.take(5), 5);
    }

    #[test]
    fn endless_credit_does_not_shrink() {
        let endless = Credit::endless();
        assert_eq!(endless.take(10_000), 10_000);
        endless.give(7);
        assert_eq!(endless.take(u64::MAX), u64::MAX);
    }
}
