//! What the clock does to jobs: expiry, whether or not there is a worker.

use crate::harness::{Broker, eventually, job};
use windlass_proto::v1::{JobSpec, Policy, State};

#[test]
fn a_job_that_is_not_started_in_time_expires_without_a_worker() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let ttl = |ms| Some(Policy { ttl_ms: Some(ms), ..Policy::default() });
    let short = peer.enqueue(JobSpec { policy: ttl(1), ..job("k") });
    let past = peer.enqueue(JobSpec { expires_at_ms: 1, ..job("k") });
    let long = peer.enqueue(JobSpec { policy: ttl(3_600_000), ..job("k") });
    for id in [&short, &past] {
        eventually("it expires", || (peer.job(id).state() == State::Expired).then_some(()));
    }
    let waits = peer.job(&long);
    assert_eq!(waits.state(), State::Ready);
    assert_eq!(waits.expires_at_ms, waits.created_at_ms + 3_600_000);
    assert_eq!(peer.queue("q").expired_total, 2);
    assert_eq!(peer.fetch("q").id, long);
}
