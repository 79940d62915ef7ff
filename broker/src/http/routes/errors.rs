//! Failures in groups that look alike.

use super::super::Gateway;
use super::super::call::Call;
use super::super::page::{self, List};
use super::super::problem::Problem;
use super::super::span;
use super::super::terms::terms;
use crate::json::ErrorGroup;
use axum::response::Response;
use serde::Deserialize;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{Query, Selector};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which failures.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ErrorsWords {
    /// How far to look back, like `1h` (default) or `7d`.
    #[serde(default)]
    window: String,
    /// `queue:NAME`, `kind:NAME`, or both.
    #[serde(default)]
    q: String,
    /// Groups at most; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Lists groups of failures, the most frequent first.
#[utoipa::path(get, path = "/v1/errors", tag = "errors", params(ErrorsWords),
    responses((status = 200, description = "The groups", body = List<ErrorGroup>)))]
async fn list(call: Call<ErrorsWords>) -> Result<Response, Problem> {
    let ErrorsWords { window, q, limit } = &call.words;
    let mut select = Selector { all: true, ..Selector::default() };
    for (name, value) in terms(q, &["queue", "kind"])? {
        *(if name == "queue" { &mut select.queue } else { &mut select.kind }) = value;
    }
    let window_ms = match window.as_str() {
        "" => 0,
        text => span::ms(text).map_err(|fault| Problem::invalid(fault).at("/window"))?,
    };
    let query = Query { what: What::Errors.into(), select: Some(select), window_ms, ..Query::default() };
    let mut rows = call.query(page::paged(query, *limit, None)?).await?;
    let groups = std::mem::take(&mut rows.errors).into_iter().map(ErrorGroup::from).collect();
    Ok(page::list(&call, &rows, groups))
}
