//! A test of a program that uses Windlass, against the real broker on a clock that the test advances.
//!
//! `cargo build --bin windlass && cargo run -p windlass-client --example testing`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_client::testing::TestBroker;
use windlass_client::{Client, Error, Job, JobContext, JobError, JobId, proto::State};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Remind {
    to: String,
}

impl Job for Remind {
    const KIND: &'static str = "remind";
}

/// The producer under test.
async fn order(client: &Client, to: &str) -> Result<JobId, Error> {
    Ok(client.enqueue(Remind { to: to.to_owned() }).delay(DAY).await?.id)
}

/// The handler under test: smtp is down for the first two attempts.
async fn remind(_job: Remind, ctx: JobContext) -> Result<(), JobError> {
    if ctx.attempt() < 3 { Err("smtp is down".into()) } else { Ok(()) }
}

/// In a crate of your own this is a `#[tokio::test]`.
#[tokio::main]
async fn main() -> Result<(), Error> {
    let broker = TestBroker::start().await?;
    let worker = || broker.client().worker().handle(remind);

    let id = order(broker.client(), "ada@example.com").await?;
    assert_eq!(broker.enqueued::<Remind>().await?, [Remind { to: "ada@example.com".into() }]);

    // It is not due yet, so nothing runs.
    assert_eq!(broker.run_ready(worker()).await?.done(), 0);
    broker.assert_state(id, State::Scheduled).await;

    // A week passes in milliseconds, each attempt at its time.
    let stats = broker.run_for(7 * DAY, worker()).await?;
    assert_eq!((stats.failed(), stats.done()), (2, 1));
    broker.assert_state(id, State::Completed).await;
    broker.stop().await
}
