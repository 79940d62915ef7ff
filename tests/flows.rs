//! Jobs that wait for jobs, groups, and what follows from a run, over the wire, through the client and on
//! the command line.

use crate::harness::{
    Broker, complete, eventually, fail, fetch_once, fresh_id, hex, job, result_of, windlass,
};
use bytes::Bytes;
use windlass_client::proto::DepPolicy;
use windlass_client::{Client, ErrorKind, JobContext, JobError, NewJob};
use windlass_proto::v1::after::On;
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{
    self, After, Cancel, Change, Code, Confirm, DeadReason, Delete, Enqueue, JobSpec, Query, Selector,
    SettleCode, State, query::What,
};

fn after(id: &Bytes, on: On) -> After {
    After { job: id.clone(), index: 0, on: on.into() }
}

fn waits(id: &Bytes) -> JobSpec {
    JobSpec { after: vec![after(id, On::Success)], ..job("k") }
}

fn group() -> JobSpec {
    JobSpec { kind: String::new(), ..job("") }
}

fn states(peer: &mut crate::harness::Peer, ids: &[Bytes]) -> Vec<State> {
    ids.iter().map(|id| peer.job(id).state()).collect()
}

#[test]
fn a_diamond_runs_in_its_order_and_says_what_it_waits_for() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let place = |index, on: On| After { index, on: on.into(), ..After::default() };
    let all = |places: &[u32]| JobSpec {
        after: places.iter().map(|&index| place(index, On::Unspecified)).collect(),
        ..job("k")
    };
    let ones = peer.enqueue_all(vec![job("k"), all(&[1]), all(&[1]), all(&[2, 3])]);
    let ids: Vec<Bytes> = ones.iter().map(|one| one.id.clone()).collect();
    assert_eq!(ones.iter().map(v1::enqueued::One::state).collect::<Vec<_>>()[1..], [State::Blocked; 3]);
    let select = Selector { ids: vec![ids[3].clone()], ..Selector::default() };
    let query = Query { what: What::Explain.into(), select: Some(select), ..Query::default() };
    let why = peer.rows(query).explains.remove(0).reasons.remove(0);
    let text = format!("waiting for 2 of 2 jobs [{} {}]", hex(&ids[1]), hex(&ids[2]));
    assert_eq!((why.code.as_str(), why.text), ("blocked", text));
    let first = peer.fetch("q");
    peer.settle(&first, complete(""));
    for _ in 0..2 {
        let side = peer.fetch("q");
        assert_eq!(side.after, [ids[0].clone()]);
        peer.settle(&side, complete(""));
    }
    let last = peer.fetch("q");
    assert_eq!((&last.id, &last.after[..]), (&ids[3], &ids[1..3]));
    assert_eq!(peer.job(&ids[3]).after, Vec::<Bytes>::new());
}

#[test]
fn an_end_otherwise_than_asked_does_what_the_policy_says() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let first = peer.enqueue(job("k"));
    let with = |policy: DepPolicy| JobSpec { dep_policy: policy.into(), ..waits(&first) };
    let policies = [DepPolicy::AllOrCancel, DepPolicy::AllOrHold, DepPolicy::AllOrRun, DepPolicy::Any];
    let ids: Vec<Bytes> = policies.map(|policy| peer.enqueue(with(policy))).into();
    let work = peer.fetch("q");
    peer.settle(&work, fatal());
    let expected = [State::Cancelled, State::Held, State::Ready, State::Dead];
    assert_eq!(states(&mut peer, &ids), expected);
    assert_eq!(peer.job(&ids[3]).dead_reason(), DeadReason::Dependency);
    assert_eq!(peer.change(&ids[1], To::Confirm(Confirm {})).changed, 1);
    assert_eq!(peer.job(&ids[1]).state(), State::Ready);
}

fn fatal() -> v1::result::How {
    let v1::result::How::Fail(failed) = fail("no") else { unreachable!() };
    v1::result::How::Fail(v1::Fail { fatal: true, ..failed })
}

