//! `windlass enqueue`: jobs from the command line, from a file, from a pipe.

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::{self, Form, Output, OutputArgs};
use super::target::Target;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::ExitCode;
use std::time::Duration;
use windlass_client::proto::{DepPolicy, State};
use windlass_client::{Dedup, Ended, Enqueued, Error, JobId, NewJob, Receipt};

/// Jobs sent before the first of them is waited for.
const IN_FLIGHT: usize = 256;

/// Enqueue one job, or one a line of a file. Prints an id a line, each as soon as it is
/// acknowledged, which means on disk. Reconnects and re-sends by id for 30 s.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  windlass enqueue generate_pdf '{\"title\":\"Hi\",\"lines\":[]}' --delay 5m\n  \
    windlass enqueue resize_image @job.json --queue images --priority 7\n  \
    seq 1000 | windlass enqueue count --jsonl -"
)]
pub(super) struct EnqueueArgs {
    /// Which handler runs the job
    kind: String,
    /// The payload: JSON, `-` for stdin, `@FILE` for a file
    #[arg(conflicts_with = "jsonl")]
    payload: Option<String>,
    /// Queue
    #[arg(long, short, default_value = "default")]
    queue: String,
    /// Run no earlier than this from now, like 90s, 5m, 1h30m, 7d
    #[arg(long, value_parser = duration)]
    delay: Option<Duration>,
    /// End as expired if not started this long from now, like 90s, 5m, 1h30m, 7d
    #[arg(long, value_parser = duration)]
    ttl: Option<Duration>,
    /// 0..9, higher first [default: by policy, else 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=9))]
    priority: Option<u32>,
    /// Attempts before the job is dead, 1 = no retry [default: by policy, else 20]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    attempts: Option<u32>,
    /// For search and selection; may be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// The job's id, a UUID; sending it again makes no second job
    #[arg(long, conflicts_with = "jsonl")]
    id: Option<JobId>,
    /// Lane inside the queue: keys share fairly
    #[arg(long)]
    key: Option<String>,
    /// Jobs with this dedup key are one
    #[arg(long, value_name = "KEY")]
    dedup: Option<String>,
    /// What becomes of this job when the dedup key is taken
    #[arg(long, value_enum, default_value_t, requires = "dedup")]
    on_conflict: OnConflict,
    /// The dedup key is free when its job starts, instead of when it ends
    #[arg(long, requires = "dedup", conflicts_with = "dedup_window")]
    dedup_until_start: bool,
    /// The dedup key is taken for this long, whatever becomes of its job
    #[arg(long, value_parser = duration, requires = "dedup", value_name = "TIME")]
    dedup_window: Option<Duration>,
    /// Wait for `admin jobs confirm`; without it the job expires after this long
    #[arg(long, value_parser = duration, num_args = 0..=1, default_missing_value = "1h", value_name = "TIME")]
    hold: Option<Duration>,
    /// Wait for the job with this ID to complete, or for another end of it by `ID:finish`, `ID:failure`; may
    /// be given several times
    #[arg(long, value_name = "ID", value_parser = after)]
    after: Vec<(JobId, On)>,
    /// What becomes of the job when one of those ends otherwise
    #[arg(long, value_enum)]
    dep_policy: Option<OtherEnd>,
    /// Count into the group with this ID; a job with the kind "" is a group
    #[arg(long, value_name = "ID")]
    group: Option<JobId>,
    /// A file with one payload a line, each a job; `-` for stdin
    #[arg(long, value_name = "FILE")]
    jsonl: Option<String>,
    /// Wait for the job's end, at most this long, and print its result [default: 30s]
    #[arg(long, value_parser = duration, num_args = 0..=1, require_equals = true, default_missing_value = "30s",
        value_name = "TIME", conflicts_with = "jsonl")]
    wait: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(super) async fn run(args: EnqueueArgs) -> ExitCode {
    match enqueue(&args, &args.output.open()).await {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(args.output.form()),
    }
}

