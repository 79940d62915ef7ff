//! A job while it runs: what it is held to, and what its handler says.

use crate::harness::{
    Broker, Peer, body, complete, eventually, fail, fetch_once, hello, hex, job, reading, result_of,
    start_windlass, stream, windlass,
};
use bytes::Bytes;
use windlass_client::{Client, JobContext, JobError};
use windlass_proto::v1::attempt::Outcome;
use windlass_proto::v1::backoff::Shape;
use windlass_proto::v1::hello::{Running, running::Held};
use windlass_proto::v1::result::How;
use windlass_proto::v1::signal::Type;
use windlass_proto::v1::{
    self, Backoff, Cancelled, DeadReason, Hello, JobSpec, JobTouch, LogLine, Policy, Query, Selector,
    SettleCode, State, Touch, Watch, Work, client_frame::Request, query::What,
};

/// A worker that is asked to stop the one job it runs. The job, and why.
fn asked_to_stop(worker: &mut Peer, policy: Policy) -> (Work, String) {
    worker.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let name = worker.open_stream(stream("q", 1));
    let work = worker.delivery(name).jobs.remove(0);
    let signal = worker.signal();
    assert_eq!((signal.r#type(), signal.fence), (Type::Cancel, work.fence));
    assert!((1..=30_000).contains(&signal.ends_in_ms), "{signal:?}");
    (work, signal.reason)
}

#[test]
fn a_run_that_takes_too_long_is_asked_to_stop_and_counts_as_failed() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let policy = Policy { timeout_ms: Some(200), max_attempts: Some(1), ..Policy::default() };
    let (work, reason) = asked_to_stop(&mut worker, policy);
    assert_eq!((work.timeout_ms, &*reason), (200, "it ran longer than its timeout_ms of 200"));
    assert_eq!(worker.settle(&work, fail("I was asked to")), SettleCode::Settled);
    let dead = worker.job(&work.id);
    assert_eq!((dead.state(), dead.dead_reason()), (State::Dead, DeadReason::Timeout));
    assert_eq!((dead.history[0].outcome(), &*dead.history[0].message), (Outcome::Timeout, "I was asked to"));
}

#[test]
fn a_handler_that_does_not_touch_its_job_has_stalled() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let policy = Policy { stall_ms: Some(200), ..Policy::default() };
    let (work, reason) = asked_to_stop(&mut worker, policy);
    assert_eq!((work.stall_ms, &*reason), (200, "it was not touched within its stall_ms of 200"));
    // A handler that gives up because it was told to does not cancel the job by that.
    assert_eq!(worker.settle(&work, How::Cancelled(Cancelled::default())), SettleCode::Settled);
    let waits = worker.job(&work.id);
    assert_eq!((waits.state(), waits.attempt), (State::Scheduled, 1));
    assert_eq!(waits.history[0].outcome(), Outcome::Stalled);
}

#[test]
fn what_a_run_is_held_to_survives_kill_9_of_the_broker() {
    let mut broker = Broker::start();
    let mut worker = broker.peer();
    let policy = Policy { timeout_ms: Some(3_600_000), stall_ms: Some(60_000), ..Policy::default() };
    let id = worker.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let work = worker.poll(fetch_once("q", 1)).remove(0);
    broker.kill();
    broker.restart();
    let held = vec![Held { id: work.id.clone(), fence: work.fence }];
    let back = worker.coming_back(Some(Running { held }));
    let mut resumed = Peer::with(broker.addr(), back);
    assert_eq!(resumed.welcome.leases_kept, [&id[..]]);
    assert_eq!(resumed.settle(&work, complete("")), SettleCode::Settled);
    let done = eventually("it is kept", || Some(resumed.job(&id)));
    assert_eq!((done.state(), done.crashes), (State::Completed, 0));
}

/// Says something of a run.
fn tell(worker: &mut Peer, work: &Work, touch: JobTouch) {
    let jobs = vec![JobTouch { id: work.id.clone(), fence: work.fence, ..touch }];
    let touched = body!(worker.ask(Request::Touch(Touch { beat: None, jobs })), Touched);
    assert_eq!(touched.jobs[0].code(), SettleCode::Settled);
}

fn checkpoint(bytes: &[u8]) -> JobTouch {
    JobTouch { checkpoint: Some(bytes.to_vec().into()), ..JobTouch::default() }
}

