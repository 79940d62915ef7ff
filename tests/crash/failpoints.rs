//! kill -9 at named places: while it serves, while it starts, while it makes its directory. After each
//! death the broker is started again, and everything that was promised is compared. More by hand:
//!
//! ```text
//! KILLS=10 cargo test -p windlass-tests failpoints -- --nocapture
//! ```

use super::witness::Witness;
use crate::harness::{Broker, eventually, job, start_windlass, windlass, windlass_killed_at};
use crate::simulation::random::Random;
use rustix::process::Signal;
use std::fs;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Enqueue, State};

const KILLED: i32 = 128 + 9;
/// How often it is killed at each place, unless asked otherwise.
const KILLS: u64 = 3;
/// Steps within which every place must have been passed.
const STEPS_MAX: usize = 2_000;
/// Small, so that segments are turned and folds are made all the time.
const FLAGS: [&str; 6] =
    ["--segment-bytes", "64KiB", "--segment-bytes-max", "64KiB", "--disk-reserve-bytes", "64KiB"];

/// Places passed while it serves, and how often at most before the one at which it dies.
const SERVING: &[(&str, u64)] = &[
    ("before_write", 40),
    ("after_write_before_sync", 40),
    ("after_sync_before_ack", 40),
    ("after_lease_before_send", 40),
    ("before_segment_header", 6),
    ("after_segment_header", 6),
    ("before_slice", 12),
    ("after_slice_before_sync", 12),
    ("before_mark", 2),
    ("after_mark", 2),
    ("before_recycle", 2),
    ("after_recycle", 2),
];

/// Places passed while it starts on data that are there.
const STARTING: &[(&str, u64)] = &[
    ("before_tail_sync", 1),
    ("after_leaves_kept", 1),
    ("before_leaves_open", 1),
    ("after_leaves_open", 1),
    ("before_replay", 1),
    ("during_replay", 10),
    ("before_leaves_let_go", 1),
    ("after_seal", 1),
    ("after_end_forgotten", 1),
    ("before_first_batch", 1),
    // That of the first batch.
    ("after_write_before_sync", 1),
    ("after_first_batch", 1),
];

/// Places passed while it makes its directory.
const MAKING: &[(&str, u64)] = &[
    ("before_manifest", 2),
    ("after_manifest", 1),
    ("after_new_journal", 1),
    ("before_leaves_sync", 1),
    ("after_new_leaves", 1),
    ("after_seal", 1),
];

