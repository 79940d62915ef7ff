//! `windlass admin jobs`: finds jobs, shows them, and changes them.

use super::super::exit;
use super::super::output::{self, Form, instant};
use super::change::{self, Verb};
use super::{AdminArgs, state, word};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use windlass_client::proto::{self, JobView, Selector, State};
use windlass_client::{Admin, Client, Ended, Error, JobId};

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
    },
    #[command(flatten)]
    Change(Verb),
}

/// Which jobs: those that all of it agrees on.
#[derive(Args)]
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
    which: Which,
    /// Rows at most
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Oldest first instead of newest first
    #[arg(long)]
    oldest_first: bool,
}

pub(super) async fn run(client: &Client, args: &AdminArgs, what: &Jobs) -> Result<ExitCode, Error> {
    let admin = &client.admin();
    match what {
        Jobs::List(list) => list_jobs(admin, args.output, list).await.map(|()| ExitCode::SUCCESS),
        Jobs::Wait { ids } => Ok(ended_rows(args.output, &client.wait(ids.iter().copied()).await?)),
        Jobs::Show { id } => show_job(admin, args.output, *id).await,
        Jobs::Change(verb) => change::run(admin, args, verb).await,
    }
}

/// How jobs ended; the exit code says whether all of them completed.
fn ended_rows(form: Form, ended: &[Ended]) -> ExitCode {
    let row = |ended: &Ended| {
        let is_known = ended.state != State::Unspecified;
        json!({
            "id": ended.id.to_string(),
            "state": if is_known { state(ended.state) } else { "removed".to_owned() },
            "result": if ended.result.is_empty() { Value::Null } else { output::payload(&ended.result) },
        })
    };
    output::rows(form, &["id", "state", "result"], &ended.iter().map(row).collect::<Vec<_>>());
    if ended.iter().all(Ended::is_completed) { ExitCode::SUCCESS } else { ExitCode::from(exit::REFUSED) }
}

async fn list_jobs(admin: &Admin, form: Form, list: &ListArgs) -> Result<(), Error> {
    let select = Selector { all: true, ..list.which.selector() };
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
    row.insert("dedup_key".into(), json!(job.dedup_key));
    let id_text = |id: &[u8]| JobId::from_slice(id).map(|id| id.to_string()).unwrap_or_default();
    let after: Vec<String> = job.after.iter().map(|id| id_text(id)).collect();
    row.insert("waits_for".into(), json!(after));
    row.insert("group".into(), json!((!job.group.is_empty()).then(|| id_text(&job.group))));
    let has_result = job.state() == State::Completed && !job.result.is_empty();
    row.insert("result".into(), if has_result { output::payload(&job.result) } else { Value::Null });
    row.insert("progress_permille".into(), json!(job.progress_permille));
    row.insert("note".into(), json!(job.note));
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
        "error_fingerprint": (!job.error_fingerprint.is_empty()).then_some(&job.error_fingerprint),
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

fn parse_state(text: &str) -> Result<State, String> {
    let name = format!("STATE_{}", text.to_uppercase());
    let state = State::from_str_name(&name).filter(|&state| state != State::Unspecified);
    state.ok_or_else(|| format!("{text:?} is no state; there are held, scheduled, blocked, ready, leased, completed, dead, cancelled, expired"))
}
