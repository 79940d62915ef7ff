//! The metrics, one by one: their names, what they mean, where they come from.

use super::meters::{Commits, Measures, QueueMeasures, Traffic};
use super::shown::Shown;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt;
use windlass_engine::Command;
use windlass_engine::command::Code;
use windlass_engine::ledger::job::State;
use windlass_engine::measure::{CLASSES, Histogram};
use windlass_engine::view::{DiskView, ServerView};

/// What one scrape shows.
#[derive(Debug)]
pub(super) struct Scrape {
    queues: Vec<QueueMeasures>,
    /// Queues that are added up as one.
    dropped: u64,
    server: ServerView,
    traffic: Traffic,
    turned_away: BTreeMap<&'static str, u64>,
    commits: Commits,
}

impl Scrape {
    pub(super) fn new(measures: Measures, shown: &Shown, only: &[String]) -> Self {
        let Measures { queues, server, traffic, turned_away, commits } = measures;
        let (mut queues, others) = shown.split(queues, only);
        let dropped = others.as_ref().map_or(0, |(_, number)| *number);
        queues.extend(others.map(|(sum, _)| sum));
        Self { queues, dropped, server, traffic, turned_away, commits }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        self.jobs(out)?;
        self.attempts(out)?;
        self.workers(out)?;
        self.traffic(out)?;
        self.store(out)?;
        self.process(out)
    }
}

/// Labels of a sample.
#[derive(Clone, Copy, Debug)]
struct Labels<'a> {
    /// Of a queue: its namespace and its name.
    queue: Option<(&'a str, &'a str)>,
    /// One more.
    other: Option<(&'a str, &'a str)>,
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        if let Some((namespace, queue)) = self.queue {
            // Most brokers have one namespace, and one label less to tell apart.
            let namespace = Some(namespace).filter(|name| !name.is_empty() && *name != "default");
            if let Some(namespace) = namespace {
                ("namespace", namespace).encode_into(encoder)?;
            }
            ("queue", queue).encode_into(encoder)?;
        }
        self.other.map_or(Ok(()), |label| label.encode_into(encoder))
    }
}

trait EncodeInto {
    fn encode_into(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result;
}

impl EncodeInto for (&str, &str) {
    fn encode_into(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        prometheus_client::encoding::EncodeLabel::encode(self, encoder.encode_label())
    }
}

impl QueueMeasures {
    fn labels(&self) -> Labels<'_> {
        Labels { queue: Some((&self.namespace, &self.name)), other: None }
    }

    fn count(&self, state: State) -> u64 {
        self.counts[state.index()]
    }
}

impl<'a> Labels<'a> {
    const NONE: Self = Self { queue: None, other: None };

    fn with(self, name: &'a str, value: &'a str) -> Self {
        Self { other: Some((name, value)), ..self }
    }
}

fn gauges<'a, V: Into<f64>>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a>, V)>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    samples.into_iter().try_for_each(|(labels, value)| {
        let value: f64 = value.into();
        metric.encode_family(&labels)?.encode_gauge(&value)
    })
}

/// Whole numbers are written as such.
fn levels<'a>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    samples.into_iter().try_for_each(|(labels, value)| {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        metric.encode_family(&labels)?.encode_gauge(&value)
    })
}

/// `name` is without `_total`.
fn counters<'a>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    samples.into_iter().try_for_each(|(labels, value)| {
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    })
}

