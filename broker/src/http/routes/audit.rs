//! What was changed, when, by whom and why.

use super::super::Gateway;
use super::super::call::Call;
use super::super::page::{self, List, PageWords};
use super::super::problem::Problem;
use crate::json::Audit;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::Query;
use windlass_proto::v1::query::What;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Lists changes, the newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(PageWords),
    responses((status = 200, description = "A page of entries", body = List<Audit>)))]
async fn list(call: Call<PageWords>) -> Result<Response, Problem> {
    let query = Query { what: What::Audit.into(), newest_first: true, ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let audits = std::mem::take(&mut rows.audits).into_iter().map(Audit::from).collect();
    Ok(page::list(&call, &rows, audits))
}
