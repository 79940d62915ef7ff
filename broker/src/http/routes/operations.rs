//! Bulk changes: under way, and what became of the others.

use super::super::Gateway;
use super::super::body::Json;
use super::super::call::{Call, Rehearsal, bytes, json};
use super::super::idempotency;
use super::super::page::{self, List, PageWords};
use super::super::path::Id;
use super::super::problem::Problem;
use super::super::span::{Length, Moment};
use super::changes::{self, CancelBody, ChangedRow, PatchBody, RetryBody};
use crate::json::Operation;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::limits::ROWS_MAX;
use windlass_proto::v1::change::To;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{Bury, Change, Confirm, Delete, Move, OperationView, Query, RunAt, Selector, Stop};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list, start)).routes(routes!(show, stop))
}

/// Lists bulk changes.
#[utoipa::path(get, path = "/v1/operations", tag = "operations", params(PageWords),
    responses((status = 200, description = "A page of operations", body = List<Operation>)))]
async fn list(call: Call<PageWords>) -> Result<Response, Problem> {
    let query = Query { what: What::Operations.into(), ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let operations = std::mem::take(&mut rows.operations).into_iter().map(Operation::from).collect();
    Ok(page::list(&call, &rows, operations))
}

/// Shows a bulk change.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "operations", params(("id" = Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The operation", body = Operation)))]
async fn show(call: Call, Id(id): Id) -> Result<Response, Problem> {
    let operation = find(&call, id).await?;
    let operation = operation
        .ok_or_else(|| Problem::not_found("no such operation; those that ended are kept for a while"))?;
    Ok(json(StatusCode::OK, &Operation::from(operation)))
}

/// The operation of this id.
async fn find<W>(call: &Call<W>, id: Uuid) -> Result<Option<OperationView>, Problem> {
    let id = bytes(id);
    let mut query = Query {
        what: What::Operations.into(),
        limit: u32::try_from(ROWS_MAX).unwrap_or(0),
        ..Query::default()
    };
    loop {
        let rows = call.query(query.clone()).await?;
        if let Some(found) = rows.operations.into_iter().find(|operation| operation.id == id) {
            return Ok(Some(found));
        }
        if rows.cursor.is_empty() {
            return Ok(None);
        }
        query.cursor = rows.cursor;
    }
}

/// What is done to jobs.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Retry,
    Cancel,
    Delete,
    RunAt,
    Move,
    Patch,
    Bury,
    Confirm,
}

/// A change of all jobs that match.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OperationBody {
    /// What is done.
    action: Action,
    /// Which jobs, in the filter language; empty only with `all`.
    #[serde(default)]
    q: String,
    /// Every job that `q` does not exclude.
    #[serde(default)]
    all: bool,
    /// Most jobs to change, the oldest first; default: all that match.
    #[serde(default)]
    max: u64,
    /// Count and sample, change nothing; `?dry_run=1` means the same.
    #[serde(default)]
    dry_run: bool,
    /// How many match: with another number nothing is changed.
    expect: Option<u64>,
    /// Jobs changed in a second at most.
    #[serde(default)]
    per_second: u32,
    /// Stop when this share of the changed jobs has failed again.
    #[serde(default)]
    #[schema(maximum = 1000)]
    stop_failure_permille: u32,
    /// For the audit.
    #[serde(default)]
    reason: String,
    /// For `run_at`: when; default now.
    run_at: Option<Moment>,
    /// For `move`: where to.
    #[serde(default)]
    queue: String,
    /// For `retry`: count attempts and crashes from 0 again.
    reset_attempts: Option<bool>,
    /// For `retry`: spread over this time.
    spread: Option<Length>,
    /// The same in milliseconds.
    spread_ms: Option<u64>,
    /// For `cancel`: told to the handlers.
    why: Option<String>,
    /// For `cancel`: how long running handlers may take to stop.
    grace_ms: Option<u64>,
    /// For `cancel`: call off those that wait for these, too.
    dependents: Option<bool>,
    /// For `patch`: what they are from now on.
    #[schema(value_type = Option<PatchBody>)]
    patch: Option<Box<RawValue>>,
}

