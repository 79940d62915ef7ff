//! What a pick costs among many lanes: all of them open, or nearly all kept by a limit of their key.

use crate::bench::Bench;
use crate::counted::processor_time;
use std::time::Instant;
use windlass_engine::command::Command;
use windlass_engine::limit::Limit;

/// Jobs of one Enqueue.
const FRAME: usize = 1_000;

/// Jobs that may start at once, each of a key of its own, beside the lanes that are kept.
const FREE: usize = 20_000;

/// Every lane has a job that may start.
pub(crate) fn open(lanes: usize) {
    let mut bench = Bench::new();
    bench.hello(1);
    for _ in 0..lanes.max(FREE) / FRAME {
        let enqueue = bench.enqueue(FRAME, lanes as u128);
        bench.turn(vec![(1, enqueue)]);
    }
    drain(&mut bench, &format!("{lanes} lanes, all open"));
}

/// Each key may start one job a month, and has.
pub(crate) fn kept(lanes: usize) {
    let mut bench = Bench::new();
    bench.hello(1);
    bench.hello(2);
    let month = 30 * 86_400_000;
    bench.limit(Limit { per_key: true, rate: 1, per_ms: month, burst: 1, ..Limit::default() });
    bench.turn(vec![(2, Bench::fetch(FRAME as u32))]);
    let frame = FRAME.min(lanes);
    for _ in 0..lanes / frame {
        let enqueue = bench.enqueue(frame, u128::MAX);
        bench.life(enqueue, frame);
    }
    // The second jobs of these keys are found to be kept, and wait.
    bench.start_over();
    for _ in 0..lanes / frame {
        let enqueue = bench.enqueue(frame, u128::MAX);
        assert!(bench.turn(vec![(1, enqueue)]).is_empty(), "the limit keeps them");
    }
    while bench.has_work() {
        assert!(bench.turn(Vec::new()).is_empty(), "the limit keeps them");
    }
    bench.turn(vec![(2, Command::Bye { keep_leases: false })]);
    for _ in 0..FREE / FRAME {
        let enqueue = bench.enqueue_as(FRAME, |job| format!("free-{job}"));
        bench.turn(vec![(1, enqueue)]);
    }
    drain(&mut bench, &format!("{lanes} lanes, kept by their key's rate"));
}

/// A stream leases jobs and completes them.
fn drain(bench: &mut Bench, name: &str) {
    let mut leases = bench.turn(vec![(1, Bench::fetch(128))]);
    let clock = Instant::now();
    let start = processor_time(clock);
    for _ in 0..100 {
        assert_eq!(leases.len(), 128, "there is enough to do");
        let list = leases.into_iter().map(|(_, settlement)| settlement).collect();
        leases = bench.turn(vec![(1, Command::Settle(list))]);
    }
    let ns = (processor_time(clock) - start).as_nanos() / 12_800;
    println!("{name:<52} {ns:>6} ns to pick, lease and complete");
}
