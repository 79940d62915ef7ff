//! The broker at a glance: itself, its totals, its queues, and what somebody should look at.

use super::super::Gateway;
use super::super::call::{Call, json};
use super::super::problem::Problem;
use super::jobs::Counts;
use super::{queues, workers};
use crate::json::{Queue, Server};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{QueueView, ServerView};

/// Queues that the overview shows; all of them are in its totals.
const QUEUES_SHOWN: usize = 200;
/// A job that has waited this long without anybody taking it is worth a word.
const UNHEARD_MS: u64 = 10_000;
/// Free space on the disk that is worth a word.
const DISK_LOW_BYTES: u64 = 1 << 30;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(stats)).routes(routes!(overview))
}

/// Shows the broker itself.
#[utoipa::path(get, path = "/v1/stats", tag = "stats",
    responses((status = 200, description = "The broker", body = Server)))]
async fn stats(call: Call) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &Server::from(server(&call).await?)))
}

async fn server<W>(call: &Call<W>) -> Result<ServerView, Problem> {
    let rows = call.read(What::Server).await?;
    rows.server.into_iter().next().ok_or_else(|| Problem::not_found("the broker says nothing of itself"))
}

/// The broker at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// The broker itself.
    server: Server,
    /// Sums over all queues of the namespace.
    totals: Totals,
    /// Its queues, by name, at most 200.
    queues: Vec<Queue>,
    /// Sessions that draw jobs, or hold some.
    workers: u64,
    /// What somebody should look at.
    problems: Vec<Trouble>,
}

/// Sums over all queues.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Totals {
    #[serde(flatten)]
    now: Counts,
    /// Jobs ever enqueued.
    enqueued_total: u64,
    /// Jobs ever completed.
    completed_total: u64,
    /// Jobs ever dead.
    dead_total: u64,
    /// Attempts that failed, ever.
    failed_total: u64,
    /// Leases lost with their worker, ever.
    crashed_total: u64,
}

/// Something that somebody should look at.
#[derive(Debug, Serialize, ToSchema)]
struct Trouble {
    /// `draining`, `disk_low`, `paused` or `no_worker`.
    code: &'static str,
    /// For people: a sentence.
    text: String,
    /// The queue it is about.
    queue: Option<String>,
}

/// Shows the broker at a glance.
#[utoipa::path(get, path = "/v1/overview", tag = "stats",
    responses((status = 200, description = "The glance", body = Overview)))]
async fn overview(call: Call) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &glance(&call).await?))
}

/// Reads what the overview shows.
pub(super) async fn glance<W>(call: &Call<W>) -> Result<Overview, Problem> {
    let server = server(call).await?;
    let mut queues = queues::all(call).await?;
    let workers = workers::count(call).await?;
    let mut totals = Totals::default();
    queues.iter().for_each(|queue| totals.add(queue));
    let mut problems = of_server(&server);
    problems.extend(queues.iter().filter_map(of_queue));
    queues.truncate(QUEUES_SHOWN);
    Ok(Overview {
        server: server.into(),
        totals,
        queues: queues.into_iter().map(Queue::from).collect(),
        workers,
        problems,
    })
}

impl Totals {
    fn add(&mut self, queue: &QueueView) {
        self.now.add(queue);
        self.enqueued_total += queue.enqueued_total;
        self.completed_total += queue.completed_total;
        self.dead_total += queue.dead_total;
        self.failed_total += queue.failed_total;
        self.crashed_total += queue.crashed_total;
    }
}

fn of_server(server: &ServerView) -> Vec<Trouble> {
    let mut problems = Vec::new();
    if server.draining {
        let text = "the broker is going down and takes nothing new".to_owned();
        problems.push(Trouble { code: "draining", text, queue: None });
    }
    if server.disk_free_bytes > 0 && server.disk_free_bytes < DISK_LOW_BYTES {
        let text = format!("{} MiB are free on the disk of the data", server.disk_free_bytes >> 20);
        problems.push(Trouble { code: "disk_low", text, queue: None });
    }
    problems
}

fn of_queue(queue: &QueueView) -> Option<Trouble> {
    let name = Some(queue.name.clone());
    if queue.paused {
        let why = if queue.paused_why.is_empty() { "" } else { ": " };
        let text = format!("{} is paused{why}{}", queue.name, queue.paused_why);
        return Some(Trouble { code: "paused", text, queue: name });
    }
    let is_unheard = queue.ready > 0 && queue.leased == 0 && queue.waiting_streams == 0;
    (is_unheard && queue.oldest_ready_ms > UNHEARD_MS).then(|| {
        let jobs =
            if queue.ready == 1 { "1 job waits".to_owned() } else { format!("{} jobs wait", queue.ready) };
        let text = format!("{jobs} in {} and no worker takes them", queue.name);
        Trouble { code: "no_worker", text, queue: name }
    })
}
