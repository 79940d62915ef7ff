//! How many requests may be unanswered at once: a bound on memory here and on the broker's patience.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::WINDOW_RESERVE;

/// The window of unanswered requests.
#[derive(Debug)]
pub(super) struct Window {
    free: Semaphore,
    size: AtomicUsize,
}

impl Window {
    pub(super) fn new(size: u32) -> Self {
        let size = size as usize;
        Self { free: Semaphore::new(size), size: AtomicUsize::new(size) }
    }

    /// Waits for room; what is taken has to be given back by [`Window::give_back`]. Returns how much that
    /// is: never more than there is at all.
    pub(super) async fn take(&self, units: u32, within: Duration) -> Result<u32> {
        let size = self.size.load(Ordering::Relaxed);
        let units = units.min(u32::try_from(size).unwrap_or(u32::MAX));
        let permit = match self.free.try_acquire_many(units) {
            Ok(permit) => permit,
            Err(_) => tokio::time::timeout(within, self.free.acquire_many(units))
                .await
                .map_err(|_| Error::new(ErrorKind::Timeout, "too many requests are unanswered"))?
                .map_err(|_| Error::closed())?,
        };
        permit.forget();
        Ok(units)
    }

    pub(super) fn give_back(&self, units: usize) {
        if units > 0 {
            self.free.add_permits(units);
        }
    }

    /// Fits the window into what the broker allows, leaving room for outcomes and beats, which do not wait
    /// for it.
    pub(super) fn fit(&self, wanted: u32, max_outstanding: u32) {
        let allowed = match max_outstanding as usize {
            0 => usize::MAX,
            max => max.saturating_sub(WINDOW_RESERVE).max(max / 2).max(1),
        };
        let size = (wanted as usize).min(allowed);
        let before = self.size.load(Ordering::Relaxed);
        if size > before {
            self.free.add_permits(size - before);
            self.size.store(size, Ordering::Relaxed);
        } else {
            // What is in use now cannot be taken away; the broker just reads a little later.
            let taken_away = self.free.forget_permits(before - size);
            self.size.store(before - taken_away, Ordering::Relaxed);
        }
    }

    /// Whoever waits for room learns that there will be none.
    pub(super) fn close(&self) {
        self.free.close();
    }
}
