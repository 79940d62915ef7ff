//! Too much of everything: peers that do not read, do not finish, do not stop, or lie about lengths. The
//! broker keeps its memory, serves everybody else, and says what was too much.

use crate::harness::{
    Broker, Peer, body, complete, encode, eventually, job, raise_open_files, result_of, stream,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Code, Enqueue, Hello, JobSpec, Query, Selector, Settle, SettleCode, query::What};

const MIB: u64 = 1 << 20;

fn of_bytes(bytes: usize) -> JobSpec {
    JobSpec { payload: vec![b'x'; bytes].into(), ..job("k") }
}

fn server() -> Request {
    Request::Query(Query { what: What::Server.into(), ..Query::default() })
}

#[test]
fn a_peer_that_does_not_read_gets_no_more_jobs_until_it_does() {
    let broker = Broker::start();
    let mut producer = broker.peer();
    for _ in 0..40 {
        producer.enqueue(of_bytes(1 << 20));
    }
    let mut worker = broker.peer();
    let name = worker.open_stream(stream("q", 10_000));
    eventually("it has got some", || (producer.queue("q").leased > 0).then_some(()));
    // What fits into the kernel's buffers and the outbox; the rest waits for somebody who reads.
    for _ in 0..50 {
        let queue = producer.queue("q");
        assert!(queue.leased < 25, "{} of 40 MiB are under way to a peer that does not read", queue.leased);
    }
    let mut delivered = 0;
    while delivered < 40 {
        delivered += worker.delivery(name).jobs.len();
    }
    assert_eq!(producer.queue("q").leased, 40);
}

/// Everything that takes its time, side by side.
#[test]
fn peers_that_are_slow_for_too_long_are_cut_and_cost_little() {
    let broker = Broker::start();
    let mut other = broker.peer();
    let big = other.enqueue(of_bytes(1 << 20));
    let before = broker.rss_bytes();

    let mut says_nothing = Peer::mute(broker.addr());
    let mut half_hello = Peer::mute(broker.addr());
    half_hello.send(&encode(1, Request::Hello(Hello::default()))[..5]);
    let mut half_frame = broker.peer();
    half_frame.send(&encode(2, server())[..6]);
    let mut trickles = broker.peer();
    let mut rest =
        encode(2, Request::Enqueue(Enqueue { jobs: vec![of_bytes(1 << 20)], ..Enqueue::default() }))
            .into_iter();
    let mut never_reads = broker.peer();
    let select = Selector { ids: vec![big.clone()], ..Selector::default() };
    let read_big = Request::Query(Query { what: What::Job.into(), select: Some(select), ..Query::default() });
    let flood: Vec<u8> = (2..2_000).flat_map(|id| encode(id, read_big.clone())).collect();
    never_reads.send(&flood);
    let mut never_reads_work = broker.peer();
    other.enqueue_all((0..3).map(|_| of_bytes(1 << 20)).collect());
    for _ in 0..20 {
        other.enqueue(of_bytes(1 << 20));
    }
    let with_jobs = broker.rss_bytes();
    never_reads_work.open_stream(stream("q", 10_000));

    // The one that trickles is busy, but its frame does not end.
    let log = || std::fs::read_to_string(broker.home().join("broker-1.err")).unwrap();
    let cut = |why: &str| log().matches(why).count();
    eventually("all of them are cut", || {
        if let Some(byte) = rest.next() {
            let _cut_already = trickles.try_send(&[byte]);
        }
        assert!(broker.rss_bytes() < with_jobs + 160 * MIB, "{before} {with_jobs} {}", broker.rss_bytes());
        let reasons = ["no Hello came in time", "a frame was not finished in time", "the peer"];
        (reasons.map(&cut) == [2, 2, 2]).then_some(())
    });
    for peer in [&mut says_nothing, &mut half_hello, &mut half_frame, &mut trickles] {
        peer.is_closed();
    }
    never_reads.is_closed();
    never_reads_work.is_closed();
    eventually("the jobs of the one that was cut may run elsewhere", || {
        let queue = other.queue("q");
        (queue.leased == 0 && queue.crashed_total > 0).then_some(())
    });
}

