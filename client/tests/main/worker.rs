//! Workers: what they ask for, how outcomes travel, and what cuts, signals and stops do to runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use windlass_client::proto::client_frame::Request;
use windlass_client::proto::hello::running::Held;
use windlass_client::proto::result::How;
use windlass_client::proto::server_frame::Body;
use windlass_client::proto::signal::Type;
use windlass_client::proto::{Closed, Code, Deliver, Error, SettleCode, Signal, Touched, Work};
use windlass_client::{Client, Job, JobContext, JobError, Worker, WorkerHandle};

use crate::peer::{Line, Peer, soon, work};

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "greet";
}

/// A worker that runs, its connection, and the id of its stream.
async fn started(peer: &Peer, configure: impl FnOnce(Worker) -> Worker) -> (WorkerHandle, Line, u64) {
    let (client, _line) = peer.client(Client::builder()).await;
    let handle = configure(client.worker()).start();
    let mut line = peer.accept_main().await;
    let (stream, _) = line.hear_fetch().await;
    (handle, line, stream)
}

/// The only result of the next Settle, which is answered as taken.
async fn next_outcome(line: &mut Line) -> (u64, How) {
    let (request, settle) = line.hear_settle().await;
    line.settled(request, &settle, SettleCode::Settled).await;
    assert_eq!(settle.results.len(), 1);
    let result = settle.results.into_iter().next().unwrap();
    (result.fence, result.how.unwrap())
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_asks_for_the_kinds_it_knows() {
    let peer = Peer::bind().await;
    let (client, _line) = peer.client(Client::builder()).await;
    let worker = client
        .worker()
        .queues(["mail", "default"])
        .concurrency(7)
        .lease(Duration::from_secs(9))
        .handle(|_: Greet, _| async { Ok(()) })
        .handle_raw("echo", |ctx: JobContext| async move { Ok(ctx.payload().clone()) });
    let handle = worker.start();
    let mut line = peer.accept_main().await;
    let (_, fetch) = line.hear_fetch().await;
    let queues: Vec<&str> = fetch.sources.iter().map(|source| source.queue.as_str()).collect();
    assert_eq!(queues, ["mail", "default"]);
    assert_eq!(fetch.kinds, ["echo", "greet"]);
    assert_eq!((fetch.strict, fetch.slots, fetch.lease_ms, fetch.once), (true, 7, 9_000, 0));
    drop(handle);
    assert!(soon("the end", line.try_hear()).await.is_none());
}

#[tokio::test]
async fn a_worker_draws_by_weight_if_it_says_so() {
    let peer = Peer::bind().await;
    let (client, _line) = peer.client(Client::builder()).await;
    let worker = client.worker().weighted_queues([("mail", 3), ("bulk", 1)]);
    let handle = worker.handle(|_: Greet, _| async { Ok(()) }).start();
    let mut line = peer.accept_main().await;
    let (_, fetch) = line.hear_fetch().await;
    let sources: Vec<_> = fetch.sources.iter().map(|source| (source.queue.as_str(), source.weight)).collect();
    assert_eq!((sources.as_slice(), fetch.strict), ([("mail", 3), ("bulk", 1)].as_slice(), false));
    drop(handle);
    assert!(soon("the end", line.try_hear()).await.is_none());
}

#[tokio::test]
async fn outcomes_of_all_sorts_reach_the_broker() {
    let peer = Peer::bind().await;
    let (handle, mut line, stream) = started(&peer, |worker| {
        worker.handle(|job: Greet, _| async move { Ok(format!("hello {}", job.name)) }).handle_any(
            |ctx: JobContext| async move {
                match ctx.kind() {
                    "retry" => Err(JobError::retry_after(Duration::from_secs(3), "later")),
                    "snooze" => Err(JobError::snooze(Duration::from_secs(4))),
                    "dead" => Err(JobError::permanent("no use")),
                    "io" => Ok(std::fs::read("/does/not/exist").map(|_| ())?),
                    "panic" => panic!("number {}", 5),
                    _ => Ok(()),
                }
            },
        )
    })
    .await;
    let mut outcomes = Vec::new();
    let kinds = ["retry", "snooze", "dead", "io", "panic", "other"];
    for (number, kind) in (1..).zip(kinds) {
        line.deliver(stream, vec![work(number, kind, "")]).await;
        let (fence, how) = next_outcome(&mut line).await;
        assert_eq!(fence, u64::from(number));
        outcomes.push(how);
    }
    assert!(matches!(&outcomes[0], How::Fail(fail) if fail.retry_after_ms == Some(3_000) && !fail.fatal));
    assert!(matches!(&outcomes[1], How::Release(release) if release.delay_ms == 4_000));
    assert!(matches!(&outcomes[2], How::Fail(fail) if fail.fatal && fail.message == "no use"));
    assert!(matches!(&outcomes[3], How::Fail(fail) if fail.kind == "std::io::error::Error"));
    assert!(
        matches!(&outcomes[4], How::Fail(fail) if fail.kind == "panic" && fail.message.ends_with("number 5"))
    );
    assert!(matches!(&outcomes[5], How::Complete(complete) if complete.result.is_empty()));

    line.deliver(stream, vec![work(7, "greet", r#"{"name": "Ada"}"#)]).await;
    let (_, how) = next_outcome(&mut line).await;
    assert!(matches!(&how, How::Complete(done) if done.result.as_ref() == b"\"hello Ada\""), "{how:?}");
    line.deliver(stream, vec![work(8, "greet", r#"{"name": 5}"#)]).await;
    let (_, how) = next_outcome(&mut line).await;
    assert!(matches!(&how, How::Fail(fail) if fail.fatal && fail.message.contains("at .name")), "{how:?}");

    let stats = handle.stats();
    until("counting", || stats.done() == 2 && stats.failed() == 5 && stats.released() == 1).await;
    assert_eq!(stats.running(), 0);
}

#[tokio::test]
async fn outcomes_that_are_ready_together_go_together() {
    let peer = Peer::bind().await;
    let (_handle, mut line, stream) =
        started(&peer, |worker| worker.concurrency(100).handle_any(|_| async { Ok(()) })).await;
    line.deliver(stream, (1..=100).map(|number| work(number, "k", "")).collect()).await;
    let (mut results, mut frames) = (0, 0);
    while results < 100 {
        let (request, settle) = line.hear_settle().await;
        results += settle.results.len();
        frames += 1;
        line.settled(request, &settle, SettleCode::Settled).await;
    }
    assert!(frames < 100, "every outcome went alone");
}

#[tokio::test]
async fn after_a_cut_the_worker_says_what_runs_and_goes_on() {
    let mut peer = Peer::bind().await;
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let (tokens, mut started_runs) = mpsc::unbounded_channel();
    let (_handle, mut line, stream) = started(&peer, |worker| {
        worker.handle_any(move |ctx: JobContext| {
            let (gate, tokens) = (Arc::clone(&gate), tokens.clone());
            async move {
                tokens.send(ctx.clone()).unwrap();
                gate.notified().await;
                Ok(ctx.payload().clone())
            }
        })
    })
    .await;
    line.deliver(stream, vec![work(1, "k", "one"), work(2, "k", "two")]).await;
    let one = soon("a run", started_runs.recv()).await.unwrap();
    let two = soon("a run", started_runs.recv()).await.unwrap();
    let (kept, lost) = if one.fence() == 1 { (one, two) } else { (two, one) };
    drop(line);

    // The broker has kept the first and given the second away.
    peer.welcome.leases_kept = vec![Bytes::from_static(&[1; 16])];
    let mut line = peer.accept_main().await;
    let mut held = line.hello.running.take().unwrap().held;
    held.sort_by_key(|held| held.fence);
    let listed = |number: u8| Held { id: Bytes::copy_from_slice(&[number; 16]), fence: number.into() };
    assert_eq!(held, [listed(1), listed(2)]);
    let (_, fetch) = line.hear_fetch().await;
    assert_eq!(fetch.slots, 10);
    soon("the token of the lost run", lost.cancelled()).await;
    assert!(lost.is_lost() && !kept.is_cancelled());
    assert!(lost.cancel_reason().unwrap().contains("lost"));

    go.notify_waiters();
    let (fence, _) = next_outcome(&mut line).await;
    assert_eq!(fence, 1);
    drop(kept);
}

#[tokio::test]
async fn an_outcome_that_was_cut_is_sent_again_and_counts_once() {
    let peer = Peer::bind().await;
    let (handle, mut line, stream) = started(&peer, |worker| worker.handle_any(|_| async { Ok("x") })).await;
    line.deliver(stream, vec![work(1, "k", "")]).await;
    let (_, first) = line.hear_settle().await;
    drop(line);
    let mut line = peer.accept_main().await;
    let (request, second) = line.hear_settle().await;
    assert_eq!(first, second);
    line.settled(request, &second, SettleCode::AlreadySettled).await;
    let (_, _) = line.hear_fetch().await;
    let stats = handle.stats();
    until("counting", || stats.done() == 1).await;
    assert_eq!(stats.lost(), 0);
}

#[tokio::test]
async fn an_outcome_that_the_broker_refuses_becomes_a_failure() {
    let peer = Peer::bind().await;
    let (handle, mut line, stream) = started(&peer, |worker| worker.handle_any(|_| async { Ok("x") })).await;
    line.deliver(stream, vec![work(1, "k", ""), work(2, "k", "")]).await;
    // Together or not, refused as a whole or one by one: each run ends as a failure, and none stays leased.
    let mut failed = Vec::new();
    while failed.len() < 2 {
        let (request, settle) = line.hear_settle().await;
        let is_failure = |how: &Option<How>| matches!(how, Some(How::Fail(f)) if f.kind == "outcome_refused");
        if settle.results.iter().all(|result| is_failure(&result.how)) {
            failed.extend(settle.results.iter().map(|result| result.fence));
            line.settled(request, &settle, SettleCode::Settled).await;
        } else {
            line.say_error(request, Error { code: Code::TooLarge.into(), ..Error::default() }).await;
        }
    }
    failed.sort_unstable();
    assert_eq!(failed, [1, 2]);
    let stats = handle.stats();
    until("counting", || stats.failed() == 2).await;
    assert_eq!(stats.done(), 0);
}

#[tokio::test]
async fn a_job_that_is_not_kept_may_be_unknown_when_its_outcome_comes_again() {
    let peer = Peer::bind().await;
    let (handle, mut line, stream) = started(&peer, |worker| worker.handle_any(|_| async { Ok(()) })).await;
    line.deliver(stream, vec![work(1, "k", "")]).await;
    line.hear_settle().await;
    drop(line);
    let mut line = peer.accept_main().await;
    let (request, settle) = line.hear_settle().await;
    line.settled(request, &settle, SettleCode::UnknownJob).await;
    let stats = handle.stats();
    until("counting", || stats.done() == 1).await;
    assert_eq!(stats.lost(), 0);
}

#[tokio::test]
async fn a_run_whose_broker_is_out_of_reach_is_told_before_others_may_have_its_job() {
    let mut peer = Peer::bind().await;
    peer.welcome.session_ttl_ms = 1_500;
    let (runs, mut started_runs) = mpsc::unbounded_channel();
    let (_handle, mut line, stream) = started(&peer, |worker| {
        worker.handle_any(move |ctx: JobContext| {
            let runs = runs.clone();
            async move {
                runs.send(ctx.clone()).unwrap();
                ctx.cancelled().await;
                Err::<(), _>(JobError::cancelled())
            }
        })
    })
    .await;
    line.deliver(stream, vec![work(1, "k", "")]).await;
    let run = soon("a run", started_runs.recv()).await.unwrap();
    // Nobody listens any more on either connection, and nobody answers new ones.
    let mut line = loop {
        let line = peer.accept_only().await;
        if line.hello.running.is_some() {
            soon("the token", run.cancelled()).await;
            break line;
        }
    };
    assert!(!run.is_lost(), "the broker has the last word");
    // The broker was away itself and has kept the lease: the job goes back and is not cancelled.
    peer.welcome.leases_kept = vec![Bytes::from_static(&[1; 16])];
    line.say(1, Body::Welcome(peer.welcome.clone())).await;
    // The stream is opened again before or after, as the run is quick to stop or not.
    let settle = loop {
        if let Some(Request::Settle(settle)) = line.hear_word().await.request {
            break settle;
        }
    };
    assert_eq!(settle.results[0].fence, 1);
    assert!(matches!(&settle.results[0].how, Some(How::Release(_))), "{settle:?}");
}

#[tokio::test]
async fn a_new_session_means_that_all_runs_are_lost() {
    let mut peer = Peer::bind().await;
    let (runs, mut started_runs) = mpsc::unbounded_channel();
    let (handle, mut line, stream) = started(&peer, |worker| {
        worker.handle_any(move |ctx: JobContext| {
            let runs = runs.clone();
            async move {
                runs.send(ctx.clone()).unwrap();
                ctx.cancelled().await;
                Err::<(), _>(JobError::cancelled())
            }
        })
    })
    .await;
    line.deliver(stream, vec![work(1, "k", "")]).await;
    let run = soon("a run", started_runs.recv()).await.unwrap();
    drop(line);
    peer.welcome.session = Bytes::from_static(&[9; 16]);
    let mut line = peer.accept_main().await;
    soon("the token", run.cancelled()).await;
    assert!(run.is_lost());
    let (stream, _) = line.hear_fetch().await;
    let stats = handle.stats();
    until("counting", || stats.lost() == 1).await;
    // Nothing is said about the lost run; the next word is about the next one.
    line.deliver(stream, vec![work(2, "k", "")]).await;
    let next = soon("a run", started_runs.recv()).await.unwrap();
    next.token().cancel();
    let (fence, how) = next_outcome(&mut line).await;
    assert_eq!(fence, 2);
    assert!(matches!(how, How::Cancelled(_)));
}

#[tokio::test]
async fn signals_reach_the_run_they_are_about() {
    let peer = Peer::bind().await;
    let (_handle, mut line, stream) = started(&peer, |worker| {
        worker.handle_any(|ctx: JobContext| async move {
            ctx.cancelled().await;
            Err::<(), _>(JobError::cancelled().with_kind(ctx.cancel_reason().unwrap_or_default()))
        })
    })
    .await;
    line.deliver(stream, vec![work(1, "k", ""), work(2, "k", "")]).await;
    let lost =
        Signal { r#type: Type::LeaseLost.into(), fence: 1, reason: "gone".into(), ..Signal::default() };
    line.say(0, Body::Signal(lost)).await;
    let cancel =
        Signal { r#type: Type::Cancel.into(), fence: 2, reason: "no need".into(), ..Signal::default() };
    line.say(0, Body::Signal(cancel)).await;
    // The lost run says nothing; only the cancelled one does.
    let (fence, how) = next_outcome(&mut line).await;
    assert_eq!(fence, 2);
    assert!(matches!(how, How::Cancelled(_)));
}

#[tokio::test]
async fn goaway_makes_the_worker_come_back() {
    let peer = Peer::bind().await;
    let (_handle, mut line, _) = started(&peer, |worker| worker.handle_any(|_| async { Ok(()) })).await;
    line.say(0, Body::Signal(Signal { r#type: Type::Goaway.into(), ..Signal::default() })).await;
    let mut line = peer.accept_main().await;
    assert_eq!(line.hello.resume_session, peer.welcome.session);
    line.hear_fetch().await;
}

#[tokio::test]
async fn stopping_waits_for_handlers_and_says_bye() {
    let peer = Peer::bind().await;
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let (runs, mut started_runs) = mpsc::unbounded_channel();
    let (handle, mut line, stream) = started(&peer, |worker| {
        worker.handle_any(move |_| {
            let (gate, runs) = (Arc::clone(&gate), runs.clone());
            async move {
                runs.send(()).unwrap();
                gate.notified().await;
                Ok(())
            }
        })
    })
    .await;
    line.deliver(stream, vec![work(1, "k", "")]).await;
    soon("a run", started_runs.recv()).await.unwrap();
    let stopping = tokio::spawn(handle.stop());
    let (request, close) = line.hear_fetch().await;
    assert_eq!((close.stream, close.close), (stream, true));
    // A job that was on its way when the stream was closed is not started any more.
    line.deliver(stream, vec![work(2, "k", "")]).await;
    line.say(stream, Body::Deliver(Deliver { end: true, ..Deliver::default() })).await;
    line.say(request, Body::Closed(Closed {})).await;
    let (fence, how) = next_outcome(&mut line).await;
    assert_eq!(fence, 2);
    assert!(matches!(how, How::Release(release) if release.delay_ms == 0));

    go.notify_one();
    let (fence, how) = next_outcome(&mut line).await;
    assert_eq!(fence, 1);
    assert!(matches!(how, How::Complete(_)));
    line.hear_bye().await;
    soon("the end", stopping).await.unwrap().unwrap();
    assert!(started_runs.try_recv().is_err());
}

#[tokio::test]
async fn what_breaks_off_because_the_worker_stops_is_given_back() {
    let peer = Peer::bind().await;
    let (runs, mut started_runs) = mpsc::unbounded_channel();
    let (handle, mut line, stream) = started(&peer, |worker| {
        worker.shutdown_timeout(Duration::ZERO).handle_any(move |ctx: JobContext| {
            let runs = runs.clone();
            async move {
                runs.send(()).unwrap();
                ctx.cancelled().await;
                match ctx.kind() {
                    "fails" => Err(JobError::from("interrupted")),
                    "says so" => Err(JobError::cancelled()),
                    _ => Ok(()),
                }
            }
        })
    })
    .await;
    let kinds = ["fails", "says so", "completes"];
    line.deliver(stream, (1..).zip(kinds).map(|(number, kind)| work(number, kind, "")).collect()).await;
    for _ in kinds {
        soon("a run", started_runs.recv()).await.unwrap();
    }
    let stopping = tokio::spawn(handle.stop());
    let (request, _) = line.hear_fetch().await;
    line.say(request, Body::Closed(Closed {})).await;
    let mut completed = Vec::new();
    let mut released = Vec::new();
    while completed.len() + released.len() < kinds.len() {
        let (request, settle) = line.hear_settle().await;
        line.settled(request, &settle, SettleCode::Settled).await;
        for result in settle.results {
            match result.how {
                Some(How::Complete(_)) => completed.push(result.fence),
                Some(How::Release(_)) => released.push(result.fence),
                other => panic!("{other:?}"),
            }
        }
    }
    released.sort_unstable();
    assert_eq!((completed, released), (vec![3], vec![1, 2]));
    line.hear_bye().await;
    soon("the end", stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_that_does_not_stop_is_given_back() {
    let peer = Peer::bind().await;
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancelled);
    let (runs, mut started_runs) = mpsc::unbounded_channel();
    let (handle, mut line, stream) = started(&peer, |worker| {
        worker.shutdown_timeout(Duration::ZERO).handle_any(move |ctx: JobContext| {
            let (seen, runs) = (Arc::clone(&seen), runs.clone());
            async move {
                runs.send(()).unwrap();
                ctx.cancelled().await;
                seen.store(true, Ordering::Release);
                std::future::pending::<()>().await;
                Ok(())
            }
        })
    })
    .await;
    line.deliver(stream, vec![work(1, "k", "")]).await;
    soon("a run", started_runs.recv()).await.unwrap();
    let stopping = tokio::spawn(handle.stop());
    let (request, _) = line.hear_fetch().await;
    line.say(request, Body::Closed(Closed {})).await;
    let (fence, how) = next_outcome(&mut line).await;
    assert_eq!(fence, 1);
    assert!(matches!(how, How::Release(_)));
    assert!(cancelled.load(Ordering::Acquire), "it was asked to stop before");
    line.hear_bye().await;
    soon("the end", stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_without_handlers_is_refused() {
    let peer = Peer::bind().await;
    let (client, _line) = peer.client(Client::builder()).await;
    let error = client.worker().run_until(std::future::pending()).await.unwrap_err();
    assert_eq!(error.kind(), windlass_client::ErrorKind::Invalid);
}

/// Runs a worker in a loop of one thread, as many programs do, and lets the test script the peer in its own.
fn elsewhere(worker: Worker, stop: Arc<Notify>) -> std::thread::JoinHandle<windlass_client::Result<()>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(worker.run_until(async move { stop.notified().await }))
    })
}

/// The connection that only attaches, and the one that the worker works on.
async fn both_lines(peer: &Peer) -> (Line, Line) {
    let (first, second) = (peer.accept().await, peer.accept().await);
    let attaches = |line: &Line| !line.hello.resume_session.is_empty();
    assert!(attaches(&first) != attaches(&second));
    assert!(first.hello.running.is_none() && second.hello.running.is_none());
    if attaches(&first) { (first, second) } else { (second, first) }
}

#[tokio::test]
async fn a_handler_that_blocks_its_loop_does_not_stop_the_beats() {
    let mut peer = Peer::bind().await;
    peer.welcome.session_ttl_ms = 6_000;
    let (client, _line) = peer.client(Client::builder()).await;
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let entered = Arc::new(AtomicBool::new(false));
    let inside = Arc::clone(&entered);
    let worker = client.worker().handle_any(move |_| {
        inside.store(true, Ordering::Release);
        // Blocks the only thread of the worker's loop, sockets and all.
        blocked.lock().unwrap().recv().unwrap();
        async { Ok(()) }
    });
    let stop = Arc::new(Notify::new());
    let thread = elsewhere(worker, Arc::clone(&stop));
    let (mut beats, mut line) = both_lines(&peer).await;
    let (stream, _) = line.hear_fetch().await;
    line.deliver(stream, vec![work(1, "k", "")]).await;
    until("the handler", || entered.load(Ordering::Acquire)).await;

    for _ in 0..3 {
        let frame = beats.hear().await;
        let Some(Request::Touch(touch)) = frame.request else { panic!("not Touch") };
        assert!(touch.beat.is_some());
        beats.say(frame.id, Body::Touched(Touched::default())).await;
    }
    unblock.send(()).unwrap();
    tokio::spawn(beats.answer_beats());
    let (fence, _) = next_outcome(&mut line).await;
    assert_eq!(fence, 1);
    stop.notify_one();
    let (request, _) = line.hear_fetch().await;
    line.say(request, Body::Closed(Closed {})).await;
    line.hear_bye().await;
    soon("the end", tokio::task::spawn_blocking(|| thread.join())).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_visibility_timeout_is_moved_without_the_handler() {
    let peer = Peer::bind().await;
    let (client, _line) = peer.client(Client::builder()).await;
    let worker = client.worker().handle_any(|ctx: JobContext| async move {
        ctx.cancelled().await;
        Err::<(), _>(JobError::cancelled())
    });
    let stop = Arc::new(Notify::new());
    let thread = elsewhere(worker, Arc::clone(&stop));
    let (mut beats, mut line) = both_lines(&peer).await;
    let (stream, _) = line.hear_fetch().await;
    line.deliver(stream, vec![Work { ends_in_ms: 3_000, ..work(4, "k", "") }]).await;
    let mut extensions = 0;
    while extensions < 2 {
        let frame = beats.hear().await;
        let Some(Request::Touch(touch)) = frame.request else { panic!("not Touch") };
        for job in &touch.jobs {
            assert_eq!((job.fence, job.extend_ms), (4, Some(3_000)));
            extensions += 1;
        }
        let cancel = extensions == 2;
        let good = windlass_client::proto::touched::One {
            code: SettleCode::Settled.into(),
            cancel,
            ends_in_ms: 3_000,
            ..Default::default()
        };
        beats.say(frame.id, Body::Touched(Touched { jobs: vec![good; touch.jobs.len()] })).await;
    }
    // The answer to the last one asked the run to stop.
    tokio::spawn(beats.answer_beats());
    let (fence, how) = next_outcome(&mut line).await;
    assert_eq!(fence, 4);
    assert!(matches!(how, How::Cancelled(_)));
    stop.notify_one();
    let (request, _) = line.hear_fetch().await;
    line.say(request, Body::Closed(Closed {})).await;
    line.hear_bye().await;
    soon("the end", tokio::task::spawn_blocking(|| thread.join())).await.unwrap().unwrap().unwrap();
}
