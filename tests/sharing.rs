//! How work is shared out: among the queues of a worker, and among the workers of a queue.

use crate::harness::{Broker, Peer, body, complete, fetch_once, job, stream};
use std::collections::BTreeSet;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::fetch::{Batch, Source};
use windlass_proto::v1::queue_conf::Dispatch;
use windlass_proto::v1::{Enqueue, Fetch, JobSpec, Put, QueueConf, Resource, SettleCode, Work, resource};

/// Configures the queue `q`.
fn configure(peer: &mut Peer, conf: QueueConf) {
    let what = Some(resource::What::Queue(conf));
    let set = vec![Resource { name: "queue/q".into(), what, ..Resource::default() }];
    body!(peer.ask(Request::Put(Put { set, ..Put::default() })), Stored);
}

#[test]
fn queues_with_weights_share_the_picks() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let of_queue = |queue: &str| JobSpec { queue: queue.into(), ..job("k") };
    peer.enqueue_all((0..40).map(|n| of_queue(["high", "low"][n % 2])).collect());
    let sources = [("high", 3), ("low", 1)];
    let sources = sources.map(|(queue, weight)| Source { queue: queue.into(), weight }).to_vec();
    let fetch = Fetch { sources, ..fetch_once("q", 16) };
    let count =
        |fetch: Fetch, peer: &mut Peer| peer.poll(fetch).iter().filter(|work| work.queue == "high").count();
    assert_eq!(count(fetch.clone(), &mut peer), 12, "three of four");
    // In strict order the first queue is drawn from until it has no more.
    assert_eq!(count(Fetch { strict: true, ..fetch }, &mut peer), 8);
}

#[test]
fn a_batch_is_collected_without_being_held_and_each_job_settles_on_its_own() {
    let broker = Broker::start();
    let (mut peer, mut other) = (broker.peer(), broker.peer());
    let batch = Some(Batch { min: 3, max: 5, linger_ms: 60_000, same_key: false });
    let name = peer.open_stream(Fetch { batch, ..stream("q", 9) });
    peer.enqueue_all(vec![job("k"), job("k")]);
    assert_eq!(peer.queue("q").leased, 0, "nobody holds them");
    assert_eq!(other.poll(fetch_once("q", 1)).len(), 1, "and others may take them");
    peer.enqueue_all(vec![job("k"), job("k")]);
    let works = peer.delivery(name).jobs;
    assert_eq!(works.len(), 3);
    assert_eq!(peer.settle(&works[1], complete("")), SettleCode::Settled);
    assert_eq!(peer.queue("q").leased, 3, "two of the batch, and the other one's");
}

#[test]
fn a_batch_waits_no_longer_than_its_first_job_and_may_be_of_one_key() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let of_key = |key: &str| JobSpec { key: key.into(), ..job("k") };
    peer.enqueue_all(["anna", "bob", "anna"].map(of_key).to_vec());
    let batch = Some(Batch { min: 2, linger_ms: 1, same_key: true, ..Batch::default() });
    let poll = |peer: &mut Peer| peer.poll(Fetch { batch, ..fetch_once("q", 9) });
    let keys = |works: &[Work]| -> Vec<String> { works.iter().map(|work| work.key.clone()).collect() };
    assert_eq!(keys(&poll(&mut peer)), ["anna", "anna"]);
    assert_eq!(keys(&poll(&mut peer)), ["bob"], "nobody joins it, so it goes alone");
}

#[test]
fn a_queue_may_hand_its_jobs_out_by_lot() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    configure(&mut peer, QueueConf { dispatch: Dispatch::Random.into(), ..QueueConf::default() });
    let names: Vec<u64> = (0..3).map(|_| peer.open_stream(stream("q", 100))).collect();
    let mut order = Vec::new();
    for _ in 0..60 {
        let id = peer.say(Request::Enqueue(Enqueue { jobs: vec![job("k")], ..Enqueue::default() }));
        // The answer to the Enqueue, and a delivery to one of the three.
        for _ in 0..2 {
            let (heard, _) = peer.hear_answer().unwrap();
            if heard != id {
                order.push(heard);
            }
        }
    }
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 3, "each has its share");
    let in_turn = order.windows(4).all(|four| four[0] == four[3]);
    assert!(!in_turn && order.iter().all(|name| names.contains(name)), "{order:?}");
}
