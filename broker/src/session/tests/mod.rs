//! The conversation as a table: each pair of state and frame, and what comes of it.

mod desk;
mod fuzz;
mod refusals;
mod rights;
mod stranger;
mod unsupported;
mod wire;

use super::*;
use bytes::Bytes;
use windlass_engine::command::Code as EngineCode;
use windlass_engine::frame::{Rows, SettleCode, SettledOne, Work};
use windlass_engine::ledger::job::State as JobState;
use windlass_engine::view::QueueView;
use windlass_engine::{JobId, Request as To, SessionId};
use windlass_proto::frame::ClientCodec;
use windlass_proto::v1::{
    Bye, Complete, Enqueue, Fetch, Hello, JobSpec, Query, ServerFrame, Settle, fetch::Source, hello,
    query::What, result,
};

const KEY: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000_000;
const SESSION: SessionId = SessionId([5; 16]);

fn terms() -> Terms {
    Terms::new(KEY)
}

fn session(terms: Terms) -> Session {
    Session::new(Arc::new(terms), None)
}

/// A session behind its Welcome.
fn open(terms: Terms) -> Session {
    let mut session = session(terms);
    assert!(matches!(ask(&mut session, 1, Request::Hello(Hello::default())), Verdict::Ask(_)));
    session.take(vec![answer(1, welcome())]);
    said(&mut session);
    session
}

fn welcome() -> Body {
    Body::Welcome(Box::new(Welcome {
        session: SESSION,
        namespace: 1,
        session_ttl_ms: 15_000,
        now: NOW,
        epoch: 3,
        leases_kept: vec![JobId([9; 16])],
    }))
}

fn ask(session: &mut Session, id: u64, request: Request) -> Verdict {
    let frame = ClientFrame { id, request: Some(request) };
    session.receive(Inbound::Request { frame, bytes: 100 }, NOW)
}

fn answer(id: u64, body: Body) -> Frame {
    Frame { to: To { conn: 1, id }, last: true, body }
}

/// Everything that the session says now.
fn said(session: &mut Session) -> Vec<ServerFrame> {
    let mut bytes = BytesMut::new();
    session.speak(NOW, usize::MAX, &mut bytes);
    let mut codec = ClientCodec::new(FRAME_BYTES_MAX);
    std::iter::from_fn(|| codec.decode(&mut bytes).unwrap()).collect()
}

fn job(kind: &str) -> JobSpec {
    JobSpec { kind: kind.into(), ..JobSpec::default() }
}

fn enqueue(jobs: Vec<JobSpec>) -> Request {
    Request::Enqueue(Enqueue { jobs, ..Enqueue::default() })
}

fn source(queue: &str) -> Source {
    Source { queue: queue.into(), weight: 0 }
}

fn long_poll() -> Request {
    Request::Fetch(Fetch { sources: vec![source("mail")], once: 1, ..Fetch::default() })
}

fn stream() -> Request {
    Request::Fetch(Fetch { sources: vec![source("mail")], slots: 1, ..Fetch::default() })
}

fn closed(verdict: Verdict) -> (u64, Code, String) {
    match verdict {
        Verdict::Close(id, error) => (id, error.code(), error.field),
        other @ (Verdict::Ask(_) | Verdict::Answer(..) | Verdict::Refuse(..)) => {
            panic!("not closed: {other:?}")
        }
    }
}

fn refused(verdict: Verdict) -> (u64, Code, String) {
    match verdict {
        Verdict::Refuse(id, error) => (id, error.code(), error.field),
        other @ (Verdict::Ask(_) | Verdict::Answer(..) | Verdict::Close(..)) => {
            panic!("not refused: {other:?}")
        }
    }
}

fn asked(verdict: Verdict) -> Command {
    match verdict {
        Verdict::Ask((_, command, _)) => command,
        other @ (Verdict::Answer(..) | Verdict::Refuse(..) | Verdict::Close(..)) => {
            panic!("not asked: {other:?}")
        }
    }
}

#[test]
fn the_first_word_is_hello() {
    let mut session = session(terms());
    assert_eq!(
        closed(ask(&mut session, 4, enqueue(vec![job("k")]))),
        (4, Code::Unauthenticated, String::new())
    );
    assert!(session.is_closed());
}

#[test]
fn hello_comes_once() {
    let mut session = open(terms());
    assert_eq!(refused(ask(&mut session, 2, Request::Hello(Hello::default()))).1, Code::Invalid);
    assert!(!session.is_closed());
}

