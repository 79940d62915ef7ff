//! Lines that are slow, torn, half-open or crowded, with real clients on them: nothing is lost, nothing
//! runs twice because a socket blinked, and the broker's memory stays where it was.

use crate::harness::{Broker, Peer, Proxy, eventually, job, raise_open_files};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use windlass_client::{Client, JobContext, JobError, JobId, NewJob, WorkerHandle};

const MIB: u64 = 1 << 20;

/// How often each job ran.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<HashMap<JobId, u32>>>);

impl Runs {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Exactly these ran, each once.
    fn are_each_one_of(&self, ids: &[JobId]) {
        let runs = self.0.lock().unwrap();
        let twice: Vec<_> = runs.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "run more than once: {twice:?}");
        let lost: Vec<_> = ids.iter().filter(|id| !runs.contains_key(id)).collect();
        assert!(lost.is_empty() && runs.len() == ids.len(), "{} of {} ran", runs.len(), ids.len());
    }
}

/// A worker that counts its runs; with `go` each of them waits for that.
async fn worker(addr: &str, ttl: Duration, go: Option<Arc<Notify>>) -> (WorkerHandle, Runs) {
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = move |context: JobContext| {
        *counted.0.lock().unwrap().entry(context.id()).or_default() += 1;
        let go = go.clone();
        async move {
            if let Some(go) = go {
                go.notified().await;
            }
            Ok::<_, JobError>("done")
        }
    };
    let client = Client::builder().session_ttl(ttl).connect(addr).await.unwrap();
    (client.worker().queues(["q"]).concurrency(20).handle_raw("k", handler).start(), runs)
}

async fn enqueue(client: &Client, bytes: usize) -> JobId {
    client.enqueue(NewJob::new("k").queue("q").payload(vec![b'x'; bytes])).await.unwrap().id
}

async fn all_done(broker: &Broker, runs: &Runs, ids: &[JobId]) {
    let mut peer = broker.peer();
    let count = ids.len() as u64;
    eventually("all jobs are completed", || (peer.queue("q").completed == count).then_some(()));
    runs.are_each_one_of(ids);
    assert!(broker.rss_bytes() < 256 * MIB, "{}", broker.rss_bytes());
}

const TTL: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_takes_its_time_costs_time_only() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    proxy.delay(Duration::from_millis(60));
    let (running, runs) = worker(proxy.addr(), TTL, None).await;
    let producer = Client::connect(proxy.addr()).await.unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..200 {
        let producer = producer.clone();
        asked.spawn(async move { enqueue(&producer, 100).await });
    }
    let ids = asked.join_all().await;
    all_done(&broker, &runs, &ids).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_reset_in_the_middle_of_a_frame_lose_nothing() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    // No frame's length: each reset falls somewhere else.
    proxy.reset_after(150_001);
    let (running, runs) = worker(proxy.addr(), TTL, None).await;
    let producer = Client::connect(proxy.addr()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(enqueue(&producer, 20_000).await);
    }
    all_done(&broker, &runs, &ids).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_line_is_left_for_another_before_the_leases_end() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let go = Arc::new(Notify::new());
    let (running, runs) = worker(proxy.addr(), TTL, Some(Arc::clone(&go))).await;
    let producer = Client::connect(broker.addr()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(enqueue(&producer, 100).await);
    }
    eventually("all of them run", || (runs.count() == 10).then_some(()));
    let before = proxy.opened();
    proxy.blackhole();
    // The worker finds that nobody answers, and comes back on another line.
    eventually("it has come back", || (proxy.opened() >= before + 2).then_some(()));
    go.notify_waiters();
    all_done(&broker, &runs, &ids).await;
    running.stop().await.unwrap();
}

