//! Change: which jobs, and what becomes of them; which sessions, and what they are told.

use super::{Mutation, Pace};
use crate::filter::{Filter, States};
use crate::ids::{JobId, Ms, OperationId, SessionId};
use crate::order::Order;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Which jobs: those that all of it agrees on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// Any of these; None = chosen by the rest alone.
    pub ids: Option<Vec<JobId>>,
    /// Queue name; "" = all.
    pub queue: String,
    /// In one of these states.
    pub states: States,
    /// Members of this group; None = whatever they count into.
    pub group: Option<JobId>,
    /// And this holds.
    pub filter: Filter,
}

/// A change of jobs.
#[derive(Clone, Debug)]
pub struct Change {
    /// The jobs.
    pub select: Select,
    /// What to do with each.
    pub to: Mutation,
    /// Count, but change nothing.
    pub dry_run: bool,
    /// Most jobs to change; 0 = all.
    pub max: u64,
    /// How fast, and when to give up.
    pub pace: Pace,
    /// Its identity, if it has one: the same one is not carried out twice.
    pub operation: Option<OperationId>,
    /// Why; for people.
    pub reason: String,
    /// The selector in words; for people.
    pub target: String,
}

impl Change {
    /// A change of all that are selected, at once.
    #[must_use]
    pub fn new(select: Select, to: Mutation) -> Self {
        let (pace, reason) = (Pace::default(), String::new());
        Self { select, to, dry_run: false, max: 0, pace, operation: None, reason, target: String::new() }
    }
}

impl Select {
    /// The jobs with these ids.
    #[must_use]
    pub fn ids(ids: Vec<JobId>) -> Self {
        Self { ids: Some(ids), ..Self::default() }
    }
}

/// A word to sessions.
#[derive(Clone, Debug)]
pub struct Tell {
    /// The one session; None = those with the labels.
    pub session: Option<SessionId>,
    /// All of these.
    pub labels: Vec<(String, String)>,
    /// What they are told.
    pub order: Order,
    /// One after the other over this time; 0 = all at once.
    pub within_ms: Ms,
    /// Count, but tell nothing.
    pub dry_run: bool,
    /// Most sessions to tell; 0 = all.
    pub max: u64,
    /// Why; for people.
    pub reason: String,
}
