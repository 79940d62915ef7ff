//! The life of a running worker: deliveries in, handlers beside each other, outcomes out, and the end.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use windlass_proto::v1::beat::Phase;
use windlass_proto::v1::signal::Type as Order;
use windlass_proto::v1::{self, Release, Work, result::How};

use super::beat::Beats;
use super::handler::Handler;
use super::{JobContext, Worker, attempt};
use crate::error::{Error, Result};
use crate::lease::Held;
use crate::link::{Incoming, Link, Shared, StreamName, Who};
use crate::metrics::Metrics;
use crate::millis;
use crate::stats::{Tally, WorkerStats};

/// A worker that runs in a task of its own. Dropping it ends the worker at once, as a crash would.
#[derive(Debug)]
pub struct WorkerHandle {
    stats: WorkerStats,
    stop: CancellationToken,
    task: AbortOnDropHandle<Result<()>>,
}

impl WorkerHandle {
    /// The worker's counters.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        self.stats.clone()
    }

    /// Stops the worker gracefully, see [`Worker::run_until`], and waits for its end.
    ///
    /// # Errors
    /// Those of [`Worker::run_until`], if the worker ended by itself.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        self.wait().await
    }

    /// Waits until the worker ends by itself, which it does only with an error or when an operator asks it
    /// to. To be called once.
    ///
    /// # Errors
    /// Those of [`Worker::run_until`].
    pub async fn wait(&mut self) -> Result<()> {
        match (&mut self.task).await {
            Ok(end) => end,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::closed()),
            },
        }
    }
}

pub(super) fn start(worker: Worker) -> WorkerHandle {
    let stats = worker.stats();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move { until(worker, stopped.cancelled_owned()).await });
    WorkerHandle { stats, stop, task: AbortOnDropHandle::new(task) }
}

pub(super) async fn until(worker: Worker, shutdown: impl Future<Output = ()>) -> Result<()> {
    let fetch = worker.fetch();
    if worker.handlers.is_empty() && worker.any.is_none() {
        return Err(Error::invalid("a worker needs at least one handler"));
    }
    let metrics = worker.settings.metrics.clone();
    let link = Link::open(worker.settings).await?;
    let shared = Arc::clone(link.shared());
    let beats = Beats::start(Arc::clone(&shared), worker.stats.clone(), worker.concurrency)?;
    let (stream, incoming) = shared.open_stream(fetch)?;
    let mut crew = Crew {
        shared,
        beats,
        handlers: worker.handlers,
        any: worker.any,
        stats: worker.stats,
        metrics,
        running: JoinSet::new(),
        stream,
        incoming,
    };
    let end = tokio::select! {
        () = shutdown => Ok(()),
        end = crew.work() => end,
    };
    crew.beats.set_phase(Phase::Stopping);
    crew.wind_down(worker.shutdown_timeout).await;
    // The beats go on until the last outcome is acknowledged, and the session is over.
    link.close().await;
    drop(crew);
    end
}

/// Everything that runs jobs.
struct Crew {
    shared: Arc<Shared>,
    beats: Beats,
    handlers: HashMap<String, Handler>,
    any: Option<Handler>,
    stats: WorkerStats,
    metrics: Metrics,
    running: JoinSet<()>,
    stream: StreamName,
    incoming: UnboundedReceiver<Incoming>,
}

impl Crew {
    /// Runs what comes, until there is a reason to stop. Safe to cancel.
    async fn work(&mut self) -> Result<()> {
        loop {
            let incoming = tokio::select! {
                incoming = self.incoming.recv() => incoming,
                // An ended handler has settled its job already; only its task is still to be freed.
                Some(_) = self.running.join_next() => continue,
            };
            match incoming {
                Some(Incoming::Work(work, held)) => self.start(*work, held),
                Some(Incoming::Refused(error)) => return Err(error.context("fetching jobs")),
                Some(Incoming::Order(Order::Terminate)) => {
                    tracing::info!("an operator ends this worker");
                    return Ok(());
                }
                Some(Incoming::Order(Order::Quiet)) => self.set_quiet(true),
                Some(Incoming::Order(Order::Resume)) => self.set_quiet(false),
                Some(Incoming::Order(
                    Order::Unspecified | Order::Cancel | Order::LeaseLost | Order::Goaway | Order::Dump,
                )) => {}
                None => return Err(Error::closed()),
            }
        }
    }

    /// Takes no more jobs, or takes them again. What runs goes on.
    fn set_quiet(&self, quiet: bool) {
        tracing::info!(quiet, "an operator tells this worker whether to take jobs");
        self.shared.set_quiet(self.stream, quiet);
        self.beats.set_phase(if quiet { Phase::Quiet } else { Phase::Running });
    }

    fn start(&mut self, work: Work, held: Arc<Held>) {
        // It may have been lost between its delivery and now.
        if held.is_lost() {
            self.stats.count(Tally::Lost);
            return;
        }
        let Some(handler) = self.handlers.get(&work.kind).or(self.any.as_ref()).cloned() else {
            // The broker was asked for our kinds only; whatever this is, another worker may know it.
            tracing::error!(job = %held.id, kind = work.kind, "there is no handler for this kind");
            self.give_back(&held, "this worker has no handler for the kind", UNKNOWN_KIND_PAUSE);
            return;
        };
        let running = self.stats.run();
        let stats = self.stats.clone();
        let started = self.metrics.started(&work.queue, &work.kind);
        let began = Instant::now();
        let shared = Arc::clone(&self.shared);
        self.running.spawn(async move {
            let context = JobContext::new(work, held, Arc::clone(&shared));
            let outcome = attempt::run(&handler, context.clone()).await;
            drop(running);
            let took = began.elapsed();
            let checkpoint = context.finish().await;
            let tally = attempt::settle(&shared, stats, &context, outcome, checkpoint);
            started.ended(tally, took);
        });
    }

    /// Ends gracefully: see [`Worker::run_until`].
    async fn wind_down(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        // A broker that is silent just now must not keep handlers from being waited for.
        let _closed = timeout_at(until, self.shared.close_stream(self.stream)).await;
        self.incoming.close();
        while let Some(incoming) = self.incoming.recv().await {
            if let Incoming::Work(_, held) = incoming {
                self.give_back(&held, "the worker is stopping", Duration::ZERO);
            }
        }
        self.join_until(until).await;
        if !self.running.is_empty() {
            tracing::warn!(running = self.running.len(), "handlers still run; they are asked to stop");
            self.shared.stop_all("the worker is stopping");
            self.join_until(Instant::now() + GRACE).await;
        }
        self.running.shutdown().await;
        for held in self.shared.unsettled() {
            self.give_back(&held, "the worker has stopped", Duration::ZERO);
        }
    }

    async fn join_until(&mut self, until: Instant) {
        while let Ok(Some(_)) = timeout_at(until, self.running.join_next()).await {}
    }

    /// Gives a job back, uncounted.
    fn give_back(&self, held: &Held, reason: &str, delay: Duration) {
        let release =
            Release { delay_ms: millis::of(delay), reason: reason.to_owned(), ..Release::default() };
        let result = v1::Result {
            id: held.id.to_bytes(),
            fence: held.fence,
            how: Some(How::Release(release)),
            ..v1::Result::default()
        };
        self.shared.settle(result, Who::Worker(self.stats.clone(), Tally::Released));
    }
}

/// What handlers have after their tokens were cancelled.
const GRACE: Duration = Duration::from_secs(2);
/// How long a job of an unknown kind waits, so that it does not come right back.
const UNKNOWN_KIND_PAUSE: Duration = Duration::from_secs(5);
