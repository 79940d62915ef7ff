//! `windlass admin jobs`: finds jobs, shows them, and changes them.

use super::super::enqueue::duration;
use super::super::exit::Exit;
use super::super::failure::{Failure, Outcome};
use super::super::output;
use super::change::{self, Verb};
use super::{Desk, clone, done, no_job, state};
use crate::json::Job;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::proto::{JobView, Selector, State};
use windlass_client::{Ended, JobId};

#[derive(Subcommand)]
pub(super) enum Jobs {
    /// Jobs that match
    List(ListArgs),
    /// One job with its payload, result and attempts
    Show {
        /// Its id
        id: JobId,
    },
    /// Wait until jobs have ended, and show how
    Wait {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<JobId>,
        /// At most this long [default: for ever]
        #[arg(long, value_parser = duration, value_name = "TIME")]
        within: Option<Duration>,
    },
    /// Why a job is not running
    Explain {
        /// Its id
        id: JobId,
    },
    /// Enqueue a job like this one
    Clone(clone::CloneArgs),
    #[command(flatten)]
    Change(Verb),
}

impl Jobs {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List(_) | Self::Show { .. } | Self::Explain { .. } => true,
            Self::Wait { .. } | Self::Clone(_) | Self::Change(_) => false,
        }
    }
}

/// Which jobs: those that all of it agrees on.
#[derive(Args, Default)]
pub(super) struct Which {
    /// A condition, like 'state:dead kind:email.* age:>1h'; see the table in docs/OPERATIONS.md
    #[arg(long, short, default_value = "")]
    filter: String,
    /// Only this queue
    #[arg(long, short, default_value = "")]
    queue: String,
    /// Only these states: scheduled, ready, leased, completed, dead, cancelled; may be repeated
    #[arg(long, short, value_parser = parse_state)]
    state: Vec<State>,
    /// Only this kind
    #[arg(long, short, default_value = "")]
    kind: String,
    /// Only this key
    #[arg(long, default_value = "")]
    key: String,
    /// Only with this tag; may be repeated
    #[arg(long, short)]
    tag: Vec<String>,
    /// Only members of this group
    #[arg(long, value_name = "ID")]
    group: Option<JobId>,
}

impl Which {
    /// Nothing was chosen.
    pub(super) fn is_empty(&self) -> bool {
        self.selector() == Selector::default()
    }

    pub(super) fn selector(&self) -> Selector {
        Selector {
            filter: self.filter.clone(),
            queue: self.queue.clone(),
            kind: self.kind.clone(),
            key: self.key.clone(),
            tags: self.tag.clone(),
            group: self.group.map(JobId::to_bytes).unwrap_or_default(),
            states: self.state.iter().map(|&state| state.into()).collect(),
            ..Selector::default()
        }
    }
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// Rows at most
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Oldest first instead of newest first
    #[arg(long)]
    oldest_first: bool,
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: &Jobs) -> Outcome {
    match what {
        Jobs::List(args) => list(desk, args, Selector { all: true, ..args.which.selector() }).await,
        Jobs::Wait { ids, within } => wait(desk, ids, *within).await,
        Jobs::Show { id } => show(desk, *id).await,
        Jobs::Explain { id } => super::explain::run(desk, *id).await,
        Jobs::Clone(args) => clone::run(desk, args).await,
        Jobs::Change(verb) => change::run(desk, verb).await,
    }
}

async fn wait(desk: &Desk, ids: &[JobId], within: Option<Duration>) -> Outcome {
    let waiting = desk.client.wait(ids.iter().copied());
    let ended = match within {
        None => waiting.await?,
        Some(within) => tokio::time::timeout(within, waiting).await.map_err(|_| {
            Failure::new(Exit::TimedOut, format!("not all of them have ended within {within:?}"))
        })??,
    };
    ended_rows(desk, &ended)
}

/// How jobs ended; the exit code says whether all of them completed.
fn ended_rows(desk: &Desk, ended: &[Ended]) -> Outcome {
    let row = |ended: &Ended| {
        let is_known = ended.state != State::Unspecified;
        json!({
            "id": ended.id.to_string(),
            "state": if is_known { state(ended.state) } else { "removed".to_owned() },
            "result": output::payload(&ended.result),
        })
    };
    desk.rows(&["id", "state", "result"], &ended.iter().map(row).collect::<Vec<_>>())?;
    Ok(if ended.iter().all(Ended::is_completed) { Exit::Ok } else { Exit::Failed })
}

/// The jobs of a choice.
pub(super) async fn list(desk: &Desk, list: &ListArgs, select: Selector) -> Outcome {
    let mut pages = desk.admin.jobs(select).page_size(list.limit.min(1_000));
    if !list.oldest_first {
        pages = pages.newest_first();
    }
    let mut rows = Vec::new();
    while rows.len() < list.limit as usize {
        let Some(job) = pages.next().await? else { break };
        rows.push(job_row(job));
    }
    let columns =
        ["id", "queue", "kind", "state", "priority", "attempt", "max_attempts", "run_at", "created_at"];
    desk.rows(&columns, &rows)?;
    if rows.len() == list.limit as usize {
        desk.hint(&format!("there may be more than these {}; see --limit", list.limit));
    }
    done()
}

async fn show(desk: &Desk, id: JobId) -> Outcome {
    let job = desk.admin.job(id).await?.ok_or_else(|| no_job(id))?;
    desk.object(&output::row(Job::from(job.clone())))?;
    if matches!(job.state(), State::Ready | State::Blocked | State::Held | State::Scheduled) {
        desk.hint(&format!("why it is not running: windlass admin explain {id}"));
    }
    done()
}

/// A job as a row, without what lists do not ask for.
pub(super) fn job_row(job: JobView) -> Value {
    let mut row = output::row(Job::from(job));
    if let Value::Object(fields) = &mut row {
        fields.retain(|key, _| !["payload", "headers", "result", "history"].contains(&key.as_str()));
    }
    row
}

fn parse_state(text: &str) -> Result<State, String> {
    let name = format!("STATE_{}", text.to_uppercase());
    let state = State::from_str_name(&name).filter(|&state| state != State::Unspecified);
    state.ok_or_else(|| format!("{text:?} is no state; there are held, scheduled, blocked, ready, leased, completed, dead, cancelled, expired"))
}
