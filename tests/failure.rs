//! What fails: who dies with a killer job and who does not, what is kept of a failure, what stands in the way
//! of a serial key, and a redrive that gives up by itself.

use crate::harness::{Broker, Peer, body, complete, eventually, fresh_id, hello, job, result_of, stream};
use bytes::Bytes;
use windlass_proto::v1::attempt::Outcome;
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::result::How;
use windlass_proto::v1::{
    Change, Changed, Code, DeadReason, Delete, Fail, Hello, JobSpec, OperationView, Ordering, Policy, Query,
    Release, Retry, Selector, SettleCode, State, Work,
};

/// A worker whose session does not outlive its connection for long.
fn mortal(addr: &str) -> Peer {
    Peer::with(addr, Hello { session_ttl_ms: 1_000, ..hello() })
}

/// All that a stream delivers until it has so many.
fn works(worker: &mut Peer, open: u64, count: usize) -> Vec<Work> {
    let mut works = Vec::new();
    while works.len() < count {
        works.extend(worker.delivery(open).jobs);
    }
    works
}

#[test]
fn innocents_beside_a_killer_job_survive_it() {
    let broker = Broker::start();
    let mut looking = broker.peer();
    let killer = looking.enqueue(job("killer"));
    let innocents = [looking.enqueue(job("innocent")), looking.enqueue(job("innocent"))];
    // Twice a worker dies with all three, and nobody can know who did it.
    for crashes in 0..2 {
        eventually("they are ready", || (looking.queue("q").ready == 3).then_some(()));
        let mut worker = mortal(broker.addr());
        let open = worker.open_stream(stream("q", 3));
        let works = works(&mut worker, open, 3);
        assert!(works.iter().all(|work| work.crashes == crashes && !work.suspect));
    }
    eventually("they are ready", || (looking.queue("q").ready == 3).then_some(()));
    // From now on each runs alone, so the third death tells.
    while looking.job(&killer).state() != State::Dead {
        let mut worker = broker.peer();
        let open = worker.open_stream(stream("q", 3));
        loop {
            let delivered = works(&mut worker, open, 1);
            assert!(delivered.len() == 1 && delivered[0].suspect, "it runs alone: {delivered:?}");
            if delivered[0].kind == "killer" {
                break;
            }
            worker.say(Request::Settle(windlass_proto::v1::Settle {
                results: vec![result_of(&delivered[0], complete("well"))],
            }));
            body!(worker.hear_answer().unwrap().1, Settled);
        }
        drop(worker);
        eventually("it is judged", || (looking.job(&killer).lease.is_none()).then_some(()));
    }
    let dead = looking.job(&killer);
    assert_eq!((dead.dead_reason(), dead.crashes), (DeadReason::Poison, 3));
    let mut worker = broker.peer();
    while innocents.iter().any(|id| looking.job(id).state() != State::Completed) {
        let work = worker.fetch("q");
        assert_ne!(work.id, killer);
        worker.settle(&work, complete("well"));
    }
    assert!(innocents.iter().all(|id| looking.job(id).crashes == 2));
}

#[test]
fn a_failure_is_kept_with_its_trace_and_who_had_it() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let id = peer
        .enqueue(JobSpec { policy: Some(Policy { max_attempts: Some(1), ..Policy::default() }), ..job("k") });
    let work = peer.fetch("q");
    let trace = "at send (mail.py:17)\n".repeat(1_000);
    let failed = Fail { kind: "smtp".into(), message: "no such user".into(), trace, ..Fail::default() };
    peer.settle(&work, How::Fail(failed.clone()));
    let job = peer.job(&id);
    let [attempt] = &job.history[..] else { panic!("{:?}", job.history) };
    assert_eq!((attempt.outcome(), attempt.attempt), (Outcome::Failed, 1));
    assert_eq!(
        (&*attempt.kind, &*attempt.message, &*attempt.worker),
        ("smtp", "no such user", "raw/1 test:7")
    );
    assert_eq!(attempt.trace, failed.trace[..16_384], "a long one is cut");
    let query = Query { what: What::Errors.into(), ..Query::default() };
    let errors = peer.rows(query).errors;
    assert_eq!((&errors[0].fingerprint, errors[0].dead), (&job.error_fingerprint, 1));
}

#[test]
fn a_settlement_counts_although_the_limit_it_closes_is_not_there() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let ids = [peer.enqueue(job("k")), peer.enqueue(job("k"))];
    let works = [peer.fetch("q"), peer.fetch("q")];
    let release = Release {
        throttle_limit: "stripe".into(),
        throttle_ms: 5_000,
        delay_ms: 60_000,
        ..Release::default()
    };
    let nameless = windlass_proto::v1::Result { id: Bytes::new(), ..result_of(&works[0], complete("")) };
    let results =
        vec![nameless, result_of(&works[0], How::Release(release)), result_of(&works[1], complete(""))];
    let answers = peer.settle_all(results);
    assert_eq!(answers[0].error.as_ref().unwrap().field, "results[0].id");
    assert_eq!((answers[1].code(), answers[1].state()), (SettleCode::Settled, State::Scheduled));
    let left = answers[1].error.as_ref().unwrap();
    assert_eq!((left.code(), &*left.field), (Code::NotFound, "results[1].release.throttle_limit"));
    assert_eq!((answers[2].code(), &answers[2].error), (SettleCode::Settled, &None));
    assert_eq!(peer.job(&ids[0]).snoozes, 1);
}

