//! A naive broker: plain lists, searched from end to end, and the rules written down a second
//! time. What a history does to it must be what it does to the engine.

mod session;
mod stream;

pub(crate) use stream::Stream;

use crate::allowance::Allowance;
use crate::flows::{Dependency, Flows};
use crate::orders::Orders;
use crate::unique::{Answer, Claim, Did};
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::command::{Fetch, How, JobSpec, Wishes};
use windlass_engine::fact::{Overrun, Totals};
use windlass_engine::frame::SettleCode;
use windlass_engine::ids::{ConnId, JobId, Ms, Request, Seq, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::ledger::tables::Until;

/// A job, as the rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    pub(crate) seq: Seq,
    pub(crate) level: u8,
    pub(crate) state: State,
    pub(crate) run_at: Ms,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) snoozes: u32,
    pub(crate) deliveries: u32,
    pub(crate) fence: u64,
    pub(crate) settled: bool,
    /// When its hold ends by itself.
    pub(crate) hold_until: Ms,
    /// Bytes of its payload.
    pub(crate) payload: u64,
    /// Bytes of its result.
    pub(crate) result: u64,
    /// When it ended.
    pub(crate) ended_at: Ms,
    /// What it held was let go.
    pub(crate) emptied: bool,
    /// When it expires if it has not started by then; 0 = never.
    pub(crate) expires_at: Ms,
    /// An operator gave it one more run than its attempts allow.
    pub(crate) retried: bool,
    pub(crate) lease: Option<Lease>,
    /// When it is removed, once it has ended.
    pub(crate) remove_at: Ms,
    /// How it failed last.
    pub(crate) error: Option<&'static str>,
    /// What it waits for, or waited for.
    pub(crate) after: Vec<Dependency>,
    /// The group that it counts into.
    pub(crate) group: Option<Seq>,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) session: SessionId,
    pub(crate) leased_at: Ms,
    /// 0 = it lives with its session.
    pub(crate) ends_at: Ms,
    pub(crate) revoke_at: Ms,
    pub(crate) stream: Option<Request>,
    /// It was asked to stop because it broke what it is held to.
    pub(crate) overran: Option<Overrun>,
    /// When its time is up by its own count; 0 = never.
    pub(crate) up_at: Ms,
    /// When the broker says that it is up; 0 = never.
    pub(crate) timeout_at: Ms,
    pub(crate) stall_ms: Ms,
    /// When it has stalled unless it is touched; 0 = never.
    pub(crate) stall_at: Ms,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) ttl: Ms,
    pub(crate) last_sign: Ms,
    pub(crate) hangup_at: Ms,
    pub(crate) conns: BTreeSet<ConnId>,
    pub(crate) seen: bool,
}

/// All that a broker knows.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) jobs: Vec<Job>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) streams: BTreeMap<Request, Stream>,
    pub(crate) allowance: Allowance,
    pub(crate) orders: Orders,
    pub(crate) choked: BTreeSet<ConnId>,
    /// Removed jobs, when.
    pub(crate) removed: BTreeMap<JobId, (Ms, u64)>,
    pub(crate) totals: BTreeMap<String, Totals>,
    /// Completed jobs that a queue keeps.
    pub(crate) keep_max: BTreeMap<String, usize>,
    /// Most bytes of ended jobs that a queue keeps.
    pub(crate) keep_bytes: BTreeMap<String, u64>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) flows: Flows,
    pub(crate) picks: BTreeMap<String, u64>,
    /// How many streams were opened that draw by weight.
    pub(crate) weighted: u64,
    pub(crate) last_fence: u64,
    pub(crate) last_seq: Seq,
    pub(crate) started_at: Ms,
    pub(crate) unclean: bool,
    /// Requests whose last frame must come with this turn.
    pub(crate) ends: BTreeSet<Request>,
    /// Where the engine's jitter put the retries of this turn.
    pub(crate) returns: BTreeMap<Seq, Ms>,
}

