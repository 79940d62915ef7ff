//! What a client and its workers have done, for Prometheus: names and labels by OpenTelemetry's conventions
//! for messaging, which are still in development and stand in this one file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits::METRICS_KINDS_MAX;
use crate::stats::Tally;

const SENT: &str = "messaging_client_sent_messages_total";
const CONSUMED: &str = "messaging_client_consumed_messages_total";
const PROCESS: &str = "messaging_process_duration_seconds";
const RUNNING: &str = "messaging_process_running";

/// Upper bounds of the classes of durations: those of the convention, and beyond, because jobs may be long.
const BOUNDS: [(f64, &str); 19] = [
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.075, "0.075"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (0.75, "0.75"),
    (1.0, "1"),
    (2.5, "2.5"),
    (5.0, "5"),
    (7.5, "7.5"),
    (10.0, "10"),
    (30.0, "30"),
    (60.0, "60"),
    (300.0, "300"),
    (1_800.0, "1800"),
    (3_600.0, "3600"),
];

/// How a run ended, as the label `error_type` says it; a completed one has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RunEnd {
    /// The handler returned a result.
    Completed,
    /// It failed or panicked.
    Failed,
    /// It gave the job back.
    Released,
    /// It stopped because it was asked to.
    Cancelled,
    /// Its lease had ended, so its outcome does not count.
    Lost,
}

/// Runs of one queue and kind that ended in one way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunTimes {
    /// How many.
    pub count: u64,
    /// How long all of them took together.
    pub total: Duration,
    /// How many took at most as long as each bound of the text form says, beyond the bound before.
    classes: [u64; BOUNDS.len()],
}

/// What was done with jobs of one queue and kind.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct KindMetrics {
    /// Jobs handed to the broker, whatever it answered.
    pub sent: u64,
    /// Jobs handed to a handler.
    pub consumed: u64,
    /// Handlers that run now.
    pub running: u64,
    /// Runs that have ended, by how.
    pub runs: BTreeMap<RunEnd, RunTimes>,
}

/// Counters of a client and all its workers, made by [`Client::metrics`](crate::Client::metrics). Cheap to
/// clone; all clones read the same counters.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    kinds: Arc<Mutex<BTreeMap<(String, String), KindMetrics>>>,
}

