//! The plain forms: enqueue with one small object, and read a result by id.

use super::super::Gateway;
use super::super::body::Json;
use super::super::guard::Namespace;
use super::super::problem::Problem;
use crate::local::unexpected;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Enqueue, JobSpec, Policy, Query, Selector, State as JobState, enqueued};

/// Most retries, so that attempts stay a number of the protocol.
const RETRIES_MAX: u32 = 999_999;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(enqueue)).routes(routes!(result))
}

/// A job in the plain form.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlainJob {
    /// Which handler runs it; `type` means the same.
    #[serde(alias = "type")]
    kind: String,
    /// Any JSON; `data` means the same.
    #[serde(default, alias = "data")]
    #[schema(value_type = serde_json::Value)]
    payload: Option<Box<RawValue>>,
    /// How often it is tried again after a failure; attempts are one more.
    #[schema(maximum = 999_999)]
    retries: Option<u32>,
    /// Where it waits; default `default`.
    #[serde(default)]
    queue: String,
    /// 0 to 9, higher first.
    #[schema(maximum = 9)]
    priority: Option<u32>,
    /// Runs no earlier than this from now.
    #[serde(default)]
    delay_ms: u64,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
struct Accepted {
    /// The job's id.
    id: String,
    /// The same in a sentence.
    message: String,
}

/// Enqueues a job. When this is answered, the job is on disk.
#[utoipa::path(post, path = "/enqueue", tag = "plain", request_body = PlainJob, responses(
    (status = 202, description = "The job is on disk", body = Accepted),
    (status = "default", description = "A refusal", body = Problem, content_type = "application/problem+json")))]
async fn enqueue(
    State(gateway): State<Gateway>,
    Namespace(namespace): Namespace,
    headers: HeaderMap,
    Json(job): Json<PlainJob>,
) -> Result<Response, Problem> {
    let retries = job.retries.map(|retries| {
        if retries <= RETRIES_MAX {
            Ok(retries + 1)
        } else {
            Err(Problem::invalid(format!("retries is at most {RETRIES_MAX}")).at("/retries"))
        }
    });
    let max_attempts = retries.transpose()?;
    let has_policy = max_attempts.is_some() || job.priority.is_some();
    let id = Uuid::now_v7();
    let payload = job.payload.map(|json| Box::<str>::from(Box::<RawValue>::from(json)).into_string());
    let spec = JobSpec {
        id: id.as_bytes().to_vec().into(),
        queue: job.queue,
        kind: job.kind,
        content_type: "application/json".to_owned(),
        payload: payload.unwrap_or_else(|| "null".to_owned()).into(),
        delay_ms: job.delay_ms,
        policy: has_policy.then(|| Policy { max_attempts, priority: job.priority, ..Policy::default() }),
        ..JobSpec::default()
    };
    let asked = Enqueue { jobs: vec![spec], ..Enqueue::default() };
    match gateway.locals().ask(&namespace, Request::Enqueue(asked)).await? {
        Body::Enqueued(enqueued) => match enqueued.results.into_iter().next() {
            Some(enqueued::One { error: Some(error), .. }) => Err(error.into()),
            Some(_) | None => Ok(accepted(id, &headers)),
        },
        other => Err(unexpected(&other).into()),
    }
}

fn accepted(id: Uuid, headers: &HeaderMap) -> Response {
    let message = format!("job {id} is enqueued");
    let wants = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if wants.starts_with("text/plain") {
        return (StatusCode::ACCEPTED, format!("{message}\n")).into_response();
    }
    (StatusCode::ACCEPTED, axum::Json(Accepted { id: id.to_string(), message })).into_response()
}

/// The result of a job: 200 with it, 202 while there is none yet, 410 if it ended without one or it is
/// no longer kept, 404 if there is no such job.
#[utoipa::path(get, path = "/results/{id}", tag = "plain",
    params(("id" = String, Path, description = "The job's id, a UUID")), responses(
    (status = 200, description = "What the handler returned", body = serde_json::Value),
    (status = 202, description = "It has not ended", body = serde_json::Value),
    (status = 410, description = "It ended without a result, or the result is no longer kept", body = Problem),
    (status = "default", description = "A refusal", body = Problem, content_type = "application/problem+json")))]
async fn result(
    State(gateway): State<Gateway>,
    Namespace(namespace): Namespace,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: Uuid = id.parse().map_err(|_| Problem::not_found("the id of a job is a UUID"))?;
    let select = Selector { ids: vec![id.as_bytes().to_vec().into()], ..Selector::default() };
    let query = Query { what: What::Job.into(), select: Some(select), ..Query::default() };
    let Body::Rows(rows) = gateway.locals().ask(&namespace, Request::Query(query)).await? else {
        return Err(Problem::not_found("no row"));
    };
    let Some(job) = rows.jobs.into_iter().next() else {
        return Err(Problem::not_found(format!("no job has the id {id}; it may have been removed")));
    };
    match job.state() {
        JobState::Completed if job.result_dropped => Err(gone("the result was dropped to save room")),
        JobState::Completed => {
            let content = if job.result_content_type.is_empty() {
                "application/json"
            } else {
                &job.result_content_type
            };
            let content = HeaderValue::from_str(content)
                .unwrap_or(HeaderValue::from_static("application/octet-stream"));
            let body = if job.result.is_empty() { "null".into() } else { job.result };
            Ok((StatusCode::OK, [(header::CONTENT_TYPE, content)], body).into_response())
        }
        JobState::Dead | JobState::Cancelled | JobState::Expired => {
            Err(gone(&format!("the job ended without a result: it is {}", word(job.state()))))
        }
        JobState::Unspecified
        | JobState::Held
        | JobState::Scheduled
        | JobState::Blocked
        | JobState::Ready
        | JobState::Leased => {
            let pending = serde_json::json!({"status": "pending", "state": word(job.state())});
            Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")], axum::Json(pending)).into_response())
        }
    }
}

fn gone(detail: &str) -> Problem {
    Problem::not_found(detail).with_status(StatusCode::GONE)
}

fn word(state: JobState) -> String {
    let name = state.as_str_name();
    name.strip_prefix("STATE_").unwrap_or(name).to_lowercase()
}
