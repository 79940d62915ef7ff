//! The worker: all that joins the handlers to Windlass.

use crate::kinds;
use crate::log::{self, Log};
use crate::metrics::{Metrics, serve};
use crate::options::Options;
use crate::rehearsal;
use crate::run::{HandlerError, Run};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::timeout;
use windlass_client::{Client, ErrorKind, JobContext, JobError, WorkerStats};

/// Takes jobs until `shutdown` completes, lets the running ones end, and tells what was done.
///
/// # Errors
/// When the output folder or the log file cannot be opened, or the broker cannot be reached at the start.
/// Later cuts are no errors: the worker comes back.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<Summary, Error> {
    let Options { addr, tls_ca, queue, concurrency, out, metrics, log_file } = options;
    std::fs::create_dir_all(&out).map_err(|source| Error::File { path: out.clone(), source })?;
    let log = Log::open(log_file.as_deref())
        .map_err(|source| Error::File { path: log_file.unwrap_or_default(), source })?;
    let listener = match metrics {
        Some(addr) => Some(TcpListener::bind(&addr).await.map_err(|source| Error::Metrics { addr, source })?),
        None => None,
    };
    let mut client = Client::builder().name(NAME);
    if let Some(ca) = tls_ca {
        client = client.tls_ca(ca);
    }
    let client = client.connect(&addr).await.map_err(Error::Connect)?;

    let desk = Arc::new(Desk { out, log });
    let worker = client
        .worker()
        .queues([queue.as_str()])
        .concurrency(concurrency)
        .handle_any(move |context| execute(context, Arc::clone(&desk)));
    let stats = worker.stats();
    tracing::info!(queue, concurrency, "taking jobs");
    let served = listener.map(|listener| {
        if let Ok(addr) = listener.local_addr() {
            tracing::info!(%addr, "serving metrics");
        }
        let metrics = Metrics { client: client.clone(), stats: stats.clone(), queue };
        tokio::spawn(serve(listener, metrics))
    });
    let end = worker.run_until(shutdown).await.map_err(Error::Worker);
    served.inspect(tokio::task::JoinHandle::abort);
    end?;
    client.close().await;
    Ok(Summary::of(&stats))
}

/// What every execution works with.
struct Desk {
    out: PathBuf,
    log: Log,
}

/// One execution from the lease to the outcome, which the client hands to the broker.
async fn execute(context: JobContext, desk: Arc<Desk>) -> Result<String, JobError> {
    let started = Instant::now();
    let run = Arc::new(Run {
        kind: context.kind().to_owned(),
        id: context.id().to_string(),
        attempt: context.attempt(),
        attempts_left: context.max_attempts().saturating_sub(context.attempt()),
        payload: context.payload().to_vec(),
    });
    let hold = rehearsal::hold(&run);
    if !hold.is_zero() && timeout(hold, context.cancelled()).await.is_ok() {
        // Nothing is begun, so the job goes back as if it had not been here.
        return Err(JobError::snooze(Duration::ZERO));
    }

    let work = {
        let (run, desk) = (Arc::clone(&run), Arc::clone(&desk));
        move || kinds::perform(&run, &desk.out)
    };
    let outcome = tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(HandlerError::retry(format!("the handler broke down: {panic}"))));
    desk.log.write(&log::line(&run, &outcome, started.elapsed()));
    outcome.map(|result| result.to_string()).map_err(|error| match error {
        HandlerError::Permanent(_) => JobError::permanent(error),
        HandlerError::Retry(_) => JobError::from(error),
    })
}

/// What a worker has done, as the broker has acknowledged it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Jobs completed.
    pub done: u64,
    /// Attempts that failed, for good or for now.
    pub failed: u64,
    /// Jobs given back unfinished.
    pub released: u64,
    /// Runs whose outcome came too late: their lease had ended.
    pub lost: u64,
}

impl Summary {
    fn of(stats: &WorkerStats) -> Self {
        Self { done: stats.done(), failed: stats.failed(), released: stats.released(), lost: stats.lost() }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, failed, released, lost } = self;
        write!(f, "{done} done, {failed} failed, {released} given back, {lost} lost")
    }
}

/// Why a worker ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output folder cannot be made, or the log file not opened.
    #[error("cannot open {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Metrics cannot be served at the address.
    #[error("cannot serve metrics at {addr}")]
    Metrics {
        /// Where.
        addr: String,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no broker at the address, or it does not want this client.
    #[error("cannot connect")]
    Connect(#[source] windlass_client::Error),
    /// The broker does not let the worker go on.
    #[error("the worker cannot run")]
    Worker(#[source] windlass_client::Error),
}

impl Error {
    /// The exit code that a program ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Connect(error) if error.kind() == ErrorKind::Invalid => 2,
            Self::Connect(_) => 3,
            Self::File { .. } | Self::Metrics { .. } | Self::Worker(_) => 1,
        }
    }
}

const NAME: &str = concat!("worker-example/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    async fn exit_code(arguments: &[&str]) -> u8 {
        let options = Options::parse_from([&["worker-example"], arguments].concat());
        run(options, std::future::pending()).await.unwrap_err().exit_code()
    }

    #[tokio::test]
    async fn what_is_wrong_from_the_start_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        assert_eq!(exit_code(&["--out", "/dev/null/out"]).await, 1);
        assert_eq!(exit_code(&["--out", out, "--log-file", out]).await, 1);
        assert_eq!(exit_code(&["--out", out, "--metrics", "no:port"]).await, 1);
        assert_eq!(exit_code(&["--out", out, "--addr", "no:port"]).await, 2);
        // Nobody listens on port 1; the client keeps trying for a while.
        assert_eq!(exit_code(&["--out", out, "--addr", "127.0.0.1:1"]).await, 3);
    }

    #[test]
    fn the_defaults_are_those_of_the_broker_and_its_demo() {
        let options = Options::parse_from(["worker-example"]);
        assert_eq!((options.addr.as_str(), options.queue.as_str()), ("127.0.0.1:7520", "default"));
        assert_eq!((options.concurrency, options.out), (4, PathBuf::from("./out")));
        assert!(Options::try_parse_from(["worker-example", "--concurrency", "1501"]).is_err());
    }
}
