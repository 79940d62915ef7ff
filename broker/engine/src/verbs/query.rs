//! Query: reads. A page is bounded in rows and in jobs looked at; its cursor is stable.

use crate::command::{Code, JobsQuery, Query, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::ResourceKey;
use crate::frame::{Body, Cursor, Rows};
use crate::ids::{JobId, Ms, NameId, Seq, SessionId};
use crate::ledger::job::{Job, State};
use crate::ledger::names::Name;
use crate::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, PAGE_SCAN_MAX};
use crate::part::{Part, PartKey, Slot};
use crate::roster::seqs::Seqs;
use crate::view::{DiskView, JobView, LeaseView, QueueView, ServerView, SessionView};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

impl Engine {
    pub(crate) fn query(&mut self, asker: Asker, query: Query, turn: &mut Turn) {
        let rows = match query {
            Query::Job(id) => self.one_job(asker.namespace, id),
            Query::Jobs(query) => Ok(self.jobs_page(asker.namespace, &query)),
            Query::Queues { name, after, limit } => Ok(self.queues_page(asker, &name, &after, rows(limit))),
            Query::Sessions { after, limit } => Ok(self.sessions_page(asker, after, rows(limit))),
            Query::Server => Ok(Rows { server: Some(Box::new(self.server(asker.now))), ..Rows::default() }),
        };
        match rows {
            Ok(rows) => turn.say(asker.from, Body::Rows(rows)),
            Err(refusal) => turn.refuse(asker.from, refusal),
        }
    }

    fn one_job(&self, namespace: NameId, id: JobId) -> Result<Rows, Refusal> {
        let job = self.find(namespace, id).ok_or_else(|| {
            Refusal::new(Code::NotFound, "select.ids", "no such job; it may have been removed")
        })?;
        let mut view = self.job_view(job);
        view.payload = job.payload();
        view.headers = job.headers();
        view.result = job.result();
        view.history = job
            .history()
            .map(|version| Slot::Part(PartKey { seq: job.seq, part: Part::History, version }))
            .collect();
        Ok(Rows { jobs: [view].into(), total: Some(1), ..Rows::default() })
    }

    fn jobs_page(&self, namespace: NameId, query: &JobsQuery) -> Rows {
        let wanted = |job: &&Job| {
            job.namespace == namespace
                && (query.kind.is_empty() || self.ledger.names.text(job.kind) == query.kind)
                && (query.key.is_empty() || self.ledger.names.text(job.key) == query.key)
        };
        let sets = self.sets(namespace, query);
        let mut page = Rows::default();
        if query.kind.is_empty() && query.key.is_empty() {
            page.total = Some(sets.iter().map(|set| set.len() as u64).sum());
        }
        let (limit, mut last) = (rows(query.limit), None);
        for seq in merged(&sets, query).take(PAGE_SCAN_MAX) {
            if page.jobs.len() == limit {
                break;
            }
            last = Some(seq);
            page.jobs.extend(self.ledger.jobs.get(seq).filter(wanted).map(|job| self.job_view(job)));
        }
        let rest = JobsQuery { after: last, newest_first: query.newest_first, ..JobsQuery::default() };
        page.cursor = last.filter(|_| merged(&sets, &rest).next().is_some()).map(Cursor::Seq);
        page
    }

    /// The index sets that hold what a query asks for.
    fn sets(&self, namespace: NameId, query: &JobsQuery) -> Vec<&Seqs> {
        let asked = |state: &State| query.states.is_empty() || query.states.contains(state);
        let states: Vec<State> = State::ALL.into_iter().filter(asked).collect();
        let named = self.ledger.names.find(&Name::Queue(namespace, query.queue.clone()));
        let all = query.queue.is_empty();
        self.roster
            .queues
            .iter()
            .filter(|&(&queue, _)| if all { self.is_in(namespace, queue) } else { named == Some(queue) })
            .flat_map(|(_, index)| {
                states.iter().map(|state| &index.states[state.index()]).collect::<Vec<_>>()
            })
            .filter(|set| !set.is_empty())
            .collect()
    }

    fn is_in(&self, namespace: NameId, queue: NameId) -> bool {
        matches!(self.ledger.names.get(queue), Some(Name::Queue(of, _)) if *of == namespace)
    }

    fn queues_page(&self, asker: Asker, name: &str, after: &str, limit: usize) -> Rows {
        let mut named: Vec<(&str, NameId)> = self
            .ledger
            .names
            .iter()
            .filter_map(|(id, _, row)| match row {
                Name::Queue(of, text) if *of == asker.namespace => Some((text.as_str(), id)),
                Name::Queue(..)
                | Name::Namespace(_)
                | Name::Kind(..)
                | Name::Key(..)
                | Name::Terms(_)
                | Name::Gate(_) => None,
            })
            .filter(|&(text, _)| text > after && (name.is_empty() || text == name))
            .collect();
        named.sort_unstable();
        let total = Some(named.len() as u64);
        let more = named.len() > limit;
        named.truncate(limit);
        let cursor = named.last().filter(|_| more).map(|&(text, _)| Cursor::Name(text.into()));
        let queues = named.into_iter().map(|(_, id)| self.queue_view(id, asker.now)).collect();
        Rows { queues, cursor, total, ..Rows::default() }
    }

