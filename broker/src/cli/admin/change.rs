//! `windlass admin jobs retry` and its like: one change of all jobs that are named or chosen.

use super::super::enqueue::{bytes_of, duration};
use super::super::exit;
use super::super::output;
use super::jobs::Which;
use super::{AdminArgs, done};
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use windlass_client::proto::change::To;
use windlass_client::proto::{
    self, Bury, Cancel, Confirm, Delete, Move, Patch, Policy, Retry, RunAt, Selector, State,
};
use windlass_client::{Admin, Changed, Error, JobId};

/// What is said when nothing was chosen.
const SAY_WHICH: &str = "say which jobs: by ids, by --filter or the like, or with --all";

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

/// Which jobs, and how fast.
#[derive(Args)]
pub(super) struct Chosen {
    /// Their ids
    ids: Vec<JobId>,
    #[command(flatten)]
    which: Which,
    /// All jobs that the rest does not exclude
    #[arg(long)]
    all: bool,
    /// Say how many there are, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Change at most so many, the oldest first
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    max: u64,
    /// For those who ask later
    #[arg(long, default_value = "")]
    reason: String,
    /// Change at most so many a second, in the background
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    per_second: u32,
    /// Stop when this share of the changed jobs has failed again, like 0.3
    #[arg(long, value_parser = permille, value_name = "RATIO")]
    stop_failure_ratio: Option<u32>,
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

impl Chosen {
    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.which.is_empty() && !self.all
    }

    fn selector(&self) -> Selector {
        let ids = self.ids.iter().map(|id| id.to_bytes()).collect();
        Selector { ids, all: self.all, ..self.which.selector() }
    }
}

/// A share as a number from 0 to 1.
fn permille(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no share; write it like 0.3");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let digits = format!("{part:0<3}");
    let part: u32 = digits.parse().map_err(|_| wrong())?;
    match whole.checked_mul(1_000).map(|whole| whole + part) {
        Some(permille @ 1..=1_000) if digits.len() == 3 => Ok(permille),
        Some(_) | None => Err(wrong()),
    }
}

/// Runs the command.
pub(super) async fn run(admin: &Admin, args: &AdminArgs, verb: &Verb) -> Result<ExitCode, Error> {
    let (which, to) = match parts(verb) {
        Ok(parts) => parts,
        Err(message) => return Ok(output::fail(exit::USAGE, &message)),
    };
    let loses = match verb {
        Verb::Retry { .. } | Verb::Confirm { .. } | Verb::RunNow { .. } => None,
        Verb::Cancel { .. } => Some("will be called off for good"),
        Verb::Delete { .. } => Some("will be removed with their payloads and results"),
        Verb::Move { .. } => Some("will be moved"),
        Verb::Patch { .. } => Some("will be changed"),
        Verb::Bury { .. } => Some("will be dead"),
    };
    if which.is_empty() {
        return Ok(output::fail(exit::USAGE, SAY_WHICH));
    }
    make(admin, args, which, which.selector(), to, loses).await
}

/// Runs dead jobs again, their attempts counted from 0.
pub(super) async fn redrive(
    admin: &Admin,
    args: &AdminArgs,
    redrive: &RedriveArgs,
) -> Result<ExitCode, Error> {
    let mut select = redrive.which.selector();
    if redrive.which.is_empty() && redrive.fingerprint.is_empty() {
        return Ok(output::fail(exit::USAGE, SAY_WHICH));
    }
    select.states = vec![State::Dead.into()];
    select.error_fingerprint.clone_from(&redrive.fingerprint);
    make(admin, args, &redrive.which, select, retry(redrive.spread, true), None).await
}

/// Asks if something may be lost or nobody counted, makes the change, and says what it did.
async fn make(
    admin: &Admin,
    args: &AdminArgs,
    which: &Chosen,
    select: Selector,
    to: To,
    loses: Option<&str>,
) -> Result<ExitCode, Error> {
    let change = proto::Change {
        select: Some(select),
        max: which.max,
        dry_run: which.dry_run,
        per_second: which.per_second,
        stop_failure_permille: which.stop_failure_ratio.unwrap_or(0),
        reason: which.reason.clone(),
        to: Some(to),
        ..proto::Change::default()
    };
    let asks = loses.is_some() || which.ids.is_empty();
    if asks && !args.yes && !which.dry_run {
        let count = if which.ids.is_empty() {
            admin.change(proto::Change { dry_run: true, ..change.clone() }).await?.changed
        } else {
            which.ids.len() as u64
        };
        let question = format!("{count} job(s) {}.", loses.unwrap_or("will run again"));
        if !output::confirm(&question) {
            return Ok(ExitCode::from(exit::REFUSED));
        }
    }
    let changed = admin.change(change).await?;
    tell(args, which, &changed);
    if changed.matched == 0 && !which.ids.is_empty() {
        return Ok(output::fail(exit::REFUSED, "no such job"));
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(args: &AdminArgs, which: &Chosen, changed: &Changed) {
    let Changed { matched, changed: count, .. } = changed;
    let mut value = json!({"matched": matched, "changed": count});
    let mut text = format!("{count} of {matched} found changed");
    if which.dry_run {
        let sample: Vec<String> = changed.sample.iter().map(ToString::to_string).collect();
        text = format!("{count} of {matched} found would change, like {}", sample.join(" "));
        value["sample"] = json!(sample);
    }
    if let Ok(id) = JobId::from_slice(&changed.operation) {
        text = format!("{matched} found; the change goes on as {id}, see `windlass admin operations`");
        value["operation"] = json!(id.to_string());
    }
    done(args.output, &value, &text);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_up_to_one() {
        let read = |text| permille(text).ok();
        assert_eq!([read("0.3"), read("1"), read("0.25"), read("0.001")], [300, 1_000, 250, 1].map(Some));
        for wrong in ["0", "1.1", "30%", "-0.3", "0.0001", "", "x", "0.x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
