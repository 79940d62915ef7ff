//! `windlass admin check`: one figure against two thresholds, for Nagios and what speaks like it.
//!
//! The exit codes are theirs: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. One line, with performance data.

use super::super::enqueue::duration;
use super::super::failure::Failure;
use super::super::output::{self, Form, Output};
use super::survey::{Survey, Totals};
use super::{AdminArgs, Desk};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Steps of the courses that the broker keeps, and how far back each goes.
const COURSES: [(u64, u64); 3] = [(10_000, 3_600_000), (60_000, 86_400_000), (900_000, u64::MAX)];

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Figure {
    /// Jobs that are ready.
    Depth,
    /// Age of the oldest ready job, in seconds or like 5m.
    Oldest,
    /// Dead jobs that are kept.
    Dead,
    /// Share of attempts that fail, in percent.
    FailureRate,
    /// Workers that are there; fewer are worse.
    Workers,
    /// Free bytes on the disk of the data, or like 5GiB; fewer are worse.
    Disk,
    /// 99th percentile of a sync, in milliseconds.
    Latency,
}

/// Which figure, of which queue, and what is too much.
#[derive(Args)]
#[command(after_help = "Examples:\n  windlass admin check depth --queue mail --warn 1000 --crit 10000\n  \
    windlass admin check oldest --warn 1m --crit 10m\n  windlass admin check workers --queue mail --warn 2 --crit 1\n  \
    windlass admin check disk --warn 20GiB --crit 5GiB\n\n\
    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN")]
pub(super) struct CheckArgs {
    /// What to look at
    #[arg(value_enum)]
    figure: Figure,
    /// Only this queue [default: all]
    #[arg(long, short)]
    queue: Option<String>,
    /// From here on it is a warning
    #[arg(long, value_parser = threshold)]
    warn: u64,
    /// From here on it is critical
    #[arg(long, value_parser = threshold)]
    crit: u64,
    /// Time that the failure rate looks back, at least 10s
    #[arg(long, value_parser = duration, default_value = "5m", value_name = "TIME")]
    over: Duration,
}

/// How it is, in the words of Nagios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Figure {
    /// Its name, its unit as performance data writes it, and whether less of it is worse.
    fn traits(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Depth => ("depth", "", false),
            Self::Oldest => ("oldest", "s", false),
            Self::Dead => ("dead", "", false),
            Self::FailureRate => ("failure_rate", "%", false),
            Self::Workers => ("workers", "", true),
            Self::Disk => ("disk_free", "B", true),
            Self::Latency => ("fsync_p99", "ms", false),
        }
    }

    fn judge(self, value: u64, warn: u64, crit: u64) -> Verdict {
        let (_, _, less_is_worse) = self.traits();
        let is_over = |bound: u64| if less_is_worse { value <= bound } else { value >= bound };
        if is_over(crit) {
            Verdict::Critical
        } else if is_over(warn) {
            Verdict::Warning
        } else {
            Verdict::Ok
        }
    }
}

/// Runs the command. What keeps the figure from being known is an answer, too.
pub(super) async fn run(args: &AdminArgs, check: &CheckArgs) -> ExitCode {
    let out = args.output.open();
    let (name, unit, less_is_worse) = check.figure.traits();
    let is_upside_down = if less_is_worse { check.warn < check.crit } else { check.warn > check.crit };
    let measured = if is_upside_down {
        Err(Failure::usage("--crit is reached before --warn; swap them"))
    } else {
        measure(args, check).await
    };
    let (verdict, text) = match &measured {
        Ok(value) => (check.figure.judge(*value, check.warn, check.crit), format!("{name} is {value}{unit}")),
        Err(failure) => (Verdict::Unknown, failure.to_string()),
    };
    let of = check.queue.as_ref().map(|queue| format!(" (queue {queue})")).unwrap_or_default();
    tell(&out, check, verdict, &format!("{text}{of}"), measured.ok());
    ExitCode::from(verdict as u8)
}

