//! `windlass admin`: looks at and steers queues, jobs and workers. A client like any other.

mod apply;
mod audit;
mod bulk;
mod change;
mod check;
mod clone;
mod context;
mod dead;
mod desk;
mod doctor;
mod errors;
mod explain;
mod jobs;
mod kinds;
mod limits;
mod login;
mod logs;
mod operations;
mod queues;
mod schedules;
mod server;
mod snapshot;
mod status;
mod survey;
mod tail;
mod tokens;
mod top;
mod watch;
mod webhooks;
mod workers;

use self::desk::Desk;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::OutputArgs;
use super::target::Target;
use clap::{Args, Subcommand};
use std::process::ExitCode;
use std::time::Duration;
use windlass_client::JobId;
use windlass_client::proto::State;

/// Look at and steer queues, jobs and workers.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  windlass admin status\n  windlass admin jobs list --state dead --queue mail\n  \
    windlass admin jobs retry 0190f5c2-7b1e-7c33-a4f5-0c2b6e1d9a77\n  windlass admin queue pause mail --why 'incident 42'"
)]
pub(super) struct AdminArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    output: OutputArgs,
    /// Do not ask before something is lost
    #[arg(long, short, global = true)]
    yes: bool,
    /// Look again and again, every 2s or as often as said: a screen, or a line of JSON a row
    #[arg(long, short, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "2s",
        value_name = "EVERY", value_parser = super::enqueue::duration)]
    watch: Option<Duration>,
    #[command(flatten)]
    target: Target,
}

#[derive(Subcommand)]
enum What {
    /// One screen: how it is going, queue by queue, and what is wrong
    Status(status::StatusArgs),
    /// Queues: list, show, pause, resume, drain, purge, set, delete
    #[command(alias = "queue")]
    Queues {
        #[command(subcommand)]
        what: Option<queues::Queues>,
    },
    /// Jobs: list, show, wait, explain, clone, retry, cancel, delete, confirm, run now, move, patch, bury
    #[command(alias = "job")]
    Jobs {
        #[command(subcommand)]
        what: Box<jobs::Jobs>,
    },
    /// Kinds of jobs: list them with who can run them, show, set
    #[command(alias = "kind")]
    Kinds {
        #[command(subcommand)]
        what: Option<kinds::Kinds>,
    },
    /// Dead jobs: list, groups, retry, delete
    Dead {
        #[command(subcommand)]
        what: dead::Dead,
    },
    /// Store the configuration that a file declares
    Apply(apply::ApplyArgs),
    /// Print the configuration as a file that `apply` takes
    Config,
    /// Failures in groups that look alike, the most frequent first
    #[command(alias = "error")]
    Errors(errors::ErrorsArgs),
    /// Run dead jobs again: all of one fingerprint, or as chosen
    Redrive(Box<change::RedriveArgs>),
    /// Bulk changes: list what is under way and what became of the others, show, stop
    #[command(alias = "operation", alias = "op")]
    Operations {
        #[command(subcommand)]
        what: Option<operations::Operations>,
    },
    /// What was changed, when, by whom and why
    Audit(audit::AuditArgs),
    /// Tokens: who may speak to the broker, and for what; `windlass token` makes them
    #[command(alias = "token")]
    Tokens,
    /// Limits and pauses: list them with what is in use, set, delete
    #[command(alias = "limit")]
    Limits {
        #[command(subcommand)]
        what: Option<limits::Limits>,
    },
    /// What the handlers of a job have written
    #[command(alias = "log")]
    Logs(logs::LogsArgs),
    /// Schedules: list, show, add, pause, resume, run, backfill, next, remove
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
    /// Workers and other sessions: list, show, quiet, resume, stop, dump
    #[command(alias = "worker", alias = "sessions", alias = "session")]
    Workers {
        #[command(subcommand)]
        what: Option<workers::Workers>,
    },
    /// Places that alerts are delivered to: list, add, test, deliveries, rotate, resume, remove
    #[command(alias = "webhook")]
    Webhooks {
        #[command(subcommand)]
        what: Option<webhooks::Webhooks>,
    },
    /// What happens, a line each, until interrupted
    #[command(alias = "events")]
    Tail(tail::TailArgs),
    /// The broker on a full screen, live
    Top(top::TopArgs),
    /// What is wrong with the broker, in sentences; exit code 1 if anything is
    Doctor,
    /// One figure against two thresholds, for Nagios and its like
    Check(check::CheckArgs),
    /// Let time pass on a broker that was started with --test-clock
    AdvanceClock {
        /// How much, like 7d or 1h30m
        #[arg(value_parser = super::enqueue::duration)]
        by: Duration,
        /// How long each step waits for workers to settle what they were given
        #[arg(long, value_parser = super::enqueue::duration, default_value = "0s", value_name = "TIME")]
        patience: Duration,
    },
    /// Print a link with which a browser logs in to the dashboard, once
    Login(login::LoginArgs),
    /// The broker itself
    #[command(alias = "stat")]
    Stats,
    /// Everything there is, in one checksummed file for `store import`, while the broker serves
    Snapshot {
        /// The file; must not be there
        file: std::path::PathBuf,
    },
    /// Brokers by name: add, list, use, show, remove
    #[command(alias = "contexts")]
    Context {
        #[command(subcommand)]
        what: Option<context::Which>,
    },
}

