//! Explain: why a job is not running. The broker owns all that could keep it, so the answer is exact.

use crate::command::Refusal;
use crate::engine::{Asker, Engine};
use crate::flow::EdgeState;
use crate::frame::Rows;
use crate::ids::{JobId, Ms};
use crate::ledger::job::{Job, State};
use crate::roster::limits::{Admission, Bucket, BucketId};
use crate::roster::queue::spot;
use crate::roster::stream::{Stream, StreamKey};
use crate::view::{Cause, ExplainView, LimitCause};
use alloc::vec::Vec;

/// Jobs that are named of those that one waits for.
const SHOWN_MAX: usize = 10;
/// Members of a group that are looked at to find some that have not ended.
const LOOKS_MAX: usize = 10_000;

impl Engine {
    pub(crate) fn explain(&self, asker: Asker, id: JobId) -> Result<Rows, Refusal> {
        let job = self.asked_for(asker, id)?;
        let causes = match job.state {
            State::Scheduled => {
                [Cause::Scheduled { for_ms: job.run_at.saturating_sub(asker.now), attempt: job.attempt }]
                    .into()
            }
            State::Held => core::iter::once(Cause::Held).chain(self.blocked_causes(job)).collect(),
            State::Blocked => self.blocked_causes(job),
            State::Ready => self.why_ready(job, asker.now),
            State::Leased | State::Completed | State::Dead | State::Cancelled | State::Expired => Vec::new(),
        };
        let view = ExplainView { id: job.id, state: job.state, causes, since: since(job) };
        Ok(Rows { explains: [view].into(), total: Some(1), ..Rows::default() })
    }

    /// Others have to end first.
    fn blocked_causes(&self, job: &Job) -> Vec<Cause> {
        let mut causes = Vec::new();
        let holder = self.roster.claims.holder_before(job.seq).and_then(|seq| self.ledger.jobs.get(seq));
        if let Some(holder) = holder {
            causes.push(Cause::Blocked { open: 1, of: 1, ids: [holder.id].into(), is_group: false });
        }
        let tally = self.ledger.tally(job.seq);
        if self.roster.flows.waits(job.seq) {
            let open = self.ledger.after(job.seq).filter(|edge| edge.state == EdgeState::Open);
            let ids = open.map(|edge| edge.id).take(SHOWN_MAX).collect();
            let of = u64::from(tally.open + tally.met + tally.failed);
            causes.push(Cause::Blocked { open: tally.open.into(), of, ids, is_group: false });
        }
        if let Some(row) = self.ledger.groups.get(&job.seq).filter(|row| row.group.open() > 0) {
            let members = self.roster.flows.members(job.seq).into_iter().flat_map(|set| set.after(None));
            let open = members.take(LOOKS_MAX).filter_map(|member| self.ledger.jobs.get(member));
            let open = open.filter(|member| !member.state.is_final());
            let ids = open.map(|member| member.id).take(SHOWN_MAX).collect();
            let (open, of) = (row.group.open(), row.group.total);
            causes.push(Cause::Blocked { open, of, ids, is_group: true });
        }
        causes
    }

    /// What keeps a ready job, the strongest first: what keeps it whatever workers there are, then who
    /// could take it, then who goes before it.
    fn why_ready(&self, job: &Job, now: Ms) -> Vec<Cause> {
        let mut causes = Vec::new();
        if !self.may_lease() {
            causes.push(Cause::Draining);
        }
        if let Some(cause) = self.serial_cause(job, now) {
            causes.push(cause);
        }
        for id in self.roster.limits.claims(&self.ledger.names, job) {
            causes.extend(self.limit_cause(id, job, now));
        }
        causes.extend(self.worker_cause(job));
        if causes.is_empty()
            && let Some(cause) = self.order_cause(job)
        {
            causes.push(cause);
        }
        causes
    }

    /// Another job of its key runs, or waits, before it.
    fn serial_cause(&self, job: &Job, now: Ms) -> Option<Cause> {
        let index = self.roster.queues.get(&job.queue).filter(|_| job.is_serial())?;
        let first = index.serials.first(job.key).filter(|&seq| seq != job.seq)?;
        let first = self.ledger.jobs.get(first)?;
        Some(Cause::Serial {
            key: self.ledger.names.text(job.key).into(),
            behind: first.id,
            state: first.state,
            running_ms: first.lease.as_ref().map_or(0, |lease| now.saturating_sub(lease.leased_at)),
            ahead: index.serials.before(job) as u64,
        })
    }

