//! Which record a fact changes: exactly one.

use super::{Fact, ResourceKey};
use crate::ids::{NameId, OperationId, Seq, SessionId};

/// The record a fact names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// A job.
    Job(Seq),
    /// A row of the names table.
    Name(NameId),
    /// A row of the resources table.
    Resource(ResourceKey),
    /// A row of the sessions table.
    Session(SessionId),
    /// A row of the totals table.
    Totals(NameId),
    /// A row of the failures table.
    Failures(NameId),
    /// A row of the operations table.
    Operation(OperationId),
    /// A row of the claims table, by the job that holds the key.
    Claim(Seq),
    /// A row of the audits table.
    Audit(u64),
    /// A row of the table of what jobs wait for, by the job that waits and a number from 0.
    After(Seq, u16),
    /// A row of the groups table, by the group's job.
    Group(Seq),
    /// A row of the fallouts table, by the job that has ended.
    Fallout(Seq),
    /// A row of the schedules table.
    Schedule(NameId),
    /// The one record of the broker itself.
    Meta,
}

impl Fact {
    /// The one record this fact changes.
    #[must_use]
    pub fn record(&self) -> Record {
        match self {
            Self::Started { .. } | Self::Stopped => Record::Meta,
            Self::Named { id, .. } | Self::NameDropped { id } => Record::Name(*id),
            Self::ResourceSet { key, .. } | Self::ResourceRemoved { key } => Record::Resource(*key),
            Self::SessionOpened { id, .. }
            | Self::SessionClosed { id }
            | Self::Told { id, .. }
            | Self::Relabelled { id, .. } => Record::Session(*id),
            Self::Counted { of, .. } => Record::Totals(*of),
            Self::FailuresCounted { error, .. } | Self::FailuresDropped { error } => Record::Failures(*error),
            Self::Audited { number, .. } | Self::AuditDropped { number } => Record::Audit(*number),
            Self::Claimed { holder, .. } | Self::Unclaimed { holder } => Record::Claim(*holder),
            Self::AfterSet { waiter, piece, .. }
            | Self::AfterEnded { waiter, piece, .. }
            | Self::AfterRemoved { waiter, piece } => Record::After(*waiter, *piece),
            Self::GroupSet { group, .. } | Self::GroupRemoved { group } => Record::Group(*group),
            Self::FalloutSet { of, .. } | Self::FalloutRemoved { of } => Record::Fallout(*of),
            Self::Ticked { schedule, .. } | Self::ScheduleDropped { schedule } => Record::Schedule(*schedule),
            Self::Enqueued { seq, .. }
            | Self::Readied { seq }
            | Self::Leased { seq, .. }
            | Self::Extended { seq, .. }
            | Self::CancelAsked { seq, .. }
            | Self::Overran { seq, .. }
            | Self::Reported { seq, .. }
            | Self::Completed { seq, .. }
            | Self::Returned { seq, .. }
            | Self::Died { seq, .. }
            | Self::Cancelled { seq, .. }
            | Self::Retried { seq, .. }
            | Self::Rescheduled { seq, .. }
            | Self::Expired { seq, .. }
            | Self::Reshaped { seq, .. }
            | Self::Buried { seq, .. }
            | Self::Blocked { seq }
            | Self::Held { seq, .. }
            | Self::Freed { seq, .. }
            | Self::Replaced { seq, .. }
            | Self::Appended { seq, .. }
            | Self::Emptied { seq }
            | Self::Removed { seq, .. } => Record::Job(*seq),
            Self::OperationStarted { id, .. }
            | Self::OperationMoved { id, .. }
            | Self::OperationEnded { id, .. }
            | Self::OperationRemoved { id } => Record::Operation(*id),
        }
    }
}
