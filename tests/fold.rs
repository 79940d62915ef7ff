//! The fold test: whatever state there is must come back from the leaves alone. A new kind of state
//! that is neither a job field nor a table nor in Meta fails here.

use crate::simulation::bodies::{headers_of, job_id, payload_of, result_of};
use crate::simulation::wire::Wire;
use crate::simulation::world::World;
use windlass_engine::Command;
use windlass_engine::command::{
    Change, Enqueue, Fetch, How, JobSpec, Mutation, Query, Select, Settlement, Wishes,
};
use windlass_engine::frame::{Body, Work};
use windlass_engine::limits::HISTORY_MAX;
use windlass_engine::policy::Policy;
use windlass_engine::terms::Terms;

/// Steps of a life before it is folded.
const STEPS: u64 = 500;

/// A life without trouble; its folds come and go as they do.
fn lived(seed: u64) -> World {
    let mut world = World::quiet(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.commit_all();
    world
}

/// `start` compares every record with what is durable, so that here only the bytes are left to
/// compare.
fn compare_reopened(world: &mut World, context: &str) {
    let before = world.inspect();
    world.crash();
    world.start();
    let after = world.inspect();
    for (one, other) in before.iter().zip(&after) {
        assert_eq!(one, other, "{context}: a job has changed");
    }
    assert_eq!(before.len(), after.len(), "{context}: jobs have come or gone");
}

#[test]
fn the_whole_engine_comes_back_from_a_fold_and_what_is_left_of_the_journal() {
    let mut dropped = 0;
    for seed in 0..20 {
        let mut world = lived(seed);
        world.fold_all();
        compare_reopened(&mut world, &format!("seed {seed}"));
        // Once more: what came from the leaves is folded as well as what was decided here.
        for _ in 0..STEPS / 2 {
            world.step();
        }
        world.fold_all();
        compare_reopened(&mut world, &format!("seed {seed}, second life"));
        dropped += u32::from(world.first_batch() > 1);
    }
    assert!(dropped > 10, "the journal's beginning was dropped in {dropped} of 20 lives only");
}

#[test]
fn the_whole_engine_comes_back_from_a_fold_that_was_cut_short_after_any_slice() {
    let mut cuts = 0;
    for seed in 0..8 {
        let (mut written, mut is_whole) = (0, false);
        while !is_whole {
            let mut world = lived(seed);
            let folds = world.folds();
            world.want_fold(true);
            for _ in 0..written {
                // Life goes on between two slices.
                (0..10).for_each(|_| world.step());
                world.fold_slice();
            }
            world.commit_all();
            is_whole = world.folds() > folds + 1;
            compare_reopened(&mut world, &format!("seed {seed}, {written} slices"));
            written += 1;
        }
        cuts += written;
    }
    assert!(cuts > 24, "folds of many slices, not of {cuts} altogether");
}

fn job(number: u64) -> JobSpec {
    let id = job_id(number, 500, 0);
    JobSpec {
        id,
        queue: "q".into(),
        kind: "k".into(),
        key: String::new(),
        payload: payload_of(id),
        headers: headers_of(id),
        wishes: Some(Box::new(Wishes {
            terms: Terms {
                policy: Policy { max_attempts: Some(1_000), ..Policy::default() },
                ..Terms::default()
            },
            ..Wishes::default()
        })),
        ..JobSpec::default()
    }
}

/// Takes the next job and ends the lease like this.
fn run_next(world: &mut World, wire: &mut Wire, how: impl Fn(&Work) -> How) {
    let fetch = Fetch {
        stream: 0,
        queues: vec!["q".into()],
        weights: Vec::new(),
        batch: None,
        kinds: Vec::new(),
        slots: 1,
        once: 1,
        wait_ms: 0,
        lease_ms: None,
        close: false,
    };
    let frames = world.converse(wire, vec![Command::Fetch(Box::new(fetch))]);
    let works = frames.into_iter().find_map(|frame| match frame.body {
        Body::Deliver { works, .. } => works.into_iter().next(),
        _ => None,
    });
    let work = works.expect("the job is ready");
    let settlement =
        Settlement { id: work.id, fence: work.fence, how: how(&work), checkpoint: None, spawn: None };
    world.converse(wire, vec![Command::Settle(vec![settlement])]);
}

fn unfolded_bytes(world: &mut World, wire: &mut Wire) -> u64 {
    let frames = world.converse(wire, vec![Command::Query(Query::Server)]);
    let server = frames.into_iter().find_map(|frame| match frame.body {
        Body::Rows(rows) => rows.server,
        _ => None,
    });
    server.expect("the broker tells of itself").disk.unfolded_bytes
}

/// What no job names any more must not wait in memory for a fold that never takes it: attempts
/// that a history has no room for, and results of jobs that ran again.
#[test]
fn after_a_fold_nothing_waits_in_memory_to_be_folded() {
    let mut world = World::quiet(1);
    let mut wire = world.newcomer("default");
    let spec = job(1);
    let id = spec.id;
    world.asked().retries.insert(id);
    let enqueue = Enqueue { jobs: vec![Ok(spec)], partial: false, wait_ms: None };
    world.converse(&mut wire, vec![Command::Enqueue(enqueue)]);
    for _ in 0..3 * HISTORY_MAX {
        let release = |_: &Work| How::Release { delay_ms: 0, reason: "not now".into(), throttle: None };
        run_next(&mut world, &mut wire, release);
    }
    for _ in 0..5 {
        run_next(&mut world, &mut wire, |work| How::Complete(result_of(work.id, work.fence)));
        let again = Mutation::Retry { reset_attempts: true, spread_ms: 0 };
        let retry = Box::new(Change::new(Select::ids(vec![id]), again));
        world.converse(&mut wire, vec![Command::Change(retry)]);
    }
    assert!(unfolded_bytes(&mut world, &mut wire) > 500, "the payload and more is only in the journal");
    world.fold_all();
    assert_eq!(unfolded_bytes(&mut world, &mut wire), 0, "everything is in the leaves");
}
