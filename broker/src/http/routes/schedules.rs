//! Schedules: as set, and as they stand.

use super::super::Gateway;
use super::super::body::{Json, Written as WrittenBody};
use super::super::call::{Call, Rehearsal, json};
use super::super::etag;
use super::super::page::{self, List, PageWords};
use super::super::path::Name;
use super::super::problem::Problem;
use super::changes::ReasonBody;
use super::stored::{self, StoredRow};
use crate::calendar::{Almanac, Calendar};
use crate::json::message::{Schedule, Written};
use crate::json::{ScheduleRow, id, instant, word};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::{self, Enqueue, Query, ScheduleView};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(next))
        .routes(routes!(show, set, remove))
        .routes(routes!(run))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// Lists schedules, by name.
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", params(PageWords),
    responses((status = 200, description = "A page of schedules", body = List<ScheduleRow>)))]
async fn list(call: Call<PageWords>) -> Result<Response, Problem> {
    let query = Query { what: What::Schedules.into(), ..Query::default() };
    let query = page::paged(query, call.words.limit, call.words.cursor.as_deref())?;
    let mut rows = call.query(query).await?;
    let schedules = std::mem::take(&mut rows.schedules).into_iter().map(ScheduleRow::from).collect();
    Ok(page::list(&call, &rows, schedules))
}

/// Shows a schedule.
#[utoipa::path(get, path = "/v1/schedules/{schedule}", tag = "schedules", params(("schedule" = String, Path, description = "Its name")),
    responses((status = 200, description = "The schedule", body = ScheduleRow), (status = 304, description = "It is as it was")))]
async fn show(call: Call, Name(name): Name) -> Result<Response, Problem> {
    let schedule = find(&call, &name).await?;
    Ok(etag::of_version(&call, schedule.version, &ScheduleRow::from(schedule)))
}

/// The schedule of this name.
async fn find<W>(call: &Call<W>, name: &str) -> Result<ScheduleView, Problem> {
    let query = Query { what: What::Schedules.into(), name: name.to_owned(), ..Query::default() };
    let schedule = call.query(query).await?.schedules.into_iter().next();
    schedule.ok_or_else(|| Problem::not_found(format!("there is no schedule {name}")))
}

/// Sets a schedule.
#[utoipa::path(put, path = "/v1/schedules/{schedule}", tag = "schedules", request_body = Schedule,
    params(("schedule" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It is set", body = StoredRow)))]
async fn set(
    call: Call<Rehearsal>,
    Name(name): Name,
    WrittenBody(schedule): WrittenBody<Schedule>,
) -> Result<Response, Problem> {
    stored::set(&call, "schedule", &name, Content::Schedule(schedule.wire())).await
}

/// Removes a schedule; its jobs stay.
#[utoipa::path(delete, path = "/v1/schedules/{schedule}", tag = "schedules",
    params(("schedule" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 204, description = "It is not there any more")))]
async fn remove(call: Call<Rehearsal>, Name(name): Name) -> Result<Response, Problem> {
    stored::remove(&call, "schedule", &name).await
}

/// A job of a schedule, made by hand.
#[derive(Debug, Serialize, ToSchema)]
struct Ran {
    /// Id of the job.
    id: Option<String>,
    /// Where it stands.
    state: String,
    /// created or duplicate.
    outcome: String,
}

/// Runs a schedule now, whatever its overlap says.
#[utoipa::path(post, path = "/v1/schedules/{schedule}/run", tag = "schedules", request_body = ReasonBody,
    params(("schedule" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 201, description = "The job", body = Ran), (status = 200, description = "It was there", body = Ran)))]