/// Runs the command.
pub(super) async fn run(args: AdminArgs) -> ExitCode {
    if let What::Check(check) = &args.what {
        return check::run(&args, check).await;
    }
    match answer(&args).await {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(args.output.form()),
    }
}

async fn answer(args: &AdminArgs) -> Outcome {
    if let What::Context { what } = &args.what {
        return context::run(&args.output.open(), args.yes, what.as_ref());
    }
    if let What::Login(which) = &args.what {
        return login::run(&args.output.open(), &args.target.place()?, which);
    }
    let desk = Desk::open(args).await?;
    let outcome = match args.watch {
        None => perform(&desk, &args.what).await,
        Some(every) => watch::run(desk.clone(), &args.what, every).await,
    };
    desk.close().await;
    outcome
}

impl What {
    /// It changes nothing, and ends.
    fn is_a_look(&self) -> bool {
        match self {
            Self::Queues { what } => what.as_ref().is_none_or(queues::Queues::is_a_look),
            Self::Jobs { what } => what.is_a_look(),
            Self::Operations { what } => what.as_ref().is_none_or(operations::Operations::is_a_look),
            Self::Schedules { what } => what.as_ref().is_none_or(schedules::Schedules::is_a_look),
            Self::Workers { what } => what.as_ref().is_none_or(workers::Workers::is_a_look),
            Self::Limits { what } => what.as_ref().is_none_or(limits::Limits::is_a_look),
            Self::Kinds { what } => what.as_ref().is_none_or(kinds::Kinds::is_a_look),
            Self::Webhooks { what } => what.as_ref().is_none_or(webhooks::Webhooks::is_a_look),
            Self::Dead { what } => what.is_a_look(),
            Self::Status(_)
            | Self::Doctor
            | Self::Config
            | Self::Errors(_)
            | Self::Audit(_)
            | Self::Tokens
            | Self::Explain { .. }
            | Self::Stats => true,
            Self::Top(_)
            | Self::Check(_)
            | Self::Apply(_)
            | Self::Redrive(_)
            | Self::Logs(_)
            | Self::Tail(_)
            | Self::AdvanceClock { .. }
            | Self::Snapshot { .. }
            | Self::Login(_)
            | Self::Context { .. } => false,
        }
    }
}

async fn perform(desk: &Desk, what: &What) -> Outcome {
    match what {
        What::Status(status) => status::run(desk, status).await,
        What::Top(top) => top::run(desk, top).await,
        What::Doctor => doctor::run(desk).await,
        What::Queues { what } => queues::run(desk, what.as_ref()).await,
        What::Jobs { what } => jobs::run(desk, what).await,
        What::Tail(tail) => tail::run(desk, tail).await,
        What::Apply(apply) => apply::run(desk, apply).await,
        What::Config => apply::print(desk).await,
        What::Errors(which) => errors::run(desk, which).await,
        What::Redrive(redrive) => change::redrive(desk, redrive).await,
        What::Operations { what } => operations::run(desk, what.as_ref()).await,
        What::Audit(which) => audit::run(desk, which).await,
        What::Tokens => tokens::run(desk).await,
        What::Limits { what } => limits::run(desk, what.as_ref()).await,
        What::Kinds { what } => kinds::run(desk, what.as_ref()).await,
        What::Dead { what } => dead::run(desk, what).await,
        What::Logs(which) => logs::run(desk, which).await,
        What::Schedules { what } => schedules::run(desk, what.as_ref()).await,
        What::Explain { id } => explain::run(desk, *id).await,
        What::Workers { what } => workers::run(desk, what.as_ref()).await,
        What::Webhooks { what } => webhooks::run(desk, what.as_ref()).await,
        What::AdvanceClock { by, patience } => server::advance_clock(desk, *by, *patience).await,
        What::Snapshot { file } => snapshot::run(desk, file).await,
        What::Stats => server::stats(desk).await,
        What::Check(_) | What::Login(_) | What::Context { .. } => {
            Err(Failure::failed("this asks no broker, or asks it itself"))
        }
    }
}

/// What becomes of a name that nothing has.
fn absent(sort: &str, name: &str) -> Failure {
    Failure::not_found(format!("there is no {sort} {name}"))
}

/// A job of that id is not there.
fn no_job(id: JobId) -> Failure {
    Failure::not_found(format!("no job has the id {id}; it may have been removed"))
}

/// A state's word.
pub(super) fn state(state: State) -> String {
    word(state.as_str_name(), "STATE_")
}

pub(in crate::cli) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// Everything was done.
fn done() -> Outcome {
    Ok(Exit::Ok)
}
