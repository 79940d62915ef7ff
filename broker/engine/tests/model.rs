//! Histories: random commands from a seed, told to the engine and to a naive broker alike. After
//! each turn both must agree, and what was delivered must have been allowed.

use crate::ears::{self, Ears};
use crate::fold::Store;
use crate::reference::Model;
use crate::unique;
use crate::verdict;
use crate::world::{Asked, World};
use std::collections::BTreeSet;
use windlass_engine::Fact;
use windlass_engine::command::{
    Change, Command, Enqueue, ErrorNote, Fetch, Hello, Hold, How, JobSpec, JobTouch, Mutation, Patch, Put,
    Scope, Select, SetResource, Settlement, Target, Touch,
};
use windlass_engine::engine::Pressure;
use windlass_engine::fact::ResourceBody;
use windlass_engine::filter::{Filter, NumberColumn, Pattern, Test, TextColumn};
use windlass_engine::frame::{Body, Frame};
use windlass_engine::ids::{ConnId, JobId, Ms, Request, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::limit::Limit;
use windlass_engine::policy::{Backoff, Ordering, Policy};
use windlass_engine::terms::{Gate, Terms};

/// Numbers that look random and are the same every time (xorshift64*, Vigna 2016).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % sides
    }

    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub(crate) fn of<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        (!list.is_empty()).then(|| list[self.roll(list.len() as u64) as usize].clone())
    }
}

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
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new();
        let mut model = Model { started_at: world.now, ..Model::default() };
        let mut dice = Dice::new(seed);
        world.joins = dice.one_in(2);
        let most = 1 + dice.roll(4) as usize;
        model.keep_max.insert("mail".into(), most);
        let mut history =
            Self { world, model, dice, known: Vec::new(), pressure: false, ears: Ears::default() };
        let conn = history.connect(None, None, 60_000);
        let policy = Policy { keep_done_max: Some(most as u32), ..Policy::default() };
        let body = ResourceBody::Policy(policy);
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
            84..88 => self.with(&conns, Self::touch),
            88..95 => self.with(&conns, Self::change),
            95..97 => self.with(&conns, Self::pause),
            97 => self.choke(&conns),
            98 => self.with(&conns, Self::watch),
            _ => self.fold_names(),
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
        verdict::check_deliveries(&mut self.model, now, frames, facts);
        for frame in frames {
            if let Body::Deliver { works, .. } = &frame.body {
                let session = self.world.attached[&frame.to.conn];
                self.known.extend(works.iter().map(|work| (session, work.id, work.fence)));
            }
        }
        self.ears.check(&self.world, &self.model, frames, facts);
        verdict::check_ends(&self.model, &self.ears, &self.world, frames);
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
            Command::Settle(results) => verdict::check_settle(model, session, results, answer, facts, now),
            Command::Touch(touch) => verdict::check_touch(model, session, touch, answer, now),
            Command::Change(change) => verdict::check_change(model, change, answer, now),
            Command::Fetch(fetch) => verdict::check_fetch(model, session, from, fetch, answer, now),
            Command::Put(put) => model.allowance.put(put),
            Command::Sign | Command::Query(_) | Command::Stop(_) => {}
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

    fn id(&mut self) -> JobId {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&(self.dice.roll(150) as u16 + 1).to_be_bytes());
        JobId(id)
    }

    fn enqueue(&mut self, conn: ConnId) {
        let count = 1 + self.dice.roll(6);
        let wait_ms = self.dice.one_in(4).then(|| self.dice.roll(30_000));
        let mut jobs: Vec<JobSpec> = (0..count).map(|_| self.spec()).collect();
        if wait_ms.is_some() {
            // Who waits under an id of his own waits for that job.
            jobs.iter_mut().for_each(|spec| spec.dedup = None);
        }
        let jobs = jobs.into_iter().map(Ok).collect();
        self.play(conn, Command::Enqueue(Enqueue { jobs, partial: false, wait_ms }));
    }

    fn spec(&mut self) -> JobSpec {
        let now = self.world.now;
        let dice = &mut self.dice;
        let backoff = Backoff {
            base_ms: dice.roll(4_000),
            factor_permille: 1_000 + dice.roll(1_000) as u32,
            max_ms: 5_000,
            jitter_permille: dice.roll(500) as u32,
            list_ms: Vec::new(),
        };
        let policy = Policy {
            priority: (!dice.one_in(3)).then(|| dice.roll(3) as u8 * 4),
            max_attempts: Some(1 + dice.roll(3) as u32),
            backoff: Some(backoff),
            max_crashes: dice.one_in(2).then(|| 1 + dice.roll(6) as u32),
            keep_done_ms: dice.one_in(2).then(|| dice.roll(3) * 2_000),
            keep_dead_ms: Some(1 + dice.roll(60_000)),
            ttl_ms: dice.one_in(8).then(|| dice.roll(8_000)),
            cost: dice.one_in(2).then(|| 1 + dice.roll(4) as u32),
            ordering: dice
                .of(&[None, None, Some(Ordering::Serial), Some(Ordering::SerialSkipFailed)])
                .flatten(),
            ..Policy::default()
        };
        JobSpec {
            queue: QUEUES[dice.roll(3) as usize].into(),
            kind: KINDS[dice.roll(3) as usize].into(),
            key: KEYS[dice.roll(3) as usize].into(),
            payload: vec![b'p'; dice.roll(40) as usize].into(),
            run_at: if dice.one_in(4) { now + dice.roll(10_000) } else { 0 },
            expires_at: if dice.one_in(8) { now + dice.roll(10_000) } else { 0 },
            terms: Terms { policy, weight: dice.roll(3) as u32, ..Terms::default() },
            gate: Gate {
                limits: if dice.one_in(4) { vec!["gpu".into()] } else { Vec::new() },
                ..Gate::default()
            },
            hold: dice.one_in(10).then(|| Hold { ttl_ms: dice.roll(9_000), then_run: dice.one_in(2) }),
            dedup: dice.one_in(4).then(|| unique::dedup(dice)),
            id: self.id(),
            ..JobSpec::default()
        }
    }

    fn fetch(&mut self, conn: ConnId) {
        let open: Vec<u64> =
            self.model.streams.keys().filter(|key| key.conn == conn).map(|key| key.id).collect();
        let change = if open.len() > 3 || self.dice.one_in(4) { self.dice.of(&open) } else { None };
        let dice = &mut self.dice;
        let first = dice.roll(3) as usize;
        let queues = (0..=dice.roll(3) as usize).map(|n| QUEUES[(first + n) % 3].to_string()).collect();
        let kinds = if dice.one_in(2) { Vec::new() } else { vec![KINDS[dice.roll(2) as usize].to_string()] };
        let once = if change.is_none() && dice.one_in(3) { 1 + dice.roll(4) as u32 } else { 0 };
        let fetch = Fetch {
            stream: change.unwrap_or(0),
            queues,
            kinds,
            slots: 1 + dice.roll(6) as u32,
            once,
            wait_ms: dice.roll(3) * 3_000,
            lease_ms: [None, Some(0), Some(500 + dice.roll(20_000))][dice.roll(3) as usize],
            close: change.is_some() && dice.one_in(2),
        };
        self.play(conn, Command::Fetch(Box::new(fetch)));
    }

    /// Mostly of leases that stand, sometimes of older ones, somebody else's or none.
    fn lease(&mut self, conn: ConnId) -> (JobId, u64) {
        let session = self.world.attached[&conn];
        let mine: Vec<_> = self.model.leases(session).map(|(job, _)| (job.spec.id, job.fence)).collect();
        if !self.dice.one_in(6)
            && let Some(lease) = self.dice.of(&mine)
        {
            return lease;
        }
        match self.dice.of(&self.known) {
            Some((_, id, fence)) => (id, fence),
            None => (self.id(), 1),
        }
    }

    fn settle(&mut self, conn: ConnId) {
        let count = 1 + self.dice.roll(2);
        let results = (0..count).map(|_| {
            let (id, fence) = self.lease(conn);
            let dice = &mut self.dice;
            let how = match dice.roll(8) {
                0..4 => How::Complete(windlass_engine::Blob::from(&b"r"[..])),
                4 | 5 => How::Fail {
                    error: ErrorNote {
                        message: ["", "boom 17", "boom 4711"][dice.roll(3) as usize].into(),
                        ..ErrorNote::default()
                    },
                    fatal: dice.one_in(6),
                    retry_after_ms: dice.one_in(2).then(|| dice.roll(2) * 1_500),
                },
                6 => How::Release { delay_ms: dice.roll(2) * 700, reason: String::new(), throttle: None },
                _ => How::Cancelled { note: String::new() },
            };
            Settlement { id, fence, how }
        });
        let results = results.collect();
        self.play(conn, Command::Settle(results));
    }

    fn touch(&mut self, conn: ConnId) {
        let (id, fence) = self.lease(conn);
        let extend_ms = self.dice.one_in(2).then(|| self.dice.roll(20_000));
        self.play(conn, Command::Touch(Touch { beat: None, jobs: vec![JobTouch { id, fence, extend_ms }] }));
    }

    fn change(&mut self, conn: ConnId) {
        let now = self.world.now;
        let to = match self.dice.roll(11) {
            9 | 10 => Mutation::Confirm,
            0 | 1 => Mutation::Cancel { why: String::new(), grace_ms: self.dice.roll(3) * 2_500 },
            2 | 3 => Mutation::Retry { reset_attempts: self.dice.one_in(2), spread_ms: 0 },
            4 => Mutation::Delete,
            5 => Mutation::Bury,
            6 => Mutation::Move(QUEUES[self.dice.roll(3) as usize].into()),
            7 => Mutation::Patch(Box::new(Patch {
                policy: Policy { priority: self.dice.one_in(2).then_some(8), ..Policy::default() },
                key: self.dice.one_in(2).then(|| KEYS[self.dice.roll(3) as usize].into()),
                ..Patch::default()
            })),
            _ => Mutation::RunAt(if self.dice.one_in(2) { 0 } else { now + self.dice.roll(5_000) }),
        };
        let max = self.dice.roll(4);
        let change = Change { max, ..Change::new(self.select(), to) };
        self.play(conn, Command::Change(Box::new(change)));
    }

    /// Some ids, or few enough jobs by what they are.
    fn select(&mut self) -> Select {
        if !self.dice.one_in(4) {
            return Select::ids((0..=self.dice.roll(3)).map(|_| self.id()).collect());
        }
        let dice = &mut self.dice;
        let kind = Test::Text(TextColumn::Kind, Pattern::Is(KINDS[dice.roll(3) as usize].into()));
        let attempt = Test::Number(NumberColumn::Attempt, dice.roll(3), 2);
        Select {
            queue: QUEUES[dice.roll(3) as usize].into(),
            states: (0..2).filter_map(|_| dice.of(&State::ALL)).collect(),
            filter: Filter::default().with(kind).with(attempt),
            ids: None,
        }
    }

    fn watch(&mut self, conn: ConnId) {
        let ids = (0..=self.dice.roll(3)).map(|_| self.id()).collect();
        let watch = ears::random(&mut self.dice, &QUEUES, ids);
        self.play(conn, Command::Watch(Box::new(watch)));
    }

    fn pause(&mut self, conn: ConnId) {
        let dice = &mut self.dice;
        let (queue, kind) = (QUEUES[dice.roll(3) as usize].into(), KINDS[dice.roll(2) as usize].into());
        let (name, scope) = match dice.roll(4) {
            0 => ("pause", Scope { queue, ..Scope::default() }),
            1 => ("rate", Scope { queue, kind, ..Scope::default() }),
            2 => ("keys", Scope { kind, ..Scope::default() }),
            _ => ("gpu", Scope::default()),
        };
        let limit = match name {
            "pause" => Limit { concurrency: Some(0), ..Limit::default() },
            "rate" => {
                Limit { rate: 1 + dice.roll(4), per_ms: 3_000, burst: 1 + dice.roll(3), ..Limit::default() }
            }
            "keys" => Limit { per_key: true, concurrency: Some(1), ..Limit::default() },
            _ => Limit { concurrency: Some(1 + dice.roll(2) as u32), ..Limit::default() },
        };
        let target = Target::Limit(name.into());
        let mut put = Put::default();
        if self.dice.one_in(3) {
            let body = ResourceBody::Limit(limit);
            put.set.push(SetResource { target, if_version: 0, body, scope });
        } else {
            put.remove.push(target);
        }
        self.play(conn, Command::Put(put));
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
        self.finish(self.world.now, &frames, &facts);
    }
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
