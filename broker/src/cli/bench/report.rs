//! The figures: one JSON document, or a table for people, with the parameters that made them.

use super::broker::{Own, Target};
use super::meter::Reading;
use super::timed::Stretch;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Form, Output};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// A flag without its dashes, and its value.
pub(super) type Parameter = (&'static str, u64);

/// What was measured. A figure that a benchmark does not have is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    version: String,
    parameters: Map<String, Value>,
    #[serde(skip)]
    command: String,
    /// Jobs measured, without those of the warm-up.
    jobs: u64,
    seconds: f64,
    jobs_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p999_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us_per_job: Option<f64>,
    client_cpu_us_per_job: f64,
    server_rss_bytes: u64,
    fsync_p50_us: u64,
    fsync_p99_us: u64,
    filesystem: String,
    /// False where the file system forgets everything at power loss; null if the broker does not name it.
    durable: Option<bool>,
    folds: u64,
    /// Batches made durable meanwhile: jobs by batches is what a sync is shared by.
    batches: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes_per_job: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requests_refused: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restart_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restarted_rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drain_jobs_per_s: Option<f64>,
}

impl Report {
    /// Of a stretch of time.
    pub(super) fn timed(bench: &'static str, parameters: Vec<Parameter>, stretch: &Stretch) -> Self {
        let took = stretch.after.at.duration_since(stretch.before.at);
        let latency = stretch.latency;
        Self {
            p50_us: Some(latency.p50),
            p99_us: Some(latency.p99),
            p999_us: Some(latency.p999),
            max_us: Some(latency.max),
            ..Self::counted(bench, parameters, (&stretch.before, &stretch.after), took)
        }
    }

    /// Of a number of jobs that took so long.
    pub(super) fn counted(
        bench: &'static str,
        parameters: Vec<Parameter>,
        (before, after): (&Reading, &Reading),
        took: Duration,
    ) -> Self {
        let jobs = after.done - before.done;
        let a_job = |micros: u64| rounded(micros as f64 / jobs.max(1) as f64);
        let server_cpu_us = after.server_cpu_us.zip(before.server_cpu_us);
        let view = &after.view;
        Self {
            bench,
            version: view.version.clone(),
            command: command(bench, &parameters),
            parameters: parameters.into_iter().map(|(flag, value)| (key(flag), value.into())).collect(),
            jobs,
            seconds: rounded(took.as_secs_f64()),
            jobs_per_s: rounded(jobs as f64 / took.as_secs_f64()),
            server_cpu_us_per_job: server_cpu_us.map(|(after, before)| a_job(after - before)),
            client_cpu_us_per_job: a_job(after.own_cpu_us - before.own_cpu_us),
            server_rss_bytes: after.rss_bytes,
            fsync_p50_us: view.fsync_p50_us,
            fsync_p99_us: view.fsync_p99_us,
            filesystem: view.filesystem.clone(),
            durable: is_durable(&view.filesystem),
            folds: view.folds_total - before.view.folds_total,
            batches: view.batches_total - before.view.batches_total,
            ..Self::default()
        }
    }

    /// What a broker of ours has on disk, shared out to all jobs that it has seen.
    pub(super) fn disk_bytes_per_job(&mut self, target: &Target, jobs: u64) {
        let bytes = target.own.as_ref().map(Own::disk_bytes);
        self.disk_bytes_per_job = bytes.map(|bytes| rounded(bytes as f64 / jobs.max(1) as f64));
    }

    /// Answers.
    pub(super) fn print(&self, out: &Output) -> Result<(), Failure> {
        if out.form() != Form::Table {
            return out.object(&serde_json::to_value(self).expect("figures and names are JSON"));
        }
        output::line(&self.command);
        output::line(&self.place());
        output::line("");
        for (name, value) in self.lines() {
            output::line(&format!("{name:<17}{value}"));
        }
        Ok(())
    }

    fn place(&self) -> String {
        let kept = match self.durable {
            Some(true) => format!("{} (durable)", self.filesystem),
            Some(false) => format!("{} (NOT durable: forgotten at power loss)", self.filesystem),
            None => "file system not known".into(),
        };
        format!(
            "windlass {}, {kept}, fsync p50 {} µs, p99 {} µs",
            self.version, self.fsync_p50_us, self.fsync_p99_us
        )
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![(
            "jobs/s",
            format!(
                "{} ({} in {:.2} s)",
                thousands(self.jobs_per_s),
                thousands(self.jobs as f64),
                self.seconds
            ),
        )];
        for (name, micros) in
            [("p50", self.p50_us), ("p99", self.p99_us), ("p99.9", self.p999_us), ("max", self.max_us)]
        {
            lines.extend(micros.map(|micros| (name, format!("{:.2} ms", micros as f64 / 1_000.0))));
        }
        lines.extend(self.server_cpu_us_per_job.map(|cpu| ("server CPU", format!("{cpu} µs a job"))));
        lines.push(("client CPU", format!("{} µs a job", self.client_cpu_us_per_job)));
        lines.push(("server memory", mebibytes(self.server_rss_bytes)));
        lines.push(("jobs a batch", format!("{:.1}", self.jobs as f64 / self.batches.max(1) as f64)));
        lines.push(("folds", self.folds.to_string()));
        lines.extend(self.disk_bytes_per_job.map(|bytes| ("disk", format!("{bytes} bytes a job"))));
        let refused = self.requests_refused.filter(|&refused| refused > 0);
        lines.extend(refused.map(|refused| ("refused", format!("{refused} requests, sent again"))));
        lines.extend(self.restart_ms.map(|ms| ("restart", format!("{:.2} s after kill -9", ms / 1_000.0))));
        lines.extend(self.restarted_rss_bytes.map(|bytes| ("memory then", mebibytes(bytes))));
        lines.extend(self.drain_jobs_per_s.map(|rate| ("drain", format!("{} jobs/s", thousands(rate)))));
        lines
    }
}

/// What one would type to get the same.
fn command(bench: &str, parameters: &[Parameter]) -> String {
    let flags: String = parameters.iter().map(|(flag, value)| format!(" --{flag} {value}")).collect();
    format!("windlass bench {bench}{flags}")
}

fn key(flag: &str) -> String {
    flag.replace('-', "_")
}

/// Whether what is synced there is there after a power loss; never claimed of what is not known.
fn is_durable(filesystem: &str) -> Option<bool> {
    match filesystem {
        "" | "unknown" => None,
        "tmpfs" | "ramfs" => Some(false),
        _ => Some(true),
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A whole number with a comma after each three digits.
fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(thousands(0.4), "0");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(thousands(1_234_567.8), "1,234,568");
        assert_eq!(command("life", &[("in-flight", 4)]), "windlass bench life --in-flight 4");
    }

    #[test]
    fn durability_is_claimed_only_of_a_known_disk() {
        assert_eq!(is_durable("ext4"), Some(true));
        assert_eq!(is_durable("tmpfs"), Some(false));
        assert_eq!((is_durable(""), is_durable("unknown")), (None, None));
    }

    #[test]
    fn a_figure_that_was_not_measured_is_left_out() {
        let text = serde_json::to_string(&Report::default()).unwrap();
        assert!(!text.contains("\"p50_us\"") && !text.contains("restart_ms") && text.contains("jobs_per_s"));
    }
}
