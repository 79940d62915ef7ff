//! `windlass admin jobs retry` and its like: one change of all jobs that are named or chosen.

use super::super::enqueue::{bytes_of, duration};
use super::super::failure::{Failure, Outcome};
use super::Desk;
use super::bulk::{self, Chosen};
use clap::{Args, Subcommand};
use std::time::Duration;
use windlass_client::proto::change::To;
use windlass_client::proto::{Bury, Cancel, Confirm, Delete, Move, Patch, Policy, Retry, RunAt, State};

/// What is done to jobs.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Run ended jobs again, and scheduled ones now
    Retry {
        #[command(flatten)]
        which: Chosen,
        /// Give the jobs times evenly over this, like 10m or 1h
        #[arg(long, value_parser = duration)]
        spread: Option<Duration>,
        /// Count attempts and crashes from 0 again
        #[arg(long)]
        reset_attempts: bool,
    },
    /// Call jobs off; a running one is asked to stop
    Cancel {
        #[command(flatten)]
        which: Chosen,
        /// Told to the worker
        #[arg(long, default_value = "")]
        why: String,
        /// Call off the jobs that wait for these, too
        #[arg(long)]
        dependents: bool,
    },
    /// Remove jobs, whatever their state
    Delete {
        #[command(flatten)]
        which: Chosen,
    },
    /// Release held jobs
    Confirm {
        #[command(flatten)]
        which: Chosen,
    },
    /// Run scheduled jobs now
    #[command(alias = "run")]
    RunNow {
        #[command(flatten)]
        which: Chosen,
    },
    /// Move waiting jobs to another queue
    Move {
        #[command(flatten)]
        which: Chosen,
        /// The queue they go to
        #[arg(long, value_name = "QUEUE")]
        to: String,
    },
    /// Change what waiting jobs are
    #[command(visible_alias = "edit")]
    Patch {
        #[command(flatten)]
        which: Chosen,
        #[command(flatten)]
        new: New,
    },
    /// End waiting jobs as dead
    Bury {
        #[command(flatten)]
        which: Chosen,
    },
}

/// Which dead jobs run again, and how.
#[derive(Args)]
pub(super) struct RedriveArgs {
    #[command(flatten)]
    which: Chosen,
    /// Only those that died of this, see `windlass admin errors`
    #[arg(long, default_value = "")]
    fingerprint: String,
    /// Give the jobs times evenly over this, like 10m or 1h
    #[arg(long, value_parser = duration)]
    spread: Option<Duration>,
}

/// What a patched job is from now on.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(super) struct New {
    /// The payload: JSON, `-` for stdin, `@FILE` for a file
    #[arg(long)]
    payload: Option<String>,
    /// The key; "" for none
    #[arg(long, value_name = "KEY")]
    new_key: Option<String>,
    /// 0..9, higher first
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=9))]
    priority: Option<u32>,
    /// Attempts before the job is dead
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    attempts: Option<u32>,
    /// A tag it gets; may be repeated
    #[arg(long, value_name = "TAG")]
    add_tag: Vec<String>,
    /// A tag it loses; may be repeated
    #[arg(long, value_name = "TAG")]
    remove_tag: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, verb: &Verb) -> Outcome {
    let (which, to) = parts(verb).map_err(Failure::usage)?;
    let select = which.selector()?;
    bulk::make(desk, which, select, to).await
}

/// Runs dead jobs again, their attempts counted from 0.
pub(super) async fn redrive(desk: &Desk, redrive: &RedriveArgs) -> Outcome {
    let mut select = match redrive.fingerprint.as_str() {
        "" => redrive.which.selector()?,
        _ => redrive.which.any_selector(),
    };
    select.states = vec![State::Dead.into()];
    select.error_fingerprint.clone_from(&redrive.fingerprint);
    bulk::make(desk, &redrive.which, select, retry(redrive.spread, true)).await
}

/// Which jobs a verb is about, and what it asks of the broker.
fn parts(verb: &Verb) -> Result<(&Chosen, To), String> {
    Ok(match verb {
        Verb::Retry { which, spread, reset_attempts } => (which, retry(*spread, *reset_attempts)),
        Verb::Cancel { which, why, dependents } => {
            let (why, dependents) = (why.clone(), *dependents);
            (which, To::Cancel(Cancel { why, dependents, ..Cancel::default() }))
        }
        Verb::Delete { which } => (which, To::Delete(Delete {})),
        Verb::Confirm { which } => (which, To::Confirm(Confirm {})),
        Verb::RunNow { which } => (which, To::RunAt(RunAt { run_at_ms: 0 })),
        Verb::Move { which, to } => (which, To::Move(Move { queue: to.clone() })),
        Verb::Bury { which } => (which, To::Bury(Bury {})),
        Verb::Patch { which, new } => {
            let payload = new.payload.as_deref().map(bytes_of).transpose()?;
            let policy = Policy { priority: new.priority, max_attempts: new.attempts, ..Policy::default() };
            let patch = Patch {
                payload: payload.map(Into::into),
                policy: (policy != Policy::default()).then_some(policy),
                key: new.new_key.clone(),
                add_tags: new.add_tag.clone(),
                remove_tags: new.remove_tag.clone(),
            };
            (which, To::Patch(patch))
        }
    })
}

/// A retry, spread over some time.
fn retry(spread: Option<Duration>, reset_attempts: bool) -> To {
    let spread_ms = spread.map_or(0, |spread| u64::try_from(spread.as_millis()).unwrap_or(u64::MAX));
    To::Retry(Retry { reset_attempts, spread_ms })
}
