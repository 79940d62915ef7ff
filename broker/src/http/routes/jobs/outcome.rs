//! What a handler returned: the result of a job, now or when it has ended.

use super::super::super::Gateway;
use super::super::super::call::{self, Call};
use super::super::super::path::Id;
use super::super::super::problem::Problem;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::v1::query::What;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Code, JobView, State, Watch};

/// Longest wait for a result, in seconds.
const WAIT_S_MAX: u64 = 60;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(result))
}

/// Reads the result of a job. With `Prefer: wait=N` the answer comes when the job has ended, after N
/// seconds at most.
#[utoipa::path(get, path = "/v1/jobs/{id}/result", tag = "jobs",
    params(("id" = Uuid, Path, description = "Its id"),
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait for the end, at most N seconds, at most 60")),
    responses(
        (status = 200, description = "What the handler returned, as it returned it", content_type = "*/*"),
        (status = 202, description = "It has not ended", body = serde_json::Value),
        (status = 410, description = "It ended without a result, or the result is no longer kept",
            body = Problem, content_type = "application/problem+json")))]
async fn result(call: Call, Id(id): Id) -> Result<Response, Problem> {
    let Some(wait_s) = call.wait_s(WAIT_S_MAX) else { return outcome(&call, id).await };
    let ended = async {
        let select = Some(call::one(id));
        let watch = Watch { select, until_finished: true, ..Watch::default() };
        let (_local, mut events) = call.gateway.locals().watch(&call.speaker, &call.namespace, watch).await?;
        while let Some(word) = events.next().await {
            if let Body::Error(error) = word {
                return Err(Problem::from(error));
            }
        }
        Ok(())
    };
    let mut is_open = outcome(&call, id).await?;
    if is_open.status() == StatusCode::ACCEPTED {
        if let Ok(waited) = tokio::time::timeout(Duration::from_secs(wait_s), ended).await {
            waited?;
        }
        is_open = outcome(&call, id).await?;
    }
    let applied = HeaderValue::from_str(&format!("wait={wait_s}"));
    let name = HeaderName::from_static("preference-applied");
    is_open.headers_mut().insert(name, applied.expect("a number is a header"));
    Ok(is_open)
}

/// The result as it stands.
pub(in super::super) async fn outcome<W>(call: &Call<W>, id: Uuid) -> Result<Response, Problem> {
    let rows = call.of_job(What::Job, id).await?;
    let Some(job) = rows.jobs.into_iter().next() else {
        return Err(Problem::not_found(format!("no job has the id {id}; it may have been removed")));
    };
    let word = crate::json::word(job.state().as_str_name(), "STATE_");
    match job.state() {
        State::Completed if job.bodies_hidden => {
            Err(Problem::new(Code::Denied, "the token may not see what jobs carry and return"))
        }
        State::Completed if job.result_dropped => Err(gone("the result was dropped to save room")),
        State::Completed => Ok(returned(job)),
        State::Dead | State::Cancelled | State::Expired => {
            Err(gone(&format!("the job ended without a result: it is {word}")))
        }
        State::Unspecified
        | State::Held
        | State::Scheduled
        | State::Blocked
        | State::Ready
        | State::Leased => {
            let pending = serde_json::json!({"status": "pending", "state": word});
            Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")], axum::Json(pending)).into_response())
        }
    }
}

fn returned(job: JobView) -> Response {
    let content = match job.result_content_type.as_str() {
        "" if serde_json::from_slice::<serde::de::IgnoredAny>(&job.result).is_err() => {
            "application/octet-stream"
        }
        "" => "application/json",
        content => content,
    };
    let content = HeaderValue::from_str(content);
    let content = content.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    if job.result.is_empty() {
        return (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], "null").into_response();
    }
    // A browser that is led here must not run what a worker returned.
    let harmless = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    (StatusCode::OK, [(header::CONTENT_TYPE, content), harmless], job.result).into_response()
}

fn gone(detail: &str) -> Problem {
    Problem::not_found(detail).with_status(StatusCode::GONE)
}
