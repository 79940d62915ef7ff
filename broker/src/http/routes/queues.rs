//! Queues: their counts and their configuration.

use super::super::Gateway;
use super::super::body::{Json, Written as WrittenBody};
use super::super::call::{Call, Rehearsal, json};
use super::super::etag;
use super::super::idempotency;
use super::super::page::{self, List, PageWords};
use super::super::path::Name;
use super::super::problem::Problem;
use super::super::span::Moment;
use super::changes::{self, ChangedRow};
use super::stored::{self, StoredRow};
use crate::json::Queue;
use crate::json::message::{QueueConf, Written};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::limits::ROWS_MAX;
use windlass_proto::v1::change::To;
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::{Change, Delete, Limit, Query, QueueView, Selector, State};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, set, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(purge))
}

/// Every queue of the namespace.
pub(super) async fn all<W>(call: &Call<W>) -> Result<Vec<QueueView>, Problem> {
    let mut queues = Vec::new();
    let mut query =
        Query { what: What::Queues.into(), limit: u32::try_from(ROWS_MAX).unwrap_or(0), ..Query::default() };
    loop {
        let rows = call.query(query.clone()).await?;
        queues.extend(rows.queues);
        if rows.cursor.is_empty() {
            return Ok(queues);
        }
        query.cursor = rows.cursor;
    }
}

/// Lists queues, by name.
#[utoipa::path(get, path = "/v1/queues", tag = "queues", params(PageWords),
    responses((status = 200, description = "A page of queues", body = List<Queue>)))]
async fn list(call: Call<PageWords>) -> Result<Response, Problem> {
    let query = Query { what: What::Queues.into(), ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let queues = std::mem::take(&mut rows.queues).into_iter().map(Queue::from).collect();
    Ok(page::list(&call, &rows, queues))
}

/// Shows a queue.
#[utoipa::path(get, path = "/v1/queues/{queue}", tag = "queues", params(("queue" = String, Path, description = "Its name")),
    responses((status = 200, description = "The queue", body = Queue), (status = 304, description = "It is as it was")))]
async fn show(call: Call, Name(name): Name) -> Result<Response, Problem> {
    let queue = find(&call, &name).await?;
    Ok(etag::of_version(&call, queue.version, &Queue::from(queue)))
}

/// The queue of this name.
pub(super) async fn find<W>(call: &Call<W>, name: &str) -> Result<QueueView, Problem> {
    let query = Query { what: What::Queues.into(), name: name.to_owned(), ..Query::default() };
    let queue = call.query(query).await?.queues.into_iter().next();
    queue.ok_or_else(|| {
        Problem::not_found(format!("no job was ever in a queue {name}, and nothing is set for it"))
    })
}

/// Sets how a queue behaves.
#[utoipa::path(put, path = "/v1/queues/{queue}", tag = "queues", request_body = QueueConf,
    params(("queue" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It is set", body = StoredRow)))]
async fn set(
    call: Call<Rehearsal>,
    Name(name): Name,
    WrittenBody(conf): WrittenBody<QueueConf>,
) -> Result<Response, Problem> {
    stored::set(&call, "queue", &name, Content::Queue(conf.wire())).await
}

/// Lets a queue behave as all others do; its jobs stay.
#[utoipa::path(delete, path = "/v1/queues/{queue}", tag = "queues",
    params(("queue" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 204, description = "Nothing is set for it any more")))]
async fn remove(call: Call<Rehearsal>, Name(name): Name) -> Result<Response, Problem> {
    stored::remove(&call, "queue", &name).await
}

/// Why a queue stands, and until when.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct PauseBody {
    /// Shown to whoever wonders.
    why: String,
    /// It goes on by itself then; default: when somebody says so.
    until: Option<Moment>,
}

/// Whether a queue stands.
#[derive(Debug, Serialize, ToSchema)]
struct Standing {
    /// Its name.
    name: String,
    /// No job of it is handed out.
    paused: bool,
}

/// Hands out no more jobs of a queue; those that run go on.
#[utoipa::path(post, path = "/v1/queues/{queue}/pause", tag = "queues", request_body = PauseBody,
    params(("queue" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It is paused", body = Standing)))]
async fn pause(
    call: Call<Rehearsal>,
    Name(name): Name,
    Json(body): Json<PauseBody>,
) -> Result<Response, Problem> {
    let limit = Limit {
        queue: name.clone(),
        concurrency: Some(0),
        why: body.why,
        until_at_ms: body.until.map_or(0, |Moment(at)| at),
        ..Limit::default()
    };
    stored::set_if(&call, "limit", &pause_of(&name), Content::Limit(limit), 0).await?;
    Ok(json(StatusCode::OK, &Standing { name, paused: true }))
}

/// Nothing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ResumeBody {}

/// Hands out jobs of a queue again.
#[utoipa::path(post, path = "/v1/queues/{queue}/resume", tag = "queues", request_body = ResumeBody,
    params(("queue" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It is not paused", body = Standing)))]
async fn resume(
    call: Call<Rehearsal>,
    Name(name): Name,
    Json(ResumeBody {}): Json<ResumeBody>,
) -> Result<Response, Problem> {
    stored::remove(&call, "limit", &pause_of(&name)).await?;
    Ok(json(StatusCode::OK, &Standing { name, paused: false }))
}

/// The limit that is the pause of a queue.
fn pause_of(queue: &str) -> String {
    format!("pause:queue/{queue}")
}

/// Which jobs are removed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct PurgeBody {
    /// A condition in the filter language; default: those that wait.
    q: String,
    /// Count and sample, change nothing; `?dry_run=1` means the same.
    dry_run: bool,
    /// For the audit.
    reason: String,
}

/// Removes jobs of a queue: those that wait, or those of a condition.
#[utoipa::path(post, path = "/v1/queues/{queue}/purge", tag = "queues", request_body = PurgeBody,
    params(("queue" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "They are removed", body = ChangedRow),
        (status = 202, description = "It goes on in the background", body = ChangedRow)))]
async fn purge(
    call: Call<Rehearsal>,
    Name(name): Name,
    Json(body): Json<PurgeBody>,
) -> Result<Response, Problem> {
    let waiting = [State::Held, State::Scheduled, State::Blocked, State::Ready].map(i32::from);
    let states = if body.q.trim().is_empty() { waiting.to_vec() } else { Vec::new() };
    let select = Selector { queue: name, states, filter: body.q, ..Selector::default() };
    let dry_run = body.dry_run || call.words.dry_run;
    let operation = idempotency::operation(&call)?.unwrap_or_else(Uuid::now_v7);
    let change = Change {
        select: Some(select),
        dry_run,
        operation: if dry_run { bytes::Bytes::new() } else { super::super::call::bytes(operation) },
        reason: call.words.reason(body.reason),
        to: Some(To::Delete(Delete {})),
        ..Change::default()
    };
    Ok(changes::answer(&call.change(change).await?))
}
