//! Histories: random commands from a seed, told to the engine and to a naive broker alike. After
//! each turn both must agree, and what was delivered must have been allowed.
//!
//! It covers Hello, resuming, attaching, Bye, hang-ups and silence (`reference/session.rs`); Enqueue with
//! keys, priorities, delays, expiry, dedup keys and holds (`unique.rs`), jobs that wait for jobs and groups
//! (`flows.rs`); streams, long polls, batches, weights and labels (`reference/stream.rs`); limits, pauses and
//! serial keys (`allowance.rs`); every end of a run, jobs that follow from one, time-outs and stalls
//! (`overrun.rs`), what handlers say (`said.rs`); every change of jobs by ids and by filters; orders to workers
//! (`orders.rs`); watches (`ears.rs`) and explanations (`causes.rs`); a low disk, peers that do not read,
//! restarts in order and not. Schedules have histories of their own (`rota.rs`), clocks that jump are in
//! `storm.rs`, disks and networks in `tests/simulation`; breakers are in scenarios only.

mod deeds;

use crate::causes;
use crate::dice::Dice;
use crate::ears::{self, Ears};
use crate::flows;
use crate::fold::Store;
use crate::orders;
use crate::reference::Model;
use crate::said::{self, Said};
use crate::unique;
use crate::verdict;
use crate::world::{Asked, World};
use std::collections::BTreeSet;
use windlass_engine::Fact;
use windlass_engine::command::{
    Batch, Beat, Change, Command, Enqueue, ErrorNote, Fetch, Hello, Hold, How, JobSpec, JobTouch, Mutation,
    Patch, Put, Query, Scope, Select, SetResource, Settlement, Spawn, Target, Touch, Wishes,
};
use windlass_engine::engine::Pressure;
use windlass_engine::fact::ResourceBody;
use windlass_engine::filter::{Filter, NumberColumn, Pattern, Test, TextColumn};
use windlass_engine::frame::{Body, Frame};
use windlass_engine::ids::{ConnId, JobId, Ms, Request, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::limit::Limit;
use windlass_engine::policy::{Backoff, Ordering, Policy};
use windlass_engine::queue_conf::{Dispatch, QueueConf};
use windlass_engine::terms::{Gate, Terms};

const QUEUES: [&str; 3] = ["mail", "bills", "low"];
const KINDS: [&str; 3] = ["send", "print", "send"];
const KEYS: [&str; 3] = ["", "anna", "bob"];

/// One history: a world, its naive twin and the dice.
pub(crate) struct History {
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) dice: Dice,
    /// Leases that somebody was ever given.
    known: Vec<(SessionId, JobId, u64)>,
    pub(crate) pressure: bool,
    ears: Ears,
    said: Said,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new();
        let mut model = Model { started_at: world.now, ..Model::default() };
        let mut dice = Dice::new(seed);
        world.joins = dice.one_in(2);
        let most = 1 + dice.roll(4) as usize;
        model.keep_max.insert("mail".into(), most);
        let mut history = Self {
            world,
            model,
            dice,
            known: Vec::new(),
            pressure: false,
            ears: Ears::default(),
            said: Said::default(),
        };
        let conn = history.connect(None, None, 60_000);
        let policy = Policy { keep_done_max: Some(most as u32), ..Policy::default() };
        let dispatch = dispatch_of(history.dice.roll(2));
        let keep_bytes = history.dice.roll(2) * 60;
        if keep_bytes > 0 {
            history.model.keep_bytes.insert("mail".into(), keep_bytes);
        }
        let conf = QueueConf { policy, dispatch, keep_bytes, ..QueueConf::default() };
        let body = ResourceBody::Queue(conf);
        let set = vec![SetResource {
            target: Target::Queue("mail".into()),
            if_version: 0,
            body,
            scope: Scope::default(),
        }];
        history.play(conn, Command::Put(Put { set, ..Put::default() }));
        history
    }

    /// One random step: time, a command, or something that happens to the broker.
    pub(crate) fn step(&mut self) {
        let conns: Vec<ConnId> = self.world.conns.values().copied().collect();
        match self.dice.roll(100) {
            0..20 => self.pass(),
            20..26 => self.hello(),
            26 => self.trouble(),
            27..30 => self.with(&conns, Self::leave),
            30..50 => self.with(&conns, Self::enqueue),
            50..62 => self.with(&conns, Self::fetch),
            62..84 => self.with(&conns, Self::settle),
            84..87 => self.with(&conns, Self::touch),
            87 => self.with(&conns, Self::tell),
            88..95 => self.with(&conns, Self::change),
            95..97 => self.with(&conns, Self::pause),
            97 => self.choke(&conns),
            98 => self.with(&conns, Self::watch),
            _ => self.fold_names(),
        }
        self.explain();
    }

    /// What keeps some job. The first of them asks, so that no other session lives longer for it.
    fn explain(&mut self) {
        let ids: Vec<JobId> = self.model.jobs.iter().map(|job| job.spec.id).collect();
        if let (Some(&conn), Some(id)) = (self.world.conns.values().min(), self.dice.of(&ids)) {
            self.play(conn, Command::Query(Query::Explain(id)));
        }
    }

    fn with(&mut self, conns: &[ConnId], act: impl Fn(&mut Self, ConnId)) {
        if let Some(conn) = self.dice.of(conns) {
            act(self, conn);
        }
    }

    /// The clock runs; every tick is compared.
    fn pass(&mut self) {
        let longest = [50, 2_000, 20_000, 700_000];
        let longest = if self.dice.one_in(30) { longest[3] } else { longest[self.dice.roll(3) as usize] };
        let until = self.world.now + self.dice.roll(longest);
        let mut idle = 0;
        while let Some(at) = self.world.engine.next_deadline().filter(|&at| at <= until) {
            idle = if at > self.world.now { 0 } else { idle + 1 };
            assert!(idle < 100, "ticking makes no progress");
            self.world.now = self.world.now.max(at);
            self.turn(Vec::new());
        }
        let due = self.model.next_due();
        assert!(due.is_none_or(|due| due > until), "the engine sleeps through {due:?}, now {until}");
        self.world.now = until;
    }

    // ------------------------------------------------------------------ turns

    pub(crate) fn play(&mut self, conn: ConnId, command: Command) -> Vec<Frame> {
        let request = self.world.request(conn, Asked::default());
        self.turn(vec![(request, command)])
    }

    fn turn(&mut self, commands: Vec<(Request, Command)>) -> Vec<Frame> {
        let now = self.world.now;
        let before = self.world.facts;
        let frames = self.world.turn(commands.clone());
        let facts: Vec<Fact> = self.world.facts_since(before);
        self.model.ends.clear();
        self.model.returned(&facts);
        for (from, command) in &commands {
            self.follow(*from, command, &frames, &facts);
            self.model.free_keys(now);
        }
        self.finish(now, &frames, &facts);
        frames
    }

    /// What the turn did besides its commands.
    fn finish(&mut self, now: Ms, frames: &[Frame], facts: &[Fact]) {
        self.model.fire(now);
        self.model.flow(now);
        self.model.lighten();
        verdict::check_deliveries(&mut self.model, now, frames, facts);
        for frame in frames {
            if let Body::Deliver { works, .. } = &frame.body {
                let session = self.world.attached[&frame.to.conn];
                self.known.extend(works.iter().map(|work| (session, work.id, work.fence)));
            }
        }
        self.ears.check(&self.world, &self.model, frames, facts);
        self.said.check(&self.world, &self.model, frames);
        verdict::check_ends(&self.model, (&self.ears, &self.said), &self.world, frames);
        verdict::check_state(&self.model, &self.world, self.pressure);
        let open: BTreeSet<ConnId> = self.world.conns.values().copied().collect();
        self.world.asked.retain(|from, asked| !asked.is_over && !asked.is_mute && open.contains(&from.conn));
    }

    /// Tells the naive broker what the engine was told, and compares their answers.
    fn follow(&mut self, from: Request, command: &Command, frames: &[Frame], facts: &[Fact]) {
        let now = self.world.now;
        let answer = frames.iter().find(|frame| frame.to == from && frame.last).map(|frame| &frame.body);
        let session = self.world.attached.get(&from.conn).copied().unwrap_or(SessionId([0; 16]));
        let model = &mut self.model;
        if !matches!(command, Command::Hello(_) | Command::Hangup | Command::Unchoke) {
            model.sign(session, now);
        }
        match command {
            Command::Hello(hello) => {
                let Some(Body::Welcome(welcome)) = answer else {
                    assert!(
                        hello.running.is_none() && !model.sessions.contains_key(&hello.resume.expect("set"))
                    );
                    self.world.conns.retain(|_, conn| *conn != from.conn);
                    return;
                };
                let known = model.sessions.contains_key(&welcome.session);
                assert_eq!(known, hello.resume == Some(welcome.session), "resumed or opened");
                let running = hello.running.as_ref().filter(|_| known);
                let kept = running.map(|list| model.take_over(welcome.session, list, now));
                assert_eq!(kept.unwrap_or_default(), welcome.leases_kept, "kept leases");
                model.attach(welcome.session, from.conn, hello.session_ttl_ms, now);
            }
            Command::Hangup => model.hangup(from.conn, now),
            Command::Unchoke => drop(model.choked.remove(&from.conn)),
            Command::Bye { keep_leases } => model.bye(session, from.conn, *keep_leases, now),
            Command::Enqueue(enqueue) if enqueue.wait_ms.is_some() => {
                enqueue.jobs.iter().flatten().for_each(|spec| {
                    let _known = model.enqueue(spec, now);
                });
                self.ears.wait(from, enqueue, model, now);
            }
            Command::Enqueue(enqueue) => verdict::check_enqueue(model, enqueue, answer, now),
            Command::Watch(watch) => self.ears.watch(from, watch, model),
            Command::Settle(results) => {
                let settled = verdict::check_settle(model, session, results, answer, facts, now);
                for (id, bytes) in settled {
                    self.said.settled(id, bytes, now);
                }
            }
            Command::Touch(touch) => {
                touch.beat.iter().for_each(|beat| model.orders.beat(session, beat));
                if verdict::check_touch(model, session, touch, answer, now) {
                    self.said.touched(from, &touch.jobs[0], answer.is_some(), now);
                }
            }
            Command::Tell(tell) => orders::check_tell(model, session, tell, answer, now),
            Command::Change(change) => {
                verdict::check_change(model, change, answer, now);
                verdict::check_audit(change, answer, facts);
            }
            Command::Fetch(fetch) => verdict::check_fetch(model, session, from, fetch, answer, now),
            Command::Put(put) => model.allowance.put(put),
            Command::Query(Query::Explain(id)) => causes::check(model, *id, self.pressure, answer, now),
            Command::Sign
            | Command::Query(_)
            | Command::Stop { .. }
            | Command::AdvanceClock(_)
            | Command::Tick(_) => {}
        }
    }

    // ------------------------------------------------------------------ what may happen

    fn connect(&mut self, resume: Option<SessionId>, running: Option<Vec<(JobId, u64)>>, ttl: Ms) -> ConnId {
        let number = self.world.actors.len();
        let conn = self.world.connect(&format!("c{number}"));
        let mut fresh = [0xff; 16];
        fresh[..8].copy_from_slice(&conn.to_be_bytes());
        let hello = Hello {
            namespace: "default".into(),
            client: "model".into(),
            host: String::new(),
            pid: 0,
            labels: Vec::new(),
            session_ttl_ms: ttl,
            resume,
            running,
            fresh: SessionId(fresh),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        self.play(conn, Command::Hello(Box::new(hello)));
        conn
    }

    fn hello(&mut self) {
        if self.world.conns.len() >= 6 {
            return;
        }
        let ttl = 1_000 + self.dice.roll(15_000);
        let seen: BTreeSet<SessionId> = self.world.attached.values().copied().collect();
        let standing: Vec<SessionId> = self.model.sessions.keys().copied().collect();
        let ever: Vec<SessionId> = seen.into_iter().collect();
        let (resume, running) = match self.dice.roll(5) {
            0 | 1 => (None, None),
            2 => (self.dice.of(&standing), None),
            3 => (self.dice.of(&ever), None),
            _ => (self.dice.of(&standing), Some(())),
        };
        let running = running.filter(|()| resume.is_some()).map(|()| {
            let mine = self.known.iter().filter(|(session, ..)| Some(*session) == resume);
            let mine: Vec<(JobId, u64)> = mine.map(|&(_, id, fence)| (id, fence)).collect();
            mine.into_iter().filter(|_| !self.dice.one_in(4)).collect()
        });
        self.connect(resume, running, ttl);
    }

    /// The broker ends, loses its room, or gets it back.
    fn trouble(&mut self) {
        let in_order = match self.dice.roll(3) {
            0 => {
                self.pressure = !self.pressure;
                let pressure = Pressure { no_leases: self.pressure, ..Pressure::default() };
                self.world.engine.set_pressure(pressure);
                self.turn(Vec::new());
                return;
            }
            roll => roll == 1,
        };
        self.world.now += self.dice.roll(30_000);
        self.world.restart(in_order);
        self.said.restart(&self.world);
        self.model.restart(!in_order, self.world.now);
        self.pressure = false;
    }

    fn leave(&mut self, conn: ConnId) {
        let command = match self.dice.roll(4) {
            0 => Command::Bye { keep_leases: false },
            1 => Command::Bye { keep_leases: true },
            _ => Command::Hangup,
        };
        self.play(conn, command);
    }
    fn choke(&mut self, conns: &[ConnId]) {
        let Some(conn) = self.dice.of(conns) else { return };
        if self.model.choked.contains(&conn) {
            self.play(conn, Command::Unchoke);
        } else {
            self.world.engine.choke(conn);
            self.model.choked.insert(conn);
        }
    }

    /// The store says how far it has folded, so that unused names can go.
    fn fold_names(&mut self) {
        let mut turn = self.world.begin_turn();
        let replay_from = self.world.store.as_ref().map_or(0, Store::replay_from);
        self.world.engine.folded(replay_from, &mut turn);
        let before = self.world.facts;
        let frames = self.world.end_turn(turn);
        let facts = self.world.facts_since(before);
        self.model.ends.clear();
        self.model.returned(&facts);
        self.finish(self.world.now, &frames, &facts);
    }
}

