//! Leases for workers that speak HTTP only: take jobs, say that they live, say how they ended.
//!
//! Each request for jobs is a session of its own, and its leases end after `lease_ms` whatever happens.
//! The text of a lease holds the session with its secret, so that it means the same after a restart, and
//! nobody else can settle it.

use super::super::Gateway;
use super::super::body::Json;
use super::super::call::{Call, json};
use super::super::path::Name;
use super::super::problem::Problem;
use super::super::span::Length;
use super::jobs::payload;
use crate::json::{content, word};
use crate::local::Local;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::result::How;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{
    Bye, Complete, Fail, Fetch, Hello, JobTouch, LogLine, Release, Result as Outcome, Settle, SettleCode,
    Touch, Work, fetch,
};

/// A lease that nobody extends ends after this.
const LEASE_MS_DEFAULT: u64 = 30_000;
/// Longest wait for a job, in seconds.
const WAIT_S_MAX: u64 = 60;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(take))
        .routes(routes!(beat))
        .routes(routes!(complete))
        .routes(routes!(fail))
        .routes(routes!(release))
}

/// Which jobs a worker takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TakeBody {
    /// The queues it draws from; default `default`.
    #[serde(default)]
    #[schema(max_items = 64)]
    queues: Vec<String>,
    /// The kinds it can run; default: all.
    #[serde(default)]
    #[schema(max_items = 256)]
    kinds: Vec<String>,
    /// How many jobs at most; default 1.
    #[schema(minimum = 1, maximum = 10_000)]
    max: Option<u32>,
    /// A lease ends this long after it was granted or extended; default 30 s.
    #[schema(minimum = 1, maximum = 604_800_000)]
    lease_ms: Option<u64>,
    /// The same as text, like `90s`.
    lease: Option<Length>,
    /// What the worker is called, in lists.
    #[serde(default)]
    #[schema(max_length = 200)]
    worker: String,
}

/// Leases.
#[derive(Debug, Serialize, ToSchema)]
struct Leases {
    /// Empty if no job came in time.
    items: Vec<Lease>,
}

/// A job to run.
#[derive(Debug, Serialize, ToSchema)]
struct Lease {
    /// Names the lease when the worker says how it went; nobody else may see it.
    lease: String,
    /// The job.
    id: Option<String>,
    /// Where it waited.
    queue: String,
    /// Which handler runs it.
    kind: String,
    /// The payload as it is, in base64. It stands before all that its producer wrote, so that a simple
    /// client may look for the first field of a name.
    payload_base64: String,
    /// JSON, text, or hex digits of bytes that are neither.
    payload: Value,
    /// Its lane.
    key: String,
    /// Media type of the payload.
    content_type: String,
    /// As enqueued.
    headers: BTreeMap<String, String>,
    /// Which attempt this is, counted from 1.
    attempt: u32,
    /// How many may fail.
    max_attempts: u32,
    /// Number of the lease; to be stored beside side effects.
    fence: String,
    /// The lease ends this long from now unless it is extended.
    ends_in_ms: u64,
    /// What the last run stored for this one.
    checkpoint: Value,
}

/// Jobs at a time, as the protocol bounds them.
const JOBS_MAX: u64 = 10_000;
/// The longest lease: 7 days.
const LEASE_MS_MAX: u64 = 604_800_000;

