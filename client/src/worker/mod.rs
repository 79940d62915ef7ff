//! Running jobs: which queues, which handlers, how many at once, and how the worker ends.

mod attempt;
mod beat;
mod context;
mod decode;
mod failure;
mod handler;
mod report;
mod run;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use windlass_proto::v1::Fetch;
use windlass_proto::v1::fetch::Source;

use crate::error::Error;
use crate::fetch;
use crate::job::Job;
use crate::limits::{CONCURRENCY_DEFAULT, CONCURRENCY_MAX};
use crate::link::Settings;
use crate::millis;
use crate::stats::WorkerStats;
use handler::Handler;

pub use context::JobContext;
pub use failure::{JobError, JobResultExt, Verdict};
pub use handler::RawResult;
pub use run::WorkerHandle;

/// A worker: handlers by kind, and the queues that it draws from. Made by
/// [`Client::worker`](crate::Client::worker).
///
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// # use windlass_client::{Client, Error, Job, JobContext, JobError};
/// # #[derive(Serialize, Deserialize)]
/// # struct SendEmail { to: String }
/// # impl Job for SendEmail { const KIND: &'static str = "email.send"; }
/// async fn send(job: SendEmail, ctx: JobContext) -> Result<(), JobError> {
///     println!("attempt {} for {}", ctx.attempt(), job.to);
///     Ok(())
/// }
///
/// # async fn example(client: Client) -> Result<(), Error> {
/// client
///     .worker()
///     .queues(["mail", "default"])
///     .concurrency(50)
///     .handle(send)
///     .run_until(windlass_client::shutdown_signal())
///     .await
/// # }
/// ```
#[must_use = "a worker does nothing until it runs"]
pub struct Worker {
    settings: Settings,
    sources: Vec<Source>,
    strict: bool,
    concurrency: u32,
    lease: Duration,
    shutdown_timeout: Duration,
    handlers: HashMap<String, Handler>,
    any: Option<Handler>,
    stats: WorkerStats,
}

impl Worker {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            sources: Vec::new(),
            strict: true,
            concurrency: CONCURRENCY_DEFAULT,
            lease: Duration::ZERO,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            handlers: HashMap::new(),
            any: None,
            stats: WorkerStats::default(),
        }
    }

    /// Queues to draw from in strict order: an earlier one as long as it has jobs. 1 to 64; default
    /// `default`.
    pub fn queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.sources = queues.into_iter().map(|queue| Source { queue: queue.into(), weight: 0 }).collect();
        self.strict = true;
        self
    }

    /// Queues to draw from by weight: each gets its share of the picks as long as it has jobs, and what it
    /// does not use goes to the others. 1 to 64 queues, weights 1 to 1,000.
    ///
    /// ```no_run
    /// # fn example(client: windlass_client::Client) {
    /// let worker = client.worker().weighted_queues([("mail", 3), ("bulk", 1)]);
    /// # drop(worker) }
    /// ```
    pub fn weighted_queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = (Q, u32)>) -> Self {
        self.sources = fetch::weighted(queues);
        self.strict = false;
        self
    }

    /// How many jobs run at once, or rather the sum of their cost; 1 to 1,500, because that many can come
    /// back after a cut; default 10.
    pub fn concurrency(mut self, jobs: u32) -> Self {
        self.concurrency = jobs.clamp(1, CONCURRENCY_MAX);
        self
    }

    /// Limits each lease to this long, at most 7 days, instead of the life of the session; the worker
    /// extends it when a third has passed. Default zero: as the job's policy says, mostly no limit.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long running handlers may take when the worker stops; default 25 s. Then their tokens are
    /// cancelled; what stops or fails then is given back, uncounted, and so is what still runs 2 s later.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Runs jobs of the type `J` with this function. What it returns becomes the job's result, as JSON;
    /// `()` is no result. A payload that is no `J` is a permanent failure that names the place.
    pub fn handle<J, Fut, T>(self, handler: impl Fn(J, JobContext) -> Fut + Send + Sync + 'static) -> Self
    where
        J: Job,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Serialize,
    {
        self.on(J::KIND, handler::typed(handler))
    }

    /// As [`Worker::handle`], for a function that blocks or computes for long; it runs on a thread of the
    /// runtime's blocking pool. Such a function cannot be stopped; it may look at
    /// [`JobContext::is_cancelled`].
    pub fn handle_blocking<J: Job, T: Serialize>(
        self,
        handler: impl Fn(J, JobContext) -> Result<T, JobError> + Send + Sync + 'static,
    ) -> Self {
        self.on(J::KIND, handler::blocking(handler))
    }

    /// Runs jobs of this kind with a function that reads the payload itself.
    pub fn handle_raw<Fut, T>(
        self,
        kind: impl Into<String>,
        handler: impl Fn(JobContext) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: RawResult,
    {
        self.on(kind, handler::raw(handler))
    }

    /// Runs jobs of every other kind. Without it the worker asks only for the kinds it has handlers for,
    /// so that a new kind waits for the deploy of its handler.
    pub fn handle_any<Fut, T>(mut self, handler: impl Fn(JobContext) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: RawResult,
    {
        self.any = Some(handler::raw(handler));
        self
    }

    /// Counters that can be read while the worker runs, and afterwards.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        self.stats.clone()
    }

    /// Runs until `shutdown` completes, then ends gracefully: takes no more jobs, waits for those that run
    /// as long as [`Worker::shutdown_timeout`] says, gives the rest back, and ends the session when the
    /// broker has acknowledged every outcome, or cannot be reached for
    /// [`give_up_after`](crate::ClientBuilder::give_up_after).
    ///
    /// Dropping the future instead closes the connection: the broker gives the jobs to others when it
    /// notices, within seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) without any handler, and as
    /// [`ClientBuilder::connect`](crate::ClientBuilder::connect) if the broker cannot be reached at the
    /// start. Later cuts are no errors: the worker comes back.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        run::until(self, shutdown).await
    }

    /// Runs in a task of its own until the handle says stop.
    #[must_use = "dropping the handle ends the worker at once"]
    pub fn start(self) -> WorkerHandle {
        run::start(self)
    }

    fn on(mut self, kind: impl Into<String>, handler: Handler) -> Self {
        self.handlers.insert(kind.into(), handler);
        self
    }

    /// The stream that the worker asks for.
    fn fetch(&self) -> Fetch {
        let mut sources = self.sources.clone();
        if sources.is_empty() {
            sources.push(Source { queue: "default".to_owned(), weight: 0 });
        }
        let mut kinds = Vec::new();
        if self.any.is_none() {
            kinds.extend(self.handlers.keys().cloned());
            kinds.sort();
        }
        Fetch {
            sources,
            strict: self.strict,
            kinds,
            slots: self.concurrency,
            lease_ms: millis::of(self.lease),
            ..Fetch::default()
        }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("fetch", &self.fetch()).finish_non_exhaustive()
    }
}

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
