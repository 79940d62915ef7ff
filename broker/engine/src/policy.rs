//! Policy: how a job is retried, leased and kept. One shape on namespace, queue, kind and job;
//! the nearest set field wins.

use crate::ids::Ms;
use crate::limits::DELAY_MS_MAX;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a namespace, queue, kind or job says of itself; a field left out asks the next wider one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// 0..9, higher first.
    pub priority: Option<u8>,
    /// How many attempts may fail before the job is dead; at least 1.
    pub max_attempts: Option<u32>,
    /// How long a failed job waits.
    pub backoff: Option<Backoff>,
    /// How many workers may be lost with the job before it is dead.
    pub max_crashes: Option<u32>,
    /// Visibility timeout; 0 = the lease lives with the session.
    pub lease_ms: Option<u64>,
    /// Longest run of one attempt; 0 = none.
    pub timeout_ms: Option<u64>,
    /// How often a handler must touch its job; 0 = it need not.
    pub stall_ms: Option<u64>,
    /// Not started this long after it was enqueued, the job expires; 0 = never.
    pub ttl_ms: Option<u64>,
    /// How long a completed job is kept.
    pub keep_done_ms: Option<u64>,
    /// How long a dead job is kept.
    pub keep_dead_ms: Option<u64>,
    /// How many completed jobs a queue keeps.
    pub keep_done_max: Option<u32>,
    /// Slots the job takes.
    pub cost: Option<u32>,
    /// What the key means for the order.
    pub ordering: Option<Ordering>,
}

impl Policy {
    /// This policy, where it says nothing another one.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self {
            priority: self.priority.or(other.priority),
            max_attempts: self.max_attempts.or(other.max_attempts),
            backoff: self.backoff.clone().or_else(|| other.backoff.clone()),
            max_crashes: self.max_crashes.or(other.max_crashes),
            lease_ms: self.lease_ms.or(other.lease_ms),
            timeout_ms: self.timeout_ms.or(other.timeout_ms),
            stall_ms: self.stall_ms.or(other.stall_ms),
            ttl_ms: self.ttl_ms.or(other.ttl_ms),
            keep_done_ms: self.keep_done_ms.or(other.keep_done_ms),
            keep_dead_ms: self.keep_dead_ms.or(other.keep_dead_ms),
            keep_done_max: self.keep_done_max.or(other.keep_done_max),
            cost: self.cost.or(other.cost),
            ordering: self.ordering.or(other.ordering),
        }
    }
}

/// What a key means for the order of the jobs that share it. The order is the stored format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ordering {
    /// Keys take turns; jobs of one key may run at the same time.
    #[default]
    Fair,
    /// One at a time, in order; the next waits through retries and through death.
    Serial,
    /// As serial, but a dead job lets the next one pass.
    SerialSkipFailed,
}

/// The delay before attempt n+1: `base · factor^(n-1)`, at most `max`, or the n-th of a list; spread by
/// ± jitter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Backoff {
    /// Delay after the first failure.
    pub base_ms: u64,
    /// 2000 doubles each time, 1000 keeps the delay fixed.
    pub factor_permille: u32,
    /// Longest delay, before jitter.
    pub max_ms: u64,
    /// 200 = the delay lies between 80 % and 120 %.
    pub jitter_permille: u32,
    /// The delays one after the other, the last one again and again; empty = they grow by `factor`.
    pub list_ms: Vec<u64>,
}

impl Backoff {
    /// 5 s, doubling to 12 h, ± 20 %: twenty attempts span about three and a half days.
    pub const DEFAULT: Self = Self {
        base_ms: 5_000,
        factor_permille: 2_000,
        max_ms: 43_200_000,
        jitter_permille: 200,
        list_ms: Vec::new(),
    };

    /// The delay after failure number `failures` (from 1); `entropy` picks the place in the
    /// jitter's range.
    #[must_use]
    pub fn delay_ms(&self, failures: u32, entropy: u64) -> Ms {
        let delay = self.listed(failures).unwrap_or_else(|| self.grown(failures));
        let spread = u128::from(delay) * u128::from(self.jitter_permille.min(1_000)) / 1_000;
        let span = 2 * spread + 1;
        let low = u128::from(delay) - spread;
        let delay = low + ((u128::from(entropy) * span) >> 64);
        u64::try_from(delay).unwrap_or(u64::MAX)
    }

    fn listed(&self, failures: u32) -> Option<Ms> {
        let place = (failures.max(1) - 1) as usize;
        self.list_ms.get(place).or(self.list_ms.last()).map(|&delay| delay.min(DELAY_MS_MAX))
    }

    fn grown(&self, failures: u32) -> Ms {
        let max_ms = self.max_ms.min(DELAY_MS_MAX);
        let mut delay = self.base_ms.min(max_ms);
        for _ in 1..failures {
            let next = u128::from(delay) * u128::from(self.factor_permille) / 1_000;
            let next = u64::try_from(next).unwrap_or(u64::MAX).min(max_ms);
            if next == delay {
                break;
            }
            delay = next;
        }
        delay
    }
}

/// The defaults at the wide end of the chain.
pub mod default {
    /// Level of a job that names none.
    pub const PRIORITY: u8 = 4;
    /// Attempts.
    pub const MAX_ATTEMPTS: u32 = 20;
    /// Crashes.
    pub const MAX_CRASHES: u32 = 3;
    /// The lease lives with the session.
    pub const LEASE_MS: u64 = 0;
    /// One hour.
    pub const KEEP_DONE_MS: u64 = 3_600_000;
    /// Fourteen days.
    pub const KEEP_DEAD_MS: u64 = 14 * 86_400_000;
    /// Completed jobs of a queue.
    pub const KEEP_DONE_MAX: u32 = 10_000;
    /// Slots.
    pub const COST: u32 = 1;
}

/// Turns any two numbers into 64 well-mixed bits (the finaliser of SplitMix64, Steele et al. 2014).
#[must_use]
pub fn mix(seed: u64, value: u64) -> u64 {
    let mut z = seed ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_backoff_doubles_to_its_cap_and_jitters_by_a_fifth() {
        let middle = u64::MAX / 2;
        assert_eq!(Backoff::DEFAULT.delay_ms(1, middle), 5_000);
        assert_eq!(Backoff::DEFAULT.delay_ms(2, middle), 10_000);
        assert_eq!(Backoff::DEFAULT.delay_ms(1, 0), 4_000);
        assert_eq!(Backoff::DEFAULT.delay_ms(1, u64::MAX), 6_000);
        assert_eq!(Backoff::DEFAULT.delay_ms(4_000_000_000, middle), 43_200_000);
    }

    #[test]
    fn a_list_of_delays_repeats_its_last() {
        let listed = Backoff { list_ms: alloc::vec![1_000, 60_000], jitter_permille: 0, ..Backoff::DEFAULT };
        assert_eq!(
            [1, 2, 3, 9].map(|failures| listed.delay_ms(failures, 0)),
            [1_000, 60_000, 60_000, 60_000]
        );
    }
}
