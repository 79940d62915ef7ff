//! The small keyed records beside the jobs: sessions, resources, totals, failures, operations, claims,
//! schedules, and what flows are made of.

use crate::fact::{Audit, Failures, NewSession, ResourceBody, Totals};
use crate::flow::{Fallout, Group, Piece};
use crate::ids::{JobId, Ms, NameId, Seq};
use crate::operation::Operation;
use crate::order::{DueOrder, Told};
use crate::schedule::Progress;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// A session that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The batch that touched it last.
    pub since: u64,
    /// Who and how long.
    pub session: NewSession,
    /// What it was told to go by.
    pub told: Told,
    /// What it will be told.
    pub due: Option<DueOrder>,
}

/// A resource that was Put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRow {
    /// The batch that touched it last.
    pub since: u64,
    /// Rises with each Put that changes it.
    pub version: u64,
    /// When it was set.
    pub at: Ms,
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

/// What somebody changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// The batch that touched it last.
    pub since: u64,
    /// What, and who.
    pub audit: Audit,
}

/// What happened in one way of failing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailuresRow {
    /// The batch that touched it last.
    pub since: u64,
    /// All of it.
    pub failures: Failures,
}

impl ResourceRow {
    /// The key that it speaks of; its uses are counted as those of jobs are.
    pub(crate) fn counted_name(&self) -> Option<NameId> {
        match &self.body {
            ResourceBody::Limit(limit) => Some(limit.key).filter(|&key| key > 0),
            ResourceBody::Policy(_)
            | ResourceBody::Queue(_)
            | ResourceBody::Schedule(_)
            | ResourceBody::Sink(_) => None,
        }
    }
}

/// Lifetime totals of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsRow {
    /// The batch that touched it last.
    pub since: u64,
    /// All of them.
    pub totals: Totals,
}

/// How far a schedule has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// The batch that touched it last.
    pub since: u64,
    /// All of it.
    pub progress: Progress,
}

/// A dedup key that is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRow {
    /// The batch that touched it last.
    pub since: u64,
    /// By whom, and for how long.
    pub claim: Claim,
}

/// Who has a dedup key. The row is named by the holder's seq.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The queue or the namespace in which it is compared.
    pub scope: NameId,
    /// The key.
    pub key: String,
    /// Id of the holder, which the key may outlive.
    pub id: JobId,
    /// How long it is taken.
    pub until: Until,
    /// The one job that waits for the holder's end, and how long it then has the key.
    pub next: Option<(Seq, Until)>,
}

/// How long a dedup key is taken. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// Until its holder ends.
    Finish,
    /// Until its holder is first leased.
    Start,
    /// Until this instant, whatever becomes of its holder.
    At(Ms),
}

/// Some of the jobs that a job waits for. The row is named by the job's seq and a number from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterRow {
    /// The batch that touched it last.
    pub since: u64,
    /// The jobs.
    pub piece: Piece,
}

/// A group, with its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// The batch that touched it last.
    pub since: u64,
    /// All of it.
    pub group: Group,
}

/// A job that more jobs wait for than one turn tells of its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FalloutRow {
    /// The batch that touched it last.
    pub since: u64,
    /// All of it.
    pub fallout: Fallout,
}
