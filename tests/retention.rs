//! What is kept of what has ended.

use crate::harness::{Broker, body, complete, fetch_once, job};
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::{JobSpec, Put, QueueConf, Resource, Retry, SettleCode, State, resource};

#[test]
fn a_queue_keeps_so_many_bytes_of_what_has_ended() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let conf = QueueConf { keep_bytes: 2_500, ..QueueConf::default() };
    let set = vec![Resource {
        name: "queue/q".into(),
        what: Some(resource::What::Queue(conf)),
        ..Resource::default()
    }];
    body!(peer.ask(Request::Put(Put { set, ..Put::default() })), Stored);
    let large = || JobSpec { payload: vec![7; 1_000].into(), ..job("k") };
    let ids: Vec<_> =
        peer.enqueue_all(vec![large(), large(), large()]).into_iter().map(|one| one.id).collect();
    for work in peer.poll(fetch_once("q", 3)) {
        assert_eq!(peer.settle(&work, complete("done")), SettleCode::Settled);
    }
    let [first, last] = [&ids[0], &ids[2]].map(|id| peer.job(id));
    assert_eq!((first.state(), first.payload.len(), first.result_dropped), (State::Completed, 0, true));
    assert_eq!((last.payload.len(), last.result.as_ref()), (1_000, b"done".as_slice()));
    let retried = peer.change(&ids[0], To::Retry(Retry::default()));
    assert_eq!((retried.matched, retried.changed), (1, 0), "it would run as another job");
}
