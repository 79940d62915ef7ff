//! Producers, workers and operators' tools for Windlass, a self-hosted broker
//! for background jobs.
//!
//! # Quick start
//!
//! A job is a type that both sides know:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use windlass_client::{Client, Job, JobContext, JobError};
//!
//! #[derive(Serialize, Deserialize)]
//! struct SendEmail {
//!     to: String,
//! }
//!
//! impl Job for SendEmail {
//!     const KIND: &'static str = "email.send";
//! }
//!
//! async fn send(job: SendEmail, ctx: JobContext) -> Result<(), JobError> {
//!     println!("mail to {}, attempt {}", job.to, ctx.attempt());
//!     Ok(())
//! }
//!
//! # async fn example() -> Result<(), windlass_client::Error> {
//! let client = Client::connect("127.0.0.1:7520").await?;
//!
//! // A producer: awaiting the result means that the job is on the broker's disk.
//! client.enqueue(SendEmail { to: "a@b.c".into() }).await?;
//!
//! // A worker: until Ctrl-C, then gracefully to its end.
//! client
//!     .worker()
//!     .handle(send)
//!     .run_until(windlass_client::shutdown_signal())
//!     .await
//! # }
//! ```
//!
//! # What is promised
//!
//! A job that was acknowledged is on disk. A cut of the connection neither loses nor doubles a job: its id is
//! made here, and what was not answered is sent again under the same id. A run whose lease is lost is told so
//! by its token, and its outcome is not taken. `docs/GUARANTEES.md` has the whole list.

mod address;
mod admin;
mod client;
mod connection;
mod dedup;
mod error;
mod events;
mod fetch;
mod id;
mod job;
mod lease;
mod limits;
mod link;
mod metrics;
mod millis;
mod producer;
mod setters;
mod signal;
mod stats;
pub mod testing;
mod tls;
mod worker;

pub use address::DEFAULT_PORT;
pub use admin::{Admin, Changed, Jobs, Page};
pub use client::{Client, ClientBuilder};
pub use connection::{Connection, Receiver, Sender};
pub use dedup::Dedup;
pub use error::{Error, ErrorKind, Result};
pub use events::{Ended, Events};
pub use fetch::{FetchOnce, Leased};
pub use id::JobId;
pub use job::{Job, NewJob};
pub use metrics::{KindMetrics, Metrics, RunEnd, RunTimes};
pub use producer::{Enqueue, Enqueued, Receipt};
pub use signal::shutdown_signal;
pub use stats::WorkerStats;
pub use tls::Tls;
pub use worker::{JobContext, JobError, JobResultExt, RawResult, Verdict, Worker, WorkerHandle};

/// The messages of the protocol, for whatever has no type of its own here.
pub use windlass_proto::v1 as proto;
