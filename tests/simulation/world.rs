//! The world: a disk, a broker that crashes, a network that breaks, a clock that jumps, and actors
//! who cope. One seed is one history.

use super::actor::{Actor, Link};
use super::history::{Asked, History};
use super::operator::Operator;
use super::presence::Presence;
use super::process::{Process, Setup, Tape};
use super::producer::Producer;
use super::random::mixed;
use super::scene::Scene;
use super::wire::Wire;
use super::worker::Worker;
use windlass_broker::door::{Line, Notice};
use windlass_broker::driver::core::CoreOptions;
use windlass_broker::store::simulated::{SimDisk, SimJournal, SimLeaves};
use windlass_engine::command::Query;
use windlass_engine::engine::Pressure;
use windlass_engine::frame::Body;
use windlass_engine::ids::Ms;
use windlass_engine::{Command, Frame};

/// When every history begins.
const DAWN: Ms = 1_800_000_000_000;
/// A pause of the broker's loop longer than this is not the clients' silence: half a look-up and
/// what the driver allows itself.
const AWAY_MS: u64 = 750;
/// Virtual time within which everything comes to its end once nothing bad happens any more.
const CALM_MS: u64 = 60 * 60_000;

/// Everything.
pub struct World {
    scene: Scene,
    disk: SimDisk,
    process: Option<Process<SimJournal, SimLeaves>>,
    setup: Setup,
    tape: Tape,
    history: History,
    presence: Presence,
    actors: Vec<Box<dyn Actor>>,
    /// Lines whose client is gone and whose broker does not know.
    orphans: Vec<Line>,
    /// How far the broker's clock is ahead of the true time.
    ahead_ms: i64,
    /// How much of what may go wrong does, in a hundred.
    roughness: u64,
    /// A fault was set on the disk: the process may die of it.
    is_armed: bool,
    print: u64,
    starts: u64,
    stats: std::collections::BTreeMap<&'static str, u64>,
}

impl World {
    /// A world of this seed in which nothing goes wrong by itself, with its broker running.
    pub fn quiet(seed: u64) -> Self {
        Self { roughness: 0, ..Self::new(seed) }
    }

    /// A world of this seed, with its broker running.
    pub fn new(seed: u64) -> Self {
        let mut scene = Scene::new(seed, DAWN);
        let random = &mut scene.random;
        let ttl_ms = if random.chance(50) { 0 } else { 6_000 };
        let actors: Vec<Box<dyn Actor>> = vec![
            Box::new(Producer::new("producer-1".into(), "default")),
            Box::new(Producer::new("producer-2".into(), "other")),
            Box::new(Worker::new("worker-1".into(), "default", ttl_ms)),
            Box::new(Worker::new("worker-2".into(), "default", 0)),
            Box::new(Worker::new("worker-3".into(), "other", ttl_ms)),
            Box::new(Operator::new("default")),
            Box::new(Operator::new("other")),
        ];
        let core = CoreOptions {
            unfolded_bytes_max: 40_000 << random.below(5),
            cache_bytes_max: 3_000 << random.below(8),
            jobs_max: if random.chance(10) { 60 } else { 100_000 },
        };
        let roughness = *random.pick(&[20, 50, 100]);
        let leaves_per_slice = 1 + random.place(4);
        let setup = Setup { now: DAWN, seed: random.next(), core, leaves_per_slice };
        let tape = Tape::default();
        let mut world = Self {
            scene,
            disk: SimDisk::new(),
            process: None,
            setup,
            history: History::new(tape.clone()),
            tape,
            presence: Presence::default(),
            actors,
            orphans: Vec::new(),
            ahead_ms: 0,
            roughness,
            is_armed: false,
            print: seed,
            starts: 0,
            stats: Default::default(),
        };
        world.start();
        world.open_for_business();
        world
    }

    /// The operators come first: they make retries quick, so that histories stay short.
    fn open_for_business(&mut self) {
        for place in 5..self.actors.len() {
            self.settle_down(place);
            self.settle_down(place);
        }
        self.pump();
    }

