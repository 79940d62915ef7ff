//! What the client offers to tests of applications, as such a test would use it.

use crate::harness::{WINDLASS, eventually};
use serde::{Deserialize, Serialize};
use std::net::TcpStream;
use std::time::Duration;
use windlass_client::proto::{Backoff, State, backoff};
use windlass_client::testing::TestBroker;
use windlass_client::{ErrorKind, Job, JobContext, JobError, JobId, NewJob, Worker};

const HOUR: Duration = Duration::from_secs(3_600);
/// 2030-01-01.
const DAWN: u64 = 1_893_456_000_000;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "greet";
    const QUEUE: &'static str = "mail";
}

fn greet(name: &str) -> Greet {
    Greet { name: name.into() }
}

async fn broker() -> TestBroker {
    TestBroker::builder().program(WINDLASS).at("2030-01-01T00:00:00Z").start().await.unwrap()
}

/// Fails three times and greets at last.
fn stubborn(broker: &TestBroker) -> Worker {
    broker.client().worker().queues(["mail"]).handle(async |_: Greet, ctx: JobContext| {
        if ctx.attempt() < 4 { Err(JobError::from("not yet")) } else { Ok("hello") }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_retries_runs_with_the_handlers_of_the_application() {
    let broker = broker().await;
    let list_ms = [1, 24, 48].map(|hours| hours * 3_600_000).to_vec();
    let backoff = Backoff { shape: backoff::Shape::List.into(), list_ms, ..Backoff::default() };
    let job = NewJob::from(greet("Ada")).backoff(Backoff { jitter_permille: Some(0), ..backoff });
    let id = broker.client().enqueue(job).delay(5 * HOUR).await.unwrap().id;
    assert_eq!(broker.enqueued::<Greet>().await.unwrap(), [greet("Ada")]);
    let stats = broker.run_ready(stubborn(&broker)).await.unwrap();
    assert_eq!((stats.failed(), stats.done()), (0, 0), "it is not due");
    broker.assert_state(id, State::Scheduled).await;

    let stats = broker.run_for(7 * 24 * HOUR, stubborn(&broker)).await.unwrap();
    assert_eq!((stats.failed(), stats.done()), (3, 1));
    broker.assert_state(id, State::Completed).await;
    let job = broker.client().admin().job(id).await.unwrap().unwrap();
    let began: Vec<u64> =
        job.history.iter().map(|attempt| (attempt.started_at_ms - DAWN) / 3_600_000).collect();
    assert_eq!(began, [5, 6, 30]);
    assert_eq!(job.finished_at_ms, DAWN + (5 + 1 + 24 + 48) * 3_600_000);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_run_until_nothing_is_left_and_time_stands_still() {
    let broker = broker().await;
    let client = broker.client().clone();
    let chain = |client: &windlass_client::Client| {
        let producer = client.clone();
        client.worker().queues(["mail"]).handle(move |job: Greet, _: JobContext| {
            let producer = producer.clone();
            async move {
                // Each job enqueues a shorter one.
                if job.name.len() > 1 {
                    producer.enqueue(greet(&job.name[1..])).await?;
                }
                Ok(())
            }
        })
    };
    client.enqueue(greet("Grace")).await.unwrap();
    let stats = broker.run_ready(chain(&client)).await.unwrap();
    assert_eq!(stats.done(), 5);
    assert_eq!(broker.advance(Duration::ZERO).await.unwrap(), DAWN);
    assert_eq!(broker.enqueued_in("mail").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let broker = broker().await;
    let client = broker.client();
    client.enqueue(NewJob::new(Greet::KIND).queue("elsewhere").payload("{\"age\":3}")).await.unwrap();
    assert_eq!(broker.enqueued_in("elsewhere").await.unwrap()[0].payload, "{\"age\":3}");
    let error = broker.enqueued::<Greet>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("`name`"), "{error}");
    assert_eq!(broker.state(JobId::new()).await.unwrap(), None);

    let hanging = client.worker().queues(["slow"]).shutdown_timeout(Duration::ZERO);
    let hanging = hanging.handle_raw("slow", async |ctx: JobContext| {
        ctx.cancelled().await;
        Err::<&str, _>(JobError::cancelled())
    });
    client.enqueue(NewJob::new("slow").queue("slow")).await.unwrap();
    let impatient = TestBroker::builder().program("/no/such/windlass").start().await.unwrap_err();
    assert_eq!(impatient.kind(), ErrorKind::Unreachable);
    assert!(impatient.message().contains("WINDLASS_BIN"), "{impatient}");
    let error = broker.with_patience(Duration::from_secs(3)).run_ready(hanging).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "should be Completed, but is Dead: [\"1. Failed no smtp\"]")]
async fn a_job_in_another_state_shows_its_attempts() {
    let broker = broker().await;
    let worker = broker.client().worker().queues(["mail"]);
    let worker = worker.handle(async |_: Greet, _: JobContext| Err::<(), _>(JobError::permanent("no smtp")));
    let id = broker.client().enqueue(greet("Ada")).await.unwrap().id;
    broker.run_ready(worker).await.unwrap();
    broker.assert_state(id, State::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_ends_with_the_value_that_started_it() {
    let broker = broker().await;
    let addr = broker.addr().to_owned();
    drop(broker);
    eventually("nobody listens any more", || TcpStream::connect(&addr).err());
}