#[test]
fn requests_behind_hello_are_read_when_it_is_decided() {
    let mut session = session(terms());
    assert!(session.has_room());
    asked(ask(&mut session, 1, Request::Hello(Hello::default())));
    assert!(!session.has_room());
    session.take(vec![answer(1, welcome())]);
    said(&mut session);
    assert!(session.has_room());
}

#[test]
fn ids_are_not_zero_and_not_in_use() {
    let mut session = open(terms());
    asked(ask(&mut session, 2, long_poll()));
    assert_eq!(closed(ask(&mut session, 2, long_poll())), (0, Code::Invalid, String::new()));
    let mut session = open(terms());
    assert_eq!(closed(ask(&mut session, 0, long_poll())), (0, Code::Invalid, String::new()));
}

#[test]
fn an_id_is_free_again_after_its_last_frame() {
    let mut session = open(terms());
    asked(ask(&mut session, 2, stream()));
    session.take(vec![Frame { last: false, ..answer(2, Body::Deliver { works: Vec::new(), end: false }) }]);
    said(&mut session);
    assert!(session.window.holds(2));
    session.take(vec![answer(2, Body::Deliver { works: Vec::new(), end: true })]);
    said(&mut session);
    asked(ask(&mut session, 2, stream()));
}

#[test]
fn a_full_window_has_no_room_until_an_answer_leaves() {
    let mut session = open(terms().with_outstanding_max(2));
    asked(ask(&mut session, 2, stream()));
    asked(ask(&mut session, 3, long_poll()));
    assert!(session.has_room());
    asked(ask(&mut session, 4, long_poll()));
    assert!(!session.has_room());
    session.take(vec![answer(3, Body::Closed)]);
    assert!(!session.has_room(), "only what was said makes room");
    said(&mut session);
    assert!(session.has_room());
}

#[test]
fn an_unknown_verb_is_unsupported() {
    let mut session = open(terms());
    let frame = ClientFrame { id: 2, request: None };
    let verdict = session.receive(Inbound::Request { frame, bytes: 2 }, NOW);
    assert_eq!(refused(verdict).1, Code::Unsupported);
}

#[test]
fn what_is_no_frame_ends_the_conversation() {
    let mut garbage = BytesMut::from(&[0, 0, 0, 2, 0xff, 0xff][..]);
    assert_eq!(closed(open(terms()).read(&mut garbage, NOW).unwrap()).1, Code::Invalid);
    let mut long = BytesMut::from(&[0xff; 4][..]);
    assert_eq!(closed(open(terms()).read(&mut long, NOW).unwrap()), (0, Code::TooLarge, String::new()));
}

#[test]
fn a_large_frame_is_taken_only_after_the_welcome() {
    let large = || BytesMut::from(&[0, 2, 0, 0][..]);
    assert!(open(terms()).read(&mut large(), NOW).is_none());
    let mut session = session(terms());
    asked(ask(&mut session, 1, Request::Hello(Hello::default())));
    assert_eq!(closed(session.read(&mut large(), NOW).unwrap()).1, Code::TooLarge);
}

#[test]
fn a_hello_out_of_form_ends_the_conversation() {
    let held = |id: &'static [u8]| {
        let held = vec![hello::running::Held { id: id.into(), fence: 1 }];
        Some(hello::Running { held })
    };
    let cases = [
        ("proto_min", Code::Unsupported, Hello { proto_min: 2, proto_max: 3, ..Hello::default() }),
        ("proto_min", Code::Unsupported, Hello { proto_min: 2, ..Hello::default() }),
        ("token", Code::Unsupported, Hello { token: "t".into(), ..Hello::default() }),
        ("require[0]", Code::Unsupported, Hello { require: vec!["dedup".into()], ..Hello::default() }),
        ("namespace", Code::Invalid, Hello { namespace: "a b".into(), ..Hello::default() }),
        ("client", Code::Invalid, Hello { client: "a\nb".into(), ..Hello::default() }),
        ("host", Code::Invalid, Hello { host: "x".repeat(201), ..Hello::default() }),
        ("labels", Code::Invalid, Hello { labels: [("a\n".into(), "b".into())].into(), ..Hello::default() }),
        ("resume_session", Code::Invalid, Hello { resume_session: b"abc"[..].into(), ..Hello::default() }),
        ("resume_secret", Code::Invalid, Hello { resume_secret: b"abc"[..].into(), ..Hello::default() }),
        ("running", Code::Invalid, Hello { running: held(&[1; 16]), ..Hello::default() }),
        ("running.held[0].id", Code::Invalid, Hello { running: held(&[1; 15]), ..Hello::default() }),
    ];
    for (field, code, hello) in cases {
        let mut session = session(terms());
        assert_eq!(closed(ask(&mut session, 1, Request::Hello(hello))), (1, code, field.into()));
    }
}