fn tell(out: &Output, check: &CheckArgs, verdict: Verdict, text: &str, value: Option<u64>) {
    let (name, unit, _) = check.figure.traits();
    if out.form() != Form::Table {
        let row = json!({
            "name": name,
            "verdict": verdict.word().to_lowercase(),
            "value": value,
            "unit": unit,
            "warn": check.warn,
            "crit": check.crit,
            "queue": check.queue,
            "text": text,
        });
        if let Err(failure) = out.object(&row) {
            failure.tell(out.form());
        }
        return;
    }
    let data = value
        .map(|value| format!(" | {name}={value}{unit};{};{};0", check.warn, check.crit))
        .unwrap_or_default();
    output::line(&output::one_line(&format!("WINDLASS {} - {text}{data}", verdict.word())));
}

async fn measure(args: &AdminArgs, check: &CheckArgs) -> Result<u64, Failure> {
    let desk = Desk::open(args).await?;
    let survey = Survey::take(&desk).await?;
    if let Some(name) = &check.queue
        && !survey.queues.iter().any(|queue| queue.name == *name)
    {
        return Err(super::absent("queue", name));
    }
    let queues = survey.queues.iter().filter(|queue| check.is_about(&queue.name));
    let value = match check.figure {
        Figure::Depth => queues.map(|queue| queue.ready).sum(),
        Figure::Oldest => queues.map(|queue| queue.oldest_ready_ms / 1_000).max().unwrap_or(0),
        Figure::Dead => queues.map(|queue| queue.dead).sum(),
        Figure::FailureRate => failure_rate(&desk, check).await?,
        Figure::Workers => match &check.queue {
            Some(queue) => survey.workers_of(queue).count() as u64,
            None => survey.workers.iter().filter(|session| session.streams > 0).count() as u64,
        },
        Figure::Disk => survey.server.disk_free_bytes,
        Figure::Latency => survey.server.fsync_p99_us / 1_000,
    };
    desk.close().await;
    Ok(value)
}

/// The share of attempts that failed, in percent, as the broker has counted them.
async fn failure_rate(desk: &Desk, check: &CheckArgs) -> Result<u64, Failure> {
    let queue = check.queue.as_deref().unwrap_or_default();
    let over_ms = u64::try_from(check.over.as_millis()).unwrap_or(u64::MAX).max(COURSES[0].0);
    let fitting = COURSES.into_iter().find(|(_, back)| over_ms <= *back);
    let step_ms = fitting.map_or(0, |(step, _)| step);
    let mut counted = [0; 3];
    for (count, metric) in counted.iter_mut().zip(["completed", "failed", "crashed"]) {
        let courses = desk.admin.series(metric, queue, over_ms, step_ms).await?;
        *count = courses.iter().flat_map(|course| &course.values).sum();
    }
    let [completed, failed, crashed] = counted;
    Ok(Totals { enqueued: 0, completed, failed: failed + crashed }.failing() / 10)
}

impl CheckArgs {
    fn is_about(&self, queue: &str) -> bool {
        self.queue.as_ref().is_none_or(|name| name == queue)
    }
}

/// A number, or a length of time in seconds, or a size in bytes.
fn threshold(text: &str) -> Result<u64, String> {
    if let Ok(number) = text.trim_end_matches('%').parse() {
        return Ok(number);
    }
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return duration(text).map(|time| time.as_secs()),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size, like 5GiB"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_judged_by_which_way_it_is_worse() {
        let judged = |figure: Figure, value| figure.judge(value, 10, 20) as u8;
        assert_eq!([9, 10, 19, 20].map(|value| judged(Figure::Depth, value)), [0, 1, 1, 2]);
        let workers = |value| Figure::Workers.judge(value, 2, 1) as u8;
        assert_eq!([3, 2, 1, 0].map(workers), [0, 1, 2, 2]);
    }

    #[test]
    fn thresholds_are_numbers_times_or_sizes() {
        let read = |text| threshold(text).ok();
        assert_eq!([read("7"), read("5m"), read("2GiB"), read("30%")], [7, 300, 2 << 30, 30].map(Some));
        assert_eq!((read("soon"), read("xGiB")), (None, None));
    }
}
