//! Storms: hostile numbers, late ticks, jumping clocks, refusals and bounds, from a seed. Nothing
//! may panic, everything derived must agree with the ledger, every request must be answered once,
//! and the journal must make the same ledger again.

mod reading;

use crate::dice::Dice;
use crate::model::{each, seeds};
use crate::orders;
use crate::rota;
use crate::unique;
use crate::world::{Asked, World};
use std::collections::BTreeSet;
use windlass_engine::command::{
    After, Batch, Beat, Change, Code, Command, Dedup, DedupUntil, Enqueue, ErrorNote, Fetch, Fields, Flow,
    Hello, Hold, How, JobSpec, JobTouch, JobsQuery, Mutation, Pace, Patch, Put, Query, Refusal, Scope,
    Select, SetResource, Settlement, Target, Throttle, Touch, Watch, Wishes,
};
use windlass_engine::engine::Pressure;
use windlass_engine::event::EventName;
use windlass_engine::fact::ResourceBody;
use windlass_engine::filter::{Clause, Filter, NumberColumn, Pattern, States, Test, TextColumn};
use windlass_engine::flow::{DepPolicy, On};
use windlass_engine::frame::Body;
use windlass_engine::ids::{ConnId, JobId, OperationId, Request, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::limit::{Breaker, Limit};
use windlass_engine::policy::{Backoff, Ordering, Policy};
use windlass_engine::queue_conf::{Dispatch, QueueConf};
use windlass_engine::schedule::{Calendar, Schedule};
use windlass_engine::sink::Sink;
use windlass_engine::terms::{Gate, Terms};

struct Storm {
    world: World,
    dice: Dice,
    known: Vec<(JobId, u64)>,
    sessions: Vec<SessionId>,
    streams: Vec<Request>,
    waits: Vec<Request>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        let mut dice = Dice::new(seed);
        world.joins = dice.one_in(2);
        world.engine.set_jobs_max(120);
        Self { world, dice, known: Vec::new(), sessions: Vec::new(), streams: Vec::new(), waits: Vec::new() }
    }

    /// A number from where rules are likely to break.
    fn number(&mut self) -> u64 {
        let edges = [
            0,
            1,
            2,
            999,
            1_000,
            15_000,
            600_000,
            u64::from(u32::MAX),
            1 << 40,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ];
        match self.dice.roll(4) {
            0 => self.dice.of(&edges).unwrap_or(0),
            1 => self.world.now.saturating_add(self.dice.roll(100_000)),
            _ => self.dice.roll(30_000),
        }
    }

    fn small(&mut self) -> u32 {
        let edges = [0, 1, u32::MAX, u32::MAX - 1, 10_000, 10_001];
        if self.dice.one_in(8) { self.dice.of(&edges).unwrap_or(0) } else { self.dice.roll(5) as u32 }
    }

    fn maybe<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Option<T> {
        self.dice.one_in(3).then(|| make(self))
    }

    fn name(&mut self, names: &[&str]) -> String {
        self.dice.of(names).unwrap_or_default().into()
    }

    fn id(&mut self) -> JobId {
        JobId([self.dice.roll(60) as u8; 16])
    }

    fn policy(&mut self) -> Policy {
        Policy {
            priority: self.maybe(|storm| storm.small() as u8),
            // Without an end to them, a lease of a millisecond may time out for hours of the test.
            max_attempts: self.maybe(|storm| storm.small().min(10_001)),
            backoff: self.maybe(|storm| Backoff {
                base_ms: storm.number(),
                factor_permille: storm.small().wrapping_mul(500),
                max_ms: storm.number(),
                jitter_permille: storm.small().wrapping_mul(300),
                list_ms: (0..storm.dice.roll(3)).map(|_| storm.number()).collect(),
            }),
            max_crashes: self.maybe(Self::small),
            lease_ms: self.maybe(Self::number),
            timeout_ms: self.maybe(Self::number),
            stall_ms: self.maybe(Self::number),
            ttl_ms: self.maybe(Self::number),
            keep_done_ms: self.maybe(Self::number),
            keep_dead_ms: self.maybe(Self::number),
            keep_done_max: self.maybe(Self::small),
            cost: self.maybe(Self::small),
            ordering: self
                .dice
                .of(&[None, Some(Ordering::Serial), Some(Ordering::SerialSkipFailed)])
                .flatten(),
        }
    }

    fn step(&mut self) {
        let conns: Vec<ConnId> = self.world.conns.values().copied().collect();
        let roll = self.dice.roll(60);
        let Some(conn) = self.dice.of(&conns).filter(|_| roll >= 6) else { return self.hello() };
        match roll {
            6..14 => self.time(),
            14 => self.trouble(conn),
            15 => self.play(conn, Command::Hangup),
            16 => {
                let keep_leases = self.dice.one_in(2);
                self.play(conn, Command::Bye { keep_leases });
            }
            17..27 => self.enqueue(conn),
            27..35 => self.fetch(conn),
            35..45 => self.settle(conn),
            45..49 => {
                let (id, fence) = self.lease();
                let extend_ms = self.maybe(Self::number);
                let telling = crate::said::random(&mut self.dice);
                let jobs = vec![JobTouch { id, fence, extend_ms, telling }];
                let labels =
                    (0..self.dice.roll(2) * self.dice.roll(34)).map(|n| (n.to_string(), String::new()));
                let beat = Beat { labels: labels.collect(), ..Beat::default() };
                self.play(conn, Command::Touch(Touch { beat: Some(beat), jobs }));
            }
            49..53 => self.change(conn),
            53..56 => self.put(conn),
            56 => self.play(conn, Command::Unchoke),
            57 if self.dice.one_in(2) => self.play(conn, Command::Sign),
            57 => self.tell(conn),
            58 => self.watch(conn),
            _ => self.query(conn),
        }
    }

    fn tell(&mut self, conn: ConnId) {
        let mut tell = orders::random(&mut self.dice, &self.sessions);
        tell.labels.retain(|_| false);
        tell.within_ms = self.maybe(Self::number).unwrap_or(0);
        self.play(conn, Command::Tell(Box::new(tell)));
    }

    fn play(&mut self, conn: ConnId, command: Command) {
        let request = self.world.request(conn, Asked::default());
        let waits = match &command {
            Command::Enqueue(enqueue) => enqueue.wait_ms.is_some(),
            // A checkpoint is written with others, and answered then.
            Command::Touch(touch) => touch.jobs.iter().any(|job| job.telling.is_some()),
            _ => false,
        };
        if waits {
            self.waits.push(request);
        }
        for frame in self.world.turn(vec![(request, command)]) {
            if let Body::Deliver { works, .. } = &frame.body {
                self.known.extend(works.iter().map(|work| (work.id, work.fence)));
                self.known.sort_unstable();
                self.known.dedup();
            }
            if let Body::Welcome(welcome) = &frame.body {
                self.sessions.push(welcome.session);
            }
        }
        for (from, asked) in &self.world.asked {
            let open = self.world.conns.values().any(|conn| *conn == from.conn);
            let waits = asked.is_mute || self.streams.contains(from) || self.waits.contains(from);
            assert!(asked.is_over || waits || !open, "nobody answers {from:?}");
        }
        self.world.asked.retain(|_, asked| !asked.is_over && !asked.is_mute);
    }

    fn hello(&mut self) {
        if self.world.conns.len() > 8 {
            return;
        }
        let number = self.world.actors.len();
        let conn = self.world.connect(&format!("c{number}"));
        let mut fresh = [0xff; 16];
        fresh[..8].copy_from_slice(&conn.to_be_bytes());
        let resume = if self.dice.one_in(2) { self.dice.of(&self.sessions) } else { None };
        let running = self.maybe(|storm| storm.known.clone());
        let hello = Hello {
            namespace: self.name(&["default", "default", "default", "other"]),
            client: String::new(),
            host: String::new(),
            pid: 0,
            labels: Vec::new(),
            session_ttl_ms: self.number(),
            resume,
            running,
            fresh: SessionId(fresh),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        self.play(conn, Command::Hello(Box::new(hello)));
        if !self.world.attached.contains_key(&conn) {
            self.world.conns.retain(|_, open| *open != conn);
        }
    }

    /// The clock runs or jumps; the broker wakes late, or counts the time as its own absence.
    fn time(&mut self) {
        let by = match self.dice.roll(12) {
            0 => 700_000,
            1 => 40 * 86_400_000,
            2..6 => self.dice.roll(20_000),
            _ => self.dice.roll(800),
        };
        match self.dice.roll(8) {
            0 => {
                self.world.now += by;
                self.world.engine.shift(by as i64);
            }
            1 if by < 1_000_000 => {
                self.world.now -= by;
                self.world.engine.shift(-(by as i64));
            }
            2 => self.world.now += by,
            _ => drop(self.world.pass(self.world.now + by)),
        }
    }

    fn trouble(&mut self, conn: ConnId) {
        match self.dice.roll(8) {
            0 | 1 => self.world.engine.choke(conn),
            2..6 => {
                let mut flag = || self.dice.one_in(3);
                let (no_enqueue, small_results, no_leases) = (flag(), flag(), flag());
                self.world.engine.set_pressure(Pressure {
                    no_enqueue,
                    small_results,
                    no_leases,
                    disk_low: no_enqueue,
                });
            }
            6 => {
                let in_order = self.dice.one_in(2);
                self.world.now += self.dice.roll(100_000);
                self.world.restart(in_order);
                self.world.engine.set_jobs_max(120);
            }
            _ => {
                let mut turn = self.world.begin_turn();
                self.world.engine.drain(&mut turn);
                self.world.end_turn(turn);
            }
        }
    }

    fn schedule(&mut self) -> Schedule {
        let wishes = self.maybe(Self::wishes);
        let wishes =
            wishes.map(|wishes| Box::new(Wishes { expires_at: 0, hold: None, tick: None, ..*wishes }));
        let job = JobSpec {
            queue: "mail".into(),
            kind: self.name(&["send", "print"]),
            wishes,
            ..JobSpec::default()
        };
        let calendar = Calendar {
            every_ms: 600_000 + self.number().min(1 << 40),
            anchor_at: self.number(),
            start_at: self.maybe(Self::number).unwrap_or(0),
            end_at: self.maybe(Self::number).unwrap_or(0),
            ..Calendar::default()
        };
        Schedule {
            job,
            jitter_ms: self.maybe(Self::number).unwrap_or(0).min(86_400_000),
            catch_up_window_ms: self.number(),
            ..rota::schedule(&mut self.dice, calendar)
        }
    }

    fn enqueue(&mut self, conn: ConnId) {
        let count = self.dice.roll(30);
        let mut jobs = Vec::new();
        for _ in 0..count {
            if self.dice.one_in(20) {
                jobs.push(Err(Refusal::new(Code::Invalid, "", "malformed")));
                continue;
            }
            jobs.push(Ok(JobSpec {
                id: self.id(),
                queue: self.name(&["mail", "mail", "bills"]),
                kind: self.name(&["send", "print"]),
                key: self.name(&["", "anna", "bob"]),
                payload: vec![0; if self.dice.one_in(50) { 600_000 } else { 9 }].into(),
                run_at: self.maybe(Self::number).unwrap_or(0),
                wishes: self.maybe(Self::wishes),
                ..JobSpec::default()
            }));
        }
        self.tie(&mut jobs);
        let partial = self.dice.one_in(2);
        let wait_ms = self.maybe(Self::number);
        self.play(conn, Command::Enqueue(Enqueue { jobs, partial, wait_ms }));
    }

    fn wishes(&mut self) -> Box<Wishes> {
        Box::new(Wishes {
            expires_at: if self.dice.one_in(4) { self.number() } else { 0 },
            terms: Terms { policy: self.policy(), ..Terms::default() },
            hold: self.maybe(|storm| Hold { ttl_ms: storm.number(), then_run: storm.dice.one_in(2) }),
            dedup: self.maybe(Self::dedup),
            gate: Gate {
                limits: if self.dice.one_in(3) { vec!["gpu".into()] } else { Vec::new() },
                need_labels: if self.dice.one_in(9) { vec![("0".into(), String::new())] } else { Vec::new() },
            },
            flow: None,
            tick: if self.dice.one_in(9) { Some(rota::tick_of(&mut self.dice)) } else { None },
        })
    }

    /// Ties to whatever, also to itself, to what comes later and to what is not there; the ids of a frame
    /// are made different, as the session floor sees to it.
    fn tie(&mut self, jobs: &mut Vec<Result<JobSpec, Refusal>>) {
        let mut ids = BTreeSet::new();
        jobs.retain(|job| job.as_ref().map_or(true, |spec| ids.insert(spec.id)));
        for spec in jobs.iter_mut().flatten() {
            if self.dice.one_in(8) {
                (spec.kind, spec.key) = (String::new(), String::new());
            }
            if !self.dice.one_in(3) {
                continue;
            }
            let all = [On::Success, On::Finish, On::Failure];
            let count = self.dice.roll(3);
            let after = (0..count).map(|_| After { job: self.id(), on: self.dice.of(&all).expect("three") });
            let after = after.collect();
            let policies =
                [DepPolicy::AllOrCancel, DepPolicy::AllOrHold, DepPolicy::AllOrRun, DepPolicy::Any];
            let policy = self.dice.of(&policies).expect("four");
            let flow = Some(Box::new(Flow { after, policy, group: self.maybe(Self::id) }));
            spec.wishes.get_or_insert_default().flow = flow;
        }
    }

    fn dedup(&mut self) -> Box<Dedup> {
        let mut dedup = unique::dedup(&mut self.dice);
        if let DedupUntil::Window(ms) = &mut dedup.until {
            *ms = self.number();
        }
        dedup
    }

    fn fetch(&mut self, conn: ConnId) {
        let open: Vec<Request> = self.streams.iter().filter(|key| key.conn == conn).copied().collect();
        let stream = if self.dice.one_in(3) { self.dice.of(&open) } else { None };
        let queues: Vec<String> = (0..self.dice.roll(4)).map(|_| self.name(&["mail", "bills"])).collect();
        let weights =
            if self.dice.one_in(2) { queues.iter().map(|_| self.small()).collect() } else { Vec::new() };
        let fetch = Fetch {
            stream: stream.map_or(0, |key| key.id),
            queues,
            weights,
            kinds: (0..self.dice.roll(2)).map(|_| self.name(&["send", "print"])).collect(),
            slots: self.small(),
            once: if self.dice.one_in(3) { self.small() } else { 0 },
            wait_ms: if self.dice.one_in(3) { self.number() } else { self.dice.roll(9_000) },
            lease_ms: self.maybe(Self::number),
            batch: self.maybe(|storm| Batch {
                min: storm.small(),
                max: storm.small(),
                linger_ms: storm.number(),
                same_key: storm.dice.one_in(2),
            }),
            close: self.dice.one_in(4),
        };
        // It may open a stream, which then is not answered yet.
        let next = self.world.request(conn, Asked::default());
        self.streams.push(Request { conn, id: next.id + 1 });
        self.world.asked.remove(&next);
        self.play(conn, Command::Fetch(Box::new(fetch)));
    }

    fn lease(&mut self) -> (JobId, u64) {
        match self.dice.of(&self.known) {
            Some(lease) if !self.dice.one_in(20) => lease,
            _ => (self.id(), self.number()),
        }
    }

    fn settle(&mut self, conn: ConnId) {
        let mut results = Vec::new();
        for _ in 0..self.dice.roll(6) {
            let (id, fence) = self.lease();
            let how = match self.dice.roll(5) {
                0 | 1 => How::Complete(vec![0; self.dice.roll(3) as usize * 3_000].into()),
                2 => How::Fail {
                    error: Box::new(ErrorNote { message: "ä".repeat(3_000), ..ErrorNote::default() }),
                    fatal: self.dice.one_in(9),
                    retry_after_ms: self.maybe(Self::number),
                },
                3 => How::Release {
                    delay_ms: self.number(),
                    reason: self.name(&["", "busy"]),
                    throttle: self.maybe(|storm| {
                        Box::new(Throttle {
                            limit: storm.name(&["gpu", "rate", "none"]),
                            key: storm.name(&["", "anna"]),
                            ms: storm.number(),
                        })
                    }),
                },
                _ => How::Cancelled { note: String::new() },
            };
            let spawn = self.maybe(|storm| {
                let id = storm.id();
                let mut jobs =
                    vec![Ok(JobSpec { id, queue: "mail".into(), kind: "send".into(), ..JobSpec::default() })];
                storm.tie(&mut jobs);
                Box::new(jobs.into_iter().collect())
            });
            results.push(Settlement { id, fence, how, spawn, checkpoint: None });
        }
        self.play(conn, Command::Settle(results));
    }

    fn change(&mut self, conn: ConnId) {
        if self.dice.one_in(12) {
            let id = self.operation();
            return self.play(conn, Command::Stop { id, reason: String::new() });
        }
        let to = match self.dice.roll(10) {
            0 | 1 => {
                let (grace_ms, dependents) = (self.number(), self.dice.one_in(2));
                Mutation::Cancel { why: String::new(), grace_ms, dependents }
            }
            2 | 3 => {
                let spread_ms = self.maybe(Self::number).unwrap_or(0);
                Mutation::Retry { reset_attempts: self.dice.one_in(2), spread_ms }
            }
            4 => Mutation::Delete,
            5 => Mutation::Bury,
            6 => Mutation::Move(self.name(&["mail", "bills", "else"])),
            7 => Mutation::Patch(Box::new(Patch {
                payload: self.maybe(|storm| vec![1; storm.dice.roll(5_000) as usize].into()),
                policy: self.policy(),
                key: self.maybe(|storm| storm.name(&["", "anna", "eve"])),
                add_tags: vec![self.name(&["vip", "eu"])],
                remove_tags: vec![self.name(&["vip", "eu"])],
            })),
            8 => Mutation::Confirm,
            _ => Mutation::RunAt(self.number()),
        };
        let dry_run = self.dice.one_in(6);
        let max = self.maybe(|storm| storm.small().into()).unwrap_or(0);
        let per_second = self.maybe(Self::small).unwrap_or(0);
        let pace = Pace { per_second, stop_failure_permille: self.maybe(Self::small).unwrap_or(0) };
        let operation = if self.dice.one_in(2) { Some(self.operation()) } else { None };
        let select = if self.dice.one_in(2) {
            Select::ids((0..=self.dice.roll(5)).map(|_| self.id()).collect())
        } else {
            self.select()
        };
        let (reason, target) = ("ä".repeat(700), "ö".repeat(300));
        let change = Change { select, to, dry_run, max, pace, operation, reason, target };
        self.play(conn, Command::Change(Box::new(change)));
    }

    fn operation(&mut self) -> OperationId {
        OperationId([self.dice.roll(30) as u8; 16])
    }

    fn target(&mut self) -> Target {
        match self.dice.roll(8) {
            6 => Target::Sink(self.name(&["ops", "all"])),
            0 => Target::Namespace,
            1 => Target::Kind(self.name(&["send", "print"])),
            2 => Target::Queue(self.name(&["mail", "bills"])),
            3 => Target::Limit(self.name(&["gpu", "pause", "rate"])),
            _ => Target::Schedule(self.name(&["hourly", "often"])),
        }
    }

    fn limit(&mut self) -> Limit {
        Limit {
            per_key: self.dice.one_in(2),
            concurrency: self.maybe(Self::small),
            rate: self.maybe(Self::number).unwrap_or(0),
            per_ms: self.number(),
            burst: self.number(),
            until_at: self.maybe(Self::number).unwrap_or(0),
            breaker: self.maybe(|storm| Breaker {
                failure_permille: storm.small(),
                min_samples: storm.small(),
                open_ms: storm.number(),
                probes: storm.small(),
            }),
            retry_permille: self.maybe(Self::small).unwrap_or(0),
            ..Limit::default()
        }
    }

    /// Of what does not happen thousands of times where nobody makes deliveries.
    fn sink(&mut self) -> Sink {
        let few = [EventName::JobDead, EventName::SessionLost, EventName::QueueNoWorker];
        let names = (0..1 + self.dice.roll(3)).filter_map(|_| self.dice.of(&few));
        let names = names.map(|name| name.name().into()).collect();
        let secret = self.name(&["", "one", "other"]);
        Sink { names, secret, queue: self.name(&["", "mail"]), ..Sink::default() }
    }

    fn put(&mut self, conn: ConnId) {
        let mut put = Put { dry_run: self.dice.one_in(6), prune: self.dice.one_in(9), ..Put::default() };
        for _ in 0..self.dice.roll(3) {
            let target = self.target();
            let body = match target {
                Target::Limit(_) => ResourceBody::Limit(self.limit()),
                Target::Queue(_) => ResourceBody::Queue(QueueConf {
                    policy: self.policy(),
                    dispatch: if self.dice.one_in(2) { Dispatch::Random } else { Dispatch::LongestIdle },
                    fair_every: self.small(),
                    keep_bytes: self.number(),
                    slo_ms: if self.dice.one_in(2) { self.dice.roll(9_000) } else { 0 },
                }),
                Target::Namespace | Target::Kind(_) => ResourceBody::Policy(self.policy()),
                Target::Schedule(_) => ResourceBody::Schedule(Box::new(self.schedule())),
                Target::Sink(_) => ResourceBody::Sink(Box::new(self.sink())),
            };
            let scope = Scope {
                queue: self.name(&["", "mail"]),
                kind: self.name(&["", "send"]),
                key: self.name(&["", "", "anna"]),
            };
            put.set.push(SetResource { target, if_version: self.dice.roll(2), body, scope });
        }
        for _ in 0..self.dice.roll(4) {
            put.remove.push(self.target());
        }
        self.play(conn, Command::Put(put));
    }

    fn select(&mut self) -> Select {
        let mut filter = Filter::default();
        for _ in 0..self.dice.roll(3) {
            let any = (0..self.dice.roll(3)).map(|_| self.test()).collect();
            filter.clauses.push(Clause { is_negated: self.dice.one_in(3), any });
        }
        Select {
            group: self.maybe(Self::id),
            ids: self.maybe(|storm| (0..storm.dice.roll(3)).map(|_| storm.id()).collect()),
            queue: self.name(&["", "mail"]),
            states: (0..self.dice.roll(4)).filter_map(|_| self.dice.of(&State::ALL)).collect(),
            filter,
        }
    }

    fn test(&mut self) -> Test {
        match self.dice.roll(5) {
            0 => Test::Text(TextColumn::Kind, Pattern::Like(self.name(&["s*d", "print", "*"]))),
            1 => Test::Text(TextColumn::Key, Pattern::Holds(self.name(&["NN", "bob", ""]))),
            2 => Test::Number(NumberColumn::Attempt, 0, u64::from(self.small())),
            3 => Test::Number(NumberColumn::Created, self.number(), self.number()),
            _ => Test::Id(vec![self.dice.roll(60) as u8]),
        }
    }
}

#[test]
fn nothing_breaks_the_rules_from_inside() {
    each(seeds(3_000_000, 100), |seed| {
        let mut storm = Storm::new(seed);
        (0..150).for_each(|_| storm.step());
        storm.world.compare_with_replay();
    });
}
