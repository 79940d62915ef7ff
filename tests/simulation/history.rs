//! The history: a second, plainer reading of every fact that became durable. It holds the rules
//! that no single record can show: numbers that are never used twice, ends that are final, and
//! counts that add up.
#![allow(clippy::fn_params_excessive_bools, reason = "the functions take a fact's own fields")]

use super::dump::Dump;
use super::process::Tape;
use super::random::mixed;
use super::rota::Rota;
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::fact::Totals;
use windlass_engine::fact::{Counts, DeadReason, End, Fact, NewJob, NewLease, ResourceKey};
use windlass_engine::ids::{Ms, NameId, Seq};
use windlass_engine::ledger::job::{Job, State};
use windlass_engine::ledger::names::Name;
use windlass_engine::limits::IDEMPOTENCY_WINDOW_MS;
use windlass_engine::policy::{Ordering, Policy, default};
use windlass_engine::{Engine, JobId, SessionId};

/// All that is on disk, read anew.
pub struct History {
    tape: Tape,
    shadow: Engine,
    /// The last batch.
    pub last_batch: u64,
    /// Every job there ever was.
    pub jobs: BTreeMap<Seq, Life>,
    /// The latest job of an id.
    pub by_id: BTreeMap<(NameId, JobId), Seq>,
    /// Every lease there ever was.
    pub leases: BTreeMap<u64, Leased>,
    /// Every session there ever was.
    pub sessions: BTreeSet<SessionId>,
    last_epoch: u32,
    totals: BTreeMap<NameId, Totals>,
    rota: Rota,
    /// By how much the clock was ever set back.
    set_back_ms: Ms,
    /// The latest time that the broker's clock ever showed.
    pub latest: Ms,
    /// What operators asked for, sent or not.
    pub asked: Asked,
    /// The jobs of serial keys that run, by queue and key.
    serial: BTreeMap<(NameId, NameId), Seq>,
    /// A fingerprint of all facts.
    pub print: u64,
}

/// Jobs that an operator may have touched.
#[derive(Default)]
pub struct Asked {
    /// To be retried.
    pub retries: BTreeSet<JobId>,
    /// To be cancelled.
    pub cancels: BTreeSet<JobId>,
    /// To be deleted.
    pub deletes: BTreeSet<JobId>,
}

impl Asked {
    /// Takes over what `other` holds.
    pub fn append(&mut self, other: &mut Self) {
        self.retries.append(&mut other.retries);
        self.cancels.append(&mut other.cancels);
        self.deletes.append(&mut other.deletes);
    }
}

/// One job from its enqueueing on.
#[derive(Clone, Debug)]
pub struct Life {
    /// What was stored.
    pub new: NewJob,
    /// Its state; Scheduled and Ready are one here.
    pub state: State,
    /// It waits for a word, or for other jobs.
    is_kept_back: bool,
    /// Something was done to it while it waited.
    is_touched: bool,
    /// The fences of all its deliveries.
    pub fences: Vec<u64>,
    /// Its lease, while it has one.
    pub fence: Option<u64>,
    /// How many notes its history got, with the fence of each.
    pub notes: Vec<u64>,
    attempt: u32,
    /// Attempts that operators granted beyond the maximum.
    granted: u32,
    crashes: u32,
    end: Option<End>,
    /// What it held was let go.
    pub is_emptied: bool,
    /// When it was removed, in which batch.
    pub removed: Option<(Ms, u64)>,
    /// Its end is so long ago, or so far back in the journal, that its id may come again.
    pub is_forgotten: bool,
}

/// One lease from its granting on.
#[derive(Clone, Debug)]
pub struct Leased {
    /// Of which job.
    pub seq: Seq,
    /// Who got it.
    pub session: SessionId,
    /// Which attempt it is.
    pub attempt: u32,
    /// How it ended: by its worker?
    pub ended: Option<bool>,
}

impl Life {
    /// It waits for other jobs, or has waited for some.
    fn is_tied(&self) -> bool {
        self.new.plan.as_ref().is_some_and(|plan| plan.after || plan.is_group)
    }

    /// No worker gets it.
    pub fn is_group(&self) -> bool {
        self.new.plan.as_ref().is_some_and(|plan| plan.is_group)
    }

    /// Nothing but its place in the order says when it runs.
    fn is_plain(&self) -> bool {
        let is_new = self.fences.is_empty() && !self.is_touched && self.removed.is_none();
        is_new && self.new.plan.is_none() && self.new.run_at <= self.new.created_at
    }
}