    fn queue_view(&self, queue: NameId, now: Ms) -> QueueView {
        let oldest = self.roster.oldest(queue, State::Ready).and_then(|seq| self.ledger.jobs.get(seq));
        let conf = self.ledger.resources.get(&ResourceKey::Queue(queue));
        QueueView {
            name: self.ledger.names.text(queue).into(),
            counts: State::ALL.map(|state| self.roster.count(queue, state) as u64),
            totals: self.ledger.totals.get(&queue).map(|row| row.totals).unwrap_or_default(),
            paused: self.ledger.paused(queue).map(Into::into),
            oldest_ready_ms: oldest.map_or(0, |job| now.saturating_sub(job.run_at.max(job.created_at))),
            waiting_streams: self.roster.streams.waiting_on(queue) as u64,
            conf: conf.map(|row| (row.version, row.body.clone())),
        }
    }

    fn sessions_page(&self, asker: Asker, after: Option<SessionId>, limit: usize) -> Rows {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut ids: Vec<SessionId> = self
            .ledger
            .sessions
            .range((start, Bound::Unbounded))
            .filter(|(_, row)| row.session.namespace == asker.namespace)
            .map(|(&id, _)| id)
            .take(limit + 1)
            .collect();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let cursor = ids.last().filter(|_| more).map(|&id| Cursor::Session(id));
        let sessions = ids.into_iter().filter_map(|id| self.session_view(id, asker.now)).collect();
        Rows { sessions, cursor, ..Rows::default() }
    }

    fn session_view(&self, id: SessionId, now: Ms) -> Option<SessionView> {
        let row = &self.ledger.sessions.get(&id)?.session;
        let presence = self.roster.sessions.get(&id)?;
        let streams = || presence.conns.iter().flat_map(|&conn| self.roster.streams.of_conn(conn));
        let texts = |ids: BTreeSet<NameId>| -> Vec<String> {
            ids.into_iter().map(|id| self.ledger.names.text(id).into()).collect()
        };
        Some(SessionView {
            id,
            client: row.client.clone(),
            host: row.host.clone(),
            pid: row.pid,
            labels: row.labels.clone(),
            since: row.at,
            silent_ms: now.saturating_sub(presence.last_sign),
            leases: presence.leases.len() as u64,
            connections: presence.conns.len() as u64,
            streams: presence.streams,
            slots: streams().map(|stream| u64::from(stream.slots)).sum(),
            queues: texts(streams().flat_map(|stream| stream.queues.iter().copied()).collect()),
            kinds: texts(streams().flat_map(|stream| stream.kinds.iter().copied()).collect()),
            beat: presence.beat.clone(),
        })
    }

    fn server(&self, now: Ms) -> ServerView {
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

    fn job_view(&self, job: &Job) -> JobView {
        let names = &self.ledger.names;
        JobView {
            id: job.id,
            seq: job.seq,
            queue: names.text(job.queue).into(),
            kind: names.text(job.kind).into(),
            key: names.text(job.key).into(),
            state: job.state,
            level: job.level,
            policy: names.policy(job.terms).cloned().unwrap_or_default(),
            tags: names.terms(job.terms).map(|terms| terms.tags.clone()).unwrap_or_default(),
            expires_at: job.expires_at(),
            created_at: job.created_at,
            run_at: job.run_at,
            attempt: job.attempt,
            max_attempts: self.ledger.max_attempts(job),
            deliveries: job.deliveries,
            crashes: job.crashes,
            max_crashes: self.ledger.max_crashes(job),
            snoozes: job.snoozes,
            cost: self.ledger.cost(job),
            lease: job.lease.as_ref().map(|lease| LeaseView {
                fence: job.fence,
                session: lease.session,
                worker: self.worker(lease.session),
                leased_at: lease.leased_at,
                ends_at: lease.ends_at,
                cancel_asked: lease.revoke_at > 0,
            }),
            ended: job.ended.as_ref().map(|ended| (ended.end.at, ended.end.remove_at)),
            dead: job.ended.as_ref().and_then(|ended| ended.reason),
            result_dropped: job.ended.as_ref().is_some_and(|ended| ended.result_dropped),
            payload_len: job.payload_len,
            payload: Slot::Empty,
            headers: Slot::Empty,
            result: Slot::Empty,
            history: Vec::new(),
        }
    }
}

fn rows(limit: usize) -> usize {
    if limit == 0 { PAGE_ROWS_DEFAULT } else { limit.min(PAGE_ROWS_MAX) }
}

/// The jobs of several ordered sets after a query's cursor, in one order.
fn merged<'a>(sets: &[&'a Seqs], query: &JobsQuery) -> impl Iterator<Item = Seq> + 'a {
    type Rest<'a> = Box<dyn Iterator<Item = Seq> + 'a>;
    let (after, newest_first) = (query.after, query.newest_first);
    let mut heads: BTreeMap<Seq, Rest<'a>> = BTreeMap::new();
    for set in sets {
        let mut rest: Rest<'a> =
            if newest_first { Box::new(set.before(after)) } else { Box::new(set.after(after)) };
        if let Some(seq) = rest.next() {
            heads.insert(seq, rest);
        }
    }
    core::iter::from_fn(move || {
        let (seq, mut rest) = if newest_first { heads.pop_last()? } else { heads.pop_first()? };
        if let Some(next) = rest.next() {
            heads.insert(next, rest);
        }
        Some(seq)
    })
}