    /// Lives for so many steps, then in peace until everything is done.
    pub fn live(&mut self, steps: u64) -> u64 {
        for _ in 0..steps {
            self.step();
        }
        self.calm_down();
        self.inspect();
        self.stop();
        self.start();
        if std::env::var("SIM_STATS").is_ok() {
            let h = &self.history;
            let n = |f: &dyn Fn(&super::history::Life) -> bool| h.jobs.values().filter(|l| f(l)).count();
            println!(
                "jobs {} removed {} leases {} batches {} sessions {} starts {} now {} notes {} | {:?}",
                h.jobs.len(),
                n(&|l| l.removed.is_some()),
                h.leases.len(),
                h.last_batch,
                h.sessions.len(),
                self.starts,
                self.scene.now - DAWN,
                h.jobs.values().map(|l| l.notes.len()).max().unwrap_or(0),
                self.stats
            );
        }
        self.print ^ self.history.print
    }

    /// Lets something happen.
    pub fn step(&mut self) {
        if self.process.is_none() {
            let down_ms = self.scene.random.below(20_000);
            self.scene.now += if self.scene.random.chance(70) { down_ms / 10 } else { down_ms };
            return self.start();
        }
        let roll = self.scene.random.below(1_000);
        match roll {
            0..=449 => self.act(),
            450..=499 => self.carry(),
            500..=629 => self.round(),
            630..=689 => self.take(),
            690..=799 => self.write(),
            800..=859 => self.fold(),
            860..=909 => self.hear(),
            910..=969 => self.advance_a_little(),
            // Some histories are rough, others let things grow.
            _ if self.scene.random.chance(self.roughness) => self.trouble(roll),
            _ => {}
        }
        self.collect();
        if self.scene.random.chance(5) {
            self.audit();
        }
    }

    // ------------------------------------------------------------------ the broker

    /// The broker comes up, perhaps after having died of coming up; it must hold what is durable.
    pub fn start(&mut self) {
        let process = loop {
            let (journal, recovered) = self.disk.open_journal();
            let leaves = self.disk.open_leaves();
            if !self.scene.is_calm && self.scene.random.chance(self.roughness / 5) {
                self.is_armed = true;
                self.disk.fail_append(1);
            }
            self.history.reopened(recovered.first_batch);
            self.setup.now = self.scene.now;
            self.setup.seed = self.scene.random.next();
            match Process::start((journal, recovered, leaves), &self.setup, &self.tape) {
                Ok(process) => break process,
                Err(error) => assert!(self.is_armed, "the broker does not start: {error}"),
            }
            self.cut_the_power();
        };
        self.starts += 1;
        self.history.read();
        self.history.compare(process.engine());
        self.presence.restarted(self.scene.now, process.engine().ledger());
        self.process = Some(process);
        self.audit();
    }

    fn cut_the_power(&mut self) {
        self.disk.power_cut(self.scene.random.next());
        self.is_armed = false;
    }

    /// The process dies, and the machine with it.
    pub fn crash(&mut self) {
        self.process = None;
        self.orphans.clear();
        self.hang_up_all();
        self.cut_the_power();
    }

    /// Goes on, or dies if a fault of the disk says so.
    fn survive<T>(&mut self, outcome: Result<T, windlass_broker::store::StoreError>) -> Option<T> {
        match outcome {
            Ok(done) => Some(done),
            Err(error) => {
                assert!(self.is_armed, "the broker dies for no reason: {error}");
                self.crash();
                None
            }
        }
    }

    fn round(&mut self) {
        let now = self.scene.now;
        self.history.latest = self.history.latest.max(now);
        let Some(process) = &mut self.process else { return };
        let outcome = process.round(now);
        if let Some(round) = self.survive(outcome) {
            self.presence.round(now, &round);
        }
    }

