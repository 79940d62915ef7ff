//! The scene: what all actors share. Time, chance, the jobs there are, and how to describe a new
//! one.

use super::bodies::{any_length, headers_of, job_id, payload_of};
use super::history::Asked;
use super::random::Random;
use super::swarm::{Dial, Swarm};
use windlass_engine::command::{Dedup, DedupUntil, Hold, JobSpec, OnConflict, Wishes};
use windlass_engine::ids::Ms;
use windlass_engine::policy::{Backoff, Ordering, Policy};
use windlass_engine::schedule::{Calendar, CatchUp, Overlap, Schedule};
use windlass_engine::terms::{Gate, Terms};
use windlass_engine::{Blob, JobId};

/// Queues that everybody speaks of.
pub const QUEUES: [&str; 3] = ["mail", "image", "report"];
/// Kinds that everybody speaks of.
pub const KINDS: [&str; 3] = ["send", "resize", "print"];

/// What all actors share.
pub struct Scene {
    /// The only source of chance.
    pub random: Random,
    /// What this history has more or less of.
    pub swarm: Swarm,
    /// The broker's clock.
    pub now: Ms,
    /// Jobs that some producer has made.
    pub ids: Vec<JobId>,
    /// Leases that some worker has heard of, the latest few.
    pub leases: Vec<(JobId, u64)>,
    /// What operators asked for.
    pub asked: Asked,
    /// Nothing bad happens any more, and everybody does what they should.
    pub is_calm: bool,
    /// Longest payload.
    pub payload_max: u32,
}

impl Scene {
    /// A scene of this seed.
    pub fn new(seed: u64, now: Ms) -> Self {
        let mut random = Random::new(seed);
        let swarm = Swarm::draw(&mut random);
        Self {
            random,
            swarm,
            now,
            ids: Vec::new(),
            leases: Vec::new(),
            asked: Asked::default(),
            is_calm: false,
            payload_max: 12_000,
        }
    }

    /// True in about so many of a hundred cases, as far as this history has it.
    pub fn happens(&mut self, dial: Dial, percent: u64) -> bool {
        self.random.chance(self.swarm.percent(dial, percent))
    }

    /// Some job there was, if there was one.
    pub fn any_id(&mut self) -> Option<JobId> {
        if self.ids.is_empty() {
            return None;
        }
        // Mostly a recent one.
        let back = if self.random.chance(70) { self.ids.len().min(30) } else { self.ids.len() };
        Some(self.ids[self.ids.len() - 1 - self.random.place(back)])
    }

    /// A worker has heard of a lease; others may speak of it from now on.
    pub fn leased(&mut self, id: JobId, fence: u64) {
        self.leases.push((id, fence));
        let old = self.leases.len().saturating_sub(20);
        self.leases.drain(..old);
    }

