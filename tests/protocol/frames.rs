//! Bytes: what is no frame, what is no message, what is too long, and what later versions may send.

use crate::harness::{Broker, Peer, body, complete, encode, hello, job, result_of, stream};
use prost::Message;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::{ClientFrame, Code, Enqueue, JobSpec, Query, Settle, query::What};

/// A field of bytes, as protobuf writes it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// A message with an id and one verb.
fn message(id: u8, verb: u8, content: &[u8]) -> Vec<u8> {
    [vec![1 << 3, id], field(verb, content)].concat()
}

const ENQUEUE: u8 = 3;
const QUERY: u8 = 8;

#[test]
fn what_is_no_message_is_answered_and_the_connection_is_closed() {
    let broker = Broker::start();
    let open_group = [8, 5, 2 << 3 | 3];
    let cut_short = &message(5, QUERY, &[6 << 3, 1])[..4];
    let endless_varint = [0xff; 12];
    for garbage in [&open_group[..], cut_short, &endless_varint[..], b"\x08\x05\x1a\xff\xff\xff\xff\x0f"] {
        for welcomed in [false, true] {
            let mut peer = if welcomed { broker.peer() } else { Peer::mute(broker.addr()) };
            peer.say_bytes(garbage);
            let (_, body) = peer.hear_answer().unwrap();
            let refusal = body!(body, Error);
            assert_eq!(refusal.code(), Code::Invalid, "{garbage:?}: {refusal:?}");
            assert!(!refusal.message.is_empty());
            assert_eq!(peer.hear(), None, "{garbage:?}");
        }
    }
    // A text that is not UTF-8 is no protobuf either.
    let mut peer = broker.peer();
    peer.say_bytes(&message(5, ENQUEUE, &field(1, &field(2, &[0xff, 0xfe]))));
    assert_eq!(body!(peer.hear_answer().unwrap().1, Error).code(), Code::Invalid);
    assert_eq!(peer.hear(), None);
    assert_eq!(broker.peer().server().jobs, 0);
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
    let broker = Broker::start();
    let http = u32::from_be_bytes(*b"GET ");
    for (welcomed, length) in
        [(false, (64 << 10) + 1), (false, http), (true, (4 << 20) + 1), (true, u32::MAX)]
    {
        let mut peer = if welcomed { broker.peer() } else { Peer::mute(broker.addr()) };
        peer.send(&length.to_be_bytes());
        let (id, body) = peer.hear_answer().unwrap();
        assert_eq!((id, body!(body, Error).code()), (0, Code::TooLarge));
        assert_eq!(peer.hear(), None);
    }
    // For a while those who were welcomed may still come back.
    assert!((1..=1 + 2).contains(&broker.peer().server().sessions));
}

#[test]
fn the_largest_frame_and_the_largest_payload_are_taken() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let payload = |bytes: usize| JobSpec { payload: vec![b'x'; bytes].into(), ..job("k") };
    assert_eq!(peer.enqueue_all((0..3).map(|_| payload(1 << 20)).collect()).len(), 3);
    let small = JobSpec { kind: "k".into(), ..JobSpec::default() };
    assert_eq!(peer.enqueue_all(vec![small; 10_000]).len(), 10_000);

    // To the byte: one job's payload fills the frame up.
    let frame = |bytes| {
        let jobs = vec![payload(1 << 20), payload(1 << 20), payload(1 << 20), payload(bytes)];
        encode(90, Request::Enqueue(Enqueue { jobs, ..Enqueue::default() }))
    };
    let room = (4 << 20) + 4 - frame(1 << 19).len();
    peer.send(&frame((1 << 19) + room));
    assert_eq!(body!(peer.answer(90), Enqueued).results.len(), 4);
    assert_eq!(peer.server().jobs, 3 + 10_000 + 4);
    peer.send(&frame((1 << 19) + room + 1)[..4]);
    assert_eq!(body!(peer.answer(0), Error).code(), Code::TooLarge);
}

#[test]
fn a_stream_that_ends_inside_a_frame_harms_nobody() {
    let broker = Broker::start();
    let frame = encode(2, Request::Enqueue(Enqueue { jobs: vec![job("k")], ..Enqueue::default() }));
    for end in [1, 4, 5, frame.len() - 1] {
        broker.peer().send(&frame[..end]);
    }
    assert_eq!(broker.peer().server().jobs, 0);
}

#[test]
fn a_frame_may_arrive_byte_by_byte() {
    let broker = Broker::start();
    let mut peer = Peer::mute(broker.addr());
    for byte in encode(1, Request::Hello(hello())) {
        peer.send(&[byte]);
    }
    body!(peer.answer(1), Welcome);
}

#[test]
fn an_id_is_not_0_and_not_in_use() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let query = || Request::Query(Query { what: What::Server.into(), ..Query::default() });
    peer.send(&encode(0, query()));
    assert_eq!(body!(peer.answer(0), Error).code(), Code::Invalid);
    assert_eq!(peer.hear(), None);

    let mut peer = broker.peer();
    let name = peer.open_stream(stream("q", 1));
    peer.send(&encode(name, query()));
    assert_eq!(body!(peer.answer(0), Error).code(), Code::Invalid);
    assert_eq!(peer.hear(), None);

    let mut peer = broker.peer();
    for _ in 0..3 {
        peer.send(&encode(7, query()));
        body!(peer.answer(7), Rows);
    }
}

