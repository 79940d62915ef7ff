//! Enqueue: check everything, then store; a job id is stored once.

use crate::command::{Code, Enqueue, JobSpec, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::{Fact, NewJob};
use crate::frame::{Body, EnqueuedOne, Outcome, Stored};
use crate::ids::{JobId, Ms, NameId};
use crate::ledger::job::{self, Pieces, Plan, State, TickPlan};
use crate::ledger::names::Name;
use crate::limits::{
    CLAIMS_MAX, DELAY_MS_MAX, DELIVER_BYTES_MAX, ENQUEUE_JOBS_MAX, KINDS_MAX, NAMES_MAX, QUEUES_MAX,
    WAIT_MS_MAX, WATCHED_IDS_MAX,
};
use crate::part::Slot;
use crate::policy::default;
use crate::schedule::TickOf;
use crate::terms::{Gate, Terms};
use crate::verbs::flow::{Stands, bind};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

impl Engine {
    pub(crate) fn enqueue(&mut self, asker: Asker, mut enqueue: Enqueue, turn: &mut Turn) {
        if let Err(refusal) = self.admit(asker, &mut enqueue) {
            return turn.refuse(asker.from, refusal);
        }
        // Each job has a fact now, and mostly one more when it is leased in this turn.
        turn.facts.reserve(2 * enqueue.jobs.len());
        let results = self.store_all(asker, enqueue.jobs, turn);
        match enqueue.wait_ms {
            Some(wait_ms) => self.wait(asker, results, wait_ms.min(WAIT_MS_MAX), turn),
            None => turn.say(asker.from, Body::Enqueued(results)),
        }
    }

    /// Stores jobs that were admitted, in order.
    pub(super) fn store_all(
        &mut self,
        asker: Asker,
        jobs: Vec<Result<JobSpec, Refusal>>,
        turn: &mut Turn,
    ) -> Vec<EnqueuedOne> {
        let (mut room, mut stands) = (DELIVER_BYTES_MAX, Stands::new());
        let mut store = |mut spec: JobSpec| {
            let sent = spec.id;
            bind(&mut spec, &stands);
            let (id, stored) = self.store(asker, spec, turn);
            if id != sent {
                stands.insert(sent, (stored.seq > 0).then_some(id));
            }
            let result = if id == sent { Slot::Empty } else { self.known_result(&stored, &mut room) };
            EnqueuedOne { id, what: Ok(stored), result }
        };
        let refused =
            |refusal| EnqueuedOne { id: JobId([0; 16]), what: Err(Box::new(refusal)), result: Slot::Empty };
        jobs.into_iter().map(|job| job.map_or_else(refused, &mut store)).collect()
    }

    /// What came of a job that stands for another one, as far as the answer has room for it.
    fn known_result(&self, stored: &Stored, room: &mut usize) -> Slot {
        let Some(job) = self.ledger.jobs.get(stored.seq) else { return Slot::Empty };
        match room.checked_sub(job.result_len()) {
            Some(left) => {
                *room = left;
                job.result()
            }
            None => Slot::Empty,
        }
    }

    /// Why nothing of it may be stored.
    fn admit(&self, asker: Asker, enqueue: &mut Enqueue) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::new(Code::Draining, "", "the broker is stopping").retry_after(1_000));
        }
        let count = enqueue.jobs.len();
        if count == 0 || count > ENQUEUE_JOBS_MAX {
            let message = format!("an Enqueue holds 1 to {ENQUEUE_JOBS_MAX} jobs, not {count}");
            return Err(Refusal::new(
                if count == 0 { Code::Invalid } else { Code::TooLarge },
                "jobs",
                message,
            ));
        }
        if enqueue.wait_ms.is_some() && self.roster.watches.named() + count > WATCHED_IDS_MAX {
            let message = format!("{WATCHED_IDS_MAX} jobs are waited for already");
            return Err(Refusal::new(Code::Exhausted, "wait", message).retry_after(1_000));
        }
        self.admit_ticks(asker.namespace, &enqueue.jobs)?;
        self.admit_jobs(asker, &mut enqueue.jobs, enqueue.partial)?;
        if enqueue.partial {
            return Ok(());
        }
        match enqueue.jobs.iter().find_map(|job| job.as_ref().err()) {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(()),
        }
    }

    /// Why these jobs may not be stored. With `partial`, which of them.
    pub(super) fn admit_jobs(
        &self,
        asker: Asker,
        jobs: &mut [Result<JobSpec, Refusal>],
        partial: bool,
    ) -> Result<(), Refusal> {
        if self.pressure.no_enqueue {
            let message = "the store has no room for more jobs now";
            return Err(Refusal::new(Code::Exhausted, "", message).retry_after(250));
        }
        if self.ledger.jobs.len() + jobs.len() > self.jobs_max {
            let message = format!("the broker holds its maximum of {} jobs", self.jobs_max);
            return Err(Refusal::new(Code::Exhausted, "jobs", message).retry_after(1_000));
        }
        if self.roster.reaches.contains_key(&asker.from.conn) {
            self.admit_ids(asker, jobs, partial)?;
        }
        self.admit_names(asker.namespace, jobs)?;
        self.admit_claims(jobs)?;
        self.admit_flows(asker, jobs, partial)
    }

    /// A job that is sent under an id of a queue that its producer may not see is refused: the answer would
    /// tell how that one stands, and what came of it.
    fn admit_ids(
        &self,
        asker: Asker,
        jobs: &mut [Result<JobSpec, Refusal>],
        partial: bool,
    ) -> Result<(), Refusal> {
        for (place, job) in jobs.iter_mut().enumerate() {
            let known = job.as_ref().ok().and_then(|spec| self.find(asker.namespace, spec.id));
            if known.is_some_and(|known| !self.is_within(asker, known.queue)) {
                let message = "a job of a queue that the token does not reach has this id; choose another";
                let refusal = Refusal::new(Code::Denied, &format!("jobs[{place}].id"), message);
                if !partial {
                    return Err(refusal);
                }
                *job = Err(refusal);
            }
        }
        Ok(())
    }

    /// Each job may bring a new name of each class, and three of the last; near a bound the whole
    /// frame waits, unless it speaks of known names only.
    fn admit_names(&self, namespace: NameId, jobs: &[Result<JobSpec, Refusal>]) -> Result<(), Refusal> {
        let (names, count) = (self.ledger.names.counts(), jobs.len());
        if names.queues.max(names.kinds) + count <= QUEUES_MAX.min(KINDS_MAX)
            && names.others + 3 * count <= NAMES_MAX
        {
            return Ok(());
        }
        let wanted = jobs.iter().flatten().flat_map(|spec| {
            let key = (!spec.key.is_empty()).then(|| Name::Key(namespace, spec.key.clone()));
            let wishes = spec.wishes.iter().flat_map(|wishes| {
                let terms = (wishes.terms != Terms::default()).then(|| Name::Terms(wishes.terms.clone()));
                let gate = (wishes.gate != Gate::default()).then(|| Name::Gate(wishes.gate.clone()));
                terms.into_iter().chain(gate)
            });
            let queue = Name::Queue(namespace, spec.queue.clone());
            [queue, Name::Kind(namespace, spec.kind.clone())].into_iter().chain(key).chain(wishes)
        });
        self.ledger.names.has_room(wanted).map_err(|what| {
            let message = format!("the broker knows its maximum of {what} names");
            Refusal::new(Code::Exhausted, what, message).retry_after(1_000)
        })
    }

    fn admit_claims(&self, jobs: &[Result<JobSpec, Refusal>]) -> Result<(), Refusal> {
        if self.ledger.claims.len() + jobs.len() <= CLAIMS_MAX {
            return Ok(());
        }
        let wishes = jobs.iter().flatten().filter_map(|spec| spec.wishes.as_ref());
        let wanted = wishes.filter(|wishes| wishes.dedup.is_some()).count();
        if wanted == 0 || self.ledger.claims.len() + wanted <= CLAIMS_MAX {
            return Ok(());
        }
        let message = format!("the broker knows its maximum of {CLAIMS_MAX} dedup keys");
        Err(Refusal::new(Code::Exhausted, "dedup", message).retry_after(1_000))
    }

    /// Stores a job, unless another one stands for it; the id of the one that does.
    pub(super) fn store(&mut self, asker: Asker, mut spec: JobSpec, turn: &mut Turn) -> (JobId, Stored) {
        if let Some(tick) = spec.wishes.as_ref().and_then(|wishes| wishes.tick.as_ref()) {
            spec.id = self.id_of(asker.namespace, tick);
        }
        let outcome = Outcome::Duplicate;
        if let Some(known) = self.find(asker.namespace, spec.id) {
            return (spec.id, Stored { seq: known.seq, state: known.state, outcome });
        }
        if self.roster.ended_ids.find(asker.now, asker.namespace, spec.id).is_some() {
            return (spec.id, Stored { seq: 0, state: State::Completed, outcome });
        }
        match spec.wishes.as_mut().and_then(|wishes| wishes.dedup.take()) {
            Some(dedup) => self.store_unique(asker, spec, &dedup, turn),
            None => (spec.id, self.store_new(asker, spec, None, turn)),
        }
    }

    /// Stores a job that is new in every respect; `dedup` = it has a dedup key, or waits for one.
    pub(crate) fn store_new(
        &mut self,
        asker: Asker,
        mut spec: JobSpec,
        dedup: Option<Pieces>,
        turn: &mut Turn,
    ) -> Stored {
        let seq = self.ledger.seq_next;
        let is_group = spec.kind.is_empty();
        let hold = spec.wishes.as_ref().and_then(|wishes| wishes.hold);
        let flow = spec.wishes.as_mut().and_then(|wishes| wishes.flow.take());
        let flow = flow.or_else(|| is_group.then(Box::default));
        let mut job = self.new_job(asker, spec, turn);
        if dedup.is_some() || hold.is_some() || flow.is_some() {
            let plan = job.plan.get_or_insert_default();
            plan.dedup = dedup.is_some();
            plan.pieces = dedup.unwrap_or_default();
            plan.hold = hold.map(|hold| Box::new(job::Hold { until: 0, then_run: hold.then_run }));
            plan.is_group = is_group;
            if let Some(flow) = &flow {
                self.tie(asker.namespace, seq, flow, plan, turn);
            }
        }
        self.decide(turn, Fact::Enqueued { seq, job });
        if let Some(hold) = hold {
            self.decide(turn, Fact::Held { seq, until: asker.now.saturating_add(hold.ttl_ms.max(1)) });
        }
        if let Some(flow) = &flow {
            self.start_flow(seq, flow, asker.now, turn);
        }
        let state = self.ledger.jobs.get(seq).map_or(State::Ready, |job| job.state);
        Stored { seq, state, outcome: Outcome::Created }
    }

    /// When a job may run that names this time.
    pub(crate) fn run_at(&self, asked: Ms, now: Ms) -> Ms {
        asked.clamp(now, now.saturating_add(10 * DELAY_MS_MAX))
    }

    fn new_job(&mut self, asker: Asker, spec: JobSpec, turn: &mut Turn) -> NewJob {
        let namespace = asker.namespace;
        let queue = self.intern(turn, Name::Queue(namespace, spec.queue));
        let kind = self.intern(turn, Name::Kind(namespace, spec.kind));
        let key: NameId =
            if spec.key.is_empty() { 0 } else { self.intern(turn, Name::Key(namespace, spec.key)) };
        let own = spec.wishes.as_ref().map(|wishes| &wishes.terms.policy);
        let policies = self.ledger.policies_of(own, namespace, queue, kind);
        let level = policies.ask(|policy| policy.priority).unwrap_or(default::PRIORITY);
        let ordering = policies.ask(|policy| policy.ordering).unwrap_or_default();
        let ttl_ms = policies.ask(|policy| policy.ttl_ms).unwrap_or(0);
        let mut expires_at = if ttl_ms > 0 { asker.now.saturating_add(ttl_ms) } else { Ms::MAX };
        let (mut terms, mut gate, mut tick) = (0, 0, None);
        if let Some(wishes) = spec.wishes {
            let wishes = *wishes;
            if wishes.expires_at > 0 {
                expires_at = expires_at.min(wishes.expires_at);
            }
            if wishes.terms != Terms::default() {
                terms = self.intern(turn, Name::Terms(wishes.terms));
            }
            if wishes.gate != Gate::default() {
                gate = self.intern(turn, Name::Gate(wishes.gate));
            }
            tick = wishes.tick;
        }
        let mut plan = (expires_at < Ms::MAX).then(|| Box::new(Plan { expires_at, ..Plan::default() }));
        if let Some(TickOf { schedule, at }) = tick
            && let Some(schedule) = self.ledger.names.find(&Name::Schedule(namespace, schedule))
        {
            plan.get_or_insert_default().tick = Some(Box::new(TickPlan { schedule, at }));
        }
        NewJob {
            id: spec.id,
            namespace,
            queue,
            kind,
            key,
            terms,
            gate,
            level: level.min(9),
            ordering,
            created_at: asker.now,
            run_at: self.run_at(spec.run_at, asker.now),
            payload: spec.payload,
            headers: spec.headers,
            plan,
        }
    }
}