impl OperationBody {
    /// What is done, if nothing is said that it does not take.
    fn to(&self) -> Result<To, Problem> {
        let given = [
            ("run_at", self.run_at.is_some(), matches!(self.action, Action::RunAt)),
            ("queue", !self.queue.is_empty(), matches!(self.action, Action::Move)),
            ("reset_attempts", self.reset_attempts.is_some(), matches!(self.action, Action::Retry)),
            ("spread", self.spread.is_some(), matches!(self.action, Action::Retry)),
            ("spread_ms", self.spread_ms.is_some(), matches!(self.action, Action::Retry)),
            ("why", self.why.is_some(), matches!(self.action, Action::Cancel)),
            ("grace_ms", self.grace_ms.is_some(), matches!(self.action, Action::Cancel)),
            ("dependents", self.dependents.is_some(), matches!(self.action, Action::Cancel)),
            ("patch", self.patch.is_some(), matches!(self.action, Action::Patch)),
        ];
        if let Some((field, ..)) = given.iter().find(|(_, is_given, is_taken)| *is_given && !is_taken) {
            let message = format!("`{field}` means nothing for this action");
            return Err(Problem::invalid(message).at(format!("/{field}")));
        }
        Ok(match self.action {
            Action::Retry => {
                let spread_ms = self.spread.map_or(self.spread_ms, |Length(ms)| Some(ms));
                To::Retry(RetryBody::new(self.reset_attempts.unwrap_or(false), spread_ms).wire())
            }
            Action::Cancel => {
                let why = self.why.clone().unwrap_or_else(|| self.reason.clone());
                let (grace_ms, dependents) = (self.grace_ms.unwrap_or(0), self.dependents.unwrap_or(false));
                To::Cancel(CancelBody::new(why, grace_ms, dependents).wire())
            }
            Action::Delete => To::Delete(Delete {}),
            Action::RunAt => To::RunAt(RunAt { run_at_ms: self.run_at.map_or(0, |Moment(at)| at) }),
            Action::Move => To::Move(Move { queue: self.queue.clone() }),
            Action::Patch => {
                let patch = self.patch.as_ref().map_or("{}", |patch| patch.get());
                let patch: PatchBody = super::super::body::parse(patch.as_bytes())
                    .map_err(|problem| problem.within(|pointer| format!("/patch{pointer}")))?;
                To::Patch(patch.wire()?)
            }
            Action::Bury => To::Bury(Bury {}),
            Action::Confirm => To::Confirm(Confirm {}),
        })
    }
}

/// Changes all jobs that match. Small changes are done when this is answered; large or paced ones go on in
/// the background.
#[utoipa::path(post, path = "/v1/operations", tag = "operations", request_body = OperationBody,
    params(Rehearsal, ("idempotency-key" = Option<String>, Header, description = "The same key again changes nothing twice")),
    responses((status = 200, description = "It is done", body = ChangedRow),
        (status = 202, description = "It goes on in the background", body = ChangedRow)))]
async fn start(call: Call<Rehearsal>, Json(body): Json<OperationBody>) -> Result<Response, Problem> {
    let select = Selector { filter: body.q.clone(), all: body.all, ..Selector::default() };
    if body.q.trim().is_empty() && !body.all {
        return Err(Problem::invalid("say which jobs in `q`, or set `all`").at("/q"));
    }
    let change = Change {
        select: Some(select),
        max: body.max,
        per_second: body.per_second,
        stop_failure_permille: body.stop_failure_permille,
        reason: call.words.reason(body.reason.clone()),
        to: Some(body.to()?),
        ..Change::default()
    };
    let rehearsal = Change { dry_run: true, per_second: 0, stop_failure_permille: 0, ..change.clone() };
    if body.dry_run || call.words.dry_run {
        return Ok(changes::answer(&call.change(rehearsal).await?));
    }
    if let Some(expected) = body.expect {
        let matched = call.change(rehearsal).await?.matched;
        if matched != expected {
            let message = format!("{matched} jobs match now, not {expected}; look again");
            return Err(Problem::state(message).at("/expect"));
        }
    }
    let operation = bytes(idempotency::operation(&call)?.unwrap_or_else(Uuid::now_v7));
    Ok(changes::answer(&call.change(Change { operation, ..change }).await?))
}

/// Stops a bulk change; what it has changed stays changed.
#[utoipa::path(delete, path = "/v1/operations/{id}", tag = "operations",
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is stopped", body = ChangedRow)))]
async fn stop(call: Call<Rehearsal>, Id(id): Id) -> Result<Response, Problem> {
    let operation = find(&call, id).await?;
    let operation = operation.ok_or_else(|| Problem::not_found("no such operation"))?;
    if call.words.dry_run {
        return Ok(json(StatusCode::OK, &ChangedRow::of(&operation)));
    }
    let reason = call.words.reason.clone();
    let change = Change { operation: bytes(id), reason, to: Some(To::Stop(Stop {})), ..Change::default() };
    Ok(json(StatusCode::OK, &ChangedRow::from(&call.change(change).await?)))
}