impl History {
    /// Nothing happened yet.
    pub fn new(tape: Tape) -> Self {
        Self {
            tape,
            shadow: Engine::new(1),
            last_batch: 0,
            jobs: BTreeMap::new(),
            by_id: BTreeMap::new(),
            leases: BTreeMap::new(),
            sessions: BTreeSet::new(),
            last_epoch: 0,
            totals: BTreeMap::new(),
            rota: Rota::default(),
            set_back_ms: 0,
            latest: 0,
            asked: Asked::default(),
            serial: BTreeMap::new(),
            print: 0,
        }
    }

    /// Reads what became durable since the last call.
    pub fn read(&mut self) {
        for (batch, facts) in self.tape.take() {
            assert_eq!(batch, self.last_batch + 1, "batches are numbered without a hole");
            self.last_batch = batch;
            self.rota.begin();
            for fact in &facts {
                self.rota.admit(self.shadow.ledger(), fact);
                self.admit(batch, fact);
                self.shadow.replay(batch, fact).expect("a whole journal applies");
            }
            self.check_totals();
        }
    }

    /// A process came up: what it recovered is what was durable.
    pub fn compare(&mut self, live: &Engine) {
        if let Err(difference) = Dump::of(&self.shadow).compare(&Dump::of(live)) {
            panic!("what is durable (here) is not what the broker holds (there): {difference}");
        }
        let mut known = 0;
        for (seq, life) in self.jobs.iter().filter(|(_, life)| life.removed.is_none()) {
            let job = live.ledger().jobs.get(*seq).unwrap_or_else(|| panic!("job {seq} is lost: {life:?}"));
            let state = match job.state {
                State::Scheduled | State::Held | State::Blocked => State::Ready,
                state => state,
            };
            let held = (state, job.attempt, job.crashes, job.lease.as_ref().map(|_| job.fence));
            assert_eq!(held, (life.state, life.attempt, life.crashes, life.fence), "job {seq}");
            known += 1;
        }
        assert_eq!(live.ledger().jobs.len(), known, "the broker holds jobs that nobody enqueued");
    }

    /// Somebody set the broker's clock. A window that seems longer for a clock set back is not.
    pub fn clock_set(&mut self, by_ms: i64) {
        self.set_back_ms += by_ms.min(0).unsigned_abs();
    }

    /// A process came up whose journal begins here: older ends may be unknown to it.
    pub fn reopened(&mut self, first_batch: u64) {
        let old = |life: &Life| life.removed.is_some_and(|(_, batch)| batch < first_batch);
        self.jobs.values_mut().filter(|life| old(life)).for_each(|life| life.is_forgotten = true);
    }

    /// The head of a job as the facts made it.
    pub fn head(&self, seq: Seq) -> Option<&Job> {
        self.shadow.ledger().jobs.get(seq)
    }

    /// What a name's number stands for.
    pub fn text(&self, id: NameId) -> &str {
        self.shadow.ledger().names.text(id)
    }

    /// Whether every job is ended or gone.
    pub fn is_over(&self) -> bool {
        self.jobs.values().all(|life| life.removed.is_some() || life.state.is_final())
    }

    // ------------------------------------------------------------------ the rules