    fn take(&mut self) {
        if let Some(process) = &mut self.process {
            process.take();
        }
    }

    fn write(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.take();
        let outcome = process.write();
        self.survive(outcome);
        self.history.read();
    }

    fn fold(&mut self) {
        let Some(process) = &mut self.process else { return };
        let outcome = process.fold();
        let x = self.survive(outcome);
        *self.stats.entry("fold").or_default() += u64::from(x == Some(true));
    }

    /// The operator of the machine stops the broker, in order.
    fn stop(&mut self) {
        let Some(process) = self.process.take() else { return };
        let outcome = process.stop(self.scene.now);
        match outcome {
            Ok(leaves) => drop(leaves),
            Err(error) => {
                assert!(self.is_armed, "the broker does not stop: {error}");
                self.cut_the_power();
            }
        }
        self.history.read();
        self.collect();
        self.orphans.clear();
        self.hang_up_all();
    }

    /// Everything that is derived agrees with what is stored.
    fn audit(&self) {
        if let Some(process) = &self.process {
            process.engine().audit().expect("the engine agrees with itself");
        }
    }

    // ------------------------------------------------------------------ the network

    fn collect(&mut self) {
        for actor in &mut self.actors {
            if let Some(wire) = &mut actor.link().wire {
                self.print = mixed(self.print ^ wire.collect(&self.history));
            }
        }
    }

    fn act(&mut self) {
        let place = if self.scene.random.chance(50) {
            self.scene.random.place(self.actors.len())
        } else {
            2 + self.scene.random.place(3)
        };
        let (actor, scene) = (&mut self.actors[place], &mut self.scene);
        let Some(process) = &self.process else { return };
        if actor.link().wire.is_some() {
            actor.act(scene);
        } else {
            actor.connect(&process.door, scene);
        }
        self.history.asked.append(&mut scene.asked);
        // Most of the time the network is quick.
        if self.scene.random.chance(70) {
            self.carry_from(place, 4);
        }
        if self.scene.random.chance(60) {
            self.hear_at(place, 6);
        }
    }

    fn carry(&mut self) {
        let place = self.scene.random.place(self.actors.len());
        let most = 1 + self.scene.random.place(6);
        self.carry_from(place, most);
    }

    fn carry_from(&mut self, place: usize, most: usize) {
        if let Some(wire) = &mut self.actors[place].link().wire {
            wire.carry(most);
        }
    }

    fn hear(&mut self) {
        let place = self.scene.random.place(self.actors.len());
        let most = 1 + self.scene.random.place(6);
        self.hear_at(place, most);
    }

    fn hear_at(&mut self, place: usize, most: usize) {
        let actor = &mut self.actors[place];
        for _ in 0..most {
            let Some(frame) = actor.link().wire.as_mut().and_then(Wire::hear) else { return };
            actor.hear(frame, &mut self.scene);
        }
    }

    // ------------------------------------------------------------------ trouble

    fn trouble(&mut self, roll: u64) {
        match roll {
            970..=979 => self.break_a_connection(),
            980..=985 => self.trouble_of_the_disk(),
            986..=990 => self.crash(),
            991 => self.stop(),
            992 | 993 => self.stall(),
            994 | 995 => self.jump(),
            _ => self.advance(60_000),
        }
    }

    fn break_a_connection(&mut self) {
        let place = self.scene.random.place(self.actors.len());
        self.hang_up(place);
        // A line that nobody holds any more is noticed at last.
        if self.orphans.len() > 3 || self.scene.random.chance(20) {
            self.orphans.clear();
        }
    }

    fn hang_up(&mut self, place: usize) {
        let (actor, scene) = (&mut self.actors[place], &mut self.scene);
        let Some(wire) = actor.link().wire.take() else { return };
        let (heard, line) = wire.cut(&mut scene.random);
        for frame in heard {
            actor.hear(frame, scene);
        }
        actor.link().wire = None;
        actor.lost();
        if scene.random.chance(30) && self.process.is_some() {
            self.orphans.push(line);
        }
    }

