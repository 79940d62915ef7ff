//! Terms and gates: what jobs say of themselves beside queue, kind and key. They are interned, because
//! most jobs of a kind say the same.

use crate::policy::Policy;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How a job is treated, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// Where it differs from its kind, queue and namespace.
    pub policy: Policy,
    /// Share of turns of its key among the keys of its queue, 1 to 1,000; 0 stands for 1.
    pub weight: u32,
    /// For search and selection, at most 16.
    pub tags: Vec<String>,
}

/// What must be so before a job may start, beyond the limits of its queue, kind and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gate {
    /// Names of further limits that it must pass, sorted, at most 8.
    pub limits: Vec<String>,
    /// Labels that a session must have to get it, sorted, at most 8.
    pub need_labels: Vec<(String, String)>,
}
