//! Jobs that are unique by a key, and jobs that wait for their producer's word, over the wire and through
//! the client.

use crate::harness::{Broker, complete, eventually, fail, fresh_id, hex, job, windlass};
use std::time::Duration;
use windlass_client::{Client, Dedup as ClientDedup, ErrorKind, NewJob};
use windlass_proto::v1::dedup::{OnConflict, Until};
use windlass_proto::v1::enqueued::{One, Outcome};
use windlass_proto::v1::{
    Change, Code, Confirm, Dedup, JobSpec, Selector, State, change::To, client_frame::Request,
};

fn unique(key: &str, on_conflict: OnConflict, until: Until) -> JobSpec {
    let dedup =
        Dedup { key: key.into(), until: until.into(), on_conflict: on_conflict.into(), ..Dedup::default() };
    JobSpec { dedup: Some(dedup), ..job("k") }
}

fn said(one: &One) -> (Outcome, State) {
    (one.outcome(), one.state())
}

#[test]
fn the_answer_names_the_holder_and_the_key_is_free_when_it_ends() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let spec = || unique("x", OnConflict::KeepOld, Until::Finish);
    let first = peer.enqueue_all(vec![spec(), spec()]);
    assert_eq!(
        (said(&first[0]), said(&first[1])),
        ((Outcome::Created, State::Ready), (Outcome::Duplicate, State::Ready))
    );
    assert_eq!((&first[1].id, first[1].seq), (&first[0].id, first[0].seq));
    assert_eq!(peer.job(&first[0].id).dedup_key, "x");
    let work = peer.fetch("q");
    let refused = peer.enqueue_all(vec![unique("x", OnConflict::Reject, Until::Finish)]).remove(0);
    assert_eq!(said(&refused), (Outcome::Rejected, State::Leased));
    assert_eq!((refused.error.unwrap().code(), refused.id), (Code::Exhausted, first[0].id.clone()));
    peer.settle(&work, complete("done"));
    let next = peer.enqueue_all(vec![spec()]).remove(0);
    assert_eq!(said(&next), (Outcome::Created, State::Ready));
    assert_eq!(peer.job(&first[0].id).dedup_key, "", "it does not hold it any more");
}

#[test]
fn a_window_makes_a_cache_of_results_that_survives_kill_9() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    let mut spec = unique("x", OnConflict::KeepOld, Until::Window);
    spec.dedup.as_mut().unwrap().window_ms = 3_600_000;
    let id = peer.enqueue(spec.clone());
    let work = peer.fetch("q");
    peer.settle(&work, complete("forty-two"));
    broker.kill();
    broker.restart();
    let mut peer = broker.peer();
    let again = peer.enqueue_all(vec![JobSpec { id: fresh_id(), ..spec }]).remove(0);
    assert_eq!(said(&again), (Outcome::Duplicate, State::Completed));
    assert_eq!((&again.id, &again.result[..]), (&id, &b"forty-two"[..]));
}

#[test]
fn a_waiting_job_is_replaced_or_grows_and_a_second_sending_changes_nothing() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    let with = |payload: &'static str, on_conflict| JobSpec {
        payload: payload.into(),
        ..unique("x", on_conflict, Until::Start)
    };
    let first = peer.enqueue(JobSpec { delay_ms: 3_600_000, ..with("one", OnConflict::Replace) });
    let second = with("two", OnConflict::Replace);
    let replaced = peer.enqueue_all(vec![second.clone()]).remove(0);
    assert_eq!((said(&replaced), replaced.id), ((Outcome::Replaced, State::Ready), first.clone()));
    let third = peer.enqueue_all(vec![with("three", OnConflict::Replace)]).remove(0);
    assert_eq!(third.outcome(), Outcome::Replaced);
    let again = peer.enqueue_all(vec![second]).remove(0);
    assert_eq!(again.outcome(), Outcome::Duplicate, "what was taken is not taken twice");
    assert_eq!(peer.fetch("q").payload, "three");

    let items: Vec<JobSpec> = ["a", "bb", "ccc"].map(|item| with(item, OnConflict::Append)).into();
    let outcomes: Vec<Outcome> = peer.enqueue_all(items.clone()).iter().map(One::outcome).collect();
    assert_eq!(outcomes, [Outcome::Created, Outcome::Appended, Outcome::Appended]);
    assert_eq!(peer.enqueue_all(items)[2].outcome(), Outcome::Duplicate);
    broker.kill();
    broker.restart();
    assert_eq!(broker.peer().fetch("q").payload, "\u{1}a\u{2}bb\u{3}ccc");
}

