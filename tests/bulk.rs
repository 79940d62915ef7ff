//! Changes of all jobs that a selector means: at once, in the background, at a pace, through a restart.

use crate::harness::{Answer, Broker, Peer, body, eventually, fresh_id, hex, job, windlass};
use bytes::Bytes;
use serde_json::{Value, json};
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::result::How;
use windlass_proto::v1::{
    Bury, Cancel, Change, Changed, Code, DeadReason, Delete, Fail, JobSpec, Move, OperationView, Patch,
    Policy, Query, Retry, Selector, State, Stop,
};

fn all_of(queue: &str) -> Option<Selector> {
    Some(Selector { queue: queue.into(), ..Selector::default() })
}

fn change(peer: &mut Peer, change: Change) -> Changed {
    body!(peer.ask(Request::Change(change)), Changed)
}

fn operation(peer: &mut Peer, id: &Bytes) -> OperationView {
    let query = Query { what: What::Operations.into(), ..Query::default() };
    peer.rows(query).operations.into_iter().find(|row| row.id == *id).unwrap()
}

/// Asks until the change is over.
fn ended(peer: &mut Peer, id: &Bytes) -> OperationView {
    eventually("the change is over", || Some(operation(peer, id)).filter(|row| row.finished_at_ms > 0))
}

#[test]
fn a_change_of_many_jobs_goes_on_in_the_background() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    for _ in 0..3 {
        peer.enqueue_all((0..4_000).map(|_| job("k")).collect());
    }
    let id = fresh_id();
    let bury = Change { select: all_of("q"), to: Some(To::Bury(Bury {})), ..Change::default() };
    let counted = change(&mut peer, Change { dry_run: true, ..bury.clone() });
    assert_eq!((counted.matched, counted.changed, counted.sample.len()), (12_000, 12_000, 10));
    let refused = peer.refused(Request::Change(bury.clone()));
    assert_eq!((refused.code(), refused.field.as_str()), (Code::Invalid, "operation"));
    let bury = Change { operation: id.clone(), reason: "too old".into(), ..bury };
    let begun = change(&mut peer, bury.clone());
    assert_eq!((begun.matched, &begun.operation), (12_000, &id));
    let done = ended(&mut peer, &id);
    assert_eq!((done.to.as_str(), done.changed, done.reason.as_str()), ("bury", 12_000, "too old"));
    assert_eq!((peer.queue("q").dead, peer.queue("q").dead_total), (12_000, 12_000));
    let again = change(&mut peer, bury);
    assert_eq!((again.changed, again.operation.is_empty()), (12_000, true), "it is carried out once");
    let some = Change { select: all_of("q"), to: Some(To::Delete(Delete {})), max: 9, ..Change::default() };
    assert_eq!(change(&mut peer, some).changed, 9);
    assert_eq!(peer.queue("q").dead, 11_991);
}

#[test]
fn a_paced_change_survives_a_kill_and_can_be_stopped() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue_all((0..200).map(|_| job("k")).collect());
    let id = fresh_id();
    let slow = Change {
        select: all_of("q"),
        per_second: 20,
        operation: id.clone(),
        to: Some(To::Cancel(Cancel::default())),
        ..Change::default()
    };
    assert_eq!(change(&mut peer, slow).operation, id);
    broker.kill();
    broker.restart();
    let mut peer = broker.peer();
    let before = operation(&mut peer, &id);
    assert!(before.changed < 200 && before.finished_at_ms == 0, "{before:?}");
    eventually("it goes on", || (operation(&mut peer, &id).changed > before.changed).then_some(()));
    let stop = Change { operation: id.clone(), to: Some(To::Stop(Stop {})), ..Change::default() };
    let stopped = change(&mut peer, stop);
    let row = operation(&mut peer, &id);
    assert!(stopped.changed < 200 && row.stopped_why == "stopped by an operator", "{row:?}");
    assert_eq!((peer.queue("q").cancelled, row.changed), (stopped.changed, stopped.changed));
}

#[test]
fn waiting_jobs_are_moved_patched_and_buried() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let spec = || JobSpec { payload: "old".into(), tags: vec!["a".into(), "b".into()], ..job("k") };
    let ids = [peer.enqueue(spec()), peer.enqueue(spec())];
    let patch = Patch {
        payload: Some("a new payload".into()),
        policy: Some(Policy { priority: Some(9), max_attempts: Some(2), ..Policy::default() }),
        key: Some("anna".into()),
        add_tags: vec!["c".into()],
        remove_tags: vec!["a".into()],
    };
    assert_eq!(peer.change(&ids[1], To::Patch(patch)).changed, 1);
    let job = peer.job(&ids[1]);
    assert_eq!((&job.payload[..], job.payload_bytes, job.key.as_str()), (&b"a new payload"[..], 13, "anna"));
    assert_eq!((job.priority, job.max_attempts, job.tags), (9, 2, vec!["b".into(), "c".into()]));
    let moved = Change {
        select: all_of("q"),
        to: Some(To::Move(Move { queue: "bulk".into() })),
        ..Change::default()
    };
    assert_eq!(change(&mut peer, moved).changed, 2);
    assert_eq!((peer.queue("q").ready, peer.queue("bulk").ready), (0, 2));
    let work = peer.fetch("bulk");
    assert_eq!((&work.id, &work.payload[..]), (&ids[1], &b"a new payload"[..]), "its level is higher now");
    assert_eq!(peer.change(&ids[0], To::Bury(Bury {})).changed, 1);
    let buried = peer.job(&ids[0]);
    assert_eq!((buried.state(), buried.dead_reason()), (State::Dead, DeadReason::Operator));
    let spread = Retry { spread_ms: 3_600_000, ..Retry::default() };
    let again = Change { operation: fresh_id(), ..Change::default() };
    let again = Change { select: all_of("bulk"), to: Some(To::Retry(spread)), ..again };
    assert_eq!(change(&mut peer, again).matched, 2);
}

