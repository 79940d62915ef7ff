//! Hello and Welcome, resuming and attaching, Bye, and who is not let in.

use crate::harness::{Broker, Peer, body, complete, encode, hello, job, stream};
use bytes::Bytes;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::hello::Running;
use windlass_proto::v1::hello::running::Held;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::signal::Type;
use windlass_proto::v1::{Bye, Closed, Code, Enqueue, Hello, Query, SettleCode, State, query::What};

#[test]
fn welcome_states_what_both_sides_keep() {
    let broker = Broker::start();
    let welcome = broker.peer().welcome;
    assert_eq!((welcome.proto, welcome.session.len()), (1, 16));
    assert!(!welcome.secret.is_empty() && welcome.server_at_ms > 0 && welcome.epoch > 0);
    assert_eq!((welcome.session_ttl_ms, welcome.resume_window_ms), (15_000, 3_000));
    assert_eq!((welcome.max_frame, welcome.max_payload, welcome.max_batch), (4 << 20, 1 << 20, 10_000));
    assert_eq!((welcome.idempotency_window_ms, welcome.leases_kept.len()), (600_000, 0));
    assert!(welcome.max_outstanding > 0 && welcome.features.is_empty());
    for (asked, granted) in [(1, 1_000), (2_000, 2_000), (u64::MAX, 3_600_000)] {
        let hello = Hello { session_ttl_ms: asked, ..hello() };
        assert_eq!(Peer::with(broker.addr(), hello).welcome.session_ttl_ms, granted);
    }
    assert_eq!(Peer::with(broker.addr(), Hello::default()).welcome.proto, 1, "every field has a default");
}

#[test]
fn requests_may_follow_hello_at_once() {
    let broker = Broker::start();
    let mut peer = Peer::mute(broker.addr());
    let enqueue = Enqueue { jobs: vec![job("k")], ..Enqueue::default() };
    let query = Query { what: What::Server.into(), ..Query::default() };
    let frames = [
        encode(1, Request::Hello(hello())),
        encode(2, Request::Enqueue(enqueue)),
        encode(3, Request::Query(query)),
    ];
    peer.send(&frames.concat());
    body!(peer.answer(1), Welcome);
    assert_eq!(body!(peer.answer(2), Enqueued).results[0].state(), State::Ready);
    assert_eq!(body!(peer.answer(3), Rows).server[0].jobs, 1);
}

#[test]
fn who_is_not_let_in_is_told_why_and_the_connection_is_closed() {
    let broker = Broker::start();
    let long = "x".repeat(201);
    let cases = [
        (Request::Query(Query::default()), Code::Unauthenticated, ""),
        (Request::Hello(Hello { proto_min: 2, proto_max: 3, ..hello() }), Code::Unsupported, "proto_min"),
        (Request::Hello(Hello { token: "secret".into(), ..hello() }), Code::Unsupported, "token"),
        (Request::Hello(Hello { require: vec!["cron".into()], ..hello() }), Code::Unsupported, "require[0]"),
        (Request::Hello(Hello { namespace: "a b".into(), ..hello() }), Code::Invalid, "namespace"),
        (Request::Hello(Hello { client: long.clone(), ..hello() }), Code::Invalid, "client"),
        (Request::Hello(Hello { host: long, ..hello() }), Code::Invalid, "host"),
    ];
    for (request, code, field) in cases {
        let mut peer = Peer::mute(broker.addr());
        let refusal = peer.refused(request.clone());
        assert_eq!((refusal.code(), refusal.field.as_str()), (code, field), "{request:?}: {refusal:?}");
        assert!(!refusal.message.is_empty());
        assert_eq!(peer.hear(), None, "{request:?}");
    }
    assert_eq!(broker.peer().server().sessions, 1, "nobody got a session");
}

#[test]
fn too_many_labels_or_leases_are_refused_in_hello() {
    let broker = Broker::start();
    let labels = (0..33).map(|number| (number.to_string(), String::new())).collect();
    let held = vec![Held { id: Bytes::from_static(&[1; 16]), fence: 1 }; 1_501];
    let running = Some(Running { held });
    // Only who comes back says as much.
    let back = Hello { running, ..broker.peer().coming_back(None) };
    for (hello, field) in [(Hello { labels, ..hello() }, "labels"), (back, "running.held")] {
        let refusal = Peer::mute(broker.addr()).refused(Request::Hello(hello));
        assert_eq!((refusal.code(), refusal.field.as_str()), (Code::TooLarge, field), "{refusal:?}");
    }
}

