//! What has been done so far, counted by all connections.

use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// The longest latency that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// One for all producers and workers of a benchmark.
#[derive(Debug)]
pub(super) struct Tally {
    begun: Instant,
    done: Cell<u64>,
    refused: Cell<u64>,
    latency: RefCell<Histogram<u64>>,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Percentiles {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_max(LONGEST, DIGITS);
        let latency = latency.unwrap_or_else(|_| unreachable!("the bounds are in order"));
        Self {
            begun: Instant::now(),
            done: Cell::new(0),
            refused: Cell::new(0),
            latency: RefCell::new(latency),
        }
    }

    /// Nanoseconds since the benchmark began: the clock of all stamps.
    pub(super) fn now(&self) -> u64 {
        nanos(self.begun.elapsed())
    }

    /// Jobs are done, in the sense of the benchmark.
    pub(super) fn add_done(&self, jobs: u64) {
        self.done.set(self.done.get() + jobs);
    }

    /// Jobs done since the beginning, warm-up and all.
    pub(super) fn done(&self) -> u64 {
        self.done.get()
    }

    /// A request was refused because the broker was full; it will be sent again.
    pub(super) fn add_refused(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    /// Requests refused since the beginning.
    pub(super) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// A time from one stamp to another.
    pub(super) fn record(&self, from: u64, to: u64, times: u64) {
        let micros = to.saturating_sub(from) / 1_000;
        self.latency.borrow_mut().saturating_record_n(micros, times);
    }

    /// Forgets the latencies of the warm-up.
    pub(super) fn forget_latencies(&self) {
        self.latency.borrow_mut().reset();
    }

    /// The latencies since then.
    pub(super) fn percentiles(&self) -> Percentiles {
        let latency = self.latency.borrow();
        Percentiles {
            p50: latency.value_at_quantile(0.5),
            p99: latency.value_at_quantile(0.99),
            p999: latency.value_at_quantile(0.999),
            max: latency.max(),
        }
    }
}

/// A length of time in nanoseconds; 584 years fit.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