/// A worker that is noticed quickly when it dies.
fn mortal(broker: &Broker) -> Peer {
    Peer::with(broker.addr(), Hello { session_ttl_ms: 3_000, ..hello() })
}

fn lines(peer: &mut Peer, id: &Bytes, limit: u32) -> Vec<(u32, u32, String)> {
    let select = Selector { ids: vec![id.clone()], ..Selector::default() };
    let (mut cursor, mut lines) = (Bytes::new(), Vec::new());
    loop {
        let query = Query { select: Some(select.clone()), limit, cursor, ..reading(What::Logs) };
        let rows = peer.rows(query);
        assert!(rows.logs.len() <= limit as usize && rows.logs.iter().all(|row| row.job == *id));
        let told = rows.logs.into_iter().map(|row| (row.attempt, row.line.unwrap_or_default()));
        lines.extend(told.map(|(attempt, line)| (attempt, line.level, line.text)));
        cursor = rows.cursor;
        if cursor.is_empty() {
            return lines;
        }
    }
}

#[test]
fn a_checkpoint_reaches_the_next_attempt_after_a_crash_of_the_worker_and_of_the_broker() {
    let mut broker = Broker::start();
    let mut looking = broker.peer();
    let id = looking.enqueue(job("k"));
    let mut worker = mortal(&broker);
    let work = worker.fetch("q");
    assert!(work.checkpoint.is_empty());
    let large = vec![7; 64 << 10];
    for bytes in [&b"page 1"[..], b"page 2", &large] {
        tell(&mut worker, &work, checkpoint(bytes));
    }
    // Killed without a word: what was answered is there.
    drop(worker);
    let mut second = broker.peer();
    let again = second.fetch("q");
    assert_eq!((&again.id, again.crashes, &again.checkpoint[..]), (&id, 1, &large[..]));
    tell(&mut second, &again, checkpoint(b"page 9"));
    broker.kill();
    broker.restart();
    let mut third = broker.peer();
    // Its worker has its whole time to come back; whoever asks meanwhile stays awake.
    eventually("it is ready again", || (third.job(&id).state() == State::Ready).then_some(()));
    let last = third.fetch("q");
    assert_eq!((&last.id, &last.checkpoint[..]), (&id, &b"page 9"[..]));
    // A failure may bring the next one.
    let failed = v1::Result { checkpoint: Some(b"page 10"[..].into()), ..result_of(&last, fail("no")) };
    assert_eq!(third.settle_all(vec![failed])[0].code(), SettleCode::Settled);
    let retried = third.fetch("q");
    assert_eq!(&retried.checkpoint[..], b"page 10");
    assert_eq!(third.settle(&retried, complete("")), SettleCode::Settled);
}

