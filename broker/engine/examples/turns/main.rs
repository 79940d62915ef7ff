//! What the rules cost: time and allocations per life of a job, memory per waiting job, picks among many
//! lanes.
//!
//! `cargo run --release -p windlass-engine --example turns -- [WORD [JOBS]]`: a word picks the lines that
//! hold it, `128$` the one that ends so; whole lives are measured over so many jobs.
#![allow(clippy::print_stdout, reason = "it is there to print")]
#![allow(clippy::cast_possible_truncation, reason = "its numbers are small")]

mod bench;
mod counted;
mod lanes;
mod lives;

use bench::Bench;
use counted::{BYTES, processor_time};
use lives::Load;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use windlass_engine::command::Command;

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
        "{name:<52} {:>6} bytes a job, {} ns to enqueue, {} ns to lease and complete",
        bytes / i64::try_from(count).expect("a count"),
        fill.as_nanos() / jobs,
        (processor_time(clock) - start).as_nanos() / 128_000
    );
}

fn main() {
    let mut words = std::env::args().skip(1);
    let word = words.next().unwrap_or_default();
    let jobs = words.next().map_or(400_000, |jobs| jobs.parse().expect("a number of jobs"));
    let is_picked = |name: &str| format!("{name}$").contains(&word);
    let plain = Load { workers: 1, slots: 128, count: 128, keys: 0, rate: 0 };
    for (name, load) in [
        ("1 stream, batches of 128", plain),
        ("1 stream, batches of 128, 100 keys", Load { keys: 100, ..plain }),
        ("1 stream, batches of 128, 100,000 keys", Load { keys: 100_000, ..plain }),
        ("the same, with a rate for each key", Load { keys: 100_000, rate: 1_000, ..plain }),
        ("64 single-slot streams", Load { workers: 64, slots: 1, count: 64, ..plain }),
        ("1 stream, one job at a time", Load { slots: 1, count: 1, ..plain }),
    ] {
        if is_picked(name) {
            lives::at_once(name, load, jobs);
        }
    }
    let name = "100,000 keys, and some jobs wait for their rates";
    if is_picked(name) {
        lives::with_waiting(name, Load { slots: 10_000, keys: 100_000, rate: 1, ..plain }, jobs);
    }
    for (name, keys) in [("1,000,000 ready jobs", 0), ("1,000,000 ready jobs, 100,000 keys", 100_000)] {
        if is_picked(name) {
            backlog(name, 1_000_000, keys);
        }
    }
    for lanes in [1, 1_000, 1_000_000] {
        if is_picked("lanes") {
            lanes::open(lanes);
            lanes::kept(lanes);
        }
    }
}
