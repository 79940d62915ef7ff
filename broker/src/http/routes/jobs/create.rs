//! New jobs: one, many, or a line each.

use super::super::super::Gateway;
use super::super::super::body;
use super::super::super::call::{Call, Rehearsal, json};
use super::super::super::idempotency;
use super::super::super::problem::Problem;
use super::spec::NewJob;
use crate::json::{content, id, word};
use crate::limits::HTTP_LINES_MAX;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::limits::JOBS_PER_FRAME_MAX;
use windlass_proto::v1::enqueue::Wait;
use windlass_proto::v1::enqueued::{One, Outcome};
use windlass_proto::v1::query::What;
use windlass_proto::v1::{Code, Enqueue, JobSpec};

/// Jobs of an NDJSON body that go to the engine at once.
const LINES_AT_ONCE: usize = 1_000;
/// Bytes of them.
const BYTES_AT_ONCE: usize = 1 << 20;
/// Longest wait for the end of jobs, in seconds.
const WAIT_S_MAX: u64 = 60;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Many new jobs, stored in one write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewJobs {
    /// 1 to 10,000 of them.
    #[schema(min_items = 1, max_items = 10000, value_type = Vec<NewJob>)]
    #[serde(deserialize_with = "body::at_most::<JOBS_PER_FRAME_MAX, _, _>")]
    jobs: Vec<Box<RawValue>>,
    /// Take the valid ones though others are refused; default: all or none.
    #[serde(default)]
    partial: bool,
}

/// One new job, or many.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes the body")]
enum Bodies {
    One(Box<NewJob>),
    Many(NewJobs),
}

/// What became of one job.
#[derive(Debug, Serialize, ToSchema)]
struct Made {
    /// Id of the job that stands for the one sent.
    id: Option<String>,
    /// The broker's own number of it.
    seq: String,
    /// Where it stands.
    state: String,
    /// created, duplicate, replaced, appended, queued_after or rejected; valid, in a rehearsal.
    outcome: String,
    /// What its handler returned, if it was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

/// What became of many jobs.
#[derive(Debug, Serialize, ToSchema)]
struct MadeMany {
    /// In the order sent.
    results: Vec<Made>,
}

/// What became of one job, or of many.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes the answer")]
enum Answers {
    One(Box<Made>),
    Many(MadeMany),
}

/// Enqueues jobs: one, `{"jobs":[…]}` in one write, or one a line as `application/x-ndjson`, where each line
/// stands for itself. When this is answered, they are on disk. With `Prefer: wait=N` the answer comes when
/// they have ended, after N seconds at most.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = Bodies,
    params(Rehearsal,
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait for the end, at most N seconds, at most 60"),
        ("idempotency-key" = Option<String>, Header, description = "The same key and body again enqueue nothing new")),
    responses(
        (status = 201, description = "At least one is new", body = Answers),
        (status = 200, description = "None is new", body = Answers)))]
async fn create(call: Call<Rehearsal>, request: Request) -> Result<Response, Problem> {
    let (essence, bytes) = body::bytes(request, &()).await?;
    let first = idempotency::job(&call, 0)?;
    let was_there = match first {
        Some(id) => is_known(&call, id, &bytes).await?,
        None => false,
    };
    let made = if essence == "application/x-ndjson" {
        lines(&call, &bytes).await?
    } else {
        body::is_json(&essence)?;
        #[derive(Deserialize)]
        struct Peek {
            jobs: Option<IgnoredAny>,
        }
        let is_many = serde_json::from_slice(&bytes).is_ok_and(|peek: Peek| peek.jobs.is_some());
        if is_many { many(&call, &bytes).await? } else { one(&call, &bytes).await? }
    };
    let is_duplicate = made.first().is_some_and(|made| made.outcome == "duplicate");
    let is_replayed = match first {
        Some(id) if is_duplicate => was_there || is_known(&call, id, &bytes).await?,
        Some(_) | None => false,
    };
    Ok(made.answer(is_replayed))
}