#[test]
fn a_dead_job_at_the_head_of_a_serial_key_is_named_and_may_be_taken_out_of_the_way() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let policy =
        Policy { ordering: Some(Ordering::Serial.into()), max_attempts: Some(1), ..Policy::default() };
    let spec = || JobSpec { key: "anna".into(), policy: Some(policy.clone()), ..job("k") };
    let (head, next) = (peer.enqueue(spec()), peer.enqueue(spec()));
    let work = peer.fetch("q");
    peer.settle(&work, How::Fail(Fail::default()));
    assert_eq!(peer.job(&head).state(), State::Dead);
    let select = Some(Selector { ids: vec![next.clone()], ..Selector::default() });
    let explained = peer.rows(Query { what: What::Explain.into(), select, ..Query::default() }).explains;
    let reason = &explained[0].reasons[0];
    assert_eq!((&*reason.code, &*reason.name), ("serial", &*crate::harness::hex(&head)));
    assert!(reason.text.contains("is dead"), "{}", reason.text);
    assert_eq!(peer.change(&head, To::Delete(Delete {})).changed, 1);
    assert_eq!(peer.fetch("q").id, next);
}

fn ended(peer: &mut Peer, id: &Bytes) -> OperationView {
    eventually("the change ends", || {
        let rows = peer.rows(Query { what: What::Operations.into(), ..Query::default() }).operations;
        rows.into_iter().find(|row| row.id == *id && row.finished_at_ms > 0)
    })
}

#[test]
fn a_guarded_redrive_gives_up_when_too_much_fails_again_and_a_spread_one_takes_its_time() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let one = Policy { max_attempts: Some(1), ..Policy::default() };
    let spec = || JobSpec { policy: Some(one.clone()), ..job("k") };
    peer.enqueue_all((0..50).map(|_| spec()).collect());
    let mut worker = broker.peer();
    let open = worker.open_stream(stream("q", 50));
    let fail_all = |worker: &mut Peer, count: usize| {
        let mut failed = 0;
        while failed < count {
            let (_, said) = worker.hear_answer().unwrap();
            let windlass_proto::v1::server_frame::Body::Deliver(delivered) = said else { continue };
            failed += delivered.jobs.len();
            let fail = || How::Fail(Fail { fatal: true, ..Fail::default() });
            let results = delivered.jobs.iter().map(|work| result_of(work, fail())).collect();
            worker.say(Request::Settle(windlass_proto::v1::Settle { results }));
        }
        open
    };
    fail_all(&mut worker, 50);
    eventually("all are dead", || (peer.queue("q").dead == 50).then_some(()));
    let redrive = |to: Retry| Change {
        select: Some(Selector { queue: "q".into(), states: vec![State::Dead.into()], ..Selector::default() }),
        to: Some(To::Retry(to)),
        operation: fresh_id(),
        ..Change::default()
    };
    let guarded = Change { stop_failure_permille: 300, ..redrive(Retry::default()) };
    let counted: Changed =
        body!(peer.ask(Request::Change(Change { dry_run: true, ..guarded.clone() })), Changed);
    assert_eq!((counted.matched, counted.changed), (50, 50));
    let begun: Changed = body!(peer.ask(Request::Change(guarded.clone())), Changed);
    assert_eq!((begun.matched, begun.changed, &begun.operation), (50, 0, &guarded.operation));
    fail_all(&mut worker, 20);
    let over = ended(&mut peer, &guarded.operation);
    assert_eq!((over.changed, &*over.stopped_why), (20, "20 of 20 failed again"));
    let audit = peer.rows(Query { what: What::Audit.into(), newest_first: true, ..Query::default() }).audits;
    assert_eq!(
        (&*audit[0].verb, audit[0].changed, &*audit[0].reason),
        ("retry", 20, "20 of 20 failed again")
    );
    drop(worker);

    let spread = redrive(Retry { spread_ms: 36_000_000, ..Retry::default() });
    body!(peer.ask(Request::Change(spread.clone())), Changed);
    let over = ended(&mut peer, &spread.operation);
    assert_eq!((over.changed, &*over.stopped_why), (50, ""));
    let select = Some(Selector { queue: "q".into(), ..Selector::default() });
    let rows = peer.rows(Query { what: What::Jobs.into(), select, limit: 100, ..Query::default() }).jobs;
    let mut times: Vec<u64> = rows.iter().map(|row| row.run_at_ms).filter(|at| *at > 0).collect();
    times.sort_unstable();
    assert_eq!(times.len(), 49, "the first one runs at once");
    let apart = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(apart.into_iter().all(|ms| ms == 720_000), "evenly: {times:?}");
}
