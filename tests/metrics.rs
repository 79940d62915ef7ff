//! What Prometheus gets of the broker and of workers, and that alerts, dashboard and documents speak of that.

use crate::harness::{Broker, ExampleWorker, Peer, complete, eventually, fail, http, job, stream};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use windlass_client::{Client, JobContext, JobError, NewJob};
use windlass_proto::v1::{AdvanceClock, Code, Enqueue, JobSpec, client_frame::Request};

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The names of the metrics of a text, as their types are told.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The names in the first column of the tables below a heading.
fn documented(page: &str, heading: &str) -> BTreeSet<String> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect()
}

/// Words that look like names of metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let is_name = |word: &&str| word.starts_with("windlass_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned).collect()
}

fn scrape(broker: &Broker) -> String {
    let reply = broker.http("GET", "/metrics", "");
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    reply.text()
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
}

#[test]
fn a_scrape_shows_what_was_done() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue_all(vec![job("k"), job("k"), job("k")]);
    let (first, second) = (peer.fetch("q"), peer.fetch("q"));
    peer.settle(&first, complete(""));
    peer.settle(&second, fail("no"));
    peer.open_stream(stream("other", 7));
    // What is answered later was decided later: the stream stands.
    peer.server();
    let text = scrape(&broker);
    has(&text, "windlass_jobs_enqueued_total{queue=\"q\"} 3");
    has(&text, "windlass_jobs_finished_total{queue=\"q\",outcome=\"completed\"} 1");
    has(&text, "windlass_attempts_total{queue=\"q\",outcome=\"failed\"} 1");
    has(&text, "windlass_wait_seconds_count{queue=\"q\"} 2");
    has(&text, "windlass_run_seconds_count{queue=\"q\"} 2");
    has(&text, "windlass_slots{queue=\"other\",kind=\"total\"} 7");
    has(&text, "windlass_workers{queue=\"other\"} 1");
    has(&text, "windlass_frames_total{verb=\"settle\"} 2");
    has(&text, "windlass_draining 0");
    // What never came to the engine is counted, too.
    has(&text, "windlass_frame_errors_total{code=\"INVALID\"} 0");
    assert_eq!(
        peer.refused(Request::Enqueue(Enqueue { jobs: vec![job("k\n")], ..Enqueue::default() })).code(),
        Code::Invalid
    );
    has(&scrape(&broker), "windlass_frame_errors_total{code=\"INVALID\"} 1");
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    assert!(value("windlass_store_commit_seconds_count") >= 4.0);
    assert!(value("windlass_loop_busy_seconds_total") > 0.0);
    let json = http::ask(&broker.http_addr(), "GET", "/metrics", &[("Accept", "application/json")], b"");
    let json = json.json();
    let of = |name: &str| json[name].as_u64().unwrap();
    assert_eq!((of("total_jobs_in_queue"), of("jobs_done"), of("jobs_failed")), (3, 1, 0), "{json}");
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0")];
    let open = http::ask(&broker.http_addr(), "GET", "/metrics?queue=q", &accept, b"");
    assert!(open.header("content-type").starts_with("application/openmetrics-text"));
    assert!(open.text().ends_with("# EOF\n") && !open.text().contains("queue=\"other\""));
    assert_eq!(broker.http("GET", "/metrics?que=q", "").status, 400);
}

