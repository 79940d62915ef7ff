//! A worker: a typed handler, a raw one, and a graceful end at Ctrl-C.
//!
//! `cargo run -p windlass-client --example worker -- 127.0.0.1:7520`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_client::{Client, Error, Job, JobContext, JobError, shutdown_signal};

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "greet";
}

/// Any error means "try again"; `JobError` has the other ways to end.
async fn greet(job: Greet, ctx: JobContext) -> Result<String, JobError> {
    if job.name.is_empty() {
        return Err(JobError::permanent("nobody to greet"));
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
        () = ctx.cancelled() => return Err(JobError::cancelled()),
    }
    announce(&format!("hello {}, for the {}. time", job.name, ctx.attempt()));
    Ok(format!("greeted {}", job.name))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7520".to_owned());
    let client = Client::builder().name("example/1").connect(&address).await?;
    let worker = client
        .worker()
        .queues(["default"])
        .concurrency(20)
        .handle(greet)
        .handle_raw("echo", |ctx: JobContext| async move { Ok(ctx.payload().clone()) });
    let stats = worker.stats();
    worker.run_until(shutdown_signal()).await?;
    announce(&format!("{} done, {} failed", stats.done(), stats.failed()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this program talks to a terminal")]
fn announce(text: &str) {
    println!("{text}");
}
