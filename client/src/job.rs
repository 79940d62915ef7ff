//! What a producer hands over: typed jobs, raw jobs, and everything that can be said about one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_proto::v1::{After, JobSpec, Policy, after::On};

use crate::error::{Error, Result};
use crate::id::JobId;
use crate::setters::job_setters;

/// A kind of job with a payload of a type of its own, sent as JSON.
///
/// Producers and workers share the type, so that neither can misspell the kind.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use windlass_client::Job;
///
/// #[derive(Serialize, Deserialize)]
/// struct SendEmail { to: String, template: String }
///
/// impl Job for SendEmail {
///     const KIND: &'static str = "email.send";
///     const QUEUE: &'static str = "mail";
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Which handler runs it; a name: 1 to 200 bytes of letters, digits and `. _ : / -`.
    const KIND: &'static str;
    /// Where it waits unless the producer says otherwise; a name.
    const QUEUE: &'static str = "default";
}

/// A job to be enqueued: a kind, a payload, and how it is to be treated.
///
/// Made from a value of a [`Job`] type by `NewJob::from(value)`, or from raw bytes by [`NewJob::new`].
/// Its id is made here, so that sending it again after a cut cannot make a second job.
#[derive(Debug, Clone)]
#[must_use = "a job does nothing until it is enqueued"]
pub struct NewJob {
    pub(crate) spec: JobSpec,
    pub(crate) id: JobId,
    /// The id was made here, hence nobody else can have enqueued it before.
    pub(crate) id_is_ours: bool,
    /// Why the job cannot be enqueued: kept until then, so that the setters stay simple.
    pub(crate) broken: Option<String>,
}

impl NewJob {
    /// A job of this kind with an empty payload, for the queue `default`.
    pub fn new(kind: impl Into<String>) -> Self {
        let spec = JobSpec { kind: kind.into(), ..JobSpec::default() };
        Self { spec, id: JobId::new(), id_is_ours: true, broken: None }
    }

    /// A group: a job that the broker itself completes when all jobs that name it ([`NewJob::group`]) have
    /// ended. Jobs [`after`](NewJob::after) the group are its callbacks. Enqueued with [`NewJob::hold`] it stays open
    /// for members of later requests, until it is confirmed.
    ///
    /// ```no_run
    /// # use windlass_client::{Client, Error, NewJob};
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let group = NewJob::new_group();
    /// let id = group.job_id();
    /// let parts = (0..3).map(|part| NewJob::new("part").payload(part.to_string()).group(id));
    /// let jobs = [group].into_iter().chain(parts).chain([NewJob::new("join").after(id)]);
    /// client.enqueue_many(jobs).await?;
    /// # Ok(()) }
    /// ```
    pub fn new_group() -> Self {
        Self::new("")
    }

    /// The id that the job has or will have.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.id
    }

    /// The message as it goes over the wire, for what has no setter here.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the payload did not serialise.
    pub fn into_spec(self) -> Result<JobSpec> {
        match self.broken {
            Some(why) => Err(Error::invalid(why)),
            None => Ok(JobSpec { id: self.id.to_bytes(), ..self.spec }),
        }
    }

    job_setters!(self => self);
}

impl<J: Job> From<J> for NewJob {
    fn from(job: J) -> Self {
        Self::new(J::KIND).queue(J::QUEUE).json(&job)
    }
}

/// Puts a value in as JSON; a failure is kept until the job is enqueued.
pub(crate) fn set_json(job: &mut NewJob, value: &impl Serialize) {
    match serde_json::to_vec(value) {
        Ok(payload) => {
            job.spec.payload = payload.into();
            JSON.clone_into(&mut job.spec.content_type);
        }
        Err(error) => job.broken = Some(format!("the payload is no JSON: {error}")),
    }
}

/// The policy of the job itself, which setters fill field by field.
pub(crate) fn policy_of(spec: &mut JobSpec) -> &mut Policy {
    spec.policy.get_or_insert_default()
}

/// The job waits for this end of that one.
pub(crate) fn wait_for(spec: &mut JobSpec, job: JobId, on: On) {
    spec.after.push(After { job: job.to_bytes(), index: 0, on: on.into() });
}

/// Media type of typed payloads and results.
pub(crate) const JSON: &str = "application/json";
