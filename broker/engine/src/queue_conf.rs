//! Queue configuration: how a queue behaves where it differs from the defaults.

use crate::policy::Policy;
use serde::{Deserialize, Serialize};

/// What is configured of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueConf {
    /// Of all its jobs.
    pub policy: Policy,
    /// Which of several waiting workers gets the next job.
    pub dispatch: Dispatch,
    /// Every so many picks serve the oldest job of any priority; 0 = as often as by default.
    pub fair_every: u32,
    /// Most bytes of ended jobs that are kept; 0 = any.
    pub keep_bytes: u64,
    /// How long a job may be ready before that is told; 0 = for ever.
    pub slo_ms: u64,
}

/// Which of several waiting workers gets the next job. The order is the stored format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dispatch {
    /// The one that has waited longest: they take turns.
    #[default]
    LongestIdle,
    /// Any of them, evenly.
    Random,
}