#[test]
fn what_cannot_be_waited_for_is_refused_at_its_field_and_nothing_is_stored() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let other = v1::Hello { namespace: "other".into(), ..crate::harness::hello() };
    let foreign = crate::harness::Peer::with(broker.addr(), other).enqueue(job("k"));
    let at = |index| After { index, ..After::default() };
    let of = |after: Vec<After>| JobSpec { after, ..job("k") };
    let own = fresh_id();
    let itself = JobSpec { id: own.clone(), ..of(vec![after(&own, On::Success)]) };
    let later = fresh_id();
    for (code, field, jobs) in [
        (Code::NotFound, "jobs[0].after[0].job", vec![waits(&fresh_id())]),
        (Code::NotFound, "jobs[0].after[0].job", vec![waits(&foreign)]),
        (Code::Invalid, "jobs[0].after[0].job", vec![itself]),
        (
            Code::Invalid,
            "jobs[0].after[0].job",
            vec![waits(&later), JobSpec { id: later.clone(), ..job("k") }],
        ),
        (Code::Invalid, "jobs[0].after[0].index", vec![of(vec![at(1)])]),
        (Code::Invalid, "jobs[1].after[1].index", vec![job("k"), of(vec![at(1), at(1)])]),
        (Code::Invalid, "jobs[1].after[0].index", vec![job("k"), of(vec![at(2)])]),
        (Code::Invalid, "jobs[0].after[0].job", vec![of(vec![After::default()])]),
        (Code::Invalid, "jobs[0].dep_policy", vec![JobSpec { dep_policy: 4, ..job("k") }]),
        (Code::NotFound, "jobs[0].group", vec![JobSpec { group: fresh_id(), ..job("k") }]),
        (Code::Invalid, "jobs[0].kind", vec![JobSpec { payload: Bytes::from_static(b"x"), ..group() }]),
        (Code::Invalid, "jobs[0].kind", vec![JobSpec { id: Bytes::new(), ..group() }]),
    ] {
        let before = peer.server().jobs;
        let answer = peer.ask(Request::Enqueue(Enqueue { jobs, ..Enqueue::default() }));
        let Body::Error(refusal) = answer else { panic!("{answer:?}") };
        assert_eq!((refusal.code(), refusal.field.as_str()), (code, field), "{}", refusal.message);
        assert_eq!(peer.server().jobs, before, "{field}");
    }
}

#[test]
fn a_group_ends_once_and_its_parts_are_paged() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let group = group();
    let part = || JobSpec { group: group.id.clone(), ..job("part") };
    let done = waits(&group.id);
    let failed = JobSpec { after: vec![after(&group.id, On::Failure)], ..job("k") };
    peer.enqueue_all(vec![group.clone(), part(), part(), part(), done.clone(), failed.clone()]);
    let works = peer.poll(fetch_once("q", 9));
    assert_eq!(works.len(), 3);
    let v1::Result { id, fence, how, .. } = result_of(&works[0], complete("1"));
    let from_inside = JobSpec { id: fresh_id(), ..part() };
    let spawn = vec![from_inside.clone()];
    let settled = peer.settle_all(vec![v1::Result { id, fence, how, spawn, ..v1::Result::default() }]);
    assert_eq!(settled[0].code(), SettleCode::Settled);
    peer.settle(&works[1], complete("2"));
    peer.settle(&works[2], complete("3"));
    let view = peer.job(&group.id);
    assert_eq!((view.state(), view.progress_permille), (State::Blocked, 750));
    assert_eq!(view.note, "3 of 4 completed");
    let last = peer.fetch("q");
    assert_eq!(last.id, from_inside.id, "what a member spawns counts before it has ended");
    peer.settle(&last, complete("4"));
    assert_eq!(states(&mut peer, &[group.id.clone(), failed.id]), [State::Completed, State::Cancelled]);
    assert_eq!(peer.fetch("q").id, done.id);
    let select = Some(Selector { group: group.id.clone(), ..Selector::default() });
    let fields = vec!["result".into()];
    let mut query = Query { what: What::Jobs.into(), select, fields, limit: 3, ..Query::default() };
    let page = peer.rows(query.clone());
    assert_eq!((page.total, page.jobs.len()), (4, 3));
    assert!(page.jobs.iter().all(|job| job.group == group.id && !job.result.is_empty()));
    query.cursor = page.cursor;
    assert_eq!(peer.rows(query).jobs.len(), 1);
}

#[test]
fn an_outcome_and_what_follows_are_one_write_and_a_second_sending_changes_nothing() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue(job("k"));
    let work = peer.fetch("q");
    let next = JobSpec { id: fresh_id(), delay_ms: 3_600_000, ..job("next") };
    let with = |spawn| v1::Result { spawn, ..result_of(&work, complete("")) };
    let refused = peer.settle_all(vec![with(vec![next.clone(), waits(&fresh_id())])]).remove(0);
    assert_eq!((refused.code(), refused.state()), (SettleCode::SpawnRejected, State::Leased));
    let error = refused.error.unwrap();
    assert_eq!((error.code(), error.field.as_str()), (Code::NotFound, "results[0].spawn[1].after[0].job"));
    let bad = peer.settle_all(vec![with(vec![JobSpec { kind: "a b".into(), ..job("k") }])]).remove(0);
    assert_eq!(bad.code(), SettleCode::SpawnRejected);
    assert_eq!(bad.error.unwrap().field, "results[0].spawn[0].kind");
    assert_eq!(peer.settle_all(vec![with(vec![next.clone()])])[0].code(), SettleCode::Settled);
    broker.kill();
    broker.restart();
    let mut peer = crate::harness::Peer::with(broker.addr(), peer.coming_back(None));
    let again = peer.settle_all(vec![with(vec![next.clone(), JobSpec { id: fresh_id(), ..job("k") }])]);
    assert_eq!(again[0].code(), SettleCode::AlreadySettled);
    assert_eq!(peer.job(&next.id).state(), State::Scheduled);
    let queue = peer.queue("q");
    assert_eq!((queue.scheduled, queue.ready), (1, 0));
}

