//! What stands on the wire: the first exchange byte by byte, jobs there and back, and forms that are
//! refused.

use super::*;
use std::fmt::Write;
use windlass_engine::command::{How, Mutation, Query as Read, Target};
use windlass_engine::fact::{DeadReason, RunLimits};
use windlass_engine::filter::{NumberColumn, Pattern, States, Test, TextColumn};
use windlass_engine::frame::{Cursor, EnqueuedOne, LogRows, RunWork, Signal, Stored};
use windlass_engine::part::Slot;
use windlass_proto::v1::{
    Cancel, Change, Fail, JobTouch, Limit, LogLine, Put, Release, Resource, Selector, Touch, change::To,
    enqueued, resource,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn hello_and_welcome_byte_by_byte() {
    // 1 Hello {proto_min: 1, proto_max: 1, namespace: "t1", client: "py/1", pid: 7}
    let hello = [
        0x00, 0x00, 0x00, 0x14, 0x08, 0x01, 0x12, 0x10, 0x08, 0x01, 0x10, 0x01, 0x22, 0x02, b't', b'1', 0x2a,
        0x04, b'p', b'y', b'/', b'1', 0x38, 0x07,
    ];
    let mut session = session(terms());
    let verdict = session.read(&mut BytesMut::from(&hello[..]), NOW).unwrap();
    let Command::Hello(taken) = asked(verdict) else { panic!("no Hello") };
    assert_eq!((&*taken.namespace, &*taken.client, taken.pid), ("t1", "py/1", 7));
    session.take(vec![answer(1, welcome())]);
    let mut bytes = BytesMut::new();
    session.speak(NOW, usize::MAX, &mut bytes);
    assert_eq!(hex(&bytes), WELCOME);
}

/// Length, id 1, then proto 1, session, secret, ttl, resume window, clock, epoch 3, the bounds, the
/// kept lease, the idempotency window and the window of requests.
const WELCOME: &str = concat!(
    "0000006e0801126a",
    "0801",
    "121005050505050505050505050505050505",
    "1a20296280bc22dcfa8c8b9c771c4d9ddea030608e153a15a333497f99a819c88429",
    "20987528b8173080a0f1c2b1343803",
    "40808080024880804050904e",
    "621009090909090909090909090909090909",
    "68c0cf24708008",
);

#[test]
fn a_job_arrives_as_it_was_enqueued() {
    let mut session = open(terms());
    let spec = JobSpec {
        id: Bytes::from_static(&[1; 16]),
        payload: Bytes::from_static(b"{}"),
        content_type: "application/json".into(),
        headers: [("traceparent".into(), "00-1".into())].into(),
        delay_ms: 500,
        key: "zoë@example.org".into(),
        ..job("send_email")
    };
    let Command::Enqueue(mut taken) = asked(ask(&mut session, 2, enqueue(vec![spec.clone()]))) else {
        panic!("no Enqueue")
    };
    let stored = taken.jobs.remove(0).unwrap();
    assert_eq!((&*stored.queue, stored.run_at), ("default", NOW + 500));
    asked(ask(&mut session, 3, long_poll()));
    let leased = Work {
        id: stored.id,
        ends_at: NOW + 30_000,
        run: Some(Box::new(RunWork {
            tick: 0,
            limits: RunLimits { timeout_ms: 5_000, stall_ms: 700 },
            checkpoint: Slot::Bytes(b"page 3"[..].into()),
            after: vec![JobId([8; 16])],
        })),
        kind: stored.kind.into(),
        key: stored.key,
        payload: Slot::Bytes(stored.payload),
        headers: Slot::Bytes(stored.headers),
        ..work(1, 0)
    };
    session.take(vec![answer(3, Body::Deliver { works: vec![leased], end: true })]);
    let Some(Words::Deliver(mut deliver)) = said(&mut session).remove(0).body else { panic!("no Deliver") };
    let arrived = deliver.jobs.remove(0);
    assert_eq!(arrived.id, spec.id);
    assert_eq!((arrived.kind, arrived.key), (spec.kind, spec.key));
    assert_eq!((arrived.payload, arrived.content_type), (spec.payload, spec.content_type));
    assert_eq!((arrived.headers, arrived.ends_in_ms), (spec.headers, 30_000));
    assert_eq!((arrived.timeout_ms, arrived.stall_ms, &arrived.checkpoint[..]), (5_000, 700, &b"page 3"[..]));
    assert_eq!(arrived.after, [vec![8; 16]]);
}

#[test]
fn a_lease_that_has_just_ended_is_not_said_to_be_endless() {
    let mut session = open(terms());
    let late = Work { ends_at: NOW - 1, ..work(1, 0) };
    session.take(vec![Frame { last: false, ..answer(9, Body::Deliver { works: vec![late], end: false }) }]);
    let Some(Words::Deliver(deliver)) = said(&mut session).remove(0).body else { panic!("no Deliver") };
    assert_eq!(deliver.jobs[0].ends_in_ms, 1);
}

#[test]
fn a_job_without_an_id_gets_one() {
    let mut session = open(terms());
    let Command::Enqueue(taken) = asked(ask(&mut session, 2, enqueue(vec![job("k"), job("k")]))) else {
        panic!("no Enqueue")
    };
    let ids: Vec<JobId> = taken.jobs.into_iter().map(|job| job.unwrap().id).collect();
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.0[6] >> 4 == 7));
}

