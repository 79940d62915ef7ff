//! kill -9 of workers and of the broker, a broker that is stopped for a while, signals to end, and data
//! directories that a broker must not start on.

// A disk that refuses, interrupts and delays.
mod disk_faults;
// kill -9 at named places.
mod failpoints;
// Clients that know what they were promised, over many deaths of a broker.
mod witness;
// What is refused at the start, before the port opens.
mod refused_starts;

use crate::harness::{
    Broker, ExampleWorker, NOTICED_MS_MOST, Peer, complete, encode, eventually, fetch_once, fresh_id, job,
};
use bytes::Bytes;
use rustix::process::Signal;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use windlass_client::{Client, JobContext, JobError, JobId, WorkerHandle};
use windlass_proto::v1::attempt::Outcome;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Enqueue, Fetch, JobSpec, JobView, SettleCode, State};

/// A job of the example worker that takes its time.
fn slow(hold_ms: u32) -> JobSpec {
    let payload = format!(r#"{{"title": "Slow", "lines": ["of its own"], "hold_ms": {hold_ms}}}"#);
    JobSpec { queue: "default".into(), payload: payload.into(), ..job("generate_pdf") }
}

fn completed(peer: &mut Peer, id: &Bytes) -> JobView {
    eventually("the job is completed", || Some(peer.job(id)).filter(|job| job.state() == State::Completed))
}

/// Waits until a job is leased. By whom.
fn leased_by(peer: &mut Peer, id: &Bytes) -> String {
    eventually("the job is leased", || peer.job(id).lease).worker
}

#[test]
fn the_jobs_of_a_killed_worker_run_elsewhere_long_before_a_timeout() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let workers = ["one", "two"].map(|name| ExampleWorker::start(broker.home(), name, broker.addr(), 2));
    let id = peer.enqueue(slow(4_000));
    let lost = leased_by(&mut peer, &id);
    let (mut victims, mut others): (Vec<_>, Vec<_>) =
        workers.into_iter().partition(|worker| worker.is(&lost));
    let killed_at = peer.server().server_at_ms;
    victims[0].program.kill();
    let again = eventually("somebody else runs it", || {
        peer.job(&id).lease.filter(|lease| others.iter().any(|worker| worker.is(&lease.worker)))
    });
    let waited = again.leased_at_ms - killed_at;
    assert!(waited <= NOTICED_MS_MOST, "after {waited} ms by the broker's clock");

    let job = completed(&mut peer, &id);
    assert_eq!((job.attempt, job.crashes, job.deliveries), (1, 1, 2), "a crash is not an attempt");
    assert_eq!((job.history.len(), job.history[0].outcome()), (1, Outcome::Lost));
    assert!(victims[0].is(&job.history[0].worker));
    assert_eq!(others[0].runs().len(), 1, "{:?}", others[0].runs());
    others[0].program.signal(Signal::TERM);
    assert_eq!(others[0].program.wait(), 0);
}

/// G2: a worker that was stopped for longer than its lease lasts comes back and is refused: what counts is
/// the run of whoever had the job meanwhile.
#[test]
fn a_worker_that_was_stopped_past_its_lease_is_refused_when_it_goes_on() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let mut first = ExampleWorker::start(broker.home(), "first", broker.addr(), 1);
    let id = peer.enqueue(slow(3_000));
    let lost = leased_by(&mut peer, &id);
    first.program.signal(Signal::STOP);
    let second = ExampleWorker::start(broker.home(), "second", broker.addr(), 1);
    let job = completed(&mut peer, &id);
    assert_eq!((job.attempt, job.crashes, job.deliveries, job.history.len()), (1, 1, 2, 1), "{job:?}");
    assert_eq!((job.history[0].outcome(), &job.history[0].worker), (Outcome::Lost, &lost));

    first.program.signal(Signal::CONT);
    // Its handler goes on where it stood, and is refused; then it is a worker like any other.
    let again = peer.enqueue(slow(0));
    completed(&mut peer, &again);
    first.program.signal(Signal::TERM);
    assert_eq!(first.program.wait(), 0, "{}", first.program.stderr());
    assert!(first.program.stderr().contains(" 1 lost"), "{}", first.program.stderr());
    assert_eq!(peer.job(&id), job, "what counted still counts");
    assert!(second.runs().iter().any(|run| run.contains("outcome=ok")), "{:?}", second.runs());
}

