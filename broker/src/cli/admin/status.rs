//! `windlass admin status`: one screen that says how it is going, to look at and to paste.

use super::super::failure::Outcome;
use super::super::findings::Finding;
use super::super::output::{self, Form, Ink, NONE, grouped, instant, length, size};
use super::survey::{Survey, Totals};
use super::{Desk, done, queues, server};
use clap::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_client::proto::QueueView;

/// What is wrong that a screen has room for.
const PROBLEMS_MAX: usize = 8;

/// How long is looked.
#[derive(Args)]
pub(super) struct StatusArgs {
    /// Time over which rates are measured; 0s leaves them out
    #[arg(long, value_parser = super::super::enqueue::duration, default_value = "1s", value_name = "TIME")]
    sample: Duration,
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, args: &StatusArgs) -> Outcome {
    let mut before = BTreeMap::new();
    let began = std::time::Instant::now();
    if !args.sample.is_zero() {
        let queues = desk.admin.queues().await?;
        before = queues.iter().map(|queue| (queue.name.clone(), Totals::of(queue))).collect();
        tokio::time::sleep(args.sample).await;
    }
    let survey = Survey::take(desk).await?;
    let span = began.elapsed();
    let rates: Option<Vec<Totals>> = (!args.sample.is_zero()).then(|| {
        let of = |queue: &QueueView| {
            let then = before.get(&queue.name).copied().unwrap_or_default();
            Totals::of(queue).rates(then, span)
        };
        survey.queues.iter().map(of).collect()
    });
    let problems = survey.findings(desk.has_test_clock());
    let rows: Vec<Value> = survey
        .queues
        .iter()
        .enumerate()
        .map(|(place, queue)| {
            row(&survey, queue, rates.as_ref().and_then(|rates| rates.get(place)), &problems)
        })
        .collect();
    if desk.form() == Form::Table {
        screen(desk, &survey, rates.as_deref(), &rows, &problems);
        return done();
    }
    let server = server::row(&survey.server);
    let problems: Vec<Value> = problems.iter().map(Finding::row).collect();
    let value = json!({
        "server": server,
        "totals": totals(&rows),
        "queues": rows,
        "workers": survey.workers.len(),
        "problems": problems,
    });
    desk.object(&value)?;
    done()
}

/// A queue as a row of the screen.
pub(super) fn row(survey: &Survey, queue: &QueueView, rates: Option<&Totals>, problems: &[Finding]) -> Value {
    let of_queue = |finding: &&Finding| finding.queue == queue.name;
    let note = problems.iter().find(of_queue).map(|finding| finding.text.clone()).unwrap_or_default();
    let (busy, slots) = survey
        .workers_of(&queue.name)
        .fold((0, 0), |(busy, slots), session| (busy + session.leases, slots + session.slots));
    let mut row = queues::row(queue);
    let more = [
        ("in_per_s", json!(rates.map(|rates| rates.enqueued))),
        ("out_per_s", json!(rates.map(|rates| rates.completed))),
        ("workers", json!(survey.workers_of(&queue.name).count())),
        ("busy", json!(busy)),
        ("slots", json!(slots)),
        ("note", json!(note)),
    ];
    for (key, value) in more {
        row[key] = value;
    }
    row
}

/// What all queues hold and have done together.
fn totals(rows: &[Value]) -> Value {
    const COUNTED: [&str; 14] = [
        "ready",
        "scheduled",
        "blocked",
        "held",
        "leased",
        "completed",
        "dead",
        "cancelled",
        "expired",
        "enqueued_total",
        "completed_total",
        "dead_total",
        "failed_total",
        "crashed_total",
    ];
    let sum = |key: &&str| rows.iter().filter_map(|row| row[*key].as_u64()).sum::<u64>();
    COUNTED.iter().map(|key| ((*key).to_owned(), json!(sum(key)))).collect::<Map<_, _>>().into()
}

fn screen(desk: &Desk, survey: &Survey, rates: Option<&[Totals]>, rows: &[Value], problems: &[Finding]) {
    let server = &survey.server;
    let has_colour = desk.out().has_colour;
    let state = if server.draining {
        Ink::Red.paint("draining", has_colour)
    } else {
        Ink::Green.paint("ready", has_colour)
    };
    let mut head = vec![
        format!("windlass {}", server.version),
        format!("up {}", length(server.uptime_ms)),
        state,
        format!("disk {} free", size(server.disk_free_bytes)),
        format!("fsync p99 {}.{}ms", server.fsync_p99_us / 1_000, server.fsync_p99_us % 1_000 / 100),
    ];
    if let Some(rates) = rates {
        let all = rates.iter().copied().fold(Totals::default(), Totals::plus);
        let failing = all.failing();
        head.push(format!("in {}/s", grouped(all.enqueued)));
        head.push(format!("out {}/s", grouped(all.completed)));
        head.push(format!("fail {}.{} %", failing / 10, failing % 10));
    }
    head.push(format!("workers {}", survey.workers.len()));
    let now = instant(server.server_at_ms);
    head.push(now.as_str().map(|now| format!("{}Z", &now[..19])).unwrap_or_default());
    output::line(&head.join("  "));
    let shown: Vec<Value> = rows.iter().map(short).collect();
    let heads = [
        "queue", "ready", "running", "sched", "blocked", "dead", "oldest", "in/s", "out/s", "workers", "note",
    ];
    desk.screen(&heads, &shown);
    for finding in problems.iter().take(PROBLEMS_MAX) {
        let mark = finding.severity.ink().paint("!", has_colour);
        output::line(&format!("{mark} {}  next: {}", output::one_line(&finding.text), finding.fix));
    }
    if problems.len() > PROBLEMS_MAX {
        output::line(&format!("! and {} more: windlass admin doctor", problems.len() - PROBLEMS_MAX));
    }
}

/// A row in as few columns as a screen has: nothing for nothing.
fn short(row: &Value) -> Value {
    let count = |key: &str| match row[key].as_u64() {
        Some(0) => json!(NONE),
        _ => row[key].clone(),
    };
    let kept = |one: &str, other: &str| match (row[one].as_u64(), row[other].as_u64()) {
        (Some(0), Some(0)) => json!(NONE),
        (one, other) => json!(one.unwrap_or(0) + other.unwrap_or(0)),
    };
    let oldest =
        row["oldest_ready_ms"].as_u64().filter(|age| *age > 0).map_or_else(|| NONE.to_owned(), length);
    let workers = match (row["workers"].as_u64(), row["slots"].as_u64()) {
        (Some(0), _) => NONE.to_owned(),
        (_, slots) => format!("{}/{}", row["busy"], slots.unwrap_or(0)),
    };
    let note = row["note"].as_str().unwrap_or_default();
    // The queue stands at the beginning of the line already.
    let name = row["name"].as_str().unwrap_or_default();
    let note = note.strip_prefix(&format!("queue {name} ")).unwrap_or(note);
    json!({
        "queue": name,
        "ready": count("ready"),
        "running": count("leased"),
        "sched": count("scheduled"),
        "blocked": kept("blocked", "held"),
        "dead": count("dead"),
        "oldest": oldest,
        "in/s": row["in_per_s"],
        "out/s": row["out_per_s"],
        "workers": workers,
        "note": note,
    })
}
