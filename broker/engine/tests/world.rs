//! A world for tests: one engine, its clock, its journal, and named actors on connections.

use crate::almanac;
use crate::fold::Store;
use crate::speech::say_at;
use crate::words::duration;
use std::collections::BTreeMap;
use windlass_engine::command::Command;
use windlass_engine::engine::Start;
use windlass_engine::fact::Fact;
use windlass_engine::frame::{Body, Cursor, Frame};
use windlass_engine::ids::{ConnId, JobId, Ms, Request, SessionId};
use windlass_engine::ledger::Ledger;
use windlass_engine::ledger::job::Job;
use windlass_engine::schedule::tick_id;
use windlass_engine::{Engine, Turn};

/// Midnight of every scenario.
pub(crate) const DAWN: Ms = 1_800_000_000_000;

/// One engine and all that a driver and a network would add to it.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Ms,
    pub(crate) batch: u64,
    /// What a disk would hold: the facts of each batch.
    pub(crate) journal: Vec<(u64, Vec<Fact>)>,
    /// Actors by name, as long as their connection is open.
    pub(crate) conns: BTreeMap<String, ConnId>,
    /// The names of all connections there ever were.
    pub(crate) actors: BTreeMap<ConnId, String>,
    /// The session of each connection there ever was.
    pub(crate) attached: BTreeMap<ConnId, SessionId>,
    /// Sessions by the name of the actor who opened them.
    pub(crate) sessions: BTreeMap<String, SessionId>,
    /// The last fence that a session was given for a job.
    pub(crate) fences: BTreeMap<(SessionId, JobId), u64>,
    /// Where the last page of rows ended.
    pub(crate) cursor: Option<Cursor>,
    /// What was asked, to make sense of the answer.
    pub(crate) asked: BTreeMap<Request, Asked>,
    /// Turns may join the batch before them, as they do while a sync takes its time.
    pub(crate) joins: bool,
    /// Batches up to this one are complete.
    sealed: u64,
    /// What a store holds beside the journal, if there is one.
    pub(crate) store: Option<Store>,
    /// Keeps clients from choosing hash collisions.
    pub(crate) seed: u64,
    /// How many facts there ever were.
    pub(crate) facts: usize,
    next_request: u64,
}