#[test]
fn a_thousand_connections_that_announce_huge_frames_cost_nothing() {
    raise_open_files();
    let broker = Broker::start();
    let mut other = broker.peer();
    let before = broker.rss_bytes();
    let announcing = |length: u32| {
        let mut peer = Peer::mute(broker.addr());
        peer.send(&length.to_be_bytes());
        peer
    };
    let mut liars: Vec<Peer> = (0..1_000).map(|_| announcing(u32::MAX)).collect();
    other.enqueue(job("k"));
    for liar in &mut liars {
        assert_eq!(body!(liar.answer(0), Error).code(), Code::TooLarge);
    }
    // These claim what is allowed, and do not send it.
    let misers: Vec<Peer> = (0..500).map(|_| announcing(60 << 10)).collect();
    other.enqueue(job("k"));
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "{grown} bytes for 1,500 lengths");
    drop(misers);
    assert_eq!(other.server().jobs, 2);
}

#[test]
fn a_bomb_of_empty_messages_is_refused_before_it_is_decoded() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let before = broker.rss_bytes();
    // Two bytes on the wire, hundreds in memory: an empty JobSpec, Result, Source, Resource.
    let bombs = [(3, 1, "jobs"), (5, 1, "results"), (4, 2, "sources"), (6, 2, "jobs"), (10, 1, "set")];
    for (id, (verb, list, field)) in (60..).zip(bombs) {
        let entries = [list << 3 | 2, 0].repeat((4 << 20) / 2 - 16);
        let mut bomb = vec![1 << 3, id, verb << 3 | 2];
        prost::encoding::encode_varint(entries.len() as u64, &mut bomb);
        bomb.extend(entries);
        peer.say_bytes(&bomb);
        let refusal = body!(peer.answer(id.into()), Error);
        assert_eq!((refusal.code(), refusal.field.as_str()), (Code::TooLarge, field), "{refusal:?}");
    }
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "{grown} bytes for frames of 4 MiB");

    // The same for a Hello, which comes from a stranger.
    let mut stranger = Peer::mute(broker.addr());
    let hello = [8 << 3 | 2, 0].repeat(2_000);
    let mut bomb = vec![1 << 3, 1, 2 << 3 | 2];
    prost::encoding::encode_varint(hello.len() as u64, &mut bomb);
    bomb.extend(hello);
    stranger.say_bytes(&bomb);
    let refusal = body!(stranger.answer(1), Error);
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::TooLarge, "labels"));
    assert_eq!(peer.server().jobs, 0);
}

#[test]
fn a_hundred_thousand_pipelined_requests_are_all_answered() {
    const REQUESTS: u64 = 100_000;
    let broker = Broker::start();
    let mut peer = broker.peer();
    assert!(u64::from(peer.welcome.max_outstanding) < REQUESTS);
    let mut writer = peer.twin();
    let sent = thread::spawn(move || {
        let queues = |id| encode(id, Request::Query(Query { what: What::Queues.into(), ..Query::default() }));
        for first in (2..REQUESTS + 2).step_by(1_000) {
            writer.send(&(first..first + 1_000).flat_map(queues).collect::<Vec<u8>>());
        }
    });
    let mut ids: Vec<u64> = (0..REQUESTS)
        .map(|_| {
            let (id, body) = peer.hear_answer().unwrap();
            body!(body, Rows);
            id
        })
        .collect();
    sent.join().unwrap();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(2..REQUESTS + 2), "each exactly once");
    assert!(broker.rss_bytes() < 300 * MIB);
}

#[test]
fn a_producer_that_floods_does_not_keep_others_from_being_served() {
    const FRAMES: u64 = 60;
    const JOBS: u64 = 1_000;
    let broker = Broker::start();
    let mut other = broker.peer();
    let mut flood = broker.peer();
    let mut answers = flood.twin();
    let (stop, is_full) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let (stop, is_full) = (&stop, &is_full);
        scope.spawn(move || {
            let jobs = vec![JobSpec { kind: "k".into(), queue: "flood".into(), ..JobSpec::default() }; 1_000];
            let frame = Enqueue { jobs, ..Enqueue::default() };
            let mut open = 0;
            for id in 2.. {
                if stop.load(Ordering::Relaxed) && open == 0 {
                    return;
                }
                if open == FRAMES || stop.load(Ordering::Relaxed) {
                    is_full.store(true, Ordering::Relaxed);
                    assert!(matches!(answers.hear_answer(), Some((_, Body::Enqueued(_)))));
                    open -= 1;
                    continue;
                }
                flood.send(&encode(id, Request::Enqueue(frame.clone())));
                open += 1;
            }
        });
        eventually("the flood is at its height", || is_full.load(Ordering::Relaxed).then_some(()));
        // One answer may have waited for a slow sync.
        let seqs: Vec<u64> = (0..11).map(|_| other.enqueue_all(vec![job("k")])[0].seq).collect();
        let mut before: Vec<u64> = seqs.windows(2).map(|pair| pair[1] - pair[0]).collect();
        before.sort_unstable();
        assert!(before[before.len() / 2] < FRAMES * JOBS / 2, "so many jobs went before one: {before:?}");
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(other.queue("q").ready, 11);
}