/// What a job of a history asks for; each one has wishes.
pub(crate) fn wishes(spec: &JobSpec) -> &Wishes {
    spec.wishes.as_ref().expect("histories wish something")
}

impl Job {
    pub(crate) fn wishes(&self) -> &Wishes {
        wishes(&self.spec)
    }

    pub(crate) fn cost(&self) -> u32 {
        self.wishes().terms.policy.cost.unwrap_or(1)
    }

    pub(crate) fn max_attempts(&self) -> u32 {
        self.wishes().terms.policy.max_attempts.unwrap_or(20)
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.crashes >= 2
    }

    pub(crate) fn is_to_stop(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_cancelled)
    }

    /// It counts against the number of completed jobs its queue keeps.
    fn is_countable(&self) -> bool {
        self.state == State::Completed && self.wishes().terms.policy.keep_done_ms.is_none()
    }

    pub(crate) fn wait(&mut self, run_at: Ms, now: Ms) {
        (self.lease, self.result) = (None, 0);
        self.run_at = run_at;
        self.state = if run_at > now { State::Scheduled } else { State::Ready };
    }

    pub(crate) fn end(&mut self, state: State, settled: bool, now: Ms) {
        let policy = &self.wishes().terms.policy;
        let keep = match state {
            State::Dead => policy.keep_dead_ms.unwrap_or(14 * 86_400_000),
            _ => policy.keep_done_ms.unwrap_or(3_600_000),
        };
        (self.lease, self.state, self.settled, self.remove_at) = (None, state, settled, now + keep);
        self.ended_at = now;
    }
}
impl Model {
    pub(crate) fn job(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.spec.id == id)
    }

    pub(crate) fn leases(&self, session: SessionId) -> impl Iterator<Item = (&Job, &Lease)> {
        let leased = self.jobs.iter().filter_map(|job| Some((job, job.lease.as_ref()?)));
        leased.filter(move |(_, lease)| lease.session == session)
    }

    pub(crate) fn held(&self, stream: Request) -> u32 {
        let leased =
            self.jobs.iter().filter(|job| job.lease.as_ref().is_some_and(|l| l.stream == Some(stream)));
        leased.map(Job::cost).sum()
    }

    pub(crate) fn total(&mut self, queue: &str) -> &mut Totals {
        self.totals.entry(queue.into()).or_default()
    }

    // ------------------------------------------------------------------ sessions

    pub(crate) fn open(&mut self, key: Request, session: SessionId, fetch: &Fetch, now: Ms) {
        self.weighted += u64::from(!fetch.weights.is_empty());
        let stream = Stream {
            session,
            batch: fetch.batch,
            labels: self.orders.labels(session),
            is_over: false,
            turns: Stream::turns(&fetch.queues, &fetch.weights, self.weighted),
            queues: fetch.queues.clone(),
            kinds: fetch.kinds.clone(),
            slots: fetch.slots,
            lease_ms: fetch.lease_ms.unwrap_or(0),
            poll: (fetch.once > 0).then(|| (fetch.once, now + fetch.wait_ms.max(1))),
        };
        if stream.poll.is_none() {
            for job in &mut self.jobs {
                let fits = stream.fetches(job);
                if let Some(lease) = &mut job.lease
                    && (lease.session, lease.stream) == (session, None)
                    && fits
                {
                    lease.stream = Some(key);
                }
            }
        }
        self.streams.insert(key, stream);
    }

    pub(crate) fn end_stream(&mut self, key: Request) {
        if self.streams.remove(&key).is_some() {
            self.ends.insert(key);
            self.unbind();
        }
    }

    fn end_streams_of(&mut self, conn: ConnId) {
        let keys: Vec<Request> = self.streams.keys().filter(|key| key.conn == conn).copied().collect();
        keys.into_iter().for_each(|key| self.end_stream(key));
    }

    fn end_streams(&mut self, session: SessionId) {
        let conns = self.sessions.get(&session).map(|session| session.conns.clone()).unwrap_or_default();
        conns.into_iter().for_each(|conn| self.end_streams_of(conn));
    }

    /// Leases of streams that are gone belong to none.
    fn unbind(&mut self) {
        for lease in self.jobs.iter_mut().filter_map(|job| job.lease.as_mut()) {
            lease.stream = lease.stream.filter(|key| self.streams.contains_key(key));
        }
    }

    // ------------------------------------------------------------------ jobs

    pub(crate) fn enqueue(&mut self, spec: &JobSpec, now: Ms) -> Answer {
        if let Some(job) = self.job(spec.id) {
            return (spec.id, Did::Duplicate, Some(job.state));
        }
        if self.removed.get(&spec.id).is_some_and(|(at, _)| now < at + 600_000) {
            return (spec.id, Did::Duplicate, None);
        }
        self.removed.remove(&spec.id);
        match &wishes(spec).dedup {
            Some(dedup) => self.enqueue_unique(spec, dedup, now),
            None => self.store(spec, now),
        }
    }

    pub(crate) fn store(&mut self, spec: &JobSpec, now: Ms) -> Answer {
        self.last_seq += 1;
        self.total(&spec.queue).enqueued += 1;
        let ttl = wishes(spec).terms.policy.ttl_ms.filter(|&ttl| ttl > 0).map(|ttl| now + ttl);
        let given = Some(wishes(spec).expires_at).filter(|&at| at > 0);
        let expires_at = ttl.into_iter().chain(given).min().unwrap_or(0);
        let run_at = spec.run_at.max(now);
        let state = match wishes(spec).hold {
            Some(_) => State::Held,
            None if run_at > now => State::Scheduled,
            None => State::Ready,
        };
        self.jobs.push(Job {
            hold_until: wishes(spec).hold.map_or(0, |hold| now + hold.ttl_ms.max(1)),
            payload: spec.payload.len() as u64,
            result: 0,
            ended_at: 0,
            emptied: false,
            spec: spec.clone(),
            seq: self.last_seq,
            level: wishes(spec).terms.policy.priority.unwrap_or(4),
            state,
            run_at,
            attempt: 0,
            crashes: 0,
            snoozes: 0,
            deliveries: 0,
            fence: 0,
            settled: false,
            retried: false,
            expires_at,
            lease: None,
            remove_at: 0,
            error: None,
            after: Vec::new(),
            group: None,
        });
        let state = self.start_flow(now);
        (spec.id, Did::Created, Some(state))
    }

    /// It was removed longer ago than the idempotency window.
    pub(crate) fn is_forgotten(&self, id: JobId, now: Ms) -> bool {
        let known = self.jobs.iter().any(|job| job.spec.id == id);
        !known && self.removed.get(&id).is_some_and(|(at, _)| now >= at + 600_000)
    }

    /// Whether a session may still speak for a lease.
    pub(crate) fn code(&mut self, session: SessionId, id: JobId, fence: u64) -> SettleCode {
        let Some(job) = self.job(id) else {
            return match self.removed.get(&id) {
                Some(&(_, settled)) if settled > 0 && settled == fence => SettleCode::AlreadySettled,
                Some(_) => SettleCode::LeaseLost,
                None => SettleCode::UnknownJob,
            };
        };
        match &job.lease {
            Some(lease) if lease.session == session && job.fence == fence => SettleCode::Settled,
            None if job.fence == fence && job.settled => SettleCode::AlreadySettled,
            _ => SettleCode::LeaseLost,
        }
    }

    /// `run_at` is where the engine's jitter put a retry.
    pub(crate) fn settle(&mut self, id: JobId, how: &How, run_at: Ms, now: Ms) {
        let Some(job) = self.job(id) else { return };
        let (stop, overran) = (job.is_to_stop(), job.overran().is_some());
        match how {
            How::Complete(result) => {
                job.result = result.len() as u64;
                self.complete(id, now);
            }
            _ if overran => self.fail_overrun(id, Some(how), now),
            How::Cancelled { .. } => self.cancelled(id, true, now),
            How::Fail { .. } | How::Release { .. } if stop => self.cancelled(id, true, now),
            How::Fail { fatal, retry_after_ms, error } => {
                job.error = Some(if error.message.is_empty() { "" } else { "boom #" });
                let at = retry_after_ms.map_or(run_at, |ms| now + ms);
                self.fail(id, *fatal, true, at, now);
            }
            How::Release { delay_ms, .. } => {
                job.attempt -= 1;
                job.snoozes += u32::from(*delay_ms > 0);
                job.settled = true;
                job.wait(now + delay_ms, now);
            }
        }
    }

    pub(crate) fn complete(&mut self, id: JobId, now: Ms) {
        let Some(job) = self.job(id) else { return };
        let queue = job.spec.queue.clone();
        job.end(State::Completed, true, now);
        self.total(&queue).completed += 1;
        let most = self.keep_max.get(&queue).copied().unwrap_or(10_000);
        for _ in 0..8 {
            let kept = self.jobs.iter().filter(|job| job.spec.queue == queue && job.is_countable());
            let kept: BTreeSet<(Ms, Seq, JobId)> =
                kept.map(|job| (job.remove_at, job.seq, job.spec.id)).collect();
            match kept.first() {
                Some((.., id)) if kept.len() > most => self.remove(*id, now),
                _ => return,
            }
        }
    }

    pub(crate) fn fail(&mut self, id: JobId, fatal: bool, settled: bool, run_at: Ms, now: Ms) {
        let Some(job) = self.job(id) else { return };
        let is_dead = fatal || job.attempt >= job.max_attempts();
        job.settled = settled;
        if is_dead {
            job.end(State::Dead, settled, now);
        } else {
            job.wait(run_at, now);
        }
        let queue = job.spec.queue.clone();
        let total = self.total(&queue);
        total.failed_attempts += 1;
        total.dead += u64::from(is_dead);
    }

    pub(crate) fn cancelled(&mut self, id: JobId, settled: bool, now: Ms) {
        let Some(job) = self.job(id) else { return };
        job.end(State::Cancelled, settled, now);
        let queue = job.spec.queue.clone();
        self.total(&queue).cancelled += 1;
    }

    pub(crate) fn expired(&mut self, id: JobId, now: Ms) {
        let Some(job) = self.job(id) else { return };
        let settled = job.settled;
        job.end(State::Expired, settled, now);
        let queue = job.spec.queue.clone();
        self.total(&queue).expired += 1;
    }

    pub(crate) fn remove(&mut self, id: JobId, now: Ms) {
        let settled =
            self.job(id).filter(|job| job.settled && job.lease.is_none()).map_or(0, |job| job.fence);
        self.goes(id);
        self.jobs.retain(|job| job.spec.id != id);
        self.removed.insert(id, (now, settled));
    }

    /// Ended jobs lose what they hold where it is too much, the oldest first, the dead last.
    pub(crate) fn lighten(&mut self) {
        for (queue, most) in self.keep_bytes.clone() {
            loop {
                let full = |job: &&mut Job| {
                    job.spec.queue == queue && job.state.is_final() && job.payload + job.result > 0
                };
                let mut ended: Vec<&mut Job> = self.jobs.iter_mut().filter(full).collect();
                let bytes: u64 = ended.iter().map(|job| job.payload + job.result).sum();
                ended.sort_by_key(|job| (job.state == State::Dead, job.ended_at, job.seq));
                match ended.into_iter().next() {
                    Some(job) if bytes > most => (job.payload, job.result, job.emptied) = (0, 0, true),
                    _ => break,
                }
            }
        }
    }

    // ------------------------------------------------------------------ time

    /// Everything that is due, in order; each kind of event has its rank within a moment.
    fn due(&self) -> Option<(Ms, u8, Event)> {
        let jobs = self.jobs.iter().flat_map(|job| {
            let id = job.spec.id;
            let lease = job.lease.iter().flat_map(move |lease| {
                [
                    (lease.ends_at, 1, Event::LeaseEnd(id)),
                    (lease.revoke_at, 2, Event::Revoke(id)),
                    (lease.timeout_at, 10, Event::TimeUp(id)),
                    (lease.stall_at, 11, Event::Stall(id)),
                ]
            });
            let due = (job.state == State::Scheduled).then_some((job.run_at, 0, Event::Due(id)));
            let rank = if job.is_countable() { 5 } else { 6 };
            let removal = job.state.is_final().then_some((job.remove_at, rank, Event::Remove(id)));
            let unstarted = job.deliveries == 0 && !job.state.is_final() && job.expires_at > 0;
            let expiry = unstarted.then_some((job.expires_at, 1, Event::Expire(id)));
            let is_held = job.state == State::Held && job.hold_until > 0;
            let hold = is_held.then_some((job.hold_until, 7, Event::Hold(id)));
            lease.filter(|(at, ..)| *at > 0).chain(due).chain(expiry).chain(removal).chain(hold)
        });
        let sessions = self.sessions.iter().map(|(id, session)| {
            let leases: Vec<&Lease> = self.leases(*id).map(|(_, lease)| lease).collect();
            let has_streams = self.streams.values().any(|stream| stream.session == *id);
            (session.deadline(&leases, has_streams), 3, Event::Session(*id))
        });
        let polls = self.streams.iter().filter(|(_, stream)| !stream.is_over);
        let polls = polls.filter_map(|(key, stream)| Some((stream.poll?.1, 4, Event::Poll(*key))));
        let windows = self.claims.iter().filter_map(|claim| match claim.until {
            Until::At(at) => Some((at, 8, Event::Unclaim(claim.holder))),
            Until::Finish | Until::Start => None,
        });
        let orders = self.orders.due().map(|(at, id)| (at, 9, Event::Tell(id)));
        jobs.chain(sessions).chain(polls).chain(windows).chain(orders).min()
    }

    pub(crate) fn next_due(&self) -> Option<Ms> {
        self.due().map(|(at, ..)| at)
    }

    pub(crate) fn fire(&mut self, now: Ms) {
        while let Some((.., event)) = self.due().filter(|(at, ..)| *at <= now) {
            match event {
                Event::Due(id) => {
                    if let Some(job) = self.job(id) {
                        job.state = State::Ready;
                    }
                }
                Event::Expire(id) => self.expired(id, now),
                Event::LeaseEnd(id) => {
                    if self.job(id).is_some_and(|job| job.is_to_stop()) {
                        self.cancelled(id, false, now);
                    } else if self.job(id).is_some_and(|job| job.overran().is_some()) {
                        self.fail_overrun(id, None, now);
                    } else {
                        let mut run_at = now;
                        if let Some(job) = self.job(id) {
                            job.error = Some("the visibility timeout ran out");
                            run_at = job.lease.as_ref().map_or(now, |lease| now.max(lease.leased_at + 1_000));
                        }
                        self.fail(id, false, false, run_at, now);
                    }
                }
                Event::Revoke(id) if self.job(id).is_some_and(|job| job.overran().is_some()) => {
                    self.fail_overrun(id, None, now);
                }
                Event::Revoke(id) => self.cancelled(id, false, now),
                Event::TimeUp(id) => self.time_up(id, now),
                Event::Stall(id) => self.stall(id, now),
                Event::Session(id) => self.lose_session(id, now),
                Event::Poll(key) => match self.streams.get_mut(&key) {
                    // It takes what there is first.
                    Some(stream) if stream.batch.is_some() => stream.is_over = true,
                    _ => self.end_stream(key),
                },
                Event::Remove(id) => self.remove(id, now),
                Event::Hold(id) => self.end_hold(id, now),
                Event::Unclaim(holder) => self.end_window(holder),
                Event::Tell(id) => self.orders.hear(id),
            }
            self.free_keys(now);
        }
    }
}

/// What time does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Due(JobId),
    Expire(JobId),
    LeaseEnd(JobId),
    Revoke(JobId),
    Session(SessionId),
    Poll(Request),
    Remove(JobId),
    Hold(JobId),
    Unclaim(Seq),
    Tell(SessionId),
    TimeUp(JobId),
    Stall(JobId),
}