#[test]
fn what_a_handler_says_is_shown_while_it_runs_and_after_its_end_and_a_restart() {
    let mut broker = Broker::start();
    let mut worker = broker.peer();
    let id = worker.enqueue(job("k"));
    let work = worker.fetch("q");
    let line = |text: &str| LogLine { at_ms: 1, level: 4, text: text.into() };
    let said = JobTouch {
        progress_permille: Some(430),
        note: "page 3 of 7".into(),
        logs: vec![line("one"), line("two")],
        ..JobTouch::default()
    };
    tell(&mut worker, &work, said);
    let running = worker.job(&id);
    assert_eq!((running.progress_permille, &*running.note), (430, "page 3 of 7"));
    let told = |texts: &[&str]| texts.iter().map(|text| (1, 4, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(lines(&mut worker, &id, 1), told(&["one", "two"]), "before they are written, too");
    tell(&mut worker, &work, JobTouch { logs: vec![line("three")], ..JobTouch::default() });
    assert_eq!(worker.settle(&work, complete("")), SettleCode::Settled);
    broker.kill();
    broker.restart();
    let mut looking = broker.peer();
    let done = looking.job(&id);
    assert_eq!((done.state(), done.progress_permille, &*done.note), (State::Completed, 430, "page 3 of 7"));
    assert_eq!(lines(&mut looking, &id, 2), told(&["one", "two", "three"]));
}

#[test]
fn output_reaches_whoever_watches_and_a_late_one_sees_its_end() {
    let broker = Broker::start();
    let (mut worker, mut early, mut late) = (broker.peer(), broker.peer(), broker.peer());
    let id = worker.enqueue(job("k"));
    let work = worker.fetch("q");
    let watch = || {
        let select = Selector { ids: vec![id.clone()], ..Selector::default() };
        let names = vec!["job.output".to_owned(), "job.completed".to_owned()];
        Request::Watch(Watch {
            select: Some(select),
            names,
            until_finished: true,
            with_stream: true,
            ..Watch::default()
        })
    };
    let output = |text: &str| JobTouch { stream: text.to_owned().into(), ..JobTouch::default() };
    let first = early.say(watch());
    early.server();
    tell(&mut worker, &work, output("Hello, "));
    tell(&mut worker, &work, output("wor"));
    let second = late.say(watch());
    let tail = body!(late.answer(second), Event);
    assert_eq!((&*tail.name, &tail.data[..]), ("job.output", &b"Hello, wor"[..]));
    tell(&mut worker, &work, output("ld"));
    assert_eq!(worker.settle(&work, complete("")), SettleCode::Settled);
    let heard = |peer: &mut Peer, stream| {
        let mut pieces = Vec::new();
        loop {
            let event = body!(peer.answer(stream), Event);
            match &*event.name {
                "job.output" => pieces.push(String::from_utf8(event.data.to_vec()).unwrap()),
                _ if event.end => return pieces,
                name => assert_eq!(name, "job.completed"),
            }
        }
    };
    assert_eq!(heard(&mut early, first), ["Hello, ", "wor", "ld"]);
    assert_eq!(heard(&mut late, second), ["ld"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_the_library_hears_that_its_time_is_up_and_finds_what_it_has_stored() {
    let broker = Broker::start();
    let mut looking = broker.peer();
    let client = Client::connect(broker.addr()).await.unwrap();
    let handler = |context: JobContext| async move {
        if let Some(page) = context.last_checkpoint_json::<u32>()? {
            return Ok(format!("from page {page}"));
        }
        context.checkpoint_json(&7)?;
        context.log("page 7 is done");
        context.cancelled().await;
        assert_eq!(context.cancel_reason(), Some("it ran longer than its timeout_ms of 300"));
        Err(JobError::cancelled())
    };
    let worker = client.worker().queues(["q"]).handle_raw("k", handler).start();
    let backoff = Backoff { base_ms: 1, shape: Shape::Fixed.into(), ..Backoff::default() };
    let policy = Policy { timeout_ms: Some(300), backoff: Some(backoff), ..Policy::default() };
    let id = looking.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let done = eventually("it is completed", || {
        Some(looking.job(&id)).filter(|job| job.state() == State::Completed)
    });
    assert_eq!((&done.result[..], done.attempt), (&b"from page 7"[..], 2));
    assert_eq!(done.history[0].outcome(), Outcome::Timeout);
    assert_eq!(lines(&mut looking, &id, 10), [(1, 6, "page 7 is done".to_owned())]);
    worker.stop().await.unwrap();
    client.close().await;
}

#[test]
fn the_log_of_a_job_is_printed_and_followed_to_its_end() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let id = worker.enqueue(job("k"));
    let work = worker.fetch("q");
    let line = |text: &str| JobTouch {
        logs: vec![LogLine { at_ms: 1, level: 3, text: text.into() }],
        note: "at it".into(),
        ..JobTouch::default()
    };
    tell(&mut worker, &work, line("one\ntwo"));
    let shown = hex(&id);
    let arguments = ["admin", "logs", &shown, "--addr", broker.addr()];
    let printed = windlass(&arguments).ok();
    assert!(printed.out.contains("1970-01-01T00:00:00.001Z  1  error  one"), "{printed:?}");
    assert_eq!(printed.out.lines().count(), 1, "a line stays one");
    let following = start_windlass(&[&arguments[..], &["--follow", "--output", "json"]].concat());
    tell(&mut worker, &work, line("three"));
    assert_eq!(worker.settle(&work, complete("")), SettleCode::Settled);
    let followed = following.end().ok();
    let texts: Vec<serde_json::Value> =
        followed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        texts.iter().map(|row| row["text"].as_str().unwrap()).collect::<Vec<_>>(),
        ["one\ntwo", "three"]
    );
    let job = windlass(&["admin", "jobs", "show", &shown, "--output", "json", "--addr", broker.addr()]).ok();
    assert_eq!(job.json()["note"], "at it");
    let none = windlass(&["admin", "logs", "0190f5c2-7b1e-7c33-a4f5-0c2b6e1d9a77", "--addr", broker.addr()]);
    assert_eq!(none.code, 6, "{none:?}");
}
