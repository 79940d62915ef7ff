//! What the rules cost: time and allocations per life of a job, memory per waiting job.
//!
//! `cargo run --release -p windlass-engine --example turns`
#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]
#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use windlass_engine::command::{Command, Enqueue, Fetch, Hello, How, JobSpec, Settlement};
use windlass_engine::engine::Start;
use windlass_engine::frame::Body;
use windlass_engine::ids::{ConnId, JobId, Request, SessionId};
use windlass_engine::{Engine, Frame, Turn};

/// The system's allocator, counted.
struct Counted;

static BYTES: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

fn grow(by: usize) -> i64 {
    i64::try_from(by).expect("less than there is memory")
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(grow(layout.size()), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's layout, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(grow(size) - grow(layout.size()), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's pointer, layout and size, unchanged.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(grow(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's pointer and layout, unchanged.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The processor time this thread has had: other programs do not disturb it. Elsewhere than on Linux
/// it is the wall clock's.
fn processor_time(start: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = stat.split(' ').next().and_then(|text| text.parse().ok());
    spent.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// An engine, its clock and its clients.
struct Bench {
    engine: Engine,
    now: u64,
    batch: u64,
    jobs: u128,
    requests: u64,
}

impl Bench {
    fn new() -> Self {
        let mut bench =
            Self { engine: Engine::new(1), now: 1_800_000_000_000, batch: 1, jobs: 0, requests: 0 };
        bench.engine.start(Start { now: bench.now, minutes: 1 }, &mut Turn::new(1));
        bench
    }

    fn hello(&mut self, conn: ConnId) {
        let mut fresh = [0; 16];
        fresh[..8].copy_from_slice(&conn.to_le_bytes());
        let hello = Hello {
            namespace: "default".into(),
            client: "turns".into(),
            host: String::new(),
            pid: 0,
            labels: Vec::new(),
            session_ttl_ms: 3_600_000,
            resume: None,
            running: None,
            fresh: SessionId(fresh),
        };
        self.turn(vec![(conn, Command::Hello(Box::new(hello)))]);
    }

    fn fetch(slots: u32) -> Command {
        Command::Fetch(Box::new(Fetch {
            stream: 0,
            queues: vec!["mail".into()],
            weights: Vec::new(),
            kinds: vec!["send".into()],
            slots,
            once: 0,
            wait_ms: 0,
            lease_ms: None,
            close: false,
        }))
    }

    fn enqueue(&mut self, count: usize, keys: u128) -> Command {
        let jobs = (0..count).map(|_| {
            self.jobs += 1;
            // Ids of clients are not in order.
            let id = self.jobs.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            Ok(JobSpec {
                id: JobId(id.to_le_bytes()),
                queue: "mail".into(),
                kind: "send".into(),
                key: if keys == 0 { String::new() } else { format!("key-{}", self.jobs % keys) },
                payload: windlass_engine::Blob::from(&[7; 100][..]),
                ..JobSpec::default()
            })
        });
        Command::Enqueue(Enqueue { jobs: jobs.collect(), partial: false, wait_ms: None })
    }

    /// Two turns: jobs come and are leased; then they are completed.
    fn life(&mut self, enqueue: Command, count: usize) {
        let leases = self.turn(vec![(1, enqueue)]);
        assert_eq!(leases.len(), count, "every job finds a worker");
        let mut results: Vec<(ConnId, Vec<Settlement>)> = Vec::new();
        for (conn, settlement) in leases {
            match results.last_mut() {
                Some((last, list)) if *last == conn => list.push(settlement),
                Some(_) | None => results.push((conn, vec![settlement])),
            }
        }
        self.turn(results.into_iter().map(|(conn, list)| (conn, Command::Settle(list))).collect());
        self.now += 1;
    }

    /// A turn; the leases it gave out.
    fn turn(&mut self, commands: Vec<(ConnId, Command)>) -> Vec<(ConnId, Settlement)> {
        self.batch += 1;
        let mut turn = Turn::new(self.batch);
        for (conn, command) in commands {
            self.requests += 1;
            let from = Request { conn, id: self.requests };
            self.engine.apply(self.now, from, command, &mut turn);
        }
        self.engine.tick(self.now, &mut turn);
        turn.frames.iter().flat_map(settlements).collect()
    }
}

fn settlements(frame: &Frame) -> Vec<(ConnId, Settlement)> {
    let Body::Deliver { works, .. } = &frame.body else { return Vec::new() };
    let settle = |id, fence| Settlement {
        id,
        fence,
        how: How::Complete(windlass_engine::Blob::default()),
        checkpoint: None,
        spawn: None,
    };
    works.iter().map(|work| (frame.to.conn, settle(work.id, work.fence))).collect()
}

/// Whole lives: `workers` streams of `slots`, `count` jobs a round, each enqueued, leased, completed.
fn lives(name: &str, workers: u64, slots: u32, count: usize, keys: u128) {
    let mut bench = Bench::new();
    bench.hello(1);
    for conn in 2..2 + workers {
        bench.hello(conn);
        bench.turn(vec![(conn, Bench::fetch(slots))]);
    }
    // The first rounds fill the queue's kept jobs.
    for _ in 0..20_000 / count {
        let enqueue = bench.enqueue(count, keys);
        bench.life(enqueue, count);
    }
    let rounds: Vec<Command> = (0..400_000 / count).map(|_| bench.enqueue(count, keys)).collect();
    let jobs = (rounds.len() * count) as u64;
    let clock = Instant::now();
    let (start, before) = (processor_time(clock), CALLS.load(Ordering::Relaxed));
    for enqueue in rounds {
        bench.life(enqueue, count);
    }
    let took = processor_time(clock) - start;
    let calls = CALLS.load(Ordering::Relaxed) - before;
    println!("{name:<44} {:>6} ns a life, {} allocations", took.as_nanos() / u128::from(jobs), calls / jobs);
}

/// A backlog: memory per ready job, and what it costs to fill and to empty it.
fn backlog(name: &str, count: usize, keys: u128) {
    let mut bench = Bench::new();
    bench.hello(1);
    let before = BYTES.load(Ordering::Relaxed);
    let (mut fill, clock) = (Duration::ZERO, Instant::now());
    for _ in 0..count / 1_000 {
        let enqueue = bench.enqueue(1_000, keys);
        let start = processor_time(clock);
        bench.turn(vec![(1, enqueue)]);
        fill += processor_time(clock) - start;
    }
    let bytes = BYTES.load(Ordering::Relaxed) - before;
    let start = processor_time(clock);
    let mut leases = bench.turn(vec![(1, Bench::fetch(128))]);
    for _ in 0..1_000 {
        let list = leases.into_iter().map(|(_, settlement)| settlement).collect();
        leases = bench.turn(vec![(1, Command::Settle(list))]);
    }
    let jobs = u128::try_from(count).expect("a count");
    println!(
        "{name:<44} {:>6} bytes a job, {} ns to enqueue, {} ns to lease and complete",
        bytes / i64::try_from(count).expect("a count"),
        fill.as_nanos() / jobs,
        (processor_time(clock) - start).as_nanos() / 128_000
    );
}

fn main() {
    // A word picks the lines that hold it.
    let word = std::env::args().nth(1).unwrap_or_default();
    for (name, workers, slots, count, keys) in [
        ("1 stream, batches of 128", 1, 128, 128, 0),
        ("1 stream, batches of 128, 100 keys", 1, 128, 128, 100),
        ("64 single-slot streams", 64, 1, 64, 0),
        ("1 stream, one job at a time", 1, 1, 1, 0),
    ] {
        if name.contains(&word) {
            lives(name, workers, slots, count, keys);
        }
    }
    for (name, keys) in [("1,000,000 ready jobs", 0), ("1,000,000 ready jobs, 100,000 keys", 100_000)] {
        if name.contains(&word) {
            backlog(name, 1_000_000, keys);
        }
    }
}