/// A request, as far as its answer needs it.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    /// The jobs it named, in order.
    pub(crate) jobs: Vec<JobId>,
    /// The name of the stream that it opened.
    pub(crate) label: String,
    /// Its last frame has come.
    pub(crate) is_over: bool,
    /// It gets no answer: a sign of life, a closed connection.
    pub(crate) is_mute: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(7),
            now: DAWN,
            batch: 0,
            journal: Vec::new(),
            conns: BTreeMap::new(),
            actors: BTreeMap::new(),
            attached: BTreeMap::new(),
            sessions: BTreeMap::new(),
            fences: BTreeMap::new(),
            cursor: None,
            asked: BTreeMap::new(),
            joins: false,
            sealed: 0,
            store: None,
            seed: 7,
            facts: 0,
            next_request: 1,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.sealed = self.batch;
        let mut turn = Turn::new(self.batch + 1);
        self.engine.start(Start { now: self.now, minutes: 1 }, &mut turn);
        self.commit(turn);
    }

    /// The process ends, in order or not, and comes back with what its journal holds.
    pub(crate) fn restart(&mut self, in_order: bool) {
        if in_order {
            let mut turn = self.begin_turn();
            self.engine.stop(&mut turn);
            self.commit(turn);
        }
        self.engine = match &mut self.store {
            Some(store) => {
                store.crashed(&self.journal);
                store.recover(self.seed, &self.journal)
            }
            None => replayed(self.seed, &self.journal),
        };
        self.conns.clear();
        self.start();
    }

    /// A turn: these commands, then the tick.
    pub(crate) fn turn(&mut self, commands: Vec<(Request, Command)>) -> Vec<Frame> {
        let mut turn = self.begin_turn();
        for (from, command) in commands {
            let is_hangup = matches!(command, Command::Hangup);
            if let Some(asked) = self.asked.get_mut(&from) {
                asked.is_mute = matches!(command, Command::Hangup | Command::Sign | Command::Unchoke);
            }
            self.engine.apply(self.now, from, command, &mut turn);
            if is_hangup {
                self.conns.retain(|_, conn| *conn != from.conn);
            }
        }
        self.end_turn(turn)
    }

    /// Ends a turn that something else than a command may have begun.
    pub(crate) fn end_turn(&mut self, mut turn: Turn) -> Vec<Frame> {
        self.engine.tick(self.now, &mut turn);
        let mut was_asked = false;
        while let Some(wanted) = self.engine.wanted() {
            was_asked = true;
            let command = Command::Tick(Box::new(almanac::answer(&wanted)));
            self.engine.apply(self.now, Request { conn: 0, id: 0 }, command, &mut turn);
        }
        if was_asked {
            self.engine.tick(self.now, &mut turn);
        }
        self.commit(turn)
    }

    /// A turn of a new batch, or now and then of the last one again, unless the store has looked at
    /// that as complete.
    pub(crate) fn begin_turn(&mut self) -> Turn {
        let again = self.joins && self.batch > self.sealed && !self.facts.is_multiple_of(3);
        if again {
            return Turn::new(self.batch);
        }
        self.sealed = self.batch;
        if let Some(store) = &mut self.store {
            store.work(self.engine.ledger(), &self.journal);
        }
        Turn::new(self.batch + 1)
    }

    fn commit(&mut self, turn: Turn) -> Vec<Frame> {
        if !turn.facts.is_empty() {
            self.facts += turn.facts.len();
            match self.journal.last_mut() {
                Some((batch, facts)) if *batch == turn.batch => facts.extend(turn.facts),
                Some(_) | None => self.journal.push((turn.batch, turn.facts)),
            }
            self.batch = turn.batch;
        }
        for frame in &turn.frames {
            self.hear(frame);
        }
        if let Err(error) = self.engine.audit() {
            panic!("the audit fails at {} ms: {error}", self.now - DAWN);
        }
        turn.frames
    }

    /// The facts after the first `count` ones.
    pub(crate) fn facts_since(&self, count: usize) -> Vec<Fact> {
        let new = self.facts - count;
        let mut facts: Vec<Fact> =
            self.journal.iter().rev().flat_map(|(_, facts)| facts.iter().rev()).take(new).cloned().collect();
        facts.reverse();
        facts
    }

    /// Notes what an actor learns from a frame.
    fn hear(&mut self, frame: &Frame) {
        match &frame.body {
            Body::Welcome(welcome) => {
                self.attached.insert(frame.to.conn, welcome.session);
                let name = self.actors[&frame.to.conn].clone();
                let is_known = self.sessions.values().any(|id| *id == welcome.session);
                if !is_known {
                    self.sessions.insert(name, welcome.session);
                }
            }
            Body::Deliver { works, .. } => {
                let session = self.attached[&frame.to.conn];
                self.fences.extend(works.iter().map(|work| ((session, work.id), work.fence)));
            }
            Body::Rows(rows) => self.cursor = rows.cursor.clone(),
            Body::Cut => self.conns.retain(|_, conn| *conn != frame.to.conn),
            Body::Enqueued(_)
            | Body::Settled(_)
            | Body::Touched(_)
            | Body::Changed { .. }
            | Body::Event { .. }
            | Body::Stored(_)
            | Body::Closed
            | Body::ClockAdvanced { .. }
            | Body::Signal(_)
            | Body::Error(_) => {}
        }
        if frame.last
            && let Some(asked) = self.asked.get_mut(&frame.to)
        {
            assert!(!asked.is_over, "two last frames answer {:?}", frame.to);
            asked.is_over = true;
        }
    }

    /// Runs the clock up to `until`, as a driver would; the frames that leave, with their time.
    pub(crate) fn pass(&mut self, until: Ms) -> Vec<(Ms, Frame)> {
        let mut frames = Vec::new();
        let mut idle = 0;
        while let Some(at) = self.engine.next_deadline().filter(|&at| at <= until) {
            idle = if at > self.now { 0 } else { idle + 1 };
            assert!(idle < 10_000, "ticking makes no progress");
            self.now = self.now.max(at);
            frames.extend(self.turn(Vec::new()).into_iter().map(|frame| (self.now, frame)));
        }
        self.now = self.now.max(until);
        frames
    }

    /// A fresh connection for an actor.
    pub(crate) fn connect(&mut self, actor: &str) -> ConnId {
        let conn = self.actors.len() as ConnId + 1;
        self.actors.insert(conn, actor.into());
        self.conns.insert(actor.into(), conn);
        conn
    }

    /// A fresh request of a connection.
    pub(crate) fn request(&mut self, conn: ConnId, asked: Asked) -> Request {
        let request = Request { conn, id: self.next_request };
        self.next_request += 1;
        self.asked.insert(request, asked);
        request
    }

    pub(crate) fn job(&self, id: JobId) -> Option<&Job> {
        self.engine.ledger().jobs.iter().find(|job| job.id == id)
    }

    /// What a second engine makes of the journal is what the first one has.
    pub(crate) fn compare_with_replay(&self) {
        let mut fresh = replayed(self.seed, &self.journal);
        assert_eq!(fresh.ledger().epoch, self.engine.ledger().epoch, "epochs differ");
        fresh.start(Start { now: self.now, minutes: 1 }, &mut Turn::new(self.batch + 1));
        assert_same(fresh.ledger(), self.engine.ledger());
        fresh.audit().expect("the replayed engine agrees with itself");
    }
}