#[test]
fn a_session_is_resumed_with_its_secret_only() {
    let mut first = session(terms());
    asked(ask(&mut first, 1, Request::Hello(Hello::default())));
    first.take(vec![answer(1, welcome())]);
    let Some(Words::Welcome(welcome)) = said(&mut first).remove(0).body else { panic!("no Welcome") };
    let running = Some(hello::Running {
        held: vec![hello::running::Held { id: Bytes::from_static(&[9; 16]), fence: 44 }],
    });
    let hello = Hello {
        resume_session: welcome.session.clone(),
        resume_secret: welcome.secret.clone(),
        running,
        ..Hello::default()
    };
    let Command::Hello(taken) = asked(ask(&mut session(terms()), 1, Request::Hello(hello.clone()))) else {
        panic!("no Hello")
    };
    assert_eq!(taken.resume, Some(SESSION));
    assert_eq!(taken.running, Some(vec![(JobId([9; 16]), 44)]));
    let mut wrong = welcome.secret.to_vec();
    wrong[31] ^= 1;
    for secret in [Bytes::from(wrong), Bytes::new(), welcome.secret.slice(..31)] {
        let hello = Hello { resume_secret: secret, ..hello.clone() };
        let verdict = ask(&mut session(terms()), 1, Request::Hello(hello));
        assert_eq!(refused(verdict), (1, Code::Unauthenticated, "resume_secret".into()));
    }
    let mut other_broker = session(Terms::new([8; 32]));
    assert_eq!(refused(ask(&mut other_broker, 1, Request::Hello(hello))).1, Code::Unauthenticated);
    assert!(other_broker.awaits_hello(), "a new session may begin");
}

#[test]
fn an_ended_session_is_told_and_hello_may_come_again() {
    let mut session = session(terms());
    asked(ask(&mut session, 1, Request::Hello(Hello::default())));
    session.take(vec![answer(1, Body::Error(Refusal::new(EngineCode::NotFound, "resume_session", "gone")))]);
    let Some(Words::Error(error)) = said(&mut session).remove(0).body else { panic!("no Error") };
    assert_eq!(error.code(), Code::NotFound);
    assert!(session.awaits_hello());
    asked(ask(&mut session, 2, Request::Hello(Hello::default())));
}

#[test]
fn any_other_refusal_of_hello_ends_the_conversation() {
    let mut session = session(terms());
    asked(ask(&mut session, 1, Request::Hello(Hello::default())));
    let full = Refusal::new(EngineCode::Exhausted, "", "too many sessions").retry_after(1_000);
    session.take(vec![answer(1, Body::Error(full))]);
    let Some(Words::Error(error)) = said(&mut session).remove(0).body else { panic!("no Error") };
    assert_eq!((error.code(), error.retry_after_ms), (Code::Exhausted, 1_000));
    assert!(session.is_closed());
}

#[test]
fn a_cut_lets_out_what_was_before_it_and_nothing_behind() {
    let mut session = open(terms());
    asked(ask(&mut session, 2, Request::Bye(Bye::default())));
    let cut = Frame { last: false, ..answer(0, Body::Cut) };
    session.take(vec![answer(2, Body::Closed), cut, answer(3, Body::Closed)]);
    let said = said(&mut session);
    assert_eq!(said.len(), 1);
    assert!(session.is_closed() && !session.has_words());
}

#[test]
fn a_faulty_result_does_not_keep_the_others_from_being_settled() {
    let mut session = open(terms());
    let good = v1::Result {
        id: Bytes::from_static(&[1; 16]),
        fence: 1,
        how: Some(result::How::Complete(Complete::default())),
        ..v1::Result::default()
    };
    let large = Complete { result: Bytes::from(vec![0; PAYLOAD_BYTES_DEFAULT + 1]), ..Complete::default() };
    let results = vec![
        v1::Result { how: None, ..good.clone() },
        good.clone(),
        v1::Result { id: Bytes::new(), ..good.clone() },
        v1::Result { id: Bytes::from_static(b"short"), ..good.clone() },
        good.clone(),
        v1::Result { how: Some(result::How::Complete(large)), ..good },
    ];
    let Command::Settle(taken) = asked(ask(&mut session, 2, Request::Settle(Settle { results }))) else {
        panic!("no Settle")
    };
    assert_eq!(taken.len(), 2);
    let one = |code| SettledOne { code, state: Some(JobState::Completed), error: None };
    session.take(vec![answer(2, Body::Settled(vec![one(SettleCode::Settled), one(SettleCode::LeaseLost)]))]);
    let Some(Words::Settled(settled)) = said(&mut session).remove(0).body else { panic!("no Settled") };
    let told: Vec<(i32, String)> = settled
        .results
        .into_iter()
        .map(|one| (one.code, one.error.map(|error| error.field).unwrap_or_default()))
        .collect();
    let expected = [
        (0, "results[0].how"),
        (1, ""),
        (0, "results[2].id"),
        (0, "results[3].id"),
        (2, ""),
        (0, "results[5].complete.result"),
    ];
    assert_eq!(told, expected.map(|(code, field)| (code, field.to_owned())));
}

