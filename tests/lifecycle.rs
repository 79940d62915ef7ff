//! What happens to a job from its enqueueing to its end and removal, through the real client.

use crate::harness::{Broker, eventually};
use std::time::Duration;
use windlass_client::proto::attempt::Outcome;
use windlass_client::proto::{Backoff, Code, DeadReason, JobView, State, backoff::Shape};
use windlass_client::{Admin, Client, ErrorKind, JobId, Leased, NewJob};

const AT_ONCE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3_600);
/// How long a fetch waits for a job that is about to come.
const PATIENT: Duration = Duration::from_secs(60);

async fn client(broker: &Broker) -> Client {
    Client::connect(broker.addr()).await.unwrap()
}

async fn view(admin: &Admin, id: JobId) -> JobView {
    admin.job(id).await.unwrap().unwrap()
}

async fn fetch(client: &Client) -> Leased {
    client.fetch_once(["q"]).wait(PATIENT).await.unwrap().remove(0)
}

async fn is_empty(client: &Client) -> bool {
    client.fetch_once(["q"]).await.unwrap().is_empty()
}

fn job() -> NewJob {
    NewJob::new("k").queue("q")
}

/// Retries after so many milliseconds.
fn every(base_ms: u64) -> Backoff {
    Backoff { shape: Shape::Fixed.into(), base_ms, jitter_permille: Some(0), ..Backoff::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_carries_everything_from_its_producer_to_its_worker_and_its_result_back() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let spec = job().payload("payload").key("tenant").header("traceparent", "00-1").tag("blue").priority(7);
    let enqueued = client.enqueue(spec.content_type("text/plain")).await.unwrap();
    assert_eq!((enqueued.state, enqueued.duplicate), (State::Ready, false));
    let leased = fetch(&client).await;
    assert_eq!((leased.id(), leased.kind(), leased.queue(), leased.key()), (enqueued.id, "k", "q", "tenant"));
    assert_eq!((&leased.payload()[..], leased.attempt()), (&b"payload"[..], 1));
    assert_eq!(
        (leased.headers()["traceparent"].as_str(), leased.work().content_type.as_str()),
        ("00-1", "text/plain")
    );
    assert_eq!(leased.complete("result").await.unwrap(), State::Completed);

    let done = view(&client.admin(), enqueued.id).await;
    assert_eq!(
        (done.state(), &done.payload[..], &done.result[..]),
        (State::Completed, &b"payload"[..], &b"result"[..])
    );
    assert_eq!((done.priority, done.tags, done.history.len()), (7, vec!["blue".to_owned()], 0));
    assert!(done.created_at_ms <= done.finished_at_ms && done.finished_at_ms < done.remove_at_ms);
    let queue = client.admin().queue("q").await.unwrap().unwrap();
    assert_eq!((queue.completed, queue.completed_total, queue.enqueued_total), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_waits_for_its_backoff_and_the_last_one_is_death() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let admin = client.admin();
    let id = client.enqueue(job().attempts(2).backoff(every(400))).await.unwrap().id;
    assert_eq!(fetch(&client).await.fail("busy").await.unwrap(), State::Scheduled);
    let waiting = view(&admin, id).await;
    let failed = &waiting.history[0];
    assert_eq!((failed.outcome(), failed.message.as_str(), failed.attempt), (Outcome::Failed, "busy", 1));
    // A machine that stands still for as long finds it ready.
    if waiting.state() == State::Scheduled {
        assert_eq!(waiting.run_at_ms - failed.ended_at_ms, 400);
    }

    let second = fetch(&client).await;
    assert_eq!((second.attempt(), second.work().max_attempts), (2, 2));
    assert_eq!(second.fail("still busy").await.unwrap(), State::Dead);
    let dead = view(&admin, id).await;
    let waited = dead.history[1].started_at_ms - dead.history[0].ended_at_ms;
    assert!(waited >= 400, "not before its backoff: {waited}");
    assert_eq!((dead.dead_reason(), dead.attempt, dead.history.len()), (DeadReason::Failed, 2, 2));
    let queue = admin.queue("q").await.unwrap().unwrap();
    assert_eq!((queue.dead, queue.dead_total, queue.failed_total), (1, 1, 2));

    assert_eq!(admin.retry([id]).await.unwrap().changed, 1);
    fetch(&client).await.complete("").await.unwrap();
    assert_eq!(view(&admin, id).await.state(), State::Completed);
    let queue = admin.queue("q").await.unwrap().unwrap();
    assert_eq!((queue.dead, queue.dead_total), (0, 1), "totals count what ever happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_is_death_at_once() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let id = client.enqueue(job()).await.unwrap().id;
    assert_eq!(fetch(&client).await.fail_permanently("no such user").await.unwrap(), State::Dead);
    let dead = view(&client.admin(), id).await;
    assert_eq!((dead.dead_reason(), dead.attempt), (DeadReason::Fatal, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_not_counted_and_keeps_the_place_and_a_snooze_waits() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let admin = client.admin();
    let ids = client.enqueue_many([job(), job()]).await.unwrap();
    assert_eq!(fetch(&client).await.release(AT_ONCE).await.unwrap(), State::Ready);
    let again = fetch(&client).await;
    assert_eq!((again.id(), again.attempt(), again.work().deliveries), (ids[0].id, 1, 2));
    assert_eq!(again.release(LONG).await.unwrap(), State::Scheduled);
    let other = fetch(&client).await;
    assert_eq!(other.id(), ids[1].id);
    let snoozed = view(&admin, ids[0].id).await;
    assert_eq!((snoozed.attempt, snoozed.snoozes), (0, 1));
    assert!(snoozed.run_at_ms >= snoozed.created_at_ms + 3_600_000);
    // A lease that is dropped without a word goes back as well.
    assert_eq!(admin.run_now([ids[0].id]).await.unwrap().changed, 1);
    drop(fetch(&client).await);
    eventually("it is ready again", || {
        let row = broker.peer().job(&ids[0].id.to_bytes());
        (row.state() == State::Ready && row.attempt == 0).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_job_runs_when_its_time_has_come_or_when_it_is_told_to() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let admin = client.admin();
    let before = broker.peer().server().server_at_ms;
    let soon = client.enqueue(job().delay(Duration::from_millis(700))).await.unwrap();
    let late = client.enqueue(job().delay(LONG)).await.unwrap();
    assert_eq!((soon.state, late.state), (State::Scheduled, State::Scheduled));
    let running = fetch(&client).await;
    assert_eq!(running.id(), soon.id);
    let ran = view(&admin, soon.id).await;
    let lease = ran.lease.unwrap();
    // The delay counts from the arrival.
    assert!(lease.leased_at_ms >= before + 700, "{lease:?}");
    assert!(is_empty(&client).await);
    assert_eq!(admin.run_now([late.id]).await.unwrap().changed, 1);
    assert_eq!(fetch(&client).await.id(), late.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_is_enqueued_once_also_after_its_end() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let id = JobId::new();
    let same = || job().id(id).keep_done(AT_ONCE);
    assert!(!client.enqueue(same().payload("first")).await.unwrap().duplicate);
    let second = client.enqueue(same().payload("second")).await.unwrap();
    assert_eq!((second.id, second.duplicate, second.state), (id, true, State::Ready));
    let leased = fetch(&client).await;
    assert_eq!(&leased.payload()[..], b"first");
    leased.complete("").await.unwrap();
    assert!(client.admin().job(id).await.unwrap().is_none(), "it is not kept");
    assert!(client.enqueue(same()).await.unwrap().duplicate, "but known");
    assert!(is_empty(&client).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let admin = client.admin();
    let ids: Vec<JobId> =
        client.enqueue_many([job(), job()]).await.unwrap().into_iter().map(|one| one.id).collect();
    let running = fetch(&client).await;
    let changed = admin.cancel(ids.clone(), "not wanted any more").await.unwrap();
    assert_eq!((changed.matched, changed.changed), (2, 2));
    assert_eq!(view(&admin, ids[1]).await.state(), State::Cancelled);
    running.token().cancelled().await;
    let asked = view(&admin, ids[0]).await;
    assert_eq!((asked.state(), asked.cancel_requested), (State::Leased, true));
    assert_eq!(running.cancelled().await.unwrap(), State::Cancelled);
    assert!(is_empty(&client).await);
    assert_eq!(admin.cancel(ids.clone(), "").await.unwrap().changed, 0, "what has ended is not cancelled");
    assert_eq!(admin.retry(ids).await.unwrap().changed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_is_gone_and_its_handler_is_told() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let admin = client.admin();
    let id = client.enqueue(job()).await.unwrap().id;
    let running = fetch(&client).await;
    assert_eq!(admin.delete([id, JobId::new()]).await.unwrap().matched, 1);
    running.token().cancelled().await;
    assert_eq!(running.complete("late").await.unwrap_err().kind(), ErrorKind::LeaseLost);
    assert!(admin.job(id).await.unwrap().is_none());
    assert_eq!(admin.stats().await.unwrap().jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_paused_with_a_reason_and_resumed() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let admin = client.admin();
    client.enqueue(job()).await.unwrap();
    admin.pause("q", "incident 42").await.unwrap();
    let queue = admin.queue("q").await.unwrap().unwrap();
    assert_eq!((queue.paused, queue.paused_why.as_str()), (true, "incident 42"));
    assert!(is_empty(&client).await);
    admin.resume("q").await.unwrap();
    fetch(&client).await.complete("").await.unwrap();
    assert!(!admin.queue("q").await.unwrap().unwrap().paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_all_stored_or_none_and_partially_only_when_asked() {
    let broker = Broker::start();
    let client = client(&broker).await;
    let jobs = || [job(), NewJob::new("not a name").queue("q"), job()];
    let error = client.enqueue_many(jobs()).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Refused(Code::Invalid), "jobs[1].kind"));
    assert_eq!(client.admin().stats().await.unwrap().jobs, 0);
    let results = client.enqueue_partial(jobs()).await.unwrap();
    let stored: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(stored, [true, false, true]);
    assert_eq!(client.admin().stats().await.unwrap().jobs, 2);
}