/// Whether the request was made before, under its key. With another body it is refused.
async fn is_known(call: &Call<Rehearsal>, first: Uuid, body: &[u8]) -> Result<bool, Problem> {
    match call.of_job(What::Job, first).await {
        Ok(rows) => {
            let known = rows.jobs.first().and_then(|job| job.headers.get(idempotency::FINGERPRINT));
            let is_same = known.is_none_or(|known| *known == idempotency::fingerprint(body));
            if is_same { Ok(true) } else { Err(idempotency::another_body()) }
        }
        Err(problem) if problem.status == 404 => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// A job as it goes to the engine: number `index` of a request with this body.
fn spec(call: &Call<Rehearsal>, job: NewJob, index: usize, body: &[u8]) -> Result<JobSpec, Problem> {
    let keyed = idempotency::job(call, index)?;
    let id = job.id().or(keyed).unwrap_or_else(Uuid::now_v7);
    let mut spec = job.spec(id)?;
    // A group has no headers.
    if keyed.is_some() && index == 0 && !spec.kind.is_empty() {
        spec.headers.insert(idempotency::FINGERPRINT.to_owned(), idempotency::fingerprint(body));
    }
    Ok(spec)
}

/// What was made, in the form in which it was asked for.
enum Answer {
    One(Box<Made>),
    Many(Vec<Made>),
}

impl Answer {
    fn first(&self) -> Option<&Made> {
        match self {
            Self::One(made) => Some(made),
            Self::Many(made) => made.first(),
        }
    }

    fn answer(self, is_replayed: bool) -> Response {
        let is_new = |made: &Made| made.outcome == "created";
        let status = |is_new| if is_new { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = match &self {
            Self::One(made) => json(status(is_new(made)), made),
            Self::Many(results) => json(status(results.iter().any(is_new)), &Results { results }),
        };
        let headers = response.headers_mut();
        if let Self::One(made) = &self
            && let Some(id) = &made.id
            && let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{id}"))
        {
            headers.insert(header::LOCATION, location);
        }
        if is_replayed {
            headers.insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

#[derive(Serialize)]
struct Results<'a> {
    results: &'a [Made],
}

async fn one(call: &Call<Rehearsal>, text: &[u8]) -> Result<Answer, Problem> {
    let spec = spec(call, body::parse(text)?, 0, text)?;
    let made = store(call, vec![spec], false).await.map_err(Problem::of_one_job)?;
    let made =
        made.into_iter().next().ok_or_else(|| Problem::not_found("the engine said nothing of the job"))?;
    match made.error {
        Some(problem) => Err(problem),
        None => Ok(Answer::One(Box::new(made))),
    }
}

async fn many(call: &Call<Rehearsal>, text: &[u8]) -> Result<Answer, Problem> {
    let NewJobs { jobs, partial } = body::parse(text)?;
    let specs = jobs.into_iter().enumerate().map(|(index, job)| {
        let below = |pointer: &str| format!("/jobs/{index}{pointer}");
        let read = body::parse(job.get().as_bytes()).and_then(|job| spec(call, job, index, text));
        read.map_err(|problem| problem.within(below))
    });
    let specs = specs.collect::<Result<Vec<JobSpec>, Problem>>()?;
    Ok(Answer::Many(store(call, specs, partial).await.map_err(Problem::of_jobs)?))
}

/// Each line stands for itself: a faulty one is told of in its place.
async fn lines(call: &Call<Rehearsal>, text: &[u8]) -> Result<Answer, Problem> {
    let mut results = Vec::new();
    let (mut specs, mut size) = (Vec::new(), 0);
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    if lines.clone().nth(HTTP_LINES_MAX).is_some() {
        let message = format!("the body has more than {HTTP_LINES_MAX} lines; send several requests");
        return Err(Problem::new(Code::TooLarge, message));
    }
    for (number, line) in lines.enumerate() {
        let read = body::parse(line).and_then(|job: NewJob| spec(call, job, number, text));
        let is_full = specs.len() >= LINES_AT_ONCE || size + line.len() > BYTES_AT_ONCE;
        if (is_full || read.is_err()) && !specs.is_empty() {
            results.extend(store(call, std::mem::take(&mut specs), true).await?);
            size = 0;
        }
        match read {
            Ok(spec) => {
                size += line.len();
                specs.push(spec);
            }
            Err(problem) => results.push(Made::refused(problem.titled(&format!("line {}", number + 1)))),
        }
    }
    if !specs.is_empty() {
        results.extend(store(call, specs, true).await?);
    }
    if results.is_empty() {
        return Err(Problem::invalid("the body has no line; send a job a line"));
    }
    Ok(Answer::Many(results))
}

async fn store(call: &Call<Rehearsal>, jobs: Vec<JobSpec>, partial: bool) -> Result<Vec<Made>, Problem> {
    let wait_s = call.wait_s(WAIT_S_MAX).filter(|wait_s| *wait_s > 0);
    let wait = if wait_s.is_some() { Wait::Finished } else { Wait::Accepted };
    let wait_ms = wait_s.map_or(0, |wait_s| wait_s * 1_000);
    let ids: Vec<_> =
        if call.words.dry_run { jobs.iter().map(|job| id(&job.id)).collect() } else { Vec::new() };
    let enqueue = Enqueue { jobs, partial, wait: wait.into(), wait_ms };
    if call.words.dry_run {
        call.check(enqueue).await?;
        return Ok(ids.into_iter().map(Made::valid).collect());
    }
    Ok(call.enqueue(enqueue).await?.into_iter().map(|one| Made::from(one, wait_s.is_some())).collect())
}

impl Made {
    fn from(one: One, is_ended: bool) -> Self {
        let outcome = word(one.outcome().as_str_name(), "OUTCOME_");
        Self {
            seq: one.seq.to_string(),
            state: word(one.state().as_str_name(), "STATE_"),
            result: is_ended.then(|| content(&one.result)),
            error: one.error.map(|error| Problem::from(error).of_one_job()),
            id: id(&one.id),
            outcome,
        }
    }

    /// A rehearsal found nothing wrong with it.
    fn valid(id: Option<String>) -> Self {
        let (seq, state, outcome) = ("0".to_owned(), String::new(), "valid".to_owned());
        Self { id, seq, state, outcome, result: None, error: None }
    }

    fn refused(problem: Problem) -> Self {
        Self {
            id: None,
            seq: "0".to_owned(),
            state: String::new(),
            outcome: word(Outcome::Rejected.as_str_name(), "OUTCOME_"),
            result: None,
            error: Some(problem),
        }
    }
}