    fn limit_cause(&self, id: BucketId, job: &Job, now: Ms) -> Option<Cause> {
        let limit = self.roster.limits.get(id.limit)?;
        let (admission, is_full) = self.roster.limits.would_admit(id, self.ledger.cost(job), now);
        let bucket = self.roster.limits.find(id);
        let index = self.roster.queues.get(&job.queue);
        let is_retry = index.is_some_and(|index| index.aside.get(&job.seq) == Some(&id));
        let opens_at = match admission {
            Admission::Free if !is_retry => return None,
            Admission::Free => None,
            Admission::Closed { opens_at } => opens_at.filter(|_| !limit.is_pause()),
        };
        let retries = bucket.and_then(|bucket| bucket.retries.as_ref()).filter(|_| is_retry);
        let opens_at = opens_at.max(retries.map(|retries| retries.timer_at));
        // A limit that ends lets everything pass.
        let ends_at = Some(limit.until_at).filter(|&at| at > 0);
        let opens_at = opens_at.into_iter().chain(ends_at).min();
        let by_breaker = |bucket: &Bucket| bucket.breaker.open_until > 0;
        Some(Cause::Limit(LimitCause {
            name: self.ledger.names.text(id.limit).into(),
            key: if limit.per_key { self.ledger.names.text(job.key).into() } else { "".into() },
            is_pause: limit.is_pause(),
            is_pushed_back: bucket.is_some_and(|bucket| bucket.pushed_back_until > now),
            is_broken: bucket.is_some_and(by_breaker),
            is_retry,
            is_full,
            why: limit.why.clone(),
            in_use: bucket.map_or(0, |bucket| bucket.in_use),
            concurrency: limit.concurrency,
            rate: (limit.rate, limit.per_ms),
            for_ms: opens_at.map_or(0, |at| at.saturating_sub(now)),
        }))
    }

    /// Nobody could take it, or everybody who could is busy.
    fn worker_cause(&self, job: &Job) -> Option<Cause> {
        let runs = |stream: &Stream| {
            stream.sources.contains(job.queue)
                && (stream.kinds.is_empty() || stream.kinds.contains(&job.kind))
        };
        let able: Vec<(&StreamKey, &Stream)> =
            self.roster.streams.open.iter().filter(|(_, stream)| runs(stream)).collect();
        if able.is_empty() {
            let names = &self.ledger.names;
            let (queue, kind) = (names.text(job.queue).into(), names.text(job.kind).into());
            return Some(Cause::NoWorker { queue, kind });
        }
        let mut labelled: Vec<_> =
            able.iter().filter(|(_, stream)| self.passes(stream.session, job.gate)).collect();
        if labelled.is_empty() {
            let gate = self.ledger.names.gate(job.gate)?;
            return Some(Cause::NoLabels { labels: gate.need_labels.clone() });
        }
        let is_quiet = |stream: &Stream| {
            self.roster.sessions.get(&stream.session).is_some_and(|presence| presence.quiet)
        };
        if labelled.iter().all(|(_, stream)| is_quiet(stream)) {
            return Some(Cause::Quiet { workers: labelled.len() as u64 });
        }
        // Room that takes no more jobs is none.
        labelled.retain(|(_, stream)| !is_quiet(stream));
        let cost = self.ledger.cost(job);
        let has_room = |key: &StreamKey, stream: &Stream| stream.has_room(cost) && !self.is_shut(*key);
        if labelled.iter().any(|(key, stream)| has_room(key, stream)) && !job.is_suspect() {
            return None;
        }
        let slots = labelled.iter().map(|(_, stream)| u64::from(stream.slots)).sum();
        Some(if job.is_suspect() {
            Cause::Suspect { crashes: job.crashes }
        } else {
            Cause::NoSlots { workers: labelled.len() as u64, slots, cost }
        })
    }

    /// Others go before it.
    fn order_cause(&self, job: &Job) -> Option<Cause> {
        let index = self.roster.queues.get(&job.queue)?;
        let (ahead, lanes, higher) = index.lanes.ahead(spot(job));
        (ahead + lanes + higher > 0).then_some(Cause::Behind {
            ahead: ahead as u64,
            lanes: lanes as u64,
            higher: higher as u64,
            level: job.level,
        })
    }
}

/// Since when the job stands where it does, as far as its head tells.
fn since(job: &Job) -> Ms {
    match (&job.lease, &job.ended) {
        (Some(lease), _) => lease.leased_at,
        (None, Some(ended)) => ended.end.at,
        (None, None) if job.state == State::Ready => job.run_at.max(job.created_at),
        (None, None) => job.created_at,
    }
}
