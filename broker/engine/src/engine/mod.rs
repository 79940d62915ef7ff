//! The engine: commands and time in, facts and frames out; the one match over the verbs.

mod decide;
mod recovery;

pub(crate) use decide::{Ties, share};

use crate::command::{Code, Command, Refusal};
use crate::fact::Fact;
use crate::frame::{Body, Frame, Signal};
use crate::ids::{ConnId, JobId, Ms, NameId, Request, SessionId};
use crate::ledger::Ledger;
use crate::ledger::job::{Job, State};
use crate::limits::{JOBS_MAX_DEFAULT, RESUME_WINDOW_MS};
use crate::roster::{EndedIds, Presence, Roster};
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
    /// It is the disk that has little room.
    pub disk_low: bool,
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
            roster: Roster { ended_ids: EndedIds::new(seed), ..Roster::default() },
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

    /// Decides one command. Exactly one terminal frame answers it, now or later.
    pub fn apply(&mut self, now: Ms, from: Request, command: Command, turn: &mut Turn) {
        self.now = now;
        match command {
            Command::Hello(hello) => return self.hello(now, from, *hello, turn),
            Command::Sign => return self.sign(now, from.conn),
            Command::Hangup => return self.hangup(now, from.conn),
            Command::Unchoke => return self.unchoke(from.conn),
            Command::Tick(tick) => return self.ticked(now, &tick, turn),
            Command::Enqueue(_)
            | Command::Fetch(_)
            | Command::Settle(_)
            | Command::Touch(_)
            | Command::Change(_)
            | Command::Tell(_)
            | Command::Stop { .. }
            | Command::Query(_)
            | Command::Watch(_)
            | Command::Put(_)
            | Command::AdvanceClock(_)
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
            Command::Tell(tell) => self.tell_sessions(asker, &tell, turn),
            Command::Stop { id, reason } => self.stop_operation(asker, id, &reason, turn),
            Command::Query(query) => self.query(asker, query, turn),
            Command::Watch(watch) => self.watch(asker, *watch, turn),
            Command::Put(put) => self.put(asker, &put, turn),
            Command::Bye { keep_leases } => self.bye(asker, keep_leases, turn),
            Command::AdvanceClock(_) => turn.refuse(from, no_test_clock()),
            Command::Hello(_) | Command::Sign | Command::Unchoke | Command::Hangup | Command::Tick(_) => {}
        }
    }

    /// What time asks for, then who gets which job. Ends every turn.
    pub fn tick(&mut self, now: Ms, turn: &mut Turn) {
        self.now = now;
        self.fire(now, turn);
        self.survey_on(now, turn);
        self.flow(now, turn);
        self.lighten(turn);
        self.hurry(now);
        self.dispatch(now, turn);
        self.alert(now, turn);
        self.catch_up(turn);
        self.roster.watches.renew(now);
        self.store_deliveries(turn);
        self.count(turn, false);
        self.drop_names(turn);
        self.roster.ended_ids.expire(now);
    }

    /// When to call [`Engine::tick`] if nothing else happens; 0 = at once, work is left.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Ms> {
        if !self.roster.surveys.is_empty()
            || !self.ledger.fallouts.is_empty()
            || !self.roster.schedules.wanted.is_empty()
            || !self.roster.heavy.is_empty()
            || self.roster.lookout.is_looking()
        {
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

    /// From now on silence does not count while a connection is open: under a test clock a week may
    /// pass between two beats.
    pub fn ignore_silence(&mut self) {
        self.roster.ignores_silence = true;
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
        if self.pressure.no_enqueue && !pressure.no_enqueue {
            self.roster.schedules.wake(&mut self.roster.timers);
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
        self.count(turn, true);
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

fn no_test_clock() -> Refusal {
    let message = "this broker has no test clock; start one with `serve --ephemeral --test-clock`";
    Refusal::new(Code::Unsupported, "", message)
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) from: Request,
    pub(crate) session: SessionId,
    pub(crate) namespace: NameId,
    pub(crate) now: Ms,
}
