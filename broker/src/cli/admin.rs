//! `windlass admin`: looks at and steers queues, jobs and workers. A client like any other.

use super::output::{self, Form, instant};
use super::{Target, exit, fail_with};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use windlass_client::proto::{self, JobView, Selector, State};
use windlass_client::{Admin, Client, Error, JobId};

/// Look at and steer queues, jobs and workers.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  windlass admin queues\n  windlass admin jobs list --state dead --queue mail\n  \
    windlass admin jobs retry 0190f5c2-7b1e-7c33-a4f5-0c2b6e1d9a77\n  windlass admin queue pause mail --why 'incident 42'"
)]
pub(super) struct AdminArgs {
    #[command(subcommand)]
    what: What,
    /// How to answer
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Form,
    /// Do not ask before something is lost
    #[arg(long, short, global = true)]
    yes: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Subcommand)]
enum What {
    /// Queues: list them, pause and resume one
    #[command(alias = "queue")]
    Queues {
        #[command(subcommand)]
        what: Option<Queues>,
    },
    /// Jobs: list, show, retry, cancel, delete, run now
    #[command(alias = "job")]
    Jobs {
        #[command(subcommand)]
        what: Jobs,
    },
    /// Workers and other sessions that are alive
    #[command(alias = "worker", alias = "sessions")]
    Workers,
    /// The broker itself
    #[command(alias = "stat")]
    Stats,
}