/// A new engine, fed with all facts of a journal; its run has not begun.
fn replayed(seed: u64, journal: &[(u64, Vec<Fact>)]) -> Engine {
    let mut fresh = Engine::new(seed);
    for (batch, facts) in journal {
        for fact in facts {
            fresh.replay(*batch, fact).expect("every fact of a whole journal applies");
        }
    }
    fresh
}

/// Two ledgers hold the same records; their epochs may differ.
pub(crate) fn assert_same(one: &Ledger, other: &Ledger) {
    let jobs = |ledger: &Ledger| -> BTreeMap<u64, Job> {
        ledger.jobs.iter().map(|job| (job.seq, job.clone())).collect()
    };
    assert_eq!(jobs(one), jobs(other), "jobs differ");
    let names = |ledger: &Ledger| -> Vec<_> {
        ledger.names.iter().map(|(id, since, name)| (id, since, name.clone())).collect()
    };
    assert_eq!(names(one), names(other), "names differ");
    assert_eq!(one.sessions, other.sessions, "sessions differ");
    assert_eq!(one.resources, other.resources, "resources differ");
    assert_eq!(one.totals, other.totals, "totals differ");
    assert_eq!(one.failures, other.failures, "failures differ");
    assert_eq!(one.operations, other.operations, "operations differ");
    assert_eq!(one.audits, other.audits, "audits differ");
    assert_eq!(one.claims, other.claims, "claims differ");
    assert_eq!(one.afters, other.afters, "what jobs wait for differs");
    assert_eq!(one.groups, other.groups, "groups differ");
    assert_eq!(one.fallouts, other.fallouts, "what is still to be told differs");
    assert_eq!(one.schedules, other.schedules, "schedules differ");
    assert_eq!(one.seq_next, other.seq_next, "the next seq differs");
}

/// A short name as sixteen bytes; `nightly@1h` is the tick of a schedule.
pub(crate) fn bytes_of(name: &str) -> [u8; 16] {
    if let Some((schedule, at)) = name.split_once('@') {
        return tick_id("default", schedule, DAWN + duration(at)).0;
    }
    let mut bytes = [0; 16];
    assert!(name.len() <= 16, "{name} is too long for an id");
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// Sixteen bytes as the short name they came from.
pub(crate) fn name_of(bytes: [u8; 16]) -> String {
    if bytes[6] >> 4 == 8 && bytes[8] >> 6 == 2 {
        let at = bytes[..6].iter().fold(0, |at, byte| at << 8 | u64::from(*byte));
        return format!("@{}", say_at(at));
    }
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').into()
}