    fn admit(&mut self, batch: u64, fact: &Fact) {
        self.print = mixed(self.print ^ mixed(batch) ^ fingerprint(fact));
        match fact {
            Fact::Started { epoch, at } => {
                assert!(*epoch > self.last_epoch, "epoch {epoch} after {}", self.last_epoch);
                self.last_epoch = *epoch;
                self.latest = self.latest.max(*at);
            }
            Fact::SessionOpened { id, .. } => {
                assert!(self.sessions.insert(*id), "session {id} was opened twice");
            }
            Fact::Named { id, name } => {
                let old = self.shadow.ledger().names.get(*id);
                assert!(old.is_none(), "name {id} means {old:?} and {name:?}");
            }
            Fact::NameDropped { id } => self.check_unused(*id),
            Fact::Enqueued { seq, job } => self.enqueued(*seq, job),
            Fact::Leased { seq, lease } => self.leased(*seq, lease),
            Fact::Completed { seq, end, .. } => self.completed(*seq, *end),
            Fact::Returned { seq, counts, settled, note, .. } => {
                self.lease_ended(*seq, *counts, *settled, note.is_some());
                self.life(*seq).state = State::Ready;
            }
            Fact::Died { seq, end, reason: DeadReason::Dependency, .. } => {
                assert!(self.waiting(*seq, fact).is_tied(), "job {seq} waited for nobody");
                self.end(*seq, State::Dead, *end);
            }
            Fact::Died { seq, end, reason, counts, settled, note, .. } => {
                self.lease_ended(*seq, *counts, *settled, note.is_some());
                self.died(*seq, *reason);
                self.end(*seq, State::Dead, *end);
            }
            Fact::Cancelled { seq, end, settled, note } => {
                self.cancelled(*seq, *end, *settled, note.is_some())
            }
            Fact::Expired { seq, end } => {
                assert!(self.waiting(*seq, fact).fence.is_none(), "job {seq} has started: {fact:?}");
                self.end(*seq, State::Expired, *end);
            }
            Fact::Retried { seq, reset, .. } => self.retried(*seq, *reset),
            Fact::Removed { seq, id, at, .. } => self.removed(batch, *seq, *id, *at),
            Fact::Extended { seq, .. } | Fact::CancelAsked { seq, .. } | Fact::Overran { seq, .. } => {
                if let Fact::CancelAsked { .. } = fact
                    && self.is_superseded(*seq)
                {
                    let id = self.life(*seq).new.id;
                    self.asked.cancels.insert(id);
                }
                assert!(self.life(*seq).fence.is_some(), "job {seq} is not leased: {fact:?}");
            }
            Fact::Reported { seq, .. } => drop(self.life(*seq).new.id),
            Fact::Readied { seq }
            | Fact::Rescheduled { seq, .. }
            | Fact::Replaced { seq, .. }
            | Fact::Reshaped { seq, .. }
            | Fact::Buried { seq, .. }
            | Fact::Held { seq, .. }
            | Fact::Blocked { seq }
            | Fact::Freed { seq, .. }
            | Fact::Appended { seq, .. } => self.waited(*seq, fact),
            Fact::Emptied { seq } => {
                let life = self.life(*seq);
                assert!(life.end.is_some(), "job {seq} is emptied before its end");
                life.is_emptied = true;
            }
            _ => {}
        }
    }

    /// What happens to a job that waits.
    fn waited(&mut self, seq: Seq, fact: &Fact) {
        let life = self.waiting(seq, fact);
        life.is_touched |= !matches!(fact, Fact::Readied { .. });
        if let Fact::Reshaped { reshape, .. } = fact {
            (life.new.queue, life.new.key, life.new.terms) = (reshape.queue, reshape.key, reshape.terms);
            life.new.ordering = reshape.ordering;
        } else if let Fact::Held { .. } | Fact::Blocked { .. } = fact {
            life.is_kept_back = true;
        } else if let Fact::Freed { .. } = fact {
            life.is_kept_back = false;
        } else if let Fact::Buried { end, .. } = fact {
            self.end(seq, State::Dead, *end);
        } else {
            assert!(!matches!(fact, Fact::Appended { .. }), "nobody appends to job {seq}");
        }
    }

    fn life(&mut self, seq: Seq) -> &mut Life {
        let life = self.jobs.get_mut(&seq).unwrap_or_else(|| panic!("job {seq} was never enqueued"));
        assert!(life.removed.is_none(), "job {seq} was removed");
        life
    }

    fn waiting(&mut self, seq: Seq, fact: &Fact) -> &mut Life {
        let life = self.life(seq);
        assert_eq!(life.state, State::Ready, "job {seq} does not wait: {fact:?}");
        life
    }

    fn enqueued(&mut self, seq: Seq, new: &NewJob) {
        let last = self.jobs.last_key_value().map_or(0, |(&last, _)| last);
        assert_eq!(seq, last + 1, "seqs rise by one");
        self.latest = self.latest.max(new.created_at);
        if let Some(known) = self.by_id.get(&(new.namespace, new.id)).map(|known| &self.jobs[known]) {
            let (at, _) = known.removed.unwrap_or_else(|| panic!("job {} is stored twice", new.id));
            let shown = self.latest.max(new.created_at + self.set_back_ms);
            let is_late = shown.saturating_sub(at) >= IDEMPOTENCY_WINDOW_MS;
            assert!(is_late || known.is_forgotten, "job {} came again within the window", new.id);
        }
        self.by_id.insert((new.namespace, new.id), seq);
        self.totals.entry(new.queue).or_default().enqueued += 1;
        let life = Life {
            new: new.clone(),
            state: State::Ready,
            is_kept_back: false,
            is_touched: false,
            fences: Vec::new(),
            fence: None,
            notes: Vec::new(),
            attempt: 0,
            granted: 0,
            crashes: 0,
            end: None,
            removed: None,
            is_emptied: false,
            is_forgotten: false,
        };
        let is_kept_back = life.is_tied();
        self.jobs.insert(seq, Life { is_kept_back, ..life });
    }