async fn enqueue(args: &EnqueueArgs, out: &Output) -> Outcome {
    let mut printed = Printed { out, rows: Vec::new() };
    if let Some(file) = &args.jsonl {
        let lines = lines(file).map_err(Failure::usage)?;
        let client = args.target.connect().await?;
        let mut waiting: std::collections::VecDeque<Receipt> = std::collections::VecDeque::new();
        for line in lines {
            let line = line.map_err(|error| Failure::usage(format!("cannot read {file}: {error}")))?;
            if line.trim().is_empty() {
                continue;
            }
            waiting.push_back(client.enqueue(job(args, line.into_bytes())).submit().await?);
            if waiting.len() >= IN_FLIGHT
                && let Some(receipt) = waiting.pop_front()
            {
                printed.add(&receipt.await?)?;
            }
        }
        for receipt in waiting {
            printed.add(&receipt.await?)?;
        }
        client.close().await;
    } else {
        let payload = args.payload.as_deref().map(bytes_of).transpose().map_err(Failure::usage)?;
        let client = args.target.connect().await?;
        let enqueue = client.enqueue(job(args, payload.unwrap_or_default()));
        if let Some(within) = args.wait {
            let ended = enqueue.and_wait(within).await?;
            client.close().await;
            return ended_job(out, &ended);
        }
        printed.add(&enqueue.await?)?;
        client.close().await;
    }
    printed.end()?;
    Ok(Exit::Ok)
}

/// How the job ended: its result alone where it completed, for a pipe; else where it stands, and a code.
fn ended_job(out: &Output, ended: &Ended) -> Outcome {
    let result = output::payload(&ended.result);
    let state = super::admin::state(ended.state);
    match out.form() {
        Form::Table if ended.is_completed() => match &result {
            Value::String(text) => output::line(text),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => output::json(&result),
        },
        Form::Table => output::complain(&format!("job {} is {state}", ended.id)),
        Form::Json | Form::Jsonl | Form::Csv | Form::Name => {
            out.object(&json!({"id": ended.id.to_string(), "state": state, "result": result}))?;
        }
    }
    Ok(match ended.state {
        State::Completed => Exit::Ok,
        State::Dead | State::Cancelled | State::Expired => Exit::Failed,
        State::Unspecified
        | State::Held
        | State::Scheduled
        | State::Blocked
        | State::Ready
        | State::Leased => Exit::TimedOut,
    })
}

fn job(args: &EnqueueArgs, payload: Vec<u8>) -> NewJob {
    let is_json = serde_json::from_slice::<Value>(&payload).is_ok();
    let mut job = NewJob::new(args.kind.as_str()).queue(args.queue.as_str()).payload(payload);
    if is_json {
        job = job.content_type("application/json");
    }
    if let Some(delay) = args.delay {
        job = job.delay(delay);
    }
    if let Some(ttl) = args.ttl {
        job = job.ttl(ttl);
    }
    for tag in &args.tags {
        job = job.tag(tag.as_str());
    }
    if let Some(priority) = args.priority {
        job = job.priority(priority);
    }
    if let Some(attempts) = args.attempts {
        job = job.attempts(attempts);
    }
    if let Some(key) = &args.key {
        job = job.key(key.as_str());
    }
    if let Some(id) = args.id {
        job = job.id(id);
    }
    for &(id, on) in &args.after {
        job = match on {
            On::Success => job.after(id),
            On::Finish => job.after_finish(id),
            On::Failure => job.after_failure(id),
        };
    }
    if let Some(policy) = args.dep_policy {
        job = job.dep_policy(policy.into());
    }
    if let Some(group) = args.group {
        job = job.group(group);
    }
    if let Some(ttl) = args.hold {
        job = job.hold_for(ttl);
    }
    match &args.dedup {
        Some(key) => job.dedup(dedup(args, key)),
        None => job,
    }
}

/// Which end of another job is waited for.
#[derive(Clone, Copy)]
enum On {
    Success,
    Finish,
    Failure,
}

/// `ID`, `ID:success`, `ID:finish` or `ID:failure`.
fn after(text: &str) -> Result<(JobId, On), String> {
    let (id, on) = text.split_once(':').unwrap_or((text, "success"));
    let on = match on {
        "success" => On::Success,
        "finish" => On::Finish,
        "failure" => On::Failure,
        other => return Err(format!("{other:?} is no end; there are success, finish, failure")),
    };
    Ok((id.parse().map_err(|error: Error| error.to_string())?, on))
}

