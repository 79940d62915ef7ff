//! The small keyed records beside the jobs: sessions, resources, totals, failures, operations.

use crate::fact::{Failures, NewSession, ResourceBody, Totals};
use crate::operation::Operation;
use serde::{Deserialize, Serialize};

/// A session that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The batch that touched it last.
    pub since: u64,
    /// Who and how long.
    pub session: NewSession,
}

/// A resource that was Put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRow {
    /// The batch that touched it last.
    pub since: u64,
    /// Rises with each Put.
    pub version: u64,
    /// What it says.
    pub body: ResourceBody,
}

/// A change that was given an id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRow {
    /// The batch that touched it last.
    pub since: u64,
    /// The change.
    pub operation: Operation,
}

/// What happened in one way of failing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailuresRow {
    /// The batch that touched it last.
    pub since: u64,
    /// All of it.
    pub failures: Failures,
}

/// Lifetime totals of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsRow {
    /// The batch that touched it last.
    pub since: u64,
    /// All of them.
    pub totals: Totals,
}
