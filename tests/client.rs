//! The client library against the real broker, with the network between them misbehaving.

use crate::harness::{Broker, Peer, Proxy, eventually};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use windlass_client::proto::attempt::Outcome;
use windlass_client::proto::{JobView, State};
use windlass_client::{Client, ErrorKind, JobContext, JobError, NewJob, WorkerHandle};

const SHORT_TTL: Duration = Duration::from_secs(5);

async fn client(addr: &str) -> Client {
    Client::connect(addr).await.unwrap()
}

/// A client whose session does not outlive silence for long.
async fn mortal(addr: &str) -> Client {
    Client::builder().session_ttl(SHORT_TTL).connect(addr).await.unwrap()
}

fn job() -> NewJob {
    NewJob::new("k").queue("q")
}

fn completed(peer: &mut Peer, id: &bytes::Bytes) -> JobView {
    eventually("the job is completed", || Some(peer.job(id)).filter(|job| job.state() == State::Completed))
}

fn leased(peer: &mut Peer, id: &bytes::Bytes) -> JobView {
    eventually("the job is leased", || Some(peer.job(id)).filter(|job| job.lease.is_some()))
}

/// A worker of one slot whose handler ends when it is told to, and the number of its runs.
fn on_demand(client: &Client, go: &Arc<Notify>) -> (WorkerHandle, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let (go, counted) = (Arc::clone(go), Arc::clone(&runs));
    let handler = move |_context: JobContext| {
        let go = Arc::clone(&go);
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            go.notified().await;
            Ok::<_, JobError>("done")
        }
    };
    (client.worker().queues(["q"]).concurrency(1).handle_raw("k", handler).start(), runs)
}