/// None at all is a slip, and too much would be cut in silence.
fn check(field: &str, given: Option<u64>, most: u64) -> Result<(), Problem> {
    let unit = if field.starts_with("lease") { " ms" } else { "" };
    match given {
        Some(given) if given == 0 || given > most => {
            Err(Problem::invalid(format!("{field} is 1 to {most}{unit}")).at(format!("/{field}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Takes jobs. With `Prefer: wait=N` it waits for one, N seconds at most.
#[utoipa::path(post, path = "/v1/leases", tag = "leases", request_body = TakeBody,
    params(("prefer" = Option<String>, Header, description = "`wait=N`: wait for a job, at most N seconds, at most 60")),
    responses((status = 200, description = "The jobs", body = Leases)))]
async fn take(call: Call, Json(body): Json<TakeBody>) -> Result<Response, Problem> {
    check("max", body.max.map(u64::from), JOBS_MAX)?;
    check("lease_ms", body.lease_ms, LEASE_MS_MAX)?;
    check("lease", body.lease.map(|Length(ms)| ms), LEASE_MS_MAX)?;
    let wait_s = call.wait_s(WAIT_S_MAX);
    let queues = if body.queues.is_empty() { vec!["default".to_owned()] } else { body.queues };
    let lease_ms = body.lease.map_or(body.lease_ms.unwrap_or(LEASE_MS_DEFAULT), |Length(ms)| ms);
    let fetch = Fetch {
        sources: queues.into_iter().map(|queue| fetch::Source { queue, weight: 1 }).collect(),
        kinds: body.kinds,
        once: body.max.unwrap_or(1),
        wait_ms: wait_s.unwrap_or(0) * 1_000,
        lease_ms: lease_ms.max(1),
        ..Fetch::default()
    };
    let client = if body.worker.is_empty() { "http".to_owned() } else { body.worker };
    let hello = Hello { namespace: call.namespace.clone(), client, ..Hello::default() };
    let mut visit = Visit::open(&call, hello).await?;
    let works = visit.fetch(fetch).await?;
    let items = works.into_iter().map(|work| visit.lease(work)).collect();
    let mut response = json(StatusCode::OK, &Leases { items });
    if let Some(wait_s) = wait_s
        && let Ok(applied) = HeaderValue::from_str(&format!("wait={wait_s}"))
    {
        response.headers_mut().insert(HeaderName::from_static("preference-applied"), applied);
    }
    Ok(response)
}

/// A session for one request. What it was given and has not passed on goes back when it is dropped.
struct Visit {
    local: Option<Local>,
    owes: bool,
}

impl Visit {
    async fn open<W>(call: &Call<W>, hello: Hello) -> Result<Self, Problem> {
        Ok(Self { local: Some(call.gateway.locals().visit(&call.speaker, hello).await?), owes: true })
    }

    fn local(&self) -> &Local {
        self.local.as_ref().expect("a visit has its session until it is dropped")
    }

    async fn fetch(&mut self, fetch: Fetch) -> Result<Vec<Work>, Problem> {
        let mut stream = self.local().fetch(fetch).await?;
        loop {
            match stream.next().await {
                Some(Body::Deliver(deliver)) if deliver.end || !deliver.jobs.is_empty() => {
                    self.owes = deliver.jobs.is_empty();
                    return Ok(deliver.jobs);
                }
                Some(Body::Error(error)) => return Err(error.into()),
                Some(_) => {}
                None => return Ok(Vec::new()),
            }
        }
    }

    fn lease(&self, work: Work) -> Lease {
        let (session, secret) = self.local().credentials();
        let text = [&session[..], &secret[..], &work.id[..], &work.fence.to_be_bytes()[..]].concat();
        Lease {
            lease: URL_SAFE_NO_PAD.encode(text),
            id: crate::json::id(&work.id),
            payload: content(&work.payload),
            payload_base64: STANDARD.encode(&work.payload),
            checkpoint: content(&work.checkpoint),
            fence: work.fence.to_string(),
            queue: work.queue,
            kind: work.kind,
            key: work.key,
            content_type: work.content_type,
            headers: work.headers,
            attempt: work.attempt,
            max_attempts: work.max_attempts,
            ends_in_ms: work.ends_in_ms,
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(local) = self.local.take().filter(|_| self.owes) {
            // The client went away while it waited: what may be on its way goes back at once.
            tokio::spawn(async move { local.ask(Request::Bye(Bye::default())).await.map(drop) });
        }
    }
}

/// A lease as its text names it.
struct Held {
    local: Local,
    id: bytes::Bytes,
    fence: u64,
}

impl Held {
    async fn find<W>(call: &Call<W>, text: &str) -> Result<Self, Problem> {
        let read = URL_SAFE_NO_PAD.decode(text).ok();
        let Some(([session @ .., f0, f1, f2, f3, f4, f5, f6, f7], 72)) =
            read.as_deref().map(|read| (read, read.len()))
        else {
            return Err(Problem::not_found("this is no lease; take `lease` of POST /v1/leases as it is"));
        };
        let copy = bytes::Bytes::copy_from_slice;
        let hello = Hello {
            namespace: call.namespace.clone(),
            client: "http".to_owned(),
            resume_session: copy(&session[..16]),
            resume_secret: copy(&session[16..48]),
            ..Hello::default()
        };
        let fence = u64::from_be_bytes([*f0, *f1, *f2, *f3, *f4, *f5, *f6, *f7]);
        match call.gateway.locals().visit(&call.speaker, hello).await {
            Ok(local) => Ok(Self { local, id: copy(&session[48..]), fence }),
            Err(error) => Err(match Problem::from(error) {
                Problem { code: "NOT_FOUND", .. } => {
                    Problem::lease_lost("the lease has ended; stop this run")
                }
                Problem { code: "UNAUTHENTICATED", .. } => {
                    Problem::not_found("this is no lease of this broker")
                }
                other => other,
            }),
        }
    }

    async fn settle(self, how: How) -> Result<Response, Problem> {
        let result = Outcome { id: self.id, fence: self.fence, how: Some(how), ..Outcome::default() };
        let settle = Settle { results: vec![result] };
        let Body::Settled(settled) = self.local.ask(Request::Settle(settle)).await? else {
            return Err(Problem::lease_lost("the engine said nothing of the lease"));
        };
        let one = settled.results.into_iter().next().unwrap_or_default();
        match one.code() {
            SettleCode::Settled | SettleCode::AlreadySettled => match one.error {
                Some(error) => Err(error.into()),
                None => Ok(json(
                    StatusCode::OK,
                    &Settlement {
                        code: word(one.code().as_str_name(), "SETTLE_CODE_"),
                        state: word(one.state().as_str_name(), "STATE_"),
                    },
                )),
            },
            SettleCode::Unspecified
            | SettleCode::LeaseLost
            | SettleCode::UnknownJob
            | SettleCode::SpawnRejected => {
                Err(Problem::lease_lost("the lease has ended; the outcome was not taken"))
            }
        }
    }
}

/// What became of a run's outcome.
#[derive(Debug, Serialize, ToSchema)]
struct Settlement {
    /// settled, or already_settled if it was told before.
    code: String,
    /// Where the job stands now.
    state: String,
}

/// A sign of life of a run.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct BeatBody {
    /// The lease ends this long from now; default 30 s.
    #[schema(minimum = 1, maximum = 604_800_000)]
    lease_ms: Option<u64>,
    /// How far it is.
    #[schema(maximum = 1000)]
    progress_permille: Option<u32>,
    /// For people.
    note: String,
    /// Lines for the job's log.
    #[schema(max_items = 100)]
    logs: Vec<String>,
}

/// What a run hears back.
#[derive(Debug, Serialize, ToSchema)]
struct Beaten {
    /// The lease ends this long from now.
    ends_in_ms: u64,
    /// The run is asked to stop.
    cancel: bool,
    /// Why.
    reason: String,
}

/// Extends a lease, and tells how far the run is.
#[utoipa::path(post, path = "/v1/leases/{lease}/beat", tag = "leases", request_body = BeatBody,
    params(("lease" = String, Path, description = "`lease` as it was given")),
    responses((status = 200, description = "It is extended", body = Beaten)))]
async fn beat(call: Call, Name(lease): Name, Json(body): Json<BeatBody>) -> Result<Response, Problem> {
    check("lease_ms", body.lease_ms, LEASE_MS_MAX)?;
    let held = Held::find(&call, &lease).await?;
    let at_ms = call.gateway.locals().now_ms();
    let touch = JobTouch {
        id: held.id.clone(),
        fence: held.fence,
        extend_ms: Some(body.lease_ms.unwrap_or(LEASE_MS_DEFAULT)),
        progress_permille: body.progress_permille,
        note: body.note,
        logs: body.logs.into_iter().map(|text| LogLine { at_ms, level: 6, text }).collect(),
        ..JobTouch::default()
    };
    let asked = held.local.ask(Request::Touch(Touch { beat: None, jobs: vec![touch] })).await;
    let Body::Touched(touched) = asked.map_err(|error| Problem::from(error).of_one_job())? else {
        return Err(Problem::lease_lost("the engine said nothing of the lease"));
    };
    let one = touched.jobs.into_iter().next().unwrap_or_default();
    if one.code() != SettleCode::Settled {
        return Err(Problem::lease_lost("the lease has ended; stop this run"));
    }
    Ok(json(StatusCode::OK, &Beaten { ends_in_ms: one.ends_in_ms, cancel: one.cancel, reason: one.reason }))
}

/// What a run returned.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct CompleteBody {
    /// Any JSON, kept as long as the job is.
    #[schema(value_type = serde_json::Value)]
    result: Option<Box<RawValue>>,
    /// The same as bytes that are no JSON.
    result_base64: Option<String>,
    /// Media type of the result.
    #[schema(max_length = 200)]
    content_type: String,
}

/// Says that the work is done. When this is answered, it is on disk.
#[utoipa::path(post, path = "/v1/leases/{lease}/complete", tag = "leases", request_body = CompleteBody,
    params(("lease" = String, Path, description = "`lease` as it was given")),
    responses((status = 200, description = "It is taken", body = Settlement)))]
