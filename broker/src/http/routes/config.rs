//! The configuration: resources as stored.

use super::super::Gateway;
use super::super::call::Call;
use super::super::page::{self, List, PageWords};
use super::super::problem::Problem;
use crate::json::Resource;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::Query;
use windlass_proto::v1::query::What;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Lists resources, by name.
#[utoipa::path(get, path = "/v1/config", tag = "config", params(PageWords),
    responses((status = 200, description = "A page of resources", body = List<Resource>)))]
async fn list(call: Call<PageWords>) -> Result<Response, Problem> {
    let query = Query { what: What::Config.into(), ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let resources = std::mem::take(&mut rows.configs).into_iter().map(Resource::from).collect();
    Ok(page::list(&call, &rows, resources))
}
