//! The plain forms: enqueue with one small object, and read a result by id.

use super::super::Gateway;
use super::super::body::Json;
use super::super::call::{Call, json};
use super::super::path::Id;
use super::super::problem::Problem;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::v1::{Enqueue, JobSpec, Policy};

/// Most retries, so that attempts stay a number of the protocol.
const RETRIES_MAX: u32 = 9_999;

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
    #[schema(maximum = 9_999)]
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
async fn enqueue(call: Call, Json(job): Json<PlainJob>) -> Result<Response, Problem> {
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
    let payload = job.payload.map(|json| Box::<str>::from(json).into_string());
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
    let made = call.enqueue(Enqueue { jobs: vec![spec], ..Enqueue::default() }).await;
    let one = made.map_err(Problem::of_one_job)?.into_iter().next().unwrap_or_default();
    match one.error {
        Some(error) => Err(Problem::from(error).of_one_job()),
        None => Ok(accepted(id, &call)),
    }
}

fn accepted(id: Uuid, call: &Call) -> Response {
    let message = format!("job {id} is enqueued");
    if call.header(header::ACCEPT).starts_with("text/plain") {
        return (StatusCode::ACCEPTED, format!("{message}\n")).into_response();
    }
    json(StatusCode::ACCEPTED, &Accepted { id: id.to_string(), message })
}

/// The result of a job: 200 with it, 202 while there is none yet, 410 if it ended without one or it is
/// no longer kept, 404 if there is no such job.
#[utoipa::path(get, path = "/results/{id}", tag = "plain",
    params(("id" = String, Path, description = "The job's id, a UUID")), responses(
    (status = 200, description = "What the handler returned", body = serde_json::Value),
    (status = 202, description = "It has not ended", body = serde_json::Value),
    (status = 410, description = "It ended without a result, or the result is no longer kept", body = Problem),
    (status = "default", description = "A refusal", body = Problem, content_type = "application/problem+json")))]
async fn result(call: Call, Id(id): Id) -> Result<Response, Problem> {
    super::jobs::outcome(&call, id).await
}