#[test]
fn the_newest_runs_after_the_running_one_or_in_its_place() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    for on_conflict in [OnConflict::RunAfter, OnConflict::CancelRunning] {
        let spec = || unique("x", on_conflict, Until::Finish);
        peer.enqueue(spec());
        let work = peer.fetch("q");
        let next = peer.enqueue_all(vec![spec()]).remove(0);
        assert_eq!(said(&next), (Outcome::QueuedAfter, State::Blocked));
        let asked = on_conflict == OnConflict::CancelRunning;
        assert_eq!(peer.job(&work.id).cancel_requested, asked);
        peer.settle(&work, fail("it failed"));
        let state = if asked { State::Cancelled } else { State::Leased };
        if !asked {
            let again = peer.fetch("q");
            assert_eq!(again.id, work.id, "the next waits through retries");
            assert_eq!(peer.job(&work.id).state(), state);
            peer.settle(&again, complete(""));
        }
        let work = peer.fetch("q");
        assert_eq!(work.id, next.id);
        peer.settle(&work, complete(""));
    }
}

#[test]
fn a_held_job_waits_for_its_confirmation() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let held = JobSpec { hold: true, ..job("k") };
    let ids = [peer.enqueue(held.clone()), peer.enqueue(JobSpec { id: fresh_id(), ..held })];
    assert_eq!(peer.queue("q").held, 2);
    assert_eq!(peer.change(&ids[0], To::Confirm(Confirm {})).changed, 1);
    assert_eq!(peer.fetch("q").id, ids[0]);
    assert_eq!(peer.job(&ids[1]).state(), State::Held);
    let answer = windlass(&["admin", "jobs", "confirm", &hex(&ids[1]), "--addr", broker.addr()]).ok();
    assert_eq!(answer.lines(), ["1 of 1 found changed"]);
    assert_eq!(peer.fetch("q").id, ids[1]);

    let short = JobSpec { hold: true, hold_ttl_ms: 1, ..job("k") };
    let runs = JobSpec { id: fresh_id(), run_on_hold_timeout: true, ..short.clone() };
    let gone = peer.enqueue(short);
    eventually("it expires", || (peer.job(&gone).state() == State::Expired).then_some(()));
    let id = peer.enqueue(runs);
    assert_eq!(peer.fetch("q").id, id);
}

#[test]
fn contradictions_are_refused_at_their_field() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let cases = [
        ("jobs[0].dedup.key", unique("", OnConflict::KeepOld, Until::Finish)),
        ("jobs[0].dedup.window_ms", unique("x", OnConflict::KeepOld, Until::Window)),
        ("jobs[0].dedup.on_conflict", unique("x", OnConflict::RunAfter, Until::Start)),
        ("jobs[0].hold_ttl_ms", JobSpec { hold_ttl_ms: 1, ..job("k") }),
        ("jobs[0].run_on_hold_timeout", JobSpec { run_on_hold_timeout: true, ..job("k") }),
    ];
    for (field, spec) in cases {
        let enqueue = windlass_proto::v1::Enqueue { jobs: vec![spec], ..Default::default() };
        let error = peer.refused(Request::Enqueue(enqueue));
        assert_eq!((error.code(), error.field.as_str()), (Code::Invalid, field));
    }
    let nobody =
        Change { select: Some(Selector::default()), to: Some(To::Confirm(Confirm {})), ..Change::default() };
    assert_eq!(peer.refused(Request::Change(nobody)).code(), Code::Invalid);
    assert_eq!(peer.server().jobs, 0);
}

#[tokio::test]
async fn the_client_says_it_in_one_line() {
    let broker = Broker::start();
    let client = Client::connect(broker.addr()).await.unwrap();
    let new = |dedup| NewJob::new("k").queue("q").payload("p").dedup(dedup);
    let first = client.enqueue(new(ClientDedup::key("x").append())).await.unwrap();
    let more = client.enqueue(new(ClientDedup::key("x").append())).await.unwrap();
    assert_eq!((more.outcome, more.id), (Outcome::Appended, first.id));
    let error = client.enqueue(new(ClientDedup::key("x").reject())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused(Code::Exhausted));
    assert!(error.message().contains(&first.id.to_string()), "{error}");
    let held = client.enqueue(NewJob::new("k").hold_for(Duration::from_secs(60))).await.unwrap();
    assert_eq!(held.state, State::Held);
    assert_eq!(client.admin().confirm([held.id]).await.unwrap().changed, 1);
    let (items, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let worker = client
        .worker()
        .queues(["q"])
        .handle_raw("k", move |ctx| {
            let items = items.clone();
            async move {
                items.send(ctx.items()).unwrap();
                Ok(())
            }
        })
        .start();
    assert_eq!(arrived.recv().await.unwrap().unwrap(), ["p", "p"]);
    worker.stop().await.unwrap();
}

#[test]
fn the_command_line_says_it_too() {
    let broker = Broker::start();
    let enqueue = |flags: &[&str]| {
        let common = ["enqueue", "k", "{}", "--addr", broker.addr(), "--output", "json", "--dedup", "x"];
        windlass(&[&common, flags].concat()).ok().json()[0].clone()
    };
    let first = enqueue(&["--hold", "2h"]);
    assert_eq!(first["state"], "held");
    assert_eq!(enqueue(&[])["id"], first["id"]);
    assert_eq!(enqueue(&["--on-conflict", "replace"])["outcome"], "replaced");
}
