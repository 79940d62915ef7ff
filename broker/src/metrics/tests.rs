//! A scrape over figures that are given.

use super::*;
use std::collections::BTreeMap;
use windlass_engine::fact::Totals;
use windlass_engine::ledger::job::State;
use windlass_engine::measure::Histogram;
use windlass_engine::view::{DiskView, ServerView};

fn queue(id: u32, name: &str) -> QueueMeasures {
    let mut counts = [0; State::COUNT];
    counts[State::Ready.index()] = 3;
    QueueMeasures {
        id,
        namespace: "default".into(),
        name: name.into(),
        counts,
        totals: Totals { enqueued: u64::from(id), completed: 2, ..Totals::default() },
        waits: Histogram::default(),
        runs: Histogram::default(),
        streams: 1,
        slots: 10,
        oldest_ready_ms: 1_500,
        is_paused: false,
    }
}

fn measures(queues: Vec<QueueMeasures>) -> Measures {
    let server = ServerView {
        epoch: 1,
        started_at: 1_893_456_000_000,
        now: 1_893_456_001_000,
        jobs: 3,
        sessions: 2,
        connections: 2,
        draining: false,
        disk: DiskView::default(),
    };
    Measures {
        queues,
        server,
        traffic: Traffic::default(),
        turned_away: BTreeMap::new(),
        commits: Commits::default(),
    }
}

fn plain(measures: Measures, shown: &Shown, only: &[&str]) -> String {
    let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
    text(measures, shown, &only, Format::Plain)
}

#[test]
fn a_queue_is_told_by_its_label() {
    let mut mail = queue(9, "mail");
    for ms in [0, 1, 5, 70_000, u64::MAX / 4] {
        mail.waits.observe(ms);
    }
    let other = QueueMeasures { namespace: "shop".into(), ..queue(10, "mail") };
    let text = plain(measures(vec![mail, other]), &Shown::default(), &[]);
    for line in [
        "windlass_jobs{queue=\"mail\",state=\"ready\"} 3",
        "windlass_jobs{namespace=\"shop\",queue=\"mail\",state=\"ready\"} 3",
        "windlass_job_oldest_age_seconds{queue=\"mail\"} 1.5",
        "windlass_jobs_enqueued_total{queue=\"mail\"} 9",
        "windlass_jobs_finished_total{queue=\"mail\",outcome=\"completed\"} 2",
        "windlass_wait_seconds_bucket{le=\"0.001\",queue=\"mail\"} 1",
        "windlass_wait_seconds_bucket{le=\"0.004\",queue=\"mail\"} 2",
        "windlass_wait_seconds_bucket{le=\"0.016\",queue=\"mail\"} 3",
        "windlass_wait_seconds_bucket{le=\"262.144\",queue=\"mail\"} 4",
        "windlass_wait_seconds_bucket{le=\"+Inf\",queue=\"mail\"} 5",
        "windlass_wait_seconds_count{queue=\"mail\"} 5",
        "windlass_slots{queue=\"mail\",kind=\"total\"} 10",
        "windlass_start_time_seconds 1893456000.0",
        "# TYPE windlass_jobs_enqueued_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
}

#[test]
fn who_understands_it_gets_open_metrics() {
    assert_eq!(
        Format::of("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
        Format::OpenMetrics
    );
    assert_eq!(Format::of("*/*"), Format::Plain);
    let text = text(measures(Vec::new()), &Shown::default(), &[], Format::OpenMetrics);
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("# TYPE windlass_jobs_enqueued counter\n"), "{text}");
}

#[test]
fn a_thousand_queues_are_shown_and_the_others_added_up_and_it_stays_so() {
    let shown = Shown::default();
    let all = || (1..=1_500).map(|id| queue(id, &format!("q{id}"))).collect::<Vec<_>>();
    let text = plain(measures(all()), &shown, &[]);
    let queues = |text: &str| text.lines().filter(|line| line.starts_with("windlass_queue_paused{")).count();
    assert_eq!(queues(&text), 1_001);
    assert!(text.contains("windlass_metrics_queues_dropped 500\n"));
    // The busiest are shown: of 1,500 those above 500.
    assert!(text.contains("windlass_jobs_enqueued_total{queue=\"q501\"} 501\n"));
    assert!(!text.contains("queue=\"q500\""));
    let others: u32 = (1..=500).sum();
    assert!(text.contains(&format!("windlass_jobs_enqueued_total{{queue=\"_other\"}} {others}\n")));
    let mut later = all();
    later[0].totals.enqueued = 1_000_000;
    let text = plain(measures(later), &shown, &[]);
    assert!(!text.contains("queue=\"q1\""), "who is added up with the others stays with them");
    let one = plain(measures(all()), &shown, &["q1"]);
    assert_eq!(queues(&one), 1, "unless it is asked for");
    assert!(one.contains("queue=\"q1\""));
}

#[test]
fn a_name_with_quotes_does_not_break_out_of_its_label() {
    let text = plain(measures(vec![queue(1, "a\"b\\c")]), &Shown::default(), &[]);
    assert!(text.contains("windlass_queue_paused{queue=\"a\\\"b\\\\c\"} 0\n"), "{text}");
}

#[test]
fn scripts_get_a_few_totals() {
    let summary = Summary::of(&measures(vec![queue(1, "a"), queue(2, "b")]));
    let expected = Summary { total_jobs_in_queue: 3, jobs_done: 4, jobs_open: 6, ..Summary::default() };
    assert_eq!(summary, expected);
}