#[test]
fn thousands_wait_for_one_and_a_kill_in_the_middle_loses_nobody() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    let first = peer.enqueue(job("k"));
    for _ in 0..3 {
        peer.enqueue_all((0..5_000).map(|_| waits(&first)).collect());
    }
    let work = peer.fetch("q");
    // The answer leaves when the end is on disk; telling everybody takes several further turns.
    peer.settle(&work, complete(""));
    broker.kill();
    broker.restart();
    let mut peer = broker.peer();
    eventually("all of them are ready", || {
        let queue = peer.queue("q");
        assert_eq!(queue.ready + queue.blocked, 15_000);
        (queue.blocked == 0).then_some(())
    });
    let called_off = peer.enqueue(JobSpec { delay_ms: 3_600_000, ..job("k") });
    let specs = (0..6_000).map(|_| JobSpec { after: vec![after(&called_off, On::Finish)], ..job("late") });
    peer.enqueue_all(specs.collect());
    let cancel = To::Cancel(Cancel { dependents: true, ..Cancel::default() });
    assert_eq!(peer.change(&called_off, cancel).changed, 1);
    broker.kill();
    broker.restart();
    let mut peer = broker.peer();
    eventually("all of them are called off", || (peer.queue("q").cancelled >= 6_001).then_some(()));
    assert_eq!(peer.queue("q").blocked, 0);
}

#[test]
fn a_deleted_job_is_waited_for_no_longer() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let first = peer.enqueue(job("k"));
    let one = peer.enqueue(waits(&first));
    let other = peer.enqueue(JobSpec { after: vec![after(&first, On::Finish)], ..job("k") });
    let select = Some(Selector { ids: vec![first], ..Selector::default() });
    let change = Change { select, to: Some(To::Delete(Delete {})), ..Change::default() };
    peer.ask(Request::Change(change));
    assert_eq!(states(&mut peer, &[one, other]), [State::Cancelled, State::Ready]);
}

#[tokio::test]
async fn the_client_builds_flows_and_handlers_spawn() {
    let broker = Broker::start();
    let client = Client::connect(broker.addr()).await.unwrap();
    let spread = async |ctx: JobContext| -> Result<(), JobError> {
        for part in 0..3 {
            ctx.spawn(NewJob::new("part").payload(part.to_string()).group(ctx_group(&ctx)?))?;
        }
        Ok(())
    };
    let worker = client
        .worker()
        .handle_raw("spread", spread)
        .handle_raw("part", async |ctx: JobContext| Ok::<_, JobError>(ctx.payload().clone()))
        .handle_raw("join", async |ctx: JobContext| Ok::<_, JobError>(ctx.after()?.len().to_string()))
        .start();
    let group = NewJob::new_group();
    let id = group.job_id();
    let join = NewJob::new("join").after(id);
    let joined = join.job_id();
    let spread = NewJob::new("spread").group(id).payload(id.to_string());
    client.enqueue_many([group, spread, join]).await.unwrap();
    let ended = client.wait([joined]).await.unwrap().remove(0);
    assert_eq!((ended.state, &ended.result[..]), (State::Completed, &b"1"[..]));
    let view = client.admin().job(id).await.unwrap().unwrap();
    assert_eq!((view.state(), view.note.as_str()), (State::Completed, "4 of 4 completed"));
    let unknown = client.enqueue(NewJob::new("k").after(windlass_client::JobId::new())).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Refused(Code::NotFound));
    worker.stop().await.unwrap();
}

fn ctx_group(ctx: &JobContext) -> Result<windlass_client::JobId, JobError> {
    std::str::from_utf8(ctx.payload())?.parse().map_err(JobError::from)
}

#[test]
fn the_command_line_ties_jobs_together_and_shows_it() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let group = group();
    peer.enqueue(JobSpec { hold: true, ..group.clone() });
    let run = |args: &[&str]| {
        windlass(&[args, &["--addr", broker.addr(), "--output", "json"]].concat()).ok().json()
    };
    let enqueued = |args: &[&str]| {
        let rows = run(&[&["enqueue", "k", "--queue", "q"], args].concat());
        rows[0]["id"].as_str().unwrap().to_owned()
    };
    let group_id = hex(&group.id);
    let first = enqueued(&["--group", &group_id]);
    let second = enqueued(&["--after", &format!("{first}:finish"), "--dep-policy", "run"]);
    let shown = run(&["admin", "jobs", "show", &second]);
    assert_eq!((&shown["state"], &shown["waits_for"][0]), (&"blocked".into(), &first.clone().into()));
    for which in [["--group", &group_id], ["--filter", &format!("group:{group_id} kind:k")]] {
        let listed = run(&[&["admin", "jobs", "list"], &which[..]].concat());
        assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &first.clone().into()));
    }
    run(&["admin", "jobs", "cancel", &first, "--dependents", "--yes"]);
    eventually("both are called off", || (peer.queue("q").cancelled == 2).then_some(()));
}
