//! Fairness, whatever arrives: no priority starves, keys get their shares, serial keys keep their order.
//! Hundreds of random patterns of arrival each; who fails is told by its seed.

use crate::dice::Dice;
use crate::model::{each, seeds};
use crate::world::{Asked, World};
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::command::{
    Change, Command, Enqueue, Fetch, Hello, How, JobSpec, Mutation, Put, Scope, Select, SetResource,
    Settlement, Target, Wishes,
};
use windlass_engine::engine::Start;
use windlass_engine::fact::{Fact, ResourceBody};
use windlass_engine::frame::Body;
use windlass_engine::ids::{ConnId, JobId, Ms, Request, Seq, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::policy::{Ordering, Policy};
use windlass_engine::queue_conf::QueueConf;
use windlass_engine::terms::Terms;
use windlass_engine::{Engine, Turn};

const DAWN: Ms = 1_800_000_000_000;

/// A queue with one worker who takes one job at a time.
struct Shop {
    engine: Engine,
    batch: u64,
    number: u128,
}

/// A job that waits in the shop.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    level: u8,
    kind: u64,
    key: u64,
    cost: u32,
    /// Picks since it became the oldest of all, and the most lanes that its level had meanwhile.
    passed: Option<(u64, usize)>,
}

impl Shop {
    fn new(fair_every: u32) -> Self {
        let mut shop = Self { engine: Engine::new(3), batch: 0, number: 0 };
        shop.engine.start(Start { now: DAWN, minutes: 1 }, &mut Turn::new(0));
        let hello = Hello {
            namespace: "default".into(),
            client: "shop".into(),
            host: String::new(),
            pid: 0,
            labels: Vec::new(),
            session_ttl_ms: 0,
            resume: None,
            running: None,
            fresh: SessionId([1; 16]),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        shop.turn(Command::Hello(Box::new(hello)));
        let body = ResourceBody::Queue(QueueConf { fair_every, ..QueueConf::default() });
        let target = Target::Queue("mail".into());
        let set = vec![SetResource { target, if_version: 0, body, scope: Scope::default() }];
        shop.turn(Command::Put(Put { set, ..Put::default() }));
        shop
    }

    fn turn(&mut self, command: Command) -> (Vec<Fact>, Vec<Body>) {
        self.batch += 1;
        let mut turn = Turn::new(self.batch);
        self.engine.apply(DAWN, Request { conn: 1, id: self.batch }, command, &mut turn);
        self.engine.tick(DAWN, &mut turn);
        (turn.facts, turn.frames.into_iter().map(|frame| frame.body).collect())
    }

    /// A job arrives; its place in the order.
    fn arrive(&mut self, job: Waiting, weight: u32) -> Seq {
        self.number += 1;
        let policy = Policy {
            priority: Some(job.level),
            cost: Some(job.cost),
            keep_done_ms: Some(0),
            ..Policy::default()
        };
        let spec = JobSpec {
            id: JobId(self.number.to_be_bytes()),
            queue: "mail".into(),
            kind: format!("kind{}", job.kind),
            key: format!("key{}", job.key),
            wishes: Some(Box::new(Wishes {
                terms: Terms { policy, weight, ..Terms::default() },
                ..Wishes::default()
            })),
            ..JobSpec::default()
        };
        let (facts, _) =
            self.turn(Command::Enqueue(Enqueue { jobs: vec![Ok(spec)], partial: false, wait_ms: None }));
        let stored = facts.iter().find_map(|fact| match fact {
            Fact::Enqueued { seq, .. } => Some(*seq),
            _ => None,
        });
        stored.expect("it is stored")
    }

    /// The worker takes the next job and completes it.
    fn serve(&mut self) -> Option<Seq> {
        let fetch = Fetch { queues: vec!["mail".into()], once: 1, ..Fetch::default() };
        let (_, frames) = self.turn(Command::Fetch(Box::new(fetch)));
        let (id, fence, seq) = frames.iter().find_map(|frame| match frame {
            Body::Deliver { works, .. } => works.first().map(|work| (work.id, work.fence, work.seq)),
            _ => None,
        })?;
        let how = How::Complete(windlass_engine::Blob::default());
        self.turn(Command::Settle(vec![Settlement { id, fence, how, spawn: None, checkpoint: None }]));
        Some(seq)
    }
}

#[test]
fn the_oldest_job_is_served_soon_whatever_its_priority() {
    each(seeds(3_000_000, 120), |seed| {
        let mut dice = Dice::new(seed);
        let fair_every = 1 + dice.roll(20);
        let mut shop = Shop::new(fair_every as u32);
        let mut waiting: BTreeMap<Seq, Waiting> = BTreeMap::new();
        let (levels, kinds, keys) = (1 + dice.roll(10), 1 + dice.roll(3), 1 + dice.roll(4));
        for _ in 0..250 {
            // Mostly more arrives than is served, and mostly of the highest priority.
            for _ in 0..dice.roll(if waiting.len() > 60 { 2 } else { 4 }) {
                let level = if dice.one_in(4) { dice.roll(levels) } else { levels - 1 };
                let (kind, key) = (dice.roll(kinds), dice.roll(keys));
                let job = Waiting { level: level as u8, kind, key, cost: 1, passed: None };
                waiting.insert(shop.arrive(job, 1), job);
            }
            if waiting.is_empty() {
                continue;
            }
            let served = shop.serve().expect("one waits");
            waiting.remove(&served).expect("it waited");
            let Some((&seq, oldest)) = waiting.first_key_value() else { continue };
            let of_level = waiting.values().filter(|job| job.level == oldest.level);
            let lanes = of_level.map(|job| (job.kind, job.key)).collect::<BTreeSet<_>>().len();
            let job = waiting.get_mut(&seq).expect("it is the first");
            let (picks, most) = job.passed.map_or((0, lanes), |(picks, most)| (picks + 1, most.max(lanes)));
            job.passed = Some((picks, most));
            let bound = fair_every * 3 * most as u64;
            assert!(
                picks <= bound,
                "job {seq} was passed by {picks} times, {most} lanes, every {fair_every}"
            );
        }
    });
}

#[test]
fn over_any_window_two_busy_keys_get_their_shares_but_for_a_constant() {
    each(seeds(4_000_000, 120), |seed| {
        let mut dice = Dice::new(seed);
        let mut shop = Shop::new(1 + dice.roll(20) as u32);
        let mut waiting: BTreeMap<Seq, Waiting> = BTreeMap::new();
        let most = [9, 100, 1_000][dice.roll(3) as usize];
        let weights = [1 + dice.roll(most), 1 + dice.roll(most)];
        let costs = [1 + dice.roll(4), 1 + dice.roll(4)];
        // How far the first key is ahead of the second, in cost over weight, times both weights.
        let (mut lead, mut least, mut farthest) = (0i64, 0i64, 0i64);
        for step in 0..300 {
            for key in 0..2u64 {
                let of_key = waiting.values().filter(|job| job.key == key).count();
                for _ in of_key..2 {
                    let cost = 1 + dice.roll(costs[key as usize]) as u32;
                    let job = Waiting { level: 4, kind: 0, key, cost, passed: None };
                    waiting.insert(shop.arrive(job, weights[key as usize] as u32), job);
                }
            }
            // Others come and go, of this and of other priorities.
            if dice.one_in(3) {
                let level = [0, 4, 4, 9][dice.roll(4) as usize];
                let job = Waiting { level, kind: dice.roll(2), key: 2 + dice.roll(3), cost: 1, passed: None };
                waiting.insert(shop.arrive(job, 1 + dice.roll(9) as u32), job);
            }
            let served = shop.serve().expect("two are always there");
            let job = waiting.remove(&served).expect("it waited");
            let cost = i64::from(job.cost);
            match job.key {
                0 => lead += cost * weights[1] as i64,
                1 => lead -= cost * weights[0] as i64,
                _ => {}
            }
            (least, farthest) = (least.min(lead), farthest.max(lead));
            let bound = (costs[0] * weights[1] + costs[1] * weights[0]) as i64 + 2;
            let span = farthest - least;
            assert!(span <= bound, "step {step}: {span} over {bound}, weights {weights:?}, costs {costs:?}");
        }
    });
}

/// What is known of a job of a serial key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    Waits,
    Runs,
    Dead,
    Over,
}

