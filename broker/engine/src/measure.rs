//! What is measured: how long jobs wait and run, and the courses over time that are kept of a queue.

use crate::ids::Ms;

/// How many classes a [`Histogram`] has.
pub const CLASSES: usize = 24;

/// Times, counted in classes: the first is of 0 ms, class n of 2^(n-1) ms up to less than 2^n ms, the last
/// one of all that is longer (70 minutes and more).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many there were of each class.
    pub counts: [u64; CLASSES],
    /// Their sum.
    pub sum_ms: u64,
}

impl Histogram {
    /// Nothing was counted.
    pub const NONE: Self = Self { counts: [0; CLASSES], sum_ms: 0 };

    /// Counts a time.
    #[inline]
    pub fn observe(&mut self, ms: Ms) {
        let class = (u64::BITS - ms.leading_zeros()) as usize;
        self.counts[class.min(CLASSES - 1)] += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, other) in self.counts.iter_mut().zip(&other.counts) {
            *mine += other;
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    /// What was counted since the other one was as this one is.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut new = *self;
        for (mine, before) in new.counts.iter_mut().zip(&before.counts) {
            *mine = mine.saturating_sub(*before);
        }
        new.sum_ms = self.sum_ms.saturating_sub(before.sum_ms);
        new
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A time that so many thousandths do not exceed, to the class; 0 = nothing was counted.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> Ms {
        let rank = self.count().saturating_mul(permille).div_ceil(1_000);
        let mut seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            seen += count;
            if rank > 0 && seen >= rank {
                return (1 << class) - 1;
            }
        }
        0
    }
}

/// A course over time that is kept of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Jobs enqueued in a step.
    Enqueued,
    /// Jobs completed in a step.
    Completed,
    /// Attempts that failed in a step.
    Failed,
    /// Leases lost with their worker in a step.
    Crashed,
    /// Jobs that died in a step.
    Dead,
    /// Jobs that were ready.
    Ready,
    /// Jobs that were leased.
    Leased,
    /// How long half of the jobs that started in a step had waited at most, in milliseconds.
    WaitP50,
    /// The same of 99 in 100.
    WaitP99,
}

impl Metric {
    /// How many there are.
    pub const COUNT: usize = 9;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Enqueued,
        Self::Completed,
        Self::Failed,
        Self::Crashed,
        Self::Dead,
        Self::Ready,
        Self::Leased,
        Self::WaitP50,
        Self::WaitP99,
    ];

    /// The word on every floor.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Dead => "dead",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::WaitP50 => "wait_p50_ms",
            Self::WaitP99 => "wait_p99_ms",
        }
    }

    /// The metric of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_class_that_its_length_says() {
        for (ms, class) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1_023, 10), (1_024, 11)] {
            let mut histogram = Histogram::default();
            histogram.observe(ms);
            assert_eq!(histogram.counts[class], 1, "{ms} ms");
            assert!(histogram.quantile(500) >= ms, "{ms} ms");
        }
        let mut histogram = Histogram::default();
        histogram.observe(u64::MAX);
        assert_eq!((histogram.counts[CLASSES - 1], histogram.sum_ms), (1, u64::MAX));
    }

    #[test]
    fn a_quantile_is_of_the_class_in_which_the_share_is_reached() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), 0, "of nothing");
        (0..99).for_each(|_| histogram.observe(5));
        let before = histogram;
        histogram.observe(40_000);
        assert_eq!((histogram.quantile(500), histogram.quantile(990)), (7, 7));
        assert_eq!(histogram.quantile(1_000), 65_535);
        assert_eq!(histogram.since(&before).quantile(1), 65_535, "only the last one is new");
    }
}