#[test]
fn what_a_later_version_may_say_is_refused_or_ignored_and_the_connection_goes_on() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    // A verb that nobody knows yet: field 14 of ClientFrame.
    peer.say_bytes(&message(40, 14, b"whatever"));
    let refusal = body!(peer.answer(40), Error);
    assert_eq!((refusal.code(), refusal.message.is_empty()), (Code::Unsupported, false));
    // A request without any verb.
    peer.say_bytes(&[1 << 3, 41]);
    assert_eq!(body!(peer.answer(41), Error).code(), Code::Unsupported);
    // A field that nobody knows yet: field 15 of JobSpec's neighbour Enqueue.
    let mut enqueue = Enqueue { jobs: vec![job("k")], ..Enqueue::default() }.encode_to_vec();
    enqueue.extend(field(15, b"whatever"));
    peer.say_bytes(&message(42, ENQUEUE, &enqueue));
    assert_eq!(body!(peer.answer(42), Enqueued).results.len(), 1);
    assert_eq!(peer.server().jobs, 1);
}

#[test]
fn a_message_may_not_stand_twice_where_it_stands_once() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let enqueue = field(ENQUEUE, &Enqueue { jobs: vec![job("k")], ..Enqueue::default() }.encode_to_vec());
    peer.say_bytes(&[vec![1 << 3, 40], enqueue.clone(), enqueue].concat());
    assert_eq!(body!(peer.answer(40), Error).code(), Code::Invalid);
    let policy = field(15, &[1 << 3, 3]);
    let twice = [job("k").encode_to_vec(), policy.clone(), policy].concat();
    peer.say_bytes(&message(41, ENQUEUE, &field(1, &twice)));
    let refusal = body!(peer.answer(41), Error);
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::Invalid, "jobs[0].policy"));
    assert_eq!(peer.server().jobs, 0);
}

#[test]
fn a_batch_is_stored_whole_or_not_at_all_unless_it_is_partial() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let jobs = || vec![job("a"), job("not a name"), job("b")];
    let refusal = peer.refused(Request::Enqueue(Enqueue { jobs: jobs(), ..Enqueue::default() }));
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::Invalid, "jobs[1].kind"));
    assert_eq!(peer.server().jobs, 0);
    let partial = Enqueue { jobs: jobs(), partial: true, ..Enqueue::default() };
    let results = body!(peer.ask(Request::Enqueue(partial)), Enqueued).results;
    let rejected = results[1].error.clone().unwrap();
    assert_eq!((rejected.code(), rejected.field.as_str()), (Code::Invalid, "jobs[1].kind"));
    assert!(results[0].error.is_none() && results[2].error.is_none() && results[0].seq < results[2].seq);
    assert_eq!(peer.server().jobs, 2);
}

#[test]
fn a_fault_in_one_result_does_not_keep_the_others_from_being_settled() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue_all((0..5).map(|_| job("k")).collect());
    let works = peer.poll(crate::harness::fetch_once("q", 5));
    let mut results: Vec<_> = works.iter().map(|work| result_of(work, complete("done"))).collect();
    results[0].how = None;
    results[1].id = bytes::Bytes::from_static(b"short");
    results[2].spawn = vec![job("not a name")];
    results[3].how = Some(complete(&"x".repeat((1 << 20) + 1)));
    let settled = peer.settle_all(results);
    let faults: Vec<_> =
        settled.iter().map(|one| one.error.as_ref().map(|error| error.field.as_str())).collect();
    let expected =
        ["results[0].how", "results[1].id", "results[2].spawn[0].kind", "results[3].complete.result"]
            .map(Some);
    assert_eq!(faults, [&expected[..], &[None]].concat());
    let codes: Vec<i32> = settled.iter().map(|one| one.code).collect();
    assert_eq!(codes, [0, 0, 5, 0, 1], "5 is SPAWN_REJECTED, 1 is SETTLED");
    assert_eq!(peer.queue("q").leased, 4, "the leases of the others stand");
}

#[test]
fn enqueue_and_settle_are_applied_in_the_order_sent() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let jobs: Vec<JobSpec> = (0..300).map(|_| job("k")).collect();
    let frames: Vec<u8> = (1_000..)
        .zip(&jobs)
        .flat_map(|(id, job)| {
            encode(id, Request::Enqueue(Enqueue { jobs: vec![job.clone()], ..Enqueue::default() }))
        })
        .collect();
    peer.send(&frames);
    let mut answers: Vec<(u64, u64)> = (0..jobs.len())
        .map(|_| {
            let (id, body) = peer.hear_answer().unwrap();
            (id, body!(body, Enqueued).results[0].seq)
        })
        .collect();
    answers.sort_unstable();
    assert!(answers.is_sorted_by_key(|(_, seq)| *seq), "{answers:?}");
    let works = peer.poll(crate::harness::fetch_once("q", 300));
    assert!(works.iter().map(|work| &work.id).eq(jobs.iter().map(|job| &job.id)), "first in, first out");

    // Of two ends of the same run the first one counts.
    let settle = |message: &str| {
        let results = vec![result_of(&works[0], complete(message))];
        ClientFrame { id: 0, request: Some(Request::Settle(Settle { results })) }.request.unwrap()
    };
    peer.send(&[encode(5_000, settle("first")), encode(5_001, settle("second"))].concat());
    for _ in 0..2 {
        peer.hear_answer().unwrap();
    }
    assert_eq!(peer.job(&works[0].id).result, "first");
}
