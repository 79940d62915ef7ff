//! Facts: what the engine decided. The journal holds facts, and a fact names exactly one record.

mod content;
mod record;

pub use content::{
    AttemptEnd, Audit, Counts, DeadReason, End, Failures, Merged, NewJob, NewLease, NewSession, Note,
    Overrun, Report, Reshape, ResourceBody, ResourceKey, RunLimits, Totals,
};
pub use record::Record;

use crate::blob::Blob;
use crate::flow::{EdgeState, Fallout, Group, Piece};
use crate::ids::{JobId, Ms, NameId, OperationId, Seq, SessionId};
use crate::ledger::job::Pieces;
use crate::ledger::names::Name;
use crate::ledger::tables::Claim;
use crate::operation::Operation;
use crate::order::Order;
use crate::schedule::Progress;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One decision about one record. New variants go to the end: the order is the stored format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// The broker started; fences of this run carry the epoch.
    Started {
        /// Higher than every epoch before.
        epoch: u32,
        /// When.
        at: Ms,
    },
    /// The broker stopped in order; absent after a crash.
    Stopped,
    /// A name got its number.
    Named {
        /// The number.
        id: NameId,
        /// What it stands for.
        name: Box<Name>,
    },
    /// Nothing refers to the name any more.
    NameDropped {
        /// The number.
        id: NameId,
    },
    /// A resource was set.
    ResourceSet {
        /// Which.
        key: ResourceKey,
        /// Rises with each Put.
        version: u64,
        /// What.
        body: Box<ResourceBody>,
        /// When.
        at: Ms,
    },
    /// A resource was removed.
    ResourceRemoved {
        /// Which.
        key: ResourceKey,
    },
    /// A session began.
    SessionOpened {
        /// Its identity.
        id: SessionId,
        /// Who and how long.
        session: Box<NewSession>,
    },
    /// A session ended; its leases ended in facts of their own before.
    SessionClosed {
        /// Its identity.
        id: SessionId,
    },
    /// Lifetime totals of a queue or a kind, absolute.
    Counted {
        /// The queue, or the kind; a name.
        of: NameId,
        /// All of them.
        totals: Totals,
    },
    /// A job exists.
    Enqueued {
        /// Its place in the broker's order.
        seq: Seq,
        /// What it is.
        job: NewJob,
    },
    /// A scheduled job's time has come.
    Readied {
        /// The job.
        seq: Seq,
    },
    /// A session holds the job.
    Leased {
        /// The job.
        seq: Seq,
        /// To whom and for how long.
        lease: NewLease,
    },
    /// A lease with a visibility timeout ends later.
    Extended {
        /// The job.
        seq: Seq,
        /// When this was decided.
        now: Ms,
        /// The new end.
        ends_at: Ms,
    },
    /// An operator wants the running job to stop.
    CancelAsked {
        /// The job.
        seq: Seq,
        /// When this was decided.
        now: Ms,
        /// When its lease is revoked.
        revoke_at: Ms,
    },
    /// The worker is done.
    Completed {
        /// The job.
        seq: Seq,
        /// When, and how long it is kept.
        end: End,
        /// Which delivery of the job this was; it names the result among the job's parts.
        delivery: u32,
        /// Encoded by the session floor; empty = none.
        result: Blob,
        /// The result was too large for a low disk and is not kept.
        result_dropped: bool,
    },
    /// The lease ended and the job will run again.
    Returned {
        /// The job.
        seq: Seq,
        /// Ready at once when not after `now`.
        run_at: Ms,
        /// When this was decided.
        now: Ms,
        /// What the lease counts as.
        counts: Counts,
        /// By its worker; otherwise the lease was lost.
        settled: bool,
        /// For the history; None = nothing to tell.
        note: Option<Box<Note>>,
        /// In which way it failed; a name. 0 = it did not.
        error: NameId,
    },
    /// The job will not run again by itself.
    Died {
        /// The job.
        seq: Seq,
        /// When, and how long it is kept.
        end: End,
        /// Why.
        reason: DeadReason,
        /// What the last lease counts as.
        counts: Counts,
        /// By its worker; otherwise the lease was lost.
        settled: bool,
        /// For the history.
        note: Option<Box<Note>>,
        /// In which way it failed; a name.
        error: NameId,
    },
    /// The job was cancelled.
    Cancelled {
        /// The job.
        seq: Seq,
        /// When, and how long it is kept.
        end: End,
        /// By its worker; otherwise by an operator.
        settled: bool,
        /// For the history, if it ran.
        note: Option<Box<Note>>,
    },
    /// An operator made the job run again.
    Retried {
        /// The job.
        seq: Seq,
        /// Attempts and crashes start at 0 again.
        reset: bool,
        /// Ready at once when not after `now`.
        run_at: Ms,
        /// When this was decided.
        now: Ms,
    },
    /// The job's time was changed.
    Rescheduled {
        /// The job.
        seq: Seq,
        /// The new time; ready at once when not after `now`.
        run_at: Ms,
        /// When this was decided.
        now: Ms,
    },
    /// The job is gone.
    Removed {
        /// The job.
        seq: Seq,
        /// Kept in the fact for the idempotency window, which outlives the job.
        id: JobId,
        /// Its namespace, for the same reason.
        namespace: NameId,
        /// The fence whose settlement ended the job's last lease; 0 = none did.
        settled: u64,
        /// When.
        at: Ms,
    },
    /// The job was not started in time.
    Expired {
        /// The job.
        seq: Seq,
        /// When, and how long it is kept.
        end: End,
    },
    /// An operator moved a waiting job, or described it anew.
    Reshaped {
        /// The job.
        seq: Seq,
        /// What it is from now on.
        reshape: Box<Reshape>,
    },
    /// An operator gave a waiting job up.
    Buried {
        /// The job.
        seq: Seq,
        /// When, and how long it is kept.
        end: End,
    },
    /// A change with an id began, or was carried out at once.
    OperationStarted {
        /// Its identity.
        id: OperationId,
        /// All of it.
        operation: Box<Operation>,
    },
    /// A change has come so far.
    OperationMoved {
        /// Its identity.
        id: OperationId,
        /// The last job it looked at.
        cursor: Seq,
        /// Jobs it has changed, from its beginning.
        changed: u64,
    },
    /// A change is over.
    OperationEnded {
        /// Its identity.
        id: OperationId,
        /// When.
        at: Ms,
        /// Why it ended early; "" = it did not.
        why: String,
    },
    /// An ended change is forgotten.
    OperationRemoved {
        /// Its identity.
        id: OperationId,
    },
    /// How often jobs failed in one way, absolute.
    FailuresCounted {
        /// The way; a name.
        error: NameId,
        /// All of them.
        failures: Box<Failures>,
    },
    /// Nobody fails in this way any more.
    FailuresDropped {
        /// The way; a name.
        error: NameId,
    },
    /// A dedup key is taken, or what is known of it has changed.
    Claimed {
        /// The job that holds it; it names the row.
        holder: Seq,
        /// All of it.
        claim: Box<Claim>,
    },
    /// A dedup key is free.
    Unclaimed {
        /// The job that held it.
        holder: Seq,
    },
    /// The job waits for other jobs.
    Blocked {
        /// The job.
        seq: Seq,
    },
    /// The job waits for somebody's word.
    Held {
        /// The job.
        seq: Seq,
        /// For how long; 0 = for ever.
        until: Ms,
    },
    /// Neither other jobs nor a missing word keep the job back any more.
    Freed {
        /// The job.
        seq: Seq,
        /// When this was decided; ready at once when its time is not after it.
        now: Ms,
    },
    /// The job has another payload.
    Replaced {
        /// The job.
        seq: Seq,
        /// Which versions of its parts are its payload and headers from now on.
        pieces: Pieces,
        /// The new one.
        payload: Blob,
        /// Content type and headers to go with it; None = they stay.
        headers: Option<Blob>,
        /// The new time; None = it stays.
        run_at: Option<Ms>,
        /// When this was decided.
        now: Ms,
        /// The job that was not stored because its payload came here.
        merged: Option<Box<Merged>>,
    },
    /// The run broke what it is held to, and was asked to stop.
    Overran {
        /// The job.
        seq: Seq,
        /// In which way.
        how: Overrun,
        /// When this was decided.
        now: Ms,
        /// When its lease is revoked.
        revoke_at: Ms,
    },
    /// A handler has said something of its job that is kept.
    Reported {
        /// The job.
        seq: Seq,
        /// What.
        report: Box<Report>,
    },
    /// The payload of the job is one item longer.
    Appended {
        /// The job.
        seq: Seq,
        /// The version of the part that the item is.
        version: u32,
        /// The item, with its length in front.
        item: Blob,
        /// The job that was not stored because its payload came here.
        merged: Box<Merged>,
    },
    /// A session was told something, or will be.
    Told {
        /// Its identity.
        id: SessionId,
        /// What.
        order: Order,
        /// When it hears it; at once when not after `now`.
        at: Ms,
        /// When this was decided.
        now: Ms,
    },
    /// A session has other labels.
    Relabelled {
        /// Its identity.
        id: SessionId,
        /// All of them.
        labels: Vec<(String, String)>,
    },
    /// Somebody changed something.
    Audited {
        /// Number of the entry.
        number: u64,
        /// What, and who.
        audit: Box<Audit>,
    },
    /// The entry is too old, or one of too many.
    AuditDropped {
        /// Number of the entry.
        number: u64,
    },
    /// The job waits for these others, and perhaps for more in other pieces.
    AfterSet {
        /// The job.
        waiter: Seq,
        /// Which piece, from 0.
        piece: u16,
        /// All of it.
        body: Box<Piece>,
    },
    /// One of those has ended, and the job that waits for it knows.
    AfterEnded {
        /// The job that waits.
        waiter: Seq,
        /// Which piece of its list.
        piece: u16,
        /// Which of that piece, from 0.
        place: u16,
        /// As asked, or otherwise.
        state: EdgeState,
    },
    /// The job that waited is gone.
    AfterRemoved {
        /// The job.
        waiter: Seq,
        /// Which piece.
        piece: u16,
    },
    /// A group exists, or its counters have changed; absolute.
    GroupSet {
        /// The group's job.
        group: Seq,
        /// All of it.
        body: Box<Group>,
    },
    /// Neither a group's job nor any member is left.
    GroupRemoved {
        /// The group's job.
        group: Seq,
    },
    /// More jobs wait for this one than a turn tells that it has ended.
    FalloutSet {
        /// The job.
        of: Seq,
        /// What they are told.
        fallout: Fallout,
    },
    /// All of them know.
    FalloutRemoved {
        /// The job.
        of: Seq,
    },
    /// How far a schedule has come, absolute.
    Ticked {
        /// The schedule; a name.
        schedule: NameId,
        /// All of it.
        progress: Box<Progress>,
    },
    /// A schedule was removed.
    ScheduleDropped {
        /// The schedule; a name.
        schedule: NameId,
    },
    /// The payload, the headers and the result of an ended job are let go; its record stays.
    Emptied {
        /// The job.
        seq: Seq,
    },
}