/// Jobs of serial keys, and what became of them so far.
#[derive(Default)]
struct Keys {
    jobs: BTreeMap<Seq, (String, Ordering, Stand)>,
}

impl Keys {
    fn follow(&mut self, world: &World, fact: &Fact) {
        let names = &world.engine.ledger().names;
        match fact {
            Fact::Enqueued { seq, job } => {
                self.jobs.insert(*seq, (names.text(job.key).into(), job.ordering, Stand::Waits));
            }
            Fact::Leased { seq, .. } => {
                self.check(*seq);
                self.set(*seq, Stand::Runs);
            }
            Fact::Returned { seq, .. } | Fact::Retried { seq, .. } => self.set(*seq, Stand::Waits),
            Fact::Died { seq, .. } | Fact::Buried { seq, .. } => self.set(*seq, Stand::Dead),
            Fact::Completed { seq, .. } | Fact::Cancelled { seq, .. } | Fact::Expired { seq, .. } => {
                self.set(*seq, Stand::Over);
            }
            Fact::Removed { seq, .. } => drop(self.jobs.remove(seq)),
            _ => {}
        }
    }

    fn set(&mut self, seq: Seq, stand: Stand) {
        self.jobs.get_mut(&seq).expect("it exists").2 = stand;
    }

    /// It may start: nobody else of its key runs, and those before it do not stand in its way.
    fn check(&self, seq: Seq) {
        let (key, ordering, _) = &self.jobs[&seq];
        for (other, (_, of, stand)) in self.jobs.iter().filter(|(_, (of, ..))| of == key) {
            assert!(*stand != Stand::Runs, "job {seq} starts while {other} of its key {key} runs");
            let passes = match stand {
                Stand::Over => true,
                Stand::Dead => *of == Ordering::SerialSkipFailed,
                Stand::Waits | Stand::Runs => false,
            };
            assert!(
                *other >= seq || passes,
                "job {seq} of {key}, {ordering:?}, passes {other}, which {stand:?}"
            );
        }
    }
}