#[test]
fn who_comes_when_there_is_no_room_is_turned_away_and_may_come_later() {
    let broker = Broker::with(&["--max-connections", "3"]);
    let mut peers: Vec<Peer> = (0..3).map(|_| broker.peer()).collect();
    let mut other = Peer::mute(broker.addr());
    let (id, Body::Error(refusal)) = other.hear_answer().unwrap() else { panic!() };
    assert_eq!((id, refusal.code()), (0, Code::Exhausted));
    other.is_closed();
    assert_eq!(peers[0].server().connections, 3);
    peers.pop();
    eventually("there is room again", || Peer::try_open(broker.addr()));
}

#[test]
fn more_jobs_than_there_is_room_for_are_refused_for_now() {
    let broker = Broker::with(&["--max-jobs", "5"]);
    let mut peer = broker.peer();
    let enqueue = |jobs| Request::Enqueue(Enqueue { jobs, ..Enqueue::default() });
    let refusal = peer.refused(enqueue((0..6).map(|_| job("k")).collect()));
    assert_eq!(refusal.code(), Code::Exhausted);
    assert!(refusal.retry_after_ms > 0);
    peer.enqueue_all((0..5).map(|_| job("k")).collect());
    assert_eq!(peer.refused(enqueue(vec![job("k")])).code(), Code::Exhausted);
    let work = peer.fetch("q");
    assert_eq!(
        peer.change(&work.id, windlass_proto::v1::change::To::Delete(windlass_proto::v1::Delete {})).changed,
        1
    );
    peer.enqueue(job("k"));
}

#[test]
fn payloads_that_the_disk_cannot_follow_are_refused_for_now_and_taken_later() {
    let broker = Broker::with(&["--unfolded-bytes", "2MiB"]);
    let mut peer = broker.peer();
    let mut refused = 0;
    let mut jobs: Vec<JobSpec> = (0..24).map(|_| of_bytes(1 << 20)).collect();
    eventually("all of them are taken", || {
        let spec = jobs.pop()?;
        let request = Request::Enqueue(Enqueue { jobs: vec![spec.clone()], ..Enqueue::default() });
        if let Body::Error(refusal) = peer.ask(request) {
            assert!(refusal.code() == Code::Exhausted && refusal.retry_after_ms > 0, "{refusal:?}");
            refused += 1;
            jobs.push(spec);
        }
        jobs.is_empty().then_some(())
    });
    let server = peer.server();
    assert_eq!(server.jobs, 24);
    assert!(server.unfolded_bytes <= 4 * MIB && (refused > 0 || server.folds_total > 0), "{server:?}");
}

#[test]
fn results_that_the_disk_cannot_follow_are_not_read_until_it_has() {
    let broker = Broker::with(&["--unfolded-bytes", "2MiB"]);
    let mut worker = broker.peer();
    worker.enqueue_all((0..96).map(|_| job("k")).collect());
    let name = worker.open_stream(stream("q", 96));
    let mut works = Vec::new();
    while works.len() < 96 {
        works.extend(worker.delivery(name).jobs);
    }
    let mut watcher = broker.peer();
    let mut most = 0;
    let sent: Vec<u64> = works
        .iter()
        .map(|work| {
            let how = complete(&"r".repeat(1 << 20));
            let sent = worker.say(Request::Settle(Settle { results: vec![result_of(work, how)] }));
            most = most.max(watcher.server().unfolded_bytes);
            sent
        })
        .collect();
    // Twice the bound, and what one turn takes from the inbox.
    assert!(most <= 2 * 2 * MIB + 6 * MIB, "{most} bytes waited for the fold");
    for id in sent {
        let Body::Settled(settled) = worker.answer(id) else { panic!() };
        assert_eq!(settled.results[0].code(), SettleCode::Settled);
    }
}
