//! The operator's side: reading queues, jobs and workers, and changing them.
//!
//! Rows are the messages of the protocol as they are; ids in their `bytes` fields become
//! [`JobId`] by [`JobId::from_slice`].

mod change;
mod clock;
mod configure;
mod pages;
mod schedules;

use std::sync::Arc;

use windlass_proto::v1::query::What;
use windlass_proto::v1::{
    AuditView, ErrorGroupView, ExplainView, JobView, KindView, LimitView, Query, QueueView, Rows, ScaleView,
    Selector, SeriesView, ServerView, SessionView, TokenView, Watch,
};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use crate::error::{Error, ErrorKind, Result};
use crate::events::Events;
use crate::id::JobId;
use crate::limits::{PAGE_ROWS, SNAPSHOT_PAUSE};
use crate::link::{Link, Rules};

pub use change::Changed;
pub use pages::{Jobs, Page};

/// Reading and changing what the broker holds; made by [`Client::admin`](crate::Client::admin).
#[derive(Debug, Clone)]
pub struct Admin {
    link: Arc<Link>,
}

impl Admin {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// All queues that exist, by name.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn queues(&self) -> Result<Vec<QueueView>> {
        self.every_row(Query { what: What::Queues.into(), ..Query::default() }, |rows| rows.queues).await
    }

    /// One queue; `None` if no job and no configuration has named it yet.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn queue(&self, name: &str) -> Result<Option<QueueView>> {
        let query = Query { what: What::Queues.into(), name: name.to_owned(), ..Query::default() };
        Ok(self.optional(query).await?.and_then(|rows| rows.queues.into_iter().next()))
    }

    /// All sessions that are alive.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn workers(&self) -> Result<Vec<SessionView>> {
        self.every_row(Query { what: What::Sessions.into(), ..Query::default() }, |rows| rows.sessions).await
    }

    /// Failures of the last `window_ms` in groups that look alike, the most frequent one first.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn errors(&self, window_ms: u64, select: Selector) -> Result<Vec<ErrorGroupView>> {
        let query = Query {
            what: What::Errors.into(),
            window_ms,
            select: Some(select),
            limit: PAGE_ROWS,
            ..Query::default()
        };
        Ok(self.query(query).await?.errors)
    }

    /// What was changed, when, by whom and why: the last `limit` entries, at most 1,000, the newest first.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditView>> {
        let query = Query { what: What::Audit.into(), limit, newest_first: true, ..Query::default() };
        Ok(self.query(query).await?.audits)
    }

    /// Who may speak to the broker, and for what.
    ///
    /// # Errors
    /// See [`ErrorKind`]; `Unsupported` from a broker that asks nobody for a token.
    pub async fn tokens(&self) -> Result<Vec<TokenView>> {
        Ok(self.query(Query { what: What::Tokens.into(), ..Query::default() }).await?.tokens)
    }

    /// All limits and pauses, with what is in use.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn limits(&self) -> Result<Vec<LimitView>> {
        self.every_row(Query { what: What::Limits.into(), ..Query::default() }, |rows| rows.limits).await
    }

    /// All kinds that exist, by name.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn kinds(&self) -> Result<Vec<KindView>> {
        self.every_row(Query { what: What::Kinds.into(), ..Query::default() }, |rows| rows.kinds).await
    }

    /// What an autoscaler needs to know of a queue: `desired_workers` are those that would clear its backlog
    /// within `window_ms`; 0 = an hour.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn scale(&self, queue: &str, window_ms: u64) -> Result<ScaleView> {
        let query = Query { what: What::Scale.into(), name: queue.to_owned(), window_ms, ..Query::default() };
        let rows = self.query(query).await?;
        rows.scales.into_iter().next().ok_or_else(|| Error::wrong_answer("a queue's figures"))
    }

    /// Courses over time of a queue; "" = of all queues together. `metric` is one of `enqueued`, `completed`,
    /// `failed`, `crashed`, `dead`, `ready`, `leased`, `wait_p50_ms` and `wait_p99_ms`; "" = all of them. They look
    /// back `window_ms` (0 = an hour) in steps of `step_ms` (0 = a minute; at least 10 s).
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn series(
        &self,
        metric: &str,
        queue: &str,
        window_ms: u64,
        step_ms: u64,
    ) -> Result<Vec<SeriesView>> {
        let select = Selector { queue: queue.to_owned(), ..Selector::default() };
        let (what, name) = (What::Series.into(), metric.to_owned());
        let query = Query { what, name, window_ms, step_ms, select: Some(select), ..Query::default() };
        Ok(self.query(query).await?.series)
    }

    /// Why a job is not running, the strongest reason first; `None` if there is none of that id.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn explain(&self, id: JobId) -> Result<Option<ExplainView>> {
        let query = Query { what: What::Explain.into(), select: Some(by_id(id)), ..Query::default() };
        Ok(self.optional(query).await?.and_then(|rows| rows.explains.into_iter().next()))
    }

    /// The broker itself.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn stats(&self) -> Result<ServerView> {
        let rows = self.query(Query { what: What::Server.into(), ..Query::default() }).await?;
        rows.server.into_iter().next().ok_or_else(|| Error::wrong_answer("the server's row"))
    }

    /// Takes a snapshot of everything that was acknowledged by now, of all namespaces, while the broker goes
    /// on: hands the archive on in pieces, in order. `windlass store import` makes a data directory of it.
    ///
    /// # Errors
    /// See [`ErrorKind`], and whatever `each` returns.
    pub async fn snapshot(&self, mut each: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<()> {
        let mut query = Query { what: What::Export.into(), ..Query::default() };
        loop {
            let rows = self.query(query.clone()).await?;
            let piece = rows.exports.first().map(|export| &export.piece[..]).unwrap_or_default();
            each(piece).map_err(Error::io)?;
            if rows.cursor.is_empty() {
                return Ok(());
            }
            if piece.is_empty() {
                tokio::time::sleep(SNAPSHOT_PAUSE).await;
            }
            query.cursor = rows.cursor;
        }
    }

    /// One job in full, with payload, result and history; `None` if there is none of that id.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn job(&self, id: JobId) -> Result<Option<JobView>> {
        let query = Query { what: What::Job.into(), select: Some(by_id(id)), ..Query::default() };
        Ok(self.optional(query).await?.and_then(|rows| rows.jobs.into_iter().next()))
    }

    /// The jobs that match, a page at a time or one after the other.
    ///
    /// ```no_run
    /// # use windlass_client::{Client, Error, proto::{Selector, State}};
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let dead = Selector { states: vec![State::Dead.into()], ..Selector::default() };
    /// let mut jobs = client.admin().jobs(dead).newest_first();
    /// while let Some(job) = jobs.next().await? {
    ///     println!("{} {}", job.seq, job.kind);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn jobs(&self, select: Selector) -> Jobs {
        Jobs::new(self.clone(), select)
    }

    /// What happens from now on, or from `Watch.from_seq` on, event by event.
    ///
    /// ```no_run
    /// # use windlass_client::{Client, Error, proto::{Selector, Watch}};
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let select = Some(Selector { queue: "mail".into(), ..Selector::default() });
    /// let mut events = client.admin().watch(Watch { select, ..Watch::default() }).await?;
    /// while let Some(event) = events.next().await? {
    ///     println!("{} {}", event.name, event.note);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the broker cannot be reached; what it has against the watch, the first [`Events::next`] tells.
    pub async fn watch(&self, watch: Watch) -> Result<Events> {
        Events::open(self.link.settings().clone(), watch).await
    }

    /// Asks for rows of any sort; one page.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn query(&self, query: Query) -> Result<Rows> {
        let Body::Rows(rows) = self.ask(Request::Query(query), Rules::RESEND).await? else {
            return Err(Error::wrong_answer("Rows"));
        };
        Ok(rows)
    }

    /// The rows of all pages.
    async fn every_row<T>(&self, mut query: Query, pick: impl Fn(Rows) -> Vec<T>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        query.limit = PAGE_ROWS;
        loop {
            let rows = self.query(query.clone()).await?;
            query.cursor = rows.cursor.clone();
            all.extend(pick(rows));
            if query.cursor.is_empty() {
                return Ok(all);
            }
        }
    }

    /// One page, where a name or an id that does not exist is no failure.
    async fn optional(&self, query: Query) -> Result<Option<Rows>> {
        match self.query(query).await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if error.kind() == ErrorKind::Refused(crate::proto::Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, request: Request, rules: Rules) -> Result<Body> {
        self.link.submit(request, rules).await?.body().await
    }
}

fn by_id(id: JobId) -> Selector {
    Selector { ids: vec![id.to_bytes()], ..Selector::default() }
}
