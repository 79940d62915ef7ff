//! A job while it runs: what it is held to.

use crate::harness::{Broker, Peer, complete, eventually, fail, fetch_once, job, stream};
use windlass_proto::v1::attempt::Outcome;
use windlass_proto::v1::hello::{Running, running::Held};
use windlass_proto::v1::result::How;
use windlass_proto::v1::signal::Type;
use windlass_proto::v1::{Cancelled, DeadReason, JobSpec, Policy, SettleCode, State, Work};

/// A worker that is asked to stop the one job it runs. The job, and why.
fn asked_to_stop(worker: &mut Peer, policy: Policy) -> (Work, String) {
    worker.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let name = worker.open_stream(stream("q", 1));
    let work = worker.delivery(name).jobs.remove(0);
    let signal = worker.signal();
    assert_eq!((signal.r#type(), signal.fence), (Type::Cancel, work.fence));
    assert!((1..=30_000).contains(&signal.ends_in_ms), "{signal:?}");
    (work, signal.reason)
}

#[test]
fn a_run_that_takes_too_long_is_asked_to_stop_and_counts_as_failed() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let policy = Policy { timeout_ms: Some(200), max_attempts: Some(1), ..Policy::default() };
    let (work, reason) = asked_to_stop(&mut worker, policy);
    assert_eq!((work.timeout_ms, &*reason), (200, "it ran longer than its timeout_ms of 200"));
    assert_eq!(worker.settle(&work, fail("I was asked to")), SettleCode::Settled);
    let dead = worker.job(&work.id);
    assert_eq!((dead.state(), dead.dead_reason()), (State::Dead, DeadReason::Timeout));
    assert_eq!((dead.history[0].outcome(), &*dead.history[0].message), (Outcome::Timeout, "I was asked to"));
}

#[test]
fn a_handler_that_does_not_touch_its_job_has_stalled() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let policy = Policy { stall_ms: Some(200), ..Policy::default() };
    let (work, reason) = asked_to_stop(&mut worker, policy);
    assert_eq!((work.stall_ms, &*reason), (200, "it was not touched within its stall_ms of 200"));
    // A handler that gives up because it was told to does not cancel the job by that.
    assert_eq!(worker.settle(&work, How::Cancelled(Cancelled::default())), SettleCode::Settled);
    let waits = worker.job(&work.id);
    assert_eq!((waits.state(), waits.attempt), (State::Scheduled, 1));
    assert_eq!(waits.history[0].outcome(), Outcome::Stalled);
}

#[test]
fn what_a_run_is_held_to_survives_kill_9_of_the_broker() {
    let mut broker = Broker::start();
    let mut worker = broker.peer();
    let policy = Policy { timeout_ms: Some(3_600_000), stall_ms: Some(60_000), ..Policy::default() };
    let id = worker.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let work = worker.poll(fetch_once("q", 1)).remove(0);
    broker.kill();
    broker.restart();
    let held = vec![Held { id: work.id.clone(), fence: work.fence }];
    let back = worker.coming_back(Some(Running { held }));
    let mut resumed = Peer::with(broker.addr(), back);
    assert_eq!(resumed.welcome.leases_kept, [&id[..]]);
    assert_eq!(resumed.settle(&work, complete("")), SettleCode::Settled);
    let done = eventually("it is kept", || Some(resumed.job(&id)));
    assert_eq!((done.state(), done.crashes), (State::Completed, 0));
}
