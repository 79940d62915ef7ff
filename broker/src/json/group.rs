//! What is told about many jobs or by name: failures in groups, bulk changes, reasons, the audit.

use super::{id, instant, word};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// Failures that look alike.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorGroup {
    /// Hash over kind and message, with numbers and ids masked.
    pub fingerprint: String,
    /// Class of the failure.
    pub kind: String,
    /// The message with the masks in it.
    pub message: String,
    /// Attempts that failed so, within Query.window_ms.
    pub count: u64,
    /// Jobs that are dead of it and still kept.
    pub dead: u64,
    /// The first one seen.
    pub first_at: Option<String>,
    /// The last one seen.
    pub last_at: Option<String>,
    /// Id of one such job.
    pub sample: Option<String>,
    /// Queues it was seen in, at most 16.
    pub queues: Vec<String>,
    /// Kinds of jobs it was seen in, at most 16.
    pub kinds: Vec<String>,
}

impl From<v1::ErrorGroupView> for ErrorGroup {
    fn from(view: v1::ErrorGroupView) -> Self {
        Self {
            fingerprint: view.fingerprint,
            kind: view.kind,
            message: view.message,
            count: view.count,
            dead: view.dead,
            first_at: instant(view.first_at_ms),
            last_at: instant(view.last_at_ms),
            sample: id(&view.sample),
            queues: view.queues,
            kinds: view.kinds,
        }
    }
}

/// A bulk change that runs, or ran, in the background.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Operation {
    /// Change.operation.
    pub id: Option<String>,
    /// What it does: "retry", "cancel" and so on.
    pub to: String,
    /// Jobs it was to change.
    pub matched: u64,
    /// Jobs it has changed.
    pub changed: u64,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended; null: it has not.
    pub finished_at: Option<String>,
    /// Why it was asked for.
    pub reason: String,
    /// Why it stopped early; empty: it did not.
    pub stopped_why: String,
    /// Name of the token it came with; empty: none.
    pub by: String,
}

impl From<v1::OperationView> for Operation {
    fn from(view: v1::OperationView) -> Self {
        Self {
            id: id(&view.id),
            to: view.to,
            matched: view.matched,
            changed: view.changed,
            started_at: instant(view.started_at_ms),
            finished_at: instant(view.finished_at_ms),
            reason: view.reason,
            stopped_why: view.stopped_why,
            by: view.by,
        }
    }
}

/// What somebody changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Audit {
    /// Number of the entry, rising.
    pub seq: String,
    /// When.
    pub at: Option<String>,
    /// Name of the token it came with; empty: none.
    pub by: String,
    /// The client in words: client, host and process id.
    pub client: String,
    /// What was done: "put", "remove", or the mutation of a Change.
    pub verb: String,
    /// What it was done to: the name of a resource, or the selector in words.
    pub target: String,
    /// The reason given.
    pub reason: String,
    /// Jobs or resources changed.
    pub changed: u64,
}

impl From<v1::AuditView> for Audit {
    fn from(view: v1::AuditView) -> Self {
        Self {
            seq: view.seq.to_string(),
            at: instant(view.at_ms),
            by: view.by,
            client: view.client,
            verb: view.verb,
            target: view.target,
            reason: view.reason,
            changed: view.changed,
        }
    }
}

/// Why a job does not run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Explain {
    /// The job.
    pub job: Option<String>,
    /// Where it stands.
    pub state: String,
    /// The strongest reason first; empty: nothing keeps it.
    pub reasons: Vec<Reason>,
    /// Since when it runs, has ended, or could have run.
    pub since_at: Option<String>,
}

/// One thing that keeps a job from running.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reason {
    /// scheduled, held, blocked, limit, serial, priority, behind, no_worker, no_slots, suspect or draining.
    pub code: String,
    /// For people: a sentence.
    pub text: String,
    /// The limit, queue or job it is about.
    pub name: String,
    /// How long it will last; 0: not known.
    pub for_ms: u64,
    /// Jobs that run before this one; 0: none, or not known.
    pub ahead: u64,
}

impl From<v1::ExplainView> for Explain {
    fn from(view: v1::ExplainView) -> Self {
        Self {
            job: id(&view.job),
            state: word(view.state().as_str_name(), "STATE_"),
            since_at: instant(view.since_at_ms),
            reasons: view.reasons.into_iter().map(Reason::from).collect(),
        }
    }
}

impl From<v1::explain_view::Reason> for Reason {
    fn from(reason: v1::explain_view::Reason) -> Self {
        let v1::explain_view::Reason { code, text, name, for_ms, ahead } = reason;
        Self { code, text, name, for_ms, ahead }
    }
}