impl Metrics {
    /// What was done so far, by queue and kind. At most 1,000 of them are told apart; the others are one,
    /// of the queue and the kind `_other`.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<(String, String), KindMetrics> {
        self.lock().clone()
    }

    /// The same in the text format of Prometheus (0.0.4), to be served as
    /// `text/plain; version=0.0.4; charset=utf-8`.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let kinds = self.snapshot();
        let mut text = String::new();
        let rows = || kinds.iter().map(|((queue, kind), metrics)| (labels(queue, kind), metrics));
        head(&mut text, SENT, "Jobs handed to the broker.", "counter");
        for (labels, metrics) in rows() {
            line(&mut text, SENT, &labels, "send", metrics.sent);
        }
        head(&mut text, CONSUMED, "Jobs handed to a handler.", "counter");
        for (labels, metrics) in rows() {
            line(&mut text, CONSUMED, &labels, "receive", metrics.consumed);
        }
        head(&mut text, RUNNING, "Handlers that run now.", "gauge");
        for (labels, metrics) in rows() {
            line(&mut text, RUNNING, &labels, "process", metrics.running);
        }
        head(&mut text, PROCESS, "How long handlers ran.", "histogram");
        for (labels, metrics) in rows() {
            for (end, times) in &metrics.runs {
                times.write(&mut text, &labels, *end);
            }
        }
        text
    }

    pub(crate) fn sent(&self, queue: &str, kind: &str) {
        self.with(queue, kind, |metrics| metrics.sent += 1);
    }

    pub(crate) fn started(&self, queue: &str, kind: &str) -> Started {
        self.with(queue, kind, |metrics| {
            metrics.consumed += 1;
            metrics.running += 1;
        });
        Started { metrics: self.clone(), queue: queue.to_owned(), kind: kind.to_owned() }
    }

    fn with(&self, queue: &str, kind: &str, change: impl FnOnce(&mut KindMetrics)) {
        let queue = if queue.is_empty() { "default" } else { queue };
        let mut kinds = self.lock();
        let key = (queue.to_owned(), kind.to_owned());
        if kinds.len() < METRICS_KINDS_MAX || kinds.contains_key(&key) {
            change(kinds.entry(key).or_default());
        } else {
            change(kinds.entry((OTHERS.to_owned(), OTHERS.to_owned())).or_default());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), KindMetrics>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const OTHERS: &str = "_other";

/// A handler that runs until this is dropped, however it ends.
pub(crate) struct Started {
    metrics: Metrics,
    queue: String,
    kind: String,
}

impl Started {
    /// It came to an end of its own.
    pub(crate) fn ended(self, tally: Tally, took: Duration) {
        let end = match tally {
            Tally::Done => RunEnd::Completed,
            Tally::Failed => RunEnd::Failed,
            Tally::Released => RunEnd::Released,
            Tally::Cancelled => RunEnd::Cancelled,
            Tally::Lost => RunEnd::Lost,
        };
        let count = |metrics: &mut KindMetrics| metrics.runs.entry(end).or_default().count(took);
        self.metrics.with(&self.queue, &self.kind, count);
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let stop = |metrics: &mut KindMetrics| metrics.running = metrics.running.saturating_sub(1);
        self.metrics.with(&self.queue, &self.kind, stop);
    }
}

impl RunTimes {
    fn count(&mut self, took: Duration) {
        self.count += 1;
        self.total += took;
        if let Some(class) = BOUNDS.iter().position(|(bound, _)| took.as_secs_f64() <= *bound) {
            self.classes[class] += 1;
        }
    }

    fn write(&self, text: &mut String, labels: &str, end: RunEnd) {
        let operation = "messaging_operation_name=\"process\"";
        let labels = match end.error_type() {
            Some(error) => format!("{labels},{operation},error_type=\"{error}\""),
            None => format!("{labels},{operation}"),
        };
        let mut sum = 0;
        for ((_, bound), count) in BOUNDS.iter().zip(self.classes) {
            sum += count;
            let _ = writeln!(text, "{PROCESS}_bucket{{{labels},le=\"{bound}\"}} {sum}");
        }
        let _ = writeln!(text, "{PROCESS}_bucket{{{labels},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(text, "{PROCESS}_sum{{{labels}}} {}", self.total.as_secs_f64());
        let _ = writeln!(text, "{PROCESS}_count{{{labels}}} {}", self.count);
    }
}

impl RunEnd {
    fn error_type(self) -> Option<&'static str> {
        match self {
            Self::Completed => None,
            Self::Failed => Some("failed"),
            Self::Released => Some("released"),
            Self::Cancelled => Some("cancelled"),
            Self::Lost => Some("lost"),
        }
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, operation: &str, value: u64) {
    let _ = writeln!(text, "{name}{{{labels},messaging_operation_name=\"{operation}\"}} {value}");
}

fn labels(queue: &str, kind: &str) -> String {
    let (queue, kind) = (escaped(queue), escaped(kind));
    format!(
        "messaging_system=\"windlass\",messaging_destination_name=\"{queue}\",windlass_job_kind=\"{kind}\""
    )
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_by_queue_kind_and_outcome() {
        let metrics = Metrics::default();
        metrics.sent("", "email");
        let _runs = metrics.started("mail", "email");
        metrics.started("mail", "email").ended(Tally::Done, Duration::from_millis(20));
        metrics.started("mail", "email").ended(Tally::Failed, Duration::from_secs(7_200));
        let text = metrics.to_prometheus();
        let of = |queue: &str| {
            format!(
                "messaging_system=\"windlass\",messaging_destination_name=\"{queue}\",windlass_job_kind=\"email\""
            )
        };
        let process = format!("{},messaging_operation_name=\"process\"", of("mail"));
        for expected in [
            format!("{SENT}{{{},messaging_operation_name=\"send\"}} 1", of("default")),
            format!("{CONSUMED}{{{},messaging_operation_name=\"receive\"}} 3", of("mail")),
            format!("{RUNNING}{{{process}}} 1"),
            format!("{PROCESS}_bucket{{{process},le=\"0.01\"}} 0"),
            format!("{PROCESS}_bucket{{{process},le=\"0.025\"}} 1"),
            format!("{PROCESS}_bucket{{{process},le=\"3600\"}} 1"),
            format!("{PROCESS}_sum{{{process}}} 0.02"),
            format!("{PROCESS}_bucket{{{process},error_type=\"failed\",le=\"3600\"}} 0"),
            format!("{PROCESS}_count{{{process},error_type=\"failed\"}} 1"),
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn so_many_kinds_are_told_apart_and_names_stay_in_their_labels() {
        let metrics = Metrics::default();
        metrics.sent("q", "a\"b\\c\nd");
        for kind in 0..2 * METRICS_KINDS_MAX {
            metrics.sent("q", &kind.to_string());
        }
        let kinds = metrics.snapshot();
        assert_eq!(kinds.len(), METRICS_KINDS_MAX + 1);
        assert_eq!(kinds[&(OTHERS.into(), OTHERS.into())].sent, METRICS_KINDS_MAX as u64 + 1);
        assert!(metrics.to_prometheus().contains("windlass_job_kind=\"a\\\"b\\\\c\\nd\","));
    }
}
