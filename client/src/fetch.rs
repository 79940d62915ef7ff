//! The long poll: asking once for jobs, and settling each by hand.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::fetch::Source;
use windlass_proto::v1::result::How;
use windlass_proto::v1::{self, Cancelled, Complete, Fail, Fetch, JobTouch, Release, State, Work};

use crate::error::{Error, Result};
use crate::id::JobId;
use crate::link::{LeaseGuard, Link, Reply, Rules};
use crate::millis;

/// A long poll; options first, then `.await`. See [`Client::fetch_once`](crate::Client::fetch_once).
///
/// ```no_run
/// # use windlass_client::{Client, Error};
/// # use std::time::Duration;
/// # async fn example(client: Client) -> Result<(), Error> {
/// let jobs = client.fetch_once(["mail"]).max(10).wait(Duration::from_secs(20)).await?;
/// for job in jobs {
///     println!("{} has {} bytes", job.id(), job.payload().len());
///     job.complete("").await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is fetched until this is awaited"]
pub struct FetchOnce<'a> {
    link: &'a Link,
    fetch: Fetch,
}

/// A job to run, with its lease.
///
/// Without a `lease` of its own the lease lives as long as the client's session: the client beats by
/// itself. Dropping the value without settling gives the job back, uncounted.
#[derive(Debug)]
pub struct Leased {
    work: Work,
    lease: LeaseGuard,
}

impl<'a> FetchOnce<'a> {
    pub(crate) fn new(link: &'a Link, queues: Vec<String>) -> Self {
        let sources = queues.into_iter().map(|queue| Source { queue, weight: 0 }).collect();
        let fetch = Fetch { sources, strict: true, once: 1, ..Fetch::default() };
        Self { link, fetch }
    }

    /// Draws from these queues by weight instead, 1 to 1,000 each: many polls together share as the weights
    /// say.
    pub fn weighted_queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = (Q, u32)>) -> Self {
        self.fetch.sources = weighted(queues);
        self.fetch.strict = false;
        self
    }

    /// Only jobs of these kinds, at most 256; default every kind.
    pub fn kinds<K: Into<String>>(mut self, kinds: impl IntoIterator<Item = K>) -> Self {
        self.fetch.kinds = kinds.into_iter().map(Into::into).collect();
        self
    }

    /// At most so many jobs, 1 to 10,000; default 1.
    pub fn max(mut self, jobs: u32) -> Self {
        self.fetch.once = jobs.max(1);
        self
    }

    /// Collects before it answers: waits until so many jobs are there, or until the first of them has waited
    /// for `linger`, at most 10 minutes. Nobody holds the jobs meanwhile. Each is settled on its own.
    ///
    /// ```no_run
    /// # use windlass_client::{Client, Error};
    /// # use std::time::Duration;
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let poll = client.fetch_once(["mail"]).max(100).batch(10, Duration::from_secs(2));
    /// for job in poll.wait(Duration::from_secs(60)).await? {
    ///     job.complete("").await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn batch(mut self, min: u32, linger: Duration) -> Self {
        let batch = self.fetch.batch.get_or_insert_default();
        (batch.min, batch.linger_ms) = (min, millis::of(linger));
        self
    }

    /// Only jobs of one key in one answer.
    pub fn same_key(mut self) -> Self {
        self.fetch.batch.get_or_insert_default().same_key = true;
        self
    }

    /// How long to wait for the first job, at most 10 minutes; default not at all.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.fetch.wait_ms = millis::of(wait);
        self
    }

    /// Visibility timeout of the jobs, up to 7 days; default as their policy says, mostly none.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.fetch.lease_ms = millis::of(lease);
        self
    }

    async fn fetch(self) -> Result<Vec<Leased>> {
        let rules = Rules::RESEND.longer_by(Duration::from_millis(self.fetch.wait_ms));
        let answer = self.link.submit(Request::Fetch(self.fetch), rules).await?.await?;
        let Reply::Work(jobs) = answer else {
            return Err(Error::wrong_answer("Deliver"));
        };
        Ok(jobs.into_iter().map(|(work, lease)| Leased { work, lease }).collect())
    }
}

/// Queues with their weights.
pub(crate) fn weighted<Q: Into<String>>(queues: impl IntoIterator<Item = (Q, u32)>) -> Vec<Source> {
    queues.into_iter().map(|(queue, weight)| Source { queue: queue.into(), weight }).collect()
}

impl<'a> IntoFuture for FetchOnce<'a> {
    type Output = Result<Vec<Leased>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.fetch())
    }
}

impl Leased {
    /// Id of the job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.lease.held().id
    }

    /// Which handler it is meant for.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.work.kind
    }

    /// Where it waited.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.work.queue
    }

    /// Its lane; empty: none.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.work.key
    }

    /// As enqueued.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.work.payload
    }

    /// As enqueued.
    #[must_use]
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.work.headers
    }

    /// Which attempt this is, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.work.attempt
    }

    /// Number of the lease; it never repeats and is higher for a later lease.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.work.fence
    }

    /// The whole message.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Cancelled when the job is to stop: somebody cancelled it, or its lease is lost.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.lease.held().token
    }

    /// The work is done. The result, at most `Welcome.max_payload` bytes, is kept as long as the job is.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if somebody else has the job now. `Ok` means
    /// that the end is on the broker's disk.
    pub async fn complete(self, result: impl Into<Bytes>) -> Result<State> {
        let complete = Complete { result: result.into(), content_type: String::new() };
        self.settle(How::Complete(complete)).await
    }

    /// The attempt failed; the job is tried again as its policy says.
    ///
    /// # Errors
    /// As [`Leased::complete`].
    pub async fn fail(self, message: impl Into<String>) -> Result<State> {
        self.settle(How::Fail(Fail { message: message.into(), ..Fail::default() })).await
    }

    /// The attempt failed and no other can help: the job is dead.
    ///
    /// # Errors
    /// As [`Leased::complete`].
    pub async fn fail_permanently(self, message: impl Into<String>) -> Result<State> {
        let fail = Fail { message: message.into(), fatal: true, ..Fail::default() };
        self.settle(How::Fail(fail)).await
    }

    /// Gives the job back without counting an attempt: at once to its old place with a delay of zero,
    /// otherwise after the delay, at most a year.
    ///
    /// # Errors
    /// As [`Leased::complete`].
    pub async fn release(self, delay: Duration) -> Result<State> {
        let release = Release { delay_ms: millis::of(delay), ..Release::default() };
        self.settle(How::Release(release)).await
    }

    /// The run stopped because it was asked to.
    ///
    /// # Errors
    /// As [`Leased::complete`].
    pub async fn cancelled(self) -> Result<State> {
        self.settle(How::Cancelled(Cancelled::default())).await
    }

    /// Settles in any way that the protocol knows.
    ///
    /// # Errors
    /// As [`Leased::complete`].
    pub async fn settle(mut self, how: How) -> Result<State> {
        self.lease.disarm();
        let result = v1::Result {
            id: self.work.id.clone(),
            fence: self.work.fence,
            how: Some(how),
            ..v1::Result::default()
        };
        self.lease.shared().settle_and_wait(result).await
    }

    /// Moves the end of a lease that `lease` limits to this long from now, at most 7 days.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if it has ended already.
    pub async fn extend(&self, lease: Duration) -> Result<()> {
        self.lease
            .shared()
            .touch(JobTouch {
                id: self.work.id.clone(),
                fence: self.work.fence,
                extend_ms: Some(millis::of(lease)),
                ..JobTouch::default()
            })
            .await
    }
}
