//! Enqueueing: one job as a future with options, many in one frame, and what the broker answered.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use windlass_proto::limits::ENQUEUE_WAIT_MS_MAX;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::enqueued::{One, Outcome};
use windlass_proto::v1::{self, State};

use crate::error::{Error, Result};
use crate::events::Ended;
use crate::id::JobId;
use crate::job::NewJob;
use crate::link::{Answer, Link, Reply, Rules};
use crate::millis;
use crate::setters::job_setters;

/// A job on its way to the broker: options first, then `.await`.
///
/// Awaiting it means: the job is on the broker's disk. See
/// [`Client::enqueue`](crate::Client::enqueue).
#[derive(Debug)]
#[must_use = "nothing is enqueued until this is awaited or submitted"]
pub struct Enqueue<'a> {
    link: &'a Link,
    job: NewJob,
}

/// What became of an enqueued job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// Id of the job that stands for the one sent: its own, or that of an older one that a dedup key found.
    pub id: JobId,
    /// The broker's number of the job, rising; 0 for one that is no longer kept.
    pub seq: u64,
    /// The id or the dedup key was known, and nothing was changed. A job that was sent twice only because
    /// the connection was cut is no duplicate.
    pub duplicate: bool,
    /// What exactly was done.
    pub outcome: Outcome,
    /// Where the job stands.
    pub state: State,
    /// What the handler returned, if the job that stands for the one sent has completed; empty where it is
    /// too large for the answer.
    pub result: Bytes,
}

/// The answer to a job that has been handed to the connection; a future.
///
/// Dropping it does not take the job back.
#[derive(Debug)]
#[must_use = "only the answer tells whether the job is on disk"]
pub struct Receipt {
    answer: Answer,
    id: JobId,
    id_is_ours: bool,
}

impl<'a> Enqueue<'a> {
    pub(crate) fn new(link: &'a Link, job: NewJob) -> Self {
        Self { link, job }
    }

    /// The id that the job has, known before it is sent.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job.id
    }

    /// Hands the job to the connection and returns at once with a future for the answer, so that one task
    /// can have many jobs in flight. Jobs are sent in the order in which they are submitted. Waits only
    /// while the client's window of unanswered requests is full.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the job does not serialise or is too large,
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if the window stays full,
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) after [`Client::close`](crate::Client::close).
    pub async fn submit(self) -> Result<Receipt> {
        let NewJob { id, id_is_ours, .. } = self.job;
        let enqueue = v1::Enqueue { jobs: vec![self.job.into_spec()?], ..Default::default() };
        count(self.link, &enqueue);
        let answer = self.link.submit(Request::Enqueue(enqueue), Rules::RESEND).await?;
        Ok(Receipt { answer, id, id_is_ours })
    }

    /// Enqueues the job and waits for its end, at most this long, 10 minutes at most. If the time passes, the
    /// answer says where the job stands then, which is no final state.
    ///
    /// ```no_run
    /// # use windlass_client::{Client, Error, NewJob};
    /// # use std::time::Duration;
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let ended = client.enqueue(NewJob::new("add").payload("[1, 2]")).and_wait(Duration::from_secs(30)).await?;
    /// let sum: u32 = ended.json()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Enqueue::submit`].
    pub async fn and_wait(self, within: Duration) -> Result<Ended> {
        let id = self.job.id;
        let enqueue = v1::Enqueue {
            jobs: vec![self.job.into_spec()?],
            wait: v1::enqueue::Wait::Finished.into(),
            wait_ms: millis::of(within).clamp(1, ENQUEUE_WAIT_MS_MAX),
            ..Default::default()
        };
        count(self.link, &enqueue);
        let rules = Rules::RESEND.longer_by(within);
        let answer = self.link.submit(Request::Enqueue(enqueue), rules).await?.await?;
        let one = results_of(answer, 1)?.pop().ok_or_else(|| Error::wrong_answer("one result"))?;
        match one.error {
            Some(refusal) => Err(refusal.into()),
            None => Ok(Ended { id, state: one.state(), result: one.result }),
        }
    }

    job_setters!(self => self.job);
}

impl<'a> IntoFuture for Enqueue<'a> {
    type Output = Result<Enqueued>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.submit().await?.await })
    }
}

impl Receipt {
    /// The id that the job was sent with.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.id
    }
}

impl Future for Receipt {
    type Output = Result<Enqueued>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (id, ours) = (self.id, self.id_is_ours);
        Pin::new(&mut self.answer).poll(cx).map(|answer| {
            let one = results_of(answer?, 1)?.pop().ok_or_else(|| Error::wrong_answer("one result"))?;
            enqueued(one, id, ours)
        })
    }
}

/// Whether one refused job refuses them all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Many {
    AllOrNone,
    Partial,
}

/// Sends all jobs in one frame; one entry for each, in their order.
pub(crate) async fn enqueue_many(
    link: &Link,
    jobs: Vec<NewJob>,
    many: Many,
) -> Result<Vec<Result<Enqueued>>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<(JobId, bool)> = jobs.iter().map(|job| (job.id, job.id_is_ours)).collect();
    let specs = jobs.into_iter().map(NewJob::into_spec).collect::<Result<Vec<_>>>()?;
    let enqueue = v1::Enqueue { jobs: specs, partial: many == Many::Partial, ..Default::default() };
    count(link, &enqueue);
    let answer = link.submit(Request::Enqueue(enqueue), Rules::RESEND).await?.await?;
    let results = results_of(answer, ids.len())?;
    Ok(results.into_iter().zip(ids).map(|(one, (id, ours))| enqueued(one, id, ours)).collect())
}

/// Counts the jobs as handed to the broker.
fn count(link: &Link, enqueue: &v1::Enqueue) {
    let metrics = &link.settings().metrics;
    enqueue.jobs.iter().for_each(|job| metrics.sent(&job.queue, &job.kind));
}

fn results_of(answer: Reply, wanted: usize) -> Result<Vec<One>> {
    let Reply::Enqueued(enqueued) = answer else {
        return Err(Error::wrong_answer("Enqueued"));
    };
    if enqueued.results.len() != wanted {
        return Err(Error::wrong_answer("one result for each job"));
    }
    Ok(enqueued.results)
}

fn enqueued(one: One, sent: JobId, id_is_ours: bool) -> Result<Enqueued> {
    if let Some(refusal) = one.error {
        return Err(refusal.into());
    }
    let id = if one.id.is_empty() { sent } else { JobId::from_slice(&one.id)? };
    let mut outcome = Outcome::try_from(one.outcome).unwrap_or(Outcome::Unspecified);
    // Nobody else knows an id that was made here: if the broker does, then from our own first sending.
    if outcome == Outcome::Duplicate && id_is_ours && id == sent {
        outcome = Outcome::Created;
    }
    Ok(Enqueued {
        id,
        seq: one.seq,
        duplicate: outcome == Outcome::Duplicate,
        outcome,
        state: State::try_from(one.state).unwrap_or(State::Unspecified),
        result: one.result,
    })
}