    /// Somebody met a job that no producer has made; operators may speak of it from now on.
    pub fn met(&mut self, id: JobId) {
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// A new job.
    pub fn new_job(&mut self) -> JobSpec {
        let number = self.ids.len() as u64 + 1;
        let payload = any_length(&mut self.random, self.payload_max);
        let headers = if self.random.chance(30) { self.random.between(1, 400) } else { 0 };
        let id = job_id(number, payload, u16::try_from(headers).expect("headers are short"));
        self.ids.push(id);
        let run_at = if self.random.chance(20) { self.now + self.random.between(1, 20_000) } else { 0 };
        JobSpec {
            id,
            queue: (*self.random.pick(&QUEUES)).into(),
            kind: (*self.random.pick(&KINDS)).into(),
            key: self.any_key(number),
            payload: payload_of(id),
            headers: headers_of(id),
            run_at,
            wishes: Some(Box::new(Wishes {
                terms: Terms { policy: self.any_policy(), ..Terms::default() },
                dedup: self.any_dedup(),
                hold: self.any_hold(),
                gate: Gate {
                    limits: if self.random.chance(10) { vec!["gpu".into()] } else { Vec::new() },
                    ..Gate::default()
                },
                ..Wishes::default()
            })),
        }
    }

    /// Some keys are shared, some are used once, so that names come and go.
    fn any_key(&mut self, number: u64) -> String {
        match self.random.below(10) {
            0..=4 => String::new(),
            5..=7 => format!("customer-{}", self.random.below(4)),
            _ => format!("order-{number}"),
        }
    }

    /// Nobody replaces a payload here: it tells which job it belongs to.
    fn any_dedup(&mut self) -> Option<Box<Dedup>> {
        if !self.happens(Dial::Dedup, 10) {
            return None;
        }
        let until = match self.random.below(3) {
            0 => DedupUntil::Finish,
            1 => DedupUntil::Start,
            _ => DedupUntil::Window(self.random.between(1, 8_000)),
        };
        let dedup = Dedup {
            key: format!("only-{}", self.random.below(5)),
            whole_namespace: self.random.chance(30),
            until,
            on_conflict: OnConflict::KeepOld,
            payload_bytes_max: 0,
        };
        Some(Box::new(dedup))
    }

    fn any_hold(&mut self) -> Option<Hold> {
        let then_run = self.random.chance(50);
        self.happens(Dial::Hold, 5).then(|| Hold { ttl_ms: self.random.between(1, 4_000), then_run })
    }

    /// Mostly every few seconds, so that ticks and jobs meet.
    pub fn any_schedule(&mut self) -> Schedule {
        let every_ms = self.random.between(1_000, 15_000);
        let (anchor_at, max_runs) = (self.random.below(every_ms), self.random.below(8));
        let few = |random: &mut Random, most| u32::try_from(random.below(most)).expect("few");
        let catch_up = *self.random.pick(&[CatchUp::Last, CatchUp::None, CatchUp::All]);
        let overlaps =
            [Overlap::Skip, Overlap::BufferOne, Overlap::BufferAll, Overlap::CancelRunning, Overlap::Allow];
        let seconds = *self.random.pick(&[5, 10, 15]);
        let calendar = if self.random.chance(30) {
            Calendar { cron: format!("*/{seconds} * * * * *"), tz: "UTC".into(), ..Calendar::default() }
        } else {
            Calendar { every_ms, anchor_at, ..Calendar::default() }
        };
        Schedule {
            calendar,
            jitter_ms: if self.random.chance(30) { self.random.below(2_000) } else { 0 },
            job: self.any_template(),
            overlap: *self.random.pick(&overlaps),
            catch_up,
            catch_up_window_ms: self.random.between(1_000, 60_000),
            catch_up_max: if catch_up == CatchUp::All { 1 + few(&mut self.random, 10) } else { 0 },
            max_runs: if self.random.chance(30) { max_runs } else { 0 },
            paused: self.random.chance(10),
            pause_after_failures: if self.random.chance(30) { few(&mut self.random, 3) } else { 0 },
        }
    }

    /// The job of a schedule has the id of its tick, and carries nothing.
    fn any_template(&mut self) -> JobSpec {
        let wishes = Wishes {
            terms: Terms { policy: self.any_policy(), ..Terms::default() },
            dedup: self.any_dedup(),
            ..Wishes::default()
        };
        JobSpec {
            id: JobId::default(),
            queue: (*self.random.pick(&QUEUES)).into(),
            kind: (*self.random.pick(&KINDS)).into(),
            key: if self.random.chance(30) { "customer-1".into() } else { String::new() },
            payload: Blob::default(),
            headers: Blob::default(),
            run_at: 0,
            wishes: self.random.chance(60).then(|| Box::new(wishes)),
        }
    }

    fn any_policy(&mut self) -> Policy {
        let (is_leased, is_serial) = (self.happens(Dial::Lease, 15), self.happens(Dial::Serial, 15));
        let (is_timed, is_watched) = (self.happens(Dial::Held, 20), self.happens(Dial::Held, 20));
        let random = &mut self.random;
        let mut policy = Policy::default();
        if random.chance(40) {
            return policy;
        }
        if random.chance(50) {
            policy.max_attempts = u32::try_from(random.between(1, 4)).ok();
        }
        if random.chance(30) {
            let base_ms = random.between(1, 3_000);
            policy.backoff = Some(Backoff { base_ms, max_ms: 20_000, ..Backoff::DEFAULT });
        }
        if random.chance(30) {
            policy.max_crashes = u32::try_from(random.between(1, 3)).ok();
        }
        if is_leased {
            policy.lease_ms = Some(random.between(0, 3) * 4_000);
        }
        if is_serial {
            policy.ordering = Some(Ordering::SerialSkipFailed);
        }
        if is_timed {
            policy.timeout_ms = Some(random.between(100, 4_000));
        }
        if is_watched {
            policy.stall_ms = Some(random.between(100, 4_000));
        }
        if random.chance(10) {
            policy.ttl_ms = Some(random.between(1, 10_000));
        }
        if random.chance(25) {
            policy.keep_done_ms = Some(random.below(6_000));
        }
        if random.chance(25) {
            policy.keep_dead_ms = Some(random.below(20_000));
        }
        if random.chance(15) {
            policy.cost = Some(2);
        }
        if random.chance(20) {
            policy.priority = u8::try_from(random.below(10)).ok();
        }
        policy
    }
}