#[test]
fn of_a_serial_key_one_runs_at_a_time_and_in_order_across_kinds() {
    each(seeds(5_000_000, 120), |seed| {
        let mut rush = Rush::new(seed);
        (0..150).for_each(|_| rush.step());
        assert!(rush.keys.jobs.len() > 10, "something happened");
    });
}

/// People who enqueue, run, fail, vanish and cancel, all over two serial keys.
struct Rush {
    world: World,
    dice: Dice,
    keys: Keys,
    number: u128,
    workers: u64,
}

impl Rush {
    fn new(seed: u64) -> Self {
        let mut rush =
            Self { world: World::new(), dice: Dice::new(seed), keys: Keys::default(), number: 0, workers: 0 };
        rush.join();
        rush
    }

    fn play(&mut self, conn: ConnId, command: Command) {
        let before = self.world.facts;
        let request = self.world.request(conn, Asked::default());
        self.world.turn(vec![(request, command)]);
        self.follow(before);
    }

    fn follow(&mut self, before: usize) {
        for fact in self.world.facts_since(before) {
            self.keys.follow(&self.world, &fact);
        }
    }

    fn join(&mut self) {
        self.workers += 1;
        let name = format!("w{}", self.workers);
        let conn = self.world.connect(&name);
        let (hello, _) = self.world.command(conn, "hello");
        self.play(conn, hello);
        let slots = 1 + self.dice.roll(4);
        let (fetch, _) = self.world.command(conn, &format!("fetch queue=mail slots={slots}"));
        self.play(conn, fetch);
    }

