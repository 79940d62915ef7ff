//! What a handler knows about its job, and what it can say while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use windlass_proto::limits::SPAWN_MAX;
use windlass_proto::v1::{JobSpec, JobTouch, Work};

use super::report::Report;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::job::NewJob;
use crate::lease::{Cause, Held};
use crate::link::Shared;
use crate::millis;

/// A job that runs: what it is, and its lease. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    work: Work,
    held: Arc<Held>,
    shared: Arc<Shared>,
    /// Jobs to enqueue with the outcome.
    spawned: Mutex<Vec<JobSpec>>,
    runtime: Handle,
    /// Made when the handler first says something; most say nothing.
    report: OnceLock<Arc<Report>>,
}

impl JobContext {
    pub(crate) fn new(work: Work, held: Arc<Held>, shared: Arc<Shared>) -> Self {
        let (runtime, report, spawned) = (Handle::current(), OnceLock::new(), Mutex::default());
        Self { inner: Arc::new(Inner { work, held, shared, runtime, report, spawned }) }
    }

    /// Id of the job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.inner.held.id
    }

    /// Which handler it is meant for.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.inner.work.kind
    }

    /// Where it waited.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.inner.work.queue
    }

    /// Its lane; empty: none.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.inner.work.key
    }

    /// As enqueued. Cloning it copies no bytes.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.inner.work.payload
    }

    /// The payloads of a job that others were appended to ([`Dedup::append`](crate::Dedup::append)), in the
    /// order of their coming.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the payload is no such list.
    pub fn items(&self) -> Result<Vec<Bytes>> {
        let broken = |_| Error::invalid("the payload is no list of items");
        let (mut rest, mut items) = (self.payload().clone(), Vec::new());
        while !rest.is_empty() {
            let length = prost::decode_length_delimiter(&mut rest).map_err(broken)?;
            if length > rest.len() {
                return Err(Error::invalid("the payload is no list of items"));
            }
            items.push(rest.split_to(length));
        }
        Ok(items)
    }

    /// Media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.inner.work.content_type
    }

    /// As enqueued.
    #[must_use]
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.inner.work.headers
    }

    /// Which attempt this is, counted from 1; released, snoozed and lost runs are not counted.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.work.attempt
    }

    /// The bound on failed attempts that is in force.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.inner.work.max_attempts
    }

    /// Leases so far, this one included.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.inner.work.deliveries
    }

    /// Leases so far that ended with their worker.
    #[must_use]
    pub fn crashes(&self) -> u32 {
        self.inner.work.crashes
    }

    /// Number of the lease. Stored beside a side effect, it tells an older run from a newer one: it never
    /// repeats and is higher for a later lease.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.inner.work.fence
    }

    /// The whole message.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.inner.work
    }

    /// Completes when the run is to stop: somebody cancelled the job, its time is up, its lease is lost,
    /// or the worker ends. [`JobContext::cancel_reason`] tells which.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.inner.held.token.cancelled()
    }

    /// Whether the run is to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.held.token.is_cancelled()
    }

    /// For libraries that take a token.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.inner.held.token
    }

    /// Why the run is to stop; `None` while it is not.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<&str> {
        self.inner.held.reason()
    }

    /// Ids of the jobs that this one waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the broker sent something else than ids.
    pub fn after(&self) -> Result<Vec<JobId>> {
        self.inner.work.after.iter().map(|id| JobId::from_slice(id)).collect()
    }

    /// Enqueues a job in the write that completes this one: both are on disk, or neither. Nothing is
    /// enqueued when the run does not complete. At most 1,000 jobs follow from a run. When the broker
    /// refuses one of them, the run counts as failed.
    ///
    /// ```
    /// use windlass_client::{Error, JobContext, JobError, NewJob};
    ///
    /// async fn resize(ctx: JobContext) -> Result<(), JobError> {
    ///     ctx.spawn(NewJob::new("publish").payload(ctx.payload().clone()))?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the job does not serialise, or is one too many.
    pub fn spawn(&self, job: impl Into<NewJob>) -> Result<JobId> {
        let job = job.into();
        let id = job.job_id();
        let mut spawned = self.inner.spawned.lock().unwrap_or_else(PoisonError::into_inner);
        if spawned.len() >= SPAWN_MAX {
            return Err(Error::invalid(format!("at most {SPAWN_MAX} jobs follow from a run")));
        }
        spawned.push(job.into_spec()?);
        Ok(id)
    }

    /// What the handler has spawned.
    pub(crate) fn take_spawned(&self) -> Vec<JobSpec> {
        std::mem::take(&mut self.inner.spawned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.inner.held.cause()
    }

    /// Whether the lease is lost: the outcome of the run will not be taken any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.inner.held.is_lost()
    }

    /// Moves the end of a lease that a visibility timeout limits to this long from now, at most 7 days.
    /// The worker extends such leases by itself; this is for a step that needs more.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if it has ended already.
    pub async fn extend(&self, lease: Duration) -> Result<()> {
        let work = &self.inner.work;
        let touch = JobTouch {
            id: work.id.clone(),
            fence: work.fence,
            extend_ms: Some(millis::of(lease)),
            ..JobTouch::default()
        };
        self.inner.shared.touch(touch).await
    }

    /// How often the run has to say something ([`JobContext::touch`] or any of those below), by the job's
    /// `stall_ms`; `None`: it need not.
    #[must_use]
    pub fn stall(&self) -> Option<Duration> {
        Some(self.inner.work.stall_ms).filter(|&ms| ms > 0).map(Duration::from_millis)
    }

    /// How long the run may take, by the job's `timeout_ms`; `None`: any time. Afterwards it is asked to stop.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        Some(self.inner.work.timeout_ms).filter(|&ms| ms > 0).map(Duration::from_millis)
    }

    /// Tells the broker that the handler is alive, for a job with a `stall_ms`; returns when it has heard.
    /// The worker's own beats say that of the process, not of this run.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if the run should have stopped.
    pub async fn touch(&self) -> Result<()> {
        self.report().touch().await
    }

    /// How far the run is, 0 to 1,000. What is said within 100 ms goes out together, so this may stand in a
    /// hot loop, as may the next five.
    pub fn progress(&self, permille: u32) {
        self.report().progress(permille);
    }

    /// What the run is doing, for people; cut at 1,024 bytes.
    pub fn note(&self, note: impl Into<String>) {
        self.report().note(note.into());
    }

    /// Adds a line to the job's log, of which the broker keeps the last 1,000; cut at 4 KiB.
    pub fn log(&self, line: impl Into<String>) {
        self.log_at(LEVEL_INFO, line);
    }

    /// The same with a severity as in syslog: 3 error, 4 warning, 6 info, 7 debug.
    pub fn log_at(&self, level: u32, line: impl Into<String>) {
        self.report().log(level.min(LEVEL_DEBUG), line.into());
    }

    /// Adds to the job's output, for whoever watches it now; the broker keeps the last 64 KiB while it runs.
    pub fn output(&self, bytes: impl AsRef<[u8]>) {
        self.report().output(bytes.as_ref());
    }

    /// Stores bytes for the next attempt, at most 64 KiB, instead of what was stored before; none: nothing.
    /// They are on the broker's disk within a second, or with the outcome of the run; [`JobContext::flush`]
    /// waits for that.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if they are too many.
    pub fn checkpoint(&self, bytes: impl Into<Bytes>) -> Result<()> {
        self.report().checkpoint(bytes.into())
    }

    /// The same with a value, as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it is no JSON, or too long.
    pub fn checkpoint_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let bytes = serde_json::to_vec(value).map_err(|error| Error::invalid(error.to_string()))?;
        self.checkpoint(bytes)
    }

    /// What an earlier attempt has stored, also if it crashed; empty: nothing.
    #[must_use]
    pub fn last_checkpoint(&self) -> &Bytes {
        &self.inner.work.checkpoint
    }

    /// The same as a value; `None`: nothing was stored.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if what was stored is no such value.
    pub fn last_checkpoint_json<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let bytes = self.last_checkpoint();
        if bytes.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(bytes).map(Some).map_err(|error| Error::invalid(error.to_string()))
    }

    /// Waits until the broker has taken all that was said, and has the checkpoint on disk.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if the run should have stopped, and whatever else
    /// keeps the broker from taking it.
    pub async fn flush(&self) -> Result<()> {
        self.report().flush().await
    }

    /// The run is over: says what is left, and returns what is to go with the outcome.
    pub(super) async fn finish(&self) -> Option<Bytes> {
        self.inner.report.get()?.finish().await
    }

    fn report(&self) -> &Arc<Report> {
        let Inner { held, shared, runtime, report, .. } = &*self.inner;
        report.get_or_init(|| Report::new(Arc::clone(held), Arc::clone(shared), runtime.clone()))
    }
}

const LEVEL_INFO: u32 = 6;
const LEVEL_DEBUG: u32 = 7;