impl Fact {
    /// About how many bytes the fact takes in the journal; bounds a batch.
    #[must_use]
    pub fn weight(&self) -> usize {
        let variable = match self {
            Self::Enqueued { job, .. } => job.payload.len() + job.headers.len(),
            Self::Completed { result, .. } => result.len(),
            Self::Replaced { payload, headers, .. } => {
                payload.len() + headers.as_ref().map_or(0, |headers| headers.len())
            }
            Self::Appended { item, .. } => item.len(),
            Self::Claimed { claim, .. } => claim.key.len(),
            Self::AfterSet { body, .. } => 32 * body.edges.len(),
            Self::Ticked { progress, .. } => progress.weight(),
            Self::Returned { note, .. } | Self::Died { note, .. } | Self::Cancelled { note, .. } => {
                note.as_ref().map_or(0, |note| note.weight())
            }
            Self::ResourceSet { body, .. } => body.weight(),
            Self::Named { .. } | Self::SessionOpened { .. } => 512,
            Self::Relabelled { labels, .. } => {
                labels.iter().map(|(key, value)| 16 + key.len() + value.len()).sum()
            }
            Self::Reshaped { reshape, .. } => {
                reshape.payload.as_ref().map_or(0, |(_, payload)| payload.len())
            }
            Self::OperationStarted { operation, .. } => operation.weight(),
            Self::Reported { report, .. } => report.weight(),
            Self::FailuresCounted { failures, .. } => failures.weight(),
            Self::Audited { audit, .. } => audit.weight(),
            Self::Started { .. }
            | Self::Stopped
            | Self::AfterEnded { .. }
            | Self::AfterRemoved { .. }
            | Self::GroupSet { .. }
            | Self::GroupRemoved { .. }
            | Self::FalloutSet { .. }
            | Self::FalloutRemoved { .. }
            | Self::NameDropped { .. }
            | Self::Buried { .. }
            | Self::FailuresDropped { .. }
            | Self::OperationMoved { .. }
            | Self::OperationEnded { .. }
            | Self::OperationRemoved { .. }
            | Self::ResourceRemoved { .. }
            | Self::SessionClosed { .. }
            | Self::Counted { .. }
            | Self::Readied { .. }
            | Self::Leased { .. }
            | Self::Extended { .. }
            | Self::CancelAsked { .. }
            | Self::Overran { .. }
            | Self::Retried { .. }
            | Self::Rescheduled { .. }
            | Self::Expired { .. }
            | Self::Unclaimed { .. }
            | Self::Blocked { .. }
            | Self::Held { .. }
            | Self::Freed { .. }
            | Self::Told { .. }
            | Self::AuditDropped { .. }
            | Self::ScheduleDropped { .. }
            | Self::Emptied { .. }
            | Self::Removed { .. } => 0,
        };
        96 + variable
    }
}