#[derive(Subcommand)]
enum Queues {
    /// All queues with their counts
    List,
    /// Hand out no more jobs of a queue
    Pause {
        /// Its name
        queue: String,
        /// Shown to whoever wonders
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Hand out jobs again
    Resume {
        /// Its name
        queue: String,
    },
}

#[derive(Subcommand)]
enum Jobs {
    /// Jobs by queue, state, kind and key
    List(ListArgs),
    /// One job with its payload, result and attempts
    Show {
        /// Its id
        id: JobId,
    },
    /// Run ended jobs again, and scheduled ones now
    Retry {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<JobId>,
    },
    /// Call jobs off; a running one is asked to stop
    Cancel {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<JobId>,
        /// Told to the worker
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Remove jobs, whatever their state
    Delete {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<JobId>,
    },
    /// Run scheduled jobs now
    RunNow {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<JobId>,
    },
}

#[derive(Args)]
struct ListArgs {
    /// Only this queue
    #[arg(long, short)]
    queue: Option<String>,
    /// Only these states: scheduled, ready, leased, completed, dead, cancelled; may be repeated
    #[arg(long, short, value_parser = parse_state)]
    state: Vec<State>,
    /// Only this kind
    #[arg(long, short)]
    kind: Option<String>,
    /// Only this key
    #[arg(long)]
    key: Option<String>,
    /// Rows at most
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Oldest first instead of newest first
    #[arg(long)]
    oldest_first: bool,
}

/// Runs the command.
pub(super) async fn run(args: AdminArgs) -> ExitCode {
    let client = match args.target.connect().await {
        Ok(client) => client,
        Err(error) => return fail_with(&error),
    };
    let code = match answer(&client, &args).await {
        Ok(code) => code,
        Err(error) => fail_with(&error),
    };
    // Without a Bye the session would be listed for some seconds more.
    client.close().await;
    code
}

async fn answer(client: &Client, args: &AdminArgs) -> Result<ExitCode, Error> {
    let admin = &client.admin();
    match &args.what {
        What::Queues { what: None | Some(Queues::List) } => queues(admin, args.output).await?,
        What::Queues { what: Some(Queues::Pause { queue, why }) } => {
            admin.pause(queue, why).await?;
            done(args.output, &json!({"queue": queue, "paused": true}), &format!("{queue} is paused"));
        }
        What::Queues { what: Some(Queues::Resume { queue }) } => {
            admin.resume(queue).await?;
            done(args.output, &json!({"queue": queue, "paused": false}), &format!("{queue} runs"));
        }
        What::Jobs { what } => return jobs(admin, args, what).await,
        What::Workers => workers(client, args.output).await?,
        What::Stats => stats(admin, args.output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn queues(admin: &Admin, form: Form) -> Result<(), Error> {
    let rows: Vec<Value> = admin
        .queues()
        .await?
        .iter()
        .map(|queue| {
            json!({
                "name": queue.name,
                "ready": queue.ready,
                "scheduled": queue.scheduled,
                "leased": queue.leased,
                "completed": queue.completed,
                "dead": queue.dead,
                "completed_total": queue.completed_total,
                "dead_total": queue.dead_total,
                "paused": queue.paused,
            })
        })
        .collect();
    let columns = [
        "name",
        "ready",
        "scheduled",
        "leased",
        "completed",
        "dead",
        "completed_total",
        "dead_total",
        "paused",
    ];
    output::rows(form, &columns, &rows);
    Ok(())
}

async fn jobs(admin: &Admin, args: &AdminArgs, what: &Jobs) -> Result<ExitCode, Error> {
    let changed = match what {
        Jobs::List(list) => {
            list_jobs(admin, args.output, list).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Jobs::Show { id } => return show_job(admin, args.output, *id).await,
        Jobs::Retry { ids } => admin.retry(ids.iter().copied()).await?,
        Jobs::Cancel { ids, why } => {
            let question = format!("{} job(s) will be called off for good.", ids.len());
            if !args.yes && !output::confirm(&question) {
                return Ok(ExitCode::from(exit::REFUSED));
            }
            admin.cancel(ids.iter().copied(), why).await?
        }
        Jobs::Delete { ids } => {
            let question = format!("{} job(s) will be removed with their payloads and results.", ids.len());
            if !args.yes && !output::confirm(&question) {
                return Ok(ExitCode::from(exit::REFUSED));
            }
            admin.delete(ids.iter().copied()).await?
        }
        Jobs::RunNow { ids } => admin.run_now(ids.iter().copied()).await?,
    };
    let text = format!("{} of {} found changed", changed.changed, changed.matched);
    done(args.output, &json!({"matched": changed.matched, "changed": changed.changed}), &text);
    if changed.matched == 0 {
        return Ok(output::fail(exit::REFUSED, "no such job"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_jobs(admin: &Admin, form: Form, list: &ListArgs) -> Result<(), Error> {
    let select = Selector {
        queue: list.queue.clone().unwrap_or_default(),
        kind: list.kind.clone().unwrap_or_default(),
        key: list.key.clone().unwrap_or_default(),
        states: list.state.iter().map(|&state| state.into()).collect(),
        all: true,
        ..Selector::default()
    };
    let mut pages = admin.jobs(select).page_size(list.limit.min(1_000));
    if !list.oldest_first {
        pages = pages.newest_first();
    }
    let mut rows = Vec::new();
    while rows.len() < list.limit as usize {
        let Some(job) = pages.next().await? else { break };
        rows.push(Value::Object(job_row(&job)));
    }
    let columns =
        ["id", "queue", "kind", "state", "priority", "attempt", "max_attempts", "run_at", "created_at"];
    output::rows(form, &columns, &rows);
    Ok(())
}

async fn show_job(admin: &Admin, form: Form, id: JobId) -> Result<ExitCode, Error> {
    let Some(job) = admin.job(id).await? else {
        return Ok(output::fail(exit::REFUSED, &format!("no job has the id {id}; it may have been removed")));
    };
    let mut row = job_row(&job);
    row.insert("content_type".into(), json!(job.content_type));
    row.insert("payload".into(), output::payload(&job.payload));
    row.insert("headers".into(), json!(job.headers));
    row.insert("tags".into(), json!(job.tags));
    let has_result = job.state() == State::Completed && !job.result.is_empty();
    row.insert("result".into(), if has_result { output::payload(&job.result) } else { Value::Null });
    row.insert("result_dropped".into(), json!(job.result_dropped));
    let history: Vec<Value> = job.history.iter().map(attempt).collect();
    row.insert("history".into(), Value::Array(history));
    output::object(form, &Value::Object(row));
    Ok(ExitCode::SUCCESS)
}

fn job_row(job: &JobView) -> Map<String, Value> {
    let id = JobId::from_slice(&job.id).map(|id| id.to_string()).unwrap_or_default();
    let lease = job.lease.as_ref();
    let reason = job.dead_reason();
    let row = json!({
        "id": id,
        "seq": job.seq.to_string(),
        "queue": job.queue,
        "kind": job.kind,
        "key": job.key,
        "state": state(job.state()),
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "deliveries": job.deliveries,
        "crashes": job.crashes,
        "created_at": instant(job.created_at_ms),
        "run_at": instant(job.run_at_ms),
        "worker": lease.map(|lease| &lease.worker),
        "leased_at": instant(lease.map_or(0, |lease| lease.leased_at_ms)),
        "finished_at": instant(job.finished_at_ms),
        "dead_reason": (reason != proto::DeadReason::Unspecified).then(|| word(reason.as_str_name(), "DEAD_REASON_")),
        "cancel_requested": job.cancel_requested,
    });
    match row {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn attempt(attempt: &proto::Attempt) -> Value {
    json!({
        "attempt": attempt.attempt,
        "outcome": word(attempt.outcome().as_str_name(), "OUTCOME_"),
        "kind": attempt.kind,
        "message": attempt.message,
        "worker": attempt.worker,
        "started_at": instant(attempt.started_at_ms),
        "ended_at": instant(attempt.ended_at_ms),
    })
}

async fn workers(client: &Client, form: Form) -> Result<(), Error> {
    let this_command = client.welcome().session.clone();
    let rows: Vec<Value> = client
        .admin()
        .workers()
        .await?
        .iter()
        .filter(|session| session.id != this_command)
        .map(|session| {
            json!({
                "id": JobId::from_slice(&session.id).map(|id| id.to_string()).unwrap_or_default(),
                "client": session.client,
                "host": session.host,
                "pid": session.pid,
                "queues": session.queues.join(","),
                "kinds": session.kinds.join(","),
                "streams": session.streams,
                "slots": session.slots,
                "leases": session.leases,
                "connections": session.connections,
                "silent_ms": session.last_sign_ms_ago,
                "since": instant(session.since_at_ms),
            })
        })
        .collect();
    let columns = ["client", "host", "pid", "queues", "slots", "leases", "connections", "silent_ms", "since"];
    output::rows(form, &columns, &rows);
    Ok(())
}

async fn stats(admin: &Admin, form: Form) -> Result<(), Error> {
    let server = admin.stats().await?;
    let value = json!({
        "version": server.version,
        "epoch": server.epoch.to_string(),
        "started_at": instant(server.started_at_ms),
        "uptime_ms": server.uptime_ms,
        "jobs": server.jobs,
        "sessions": server.sessions,
        "connections": server.connections,
        "batches_total": server.batches_total,
        "facts_total": server.facts_total,
        "fsync_p50_us": server.fsync_p50_us,
        "fsync_p99_us": server.fsync_p99_us,
        "journal_bytes": server.journal_bytes,
        "journal_segments": server.journal_segments,
        "folds_total": server.folds_total,
        "unfolded_bytes": server.unfolded_bytes,
        "store_bytes": server.store_bytes,
        "rss_bytes": server.rss_bytes,
        "cpu_us": server.cpu_us,
        "filesystem": server.filesystem,
        "disk_free_bytes": server.disk_free_bytes,
        "draining": server.draining,
    });
    output::object(form, &value);
    Ok(())
}

fn done(form: Form, value: &Value, text: &str) {
    match form {
        Form::Json => output::json(value),
        Form::Table => output::line(text),
    }
}

/// A state's word.
pub(super) fn state(state: State) -> String {
    word(state.as_str_name(), "STATE_")
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

fn parse_state(text: &str) -> Result<State, String> {
    let name = format!("STATE_{}", text.to_uppercase());
    let state = State::from_str_name(&name).filter(|&state| state != State::Unspecified);
    state.ok_or_else(|| format!("{text:?} is no state; there are held, scheduled, blocked, ready, leased, completed, dead, cancelled, expired"))
}
