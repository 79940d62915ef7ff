//! Limits: as set, and as they stand.

use super::super::Gateway;
use super::super::body::Written as WrittenBody;
use super::super::call::{Call, Rehearsal};
use super::super::etag;
use super::super::page::{self, List, PageWords};
use super::super::path::Name;
use super::super::problem::Problem;
use super::stored::{self, StoredRow};
use crate::json::LimitRow;
use crate::json::message::{Limit, Written};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::{LimitView, Query};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, set, remove))
}

/// Lists limits, by name.
#[utoipa::path(get, path = "/v1/limits", tag = "limits", params(PageWords),
    responses((status = 200, description = "A page of limits", body = List<LimitRow>)))]
async fn list(call: Call<PageWords>) -> Result<Response, Problem> {
    let query = Query { what: What::Limits.into(), ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let limits = std::mem::take(&mut rows.limits).into_iter().map(LimitRow::from).collect();
    Ok(page::list(&call, &rows, limits))
}

/// Shows a limit.
#[utoipa::path(get, path = "/v1/limits/{limit}", tag = "limits", params(("limit" = String, Path, description = "Its name")),
    responses((status = 200, description = "The limit", body = LimitRow), (status = 304, description = "It is as it was")))]
async fn show(call: Call, Name(name): Name) -> Result<Response, Problem> {
    let limit = find(&call, &name).await?;
    Ok(etag::of_version(&call, limit.version, &LimitRow::from(limit)))
}

/// The limit of this name.
async fn find<W>(call: &Call<W>, name: &str) -> Result<LimitView, Problem> {
    let query = Query { what: What::Limits.into(), name: name.to_owned(), ..Query::default() };
    let limit = call.query(query).await?.limits.into_iter().next();
    limit.ok_or_else(|| Problem::not_found(format!("there is no limit {name}")))
}

/// Sets a limit: a rate, a concurrency, a pause or a breaker.
#[utoipa::path(put, path = "/v1/limits/{limit}", tag = "limits", request_body = Limit,
    params(("limit" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It is set", body = StoredRow)))]
async fn set(
    call: Call<Rehearsal>,
    Name(name): Name,
    WrittenBody(limit): WrittenBody<Limit>,
) -> Result<Response, Problem> {
    stored::set(&call, "limit", &name, Content::Limit(limit.wire())).await
}

/// Removes a limit.
#[utoipa::path(delete, path = "/v1/limits/{limit}", tag = "limits",
    params(("limit" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 204, description = "It is not there any more")))]
async fn remove(call: Call<Rehearsal>, Name(name): Name) -> Result<Response, Problem> {
    stored::remove(&call, "limit", &name).await
}