#[test]
fn a_small_payload_does_not_hold_its_frame() {
    let frame = Bytes::from(vec![1; 1 << 20]);
    let spec = JobSpec { payload: frame.slice(10..20), ..job("k") };
    let Command::Enqueue(mut taken) = asked(ask(&mut open(terms()), 2, enqueue(vec![spec]))) else {
        panic!("no Enqueue")
    };
    assert_eq!(taken.jobs.remove(0).unwrap().payload.len(), 10);
    assert!(frame.is_unique(), "nothing of it is shared any more");
}

#[test]
fn the_answers_of_enqueue() {
    let mut session = open(terms());
    use windlass_engine::frame::Outcome;
    let stored = |outcome| Stored { seq: 91, state: JobState::Ready, outcome };
    let fault = Refusal::new(EngineCode::Invalid, "jobs[2].kind", "no kind");
    let one = |what| EnqueuedOne { id: JobId([1; 16]), what, result: Slot::Empty };
    let taken = Refusal::new(EngineCode::Exhausted, "dedup.key", "taken");
    let done = [Outcome::Created, Outcome::Duplicate, Outcome::Replaced, Outcome::Appended]
        .into_iter()
        .chain([Outcome::QueuedAfter, Outcome::Rejected(Box::new(taken))]);
    let ones = done.map(|outcome| one(Ok(stored(outcome)))).chain([one(Err(Box::new(fault)))]).collect();
    session.take(vec![answer(2, Body::Enqueued(ones))]);
    let Some(Words::Enqueued(enqueued)) = said(&mut session).remove(0).body else { panic!("no Enqueued") };
    let outcomes: Vec<enqueued::Outcome> = enqueued.results.iter().map(enqueued::One::outcome).collect();
    use enqueued::Outcome::{Appended, Created, Duplicate, QueuedAfter, Rejected, Replaced};
    assert_eq!(outcomes, [Created, Duplicate, Replaced, Appended, QueuedAfter, Rejected, Rejected]);
    assert_eq!(enqueued.results[5].error.as_ref().unwrap().code(), Code::Exhausted);
    assert_eq!(&enqueued.results[5].id[..], [1; 16], "who is refused hears of the other one");
    assert_eq!((enqueued.results[0].seq, enqueued.results[0].state()), (91, v1::State::Ready));
    assert!(enqueued.results[6].id.is_empty());
    assert_eq!(enqueued.results[6].error.as_ref().unwrap().field, "jobs[2].kind");
}

#[test]
fn texts_of_a_settle_are_cut_and_times_are_capped() {
    let fail = Fail {
        kind: "k".repeat(200),
        message: "ë".repeat(4_000),
        retry_after_ms: Some(u64::MAX),
        ..Fail::default()
    };
    let release = Release { delay_ms: u64::MAX, ..Release::default() };
    let how = |how| v1::Result { id: Bytes::from_static(&[1; 16]), how: Some(how), ..v1::Result::default() };
    let results = vec![how(result::How::Fail(fail)), how(result::How::Release(release))];
    let Command::Settle(taken) = asked(ask(&mut open(terms()), 2, Request::Settle(Settle { results })))
    else {
        panic!("no Settle")
    };
    let How::Fail { error, retry_after_ms, .. } = &taken[0].how else { panic!("no Fail") };
    assert_eq!((error.kind.len(), error.message.len()), (128, 4_096));
    let year = windlass_proto::limits::RETRY_MS_MAX;
    assert_eq!(*retry_after_ms, Some(year));
    assert!(matches!(taken[1].how, How::Release { delay_ms, .. } if delay_ms == year));
}