    fn hang_up_all(&mut self) {
        for place in 0..self.actors.len() {
            self.hang_up(place);
        }
        self.orphans.clear();
    }

    /// The disk is about to fail, or to be full.
    fn trouble_of_the_disk(&mut self) {
        let nth = 1 + self.scene.random.below(4);
        match self.scene.random.below(6) {
            0 => self.disk.fail_append(nth),
            1 => self.disk.fail_write(nth),
            2 => self.disk.fail_sync(nth),
            _ => {
                let random = &mut self.scene.random;
                let pressure = Pressure {
                    no_enqueue: random.chance(30),
                    small_results: random.chance(30),
                    no_leases: random.chance(20),
                };
                if let Some(process) = &self.process {
                    process.door.notify(Notice::Disk(pressure));
                }
                return;
            }
        }
        self.is_armed = true;
    }

    /// The whole process stands still, and does not hear that its clients live.
    fn stall(&mut self) {
        let away_ms = self.scene.random.from_to(100, 40_000);
        self.scene.now += away_ms;
        if away_ms > AWAY_MS {
            self.shift(away_ms.cast_signed());
        }
        self.round();
    }

    /// Somebody sets the clock.
    fn jump(&mut self) {
        let by_ms = self.scene.random.below(600_000).cast_signed() - 300_000;
        self.set_clock(by_ms);
    }

    fn set_clock(&mut self, by_ms: i64) {
        self.ahead_ms += by_ms;
        self.scene.now = self.scene.now.saturating_add_signed(by_ms);
        self.shift(by_ms);
        self.round();
    }

    fn shift(&mut self, by_ms: i64) {
        if let Some(process) = &mut self.process {
            process.shift(by_ms);
            self.presence.shift(by_ms);
        }
    }

    // ------------------------------------------------------------------ time

    fn advance_a_little(&mut self) {
        let by_ms = match self.scene.random.below(10) {
            0..=6 => self.scene.random.below(100),
            7 | 8 => self.scene.random.below(2_000),
            _ => self.scene.random.below(10_000),
        };
        self.advance(by_ms);
    }

    /// Time goes by, while everybody who is there says so, and the broker's loop goes round.
    fn advance(&mut self, by_ms: u64) {
        let until = self.scene.now + by_ms;
        loop {
            let beats = self.actors.iter_mut().filter_map(|actor| actor.beat(self.scene.now));
            let beat_at = beats.min().unwrap_or(Ms::MAX);
            let Some(process) = &self.process else { return };
            let due = process.deadline().unwrap_or(Ms::MAX).max(self.scene.now);
            let next = due.min(beat_at).min(until);
            self.scene.now = self.scene.now.max(next);
            for actor in &mut self.actors {
                actor.beat(self.scene.now);
            }
            self.round();
            if self.scene.random.chance(70) {
                self.write();
                self.collect();
            }
            if next >= until {
                return;
            }
        }
    }

    /// From here on nothing bad happens; everything must come to its end.
    fn calm_down(&mut self) {
        self.scene.is_calm = true;
        if self.is_armed {
            self.crash();
        }
        if self.process.is_none() {
            self.start();
        }
        if let Some(process) = &self.process {
            process.door.notify(Notice::Disk(Pressure::default()));
        }
        self.hang_up_all();
        self.set_clock(-self.ahead_ms);
        let until = self.scene.now + CALM_MS;
        while !(self.history.is_over() && self.actors.iter().all(|actor| actor.is_done())) {
            assert!(self.scene.now < until, "not everything came to its end: {}", self.what_is_left());
            for place in 0..self.actors.len() {
                self.settle_down(place);
            }
            self.pump();
            self.advance(500);
        }
    }

