//! Choosing jobs by selector and filter, over the wire and from the command line.

use crate::harness::{Broker, Peer, complete, fail, job, windlass};
use bytes::Bytes;
use serde_json::Value;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{JobSpec, JobView, Query, Selector, State};

/// The kinds of the jobs that a filter finds, oldest first.
fn kinds(peer: &mut Peer, filter: &str) -> Vec<String> {
    let select = Selector { filter: filter.into(), all: filter.is_empty(), ..Selector::default() };
    found(peer, select, &[]).into_iter().map(|job| job.kind).collect()
}

fn found(peer: &mut Peer, select: Selector, fields: &[&str]) -> Vec<JobView> {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    peer.rows(Query { what: What::Jobs.into(), select: Some(select), fields, ..Query::default() }).jobs
}

/// Jobs in several states: `done` completed, `broken` waits for its second attempt, `busy` runs, `later`
/// is scheduled, and two are ready.
fn scene(peer: &mut Peer) -> Vec<Bytes> {
    let mail = |kind: &str| JobSpec { queue: "mail".into(), payload: "12345".into(), ..job(kind) };
    let hour = JobSpec { delay_ms: 3_600_000, ..mail("later") };
    let ids = ["done", "broken", "busy"].map(|kind| peer.enqueue(mail(kind)));
    let done = peer.fetch("mail");
    peer.settle(&done, complete("fine"));
    let broken = peer.fetch("mail");
    peer.settle(&broken, fail("no such host"));
    let mut running = [peer.fetch("mail").kind, peer.fetch("mail").kind];
    running.sort();
    assert_eq!(running, ["broken", "busy"]);
    let ready = JobSpec { key: "anna".into(), tags: vec!["vip".into(), "eu".into()], ..job("email.in") };
    let rest = [hour, ready, job("email.out")].map(|spec| peer.enqueue(spec));
    ids.into_iter().chain(rest).collect()
}

#[test]
fn a_filter_finds_jobs_by_every_column() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let ids = scene(&mut peer);
    let session: String = peer.sessions()[0].id.iter().map(|byte| format!("{byte:02x}")).collect();
    let id: String = ids[3].iter().map(|byte| format!("{byte:02x}")).collect();
    for (filter, expected) in [
        ("state:completed", &["done"][..]),
        ("state:leased,completed -kind:busy", &["done", "broken"]),
        ("queue:mail", &["done", "broken", "busy", "later"]),
        ("queue:m*,nothing kind:b*", &["broken", "busy"]),
        ("key:anna", &["email.in"]),
        ("tag:v*", &["email.in"]),
        ("tag:eu -tag:vip", &[]),
        ("kind:email.*", &["email.in", "email.out"]),
        ("kind:\"email.*\"", &[]),
        ("attempt:>1", &["broken"]),
        ("attempt:1..2 deliveries:1", &["done", "busy"]),
        ("size:>=5 state:scheduled,ready", &["later"]),
        ("run_at:>+30m", &["later"]),
        ("age:>1h", &[]),
        ("age:<1h finished:>-1h", &["done"]),
        ("created:>2020-01-01 leased:<+1m", &["broken", "busy"]),
        ("crashes:0 snoozes:0 priority:4 state:ready", &["email.in", "email.out"]),
        (&format!("session:{session}"), &["broken", "busy"]),
        (&format!("id:{id}"), &["later"]),
    ] {
        assert_eq!(kinds(&mut peer, filter), expected, "{filter}");
    }
    let by_ids = Selector { ids: vec![ids[0].clone(), ids[4].clone()], ..Selector::default() };
    let both = found(&mut peer, by_ids.clone(), &[]);
    assert_eq!([both[0].kind.as_str(), &both[1].kind], ["done", "email.in"]);
    let ready = found(&mut peer, Selector { states: vec![State::Ready.into()], ..by_ids }, &[]);
    assert_eq!(ready.len(), 1, "fields and ids are both obeyed");
}

#[test]
fn pages_show_the_fields_that_were_asked_for() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    scene(&mut peer);
    let mail = || Selector { queue: "mail".into(), ..Selector::default() };
    let plain = found(&mut peer, mail(), &[]);
    assert!(
        plain.iter().all(|job| job.payload.is_empty() && job.result.is_empty() && job.history.is_empty())
    );
    let shown = found(&mut peer, mail(), &["payload", "result", "history", "headers"]);
    assert!(shown.iter().all(|job| &job.payload[..] == b"12345"));
    assert_eq!((&shown[0].result[..], &*shown[1].history[0].message), (&b"fine"[..], "no such host"));
}

#[test]
fn the_command_line_passes_filters_on() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    scene(&mut peer);
    let list = |arguments: &[&str]| {
        let common = ["--addr", broker.addr(), "--output", "json", "--oldest-first"];
        windlass(&[&["admin", "jobs", "list"], arguments, &common].concat())
    };
    let kinds = |arguments: &[&str]| -> Vec<String> {
        let Value::Array(rows) = list(arguments).ok().json() else { panic!("no rows") };
        rows.iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&["--filter", "kind:email.* -key:anna"]), ["email.out"]);
    assert_eq!(kinds(&["--queue", "mail", "--state", "leased", "--filter", "attempt:2"]), ["broken"]);
    assert_eq!(kinds(&["--tag", "vip", "--tag", "eu"]), ["email.in"]);
    assert!(kinds(&["--tag", "vip", "--tag", "us"]).is_empty());
    let wrong = list(&["--filter", "colour:red"]);
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.err.contains("\\\"colour\\\" is no column") && wrong.err.contains("state, queue"),
        "{}",
        wrong.err
    );
}
