//! What a handler knows about its job, and what it can say while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use windlass_proto::v1::{JobTouch, Work};

use crate::error::{Error, Result};
use crate::id::JobId;
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
}

impl JobContext {
    pub(crate) fn new(work: Work, held: Arc<Held>, shared: Arc<Shared>) -> Self {
        Self { inner: Arc::new(Inner { work, held, shared }) }
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
}