/// The job has come over the line: what was on its way would come back unrun.
fn started(runs: &AtomicU32) {
    eventually("the handler runs", || (runs.load(Ordering::Relaxed) == 1).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_never_got_its_answer_sends_again_and_makes_one_job() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let client = client(proxy.addr()).await;
    let mut looking = broker.peer();
    proxy.lose_replies();
    let receipt = client.enqueue(job()).submit().await.unwrap();
    let many = tokio::spawn({
        let client = client.clone();
        async move { client.enqueue_many((0..50).map(|_| job())).await }
    });
    eventually("the broker has them all", || (looking.server().jobs == 51).then_some(()));
    proxy.cut();
    let enqueued = receipt.await.unwrap();
    assert!(!enqueued.duplicate, "for its producer it is the first");
    let many = many.await.unwrap().unwrap();
    assert!(many.iter().all(|one| !one.duplicate));
    assert_eq!((looking.server().jobs, looking.queue("q").enqueued_total), (51, 51));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_is_a_line() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    proxy.dribble();
    let client = client(proxy.addr()).await;
    let enqueued = client.enqueue(job().payload("x".repeat(200))).await.unwrap();
    assert_eq!(broker.peer().job(&enqueued.id.to_bytes()).payload.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_its_jobs_through_a_cut() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let client = client(proxy.addr()).await;
    let mut looking = broker.peer();
    let id = client.enqueue(job()).await.unwrap().id.to_bytes();
    let go = Arc::new(Notify::new());
    let (worker, runs) = on_demand(&client, &go);
    let before = leased(&mut looking, &id).lease.unwrap();
    started(&runs);
    for _ in 0..3 {
        proxy.cut();
        eventually("the worker is back", || {
            let sessions = looking.sessions();
            let worker = sessions.iter().find(|session| session.id == before.session).unwrap();
            (worker.slots == 1 && worker.connections > 0).then_some(())
        });
    }
    go.notify_one();
    let job = completed(&mut looking, &id);
    assert_eq!((job.deliveries, job.attempt, job.crashes), (1, 1, 0));
    assert_eq!((runs.load(Ordering::Relaxed), &job.result[..]), (1, &b"done"[..]));
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_notices_a_half_open_connection_and_comes_back_in_time() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let client = Client::builder().session_ttl(Duration::from_secs(12)).connect(proxy.addr()).await.unwrap();
    let mut looking = broker.peer();
    let id = client.enqueue(job()).await.unwrap().id.to_bytes();
    let go = Arc::new(Notify::new());
    let (worker, runs) = on_demand(&client, &go);
    started(&runs);
    // Only new connections carry anything from here on.
    proxy.blackhole();
    go.notify_one();
    let job = completed(&mut looking, &id);
    assert_eq!((job.deliveries, job.crashes, runs.load(Ordering::Relaxed)), (1, 0, 1));
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_come_back_stops_its_runs_and_their_results_are_refused() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let client = mortal(proxy.addr()).await;
    let mut looking = broker.peer();
    let id = client.enqueue(job()).await.unwrap().id.to_bytes();
    let (stopped, lost) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (told, was_lost, go) = (Arc::clone(&stopped), Arc::clone(&lost), Arc::new(Notify::new()));
    let (may_end, runs) = (Arc::clone(&go), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&runs);
    let handler = move |context: JobContext| {
        counted.fetch_add(1, Ordering::Relaxed);
        let (told, was_lost, go) = (Arc::clone(&told), Arc::clone(&was_lost), Arc::clone(&may_end));
        async move {
            context.cancelled().await;
            told.notify_one();
            go.notified().await;
            was_lost.store(context.is_lost(), Ordering::Relaxed);
            Ok::<_, JobError>("too late")
        }
    };
    let worker = client.worker().queues(["q"]).concurrency(1).handle_raw("k", handler).start();
    started(&runs);
    proxy.shut(true);
    proxy.cut();
    stopped.notified().await;
    let work = looking.fetch("q");
    assert_eq!((work.id.clone(), work.crashes), (id.clone(), 1), "somebody else has it now");
    proxy.shut(false);
    eventually("the worker is back", || looking.sessions().iter().any(|one| one.slots > 0).then_some(()));
    go.notify_one();
    let stats = worker.stats();
    eventually("its run has ended", || (stats.running() == 0 && stats.lost() == 1).then_some(()));
    assert!(lost.load(Ordering::Relaxed));
    assert_eq!(
        looking.settle(&work, crate::harness::complete("mine")),
        windlass_proto::v1::SettleCode::Settled
    );
    assert_eq!(looking.job(&id).result, "mine");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_and_the_worker_goes_on() {
    let broker = Broker::start();
    let client = client(broker.addr()).await;
    let handler = |context: JobContext| async move {
        assert!(context.attempt() > 1, "the first attempt breaks down");
        Ok::<_, JobError>(())
    };
    let worker = client.worker().queues(["q"]).handle_raw("k", handler).start();
    let retry = windlass_client::proto::Backoff { base_ms: 1, shape: 2, ..Default::default() };
    let id = client.enqueue(job().backoff(retry)).await.unwrap().id.to_bytes();
    let job = completed(&mut broker.peer(), &id);
    let failed = &job.history[0];
    assert_eq!((failed.outcome(), failed.kind.as_str(), job.attempt), (Outcome::Failed, "panic", 2));
    assert!(failed.message.contains("the first attempt breaks down"), "{}", failed.message);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_waits_for_what_runs_and_gives_back_the_rest_uncounted() {
    let broker = Broker::start();
    let client = client(broker.addr()).await;
    let mut looking = broker.peer();
    let go = Arc::new(Notify::new());
    let quick = Arc::clone(&go);
    let worker = client
        .worker()
        .queues(["q"])
        .concurrency(10)
        .shutdown_timeout(Duration::from_millis(500))
        .handle_raw("quick", move |_context| {
            let quick = Arc::clone(&quick);
            async move {
                quick.notified().await;
                Ok::<_, JobError>(())
            }
        })
        .handle_raw("endless", |_context| pending::<Result<(), JobError>>())
        .start();
    let quick = client.enqueue(NewJob::new("quick").queue("q")).await.unwrap().id.to_bytes();
    let endless = client.enqueue(NewJob::new("endless").queue("q")).await.unwrap().id.to_bytes();
    let stats = worker.stats();
    eventually("both run", || (stats.running() == 2).then_some(()));
    go.notify_one();
    worker.stop().await.unwrap();
    assert_eq!(looking.job(&quick).state(), State::Completed);
    let given_back = looking.job(&endless);
    assert_eq!((given_back.state(), given_back.attempt, given_back.crashes), (State::Ready, 0, 0));
    assert_eq!((stats.done(), stats.released(), stats.lost()), (1, 1, 0));
    let workers = looking.sessions().iter().filter(|session| session.slots > 0).count();
    assert_eq!(workers, 0, "its session is over");
}

#[test]
fn a_handler_that_blocks_the_runtime_does_not_lose_its_lease() {
    let broker = Broker::start();
    let mut looking = broker.peer();
    // One thread runs the whole worker, and its handler never lets go of it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let addr = broker.addr().to_owned();
    let blocked = thread::spawn(move || {
        runtime.block_on(async {
            let client = mortal(&addr).await;
            let done = Arc::new(Notify::new());
            let told = Arc::clone(&done);
            let handler = move |_context: JobContext| {
                let until = Instant::now() + 3 * SHORT_TTL;
                while Instant::now() < until {
                    std::hint::spin_loop();
                    thread::sleep(Duration::from_millis(5));
                }
                told.notify_one();
                async { Ok::<_, JobError>("slow") }
            };
            client.enqueue(job()).await.unwrap();
            let worker = client.worker().queues(["q"]).concurrency(1).handle_raw("k", handler);
            let stats = worker.stats();
            let stop = async {
                done.notified().await;
                while stats.done() == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            worker.run_until(stop).await.unwrap();
        });
    });
    let id = eventually("the job is there", || {
        let query = windlass_proto::v1::Query {
            what: windlass_proto::v1::query::What::Jobs.into(),
            select: Some(windlass_proto::v1::Selector { queue: "q".into(), ..Default::default() }),
            ..Default::default()
        };
        looking.rows(query).jobs.pop()
    })
    .id;
    let job = completed(&mut looking, &id);
    assert_eq!((job.deliveries, job.attempt, job.crashes), (1, 1, 0));
    blocked.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_token_of_the_handler() {
    let broker = Broker::start();
    let client = client(broker.addr()).await;
    let handler = |context: JobContext| async move {
        context.cancelled().await;
        assert_eq!(context.cancel_reason(), Some("not needed"));
        Err::<(), _>(JobError::cancelled())
    };
    let worker = client.worker().queues(["q"]).handle_raw("k", handler).start();
    let mut looking = broker.peer();
    let id = client.enqueue(job()).await.unwrap().id;
    leased(&mut looking, &id.to_bytes());
    client.admin().cancel([id], "not needed").await.unwrap();
    let cancelled = eventually("it has stopped", || {
        Some(looking.job(&id.to_bytes())).filter(|job| job.state() == State::Cancelled)
    });
    assert_eq!(cancelled.history[0].outcome(), Outcome::Cancelled);
    assert_eq!(worker.stats().lost(), 0);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visibility_timeout_is_moved_as_long_as_the_handler_runs() {
    let broker = Broker::start();
    let client = client(broker.addr()).await;
    let mut looking = broker.peer();
    let id = client.enqueue(job()).await.unwrap().id.to_bytes();
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let handler = move |_context: JobContext| {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            Ok::<_, JobError>(())
        }
    };
    let lease = Duration::from_secs(3);
    let worker = client.worker().queues(["q"]).lease(lease).handle_raw("k", handler).start();
    let leased_at = leased(&mut looking, &id).lease.unwrap().leased_at_ms;
    eventually("three times the lease has passed", || {
        (looking.server().server_at_ms > leased_at + 9_000).then_some(())
    });
    assert_eq!(looking.job(&id).lease.unwrap().leased_at_ms, leased_at);
    go.notify_one();
    assert_eq!(completed(&mut looking, &id).deliveries, 1);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_is_said_to_be_unknown() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let patience = Duration::from_secs(1);
    let client = Client::builder().give_up_after(patience).connect(proxy.addr()).await.unwrap();
    proxy.lose_replies();
    let sent = client.enqueue(job()).submit().await.unwrap();
    eventually("the broker has it", || (broker.peer().server().jobs == 1).then_some(()));
    proxy.shut(true);
    proxy.cut();
    assert_eq!(sent.await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    // What is said before the cut is noticed is on its way as well.
    let unsent = loop {
        let error = client.enqueue(job()).await.unwrap_err();
        if error.kind() != ErrorKind::OutcomeUnknown {
            break error;
        }
    };
    assert_eq!((unsent.kind(), unsent.is_retryable()), (ErrorKind::Unreachable, true));
    assert_eq!(broker.peer().server().jobs, 1);
}