    /// G6: nobody overtakes an older one of the same lane, and of a serial key one runs at a time.
    fn check_order(&mut self, seq: Seq) {
        let life = &self.jobs[&seq];
        let (new, is_plain) = (&life.new, life.is_plain());
        let lane = |new: &NewJob| (new.queue, new.level, new.kind, new.key, new.gate, new.terms);
        let overtaken = self.jobs.range(..seq).find(|(older, life)| {
            let is_of_lane = is_plain && lane(&life.new) == lane(new) && life.is_plain();
            is_of_lane && self.head(**older).is_some_and(|job| job.state == State::Ready)
        });
        assert!(overtaken.is_none(), "job {seq} overtakes {overtaken:?}");
        if new.key > 0 && new.ordering != Ordering::Fair {
            let other = self.serial.insert((new.queue, new.key), seq);
            assert!(other.is_none(), "jobs {other:?} and {seq} of one serial key run at a time");
        }
    }

    fn leased(&mut self, seq: Seq, lease: &NewLease) {
        let newest = self.leases.last_key_value().map_or(0, |(&fence, _)| fence);
        assert!(lease.fence > newest, "fence {} after {newest}", lease.fence);
        assert_eq!(lease.fence >> 40, u64::from(self.last_epoch), "a fence of another epoch");
        assert!(self.shadow.ledger().sessions.contains_key(&lease.session), "a lease of nobody");
        self.check_order(seq);
        let most = self.max_attempts(seq);
        let life = self.life(seq);
        assert!(life.fence.is_none(), "job {seq} is leased twice at a time");
        assert_eq!(life.state, State::Ready, "job {seq} has ended and runs again");
        assert!(!life.is_kept_back, "job {seq} runs, and was to wait");
        life.attempt += 1;
        life.state = State::Leased;
        assert!(life.attempt <= most + life.granted, "job {seq} makes attempt {} of {most}", life.attempt);
        life.fence = Some(lease.fence);
        life.fences.push(lease.fence);
        let (session, attempt) = (lease.session, life.attempt);
        self.leases.insert(lease.fence, Leased { seq, session, attempt, ended: None });
    }

    fn end_lease(&mut self, seq: Seq, settled: bool) -> u64 {
        let fence = self.life(seq).fence.take();
        let fence = fence.unwrap_or_else(|| panic!("job {seq} had no lease to end"));
        self.leases.get_mut(&fence).expect("it was granted").ended = Some(settled);
        self.serial.retain(|_, running| *running != seq);
        fence
    }

    fn lease_ended(&mut self, seq: Seq, counts: Counts, settled: bool, noted: bool) {
        let queue = self.life(seq).new.queue;
        let totals = self.totals.entry(queue).or_default();
        totals.failed_attempts += u64::from(counts == Counts::Attempt);
        totals.crashes += u64::from(counts == Counts::Crash);
        let fence = self.end_lease(seq, settled);
        let life = self.life(seq);
        life.notes.extend(noted.then_some(fence));
        life.attempt -= u32::from(counts != Counts::Attempt);
        life.crashes += u32::from(counts == Counts::Crash);
    }

    fn completed(&mut self, seq: Seq, end: End) {
        if self.life(seq).is_group() {
            assert!(self.life(seq).fences.is_empty(), "group {seq} has run");
        } else {
            self.end_lease(seq, true);
        }
        self.end(seq, State::Completed, end);
    }

    fn died(&mut self, seq: Seq, reason: DeadReason) {
        let (most, crashes) = (self.max_attempts(seq), self.max_crashes(seq));
        let life = self.life(seq);
        let justified = match reason {
            DeadReason::Fatal => true,
            DeadReason::Failed | DeadReason::Timeout | DeadReason::Stalled => life.attempt >= most,
            DeadReason::Poison => life.crashes >= crashes,
            DeadReason::Operator | DeadReason::Dependency => false,
        };
        assert!(justified, "job {seq} is dead ({reason:?}) too early: {life:?}");
    }

    fn cancelled(&mut self, seq: Seq, end: End, settled: bool, noted: bool) {
        if self.life(seq).fence.is_some() {
            let fence = self.end_lease(seq, settled);
            self.life(seq).notes.extend(noted.then_some(fence));
        } else {
            assert!(!settled, "job {seq} had no worker to settle it");
        }
        let id = self.life(seq).new.id;
        let is_meant = settled
            || self.asked.cancels.contains(&id)
            || self.is_superseded(seq)
            || self.life(seq).is_tied();
        assert!(is_meant, "job {seq} was cancelled by nobody");
        self.end(seq, State::Cancelled, end);
    }

