//! Query: reads. A page is bounded in rows and in jobs looked at; its cursor is stable.

use crate::command::{Code, Fields, Query, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::ResourceKey;
use crate::frame::{Body, Cursor, ExportRow, Rows};
use crate::ids::{JobId, Ms, NameId, SessionId};
use crate::ledger::job::{Job, State};
use crate::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use crate::view::{DiskView, QueueView, ServerView, SessionView};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

impl Engine {
    pub(crate) fn query(&mut self, asker: Asker, query: Query, turn: &mut Turn) {
        let rows = match query {
            Query::Job(id) => self.one_job(asker, id),
            Query::Jobs(query) => Ok(self.jobs_page(asker.namespace, &query)),
            Query::Queues { name, after, limit } => Ok(self.queues_page(asker, &name, &after, rows(limit))),
            Query::Kinds { name, after, limit } => Ok(self.kinds_page(asker, &name, &after, rows(limit))),
            Query::Scale { name, window_ms, after, limit } => {
                Ok(self.scale_page(asker, (&name, &after), window_ms, rows(limit)))
            }
            Query::Series(query) => self.series_page(asker, &query),
            Query::Sessions { after, limit } => Ok(self.sessions_page(asker, after, rows(limit))),
            Query::Errors { queue, kind, window_ms, limit } => {
                Ok(self.errors_page(asker, &queue, &kind, window_ms, rows(limit)))
            }
            Query::Config { name, after, limit } => Ok(self.config_page(asker, &name, &after, rows(limit))),
            Query::Operations { after, limit } => Ok(self.operations_page(asker, after, rows(limit))),
            Query::Audit { after, limit, newest_first } => {
                Ok(self.audits_page(asker, after, rows(limit), newest_first))
            }
            Query::Explain(id) => self.explain(asker, id),
            Query::Logs { id, after, limit } => self.logs_page(asker, id, after, limit),
            Query::Limits { name, after, limit } => Ok(self.limits_page(asker, &name, &after, rows(limit))),
            Query::Schedules { name, after, limit } => {
                Ok(self.schedules_page(asker, &name, &after, rows(limit)))
            }
            Query::Export { after } => {
                let export = Some(Box::new(ExportRow { after, ..ExportRow::default() }));
                Ok(Rows { export, ..Rows::default() })
            }
            Query::Server => Ok(Rows { server: Some(Box::new(self.server(asker.now))), ..Rows::default() }),
        };
        match rows {
            Ok(rows) => turn.say(asker.from, Body::Rows(Box::new(rows))),
            Err(refusal) => turn.refuse(asker.from, refusal),
        }
    }

    /// The job that is asked for, if the asker may see it.
    pub(super) fn asked_for(&self, asker: Asker, id: JobId) -> Result<&Job, Refusal> {
        let job = self.find(asker.namespace, id).filter(|job| self.is_within(asker, job.queue));
        job.ok_or_else(|| Refusal::new(Code::NotFound, "select.ids", "no such job; it may have been removed"))
    }

    /// The asker may see what is in this queue.
    pub(super) fn is_within(&self, asker: Asker, queue: NameId) -> bool {
        let reach = self.roster.reaches.get(&asker.from.conn);
        reach.is_none_or(|reach| reach.covers(self.ledger.names.text(queue)))
    }

    fn one_job(&self, asker: Asker, id: JobId) -> Result<Rows, Refusal> {
        let job = self.asked_for(asker, id)?;
        let view = self.job_view(job, Fields::ALL);
        Ok(Rows { jobs: [view].into(), total: Some(1), ..Rows::default() })
    }

    fn queues_page(&self, asker: Asker, name: &str, after: &str, limit: usize) -> Rows {
        let named = self.queues_after(asker, after);
        let Page { rows, cursor, total } = page(named, (name, after), limit);
        let queues = rows.into_iter().map(|(_, id)| self.queue_view(id, asker.now)).collect();
        Rows { queues, cursor, total, ..Rows::default() }
    }

    /// A page of what these names of the namespace stand for.
    pub(super) fn page_of(
        &self,
        namespace: NameId,
        ids: impl Iterator<Item = NameId>,
        (name, after): (&str, &str),
        limit: usize,
    ) -> Page<&str, NameId> {
        let mine = ids.filter_map(|id| {
            let found = self.ledger.names.get(id).filter(|found| found.namespace() == namespace)?;
            Some((found.text(), id))
        });
        page(mine, (name, after), limit)
    }

    fn queue_view(&self, queue: NameId, now: Ms) -> QueueView {
        let conf = self.ledger.resources.get(&ResourceKey::Queue(queue));
        QueueView {
            name: self.ledger.names.text(queue).into(),
            counts: State::ALL.map(|state| self.roster.count(queue, state) as u64),
            totals: self.ledger.totals.get(&queue).map(|row| row.totals).unwrap_or_default(),
            paused: self.ledger.pause(queue).map(|limit| limit.why.clone()),
            oldest_ready_ms: self.oldest_ready_ms(queue, now),
            waiting_streams: self.roster.streams.waiting_on(queue) as u64,
            conf: conf.map(|row| (row.version, row.body.clone())),
        }
    }

    /// Who sees some queues only sees who draws from these.
    fn sessions_page(&self, asker: Asker, after: Option<SessionId>, limit: usize) -> Rows {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let is_confined = self.roster.reaches.contains_key(&asker.from.conn);
        let mut sessions: Vec<SessionView> = self
            .ledger
            .sessions
            .range((start, Bound::Unbounded))
            .filter(|(_, row)| row.session.namespace == asker.namespace)
            .filter_map(|(&id, _)| self.session_view(id, asker))
            .filter(|session| !is_confined || !session.queues.is_empty())
            .take(limit + 1)
            .collect();
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let cursor = sessions.last().filter(|_| more).map(|session| Cursor::Session(session.id));
        Rows { sessions, cursor, ..Rows::default() }
    }

    fn session_view(&self, id: SessionId, asker: Asker) -> Option<SessionView> {
        let row = self.ledger.sessions.get(&id)?;
        let session = &row.session;
        let presence = self.roster.sessions.get(&id)?;
        let streams = || presence.conns.iter().flat_map(|&conn| self.roster.streams.of_conn(conn));
        let queues = streams().flat_map(|stream| stream.sources.queues().iter().copied());
        let texts = |ids: BTreeSet<NameId>| -> Vec<String> {
            ids.into_iter().map(|id| self.ledger.names.text(id).into()).collect()
        };
        Some(SessionView {
            id,
            client: session.client.clone(),
            host: session.host.clone(),
            pid: session.pid,
            labels: session.labels.clone(),
            since: session.at,
            silent_ms: asker.now.saturating_sub(presence.last_sign),
            leases: presence.leases.len() as u64,
            connections: presence.conns.len() as u64,
            streams: presence.streams,
            slots: streams().map(|stream| u64::from(stream.slots)).sum(),
            queues: texts(queues.filter(|&queue| self.is_within(asker, queue)).collect()),
            kinds: texts(streams().flat_map(|stream| stream.kinds.iter().copied()).collect()),
            beat: presence.beat.clone(),
            told: row.told,
            token: session.token.clone(),
        })
    }

    /// The broker itself, as far as the engine knows it.
    #[must_use]
    pub fn server(&self, now: Ms) -> ServerView {
        ServerView {
            epoch: self.ledger.epoch,
            started_at: self.started_at,
            now,
            jobs: self.ledger.jobs.len() as u64,
            sessions: self.ledger.sessions.len() as u64,
            connections: self.roster.conns.len() as u64,
            draining: self.draining,
            disk: DiskView::default(),
        }
    }
}

/// Some of what has names, in their order.
pub(super) struct Page<N, T> {
    pub(super) rows: Vec<(N, T)>,
    /// None = there is nothing behind it.
    pub(super) cursor: Option<Cursor>,
    /// How many there are on all pages.
    pub(super) total: Option<u64>,
}

/// The first of those behind the name `after` that have this name; "" = any.
pub(super) fn page<N: AsRef<str> + Ord, T>(
    all: impl Iterator<Item = (N, T)>,
    (name, after): (&str, &str),
    limit: usize,
) -> Page<N, T> {
    let is_meant = |found: &str| found > after && (name.is_empty() || found == name);
    let mut rows: Vec<(N, T)> = all.filter(|(found, _)| is_meant(found.as_ref())).collect();
    rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let total = Some(rows.len() as u64);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = rows.last().filter(|_| more).map(|(last, _)| Cursor::Name(last.as_ref().into()));
    Page { rows, cursor, total }
}

pub(super) fn rows(limit: usize) -> usize {
    if limit == 0 { PAGE_ROWS_DEFAULT } else { limit.min(PAGE_ROWS_MAX) }
}
