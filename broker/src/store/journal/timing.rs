//! How long the latest syncs took. It is separate because it is bookkeeping beside the promise.

use std::time::Duration;

/// How many syncs are remembered.
const REMEMBERED: usize = 512;

/// A ring of the latest sync times, in microseconds.
#[derive(Default)]
pub(super) struct SyncTimes {
    ring: Vec<u32>,
    next: usize,
}

/// Quantiles of the latest syncs, in microseconds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Quantiles {
    pub(super) p50: u32,
    pub(super) p99: u32,
    pub(super) max: u32,
}

impl SyncTimes {
    pub(super) fn note(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.ring.len() < REMEMBERED {
            self.ring.push(micros);
        } else {
            self.ring[self.next] = micros;
        }
        self.next = (self.next + 1) % REMEMBERED;
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let mut sorted = self.ring.clone();
        sorted.sort_unstable();
        let Some(&max) = sorted.last() else {
            return Quantiles::default();
        };
        let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
        Quantiles { p50: at(50), p99: at(99), max }
    }
}
