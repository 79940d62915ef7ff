//! The engine: commands and time in, facts and frames out; the one match over the verbs.

use crate::command::{Code, Command, Refusal};
use crate::fact::ResourceKey;
use crate::fact::{Fact, Record};
use crate::frame::{Body, Frame, Signal};
use crate::ids::{ConnId, JobId, Ms, NameId, OperationId, Request, Seq, SessionId};
use crate::ledger::job::{Job, State};
use crate::ledger::names::Name;
use crate::ledger::tables::{ClaimRow, FailuresRow, OperationRow, ResourceRow, SessionRow, TotalsRow};
use crate::ledger::{Applied, EvolveError, Ledger};
use crate::limits::{EPOCH_MINUTES_MAX, JOBS_MAX_DEFAULT, OPERATION_REST_MS, RESUME_WINDOW_MS};
use crate::roster::limits::Limits;
use crate::roster::{EndedIds, Presence, Roster, Share};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What one turn decided. It becomes part of the batch whose number it carries.
#[derive(Debug, Default)]
pub struct Turn {
    /// The batch.
    pub batch: u64,
    /// Decisions, in order.
    pub facts: Vec<Fact>,
    /// Answers, which leave when the batch is durable.
    pub frames: Vec<Frame>,
}

impl Turn {
    /// An empty turn of a batch.
    #[must_use]
    pub fn new(batch: u64) -> Self {
        Self { batch, facts: Vec::new(), frames: Vec::new() }
    }

    pub(crate) fn say(&mut self, to: Request, body: Body) {
        self.frames.push(Frame::answer(to, body));
    }

    pub(crate) fn refuse(&mut self, to: Request, refusal: Refusal) {
        self.frames.push(Frame::refuse(to, refusal));
    }
}

/// What the engine cannot know by itself when it starts.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The broker's clock.
    pub now: Ms,
    /// Minutes since 2025-01-01: an epoch that never repeats, not even after a restored backup.
    pub minutes: u32,
}

/// What the store has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Enqueue is refused: the disk is low, or too much waits to be folded.
    pub no_enqueue: bool,
    /// Results over 4 KiB are dropped.
    pub small_results: bool,
    /// No new leases.
    pub no_leases: bool,
}

/// The rules, over one ledger and its roster.
#[derive(Debug)]
pub struct Engine {
    pub(crate) ledger: Ledger,
    pub(crate) roster: Roster,
    pub(crate) seed: u64,
    pub(crate) started_at: Ms,
    /// The time of this turn.
    pub(crate) now: Ms,
    /// The run before this one ended without [`Fact::Stopped`].
    pub(crate) unclean: bool,
    pub(crate) pressure: Pressure,
    pub(crate) draining: bool,
    pub(crate) jobs_max: usize,
    /// No fact before this batch is replayed any more.
    pub(crate) replay_from: u64,
}

