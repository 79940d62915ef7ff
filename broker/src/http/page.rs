//! Lists: a page of rows, and the way to the next one.

use super::call::Call;
use super::problem::Problem;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_proto::v1::{Query, Rows};

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageWords {
    /// Rows on a page; default 100.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// A page of rows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// The rows of this page.
    pub(super) items: Vec<T>,
    /// Where the next page begins; null: this was the last one.
    pub(super) next_cursor: Option<String>,
    /// Rows on this page and others; null where counting them is not worth it.
    pub(super) total: Option<u64>,
    /// `total` is exact; false: at least that many, or not known.
    pub(super) total_exact: bool,
}

/// Puts the page into a query.
pub(super) fn paged(query: Query, limit: Option<u32>, cursor: Option<&str>) -> Result<Query, Problem> {
    let cursor = match cursor {
        None | Some("") => Bytes::new(),
        Some(text) => {
            let read = URL_SAFE_NO_PAD.decode(text);
            read.map_err(|_| Problem::invalid("this cursor is not from this list").at("/cursor"))?.into()
        }
    };
    if limit == Some(0) {
        return Err(Problem::invalid("a page has 1 to 1000 rows").at("/limit"));
    }
    Ok(Query { limit: limit.unwrap_or(0), cursor, ..query })
}

/// Rows as a page: JSON, or a line each for whoever accepts NDJSON.
pub(super) fn list<T: Serialize, W>(call: &Call<W>, rows: &Rows, items: Vec<T>) -> Response {
    let next_cursor = (!rows.cursor.is_empty()).then(|| URL_SAFE_NO_PAD.encode(&rows.cursor));
    let link = next_cursor.as_ref().and_then(|cursor| link(call, cursor));
    let mut response = if call.header(header::ACCEPT).starts_with("application/x-ndjson") {
        let lines =
            items.iter().map(|item| serde_json::to_string(item).expect("a row of ours is JSON") + "\n");
        let text: String = lines.collect();
        (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response()
    } else {
        let (total, total_exact) = (rows.total, rows.total_exact);
        let total = (total_exact || total > 0).then_some(total);
        super::call::json(StatusCode::OK, &List { items, next_cursor, total, total_exact })
    };
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The way to the next page: this request with another cursor.
fn link<W>(call: &Call<W>, cursor: &str) -> Option<HeaderValue> {
    let query = call.uri.query().unwrap_or_default();
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let mut query: String = others.map(|pair| format!("{pair}&")).collect();
    query.push_str("cursor=");
    query.push_str(cursor);
    HeaderValue::from_str(&format!("<{}?{query}>; rel=\"next\"", call.uri.path())).ok()
}