/// What becomes of a job when one that it waits for ends otherwise.
#[derive(Clone, Copy, ValueEnum)]
enum OtherEnd {
    /// It is cancelled
    Cancel,
    /// It is held for a person to decide
    Hold,
    /// It runs when all have ended
    Run,
    /// It runs as soon as any has ended as asked
    Any,
}

impl From<OtherEnd> for DepPolicy {
    fn from(policy: OtherEnd) -> Self {
        match policy {
            OtherEnd::Cancel => Self::AllOrCancel,
            OtherEnd::Hold => Self::AllOrHold,
            OtherEnd::Run => Self::AllOrRun,
            OtherEnd::Any => Self::Any,
        }
    }
}

/// What becomes of a job whose dedup key is taken.
#[derive(Clone, Copy, Default, ValueEnum)]
enum OnConflict {
    /// It is dropped
    #[default]
    KeepOld,
    /// The other job takes its payload, unless it has started
    Replace,
    /// It runs after the other job
    RunAfter,
    /// The other job is cancelled
    CancelRunning,
    /// It is refused
    Reject,
    /// The other job takes its payload in addition, unless it has started
    Append,
}

fn dedup(args: &EnqueueArgs, key: &str) -> Dedup {
    let dedup = Dedup::key(key);
    let dedup = match (args.dedup_window, args.dedup_until_start) {
        (Some(window), _) => dedup.within(window),
        (None, true) => dedup.until_start(),
        (None, false) => dedup,
    };
    match args.on_conflict {
        OnConflict::KeepOld => dedup,
        OnConflict::Replace => dedup.replace(),
        OnConflict::RunAfter => dedup.run_after(),
        OnConflict::CancelRunning => dedup.cancel_running(),
        OnConflict::Reject => dedup.reject(),
        OnConflict::Append => dedup.append(),
    }
}

/// The bytes of a payload: JSON, `-` for stdin, `@FILE` for a file.
pub(super) fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if text == "-" {
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| format!("cannot read stdin: {error}"))?;
    } else if let Some(file) = text.strip_prefix('@') {
        bytes = std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    } else {
        serde_json::from_str::<Value>(text)
            .map_err(|error| format!("the payload is not JSON: {error}; for other bytes use - or @FILE"))?;
        bytes = text.as_bytes().to_vec();
    }
    Ok(bytes)
}

type Lines = Box<dyn Iterator<Item = std::io::Result<String>> + Send>;

fn lines(file: &str) -> Result<Lines, String> {
    if file == "-" {
        return Ok(Box::new(BufReader::new(std::io::stdin()).lines()));
    }
    let open = std::fs::File::open(file);
    let open = open.map_err(|error| format!("cannot read {file}: {error}"))?;
    Ok(Box::new(BufReader::new(open).lines()))
}

/// A length of time like 90s, 5m, 1h30m, 7d; days have 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |error: jiff::Error| format!("{error}; write it like 90s, 5m, 1h30m or 7d");
    let span: jiff::Span = text.parse().map_err(wrong)?;
    let exact = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    Duration::try_from(exact).map_err(|_| "a length of time is not negative".into())
}

/// Ids as they are acknowledged, or one document at the end.
struct Printed<'a> {
    out: &'a Output,
    rows: Vec<Value>,
}

impl Printed<'_> {
    fn add(&mut self, enqueued: &Enqueued) -> Result<(), Failure> {
        let id = enqueued.id.to_string();
        let row = json!({
            "id": id,
            "state": super::admin::state(enqueued.state),
            "duplicate": enqueued.duplicate,
            "outcome": super::admin::word(enqueued.outcome.as_str_name(), "OUTCOME_"),
        });
        match self.out.form() {
            Form::Table | Form::Name | Form::Jsonl => self.out.item(&row, &id),
            Form::Json | Form::Csv => {
                self.rows.push(row);
                Ok(())
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        match self.out.form() {
            Form::Json | Form::Csv => self.out.rows(&["id", "state", "duplicate", "outcome"], &self.rows),
            Form::Table | Form::Name | Form::Jsonl => Ok(()),
        }
    }
}
