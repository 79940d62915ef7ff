//! Select: which jobs a selector finds, in order of seq, through the indexes there are; and pages of
//! them. Every look at a job is counted by whoever looks, so that no turn grows with the broker.

use crate::command::{Fields, JobsQuery, Select};
use crate::engine::Engine;
use crate::fingerprint::fingerprint;
use crate::flow::EdgeState;
use crate::frame::{Cursor, Rows};
use crate::ids::{JobId, NameId, Seq};
use crate::ledger::job::{Job, State};
use crate::ledger::names::Name;
use crate::limits::{PAGE_BYTES_MAX, PAGE_SCAN_MAX};
use crate::part::{Part, PartKey, Slot};
use crate::roster::seqs::Seqs;
use crate::verbs::query::rows;
use crate::view::{FlowView, JobView, LeaseView};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a note of the history counts as before it is read.
const NOTE_BYTES: usize = 1_024;

impl Engine {
    pub(super) fn jobs_page(&self, namespace: NameId, query: &JobsQuery) -> Rows {
        let mut page = Rows { total: self.count_selected(namespace, &query.select), ..Rows::default() };
        let (limit, mut last, mut bytes) = (rows(query.limit), None, 0);
        let mut found = self.candidates(namespace, &query.select, query.after, query.newest_first);
        for seq in found.by_ref().take(PAGE_SCAN_MAX) {
            last = Some(seq);
            if let Some(job) = self.selected(namespace, &query.select, seq) {
                let view = self.job_view(job, query.fields);
                bytes += shown_bytes(job, query.fields) + 16 * view.flow.after.len();
                page.jobs.push(view);
            }
            if page.jobs.len() == limit || bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        page.cursor = last.filter(|_| found.next().is_some()).map(Cursor::Seq);
        page
    }

    /// The job, if the selector means it.
    pub(super) fn selected(&self, namespace: NameId, select: &Select, seq: Seq) -> Option<&Job> {
        let job = self.ledger.jobs.get(seq)?;
        let is_meant = job.namespace == namespace
            && select.states.contains(job.state)
            && (select.group.is_none() || self.is_member(job, select.group))
            && (select.ids.is_none() && select.group.is_none() || self.is_queue(job, &select.queue))
            && select.filter.holds(&self.ledger, job);
        is_meant.then_some(job)
    }

    fn is_member(&self, job: &Job, group: Option<JobId>) -> bool {
        let of = job.plan.as_ref().map_or(0, |plan| plan.group);
        self.ledger.groups.get(&of).map(|row| row.group.id) == group
    }

    fn is_queue(&self, job: &Job, queue: &str) -> bool {
        queue.is_empty() || self.ledger.names.text(job.queue) == queue
    }

    /// How many jobs a selector finds, where an index tells it.
    pub(super) fn count_selected(&self, namespace: NameId, select: &Select) -> Option<u64> {
        if let Some(group) = select.group {
            let alone = Select { group: Some(group), ..Select::default() };
            return (*select == alone).then(|| self.members(namespace, group).map_or(0, Seqs::len) as u64);
        }
        let known = select.ids.is_none() && select.filter.clauses.is_empty();
        known.then(|| self.sets(namespace, select).iter().map(|set| set.len() as u64).sum())
    }

    /// The jobs that a selector may mean, after (or before) one of them, in order.
    pub(super) fn candidates<'a>(
        &'a self,
        namespace: NameId,
        select: &Select,
        after: Option<Seq>,
        newest_first: bool,
    ) -> Box<dyn Iterator<Item = Seq> + 'a> {
        if let (Some(group), None) = (select.group, &select.ids) {
            let members: Vec<&Seqs> = self.members(namespace, group).into_iter().collect();
            return Box::new(merged(&members, after, newest_first));
        }
        let Some(ids) = &select.ids else {
            return Box::new(merged(&self.sets(namespace, select), after, newest_first));
        };
        let found = ids.iter().filter_map(|id| Some(self.find(namespace, *id)?.seq));
        let mut seqs: Vec<Seq> = match newest_first {
            true => found.filter(|seq| after.is_none_or(|after| *seq < after)).collect(),
            false => found.filter(|seq| after.is_none_or(|after| *seq > after)).collect(),
        };
        seqs.sort_unstable();
        seqs.dedup();
        if newest_first {
            seqs.reverse();
        }
        Box::new(seqs.into_iter())
    }

    fn members(&self, namespace: NameId, group: JobId) -> Option<&Seqs> {
        self.roster.flows.members(self.roster.flows.group(namespace, group)?)
    }

    /// The index sets that hold what a selector means.
    fn sets(&self, namespace: NameId, select: &Select) -> Vec<&Seqs> {
        let named = self.ledger.names.find(&Name::Queue(namespace, select.queue.clone()));
        let all = select.queue.is_empty();
        let states = || State::ALL.into_iter().filter(|state| select.states.contains(*state));
        self.roster
            .queues
            .iter()
            .filter(|&(&queue, _)| if all { self.is_in(namespace, queue) } else { named == Some(queue) })
            .flat_map(|(_, index)| states().map(|state| &index.states[state.index()]))
            .filter(|set| !set.is_empty())
            .collect()
    }

    fn is_in(&self, namespace: NameId, queue: NameId) -> bool {
        matches!(self.ledger.names.get(queue), Some(Name::Queue(of, _)) if *of == namespace)
    }

    fn flow_view(&self, job: &Job) -> FlowView {
        let groups = &self.ledger.groups;
        let of = job.plan.as_ref().map_or(0, |plan| plan.group);
        FlowView {
            after: self.awaited(job),
            group: groups.get(&of).map(|row| row.group.id),
            counts: groups.get(&job.seq).map(|row| row.group.clone()),
        }
    }

    /// The jobs that it still waits for.
    fn awaited(&self, job: &Job) -> Vec<JobId> {
        if !self.roster.flows.waits(job.seq) {
            return Vec::new();
        }
        let open = self.ledger.after(job.seq).filter(|edge| edge.state == EdgeState::Open);
        open.map(|edge| edge.id).collect()
    }

    pub(super) fn job_view(&self, job: &Job, fields: Fields) -> JobView {
        let (names, policies) = (&self.ledger.names, self.ledger.policies(job));
        let shown = |is_asked: bool, slot: Slot| if is_asked { slot } else { Slot::Empty };
        let note = |version| Slot::Part(PartKey { seq: job.seq, part: Part::History, version });
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
            max_attempts: policies.max_attempts(),
            deliveries: job.deliveries,
            crashes: job.crashes,
            max_crashes: policies.max_crashes(),
            snoozes: job.snoozes,
            cost: policies.cost(),
            lease: job.lease.as_ref().map(|lease| LeaseView {
                fence: job.fence,
                session: lease.session,
                worker: self.worker(lease.session),
                leased_at: lease.leased_at,
                ends_at: lease.ends_at,
                cancel_asked: lease.is_cancelled(),
            }),
            ended: job.ended.as_ref().map(|ended| (ended.end.at, ended.end.remove_at)),
            dead: job.ended.as_ref().and_then(|ended| ended.reason),
            error: names.error(job.error).map(|(kind, shape)| fingerprint(kind, shape)),
            result_dropped: job.ended.as_ref().is_some_and(|ended| ended.result_dropped || ended.emptied),
            flow: if job.plan.is_some() { self.flow_view(job) } else { FlowView::default() },
            dedup_key: self.ledger.claims.get(&job.seq).map(|row| row.claim.key.clone()).unwrap_or_default(),
            schedule: names.text(job.schedule()).into(),
            tick: if fields.headers { job.tick() } else { 0 },
            payload_len: job.payload_len,
            payload: shown(fields.payload, job.payload()),
            headers: shown(fields.headers, job.headers()),
            result: shown(fields.result, job.result()),
            progress: self.progress_of(job),
            note: self.note_of(job, fields),
            history: if fields.history { job.history().map(note).collect() } else { Vec::new() },
        }
    }
}

/// About how many bytes of variable size a page shows of a job.
fn shown_bytes(job: &Job, fields: Fields) -> usize {
    let if_asked = |is_asked: bool, bytes: u32| if is_asked { bytes as usize } else { 0 };
    let result = job.ended.as_ref().map_or(0, |ended| ended.result_len);
    if_asked(fields.payload, job.payload_len)
        + if_asked(fields.headers, job.headers_len)
        + if_asked(fields.result, result)
        + if fields.history { job.history().len() * NOTE_BYTES } else { 0 }
}

/// The jobs of several ordered sets, in one order.
fn merged<'a>(
    sets: &[&'a Seqs],
    after: Option<Seq>,
    newest_first: bool,
) -> impl Iterator<Item = Seq> + use<'a> {
    type Rest<'a> = Box<dyn Iterator<Item = Seq> + 'a>;
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