#[test]
fn failures_that_look_alike_are_one_group_and_are_redriven_as_one() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let one_attempt = Policy { max_attempts: Some(1), ..Policy::default() };
    let spec = || JobSpec { policy: Some(one_attempt.clone()), ..job("k") };
    let ids = peer.enqueue_all((0..3).map(|_| spec()).collect());
    for (number, class) in [(17, "smtp"), (4_711, "smtp"), (5, "disk")] {
        let work = peer.fetch("q");
        let message = format!("no user {number} at 'x{number}'");
        let failed = Fail { kind: class.into(), message, ..Fail::default() };
        peer.settle(&work, How::Fail(failed));
    }
    let errors = peer.rows(Query { what: What::Errors.into(), ..Query::default() }).errors;
    assert_eq!(errors.len(), 2, "{errors:?}");
    let smtp = &errors[0];
    assert_eq!((smtp.kind.as_str(), smtp.message.as_str()), ("smtp", "no user # at \"…\""));
    assert_eq!((smtp.count, smtp.dead, &smtp.sample), (2, 2, &ids[1].id));
    assert_eq!((&smtp.queues[..], &smtp.kinds[..]), (&["q".to_owned()][..], &["k".to_owned()][..]));
    assert_eq!(peer.job(&ids[0].id).error_fingerprint, smtp.fingerprint);
    let admin = |arguments: &[&str]| {
        windlass(&[&["admin"], arguments, &["--addr", broker.addr(), "--output", "json"]].concat())
    };
    let rows = admin(&["errors", "--window", "2h", "--queue", "q"]).ok().json();
    assert_eq!((&rows[0]["fingerprint"], &rows[0]["count"]), (&json!(smtp.fingerprint), &json!(2)));
    assert_eq!(admin(&["redrive", "--yes"]).code, 2);
    let redrive = admin(&["redrive", "--fingerprint", &smtp.fingerprint, "--yes"]).ok().json();
    assert_eq!((&redrive["matched"], &redrive["changed"]), (&json!(2), &json!(2)));
    assert_eq!((peer.queue("q").ready, peer.queue("q").dead), (2, 1));
    assert_eq!(peer.job(&ids[0].id).attempt, 0);
    let found = admin(&["jobs", "list", "--filter", "error:user state:dead"]).ok().json();
    assert_eq!(found.as_array().unwrap().len(), 1);
}

#[test]
fn the_command_line_counts_asks_and_paces() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue_all((0..30).map(|_| job("k")).collect());
    let jobs = |verb: &str, arguments: &[&str]| -> Answer {
        windlass(&[&["admin", "jobs", verb], arguments, &["--addr", broker.addr()]].concat())
    };
    for verb in ["retry", "cancel", "delete", "run-now", "bury"] {
        let answer = jobs(verb, &["--yes"]);
        assert_eq!(answer.code, 2, "{verb}: {answer:?}");
        assert!(answer.err.contains("--all"), "{verb}: {answer:?}");
    }
    let asked = jobs("cancel", &["--queue", "q", "--max", "20"]);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.err.contains("About to cancel 20 jobs (queue q, oldest "), "{asked:?}");
    assert!(asked.err.contains("--yes"), "{asked:?}");
    let counted = jobs("cancel", &["--queue", "q", "--dry-run", "--output", "json"]).ok().json();
    assert_eq!((&counted["changed"], counted["sample"].as_array().unwrap().len()), (&json!(30), 10));
    assert_eq!(
        jobs("move", &["--queue", "q", "--max", "5", "--to", "bulk", "--yes"]).ok().out,
        "5 of 30 found changed\n"
    );
    assert_eq!(peer.queue("bulk").ready, 5);
    assert_eq!(jobs("patch", &["--queue", "bulk", "--yes"]).code, 2, "a patch says what is new");
    let patched =
        jobs("patch", &["--queue", "bulk", "--priority", "8", "--payload", "[1]", "--new-key", "", "--yes"]);
    assert_eq!(patched.ok().out, "5 of 5 found changed\n");
    let slow =
        ["--filter", "queue:bulk", "--per-second", "1", "--reason", "test", "--yes", "--output", "json"];
    let begun = jobs("bury", &slow).ok().json();
    let id = begun["operation"].as_str().unwrap();
    let operations = |arguments: &[&str]| -> Answer {
        windlass(
            &[&["admin", "operations"], arguments, &["--addr", broker.addr(), "--output", "json"]].concat(),
        )
        .ok()
    };
    let Value::Array(rows) = operations(&[]).json() else { panic!("no rows") };
    let row = rows.iter().find(|row| row["id"] == id).unwrap();
    assert_eq!((&row["to"], &row["matched"], &row["reason"]), (&json!("bury"), &json!(5), &json!("test")));
    operations(&["stop", id]);
    let missing = hex(&fresh_id());
    let unknown = windlass(&["admin", "operations", "stop", &missing, "--addr", broker.addr()]);
    assert_eq!(unknown.code, 6, "{unknown:?}");
}
