//! Metrics: what the broker measures of itself, for Prometheus.
//!
//! It is separate because it speaks a language of its own. It knows the engine's figures and what the
//! driver counts, and nobody needs it to run.

mod collect;
mod meters;
mod plain;
mod shown;

pub use meters::{Commits, Measures, Meters, QueueMeasures, Traffic};
pub use shown::Shown;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;

/// How the text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus 0.0.4, which everything reads.
    Plain,
}

impl Format {
    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What an Accept header asks for.
    #[must_use]
    pub fn of(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }
}

/// All metrics as text.
#[must_use]
pub fn text(measures: Measures, shown: &Shown, only: &[String], format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collect::Scrape::new(measures, shown, only)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a text takes whatever is written");
    match format {
        Format::OpenMetrics => text,
        Format::Plain => plain::plain(&text),
    }
}

/// Totals over all queues in few words: the form that scripts read without a parser of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Jobs ever enqueued.
    pub total_jobs_in_queue: u64,
    /// Jobs ever completed.
    pub jobs_done: u64,
    /// Jobs that ever died.
    pub jobs_failed: u64,
    /// Jobs that wait or run now.
    pub jobs_open: u64,
    /// Jobs that run now.
    pub jobs_running: u64,
    /// Attempts that ever failed.
    pub attempts_failed: u64,
    /// Leases ever lost with their worker.
    pub leases_lost: u64,
}

impl Summary {
    /// Over all queues.
    #[must_use]
    pub fn of(measures: &Measures) -> Self {
        use windlass_engine::ledger::job::State;
        let mut sum = Self::default();
        for queue in &measures.queues {
            let totals = queue.totals;
            sum.total_jobs_in_queue += totals.enqueued;
            sum.jobs_done += totals.completed;
            sum.jobs_failed += totals.dead;
            sum.attempts_failed += totals.failed_attempts;
            sum.leases_lost += totals.crashes;
            sum.jobs_running += queue.counts[State::Leased.index()];
            let open = State::ALL.into_iter().filter(|state| !state.is_final());
            sum.jobs_open += open.map(|state| queue.counts[state.index()]).sum::<u64>();
        }
        sum
    }
}

#[cfg(test)]
mod tests;