#[test]
fn with_partial_only_the_faulty_jobs_are_refused() {
    let mut session = open(terms());
    let twice = JobSpec { id: Bytes::from_static(&[3; 16]), ..job("k") };
    let jobs = vec![job("k"), job("a b"), twice.clone(), twice];
    let whole = Enqueue { jobs, ..Enqueue::default() };
    let verdict = ask(&mut session, 2, Request::Enqueue(whole.clone()));
    assert_eq!(refused(verdict), (2, Code::Invalid, "jobs[1].kind".into()));
    let partial = Request::Enqueue(Enqueue { partial: true, ..whole });
    let Command::Enqueue(taken) = asked(ask(&mut session, 3, partial)) else { panic!("no Enqueue") };
    let faults: Vec<Option<String>> =
        taken.jobs.into_iter().map(|job| job.err().map(|fault| fault.field)).collect();
    assert_eq!(faults, [None, Some("jobs[1].kind".into()), None, Some("jobs[3].id".into())]);
}

#[test]
fn rows_over_the_frame_are_refused_and_the_conversation_goes_on() {
    let mut session = open(terms());
    asked(ask(&mut session, 2, Request::Query(Query { what: What::Queues.into(), ..Query::default() })));
    let view = QueueView {
        name: "x".repeat(200),
        counts: [0; JobState::COUNT],
        totals: Default::default(),
        paused: Some("y".repeat(1_000)),
        oldest_ready_ms: 0,
        waiting_streams: 0,
        conf: None,
    };
    let rows = Rows { queues: vec![view; 4_000], ..Rows::default() };
    session.take(vec![answer(2, Body::Rows(Box::new(rows))), answer(3, Body::Closed)]);
    let said = said(&mut session);
    let Some(Words::Error(error)) = &said[0].body else { panic!("no Error") };
    assert_eq!((said[0].id, error.code(), said.len()), (2, Code::TooLarge, 2));
}

fn work(number: u8, payload_bytes: usize) -> Work {
    Work {
        seq: u64::from(number),
        id: JobId([number; 16]),
        fence: 1,
        ends_at: 0,
        now: NOW,
        queue: "mail".into(),
        kind: "send_email".into(),
        key: String::new(),
        payload: windlass_engine::part::Slot::Bytes(vec![number; payload_bytes].into()),
        headers: windlass_engine::part::Slot::Empty,
        attempt: 1,
        max_attempts: 20,
        deliveries: 1,
        crashes: 0,
        snoozes: 0,
        created_at: NOW - 5,
        suspect: false,
        cost: 1,
        run: None,
    }
}

#[test]
fn jobs_over_the_frame_leave_in_several_in_order() {
    let mut session = open(terms());
    asked(ask(&mut session, 2, long_poll()));
    let works: Vec<Work> = (1..=9).map(|number| work(number, 1 << 20)).collect();
    session.take(vec![answer(2, Body::Deliver { works, end: true })]);
    let mut first_bytes = Vec::new();
    let frames = said(&mut session);
    let (last, others) = frames.split_last().unwrap();
    for frame in &frames {
        let Some(Words::Deliver(deliver)) = &frame.body else { panic!("no Deliver") };
        first_bytes.extend(deliver.jobs.iter().map(|job| job.payload[0]));
        assert_eq!(deliver.end, frame == last, "only the last one ends the poll");
    }
    assert!(!others.is_empty());
    assert_eq!(first_bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_job_larger_than_the_present_limit_is_delivered_all_the_same() {
    let mut session = open(terms().with_bytes_max(1 << 20, 1 << 19));
    asked(ask(&mut session, 2, long_poll()));
    session.take(vec![answer(2, Body::Deliver { works: vec![work(1, 3 << 20)], end: true })]);
    let Some(Words::Deliver(deliver)) = said(&mut session).remove(0).body else { panic!("no Deliver") };
    assert_eq!(deliver.jobs[0].payload.len(), 3 << 20);
}