fn kills() -> u64 {
    std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

/// The broker dies at this place when it passes it for the `nth` time.
fn arm(broker: &mut Broker, place: &str, nth: u64) {
    broker.set_env(&[("WINDLASS_FAILPOINT", &format!("{place}:{nth}:kill"))]);
}

#[test]
fn a_broker_that_is_killed_at_any_place_while_it_serves_keeps_every_promise() {
    let (mut random, mut jobs) = (Random::new(1), 0);
    for _ in 0..kills() {
        let mut broker = Broker::with(&FLAGS);
        let mut witness = Witness::new(&broker, random.next());
        for &(place, most) in SERVING {
            // The start before this one has left the directory as a kill leaves it.
            broker.kill();
            arm(&mut broker, place, random.between(1, most));
            // It may pass the place while it starts already.
            let started = broker.try_restart();
            if started.is_ok() {
                let is_there = witness.connect(&broker);
                let steps = (0..STEPS_MAX).take_while(|_| is_there && witness.step()).count();
                assert!(steps < STEPS_MAX, "{place} is never passed");
            }
            assert_eq!(started.err().unwrap_or_else(|| broker.program().wait()), KILLED, "at {place}");
            broker.set_env(&[]);
            broker.restart();
            witness.come_back(&broker);
        }
        jobs += witness.jobs();
    }
    println!("{} kills at {} places, {jobs} jobs", kills() * SERVING.len() as u64, SERVING.len());
}

#[test]
fn a_broker_that_is_killed_at_any_place_while_it_starts_keeps_every_promise() {
    let (mut random, mut jobs, mut killed) = (Random::new(3), 0, 0);
    for _ in 0..kills() {
        let mut broker = Broker::with(&FLAGS);
        let mut witness = Witness::new(&broker, random.next());
        for &(place, most) in STARTING {
            for _ in 0..random.between(5, 40) {
                assert!(witness.step(), "it is killed by nobody");
            }
            // It is killed at work, or at the end of a stop in order.
            if random.chance(50) {
                broker.kill();
            } else {
                broker.terminate();
            }
            // It dies twice on the same data: what a start does must be right when it is done again.
            for _ in 0..2 {
                arm(&mut broker, place, random.between(1, most));
                assert_eq!(broker.try_restart(), Err(KILLED), "{place} is not passed");
                killed += 1;
            }
            broker.set_env(&[]);
            broker.restart();
            witness.come_back(&broker);
        }
        jobs += witness.jobs();
    }
    println!("{killed} kills at {} places, {jobs} jobs", STARTING.len());
}

#[test]
fn a_broker_that_is_killed_at_the_end_of_its_stop_keeps_every_promise() {
    let mut broker = Broker::with_env(&FLAGS, &[("WINDLASS_FAILPOINT", "before_end_noted:1:kill")]);
    let mut witness = Witness::new(&broker, 5);
    for _ in 0..kills() {
        for _ in 0..10 {
            assert!(witness.step(), "it is killed at its end only");
        }
        assert_eq!(broker.terminate(), KILLED);
        broker.restart();
        witness.come_back(&broker);
    }
}

#[test]
fn a_broker_that_is_killed_while_it_hands_over_a_snapshot_keeps_every_promise() {
    let mut broker = Broker::with_env(&FLAGS, &[("WINDLASS_FAILPOINT", "during_snapshot:1:kill")]);
    let mut witness = Witness::new(&broker, 6);
    let file = broker.home().join("snapshot");
    for _ in 0..40 {
        assert!(witness.step(), "it is killed by its snapshot only");
    }
    let taking = start_windlass(&["admin", "snapshot", file.to_str().unwrap(), "--addr", broker.addr()]);
    assert_eq!(broker.program().wait(), KILLED);
    broker.set_env(&[]);
    broker.restart();
    witness.come_back(&broker);
    // Whether it is begun anew is the client's affair; half a snapshot is none.
    let taken = taking.end();
    assert_eq!(taken.code == 0, file.exists(), "{taken:?}");
}

#[test]
fn nobody_serves_what_an_import_that_was_killed_has_left_and_the_next_import_takes_it() {
    let mut broker = Broker::with(&FLAGS);
    broker.peer().enqueue_all((0..100).map(|_| job("k")).collect());
    assert_eq!(broker.terminate(), 0);
    let (file, new) = (broker.home().join("archive"), broker.home().join("new"));
    let (file, new) = (file.to_str().unwrap(), new.to_str().unwrap());
    windlass(&["store", "export", file, "--data", broker.data().to_str().unwrap()]).ok();
    let import = ["store", "import", file, "--data", new];
    for place in ["before_leaves_sync:1", "before_manifest:2"] {
        let _none_at_first = fs::remove_dir_all(new);
        assert_eq!(windlass_killed_at(place, &import).code, KILLED);
        for words in [&["serve", "--listen", "127.0.0.1:0"][..], &["store", "verify"]] {
            let refused = windlass(&[words, &["--data", new]].concat());
            assert!(refused.code == 78 && refused.err.contains("import again"), "{refused:?}");
        }
        windlass(&import).ok();
        let told = windlass(&["store", "verify", "--data", new, "--output", "json"]).ok().json();
        assert_eq!(told["jobs"], 100);
    }
}

#[test]
fn a_broker_that_is_killed_while_it_makes_its_directory_makes_it_again() {
    let mut broker = Broker::with(&FLAGS);
    let mut killed = 0;
    for &(place, most) in MAKING {
        for nth in 1..=most {
            broker.kill();
            fs::remove_dir_all(broker.data()).unwrap();
            arm(&mut broker, place, nth);
            assert_eq!(broker.try_restart(), Err(KILLED), "{place} is not passed");
            killed += 1;
            // Once more on what is left, unless the place lies behind.
            let again = broker.try_restart();
            assert!(again.is_ok() || again == Err(KILLED), "{place}: {again:?}");
            killed += u64::from(again.is_err());
            if again.is_ok() {
                broker.kill();
            }
            broker.set_env(&[]);
            broker.restart();
            let mut peer = broker.peer();
            let id = peer.enqueue(job("k"));
            broker.kill();
            broker.restart();
            assert_eq!(broker.peer().job(&id).state(), State::Ready, "after {place}");
        }
    }
    println!("{killed} kills at {} places", MAKING.len());
}

/// G8: the answer leaves behind the sync and not before, seen from outside: while the broker stands still at
/// any place before, there is nothing to read.
#[test]
fn nothing_is_said_before_it_is_synced() {
    for place in ["before_write", "after_write_before_sync", "after_sync_before_ack"] {
        // It may stand still for a batch of its own, which nobody waits for; then it is tried again.
        let is_seen = (5..25).any(|nth| stands_still_unanswered(place, nth));
        assert!(is_seen, "every answer left before {place}");
    }
}

/// Enqueues one job after the other until the broker stands still at the place. Whether the last one was
/// unanswered then; it is answered when the broker goes on.
fn stands_still_unanswered(place: &str, nth: u64) -> bool {
    let order = format!("{place}:{nth}:stop");
    let mut broker = Broker::with_env(&[], &[("WINDLASS_FAILPOINT", &order)]);
    let mut peer = broker.peer();
    let mut said = Vec::new();
    let was_answered = loop {
        let spec = job("k");
        said.push(spec.id.clone());
        assert!(said.len() < 50, "{place} is never passed");
        let id = peer.say(Request::Enqueue(Enqueue { jobs: vec![spec], ..Enqueue::default() }));
        let is_stopped = eventually("it answers or stands still", || {
            let is_stopped = broker.program().is_stopped();
            (is_stopped || peer.has_unread()).then_some(is_stopped)
        });
        if is_stopped {
            break peer.has_unread();
        }
        assert!(matches!(peer.answer(id), Body::Enqueued(_)));
    };
    broker.program().signal(Signal::CONT);
    assert!(matches!(peer.hear_answer(), Some((_, Body::Enqueued(_)))));
    assert!(said.iter().all(|id| peer.job(id).state() == State::Ready));
    !was_answered
}
