//! Webhooks: places outside that events are delivered to, and what became of the deliveries.

use super::super::Gateway;
use super::super::body::{Json, Written as WrittenBody};
use super::super::call::{Call, Rehearsal, bytes, json};
use super::super::etag;
use super::super::page::{self, List, PageWords};
use super::super::path::Name;
use super::super::problem::Problem;
use super::changes::ReasonBody;
use super::stored;
use crate::hooks::{self, QUEUE, TEST_KIND};
use crate::json::message::{Sink, Written};
use crate::json::{id, instant, word};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::{self, Enqueue, JobSpec, Policy, Put, Query, Selector};

/// Resources read at a time.
const PAGE_ROWS: u32 = 1_000;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, set, remove))
        .routes(routes!(deliveries))
        .routes(routes!(test))
        .routes(routes!(rotate))
        .routes(routes!(resume))
}

/// A webhook, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct Webhook {
    /// Its name.
    name: String,
    /// Where deliveries go.
    url: String,
    /// Names of the events; empty: all alerts.
    names: Vec<String>,
    /// Only of this queue; empty: any.
    queue: String,
    /// Only of jobs of this kind; empty: any.
    kind: String,
    /// Only of jobs of this lane; empty: any.
    key: String,
    /// Version of its resource.
    version: u64,
}

/// A webhook is stored.
#[derive(Debug, Serialize, ToSchema)]
struct StoredWebhook {
    /// Its name.
    name: String,
    /// Its version now.
    version: u64,
    /// The secret that the broker made for it, shown this once; null: it made none.
    secret: Option<String>,
}

/// A delivery: an ordinary job of the queue `_webhooks`.
#[derive(Debug, Serialize, ToSchema)]
struct Delivery {
    /// The job's id.
    id: Option<String>,
    /// The webhook.
    webhook: String,
    /// What it tells.
    event: String,
    /// Where the job stands.
    state: String,
    /// Attempts so far.
    attempt: u32,
    /// What the last attempt failed with.
    error: Option<String>,
    /// When the event happened.
    created_at: Option<String>,
}

/// A test is on its way.
#[derive(Debug, Serialize, ToSchema)]
struct TestDelivery {
    /// The job that delivers it.
    job: String,
}

/// Lists webhooks, by name.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, description = "All webhooks", body = List<Webhook>)))]
async fn list(call: Call) -> Result<Response, Problem> {
    let (mut items, mut cursor) = (Vec::new(), bytes::Bytes::new());
    loop {
        let query = Query { what: What::Config.into(), limit: PAGE_ROWS, cursor, ..Query::default() };
        let rows = call.query(query).await?;
        items.extend(rows.configs.into_iter().filter_map(webhook));
        cursor = rows.cursor;
        if cursor.is_empty() {
            break;
        }
    }
    Ok(page::list(&call, &v1::Rows::default(), items))
}

/// Shows a webhook, without its secret.
#[utoipa::path(get, path = "/v1/webhooks/{webhook}", tag = "webhooks",
    params(("webhook" = String, Path, description = "Its name")),
    responses((status = 200, description = "The webhook", body = Webhook), (status = 304, description = "It is as it was")))]
async fn show(call: Call, Name(name): Name) -> Result<Response, Problem> {
    let (_, version, found) = find(&call, &name).await?;
    Ok(etag::of_version(&call, version, &found))
}

/// Sets a webhook. Without a secret a new one gets one from the broker, which the answer shows.
#[utoipa::path(put, path = "/v1/webhooks/{webhook}", tag = "webhooks", request_body = Sink,
    params(("webhook" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It is set", body = StoredWebhook)))]
async fn set(
    call: Call<Rehearsal>,
    Name(name): Name,
    WrittenBody(sink): WrittenBody<Sink>,
) -> Result<Response, Problem> {
    let mut sink = sink.wire();
    let is_new = config(&call, &name).await?.is_none();
    let made = (is_new && sink.secret.is_empty()).then(hooks::fresh_secret);
    if let Some(made) = &made {
        sink.secret.clone_from(made);
    }
    store(&call, name, sink, made).await
}

/// Removes a webhook; what waits for it is cancelled.
#[utoipa::path(delete, path = "/v1/webhooks/{webhook}", tag = "webhooks",
    params(("webhook" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 204, description = "It is not there any more")))]
async fn remove(call: Call<Rehearsal>, Name(name): Name) -> Result<Response, Problem> {
    let answer = stored::remove(&call, "sink", &name).await?;
    unpause(&call, &name).await?;
    Ok(answer)
}

/// Lists what is to be delivered to a webhook, and what was, the newest first.
#[utoipa::path(get, path = "/v1/webhooks/{webhook}/deliveries", tag = "webhooks",
    params(("webhook" = String, Path, description = "Its name"), PageWords),
    responses((status = 200, description = "A page of deliveries", body = List<Delivery>)))]
