//! `windlass bench`: what a broker does on this machine, measured as its users would feel it.
//!
//! ```text
//!   producer ─┐                     ┌─ worker
//!   producer ─┼─ credit ─ tally ────┼─ worker     one thread drives all connections, because the
//!   pacer ────┘      │              └─ worker     load shares the processors with the broker
//!                    └─ meter ─ report
//! ```
//!
//! Throughput is measured in closed loops: a connection asks again when it has been answered. Latency
//! is measured in an open loop: jobs come on schedule whatever the broker does, and each is timed from
//! the instant at which it was due, so that a stall counts for all whom it kept waiting.

mod args;
mod backlog;
mod broker;
mod credit;
mod http;
mod latency;
mod meter;
mod pacer;
mod payload;
mod producer;
mod report;
mod tally;
mod throughput;
mod timed;
mod worker;

use super::failure::Failure;
use std::process::ExitCode;

pub(crate) use args::BenchArgs;
use args::Scenario;

/// Queue and kind of all jobs of a benchmark.
const NAME: &str = "bench";

/// Why there is no figure.
#[derive(Debug)]
enum Problem {
    /// The broker, or the way to it, said no.
    Client(windlass_client::Error),
    /// The parameters cannot be.
    Usage(String),
    /// The broker of our own does not do as it should, or this machine does not.
    Own(String),
    /// Ctrl-C.
    Interrupted,
    /// The answer is not in the form that was asked for.
    Told(Failure),
}

impl From<windlass_client::Error> for Problem {
    fn from(error: windlass_client::Error) -> Self {
        Self::Client(error)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Told(failure)
    }
}

impl Problem {
    fn own(what: &str, why: &dyn std::fmt::Display) -> Self {
        Self::Own(format!("{what}: {why}"))
    }
}

/// Runs the command.
pub(crate) async fn run(args: BenchArgs) -> ExitCode {
    let form = args.scenario.form();
    let measured = tokio::task::spawn_blocking(move || measure(args.scenario)).await;
    let failure = match measured {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(Problem::Client(error))) => error.into(),
        Ok(Err(Problem::Told(failure))) => failure,
        Ok(Err(Problem::Usage(message))) => Failure::usage(message),
        Ok(Err(Problem::Own(message))) => Failure::failed(message),
        Ok(Err(Problem::Interrupted)) => Failure::failed("interrupted; nothing was measured"),
        Err(error) => Failure::failed(format!("the benchmark broke down: {error}")),
    };
    failure.tell(form)
}

/// A runtime of its own on this thread: wake-ups between threads would be charged to the broker.
fn measure(scenario: Scenario) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::own("cannot start the load", &error))?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        tokio::select! {
            done = Box::pin(perform(scenario)) => done,
            _ = tokio::signal::ctrl_c() => Err(Problem::Interrupted),
        }
    })
}

async fn perform(scenario: Scenario) -> Result<(), Problem> {
    match scenario {
        Scenario::Enqueue(args) => throughput::enqueue(&args).await,
        Scenario::Http(args) => http::run(&args).await,
        Scenario::Life(args) => throughput::life(&args).await,
        Scenario::Latency(args) => latency::run(&args).await,
        Scenario::Backlog(args) => backlog::run(&args).await,
    }
}