    /// An actor connects if it must, acts, and hears all there is.
    fn settle_down(&mut self, place: usize) {
        let Some(process) = &self.process else { return };
        let (actor, scene) = (&mut self.actors[place], &mut self.scene);
        while let Some(frame) = actor.link().wire.as_mut().and_then(Wire::hear) {
            actor.hear(frame, scene);
        }
        if actor.link().wire.is_some() {
            actor.act(scene);
        } else {
            actor.connect(&process.door, scene);
        }
        if let Some(wire) = &mut actor.link().wire {
            wire.carry(usize::MAX);
        }
    }

    /// Everything that waits is done, but for time.
    pub fn pump(&mut self) {
        self.commit_all();
        while let Some(process) = &mut self.process
            && process.fold().expect("nothing fails any more")
        {}
        self.collect();
        self.audit();
    }

    /// Everything that was said so far is decided, and durable.
    pub fn commit_all(&mut self) {
        self.round();
        self.write();
        self.write();
        self.collect();
    }

    /// What operators are allowed to have asked for.
    pub fn asked(&mut self) -> &mut Asked {
        &mut self.history.asked
    }

    fn process(&mut self) -> &mut Process<SimJournal, SimLeaves> {
        self.process.as_mut().expect("the broker is up")
    }

    /// Folds all there is: whatever fold is under way, and one that begins after it.
    pub fn fold_all(&mut self) {
        while self.fold_slice() {}
        self.want_fold(true);
        let until = self.folds() + 1;
        while self.folds() < until {
            self.fold_slice();
        }
        self.want_fold(false);
        self.pump();
    }

    /// Folds that this run of the broker has ended.
    pub fn folds(&mut self) -> u64 {
        self.process().folds
    }

    /// Begins a fold with the next round, or lets none begin.
    pub fn want_fold(&mut self, wanted: bool) {
        self.process().want_fold(wanted).expect("nothing fails in a quiet world");
        self.history.read();
        self.collect();
    }

    /// A round, its commit, and one slice of a fold. False = there was none.
    pub fn fold_slice(&mut self) -> bool {
        self.commit_all();
        self.process().fold().expect("nothing fails in a quiet world")
    }

    /// The first batch that the journal still holds.
    pub fn first_batch(&self) -> u64 {
        self.disk.open_journal().1.first_batch
    }

    fn what_is_left(&self) -> String {
        let jobs = self.history.jobs.iter();
        let left: Vec<_> = jobs
            .filter(|(_, life)| life.removed.is_none() && !life.state.is_final())
            .map(|(seq, _)| self.history.head(*seq))
            .take(3)
            .collect();
        let done: Vec<bool> = self.actors.iter().map(|actor| actor.is_done()).collect();
        format!("actors done {done:?}, jobs {left:?}")
    }

    /// What an operator sees of every job that is there, with all its bytes.
    pub fn inspect(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for namespace in ["default", "other"] {
            let queries = self.scene.ids.iter().map(|&id| Command::Query(Query::Job(id))).collect();
            let mut wire = self.newcomer(namespace);
            let frames = self.converse(&mut wire, queries);
            seen.extend(frames.iter().filter_map(|frame| match &frame.body {
                Body::Rows(rows) => Some(format!("{:?}", rows.jobs)),
                _ => None,
            }));
        }
        seen
    }

    /// A new connection that has said Hello.
    pub fn newcomer(&mut self, namespace: &'static str) -> Wire {
        let process = self.process.as_ref().expect("the broker is up");
        let mut link = Link::new("newcomer".into(), namespace, 0);
        link.hello(&process.door, None, &mut self.scene);
        link.wire.expect("just opened")
    }

    /// Asks, and waits for the answers.
    pub fn converse(&mut self, wire: &mut Wire, commands: Vec<Command>) -> Vec<Frame> {
        for command in commands {
            wire.ask(command);
        }
        wire.carry(usize::MAX);
        let mut frames = Vec::new();
        while wire.unanswered().next().is_some() {
            self.pump();
            wire.collect(&self.history);
            frames.extend(std::iter::from_fn(|| wire.hear()));
        }
        frames
    }
}