#[test]
fn a_session_is_proven_by_its_secret_and_hello_may_be_said_again() {
    let broker = Broker::start();
    let owner = broker.peer();
    let stranger = Hello { resume_secret: Bytes::from_static(&[7; 32]), ..owner.coming_back(None) };
    let mut peer = Peer::mute(broker.addr());
    let refusal = peer.refused(Request::Hello(stranger));
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::Unauthenticated, "resume_secret"));
    let attached = body!(peer.ask(Request::Hello(owner.coming_back(None))), Welcome);
    assert_eq!(attached.session, owner.welcome.session);
    assert_eq!(peer.sessions()[0].connections, 2);
    let elsewhere = Hello { namespace: "other".into(), ..owner.coming_back(None) };
    let refusal = Peer::mute(broker.addr()).refused(Request::Hello(elsewhere));
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::Invalid, "namespace"));
}

#[test]
fn a_session_that_has_ended_can_be_resumed_but_not_attached_to() {
    let broker = Broker::start();
    let mut gone = broker.peer();
    assert_eq!(gone.ask(Request::Bye(Bye::default())), Body::Closed(Closed {}));
    assert_eq!(gone.hear(), None, "the broker closes the connection after Bye");

    let mut peer = Peer::mute(broker.addr());
    let refusal = peer.refused(Request::Hello(gone.coming_back(None)));
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::NotFound, "resume_session"));
    let held = vec![Held { id: Bytes::from_static(&[1; 16]), fence: 1 }];
    let resumed = body!(peer.ask(Request::Hello(gone.coming_back(Some(Running { held })))), Welcome);
    assert_ne!(resumed.session, gone.welcome.session, "it is a new one");
    assert!(resumed.leases_kept.is_empty());
}

#[test]
fn a_resume_keeps_what_it_lists_and_gives_back_the_rest_uncounted() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let (kept, left) = (worker.enqueue(job("k")), worker.enqueue(job("k")));
    let name = worker.open_stream(stream("q", 2));
    let works = worker.delivery(name).jobs;
    let held = vec![Held { id: kept.clone(), fence: works[0].fence }];
    let mut resumed = Peer::with(broker.addr(), worker.coming_back(Some(Running { held })));
    assert_eq!(resumed.welcome.session, worker.welcome.session);
    assert_eq!(resumed.welcome.leases_kept, [&kept[..]]);
    assert!(worker.delivery(name).end, "the streams of the other connections end");
    let job = resumed.job(&left);
    assert_eq!((job.state(), job.attempt, job.deliveries, job.crashes), (State::Ready, 0, 1, 0));
    assert_eq!(resumed.job(&kept).deliveries, 1);
    assert_eq!(resumed.settle(&works[0], complete("")), SettleCode::Settled);
    assert_eq!(resumed.settle(&works[1], complete("")), SettleCode::LeaseLost);
}

#[test]
fn bye_gives_everything_back_at_once_and_uncounted() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let id = worker.enqueue(job("k"));
    worker.fetch("q");
    assert_eq!(worker.ask(Request::Bye(Bye::default())), Body::Closed(Closed {}));
    let mut other = broker.peer();
    let work = other.fetch("q");
    assert_eq!((work.id, work.attempt, work.deliveries, work.crashes), (id.clone(), 1, 2, 0));

    assert_eq!(other.ask(Request::Bye(Bye { keep_leases: true })), Body::Closed(Closed {}));
    assert_eq!(other.hear(), None);
    let mut looking = broker.peer();
    assert_eq!(looking.job(&id).state(), State::Leased, "kept for a resume");
    let held = vec![Held { id: id.clone(), fence: work.fence }];
    let resumed = Peer::with(broker.addr(), other.coming_back(Some(Running { held })));
    assert_eq!(resumed.welcome.leases_kept, [id]);
}

#[test]
fn a_broker_that_drains_tells_everybody_to_come_back() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    assert_eq!(broker.terminate(), 0);
    assert_eq!(peer.signal().r#type(), Type::Goaway);
    assert_eq!(peer.hear(), None);
}