#[test]
fn workers_keep_their_leases_when_the_broker_is_killed() {
    let mut broker = Broker::start();
    let (runs, gate) = (Runs::default(), Arc::new(Semaphore::new(0)));
    let runtime = runtime();
    let worker = runtime.block_on(async {
        let client = Client::connect(broker.addr()).await.unwrap();
        let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
        let handler = move |context: JobContext| {
            *runs.lock().unwrap().entry(context.id()).or_default() += 1;
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                Ok::<_, JobError>("done")
            }
        };
        client.worker().queues(["q"]).concurrency(3).handle_any(handler).start()
    });
    let mut peer = broker.peer();
    let ids: Vec<Bytes> = (0..4).map(|_| peer.enqueue(job("k"))).collect();
    // A lease is on disk before its worker hears of it, and one that the kill keeps from the worker goes back
    // uncounted. These have reached their handlers, and no handler ends before the broker is back.
    eventually("three of them run", || (runs.lock().unwrap().len() == 3).then_some(()));
    broker.kill();
    broker.restart();
    gate.add_permits(ids.len());
    let mut peer = broker.peer();
    for id in &ids {
        let job = completed(&mut peer, id);
        assert_eq!((job.deliveries, job.attempt, job.crashes), (1, 1, 0), "{job:?}");
    }
    let runs = runs.lock().unwrap().clone();
    assert_eq!((runs.len(), runs.values().max()), (4, Some(&1)), "each ran once: {runs:?}");
    assert_eq!(peer.queue("q").completed_total, 4);
    runtime.block_on(worker.stop()).unwrap();
}

/// What the handlers of a test have been given, by job.
type Runs = Arc<Mutex<HashMap<JobId, u32>>>;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A worker in this process that counts its runs; each takes some time.
async fn working(broker: &Broker, runs: &Runs, time: Duration) -> WorkerHandle {
    let client = Client::connect(broker.addr()).await.unwrap();
    let runs = Arc::clone(runs);
    let handler = move |context: JobContext| {
        *runs.lock().unwrap().entry(context.id()).or_default() += 1;
        async move {
            tokio::time::sleep(time).await;
            Ok::<_, JobError>("done")
        }
    };
    client.worker().queues(["q-work", "stubborn"]).concurrency(50).handle_any(handler).start()
}

#[test]
fn nothing_acknowledged_is_lost_or_run_twice_when_the_broker_is_killed_at_work() {
    const KILLS: usize = 3;
    let mut broker = Broker::start();
    let runs = Runs::default();
    let runtime = runtime();
    let worker = runtime.block_on(working(&broker, &runs, Duration::ZERO));
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let producers = [(); 2].map(|()| {
        let (addr, stop, acknowledged) =
            (broker.addr().to_owned(), Arc::clone(&stop), Arc::clone(&acknowledged));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                produce(&addr, &stop, &acknowledged);
            }
        })
    });
    for _ in 0..KILLS {
        let enough = acknowledged.lock().unwrap().len() + 300;
        eventually("more jobs are acknowledged", || {
            (acknowledged.lock().unwrap().len() >= enough).then_some(())
        });
        broker.kill();
        broker.restart();
    }
    stop.store(true, Ordering::Relaxed);
    producers.into_iter().for_each(|producer| producer.join().unwrap());

    let acknowledged = acknowledged.lock().unwrap().clone();
    let mut peer = broker.peer();
    eventually("the queue is empty", || {
        let queue = peer.queue("q-work");
        (queue.ready + queue.leased + queue.scheduled == 0).then_some(())
    });
    runtime.block_on(worker.stop()).unwrap();
    for id in &acknowledged {
        let job = peer.job(id);
        assert_eq!((job.state(), job.attempt, job.crashes), (State::Completed, 1, 0), "{job:?}");
    }
    let runs = runs.lock().unwrap();
    let twice: Vec<_> = runs.iter().filter(|(_, runs)| **runs > 1).collect();
    assert!(twice.is_empty(), "{} of {} ran twice: {twice:?}", twice.len(), runs.len());
    assert!(runs.len() >= acknowledged.len(), "jobs whose answer was lost may have run as well");
}

/// Enqueues until the connection breaks, and notes what was acknowledged.
fn produce(addr: &str, stop: &AtomicBool, acknowledged: &Mutex<Vec<Bytes>>) {
    let Some(mut peer) = Peer::try_open(addr) else {
        thread::yield_now();
        return;
    };
    while !stop.load(Ordering::Relaxed) {
        let ids: Vec<Bytes> = (0..10).map(|_| fresh_id()).collect();
        let jobs =
            ids.iter().map(|id| JobSpec { id: id.clone(), queue: "q-work".into(), ..job("k") }).collect();
        let frame = encode(9, Request::Enqueue(Enqueue { jobs, ..Enqueue::default() }));
        if peer.try_send(&frame).is_err() {
            return;
        }
        match peer.hear_answer() {
            Some((9, Body::Enqueued(_))) => acknowledged.lock().unwrap().extend(ids),
            Some(other) => panic!("{other:?}"),
            None => return,
        }
    }
}