async fn complete(
    call: Call,
    Name(lease): Name,
    Json(body): Json<CompleteBody>,
) -> Result<Response, Problem> {
    let (content_type, result) = payload(body.result, body.result_base64)?;
    let content_type = if body.content_type.is_empty() { content_type.to_owned() } else { body.content_type };
    Held::find(&call, &lease).await?.settle(How::Complete(Complete { result, content_type })).await
}

/// How a run failed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct FailBody {
    /// Class of the failure.
    kind: String,
    /// The failure in words.
    message: String,
    /// Stack trace.
    trace: String,
    /// No further attempt can help: the job is dead at once.
    fatal: bool,
    /// Wait this long before the next attempt.
    retry_after_ms: Option<u64>,
}

/// Says that the run failed; it counts as an attempt.
#[utoipa::path(post, path = "/v1/leases/{lease}/fail", tag = "leases", request_body = FailBody,
    params(("lease" = String, Path, description = "`lease` as it was given")),
    responses((status = 200, description = "It is taken", body = Settlement)))]
async fn fail(call: Call, Name(lease): Name, Json(body): Json<FailBody>) -> Result<Response, Problem> {
    let FailBody { kind, message, trace, fatal, retry_after_ms } = body;
    let fail = Fail { kind, message, trace, fatal, retry_after_ms };
    Held::find(&call, &lease).await?.settle(How::Fail(fail)).await
}

/// How a run gives its job back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ReleaseBody {
    /// Runs again after this long; default: at once, at its old place.
    delay_ms: u64,
    /// For people.
    reason: String,
}

/// Gives the job back; it does not count as an attempt.
#[utoipa::path(post, path = "/v1/leases/{lease}/release", tag = "leases", request_body = ReleaseBody,
    params(("lease" = String, Path, description = "`lease` as it was given")),
    responses((status = 200, description = "It is taken", body = Settlement)))]
async fn release(call: Call, Name(lease): Name, Json(body): Json<ReleaseBody>) -> Result<Response, Problem> {
    let ReleaseBody { delay_ms, reason } = body;
    let release = Release { delay_ms, reason, ..Release::default() };
    Held::find(&call, &lease).await?.settle(How::Release(release)).await
}
