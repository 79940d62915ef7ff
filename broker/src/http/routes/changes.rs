//! Changes of jobs: the forms in which they are asked for, and how they are answered. The verbs of one
//! job and those of many share them.

use super::super::call::json;
use super::super::problem::Problem;
use super::super::span::Length;
use super::jobs::payload;
use crate::json::id;
use crate::json::message::{Backoff, Ordering, Written};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use windlass_proto::v1::{Cancel, Changed, OperationView, Patch, Policy, Retry};

/// What was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangedRow {
    /// Jobs or sessions that match.
    matched: u64,
    /// Of these, changed so far; in a rehearsal those that would be.
    changed: u64,
    /// Ids of some that match, at most 10.
    sample: Vec<String>,
    /// The bulk change that goes on; null: it is done.
    operation: Option<String>,
}

impl From<&Changed> for ChangedRow {
    fn from(changed: &Changed) -> Self {
        Self {
            matched: changed.matched,
            changed: changed.changed,
            sample: changed.sample.iter().filter_map(|sample| id(sample)).collect(),
            operation: id(&changed.operation),
        }
    }
}

impl ChangedRow {
    /// What a bulk change has done so far.
    pub(super) fn of(view: &OperationView) -> Self {
        let (matched, changed) = (view.matched, view.changed);
        Self { matched, changed, sample: Vec::new(), operation: id(&view.id) }
    }
}

/// 200 if it is done, 202 and where to look if it goes on.
pub(super) fn answer(changed: &Changed) -> Response {
    let row = ChangedRow::from(changed);
    let location = row.operation.as_ref().map(|operation| format!("/v1/operations/{operation}"));
    let status = if location.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = json(status, &row);
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// How jobs run again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetryBody {
    /// For the audit.
    pub(super) reason: String,
    /// Count attempts and crashes from 0 again.
    reset_attempts: bool,
    /// Spread over this time, like `10m`.
    spread: Option<Length>,
    /// The same in milliseconds.
    #[schema(maximum = 604_800_000)]
    spread_ms: Option<u64>,
}

/// How jobs are called off.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CancelBody {
    /// For the audit, and for the handler unless `why` says something else.
    pub(super) reason: String,
    /// For the handler.
    why: String,
    /// How long a running handler may take to stop; default 30 s.
    #[schema(maximum = 3_600_000)]
    grace_ms: u64,
    /// Call off those that wait for these, too.
    dependents: bool,
}

/// Where jobs go.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MoveBody {
    /// For the audit.
    pub(super) reason: String,
    /// The queue they go to.
    #[schema(pattern = "^[A-Za-z0-9._:/-]{1,200}$")]
    pub(super) queue: String,
}

/// What jobs are from now on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PatchBody {
    /// For the audit.
    pub(super) reason: String,
    /// The new payload.
    #[schema(value_type = serde_json::Value)]
    payload: Option<Box<RawValue>>,
    /// The same as bytes that are no JSON.
    payload_base64: Option<String>,
    /// The new key; "" for none.
    key: Option<String>,
    /// Tags to add.
    add_tags: Vec<String>,
    /// Tags to remove.
    remove_tags: Vec<String>,
    /// 0 to 9, higher first.
    #[schema(maximum = 9)]
    priority: Option<u32>,
    /// How many runs may fail.
    max_attempts: Option<u32>,
    /// How long to wait between attempts.
    backoff: Option<Backoff>,
    /// How many workers may die with it.
    max_crashes: Option<u32>,
    /// Visibility timeout.
    lease_ms: Option<u64>,
    /// Longest run of one attempt.
    timeout_ms: Option<u64>,
    /// The handler must touch it at least this often.
    stall_ms: Option<u64>,
    /// Expired if not started this long after it was enqueued.
    ttl_ms: Option<u64>,
    /// How long it is kept once completed, cancelled or expired.
    keep_done_ms: Option<u64>,
    /// How long it is kept once dead.
    keep_dead_ms: Option<u64>,
    /// Slots and units of a limit that it takes.
    cost: Option<u32>,
    /// What its key means.
    ordering: Option<Ordering>,
}

/// Nothing but why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReasonBody {
    /// For the audit.
    pub(super) reason: String,
}

impl RetryBody {
    pub(super) fn new(reset_attempts: bool, spread_ms: Option<u64>) -> Self {
        Self { reset_attempts, spread_ms, ..Self::default() }
    }

    pub(super) fn wire(&self) -> Retry {
        let spread_ms = self.spread.map_or(self.spread_ms.unwrap_or(0), |Length(ms)| ms);
        Retry { reset_attempts: self.reset_attempts, spread_ms }
    }
}

impl CancelBody {
    pub(super) fn new(why: String, grace_ms: u64, dependents: bool) -> Self {
        Self { reason: String::new(), why, grace_ms, dependents }
    }

    pub(super) fn wire(&self) -> Cancel {
        let why = if self.why.is_empty() { &self.reason } else { &self.why };
        Cancel { why: why.clone(), grace_ms: self.grace_ms, dependents: self.dependents }
    }
}

impl PatchBody {
    pub(super) fn wire(self) -> Result<Patch, Problem> {
        let has_payload = self.payload.is_some() || self.payload_base64.is_some();
        let (_, bytes) = payload(self.payload, self.payload_base64)?;
        let policy = Policy {
            priority: self.priority,
            max_attempts: self.max_attempts,
            backoff: self.backoff.map(Written::wire),
            max_crashes: self.max_crashes,
            lease_ms: self.lease_ms,
            timeout_ms: self.timeout_ms,
            stall_ms: self.stall_ms,
            ttl_ms: self.ttl_ms,
            keep_done_ms: self.keep_done_ms,
            keep_dead_ms: self.keep_dead_ms,
            keep_done_max: None,
            cost: self.cost,
            ordering: self.ordering.map(Written::wire),
        };
        Ok(Patch {
            payload: has_payload.then_some(bytes),
            policy: (policy != Policy::default()).then_some(policy),
            key: self.key,
            add_tags: self.add_tags,
            remove_tags: self.remove_tags,
        })
    }
}