#[test]
fn a_broker_that_was_stopped_for_twenty_seconds_takes_nobody_s_job_away() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    // One handler goes on for longer than the client can be sure of its lease, and is none the worse for it.
    let runs = Runs::default();
    let runtime = runtime();
    let worker = runtime.block_on(working(&broker, &runs, Duration::from_secs(18)));
    let example = ExampleWorker::start(broker.home(), "worker", broker.addr(), 1);
    let stubborn = peer.enqueue(JobSpec { queue: "stubborn".into(), ..job("k") });
    let polite = peer.enqueue(slow(8_000));
    leased_by(&mut peer, &stubborn);
    leased_by(&mut peer, &polite);
    // And one that cannot beat, with a lease of its session's and one with a visibility timeout.
    let ids = [peer.enqueue(job("k")), peer.enqueue(job("k"))];
    let bound = peer.fetch("q");
    let timed = peer.poll(Fetch { lease_ms: 15_000, ..fetch_once("q", 1) }).remove(0);

    broker.program().signal(Signal::STOP);
    thread::sleep(Duration::from_secs(20));
    broker.program().signal(Signal::CONT);

    for (work, id) in [&bound, &timed].into_iter().zip(&ids) {
        assert_eq!(peer.settle(work, complete("")), SettleCode::Settled);
        let job = peer.job(id);
        assert_eq!((job.state(), job.deliveries, job.crashes), (State::Completed, 1, 0));
    }
    for id in [&stubborn, &polite] {
        let job = completed(&mut peer, id);
        assert_eq!((job.deliveries, job.attempt, job.crashes), (1, 1, 0), "{job:?}");
    }
    assert_eq!(example.runs().len(), 1, "{:?}", example.runs());
    runtime.block_on(worker.stop()).unwrap();
}

#[test]
fn sigterm_drains_and_what_runs_goes_on_when_the_broker_is_back() {
    let mut broker = Broker::start();
    let worker = ExampleWorker::start(broker.home(), "worker", broker.addr(), 1);
    let mut peer = broker.peer();
    let id = peer.enqueue(slow(2_000));
    leased_by(&mut peer, &id);
    assert_eq!(broker.terminate(), 0);
    broker.restart();
    let job = completed(&mut broker.peer(), &id);
    assert_eq!((job.deliveries, job.attempt, job.crashes), (1, 1, 0));
    assert_eq!(worker.runs().len(), 1);
    broker.program().signal(Signal::INT);
    assert_eq!(broker.program().wait(), 0, "SIGINT drains as well");
}

#[test]
fn a_second_signal_ends_the_broker_at_once_and_loses_nothing() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    let id = peer.enqueue(job("k"));
    // Both are pending when it goes on.
    broker.program().signal(Signal::STOP);
    broker.program().signal(Signal::TERM);
    broker.program().signal(Signal::INT);
    broker.program().signal(Signal::CONT);
    assert_eq!(broker.program().wait(), 0);
    broker.restart();
    assert_eq!(broker.peer().job(&id).state(), State::Ready);
}

#[test]
fn everything_that_is_known_of_a_job_outlives_the_broker() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    let spec = JobSpec {
        payload: "42".into(),
        key: "tenant".into(),
        content_type: "text/plain".into(),
        headers: [("traceparent".into(), "00-1".into())].into(),
        tags: vec!["blue".into()],
        ..job("k")
    };
    let id = peer.enqueue(spec);
    let failed = peer.fetch("q");
    peer.settle(&failed, crate::harness::fail("first time unlucky"));
    let work = peer.fetch("q");
    peer.settle(&work, complete("done"));
    let scheduled = peer.enqueue(JobSpec { delay_ms: 3_600_000, ..job("k") });
    peer.pause("q");
    let before = (peer.job(&id), peer.job(&scheduled), peer.queue("q"));
    broker.kill();
    broker.restart();
    let mut peer = broker.peer();
    let after = (peer.job(&id), peer.job(&scheduled), peer.queue("q"));
    assert_eq!(after, before);
    assert_eq!((after.0.history.len(), &after.0.result[..], after.2.completed_total), (1, &b"done"[..], 1));
    peer.enqueue(JobSpec { queue: "r".into(), ..job("k") });
    assert!(peer.fetch("r").fence > work.fence, "a fence never repeats");
}
