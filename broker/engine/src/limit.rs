//! Limit: a bound on starts. Rate, concurrency, pause and breaker are one concept.

use crate::ids::{Ms, NameId};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// What a limit bounds and by how much. It applies to the jobs that match queue, kind and key; if all
/// three are 0, to the jobs that name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Jobs of this queue; 0 = any.
    pub queue: NameId,
    /// Jobs of this kind; 0 = any.
    pub kind: NameId,
    /// Jobs of this lane; 0 = any.
    pub key: NameId,
    /// Each key has the limit for itself.
    pub per_key: bool,
    /// Most cost that may be leased at once; 0 = paused; None = unbounded.
    pub concurrency: Option<u32>,
    /// Cost that may start per `per_ms`; 0 = any.
    pub rate: u64,
    /// The time that `rate` is meant for, 1 to 30 days.
    pub per_ms: u64,
    /// Cost that may start at once after a rest, at least 1.
    pub burst: u64,
    /// It ends by itself then; 0 = never.
    pub until_at: Ms,
    /// For people.
    pub why: String,
    /// It closes when too much fails; None = it has no breaker.
    pub breaker: Option<Breaker>,
    /// Retries are at most this share of what starts, 1 to 1,000; 0 = any.
    pub retry_permille: u32,
}

/// When a limit closes by itself because what it lets through fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Share of failed ends that opens the breaker, 1 to 1,000.
    pub failure_permille: u32,
    /// Ends counted before it may open, at least 1.
    pub min_samples: u32,
    /// How long it stays open.
    pub open_ms: Ms,
    /// Cost that may start as a probe before it closes, at least 1.
    pub probes: u32,
}

impl Limit {
    /// It applies to the jobs that name it.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.queue == 0 && self.kind == 0 && self.key == 0
    }

    /// Nothing passes.
    #[must_use]
    pub fn is_pause(&self) -> bool {
        self.concurrency == Some(0)
    }

    /// Nanoseconds from one unit of cost to the next.
    pub(crate) fn interval_ns(&self) -> u64 {
        self.per_ms.saturating_mul(1_000_000).checked_div(self.rate).unwrap_or(0)
    }
}
