//! What can be said on the command line of `windlass bench`.

use super::super::output::{Form, OutputArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Measure a broker: one of its own, started for the purpose, unless --addr names another.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    windlass bench enqueue                                    64 connections, one request each\n  \
    windlass bench enqueue --connections 4 --in-flight 256    pipelined\n  \
    windlass bench http                                       POST /enqueue, 64 connections kept alive\n  \
    windlass bench life --workers 2 --slots 1000              whole lives of jobs, pipelined\n  \
    windlass bench latency --rate 1000                        from enqueue to handler start\n  \
    windlass bench backlog --jobs 1000000 --drain             a full queue, kill -9, restart")]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(super) scenario: Scenario,
}

#[derive(Subcommand, Debug)]
pub(super) enum Scenario {
    /// Jobs acknowledged as durable, a second: closed loop, latency of each request
    Enqueue(EnqueueArgs),
    /// Jobs acknowledged as durable over HTTP, a second: closed loop over POST /enqueue
    Http(HttpArgs),
    /// Whole lives a second: enqueued, leased, completed, each step durable
    Life(LifeArgs),
    /// Time from the instant at which a job was due to the start of its handler: open loop
    Latency(LatencyArgs),
    /// Fill a queue, kill -9 the broker, measure its restart; always a broker of its own
    Backlog(BacklogArgs),
}

impl Scenario {
    /// How it is to answer, failures included.
    pub(super) fn form(&self) -> Form {
        let common = match self {
            Self::Enqueue(args) => &args.common,
            Self::Http(args) => &args.common,
            Self::Life(args) => &args.common,
            Self::Latency(args) => &args.common,
            Self::Backlog(args) => &args.common,
        };
        common.output.form()
    }
}

/// Which broker, and how to answer.
#[derive(Args, Debug)]
pub(super) struct Common {
    /// Payload of each job, 8..1048576 bytes
    #[arg(long, value_name = "BYTES", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    pub(super) payload: u32,
    /// Data directory of the broker that is started; it is kept [default: a temporary one, here]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// A broker that runs already.
#[derive(Args, Debug)]
pub(super) struct Elsewhere {
    /// Measure the broker at this address; its jobs of queue and kind `bench` are completed afterwards
    #[arg(long, conflicts_with = "data")]
    pub(super) addr: Option<String>,
    /// Time measured, after a warm-up of a tenth of it, at least 1 s
    #[arg(long, value_name = "S", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(super) seconds: u32,
}

/// How producers load the broker.
#[derive(Args, Debug, Clone, Copy)]
pub(super) struct Producers {
    /// Connections of producers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) connections: Option<u32>,
    /// Requests of a connection that wait for their answer at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) in_flight: Option<u32>,
    /// Jobs of one request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) batch: Option<u32>,
}

/// How workers serve the queue.
#[derive(Args, Debug, Clone, Copy)]
pub(super) struct Workers {
    /// Sessions of workers
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) workers: u32,
    /// Jobs that a worker may hold
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) slots: u32,
}

#[derive(Args, Debug)]
pub(super) struct EnqueueArgs {
    #[command(flatten)]
    pub(super) producers: Producers,
    #[command(flatten)]
    pub(super) elsewhere: Elsewhere,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct HttpArgs {
    /// Connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) connections: u32,
    /// Address of the gateway of the broker at --addr
    #[arg(long, requires = "addr", value_name = "ADDR", default_value = "127.0.0.1:7521")]
    pub(super) gateway: String,
    #[command(flatten)]
    pub(super) elsewhere: Elsewhere,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct LifeArgs {
    #[command(flatten)]
    pub(super) workers: Workers,
    #[command(flatten)]
    pub(super) producers: Producers,
    /// Jobs alive at a time, waiting or running [default: twice the slots of all workers, at least 1024]
    #[arg(long, value_name = "JOBS")]
    pub(super) alive: Option<u64>,
    /// How long a completed job is kept, in milliseconds [default: as the broker does]
    #[arg(long, value_name = "MS")]
    pub(super) keep_done_ms: Option<u64>,
    #[command(flatten)]
    pub(super) elsewhere: Elsewhere,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct LatencyArgs {
    /// Jobs due in a second
    #[arg(long, value_name = "R", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: u32,
    #[command(flatten)]
    pub(super) workers: Workers,
    #[command(flatten)]
    pub(super) elsewhere: Elsewhere,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct BacklogArgs {
    /// Jobs to fill in
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) jobs: u64,
    /// Complete them all after the restart
    #[arg(long)]
    pub(super) drain: bool,
    #[command(flatten)]
    pub(super) producers: Producers,
    #[command(flatten)]
    pub(super) common: Common,
}