impl Engine {
    /// An empty engine. `seed` keeps clients from choosing hash collisions and spreads retries.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            ledger: Ledger::new(seed),
            roster: Roster { ended_ids: EndedIds::new(seed), limits: Limits::new(seed), ..Roster::default() },
            seed,
            started_at: 0,
            now: 0,
            unclean: false,
            pressure: Pressure::default(),
            draining: false,
            jobs_max: JOBS_MAX_DEFAULT,
            replay_from: 0,
        }
    }

    /// Bounds the number of jobs of all states.
    pub fn set_jobs_max(&mut self, jobs_max: usize) {
        self.jobs_max = jobs_max;
    }

    /// What survives a restart.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    // ------------------------------------------------------------------ recovery

    /// Takes the store's own record: facts of missing records up to `to` are already folded.
    pub fn load_meta(&mut self, to: u64, epoch: u32, seq_next: Seq, stopped: bool) {
        self.ledger.folded_to = to;
        self.ledger.epoch = epoch;
        self.ledger.seq_next = seq_next.max(1);
        self.ledger.stopped = stopped;
    }

    /// Takes a name from the store; names come before jobs.
    pub fn load_name(&mut self, id: NameId, since: u64, name: Name) {
        self.ledger.names.insert(id, since, name);
    }

    /// Takes a job from the store.
    pub fn load_job(&mut self, job: Job) {
        self.ledger.adopt(job);
    }

    /// Takes a session from the store.
    pub fn load_session(&mut self, id: SessionId, row: SessionRow) {
        self.ledger.sessions.insert(id, row);
    }

    /// Takes a resource from the store.
    pub fn load_resource(&mut self, key: ResourceKey, row: ResourceRow) {
        row.counted_name().into_iter().for_each(|name| self.ledger.names.take(name));
        self.ledger.resources.insert(key, row);
    }

    /// Takes a queue's totals from the store.
    pub fn load_totals(&mut self, queue: NameId, row: TotalsRow) {
        self.ledger.totals.insert(queue, row);
    }

    /// Takes what happened in one way of failing from the store.
    pub fn load_failures(&mut self, error: NameId, row: FailuresRow) {
        self.ledger.failures.insert(error, row);
    }

    /// Takes a change from the store.
    pub fn load_operation(&mut self, id: OperationId, row: OperationRow) {
        self.ledger.operations.insert(id, row);
    }

    /// Takes a dedup key from the store.
    pub fn load_claim(&mut self, holder: Seq, row: ClaimRow) {
        self.ledger.claims.insert(holder, row);
    }

    /// Takes a fact from the journal.
    ///
    /// # Errors
    /// When the journal and the store do not belong together.
    pub fn replay(&mut self, batch: u64, fact: &Fact) -> Result<Applied, EvolveError> {
        self.remember(fact);
        self.ledger.replay(batch, fact)
    }

    /// Takes from a fact too old to be replayed what the idempotency window needs of it.
    pub fn remember(&mut self, fact: &Fact) {
        if let Fact::Removed { id, namespace, settled, at, .. } = fact {
            self.roster.ended_ids.insert((*at, *namespace, *id, *settled));
        } else if let Fact::Replaced { merged: Some(merged), .. } | Fact::Appended { merged, .. } = fact {
            self.roster.ended_ids.insert((merged.at, merged.namespace, merged.id, 0));
        }
    }

    /// Ends recovery and begins a run: every session has its time to live to come back.
    pub fn start(&mut self, start: Start, turn: &mut Turn) {
        self.ledger.end_replay();
        self.unclean = !self.ledger.stopped;
        self.started_at = start.now;
        self.now = start.now;
        for (&id, row) in &self.ledger.sessions {
            let presence =
                Presence { ttl_ms: row.session.ttl_ms, last_sign: start.now, ..Presence::default() };
            self.roster.sessions.insert(id, presence);
            self.roster.rearm(id);
        }
        self.load_limits(start.now);
        for job in self.ledger.jobs.iter() {
            let share = share(&self.ledger, &mut self.roster.limits, job);
            self.roster.join(job, share);
        }
        for (&id, row) in &self.ledger.operations {
            if row.operation.is_running() {
                let at = start.now.saturating_add(OPERATION_REST_MS);
                self.roster.operations.begin(id, &row.operation, at, &mut self.roster.timers);
            }
        }
        for (&holder, row) in &self.ledger.claims {
            self.roster.claims.join(holder, &row.claim, &mut self.roster.timers);
        }
        self.spare_leases(start.now);
        self.roster.hungry.clear();
        self.roster.stirred.clear();
        let epoch = self.ledger.epoch.saturating_add(1).max(start.minutes.min(EPOCH_MINUTES_MAX));
        self.decide(turn, Fact::Started { epoch, at: start.now });
        self.roster.watches.start(epoch);
    }

    /// A visibility timeout that ran out while the broker was away ends no earlier than a session
    /// would: nobody could have lengthened it.
    fn spare_leases(&mut self, now: Ms) {
        use crate::limits::SESSION_TTL_MS_DEFAULT;
        use crate::roster::Timer;
        for presence in self.roster.sessions.values_mut() {
            for (&seq, mark) in &mut presence.leases {
                let spared = now.saturating_add(SESSION_TTL_MS_DEFAULT);
                if mark.ends_at > 0 && mark.ends_at < spared {
                    self.roster.timers.remove(mark.ends_at, Timer::LeaseEnd(seq));
                    mark.ends_at = spared;
                    self.roster.timers.insert(spared, Timer::LeaseEnd(seq));
                }
            }
        }
    }

    // ------------------------------------------------------------------ a run

    /// Decides one command. Exactly one terminal frame answers it, now or later.
    pub fn apply(&mut self, now: Ms, from: Request, command: Command, turn: &mut Turn) {
        self.now = now;
        match command {
            Command::Hello(hello) => return self.hello(now, from, *hello, turn),
            Command::Sign => return self.sign(now, from.conn),
            Command::Hangup => return self.hangup(now, from.conn),
            Command::Unchoke => return self.unchoke(from.conn),
            Command::Enqueue(_)
            | Command::Fetch(_)
            | Command::Settle(_)
            | Command::Touch(_)
            | Command::Change(_)
            | Command::Stop(_)
            | Command::Query(_)
            | Command::Watch(_)
            | Command::Put(_)
            | Command::Bye { .. } => {}
        }
        let Some((session, namespace)) = self.who(from.conn) else {
            let refusal = Refusal::new(Code::Invalid, "", "say Hello first");
            return turn.refuse(from, refusal);
        };
        self.sign(now, from.conn);
        let asker = Asker { from, session, namespace, now };
        match command {
            Command::Enqueue(enqueue) => self.enqueue(asker, enqueue, turn),
            Command::Fetch(fetch) => self.fetch(asker, *fetch, turn),
            Command::Settle(results) => self.settle(asker, results, turn),
            Command::Touch(touch) => self.touch(asker, touch, turn),
            Command::Change(change) => self.change(asker, *change, turn),
            Command::Stop(id) => self.stop_operation(asker, id, turn),
            Command::Query(query) => self.query(asker, query, turn),
            Command::Watch(watch) => self.watch(asker, *watch, turn),
            Command::Put(put) => self.put(asker, &put, turn),
            Command::Bye { keep_leases } => self.bye(asker, keep_leases, turn),
            Command::Hello(_) | Command::Sign | Command::Unchoke | Command::Hangup => {}
        }
    }

    /// What time asks for, then who gets which job. Ends every turn.
    pub fn tick(&mut self, now: Ms, turn: &mut Turn) {
        self.now = now;
        self.fire(now, turn);
        self.survey_on(now, turn);
        self.dispatch(now, turn);
        self.catch_up(turn);
        self.roster.watches.renew(now);
        self.count(turn);
        self.drop_names(turn);
        self.roster.ended_ids.expire(now);
    }

    /// When to call [`Engine::tick`] if nothing else happens; 0 = at once, work is left.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Ms> {
        if !self.roster.surveys.is_empty() {
            return Some(0);
        }
        let work_left = !self.roster.hungry.is_empty() || !self.roster.stirred.is_empty();
        let is_behind = !self.roster.watches.behind.is_empty();
        if is_behind || work_left && self.may_lease() { Some(0) } else { self.roster.timers.next() }
    }

    /// The broker was away, or the wall clock jumped: silence in that time was not silence.
    pub fn shift(&mut self, by_ms: i64) {
        self.roster.shift(by_ms);
    }

    /// A peer has too much unread: its streams get no further jobs until it is unchoked.
    pub fn choke(&mut self, conn: ConnId) {
        if self.roster.conns.contains_key(&conn) {
            self.roster.choked.insert(conn);
        }
    }

    fn unchoke(&mut self, conn: ConnId) {
        self.roster.choked.remove(&conn);
        let range = Request { conn, id: 0 }..=Request { conn, id: u64::MAX };
        self.roster.hungry.extend(self.roster.streams.open.range(range).map(|(&key, _)| key));
        let watches = self.roster.watches.of_conn(conn);
        self.roster.watches.behind.extend(watches);
    }

    /// What the store has room for now.
    pub fn set_pressure(&mut self, pressure: Pressure) {
        if self.pressure.no_leases && !pressure.no_leases {
            self.roster.stir_all();
        }
        self.pressure = pressure;
    }

    /// The broker is stopping: no new jobs, no new leases; clients are told to come back.
    pub fn drain(&mut self, turn: &mut Turn) {
        self.draining = true;
        for &conn in self.roster.conns.keys() {
            turn.frames.push(Frame::push(conn, Body::Signal(Signal::GoAway)));
        }
    }

    /// The last decision of a run.
    pub fn stop(&mut self, turn: &mut Turn) {
        self.decide(turn, Fact::Stopped);
    }

    /// The store has folded: no fact before `replay_from` will be replayed, so names unused since
    /// before it can go.
    pub fn folded(&mut self, replay_from: u64, turn: &mut Turn) {
        self.replay_from = replay_from;
        self.drop_names(turn);
    }

    /// A few at a time; the next ticks drop the rest.
    fn drop_names(&mut self, turn: &mut Turn) {
        let idle = self.ledger.names.idle_before(self.replay_from);
        let idle: Vec<NameId> = idle.take(crate::limits::NAME_DROPS_PER_TICK).collect();
        for id in idle {
            if self.ledger.failures.contains_key(&id) {
                self.decide(turn, Fact::FailuresDropped { error: id });
            }
            if self.ledger.names.gate(id).is_some() {
                self.roster.limits.forget_covers();
            }
            self.decide(turn, Fact::NameDropped { id });
        }
    }

    /// The session of a connection, with its namespace.
    pub(crate) fn who(&self, conn: ConnId) -> Option<(SessionId, NameId)> {
        let session = *self.roster.conns.get(&conn)?;
        Some((session, self.ledger.sessions.get(&session)?.session.namespace))
    }

    pub(crate) fn may_lease(&self) -> bool {
        !self.draining && !self.pressure.no_leases
    }

    // ------------------------------------------------------------------ deciding

    /// Records a decision: the ledger evolves, the roster follows, the fact joins the batch.
    pub(crate) fn decide(&mut self, turn: &mut Turn, fact: Fact) {
        let mut has_claim = false;
        let record = fact.record();
        if let Record::Job(seq) = record {
            has_claim = self.has_claim(seq);
            // Of a job that goes there is nothing to tell afterwards.
            let is_heard = self.roster.watches.is_on();
            let goes = matches!(fact, Fact::Removed { .. });
            if is_heard && goes {
                self.tell(seq, &fact, turn);
            }
            self.decide_job(turn.batch, seq, &fact);
            if is_heard && !goes {
                self.tell(seq, &fact, turn);
            }
        } else if let Record::Claim(holder) = record {
            self.decide_claim(turn.batch, holder, &fact);
        } else {
            self.ledger.evolve(turn.batch, &fact);
        }
        self.remember(&fact);
        let freeing = if has_claim { freeing(&fact) } else { None };
        turn.facts.push(fact);
        if let Some((seq, now)) = freeing {
            self.settle_claim(seq, now, turn);
        }
    }

    fn has_claim(&self, seq: Seq) -> bool {
        self.ledger.jobs.get(seq).and_then(|job| job.plan.as_ref()).is_some_and(|plan| plan.dedup)
    }

    fn decide_claim(&mut self, batch: u64, holder: Seq, fact: &Fact) {
        if let Some(row) = self.ledger.claims.get(&holder) {
            self.roster.claims.leave(holder, &row.claim, &mut self.roster.timers);
        }
        self.ledger.evolve(batch, fact);
        if let Some(row) = self.ledger.claims.get(&holder) {
            self.roster.claims.join(holder, &row.claim, &mut self.roster.timers);
        }
    }

    fn decide_job(&mut self, batch: u64, seq: Seq, fact: &Fact) {
        if matches!(fact, Fact::Extended { .. } | Fact::CancelAsked { .. }) {
            self.ledger.evolve(batch, fact);
            if let Some(job) = self.ledger.jobs.get(seq) {
                self.roster.retime(job, fact);
            }
            return;
        }
        if let Fact::Enqueued { job, .. } = fact {
            self.tally(job.queue, fact);
        } else if let Some(job) = self.ledger.jobs.get(seq) {
            let queue = job.queue;
            if !self.roster.limits.is_empty() {
                self.roster.note_end(job, fact);
                if job.state == State::Ready {
                    self.roster.withdraw(&self.ledger.names, job);
                }
            }
            self.roster.leave(job);
            self.tally(queue, fact);
        }
        self.ledger.evolve(batch, fact);
        if let Some(job) = self.ledger.jobs.get(seq) {
            let share = share(&self.ledger, &mut self.roster.limits, job);
            self.roster.join(job, share);
        }
        if self.roster.operations.is_watching() {
            self.roster.operations.observe(seq, fact, &mut self.roster.timers);
        }
    }

    /// Raises the totals of the queue by what a job's fact means.
    fn tally(&mut self, queue: NameId, fact: &Fact) {
        use crate::fact::Counts;
        if matches!(fact, Fact::Leased { .. } | Fact::Removed { .. } | Fact::Readied { .. }) {
            return;
        }
        let totals = self.roster.totals(&self.ledger, queue);
        if let Fact::Returned { counts, .. } | Fact::Died { counts, .. } = fact {
            totals.failed_attempts += u64::from(*counts == Counts::Attempt);
            totals.crashes += u64::from(*counts == Counts::Crash);
        }
        totals.enqueued += u64::from(matches!(fact, Fact::Enqueued { .. }));
        totals.completed += u64::from(matches!(fact, Fact::Completed { .. }));
        totals.dead += u64::from(matches!(fact, Fact::Died { .. } | Fact::Buried { .. }));
        totals.cancelled += u64::from(matches!(fact, Fact::Cancelled { .. }));
        totals.expired += u64::from(matches!(fact, Fact::Expired { .. }));
    }

    /// The totals that this turn raised become facts, one a queue.
    fn count(&mut self, turn: &mut Turn) {
        for (queue, totals) in core::mem::take(&mut self.roster.tally) {
            if self.ledger.totals.get(&queue).is_none_or(|row| row.totals != totals) {
                self.decide(turn, Fact::Counted { queue, totals });
            }
        }
        for (error, failures) in core::mem::take(&mut self.roster.failures) {
            self.decide(turn, Fact::FailuresCounted { error, failures: Box::new(failures) });
        }
    }

    /// The number of a name, given now if it has none. 0 for an empty key.
    pub(crate) fn intern(&mut self, turn: &mut Turn, name: Name) -> NameId {
        if let Some(id) = self.ledger.names.find(&name) {
            return id;
        }
        let id = self.ledger.names.next_id();
        self.decide(turn, Fact::Named { id, name: Box::new(name) });
        id
    }

    /// Tells a session something about one of its leases: on the connection that got it, or on all.
    pub(crate) fn signal(&mut self, job: &Job, signal: &Signal, turn: &mut Turn) {
        let Some(lease) = &job.lease else { return };
        let Some(presence) = self.roster.sessions.get(&lease.session) else { return };
        let stream = presence.leases.get(&job.seq).and_then(|mark| mark.stream);
        let conns: Vec<ConnId> = match stream {
            Some(key) => [key.conn].into(),
            None => presence.conns.iter().copied().collect(),
        };
        for conn in conns {
            turn.frames.push(Frame::push(conn, Body::Signal(signal.clone())));
        }
    }

    /// A session that was never seen since an unclean start, or that is lost in its first time to
    /// live, may have been lost with the broker: its jobs are not blamed.
    pub(crate) fn is_excused(&self, presence: &Presence, now: Ms) -> bool {
        let grace = presence.ttl_ms.saturating_add(RESUME_WINDOW_MS);
        self.unclean && (!presence.seen || now < self.started_at.saturating_add(grace))
    }

    /// The job with this id in this namespace.
    pub(crate) fn find(&self, namespace: NameId, id: JobId) -> Option<&Job> {
        self.ledger.jobs.find(namespace, id)
    }

    /// How many jobs there are in a state, over all queues.
    #[must_use]
    pub fn count_of(&self, state: State) -> usize {
        self.roster.queues.keys().map(|&queue| self.roster.count(queue, state)).sum()
    }
}

/// What a job's lease takes, if it is leased.
pub(crate) fn share(ledger: &Ledger, limits: &mut Limits, job: &Job) -> Share {
    if job.lease.is_none() {
        return Share::default();
    }
    Share { cost: ledger.cost(job), buckets: limits.claim(&ledger.names, job) }
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) from: Request,
    pub(crate) session: SessionId,
    pub(crate) namespace: NameId,
    pub(crate) now: Ms,
}

/// The job and the moment of a fact after which its dedup key may be free.
fn freeing(fact: &Fact) -> Option<(Seq, Ms)> {
    if let Fact::Leased { seq, lease } = fact {
        Some((*seq, lease.now))
    } else if let Fact::Completed { seq, end, .. }
    | Fact::Died { seq, end, .. }
    | Fact::Cancelled { seq, end, .. }
    | Fact::Expired { seq, end }
    | Fact::Buried { seq, end } = fact
    {
        Some((*seq, end.at))
    } else if let Fact::Removed { seq, at, .. } = fact {
        Some((*seq, *at))
    } else {
        None
    }
}
