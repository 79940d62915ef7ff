//! What the broker measures: metrics, courses over time, figures for autoscalers.

use super::super::Gateway;
use super::super::call::{Call, json};
use super::super::problem::Problem;
use crate::json::{Scale, Series};
use crate::metrics::{Format, Summary, text};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{Code, Query, Selector};

/// Rows of a list.
const ROWS: u32 = 1_000;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(metrics)).routes(routes!(series)).routes(routes!(scale))
}

/// Shows metrics for Prometheus: the text of OpenMetrics or, by default, of Prometheus 0.0.4; a few totals as
/// JSON for whoever accepts that.
#[utoipa::path(get, path = "/metrics", tag = "metrics",
    params(("queue" = Option<Vec<String>>, Query, description = "Only these queues, repeated")), responses((status = 200, description = "Metrics", body = String)))]
async fn metrics(call: Call<Vec<(String, String)>>) -> Result<Response, Problem> {
    if let Some(grant) = call.speaker.grant()
        && !(grant.looks() && grant.queues().is_all() && grant.namespaces().is_all())
    {
        let message = "metrics are of all queues and namespaces; they need a viewer of `*` and `*`";
        return Err(Problem::new(Code::Denied, message));
    }
    let mut queues = Vec::new();
    for (name, value) in &call.words {
        if name != "queue" {
            return Err(Problem::invalid(format!("{name} is unknown; here is only queue, repeated")));
        }
        queues.push(value.clone());
    }
    let measures =
        call.gateway.meters().read().await.ok_or_else(|| {
            Problem::new(Code::Draining, "the broker is stopping and measures nothing more")
        })?;
    let accept = call.header(header::ACCEPT);
    if accept.contains("application/json") {
        return Ok(json(StatusCode::OK, &Summary::of(&measures)));
    }
    let format = Format::of(accept);
    let shown = call.gateway.shown();
    // Some thousand lines take their time; other requests should not wait for that.
    let text = tokio::task::spawn_blocking(move || text(measures, &shown, &queues, format)).await;
    let text = text.map_err(|_| Problem::new(Code::Internal, "the metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

/// What courses are asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SeriesWords {
    /// enqueued, completed, failed, crashed, dead, ready, leased, `wait_p50_ms`, `wait_p99_ms`; absent: all.
    #[serde(default)]
    metric: String,
    /// Of which queue; absent: of all together; `*`: of each one.
    #[serde(default)]
    queue: String,
    /// How far to look back; absent: an hour.
    #[serde(default)]
    window_ms: u64,
    /// Time from value to value, at least 10,000; absent: a minute.
    #[serde(default)]
    step_ms: u64,
}

/// Courses over time.
#[derive(Serialize, ToSchema)]
struct SeriesList {
    items: Vec<Series>,
}

/// Shows courses over time.
#[utoipa::path(get, path = "/v1/stats/series", tag = "metrics", params(SeriesWords), responses((status = 200, description = "Courses", body = SeriesList)))]
async fn series(call: Call<SeriesWords>) -> Result<Response, Problem> {
    let SeriesWords { metric, queue, window_ms, step_ms } = &call.words;
    let select = match queue.as_str() {
        "*" => Selector { all: true, ..Selector::default() },
        _ => Selector { queue: queue.clone(), ..Selector::default() },
    };
    let (what, select) = (What::Series.into(), Some(select));
    let (name, window_ms, step_ms) = (metric.clone(), *window_ms, *step_ms);
    let query = Query { what, select, name, window_ms, step_ms, limit: ROWS, ..Query::default() };
    let rows = call.query(query).await?;
    let items = rows.series.into_iter().map(Series::from).collect();
    Ok(json(StatusCode::OK, &SeriesList { items }))
}

/// Whose figures are asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ScaleWords {
    /// The queue.
    queue: String,
    /// In which time the backlog is to be cleared; absent: an hour.
    #[serde(default)]
    window_ms: u64,
}

/// Shows what an autoscaler needs to know of a queue.
#[utoipa::path(get, path = "/v1/scale", tag = "metrics", params(ScaleWords), responses((status = 200, description = "Figures", body = Scale)))]
async fn scale(call: Call<ScaleWords>) -> Result<Response, Problem> {
    let ScaleWords { queue: name, window_ms } = &call.words;
    let query =
        Query { what: What::Scale.into(), name: name.clone(), window_ms: *window_ms, ..Query::default() };
    let figures = call.query(query).await?.scales.into_iter().next().unwrap_or_default();
    let queue = Query { what: What::Queues.into(), name: name.clone(), ..Query::default() };
    let row = call.query(queue).await?.queues.into_iter().next().unwrap_or_default();
    Ok(json(StatusCode::OK, &Scale::of(figures, row.oldest_ready_ms)))
}
