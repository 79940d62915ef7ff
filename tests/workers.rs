//! A word to workers: who is told what, what the broker makes of it by itself, and what a worker does.

use crate::harness::{
    Broker, ExampleWorker, Peer, body, complete, eventually, fetch_once, hello, hex, job, stream, windlass,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use windlass_client::{Client, JobContext, JobError};
use windlass_proto::v1::beat::Phase;
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::hello::Running;
use windlass_proto::v1::signal::Type;
use windlass_proto::v1::{
    Beat, Change, Changed, Code, Error, Hello, Selector, SessionView, State, Tell, Touch,
};

fn labelled(addr: &str, labels: &[(&str, &str)]) -> Peer {
    let labels = labels.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    Peer::with(addr, Hello { labels, ..hello() })
}

fn words(order: Type) -> Tell {
    Tell { r#type: order.into(), ..Tell::default() }
}

fn by_label(name: &str, value: &str, order: Type) -> Change {
    let labels = [(name.to_owned(), value.to_owned())].into();
    Change { to: Some(To::Tell(Tell { labels, ..words(order) })), ..Change::default() }
}

fn by_session(peer: &Peer, order: Type) -> Change {
    let select = Some(Selector { session: peer.welcome.session.clone(), ..Selector::default() });
    Change { select, to: Some(To::Tell(words(order))), ..Change::default() }
}

fn told(peer: &mut Peer, change: Change) -> Changed {
    body!(peer.ask(Request::Change(change)), Changed)
}

fn view(peer: &mut Peer, session: &[u8]) -> SessionView {
    peer.sessions().into_iter().find(|row| row.id == session).unwrap()
}

#[test]
fn a_quiet_session_gets_no_further_job_whatever_it_does_until_it_may_again() {
    let mut broker = Broker::start();
    let mut operator = broker.peer();
    let mut old = labelled(broker.addr(), &[("version", "1.2")]);
    let mut new = labelled(broker.addr(), &[("version", "1.3")]);
    let first = operator.enqueue(job("k"));
    let held = old.fetch("q");
    assert_eq!(held.id, first);

    let changed = told(&mut operator, by_label("version", "1.2", Type::Quiet));
    assert_eq!((changed.matched, changed.changed), (1, 1));
    assert_eq!(changed.sample, [old.welcome.session.clone()]);
    assert_eq!(old.signal().r#type(), Type::Quiet);
    assert_eq!(view(&mut operator, &old.welcome.session).phase(), Phase::Quiet);
    let second = operator.enqueue(job("k"));
    let short = windlass_proto::v1::Fetch { wait_ms: 1, ..fetch_once("q", 1) };
    assert!(old.poll(short).is_empty(), "it asks all the same");
    let work = new.fetch("q");
    assert_eq!(work.id, second);
    new.settle(&work, complete(""));
    old.settle(&held, complete(""));

    broker.kill();
    broker.restart();
    let mut operator = broker.peer();
    let mut old = Peer::with(broker.addr(), old.coming_back(Some(Running::default())));
    assert_eq!(old.signal().r#type(), Type::Quiet, "who comes back hears it again");
    let third = operator.enqueue(job("k"));
    let open = old.open_stream(stream("q", 1));
    old.beat();
    assert_eq!(operator.queue("q").waiting_streams, 0, "it does not wait for anything");
    let resume = by_session(&old, Type::Resume);
    assert_eq!(told(&mut operator, resume).changed, 1);
    assert_eq!(old.delivery(open).jobs[0].id, third);
    assert_eq!(old.signal().r#type(), Type::Resume);
}

#[test]
fn sessions_are_told_one_after_the_other_and_the_last_word_counts() {
    let broker = Broker::start();
    let mut operator = broker.peer();
    let mut peers: Vec<Peer> = (0..3).map(|_| labelled(broker.addr(), &[("role", "worker")])).collect();
    peers.sort_by_key(|peer| peer.welcome.session.clone());
    let slowly = |order, within_ms| {
        let mut change = by_label("role", "worker", order);
        if let Some(To::Tell(tell)) = &mut change.to {
            tell.within_ms = within_ms;
        }
        change
    };
    let dry = Change { dry_run: true, ..slowly(Type::Terminate, 0) };
    assert_eq!(told(&mut operator, dry).changed, 3);
    assert_eq!(told(&mut operator, slowly(Type::Terminate, 86_400_000)).changed, 3);
    assert_eq!(peers[0].signal().r#type(), Type::Terminate);
    let phases = |operator: &mut Peer, peers: &[Peer]| -> Vec<Phase> {
        peers.iter().map(|peer| view(operator, &peer.welcome.session).phase()).collect()
    };
    assert_eq!(phases(&mut operator, &peers)[..2], [Phase::Stopping, Phase::Unspecified]);
    assert_eq!(told(&mut operator, Change { max: 2, ..slowly(Type::Resume, 0) }).changed, 2);
    assert_eq!(peers[0].signal().r#type(), Type::Resume);
    assert_eq!(peers[1].signal().r#type(), Type::Resume);
    assert_eq!(told(&mut operator, slowly(Type::Dump, 20)).changed, 3);
    for peer in &mut peers {
        assert_eq!(peer.signal().r#type(), Type::Dump, "the last one was to be told to end");
    }
}

#[test]
fn labels_may_change_with_a_beat() {
    let broker = Broker::start();
    let mut operator = broker.peer();
    let mut peer = broker.peer();
    let needs =
        windlass_proto::v1::JobSpec { need_labels: [("model".into(), "b".into())].into(), ..job("k") };
    let id = operator.enqueue(needs);
    let open = peer.open_stream(stream("q", 1));
    let beat = Beat { labels: [("model".into(), "b".into())].into(), ..Beat::default() };
    let touch = peer.say(Request::Touch(Touch { beat: Some(beat), jobs: Vec::new() }));
    body!(peer.answer(touch), Touched);
    assert_eq!(peer.delivery(open).jobs[0].id, id);
    peer.beat();
    assert_eq!(view(&mut operator, &peer.welcome.session).labels["model"], "b", "none: they stay");
    let many = (0..33).map(|n| (n.to_string(), String::new())).collect();
    let beat = Beat { labels: many, ..Beat::default() };
    let Error { code, field, .. } =
        peer.refused(Request::Touch(Touch { beat: Some(beat), jobs: Vec::new() }));
    assert_eq!((code, &*field), (Code::TooLarge.into(), "beat.labels"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_as_it_is_told() {
    let broker = Broker::start();
    let mut operator = broker.peer();
    let client = Client::builder().label("app", "mailer").connect(broker.addr()).await.unwrap();
    let go = Arc::new(Notify::new());
    let waiting = Arc::clone(&go);
    let handler = move |_context: JobContext| {
        let go = Arc::clone(&waiting);
        async move {
            go.notified().await;
            Ok::<_, JobError>("done")
        }
    };
    let mut worker = client.worker().queues(["q"]).concurrency(1).handle_raw("k", handler).start();
    let id = operator.enqueue(job("k"));
    let leased = |operator: &mut Peer, id: &bytes::Bytes| {
        eventually("it runs", || (operator.job(id).state() == State::Leased).then_some(()));
    };
    leased(&mut operator, &id);

    assert_eq!(told(&mut operator, by_label("app", "mailer", Type::Quiet)).matched, 2, "client and worker");
    eventually("its stream is closed", || {
        let rows = operator.sessions();
        rows.iter().all(|row| row.streams == 0).then_some(())
    });
    assert_eq!(told(&mut operator, by_label("app", "mailer", Type::Resume)).changed, 2);
    go.notify_one();
    let id = operator.enqueue(job("k"));
    leased(&mut operator, &id);

    assert_eq!(told(&mut operator, by_label("app", "mailer", Type::Terminate)).changed, 2);
    go.notify_one();
    tokio::time::timeout(Duration::from_secs(60), worker.wait()).await.unwrap().unwrap();
    assert_eq!(operator.job(&id).state(), State::Completed, "what ran was finished");
    client.close().await;
}

#[test]
fn an_operator_quiets_stops_and_asks_workers_by_their_ids() {
    let broker = Broker::start();
    let mut worker = ExampleWorker::start(broker.home(), "worker", broker.addr(), 1);
    let admin = |arguments: &[&str]| {
        windlass(&[&["admin", "workers"], arguments, &["--addr", broker.addr()]].concat())
    };
    let row = || {
        let rows = admin(&["--output", "json"]).ok().json();
        rows.as_array().unwrap().iter().find(|row| row["slots"] == 1 || row["phase"] == "quiet").cloned()
    };
    let id = eventually("it is there", row)["id"].as_str().unwrap().to_owned();
    assert!(
        admin(&["quiet", &id, "--reason", "1.3 is out"]).ok().out.contains("1 of 1 found are told quiet")
    );
    assert_eq!(row().unwrap()["phase"], "quiet");
    admin(&["dump", &id]).ok();
    eventually("it tells what it does", || {
        worker.program.stderr().contains("asked what this client is doing").then_some(())
    });
    assert_eq!(admin(&["quiet"]).code, 2, "nobody is meant");
    assert_eq!(admin(&["quiet", &hex(&[7; 16])]).code, 6, "there is none");
    assert_eq!(admin(&["quiet", "--label", "nonsense"]).code, 2);
    let dry = admin(&["stop", "--all", "--dry-run", "--output", "json"]).ok().json();
    assert_eq!(dry["told"], "terminate");
    assert_eq!(admin(&["stop", &id]).code, 9, "nobody confirms");
    admin(&["stop", &id, "--yes"]).ok();
    assert_eq!(worker.program.wait(), 0, "{}", worker.program.stderr());
}