async fn deliveries(call: Call<PageWords>, Name(name): Name) -> Result<Response, Problem> {
    let select = Some(Selector { queue: QUEUE.to_owned(), key: name, ..Selector::default() });
    let fields = vec!["payload".to_owned(), "history".to_owned()];
    let query = Query { what: What::Jobs.into(), select, fields, newest_first: true, ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let items = std::mem::take(&mut rows.jobs).into_iter().map(delivery).collect();
    Ok(page::list(&call, &rows, items))
}

/// Delivers a test, in one attempt; the deliveries show what became of it.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/test", tag = "webhooks",
    params(("webhook" = String, Path, description = "Its name")),
    responses((status = 202, description = "It is on its way", body = TestDelivery)))]
async fn test(call: Call, Name(name): Name) -> Result<Response, Problem> {
    find(&call, &name).await?;
    let job = Uuid::now_v7();
    let spec = JobSpec {
        id: bytes(job),
        queue: QUEUE.to_owned(),
        kind: TEST_KIND.to_owned(),
        key: name,
        policy: Some(Policy { max_attempts: Some(1), ..Policy::default() }),
        ..JobSpec::default()
    };
    call.enqueue(Enqueue { jobs: vec![spec], ..Enqueue::default() }).await?;
    Ok(json(StatusCode::ACCEPTED, &TestDelivery { job: job.to_string() }))
}

/// Gives a webhook another secret, which the answer shows; the former one signs, too, for a day.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/rotate", tag = "webhooks", request_body = ReasonBody,
    params(("webhook" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It has another secret", body = StoredWebhook)))]
async fn rotate(
    mut call: Call<Rehearsal>,
    Name(name): Name,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    call.words.reason = call.words.reason(body.reason);
    let (sink, ..) = find(&call, &name).await?;
    let secret = hooks::fresh_secret();
    store(&call, name, v1::Sink { secret: secret.clone(), ..sink }, Some(secret)).await
}

/// Delivers again after the receiver answered 410.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/resume", tag = "webhooks", request_body = ReasonBody,
    params(("webhook" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 204, description = "It gets deliveries")))]
async fn resume(
    mut call: Call<Rehearsal>,
    Name(name): Name,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    call.words.reason = call.words.reason(body.reason);
    find(&call, &name).await?;
    unpause(&call, &name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn unpause(call: &Call<Rehearsal>, name: &str) -> Result<(), Problem> {
    let remove = vec![format!("limit/{}", hooks::pause_of(name))];
    let put =
        Put { remove, dry_run: call.words.dry_run, reason: call.words.reason.clone(), ..Put::default() };
    call.put(put).await.map(drop)
}

/// Stores a sink and shows the secret that was made for it.
async fn store(
    call: &Call<Rehearsal>,
    name: String,
    sink: v1::Sink,
    secret: Option<String>,
) -> Result<Response, Problem> {
    let insisted = etag::if_match(call)?;
    let version = stored::set_if(call, "sink", &name, Content::Sink(sink), insisted).await?;
    let secret = secret.filter(|_| !call.words.dry_run);
    Ok(json(StatusCode::OK, &StoredWebhook { name, version, secret }))
}

/// The webhook of this name: as stored, its version, as shown.
async fn find<W>(call: &Call<W>, name: &str) -> Result<(v1::Sink, u64, Webhook), Problem> {
    let view = config(call, name).await?;
    let view = view.ok_or_else(|| Problem::not_found(format!("there is no webhook {name}")))?;
    let sink = match view.resource.as_ref().and_then(|resource| resource.what.as_ref()) {
        Some(Content::Sink(sink)) => sink.clone(),
        Some(_) | None => v1::Sink::default(),
    };
    let version = view.version;
    let shown = webhook(view).ok_or_else(|| Problem::not_found(format!("there is no webhook {name}")))?;
    Ok((sink, version, shown))
}

async fn config<W>(call: &Call<W>, name: &str) -> Result<Option<v1::ConfigView>, Problem> {
    let query = Query { what: What::Config.into(), name: format!("sink/{name}"), ..Query::default() };
    Ok(call.query(query).await?.configs.into_iter().next())
}

fn webhook(view: v1::ConfigView) -> Option<Webhook> {
    let v1::Resource { name, if_version: _, what } = view.resource?;
    let name = name.strip_prefix("sink/")?.to_owned();
    let Some(Content::Sink(sink)) = what else { return None };
    let Selector { queue, kind, key, .. } = sink.select.unwrap_or_default();
    Some(Webhook { name, url: sink.url, names: sink.names, queue, kind, key, version: view.version })
}

fn delivery(job: v1::JobView) -> Delivery {
    let said: serde_json::Value = serde_json::from_slice(&job.payload).unwrap_or_default();
    let event = said.get("event").and_then(|event| event.as_str()).unwrap_or(&job.kind).to_owned();
    Delivery {
        id: id(&job.id),
        event,
        state: word(job.state().as_str_name(), "STATE_"),
        attempt: job.attempt,
        error: job.history.last().map(|attempt| attempt.message.clone()),
        created_at: instant(job.created_at_ms),
        webhook: job.key,
    }
}
