//! What is done to one job.

use super::super::super::Gateway;
use super::super::super::body::Json;
use super::super::super::call::{self, Call, Rehearsal};
use super::super::super::idempotency;
use super::super::super::path::Id;
use super::super::super::problem::Problem;
use super::super::changes::{self, CancelBody, ChangedRow, MoveBody, PatchBody, ReasonBody, RetryBody};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::v1::change::To;
use windlass_proto::v1::{Bury, Change, Confirm, Delete, Move, RunAt};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(retry))
        .routes(routes!(cancel))
        .routes(routes!(run_now))
        .routes(routes!(move_to))
        .routes(routes!(bury))
        .routes(routes!(confirm))
        .routes(routes!(patch, delete))
}

/// Runs an ended job again, and at once one that waits for its next attempt.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "jobs", request_body = RetryBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is changed", body = ChangedRow)))]
async fn retry(call: Call<Rehearsal>, Id(id): Id, Json(body): Json<RetryBody>) -> Result<Response, Problem> {
    let to = To::Retry(body.wire());
    change(&call, id, to, body.reason).await
}

/// Calls a job off; a running one is asked to stop.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", request_body = CancelBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is changed", body = ChangedRow)))]
async fn cancel(
    call: Call<Rehearsal>,
    Id(id): Id,
    Json(body): Json<CancelBody>,
) -> Result<Response, Problem> {
    let to = To::Cancel(body.wire());
    change(&call, id, to, body.reason).await
}

/// Runs a scheduled job now.
#[utoipa::path(post, path = "/v1/jobs/{id}/run-now", tag = "jobs", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is changed", body = ChangedRow)))]
async fn run_now(
    call: Call<Rehearsal>,
    Id(id): Id,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    change(&call, id, To::RunAt(RunAt { run_at_ms: 0 }), body.reason).await
}

/// Moves a waiting job to another queue.
#[utoipa::path(post, path = "/v1/jobs/{id}/move", tag = "jobs", request_body = MoveBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is changed", body = ChangedRow)))]
async fn move_to(call: Call<Rehearsal>, Id(id): Id, Json(body): Json<MoveBody>) -> Result<Response, Problem> {
    change(&call, id, To::Move(Move { queue: body.queue }), body.reason).await
}

/// Ends a waiting job as dead.
#[utoipa::path(post, path = "/v1/jobs/{id}/bury", tag = "jobs", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is changed", body = ChangedRow)))]
async fn bury(call: Call<Rehearsal>, Id(id): Id, Json(body): Json<ReasonBody>) -> Result<Response, Problem> {
    change(&call, id, To::Bury(Bury {}), body.reason).await
}

/// Releases a held job.
#[utoipa::path(post, path = "/v1/jobs/{id}/confirm", tag = "jobs", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is changed", body = ChangedRow)))]
async fn confirm(
    call: Call<Rehearsal>,
    Id(id): Id,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    change(&call, id, To::Confirm(Confirm {}), body.reason).await
}

/// Changes what a waiting job is.
#[utoipa::path(patch, path = "/v1/jobs/{id}", tag = "jobs", request_body = PatchBody,
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is changed", body = ChangedRow)))]
async fn patch(call: Call<Rehearsal>, Id(id): Id, Json(body): Json<PatchBody>) -> Result<Response, Problem> {
    let reason = body.reason.clone();
    let to = To::Patch(body.wire()?);
    change(&call, id, to, reason).await
}

/// Removes a job with all that is kept of it, whatever its state.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = Uuid, Path, description = "Its id"), Rehearsal),
    responses((status = 200, description = "It is removed", body = ChangedRow)))]
async fn delete(call: Call<Rehearsal>, Id(id): Id) -> Result<Response, Problem> {
    change(&call, id, To::Delete(Delete {}), String::new()).await
}

async fn change(call: &Call<Rehearsal>, id: Uuid, to: To, reason: String) -> Result<Response, Problem> {
    let change = Change {
        select: Some(call::one(id)),
        dry_run: call.words.dry_run,
        reason: call.words.reason(reason),
        // Under a key of the client's the same request does nothing twice, and tells what it did.
        operation: idempotency::operation(call)?.map(call::bytes).unwrap_or_default(),
        to: Some(to),
        ..Change::default()
    };
    let changed = call.change(change).await?;
    match (changed.matched, changed.changed) {
        (0, _) => Err(Problem::not_found("no such job; it may have been removed")),
        (_, 0) if changed.operation.is_empty() => Err(Problem::state(
            "the job is in a state that this verb does not take; read it, or see docs/PROTOCOL.md under Change",
        )),
        _ => Ok(changes::answer(&changed)),
    }
}