#[test]
fn a_page_goes_on_where_its_cursor_says() {
    let mut session = open(terms());
    let rows = Rows { cursor: Some(Cursor::Seq(77)), total: Some(500), ..Rows::default() };
    session.take(vec![answer(2, Body::Rows(Box::new(rows)))]);
    let Some(Words::Rows(rows)) = said(&mut session).remove(0).body else { panic!("no Rows") };
    assert_eq!((rows.total, rows.total_exact), (500, true));
    let select = Some(Selector { queue: "mail".into(), states: vec![7, 7], ..Selector::default() });
    let next = Query { what: What::Jobs.into(), select, cursor: rows.cursor, ..Query::default() };
    let Command::Query(Read::Jobs(page)) = asked(ask(&mut session, 3, Request::Query(next))) else {
        panic!("no Query")
    };
    let dead = States::from_iter([JobState::Dead]);
    assert_eq!((page.after, page.select.states, &*page.select.queue), (Some(77), dead, "mail"));
}

#[test]
fn a_selector_becomes_what_indexes_answer_and_a_condition() {
    let taken = |select: Selector| {
        let query = Query { what: What::Jobs.into(), select: Some(select), ..Query::default() };
        let Command::Query(Read::Jobs(page)) = asked(ask(&mut open(terms()), 2, Request::Query(query)))
        else {
            panic!("no Query")
        };
        page.select
    };
    let filter = "state:dead,cancelled queue:mail reason:fatal kind:a*".to_owned();
    let found = taken(Selector { filter, kind: "b".into(), ..Selector::default() });
    assert_eq!((&*found.queue, found.states), ("mail", States::from_iter([JobState::Dead])));
    let kind = |pattern| Test::Text(TextColumn::Kind, pattern);
    let tests: Vec<&Test> = found.filter.clauses.iter().flat_map(|clause| &clause.any).collect();
    assert_eq!(
        tests,
        [&Test::Reason(DeadReason::Fatal), &kind(Pattern::Like("a*".into())), &kind(Pattern::Is("b".into())),]
    );
    let found = taken(Selector { states: vec![4], filter: "-state:ready".into(), ..Selector::default() });
    assert_eq!((found.states, found.filter.clauses.len()), (States::from_iter([JobState::Ready]), 1));
    let found = taken(Selector { finished_after_at_ms: 5, finished_before_at_ms: 9, ..Selector::default() });
    let ended = JobState::ALL.into_iter().filter(|state| state.is_final());
    assert_eq!(found.states, ended.collect());
    assert_eq!(found.filter.clauses[0].any, [Test::Number(NumberColumn::Finished, 5, 8)]);
    let found = taken(Selector { session: vec![7; 16].into(), ..Selector::default() });
    assert_eq!(found.states, States::from_iter([JobState::Leased]));
}

#[test]
fn a_pause_is_a_limit_of_nothing() {
    let limit = Limit { queue: "mail".into(), concurrency: Some(0), why: "down".into(), ..Limit::default() };
    let resource = Resource {
        name: "limit/pause:queue/mail".into(),
        if_version: 3,
        what: Some(resource::What::Limit(limit)),
    };
    let put = Put { set: vec![resource], remove: vec!["limit/pause:queue/ads".into()], ..Put::default() };
    let Command::Put(taken) = asked(ask(&mut open(terms()), 2, Request::Put(put))) else { panic!("no Put") };
    assert_eq!(
        (&taken.set[0].target, taken.set[0].if_version),
        (&Target::Limit("pause:queue/mail".into()), 3)
    );
    assert_eq!(taken.remove, [Target::Limit("pause:queue/ads".into())]);
}

#[test]
fn a_cancel_has_its_grace() {
    let select = Some(Selector { ids: vec![Bytes::from_static(&[1; 16])], ..Selector::default() });
    let change = Change { select, to: Some(To::Cancel(Cancel::default())), ..Change::default() };
    let Command::Change(taken) = asked(ask(&mut open(terms()), 2, Request::Change(change))) else {
        panic!("no Change")
    };
    assert!(matches!(taken.to, Mutation::Cancel { grace_ms: 30_000, .. }));
}