async fn run(
    call: Call<Rehearsal>,
    Name(name): Name,
    Json(_body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    let view = find(&call, &name).await?;
    let mut job = view.schedule.and_then(|schedule| schedule.job).unwrap_or_default();
    // The broker makes the id from schedule and tick.
    job.headers.insert("schedule".to_owned(), name);
    job.headers.insert("schedule-tick-ms".to_owned(), call.gateway.locals().now_ms().to_string());
    let enqueue = Enqueue { jobs: vec![job], ..Enqueue::default() };
    if call.words.dry_run {
        call.check(enqueue).await?;
        let ran = Ran { id: None, state: String::new(), outcome: "valid".to_owned() };
        return Ok(json(StatusCode::OK, &ran));
    }
    let one = call.enqueue(enqueue).await?.into_iter().next().unwrap_or_default();
    let outcome = word(one.outcome().as_str_name(), "OUTCOME_");
    let status = if outcome == "created" { StatusCode::CREATED } else { StatusCode::OK };
    let state = word(one.state().as_str_name(), "STATE_");
    Ok(json(status, &Ran { id: id(&one.id), state, outcome }))
}

/// Pauses a schedule: no ticks, and none made up for later.
#[utoipa::path(post, path = "/v1/schedules/{schedule}/pause", tag = "schedules", request_body = ReasonBody,
    params(("schedule" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It is paused", body = StoredRow)))]
async fn pause(
    call: Call<Rehearsal>,
    Name(name): Name,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    steer(call, name, body, true).await
}

/// Lets a schedule go on from now.
#[utoipa::path(post, path = "/v1/schedules/{schedule}/resume", tag = "schedules", request_body = ReasonBody,
    params(("schedule" = String, Path, description = "Its name"), Rehearsal),
    responses((status = 200, description = "It runs", body = StoredRow)))]
async fn resume(
    call: Call<Rehearsal>,
    Name(name): Name,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    steer(call, name, body, false).await
}

async fn steer(
    mut call: Call<Rehearsal>,
    name: String,
    body: ReasonBody,
    paused: bool,
) -> Result<Response, Problem> {
    let view = find(&call, &name).await?;
    call.words.reason = call.words.reason(body.reason);
    let schedule = v1::Schedule { paused, ..view.schedule.unwrap_or_default() };
    let set = stored::set_if(&call, "schedule", &name, Content::Schedule(schedule), view.version);
    let version = set.await?;
    Ok(json(StatusCode::OK, &StoredRow::new(name, version)))
}

/// Which expression, and how far to look.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NextWords {
    /// A cron expression of five or six fields.
    cron: String,
    /// IANA name of its time zone; default UTC.
    #[serde(default)]
    zone: String,
    /// How many ticks; default 5.
    #[param(minimum = 1, maximum = 100)]
    n: Option<usize>,
}

/// When an expression ticks.
#[derive(Debug, Serialize, ToSchema)]
struct Next {
    /// In words.
    description: String,
    /// Its next ticks.
    next: Vec<String>,
}

/// Tells what a cron expression means, and when it ticks next.
#[utoipa::path(get, path = "/v1/schedules/next", tag = "schedules", params(NextWords),
    responses((status = 200, description = "Its next ticks", body = Next)))]
async fn next(call: Call<NextWords>) -> Result<Response, Problem> {
    let NextWords { cron, zone, n } = &call.words;
    let n = n.unwrap_or(5);
    if !(1..=100).contains(&n) {
        return Err(Problem::invalid("n is 1 to 100").at("/n"));
    }
    let calendar = Calendar { cron: cron.clone(), tz: zone.clone(), ..Calendar::default() };
    if cron.is_empty() {
        return Err(Problem::invalid("give an expression, like 30 2 * * MON-FRI").at("/cron"));
    }
    let almanac = Almanac::read(&calendar).map_err(|fault| {
        let pointer = if fault.field == "tz" { "/zone" } else { "/cron" };
        Problem::invalid(fault.message).at(pointer)
    })?;
    let mut at = call.gateway.locals().now_ms();
    let mut next = Vec::with_capacity(n);
    while let Some(tick) = almanac.next(at).filter(|_| next.len() < n) {
        next.extend(instant(tick));
        at = tick;
    }
    Ok(json(StatusCode::OK, &Next { description: almanac.describe(), next }))
}