/// At a byte a second not even a Hello arrives in time. What was asked meanwhile is done when the line is
/// well again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_byte_a_second_nobody_is_let_in_and_nothing_is_lost() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let producer = Client::connect(proxy.addr()).await.unwrap();
    let first = enqueue(&producer, 100).await;
    proxy.dribble_at(Duration::from_secs(1));
    proxy.cut();
    let asked = tokio::spawn(async move { enqueue(&producer, 100).await });
    let log = || std::fs::read_to_string(broker.home().join("broker-1.err")).unwrap();
    eventually("it is cut for it", || log().contains("no Hello came in time").then_some(()));
    proxy.recover();
    let second = asked.await.unwrap();
    let (running, runs) = worker(broker.addr(), TTL, None).await;
    all_done(&broker, &runs, &[first, second]).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_that_come_back_at_once_find_their_sessions_and_their_leases() {
    raise_open_files();
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let (running, runs) = worker(proxy.addr(), TTL, None).await;
    let mut coming = JoinSet::new();
    for _ in 0..200 {
        let addr = proxy.addr().to_owned();
        coming.spawn(async move {
            Client::builder().connect_timeout(Duration::from_secs(60)).connect(&addr).await.unwrap()
        });
    }
    let clients = coming.join_all().await;
    let before = (broker.peer().sessions().len(), broker.rss_bytes());
    let mut ids = Vec::new();
    for _ in 0..3 {
        proxy.cut();
        let mut asked = JoinSet::new();
        for client in &clients {
            let client = client.clone();
            asked.spawn(async move { enqueue(&client, 100).await });
        }
        ids.extend(asked.join_all().await);
    }
    all_done(&broker, &runs, &ids).await;
    assert!(broker.peer().sessions().len() <= before.0 + 2, "sessions were made anew");
    let grown = broker.rss_bytes().saturating_sub(before.1);
    assert!(grown < 48 * MIB, "{grown} bytes for three storms");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_cost_little_while_a_quiet_client_works() {
    raise_open_files();
    let broker = Broker::start();
    let quiet = Client::connect(broker.addr()).await.unwrap();
    let (running, runs) = worker(broker.addr(), TTL, None).await;
    let mut ids = vec![enqueue(&quiet, 100).await];
    let before = broker.rss_bytes();
    let idle: Vec<Peer> = (0..1_000).map(|_| broker.peer()).collect();
    for _ in 0..50 {
        ids.push(enqueue(&quiet, 100).await);
    }
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 24 * MIB, "{grown} bytes for 1,000 connections and sessions");
    all_done(&broker, &runs, &ids).await;
    drop(idle);
    running.stop().await.unwrap();
}

/// What is refused is refused; what is kept has its bounds; and a quiet client is served beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_floods_with_large_jobs_stays_within_what_is_configured() {
    const CAPS: [&str; 6] =
        ["--unfolded-bytes", "8MiB", "--parts-cache-bytes", "8MiB", "--leaves-cache-bytes", "8MiB"];
    let broker = Broker::with(&CAPS);
    let before = broker.rss_bytes();
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let mut flood = broker.peer();
            std::thread::spawn(move || {
                let mut answered = 0;
                for _ in 0..40 {
                    let payload = vec![b'x'; 256 << 10].into();
                    let jobs =
                        vec![windlass_proto::v1::JobSpec { payload, queue: "flood".into(), ..job("k") }; 8];
                    let enqueue = windlass_proto::v1::Enqueue { jobs, ..Default::default() };
                    flood.ask(windlass_proto::v1::client_frame::Request::Enqueue(enqueue));
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let quiet = Client::connect(broker.addr()).await.unwrap();
    let (running, runs) = worker(broker.addr(), TTL, None).await;
    let mut most = 0;
    let mut ids = Vec::new();
    while !floods.iter().all(std::thread::JoinHandle::is_finished) {
        ids.push(enqueue(&quiet, 100).await);
        most = most.max(broker.rss_bytes());
    }
    assert!(floods.into_iter().all(|flood| flood.join().unwrap() == 40), "each has its answer");
    // Twice the bound of what waits for the fold, both caches, and the frames that are under way.
    let cap = before + (2 * 8 + 8 + 8 + 4 * 8 + 64) * MIB;
    assert!(most < cap, "{most} of {cap}");
    all_done(&broker, &runs, &ids).await;
    running.stop().await.unwrap();
}
