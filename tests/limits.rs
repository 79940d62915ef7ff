//! Limits, serial keys, labels and explain, over the wire: what keeps a job, and who says so.

use crate::harness::{Broker, Peer, body, complete, eventually, hello, job, result_of, stream, windlass};
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::result::How;
use windlass_proto::v1::{
    AdvanceClock, Fail, Hello, JobSpec, Limit, Ordering, Policy, Put, Query, Release, Resource, Selector,
    Settle, State,
};

fn set_limit(peer: &mut Peer, name: &str, limit: Limit) {
    let set =
        vec![Resource { name: format!("limit/{name}"), if_version: 0, what: Some(Content::Limit(limit)) }];
    assert_eq!(body!(peer.ask(Request::Put(Put { set, ..Put::default() })), Stored).results[0].version, 1);
}

/// The first thing that keeps a job, once it is this one.
fn is_kept_by(peer: &mut Peer, id: &[u8], code: &str, name: &str) {
    eventually("explain names it", || (reason(peer, id) == (code.into(), name.into())).then_some(()));
}

fn reason(peer: &mut Peer, id: &[u8]) -> (String, String) {
    let select = Some(Selector { ids: vec![id.to_vec().into()], ..Selector::default() });
    let rows = peer.rows(Query { what: What::Explain.into(), select, ..Query::default() });
    let reasons = &rows.explains[0].reasons;
    reasons.first().map(|first| (first.code.clone(), first.name.clone())).unwrap_or_default()
}

#[test]
fn one_limit_is_shared_by_two_queues_and_says_what_it_keeps() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    set_limit(&mut peer, "stripe", Limit { concurrency: Some(1), ..Limit::default() });
    let of = |queue: &str| JobSpec { queue: queue.into(), limits: vec!["stripe".into()], ..job("k") };
    let first = peer.enqueue(of("a"));
    let second = peer.enqueue(of("b"));
    let work = peer.fetch("a");
    assert_eq!(work.id, first);
    let mut other = broker.peer();
    let open = other.say(Request::Fetch(stream("b", 5)));
    is_kept_by(&mut peer, &second, "limit", "stripe");
    // The limit keeps it from the start; its lane waits once a worker has asked for it.
    eventually("its lane waits", || {
        let limits = peer.rows(Query { what: What::Limits.into(), ..Query::default() }).limits;
        ((limits[0].in_use, limits[0].waiting_lanes) == (1, 1)).then_some(())
    });
    let told = windlass(&["admin", "limits", "--output", "json", "--addr", broker.addr()]).ok().json();
    assert_eq!(told[0]["lets"], "1 at once");
    peer.ask(Request::Settle(Settle { results: vec![result_of(&work, complete(""))] }));
    assert_eq!(other.delivery(open).jobs[0].id, second);
}

#[test]
fn a_handler_that_was_told_to_slow_down_closes_the_limit_for_everybody() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    set_limit(&mut peer, "api", Limit { queue: "q".into(), rate: 1_000, ..Limit::default() });
    let id = peer.enqueue(job("k"));
    let work = peer.fetch("q");
    let release = Release { throttle_limit: "api".into(), throttle_ms: 3_600_000, ..Release::default() };
    peer.ask(Request::Settle(Settle { results: vec![result_of(&work, How::Release(release))] }));
    let mut other = broker.peer();
    other.say(Request::Fetch(stream("q", 5)));
    is_kept_by(&mut peer, &id, "limit", "api");
    assert_eq!((peer.job(&id).state(), peer.job(&id).attempt), (State::Ready, 0));
}

#[test]
fn a_retry_beyond_its_share_waits_and_first_attempts_pass_it() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    // A retry costs 999 first attempts; one a second starts in any case.
    set_limit(&mut peer, "calm", Limit { queue: "q".into(), retry_permille: 1, ..Limit::default() });
    let ids = [peer.enqueue(job("k")), peer.enqueue(job("k"))];
    let again = || How::Fail(Fail { message: "busy".into(), retry_after_ms: Some(1_000), ..Fail::default() });
    let results = ids.iter().map(|_| result_of(&peer.fetch("q"), again())).collect();
    peer.ask(Request::Settle(Settle { results }));
    let mut worker = broker.peer();
    let open = worker.say(Request::Fetch(stream("q", 5)));
    let second_passes = |peer: &mut Peer| {
        let advance = AdvanceClock { by_ms: 1_000, ..AdvanceClock::default() };
        body!(peer.ask(Request::AdvanceClock(advance)), ClockAdvanced);
    };
    second_passes(&mut peer);
    let first = worker.delivery(open).jobs;
    assert_eq!((first.len(), first[0].attempt), (1, 2));
    let kept = ids.iter().find(|id| **id != first[0].id).unwrap();
    is_kept_by(&mut peer, kept, "limit", "calm");
    let fresh = peer.enqueue(job("k"));
    let passing = worker.delivery(open).jobs;
    assert_eq!((passing.len(), &passing[0].id), (1, &fresh));
    second_passes(&mut peer);
    let second = worker.delivery(open).jobs;
    assert_eq!((second.len(), &second[0].id, second[0].attempt), (1, kept, 2));
}

#[test]
fn jobs_of_a_serial_key_run_one_at_a_time_and_labels_are_needed() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let policy = Some(Policy { ordering: Some(Ordering::Serial.into()), ..Policy::default() });
    let serial = |kind: &str| JobSpec { key: "anna".into(), policy: policy.clone(), ..job(kind) };
    let (first, second) = (peer.enqueue(serial("one")), peer.enqueue(serial("two")));
    let open = peer.say(Request::Fetch(stream("q", 5)));
    let work = peer.delivery(open).jobs.remove(0);
    assert_eq!(work.id, first);
    assert_eq!(reason(&mut peer, &second).0, "serial");
    peer.ask(Request::Settle(Settle { results: vec![result_of(&work, complete(""))] }));
    assert_eq!(peer.delivery(open).jobs[0].id, second);
    let labelled = peer.enqueue(JobSpec { need_labels: [("gpu".into(), "a100".into())].into(), ..job("k") });
    assert_eq!(reason(&mut peer, &labelled), ("no_worker".into(), "gpu=a100".into()));
    let mut gpu = Peer::mute(broker.addr());
    let hello = Hello { labels: [("gpu".into(), "a100".into())].into(), ..hello() };
    gpu.ask(Request::Hello(hello));
    assert_eq!(gpu.fetch("q").id, labelled);
}