/// The classes from one on, every so many, as buckets. `unit` is one of the histogram's in seconds, or what is
/// to be shown for one.
fn histogram(
    metric: &mut MetricEncoder<'_>,
    histogram: &Histogram,
    (first, every): (usize, usize),
    unit: f64,
) -> fmt::Result {
    let mut buckets = Vec::with_capacity(CLASSES / every + 1);
    let mut sum = 0;
    for (class, count) in histogram.counts.iter().enumerate() {
        sum += count;
        let is_last = class == CLASSES - 1;
        if is_last {
            buckets.push((f64::INFINITY, sum));
        } else if class >= first && (class - first).is_multiple_of(every) {
            buckets.push((f64::from(1u32 << class) * unit, sum));
            sum = 0;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a sum of times needs no more than 53 bits")]
    let total = histogram.sum_ms as f64 * unit;
    metric.encode_histogram::<NoLabelSet>(total, histogram.count(), &buckets, None)
}

impl Scrape {
    fn per_queue<V>(&self, value: impl Fn(&QueueMeasures) -> V) -> Vec<(Labels<'_>, V)> {
        self.queues.iter().map(|queue| (queue.labels(), value(queue))).collect()
    }

    fn jobs(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let by_state = self.queues.iter().flat_map(|queue| {
            State::ALL.map(|state| (queue.labels().with("state", state.name()), queue.count(state)))
        });
        levels(out, "windlass_jobs", "Jobs by state", by_state)?;
        let ages = self.queues.iter().map(|queue| (queue.labels(), seconds(queue.oldest_ready_ms)));
        gauges(
            out,
            "windlass_job_oldest_age_seconds",
            "Age of the oldest ready job; 0 = there is none",
            ages,
        )?;
        let enqueued = self.per_queue(|queue| queue.totals.enqueued);
        counters(out, "windlass_jobs_enqueued", "Jobs ever enqueued", enqueued)?;
        let finished = self.queues.iter().flat_map(|queue| {
            let totals = &queue.totals;
            let outcomes = [
                ("completed", totals.completed),
                ("dead", totals.dead),
                ("cancelled", totals.cancelled),
                ("expired", totals.expired),
            ];
            outcomes.map(|(outcome, number)| (queue.labels().with("outcome", outcome), number))
        });
        counters(out, "windlass_jobs_finished", "Jobs that ever ended, by how", finished)?;
        let paused = self.per_queue(|queue| u64::from(queue.is_paused));
        levels(out, "windlass_queue_paused", "1 = the queue is paused", paused)?;
        let dropped = [(Labels::NONE, self.dropped)];
        levels(
            out,
            "windlass_metrics_queues_dropped",
            "Queues that are added up as queue=\"_other\"",
            dropped,
        )
    }

    fn attempts(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let attempts = self.queues.iter().flat_map(|queue| {
            let totals = &queue.totals;
            let outcomes = [
                ("completed", totals.completed),
                ("failed", totals.failed_attempts),
                ("lost", totals.crashes),
            ];
            outcomes.map(|(outcome, number)| (queue.labels().with("outcome", outcome), number))
        });
        counters(out, "windlass_attempts", "Attempts that ever ended, by how", attempts)?;
        let mut waits = out.encode_descriptor(
            "windlass_wait_seconds",
            "How long jobs were ready before they were leased",
            None,
            MetricType::Histogram,
        )?;
        for queue in &self.queues {
            histogram(&mut waits.encode_family(&queue.labels())?, &queue.waits, (0, 2), 0.001)?;
        }
        let mut runs = out.encode_descriptor(
            "windlass_run_seconds",
            "How long jobs were leased, however that ended",
            None,
            MetricType::Histogram,
        )?;
        for queue in &self.queues {
            histogram(&mut runs.encode_family(&queue.labels())?, &queue.runs, (0, 2), 0.001)?;
        }
        Ok(())
    }

    fn workers(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let streams = self.per_queue(|queue| queue.streams);
        levels(out, "windlass_workers", "Streams and long polls that draw from the queue", streams)?;
        let slots = self.queues.iter().flat_map(|queue| {
            let kinds = [("total", queue.slots), ("used", queue.count(State::Leased))];
            kinds.map(|(kind, number)| (queue.labels().with("kind", kind), number))
        });
        levels(out, "windlass_slots", "Slots of these streams, and leased jobs", slots)?;
        let one = |number| [(Labels::NONE, number)];
        levels(out, "windlass_sessions", "Sessions alive", one(self.server.sessions))?;
        levels(out, "windlass_connections", "Connections open", one(self.server.connections))
    }

    fn traffic(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Traffic { frames, refusals, busy_us } = &self.traffic;
        let verbs = Command::VERBS.into_iter().zip(frames);
        let by_verb = verbs.map(|(verb, number)| (Labels::NONE.with("verb", verb), *number));
        counters(out, "windlass_frames", "Requests that the engine decided, by verb", by_verb)?;
        let mut by_code = self.turned_away.clone();
        for (code, number) in Code::ALL.into_iter().zip(refusals) {
            *by_code.entry(code.name()).or_default() += number;
        }
        let by_code = by_code.into_iter().map(|(code, number)| (Labels::NONE.with("code", code), number));
        counters(out, "windlass_frame_errors", "Requests that were refused, by code", by_code)?;
        let mut busy = out.encode_descriptor(
            "windlass_loop_busy_seconds",
            "Time in which the engine's loop did something; its rate is the share of one core",
            None,
            MetricType::Counter,
        )?;
        busy.encode_counter::<NoLabelSet, _, u64>(&(seconds(*busy_us) / 1_000.0), None)?;
        let mut took = out.encode_descriptor(
            "windlass_store_commit_seconds",
            "Time of a commit: write and sync of one batch",
            None,
            MetricType::Histogram,
        )?;
        histogram(&mut took, &self.commits.took_us, (6, 1), 0.000_001)?;
        let mut facts = out.encode_descriptor(
            "windlass_store_batch_facts",
            "Facts of a commit",
            None,
            MetricType::Histogram,
        )?;
        histogram(&mut facts, &self.commits.facts, (0, 2), 1.0)
    }

    fn store(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let DiskView { journal_bytes, store_bytes, unfolded_bytes, segments, folds, free_bytes, .. } =
            &self.server.disk;
        let bytes = [("journal", *journal_bytes), ("leaves", *store_bytes), ("unfolded", *unfolded_bytes)];
        let bytes = bytes.map(|(kind, bytes)| (Labels::NONE.with("kind", kind), bytes));
        levels(out, "windlass_store_bytes", "Bytes on disk; unfolded: in memory and in the journal", bytes)?;
        let one = |number: &u64| [(Labels::NONE, *number)];
        levels(out, "windlass_journal_segments", "Journal files in use", one(segments))?;
        counters(out, "windlass_folds", "Folds since the start", one(folds))?;
        levels(out, "windlass_disk_free_bytes", "Free space on the disk of the data", one(free_bytes))?;
        let syncs = [("0.5", self.server.disk.sync_p50_us), ("0.99", self.server.disk.sync_p99_us)];
        let syncs = syncs.map(|(share, us)| (Labels::NONE.with("quantile", share), seconds(us) / 1_000.0));
        gauges(out, "windlass_fsync_seconds", "Time of the last syncs of the journal", syncs)
    }

    fn process(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = [(Labels::NONE.with("version", env!("CARGO_PKG_VERSION")), 1)];
        levels(out, "windlass_build_info", "Always 1; the version of the program", version)?;
        let started = [(Labels::NONE, seconds(self.server.started_at))];
        gauges(out, "windlass_start_time_seconds", "When it was ready to serve, since 1970", started)?;
        levels(
            out,
            "windlass_draining",
            "1 = it is stopping",
            [(Labels::NONE, self.server.draining.into())],
        )?;
        let resident = [(Labels::NONE, self.server.disk.rss_bytes)];
        levels(out, "process_resident_memory_bytes", "Resident memory of the process", resident)?;
        let mut spent = out.encode_descriptor(
            "process_cpu_seconds",
            "Processor time of the process, user and system",
            None,
            MetricType::Counter,
        )?;
        spent.encode_counter::<NoLabelSet, _, u64>(&(seconds(self.server.disk.cpu_us) / 1_000.0), None)
    }
}

/// Milliseconds as seconds.
#[allow(clippy::cast_precision_loss, reason = "times need no more than 53 bits")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