fn dispatch_of(roll: u64) -> Dispatch {
    if roll == 0 { Dispatch::LongestIdle } else { Dispatch::Random }
}

/// How many histories; SIM_SEEDS asks for more or fewer.
pub(crate) fn seeds(first: u64, usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    first..first + asked.unwrap_or(usual)
}

/// Runs one history a seed; who fails is told by its seed.
#[allow(clippy::print_stdout, reason = "the test's own output, shown when it fails")]
pub(crate) fn each<T>(seeds: std::ops::Range<u64>, run: impl Fn(u64) -> T) -> Vec<T> {
    let run = std::panic::AssertUnwindSafe(run);
    let tell = |seed: u64| {
        std::panic::catch_unwind(|| (*run)(seed)).unwrap_or_else(|error| {
            println!("the history of seed {seed} fails");
            std::panic::resume_unwind(error)
        })
    };
    seeds.map(tell).collect()
}

fn histories(seeds: std::ops::Range<u64>, steps: usize) {
    each(seeds, |seed| {
        let mut history = History::new(seed);
        (0..steps).for_each(|_| history.step());
        history.world.compare_with_replay();
    });
}

#[test]
fn short_histories_agree_with_the_naive_broker() {
    histories(seeds(0, 400), 60);
}

#[test]
fn long_histories_agree_with_the_naive_broker() {
    histories(seeds(1_000_000, 10), 800);
}
