//! Changing existing jobs: one, some, or all that match.

use bytes::Bytes;
use windlass_proto::v1::change::To;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{
    self, Cancel, Change, Confirm, Delete, OperationView, Query, Retry, RunAt, Selector, Stop, Tell,
};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use super::Admin;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::link::Rules;

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// Jobs that match; of [`Admin::tell`] sessions.
    pub matched: u64,
    /// Of these, changed so far.
    pub changed: u64,
    /// Ids of some that match, at most 10.
    pub sample: Vec<JobId>,
    /// The background change that goes on, 16 bytes; empty: it is done.
    pub operation: Bytes,
}

impl Admin {
    /// Runs ended jobs again, with one more attempt each.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind). Ids that do not exist are not counted, and no error.
    pub async fn retry(&self, ids: impl IntoIterator<Item = JobId>) -> Result<Changed> {
        self.change_ids(ids, To::Retry(Retry::default())).await
    }

    /// Cancels jobs that have not ended; a running handler is asked to stop and has 30 s for it.
    ///
    /// # Errors
    /// As [`Admin::retry`].
    pub async fn cancel(&self, ids: impl IntoIterator<Item = JobId>, why: &str) -> Result<Changed> {
        self.change_ids(ids, To::Cancel(Cancel { why: why.to_owned(), ..Cancel::default() })).await
    }

    /// Removes jobs that are not leased, with all that is kept of them.
    ///
    /// # Errors
    /// As [`Admin::retry`].
    pub async fn delete(&self, ids: impl IntoIterator<Item = JobId>) -> Result<Changed> {
        self.change_ids(ids, To::Delete(Delete {})).await
    }

    /// Makes waiting jobs run now, whatever delay or backoff they wait for.
    ///
    /// # Errors
    /// As [`Admin::retry`].
    pub async fn run_now(&self, ids: impl IntoIterator<Item = JobId>) -> Result<Changed> {
        self.change_ids(ids, To::RunAt(RunAt { run_at_ms: 0 })).await
    }

    /// Releases held jobs. Their delays count from their enqueueing.
    ///
    /// # Errors
    /// As [`Admin::retry`].
    pub async fn confirm(&self, ids: impl IntoIterator<Item = JobId>) -> Result<Changed> {
        self.change_ids(ids, To::Confirm(Confirm {})).await
    }

    /// Tells sessions something: one of them (`Selector.session`), those with all of `Tell.labels`, or `all`
    /// but this client's own. From then on the broker gives no job to those that are to be quiet or to end.
    ///
    /// ```no_run
    /// # use windlass_client::{Client, Error, proto::{Selector, Tell, signal::Type}};
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let labels = [("version".into(), "1.2".into())].into();
    /// let tell = Tell { r#type: Type::Quiet.into(), labels, within_ms: 600_000 };
    /// client.admin().tell(Selector::default(), tell, "1.3 is out").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn tell(&self, select: Selector, tell: Tell, reason: &str) -> Result<Changed> {
        let (select, to, reason) = (Some(select), Some(To::Tell(tell)), reason.to_owned());
        self.change(Change { select, to, reason, ..Change::default() }).await
    }

    /// Any change of any selection. One that does not name its jobs gets an id of its own if it has none,
    /// so that it can be sent again after a cut, and goes on in the background when it takes long.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn change(&self, mut change: Change) -> Result<Changed> {
        let names_jobs = change.select.as_ref().is_some_and(|select| !select.ids.is_empty());
        let is_paced = change.per_second > 0 || change.stop_failure_permille > 0;
        let is_spread = matches!(change.to, Some(To::Retry(Retry { spread_ms: 1.., .. })));
        let is_of_jobs = !matches!(change.to, Some(To::Tell(_) | To::Stop(_)));
        if is_of_jobs
            && change.operation.is_empty()
            && !change.dry_run
            && (!names_jobs || is_paced || is_spread)
        {
            change.operation = JobId::new().to_bytes();
        }
        let Body::Changed(changed) = self.ask(Request::Change(change), Rules::RESEND).await? else {
            return Err(Error::wrong_answer("Changed"));
        };
        view(changed)
    }

    /// The changes that were given an id: what is under way, and what became of the others.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn operations(&self) -> Result<Vec<OperationView>> {
        self.every_row(Query { what: What::Operations.into(), ..Query::default() }, |rows| rows.operations)
            .await
    }

    /// Ends a change that is under way; what it has changed stays so.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind). An id that is not known is refused with `NotFound`.
    pub async fn stop(&self, operation: Bytes) -> Result<Changed> {
        self.change(Change { operation, to: Some(To::Stop(Stop {})), ..Change::default() }).await
    }

    async fn change_ids(&self, ids: impl IntoIterator<Item = JobId>, to: To) -> Result<Changed> {
        let ids = ids.into_iter().map(JobId::to_bytes).collect();
        let select = Selector { ids, ..Selector::default() };
        self.change(Change { select: Some(select), to: Some(to), ..Change::default() }).await
    }
}

fn view(changed: v1::Changed) -> Result<Changed> {
    Ok(Changed {
        matched: changed.matched,
        changed: changed.changed,
        sample: changed.sample.iter().map(|id| JobId::from_slice(id)).collect::<Result<_>>()?,
        operation: changed.operation,
    })
}
