//! Workers and other sessions.

use super::super::Gateway;
use super::super::body::Json;
use super::super::call::{Call, Rehearsal, bytes};
use super::super::page::{self, List, PageWords};
use super::super::path::Id;
use super::super::problem::Problem;
use super::changes::{self, ChangedRow, ReasonBody};
use crate::json::Worker;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::limits::ROWS_MAX;
use windlass_proto::v1::change::To;
use windlass_proto::v1::query::What;
use windlass_proto::v1::signal::Type as Order;
use windlass_proto::v1::{Change, Query, Selector, SessionView, Tell};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(quiet))
        .routes(routes!(resume))
        .routes(routes!(stop))
        .routes(routes!(dump))
}

/// Lists the sessions that are alive.
#[utoipa::path(get, path = "/v1/workers", tag = "workers", params(PageWords),
    responses((status = 200, description = "A page of sessions", body = List<Worker>)))]
async fn list(call: Call<PageWords>) -> Result<Response, Problem> {
    let query = Query { what: What::Sessions.into(), ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let sessions = std::mem::take(&mut rows.sessions).into_iter();
    let workers = sessions.filter(|session| !call.gateway.is_own(session)).map(Worker::from).collect();
    Ok(page::list(&call, &rows, workers))
}

/// How many sessions draw jobs, or hold some.
pub(super) async fn count<W>(call: &Call<W>) -> Result<u64, Problem> {
    let is_worker = |session: &&SessionView| session.streams > 0 || session.leases > 0;
    let mut workers = 0;
    let mut query = Query {
        what: What::Sessions.into(),
        limit: u32::try_from(ROWS_MAX).unwrap_or(0),
        ..Query::default()
    };
    loop {
        let rows = call.query(query.clone()).await?;
        workers += rows.sessions.iter().filter(is_worker).count() as u64;
        if rows.cursor.is_empty() {
            return Ok(workers);
        }
        query.cursor = rows.cursor;
    }
}

/// Lets a worker take no more jobs, and finish those at hand.
#[utoipa::path(post, path = "/v1/workers/{id}/quiet", tag = "workers", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is told", body = ChangedRow)))]
async fn quiet(call: Call<Rehearsal>, Id(id): Id, Json(body): Json<ReasonBody>) -> Result<Response, Problem> {
    tell(&call, id, Order::Quiet, body.reason).await
}

/// Lets a worker take jobs again.
#[utoipa::path(post, path = "/v1/workers/{id}/resume", tag = "workers", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is told", body = ChangedRow)))]
async fn resume(
    call: Call<Rehearsal>,
    Id(id): Id,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    tell(&call, id, Order::Resume, body.reason).await
}

/// Lets a worker finish what it runs and end.
#[utoipa::path(post, path = "/v1/workers/{id}/stop", tag = "workers", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is told", body = ChangedRow)))]
async fn stop(call: Call<Rehearsal>, Id(id): Id, Json(body): Json<ReasonBody>) -> Result<Response, Problem> {
    tell(&call, id, Order::Terminate, body.reason).await
}

/// Lets a worker write what it is doing to its log.
#[utoipa::path(post, path = "/v1/workers/{id}/dump", tag = "workers", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is told", body = ChangedRow)))]
async fn dump(call: Call<Rehearsal>, Id(id): Id, Json(body): Json<ReasonBody>) -> Result<Response, Problem> {
    tell(&call, id, Order::Dump, body.reason).await
}

async fn tell(call: &Call<Rehearsal>, id: Uuid, order: Order, reason: String) -> Result<Response, Problem> {
    let change = Change {
        select: Some(Selector { session: bytes(id), ..Selector::default() }),
        dry_run: call.words.dry_run,
        reason: call.words.reason(reason),
        to: Some(To::Tell(Tell { r#type: order.into(), ..Tell::default() })),
        ..Change::default()
    };
    let changed = call.change(change).await?;
    if changed.matched == 0 {
        return Err(Problem::not_found("no such worker; its session may have ended"));
    }
    Ok(changes::answer(&changed))
}
