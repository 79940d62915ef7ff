//! `windlass admin`: looks at and steers queues, jobs and workers. A client like any other.

mod apply;
mod audit;
mod change;
mod errors;
mod jobs;
mod limits;
mod logs;
mod operations;
mod schedules;
mod tail;
mod workers;

use super::output::{self, Form, instant};
use super::{Target, fail_with};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use windlass_client::proto::State;
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
    /// Jobs: list, show, retry, cancel, delete, run now, move, patch, bury
    #[command(alias = "job")]
    Jobs {
        #[command(subcommand)]
        what: Box<jobs::Jobs>,
    },
    /// Store the configuration that a file declares
    Apply(apply::ApplyArgs),
    /// Print the configuration as a file that `apply` takes
    Config,
    /// Failures in groups that look alike, the most frequent first
    Errors(errors::ErrorsArgs),
    /// Run dead jobs again: all of one fingerprint, or as chosen
    Redrive(Box<change::RedriveArgs>),
    /// Bulk changes: what is under way, and what became of the others
    #[command(alias = "operation", alias = "op")]
    Operations {
        #[command(subcommand)]
        what: Option<operations::Operations>,
    },
    /// What was changed, when, by whom and why
    Audit(audit::AuditArgs),
    /// Limits and pauses, with what is in use; `apply` sets them
    #[command(alias = "limit")]
    Limits,
    /// What the handlers of a job have written
    #[command(alias = "log")]
    Logs(logs::LogsArgs),
    /// Schedules: list, show, add, pause, resume, run, backfill, remove
    #[command(alias = "schedule")]
    Schedules {
        #[command(subcommand)]
        what: Option<schedules::Schedules>,
    },
    /// Why a job is not running
    Explain {
        /// The job
        id: JobId,
    },
    /// Workers and other sessions: list, quiet, resume, stop, dump
    #[command(alias = "worker", alias = "sessions", alias = "session")]
    Workers {
        #[command(subcommand)]
        what: Option<workers::Workers>,
    },
    /// What happens, a line each, until interrupted
    #[command(alias = "events")]
    Tail(tail::TailArgs),
    /// Let time pass on a broker that was started with --test-clock
    AdvanceClock {
        /// How much, like 7d or 1h30m
        #[arg(value_parser = super::enqueue::duration)]
        by: Duration,
        /// How long each step waits for workers to settle what they were given
        #[arg(long, value_parser = super::enqueue::duration, default_value = "0s", value_name = "TIME")]
        patience: Duration,
    },
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
        What::Jobs { what } => return jobs::run(client, args, what).await,
        What::Tail(tail) => tail::run(admin, args.output, tail).await?,
        What::Apply(apply) => return apply::run(admin, args, apply).await,
        What::Config => apply::print(admin, args.output).await?,
        What::Errors(which) => errors::run(admin, args.output, which).await?,
        What::Redrive(redrive) => return change::redrive(admin, args, redrive).await,
        What::Operations { what } => operations::run(admin, args.output, what.as_ref()).await?,
        What::Audit(which) => audit::run(admin, args.output, which).await?,
        What::Limits => limits::list(admin, args.output).await?,
        What::Logs(which) => logs::run(admin, args.output, which).await?,
        What::Schedules { what } => return schedules::run(admin, args, what.as_ref()).await,
        What::Explain { id } => {
            if !limits::explain(admin, args.output, *id).await? {
                return Ok(output::fail(super::exit::REFUSED, &format!("there is no job {id}")));
            }
        }
        What::Workers { what } => return workers::run(client, args, what.as_ref()).await,
        What::AdvanceClock { by, patience } => {
            let now = instant(admin.advance_clock(*by, *patience).await?);
            done(args.output, &json!({"now": now}), now.as_str().unwrap_or_default());
        }
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

pub(in crate::cli) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}