#[test]
fn signals_belong_to_no_request() {
    let mut session = open(terms());
    let cancel = Signal::Cancel { job: JobId([1; 16]), fence: 8, reason: "stop".into(), ends_in_ms: 30_000 };
    let push = |signal| Frame { last: false, ..answer(0, Body::Signal(signal)) };
    session.take(vec![push(cancel), push(Signal::GoAway)]);
    let said = said(&mut session);
    let types: Vec<(u64, v1::signal::Type)> = said
        .into_iter()
        .filter_map(|frame| match frame.body {
            Some(Words::Signal(signal)) => Some((frame.id, signal.r#type())),
            Some(_) | None => None,
        })
        .collect();
    assert_eq!(types, [(0, v1::signal::Type::Cancel), (0, v1::signal::Type::Goaway)]);
}

#[test]
fn what_a_handler_says_is_checked_and_its_lines_come_back_page_by_page() {
    let mut session = open(terms());
    let line = |text: &str| LogLine { at_ms: 7, level: 0, text: text.to_owned() };
    let touch = JobTouch {
        id: vec![9; 16].into(),
        fence: 1,
        progress_permille: Some(430),
        note: "n".repeat(2_000),
        logs: vec![line("one"), line(&"x".repeat(5_000)), line("three")],
        checkpoint: Some(Bytes::from_static(b"c")),
        stream: Bytes::from_static(b"o"),
        ..JobTouch::default()
    };
    let beat = |jobs| Request::Touch(Touch { beat: None, jobs });
    let Command::Touch(taken) = asked(ask(&mut session, 2, beat(vec![touch.clone()]))) else {
        panic!("no Touch")
    };
    let telling = taken.jobs[0].telling.clone().unwrap();
    assert_eq!((telling.progress, telling.lines, telling.note.unwrap().len()), (Some(430), 3, 1_024));
    assert_eq!((&telling.checkpoint.unwrap()[..], &telling.output[..]), (&b"c"[..], &b"o"[..]));

    let chunk = [&3u32.to_le_bytes()[..], &telling.logs].concat();
    let page = |skip, limit| {
        let chunks = vec![(4, Slot::Bytes(chunk.clone().into()))];
        let logs = LogRows { id: Some(JobId([9; 16])), chunks, skip, limit, next: None };
        Body::Rows(Box::new(Rows { logs: Some(Box::new(logs)), ..Rows::default() }))
    };
    let mut shown = |body| {
        session.take(vec![answer(5, body)]);
        let Some(Words::Rows(rows)) = said(&mut session).remove(0).body else { panic!("no Rows") };
        let lines = rows.logs.iter().map(|log| (log.attempt, log.line.clone().unwrap()));
        (lines.map(|(attempt, line)| (attempt, line.level, line.text.len())).collect::<Vec<_>>(), rows.cursor)
    };
    let (lines, cursor) = shown(page(0, 2));
    assert_eq!(lines, [(3, 6, 3), (3, 6, 4_096)]);
    assert!(!cursor.is_empty());
    let (lines, cursor) = shown(page(2, 2));
    assert_eq!((lines, cursor.len()), (vec![(3, 6, 5)], 0));

    let spoiled = |spoil: fn(&mut JobTouch)| {
        let mut spoiled = touch.clone();
        spoil(&mut spoiled);
        beat(vec![JobTouch { logs: Vec::new(), ..touch.clone() }, spoiled])
    };
    type Spoil = fn(&mut JobTouch);
    let cases: [(&str, Code, Spoil); 4] = [
        ("jobs[1].progress_permille", Code::Invalid, |touch| touch.progress_permille = Some(1_001)),
        ("jobs[1].logs[2].level", Code::Invalid, |touch| touch.logs[2].level = 8),
        ("jobs[1].checkpoint", Code::TooLarge, |touch| touch.checkpoint = Some(vec![0; 65_537].into())),
        ("jobs[1].stream", Code::TooLarge, |touch| touch.stream = vec![0; 65_537].into()),
    ];
    for (field, code, spoil) in cases {
        let Verdict::Refuse(_, error) = ask(&mut session, 9, spoiled(spoil)) else { panic!("{field}") };
        assert_eq!((&*error.field, error.code()), (field, code));
    }
}