    /// The next tick of its schedule may take its place.
    fn is_superseded(&self, seq: Seq) -> bool {
        self.head(seq).is_some_and(|job| self.rota.may_supersede(job.schedule()))
    }

    fn end(&mut self, seq: Seq, state: State, end: End) {
        let life = self.life(seq);
        assert!(!life.state.is_final(), "job {seq} ends twice");
        life.state = state;
        life.end = Some(end);
        let queue = life.new.queue;
        let totals = self.totals.entry(queue).or_default();
        totals.completed += u64::from(state == State::Completed);
        totals.dead += u64::from(state == State::Dead);
        totals.cancelled += u64::from(state == State::Cancelled);
        totals.expired += u64::from(state == State::Expired);
        self.latest = self.latest.max(end.at);
    }

    fn retried(&mut self, seq: Seq, reset: bool) {
        let id = self.life(seq).new.id;
        assert!(self.asked.retries.contains(&id), "job {seq} was retried by nobody");
        let life = self.life(seq);
        assert!(life.fence.is_none(), "job {seq} runs and is retried");
        (life.state, life.is_kept_back) = (State::Ready, false);
        life.end = None;
        if reset {
            (life.attempt, life.granted, life.crashes) = (0, 0, 0);
        } else {
            life.granted += 1;
        }
    }

    fn removed(&mut self, batch: u64, seq: Seq, id: JobId, at: Ms) {
        let life = self.life(seq).clone();
        assert_eq!(life.new.id, id, "the id of job {seq}");
        let over = life.end.is_some_and(|end| end.remove_at <= at);
        let trimmed = life.end.is_some_and(|end| end.countable) && self.is_over_full(life.new.queue);
        let asked = self.asked.deletes.contains(&id);
        assert!(over || trimmed || asked, "job {seq} was removed for no reason: {life:?}");
        if let Some(fence) = life.fence {
            self.leases.get_mut(&fence).expect("it was granted").ended = Some(false);
            self.serial.retain(|_, running| *running != seq);
        }
        self.latest = self.latest.max(at);
        let life = self.life(seq);
        life.fence = None;
        life.removed = Some((at, batch));
    }

    fn is_over_full(&self, queue: NameId) -> bool {
        let conf = self.shadow.ledger().resources.get(&ResourceKey::Queue(queue));
        let most = conf.and_then(|row| row.body.policy()?.keep_done_max);
        let kept = |life: &&Life| {
            let countable = life.end.is_some_and(|end| end.countable);
            life.removed.is_none() && life.new.queue == queue && countable
        };
        self.jobs.values().filter(kept).count() > most.unwrap_or(default::KEEP_DONE_MAX) as usize
    }

    fn policy(&self, seq: Seq) -> Policy {
        let id = self.jobs[&seq].new.terms;
        match self.shadow.ledger().names.get(id) {
            Some(Name::Terms(terms)) => terms.policy.clone(),
            _ if id == 0 => Policy::default(),
            other => panic!("the terms {id} of job {seq} are {other:?}"),
        }
    }

    /// In a simulation only jobs say how many attempts they have.
    fn max_attempts(&self, seq: Seq) -> u32 {
        self.policy(seq).max_attempts.unwrap_or(default::MAX_ATTEMPTS)
    }

    fn max_crashes(&self, seq: Seq) -> u32 {
        self.policy(seq).max_crashes.unwrap_or(default::MAX_CRASHES)
    }

    fn check_unused(&self, id: NameId) {
        let used = |life: &&Life| {
            life.removed.is_none() && [life.new.key, life.new.terms, life.new.gate].contains(&id)
        };
        let user = self.jobs.iter().find(|(_, life)| used(life));
        assert!(user.is_none(), "name {id} was dropped, and {user:?} has it");
    }

    /// What the broker says it counted is what happened.
    fn check_totals(&self) {
        let counted = &self.shadow.ledger().totals;
        for (queue, totals) in &self.totals {
            let told = counted.get(queue).map(|row| row.totals);
            assert_eq!(told, Some(*totals), "the totals of queue {queue}");
        }
    }
}

/// 64 bits that change with any part of a fact.
fn fingerprint(fact: &Fact) -> u64 {
    let bytes = windlass_broker::store::record::encode_facts(std::slice::from_ref(fact));
    bytes.chunks(8).fold(bytes.len() as u64, |print, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mixed(print ^ u64::from_le_bytes(word))
    })
}
