//! How work is shared out: among the queues of a worker, and among the workers of a queue.

use crate::harness::{Broker, fetch_once, job};
use windlass_proto::v1::fetch::Source;
use windlass_proto::v1::{Fetch, JobSpec};

#[test]
fn queues_with_weights_share_the_picks() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let of_queue = |queue: &str| JobSpec { queue: queue.into(), ..job("k") };
    peer.enqueue_all((0..40).map(|n| of_queue(["high", "low"][n % 2])).collect());
    let sources = [("high", 3), ("low", 1)];
    let sources = sources.map(|(queue, weight)| Source { queue: queue.into(), weight }).to_vec();
    let fetch = Fetch { sources, ..fetch_once("q", 16) };
    let count = |fetch: Fetch, peer: &mut crate::harness::Peer| {
        peer.poll(fetch).iter().filter(|work| work.queue == "high").count()
    };
    assert_eq!(count(fetch.clone(), &mut peer), 12, "three of four");
    // In strict order the first queue is drawn from until it has no more.
    assert_eq!(count(Fetch { strict: true, ..fetch }, &mut peer), 8);
}