#[test]
fn every_metric_that_is_written_about_is_in_a_scrape_and_the_other_way_round() {
    let broker = Broker::start();
    broker.peer().enqueue(job("k"));
    let text = scrape(&broker);
    assert_eq!(documented(&document("docs/METRICS.md"), "Of the broker"), families(&text));
    let samples = named(&text);
    for file in ["ops/alerts.yml", "ops/grafana.json"] {
        let unknown: Vec<_> = named(&document(file)).difference(&samples).cloned().collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
    serde_json::from_str::<serde_json::Value>(&document("ops/grafana.json")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_counts_what_its_worker_does() {
    let broker = tokio::task::spawn_blocking(Broker::start).await.unwrap();
    let client = Client::connect(broker.addr()).await.unwrap();
    for payload in ["1", "1", "0"] {
        client.enqueue(NewJob::new("email").queue("mail").payload(payload).attempts(1)).await.unwrap();
    }
    let run = |context: JobContext| async move {
        if context.payload() == &b"1"[..] { Ok(()) } else { Err(JobError::permanent("no")) }
    };
    let worker = client.worker().queues(["mail"]).handle_raw("email", run).start();
    let stats = worker.stats();
    let deadline = Instant::now() + Duration::from_secs(60);
    while stats.done() + stats.failed() < 3 {
        assert!(Instant::now() < deadline, "{stats:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.stop().await.unwrap();
    let text = client.metrics().to_prometheus();
    assert_eq!(documented(&document("docs/METRICS.md"), "Of a client"), families(&text));
    let labels =
        "messaging_system=\"windlass\",messaging_destination_name=\"mail\",windlass_job_kind=\"email\"";
    has(
        &text,
        &format!("messaging_client_sent_messages_total{{{labels},messaging_operation_name=\"send\"}} 3"),
    );
    let process = format!("{labels},messaging_operation_name=\"process\"");
    has(&text, &format!("messaging_process_duration_seconds_count{{{process}}} 2"));
    has(&text, &format!("messaging_process_duration_seconds_count{{{process},error_type=\"failed\"}} 1"));
    has(&text, &format!("messaging_process_running{{{process}}} 0"));
}

#[test]
fn the_example_worker_serves_what_it_has_done() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let job = JobSpec { queue: "default".into(), payload: "no".into(), ..job("send_email") };
    peer.enqueue(job);
    let flags = ["--addr", broker.addr(), "--metrics", "127.0.0.1:0"];
    let worker = ExampleWorker::with(broker.home(), "worker", &flags);
    let addr = eventually("it says where", || {
        let said = worker.program.stderr();
        let addr = said.split("addr=").nth(1)?.split_whitespace().next()?.to_owned();
        Some(addr)
    });
    let json = || http::ask(&addr, "GET", "/metrics", &[("Accept", "application/json")], b"").json();
    // The worker asks the broker what waits, and says nothing of it where there is no answer in time.
    let has_failed = |now: &serde_json::Value| now["jobs_failed"] == 1 && now["total_jobs_in_queue"] == 0;
    let now = eventually("the job has failed", || Some(json()).filter(has_failed));
    assert_eq!(now["jobs_done"], 0, "{now}");
    let text = http::ask(&addr, "GET", "/metrics", &[], b"");
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.text().contains("messaging_process_duration_seconds_count{"), "{}", text.text());
    assert_eq!(http::ask(&addr, "GET", "/", &[], b"").status, 404);
    assert_eq!(http::ask(&addr, "POST", "/metrics", &[], b"").status, 405);
}

#[test]
fn courses_and_figures_for_autoscalers_are_read_over_http() {
    let broker = Broker::with_test_clock();
    let mut peer: Peer = broker.peer();
    peer.enqueue_all(vec![job("k"), job("k")]);
    peer.ask(Request::AdvanceClock(AdvanceClock { by_ms: 60_000, ..AdvanceClock::default() }));
    let course =
        broker.http("GET", "/v1/stats/series?metric=ready&queue=q&window_ms=20000&step_ms=10000", "");
    let course = course.json();
    let row = &course["items"][0];
    assert_eq!(row["start_at"], "2030-01-01T00:00:40.000Z", "{course}");
    assert_eq!((&row["values"], &row["step_ms"]), (&serde_json::json!([2, 2]), &10_000.into()), "{course}");
    let all = broker.http("GET", "/v1/stats/series?queue=*&metric=enqueued", "").json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    assert_eq!(broker.http("GET", "/v1/stats/series?metric=nonsense", "").status, 400);
    let scale = broker.http("GET", "/v1/scale?queue=q", "").json();
    assert_eq!(
        (&scale["ready"], &scale["slots"], &scale["oldest_ms"]),
        (&2.into(), &0.into(), &60_000.into())
    );
    assert_eq!((&scale["backlog_seconds"], &scale["desired_workers"]), (&2.0.into(), &1.into()), "{scale}");
    let unknown = broker.http("GET", "/v1/scale?queue=new", "").json();
    assert_eq!((&unknown["queue"], &unknown["ready"]), (&"new".into(), &0.into()));
}
