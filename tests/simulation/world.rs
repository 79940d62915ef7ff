//! The world: a disk, a broker that crashes, a network that breaks, a clock that jumps, and actors
//! who cope. One seed is one history.

mod calm;
mod trouble;

use super::actor::Actor;
use super::history::History;
use super::operator::Operator;
use super::presence::Presence;
use super::process::{Process, Setup, Tape};
use super::producer::Producer;
use super::random::mixed;
use super::scene::Scene;
use super::swarm::Swarm;
use super::wire::Wire;
use super::worker::Worker;
use windlass_broker::door::Line;
use windlass_broker::driver::core::CoreOptions;
use windlass_broker::store::simulated::{SimDisk, SimJournal, SimLeaves};
use windlass_engine::ids::Ms;

/// When every history begins.
const DAWN: Ms = 1_800_000_000_000;
/// A pause of the broker's loop longer than this is not the clients' silence: half a look-up and
/// what the driver allows itself.
const AWAY_MS: u64 = 750;
/// Virtual time within which everything comes to its end once nothing bad happens any more.
const CALM_MS: u64 = 60 * 60_000;

/// Every namespace has a producer, a worker and an operator at least.
const NAMESPACES: [&str; 2] = ["default", "other"];

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
    /// A fault was set on the disk: the process may die of it.
    is_armed: bool,
    print: u64,
}

impl World {
    /// A world of this seed in which nothing goes wrong by itself, with its broker running.
    pub fn quiet(seed: u64) -> Self {
        let mut scene = Scene::new(seed, DAWN);
        scene.swarm = Swarm::quiet(&mut scene.random);
        Self::of(scene)
    }

    /// A world of this seed, with its broker running.
    pub fn new(seed: u64) -> Self {
        Self::of(Scene::new(seed, DAWN))
    }

    fn of(mut scene: Scene) -> Self {
        let actors = cast(&mut scene);
        let random = &mut scene.random;
        let core = CoreOptions {
            unfolded_bytes_max: 40_000 << random.below(5),
            cache_bytes_max: 3_000 << random.below(8),
            jobs_max: if random.chance(10) { 60 } else { 100_000 },
        };
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
            is_armed: false,
            print: 0,
        };
        world.start();
        world.open_for_business();
        world
    }

    /// The operators come first: they make retries quick, so that histories stay short.
    fn open_for_business(&mut self) {
        for place in self.actors.len() - NAMESPACES.len()..self.actors.len() {
            self.settle_down(place);
            self.settle_down(place);
        }
        self.pump();
    }

    /// Lives for as many steps as were drawn, then in peace until everything is done.
    pub fn live(&mut self) -> u64 {
        for _ in 0..self.scene.swarm.steps {
            self.step();
        }
        self.calm_down();
        self.inspect();
        self.stop();
        self.start();
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
            _ => self.trouble(),
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
            if !self.scene.is_calm && self.scene.random.chance(self.scene.swarm.roughness / 5) {
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
        // Whatever has left by now may be heard, also what left just before a write failed.
        self.history.read();
        self.collect();
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
        self.survive(outcome);
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
        let swarm = &self.scene.swarm;
        let (producers, workers) = (swarm.producers, swarm.workers);
        let place = if self.scene.random.chance(50) {
            self.scene.random.place(self.actors.len())
        } else {
            producers + self.scene.random.place(workers)
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
}

/// Producers, then workers, then an operator for each namespace.
fn cast(scene: &mut Scene) -> Vec<Box<dyn Actor>> {
    let mut actors: Vec<Box<dyn Actor>> = Vec::new();
    let of = |number: usize| NAMESPACES[number % NAMESPACES.len()];
    for number in 0..scene.swarm.producers {
        actors.push(Box::new(Producer::new(format!("producer-{number}"), of(number))));
    }
    for number in 0..scene.swarm.workers {
        let ttl_ms = if scene.random.chance(50) { 0 } else { 6_000 };
        actors.push(Box::new(Worker::new(format!("worker-{number}"), of(number), ttl_ms)));
    }
    for namespace in NAMESPACES {
        actors.push(Box::new(Operator::new(namespace)));
    }
    actors
}
