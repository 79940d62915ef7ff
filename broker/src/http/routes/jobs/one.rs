//! One job: all that is kept of it, why it does not run, what its handlers wrote.

use super::super::super::Gateway;
use super::super::super::call::{self, Call, json};
use super::super::super::etag;
use super::super::super::page::{self, List, PageWords};
use super::super::super::path::Id;
use super::super::super::problem::Problem;
use crate::json::{Explain, Job, LogLine};
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::Query;
use windlass_proto::v1::query::What;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(explain)).routes(routes!(logs))
}

/// Shows a job in full.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The job", body = Job), (status = 304, description = "It is as it was")))]
async fn show(call: Call, Id(id): Id) -> Result<Response, Problem> {
    let rows = call.of_job(What::Job, id).await?;
    let job = rows.jobs.into_iter().next().map(Job::from);
    let job = job.ok_or_else(|| Problem::not_found("no such job; it may have been removed"))?;
    Ok(etag::of_content(&call, &job))
}

/// Tells why a job does not run.
#[utoipa::path(get, path = "/v1/jobs/{id}/explain", tag = "jobs", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The reasons, the strongest first", body = Explain)))]
async fn explain(call: Call, Id(id): Id) -> Result<Response, Problem> {
    let rows = call.of_job(What::Explain, id).await?;
    let explain = rows.explains.into_iter().next().map(Explain::from);
    let explain = explain.ok_or_else(|| Problem::not_found("no such job; it may have been removed"))?;
    Ok(json(StatusCode::OK, &explain))
}

/// Shows what the handlers of a job wrote, the oldest line first.
#[utoipa::path(get, path = "/v1/jobs/{id}/logs", tag = "jobs",
    params(("id" = uuid::Uuid, Path, description = "Its id"), PageWords),
    responses((status = 200, description = "A page of lines", body = List<LogLine>)))]
async fn logs(call: Call<PageWords>, Id(id): Id) -> Result<Response, Problem> {
    let query = Query { what: What::Logs.into(), select: Some(call::one(id)), ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let lines = std::mem::take(&mut rows.logs).into_iter().map(LogLine::from).collect();
    Ok(page::list(&call, &rows, lines))
}
