//! Jobs that match: a page of them, or how many there are.

use super::super::super::Gateway;
use super::super::super::call::{Call, json};
use super::super::super::page::{self, List};
use super::super::super::problem::Problem;
use crate::json::Job;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::change::To;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{Change, Delete, Query, QueueView, Selector, State};

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(counts))
}

/// Which jobs, in which order, how much of each.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobsWords {
    /// A condition in the filter language, like `state:dead queue:mail age:>1h`; default: all jobs.
    #[serde(default)]
    q: String,
    /// In one of these states, separated by commas.
    #[serde(default)]
    state: String,
    /// In this queue.
    #[serde(default)]
    queue: String,
    /// Of this kind.
    #[serde(default)]
    kind: String,
    /// `created_at` (default: the oldest first) or `-created_at`.
    sort: Option<Sort>,
    /// Fields of variable size to show, separated by commas: payload, headers, result, history.
    #[serde(default)]
    fields: String,
    /// Rows on a page; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
enum Sort {
    #[serde(rename = "created_at")]
    OldestFirst,
    #[serde(rename = "-created_at")]
    NewestFirst,
}

/// Lists jobs.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(JobsWords),
    responses((status = 200, description = "A page of jobs", body = List<Job>)))]
async fn list(call: Call<JobsWords>) -> Result<Response, Problem> {
    let JobsWords { q, state, queue, kind, sort, fields, limit, cursor } = &call.words;
    let select = Selector {
        queue: queue.clone(),
        kind: kind.clone(),
        states: states(state)?,
        filter: q.clone(),
        all: true,
        ..Selector::default()
    };
    let query = Query {
        what: What::Jobs.into(),
        select: Some(select),
        fields: split(fields).map(str::to_owned).collect(),
        newest_first: *sort == Some(Sort::NewestFirst),
        ..Query::default()
    };
    let mut rows = call.query(page::paged(query, *limit, cursor.as_deref())?).await?;
    let jobs = std::mem::take(&mut rows.jobs).into_iter().map(Job::from).collect();
    Ok(page::list(&call, &rows, jobs))
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// States by their words.
fn states(list: &str) -> Result<Vec<i32>, Problem> {
    let state = |word: &str| {
        let state = State::from_str_name(&format!("STATE_{}", word.to_uppercase()));
        let state = state.filter(|&state| state != State::Unspecified);
        state.map(i32::from).ok_or_else(|| {
            Problem::invalid(format!(
                "{word:?} is no state; there are held, scheduled, blocked, ready, leased, completed, dead, cancelled, expired"
            ))
            .at("/state")
        })
    };
    split(list).map(state).collect()
}

/// Which jobs are counted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CountsWords {
    /// A condition in the filter language; default: all jobs.
    #[serde(default)]
    q: String,
}

/// Jobs by their state.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(in super::super) struct Counts {
    /// Waiting for their confirmation.
    held: u64,
    /// Waiting for an instant.
    scheduled: u64,
    /// Waiting for other jobs.
    blocked: u64,
    /// They may run now.
    ready: u64,
    /// Running.
    leased: u64,
    /// Completed, and still kept.
    completed: u64,
    /// Dead, and still kept.
    dead: u64,
    /// Cancelled, and still kept.
    cancelled: u64,
    /// Expired, and still kept.
    expired: u64,
}

impl Counts {
    /// Adds the jobs of a queue.
    pub(in super::super) fn add(&mut self, queue: &QueueView) {
        self.held += queue.held;
        self.scheduled += queue.scheduled;
        self.blocked += queue.blocked;
        self.ready += queue.ready;
        self.leased += queue.leased;
        self.completed += queue.completed;
        self.dead += queue.dead;
        self.cancelled += queue.cancelled;
        self.expired += queue.expired;
    }

    fn each(&mut self) -> [(State, &mut u64); 9] {
        [
            (State::Held, &mut self.held),
            (State::Scheduled, &mut self.scheduled),
            (State::Blocked, &mut self.blocked),
            (State::Ready, &mut self.ready),
            (State::Leased, &mut self.leased),
            (State::Completed, &mut self.completed),
            (State::Dead, &mut self.dead),
            (State::Cancelled, &mut self.cancelled),
            (State::Expired, &mut self.expired),
        ]
    }
}

/// Counts jobs by their state. Without a condition, or with `queue:NAME` alone, it costs nothing; with
/// another one each job is looked at.
#[utoipa::path(get, path = "/v1/jobs/counts", tag = "jobs", params(CountsWords),
    responses((status = 200, description = "Their numbers", body = Counts)))]
async fn counts(call: Call<CountsWords>) -> Result<Response, Problem> {
    let q = call.words.q.trim();
    let mut counts = Counts::default();
    match only_queue(q) {
        Some(queue) => {
            let queues = super::super::queues::all(&call).await?;
            let queues = queues.iter().filter(|row| queue.is_empty() || row.name == queue);
            queues.for_each(|row| counts.add(row));
        }
        None => {
            for (state, count) in counts.each() {
                *count = matching(&call, q, state).await?;
            }
        }
    }
    Ok(json(StatusCode::OK, &counts))
}

/// The queue, if the condition names one and nothing else; empty: there is no condition.
fn only_queue(q: &str) -> Option<&str> {
    if q.is_empty() {
        return Some("");
    }
    let name = q.strip_prefix("queue:")?;
    let is_plain = !name.contains([' ', ',', '*', '"', '\t']);
    is_plain.then_some(name)
}

/// What a removal would find, which is never made.
async fn matching<W>(call: &Call<W>, q: &str, state: State) -> Result<u64, Problem> {
    let select =
        Selector { filter: q.to_owned(), states: vec![state.into()], all: true, ..Selector::default() };
    let change =
        Change { select: Some(select), dry_run: true, to: Some(To::Delete(Delete {})), ..Change::default() };
    Ok(call.change(change).await?.matched)
}
