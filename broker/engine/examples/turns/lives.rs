//! What a whole life costs the rules: plain, with keys, and with a rate for each key.

use crate::bench::Bench;
use crate::counted::{CALLS, processor_time};
use std::sync::atomic::Ordering;
use std::time::Instant;
use windlass_engine::limit::Limit;
use windlass_engine::policy::mix;

/// Who works, on how many jobs a round, under how many keys.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) workers: u64,
    pub(crate) slots: u32,
    pub(crate) count: usize,
    pub(crate) keys: u128,
    /// Starts of each key a second; 0 = any.
    pub(crate) rate: u64,
}

/// Each job is enqueued, leased and completed at once.
pub(crate) fn at_once(name: &str, load: Load, jobs: usize) {
    let mut bench = begin(load);
    // The first rounds fill the queue's kept jobs, and meet every key.
    for _ in 0..20_000.max(load.keys as usize) / load.count {
        let enqueue = bench.enqueue(load.count, load.keys);
        bench.life(enqueue, load.count);
    }
    let rounds: Vec<_> = (0..jobs / load.count).map(|_| bench.enqueue(load.count, load.keys)).collect();
    let jobs = rounds.len() * load.count;
    let clock = Instant::now();
    let (start, before) = (processor_time(clock), CALLS.load(Ordering::Relaxed));
    for enqueue in rounds {
        bench.life(enqueue, load.count);
    }
    let took = processor_time(clock) - start;
    let calls = CALLS.load(Ordering::Relaxed) - before;
    let (ns, calls) = (took.as_nanos() / jobs as u128, calls / jobs as u64);
    println!("{name:<52} {ns:>6} ns a life, {calls} allocations");
}

/// Keys come by chance, half as often as their rates allow: some jobs wait for their key's next turn.
pub(crate) fn with_waiting(name: &str, load: Load, jobs: usize) {
    let mut bench = begin(load);
    let round = |bench: &mut Bench| {
        bench.enqueue_as(load.count, |job| format!("key-{}", u128::from(mix(job as u64, 7)) % load.keys))
    };
    // So many jobs a millisecond are half of what the rates allow.
    let allowed = load.keys as u64 * load.rate / 2;
    let mut leases = Vec::new();
    let mut turns = |bench: &mut Bench, rounds: Vec<_>| {
        let (mut done, mut due) = (0, 0);
        for enqueue in rounds {
            due += load.count as u64 * 1_000_000 / allowed;
            (bench.now, due) = (bench.now + due / 1_000, due % 1_000);
            leases = bench.pass(std::mem::take(&mut leases), enqueue);
            done += leases.len();
        }
        done
    };
    let first: Vec<_> = (0..200_000 / load.count).map(|_| round(&mut bench)).collect();
    turns(&mut bench, first);
    let rounds: Vec<_> = (0..jobs / load.count).map(|_| round(&mut bench)).collect();
    let clock = Instant::now();
    let start = processor_time(clock);
    let done = turns(&mut bench, rounds);
    let ns = (processor_time(clock) - start).as_nanos() / done as u128;
    println!("{name:<52} {ns:>6} ns a life");
}

fn begin(load: Load) -> Bench {
    let mut bench = Bench::new();
    bench.hello(1);
    if load.rate > 0 {
        let (rate, per_ms) = (load.rate, 1_000);
        bench.limit(Limit { per_key: true, rate, per_ms, burst: 1.max(rate / 10), ..Limit::default() });
    }
    for conn in 2..2 + load.workers {
        bench.hello(conn);
        bench.turn(vec![(conn, Bench::fetch(load.slots))]);
    }
    bench
}