    fn step(&mut self) {
        let conns: Vec<ConnId> = self.world.conns.values().copied().collect();
        let Some(conn) = self.dice.of(&conns) else { return self.join() };
        match self.dice.roll(12) {
            0..4 => self.enqueue(conn),
            4..9 => self.settle(conn),
            9 => {
                let before = self.world.facts;
                let until = self.world.now + self.dice.roll(9_000);
                self.world.pass(until);
                self.follow(before);
            }
            10 if conns.len() < 4 => self.join(),
            10 => self.play(conn, Command::Hangup),
            _ => self.change(conn),
        }
    }

    fn enqueue(&mut self, conn: ConnId) {
        let (key, ordering) =
            [("anna", Ordering::Serial), ("bob", Ordering::SerialSkipFailed)][self.dice.roll(2) as usize];
        self.number += 1;
        let policy = Policy {
            ordering: Some(ordering),
            priority: Some(self.dice.roll(3) as u8),
            max_attempts: Some(1 + self.dice.roll(3) as u32),
            ..Policy::default()
        };
        let terms = Terms { policy, ..Terms::default() };
        let spec = JobSpec {
            id: JobId(self.number.to_be_bytes()),
            queue: "mail".into(),
            kind: ["send", "print"][self.dice.roll(2) as usize].into(),
            key: key.into(),
            run_at: if self.dice.one_in(4) { self.world.now + self.dice.roll(4_000) } else { 0 },
            wishes: Some(Box::new(Wishes { terms, ..Wishes::default() })),
            ..JobSpec::default()
        };
        self.play(conn, Command::Enqueue(Enqueue { jobs: vec![Ok(spec)], partial: false, wait_ms: None }));
    }

    fn settle(&mut self, conn: ConnId) {
        let session = self.world.attached[&conn];
        let leased = self
            .world
            .engine
            .ledger()
            .jobs
            .iter()
            .filter(|job| job.lease.as_ref().is_some_and(|lease| lease.session == session));
        let mut leased: Vec<(Seq, JobId, u64)> = leased.map(|job| (job.seq, job.id, job.fence)).collect();
        leased.sort_unstable();
        let Some((_, id, fence)) = self.dice.of(&leased) else { return };
        let how = match self.dice.roll(6) {
            0..3 => How::Complete(windlass_engine::Blob::default()),
            3 => How::Fail {
                error: Box::default(),
                fatal: self.dice.one_in(3),
                retry_after_ms: Some(self.dice.roll(2) * 900),
            },
            4 => How::Release { delay_ms: self.dice.roll(2) * 700, reason: String::new(), throttle: None },
            _ => How::Cancelled { note: String::new() },
        };
        self.play(conn, Command::Settle(vec![Settlement { id, fence, how, spawn: None, checkpoint: None }]));
    }

    /// Somebody cancels, buries, deletes, or runs what is dead again.
    fn change(&mut self, conn: ConnId) {
        let id = JobId((1 + u128::from(self.dice.roll(self.number.max(1) as u64))).to_be_bytes());
        let is_dead = self.world.job(id).is_some_and(|job| job.state == State::Dead);
        let to = match self.dice.roll(3) {
            _ if is_dead && self.dice.one_in(2) => Mutation::Retry { reset_attempts: true, spread_ms: 0 },
            0 => Mutation::Cancel {
                why: String::new(),
                grace_ms: self.dice.roll(2) * 2_000,
                dependents: false,
            },
            1 => Mutation::Bury,
            _ => Mutation::Delete,
        };
        self.play(conn, Command::Change(Box::new(Change::new(Select::ids(vec![id]), to))));
    }
}
