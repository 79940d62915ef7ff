//! Watching and waiting: who hears what, in which order, and what becomes of who does not listen.

use crate::harness::{Broker, Peer, body, complete, eventually, fail, hex, job, windlass};
use bytes::Bytes;
use std::time::Duration;
use windlass_client::{Client, JobContext, JobError, NewJob};
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::enqueue::Wait;
use windlass_proto::v1::enqueued::Outcome;
use windlass_proto::v1::{Closed, Code, Delete, Enqueue, Event, JobSpec, Selector, State, Watch};

fn of_queue(queue: &str) -> Watch {
    let select = Some(Selector { queue: queue.into(), ..Selector::default() });
    Watch { select, with_result: true, ..Watch::default() }
}

fn until_ended(ids: &[&Bytes]) -> Watch {
    let ids = ids.iter().map(|id| (*id).clone()).collect();
    let select = Some(Selector { ids, ..Selector::default() });
    Watch { select, with_result: true, until_finished: true, ..Watch::default() }
}

fn event(peer: &mut Peer, watch: u64) -> Event {
    body!(peer.answer(watch), Event)
}

fn name(peer: &mut Peer, watch: u64) -> String {
    event(peer, watch).name
}

#[test]
fn a_watcher_hears_the_whole_life_of_a_job() {
    let broker = Broker::start();
    let (mut watcher, mut peer) = (broker.peer(), broker.peer());
    let watch = watcher.say(Request::Watch(of_queue("q")));
    watcher.beat();
    let id = peer.enqueue(JobSpec { key: "anna".into(), ..job("k") });
    peer.enqueue(JobSpec { queue: "other".into(), ..job("k") });
    let first = event(&mut watcher, watch);
    assert_eq!((first.name.as_str(), &first.job, first.state()), ("job.enqueued", &id, State::Ready));
    assert_eq!((first.queue.as_str(), first.kind.as_str(), first.key.as_str()), ("q", "k", "anna"));
    assert!(first.at_ms > 0 && !first.lagged && !first.end);
    let work = peer.fetch("q");
    peer.settle(&work, fail("disk on fire"));
    let work = peer.fetch("q");
    peer.settle(&work, complete("done"));
    peer.change(&id, To::Delete(Delete {}));
    let rest: Vec<Event> = (0..5).map(|_| event(&mut watcher, watch)).collect();
    let names: Vec<&str> = rest.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["job.started", "job.failed", "job.started", "job.completed", "job.removed"]);
    assert_eq!(rest[1].note, "disk on fire");
    assert_eq!((&rest[3].data[..], rest[3].state()), (&b"done"[..], State::Completed));
    assert!(rest.iter().map(|event| event.seq).is_sorted() && rest[0].seq > first.seq);

    let closing = watcher.say(Request::Watch(Watch { stream: watch, close: true, ..Watch::default() }));
    assert!(event(&mut watcher, watch).end);
    assert_eq!(body!(watcher.answer(closing), Closed), Closed {});
    let unknown = Watch { names: vec!["job.exploded".into()], ..Watch::default() };
    let refusal = watcher.refused(Request::Watch(unknown));
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::Invalid, "names[0]"));
}

#[test]
fn who_comes_back_goes_on_where_he_was_and_numbers_never_repeat() {
    let mut broker = Broker::start();
    let mut watcher = broker.peer();
    let watch = watcher.say(Request::Watch(of_queue("q")));
    watcher.beat();
    let mut peer = broker.peer();
    let ids: Vec<Bytes> = (0..3).map(|_| peer.enqueue(job("k"))).collect();
    let seen = event(&mut watcher, watch);
    drop(watcher);
    let mut watcher = broker.peer();
    let watch = watcher.say(Request::Watch(Watch { from_seq: seen.seq + 1, ..of_queue("q") }));
    let missed: Vec<Event> = (0..2).map(|_| event(&mut watcher, watch)).collect();
    assert_eq!([&missed[0].job, &missed[1].job], [&ids[1], &ids[2]]);
    assert!(missed.iter().all(|event| !event.lagged));
    broker.kill();
    broker.restart();
    let (mut watcher, mut peer) = (broker.peer(), broker.peer());
    let watch = watcher.say(Request::Watch(Watch { from_seq: missed[1].seq + 1, ..of_queue("q") }));
    watcher.beat();
    peer.enqueue(job("k"));
    let next = event(&mut watcher, watch);
    assert!(next.seq > missed[1].seq && next.lagged, "{next:?}");
}

#[test]
fn a_slow_watcher_lags_and_costs_no_memory() {
    let broker = Broker::start();
    let (mut watcher, mut peer) = (broker.peer(), broker.peer());
    let watch = watcher.say(Request::Watch(of_queue("q")));
    watcher.beat();
    // Names make events large: what is kept for a watcher is full before the broker gives the connection up.
    let long = "k".repeat(200);
    for _ in 0..12 {
        let spec = || JobSpec { id: Bytes::new(), key: long.clone(), ..job(&long) };
        peer.enqueue_all((0..10_000).map(|_| spec()).collect());
    }
    let last = peer.enqueue(JobSpec { kind: "last".into(), ..job("k") });
    let (mut lags, mut heard) = (0, 0);
    loop {
        let event = event(&mut watcher, watch);
        heard += 1;
        lags += usize::from(event.lagged);
        if event.job == last {
            break;
        }
    }
    assert_eq!(lags, 1, "what was dropped was dropped at once");
    assert!(heard < 120_001, "{heard}");
}

#[test]
fn a_watch_until_the_end_ends_with_the_jobs_or_their_removal() {
    let broker = Broker::start();
    let (mut watcher, mut peer) = (broker.peer(), broker.peer());
    let [done, open, gone] = [(); 3].map(|()| peer.enqueue(job("k")));
    let work = peer.fetch("q");
    peer.settle(&work, complete("42"));
    let watch = watcher.say(Request::Watch(until_ended(&[&done, &open, &gone])));
    let first = event(&mut watcher, watch);
    assert_eq!((first.name.as_str(), &first.job, &first.data[..]), ("job.completed", &done, &b"42"[..]));
    peer.change(&gone, To::Delete(Delete {}));
    assert_eq!(name(&mut watcher, watch), "job.removed");
    let work = peer.fetch("q");
    assert_eq!(name(&mut watcher, watch), "job.started");
    peer.settle(&work, complete("43"));
    let last = event(&mut watcher, watch);
    assert_eq!((&last.job, &last.data[..]), (&open, &b"43"[..]));
    assert!(event(&mut watcher, watch).end);
}

#[test]
fn an_enqueue_that_waits_is_answered_with_the_result() {
    let broker = Broker::start();
    let (mut producer, mut worker) = (broker.peer(), broker.peer());
    let waiting = |job: JobSpec, wait_ms| {
        let wait = Wait::Finished.into();
        Request::Enqueue(Enqueue { jobs: vec![job], wait, wait_ms, ..Enqueue::default() })
    };
    let spec = job("k");
    let asked = producer.say(waiting(spec.clone(), 60_000));
    let work = worker.fetch("q");
    worker.settle(&work, complete("42"));
    let one = body!(producer.answer(asked), Enqueued).results.remove(0);
    assert_eq!(
        (one.outcome(), one.state(), &one.result[..]),
        (Outcome::Created, State::Completed, &b"42"[..])
    );
    let one = body!(producer.ask(waiting(spec, 60_000)), Enqueued).results.remove(0);
    assert_eq!((one.outcome(), &one.result[..]), (Outcome::Duplicate, &b"42"[..]), "it has ended before");
    let one = body!(producer.ask(waiting(job("k"), 1)), Enqueued).results.remove(0);
    assert_eq!((one.state(), one.result.len()), (State::Ready, 0), "the time is over");
    let misplaced = Request::Enqueue(Enqueue { jobs: vec![job("k")], wait_ms: 1, ..Enqueue::default() });
    assert_eq!(producer.refused(misplaced).field, "wait_ms");
}

/// Multiplies by two, and refuses what is no number.
async fn double(context: JobContext) -> Result<String, JobError> {
    let number: u32 = serde_json::from_slice(context.payload()).map_err(JobError::permanent)?;
    Ok((2 * number).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_waits_for_results_and_goes_on_watching_over_a_restart() {
    let mut broker = Broker::start();
    let client = Client::connect(broker.addr()).await.unwrap();
    let worker = client.worker().queues(["q"]).handle_raw("double", double).start();
    let job = |payload: &'static str| NewJob::new("double").queue("q").payload(payload);
    let ended = client.enqueue(job("21")).and_wait(Duration::from_secs(60)).await.unwrap();
    assert_eq!(ended.json::<u32>().unwrap(), 42);
    let failed = client.enqueue(job("x")).and_wait(Duration::from_secs(60)).await.unwrap();
    assert_eq!((failed.state, failed.json::<u32>().is_err()), (State::Dead, true));
    let both = client.wait([ended.id, failed.id]).await.unwrap();
    let mut states: Vec<State> = both.iter().map(|ended| ended.state).collect();
    states.sort();
    assert_eq!(states, [State::Completed, State::Dead]);
    assert!(client.wait([]).await.unwrap().is_empty());

    let mut events = client.admin().watch(of_queue("other")).await.unwrap();
    let other = || NewJob::new("k").queue("other");
    // The first event may come before the watch stands.
    let first = loop {
        client.enqueue(other()).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
        if let Ok(heard) = heard {
            break heard.unwrap().unwrap();
        }
    };
    broker.kill();
    broker.restart();
    let last = client.enqueue(other()).await.unwrap();
    let mut seq = first.seq;
    loop {
        let event = match tokio::time::timeout(Duration::from_millis(200), events.next()).await {
            Ok(event) => event.unwrap().unwrap(),
            Err(_) => {
                client.enqueue(other()).await.unwrap();
                continue;
            }
        };
        assert!(event.seq > seq, "numbers rise over a restart");
        seq = event.seq;
        if event.seq >> 40 > first.seq >> 40 || event.job == last.id.to_bytes() {
            break;
        }
    }
    worker.stop().await.unwrap();
}

#[test]
fn the_command_line_waits_and_tails() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let addr = broker.addr();
    let run = |arguments: &[&str]| windlass(&[arguments, &["--addr", addr]].concat());
    let tail = ["admin", "tail", "--queue", "q", "--event", "job.enqueued", "-n", "1", "--output", "json"];
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&["enqueue", "k", "1", "--queue", "q", "--wait=1m"]));
        let work = worker.fetch("q");
        worker.settle(&work, complete("42"));
        assert_eq!(waiting.join().unwrap().ok().out.trim(), "42");
        let id = hex(&work.id);
        let rows = run(&["admin", "jobs", "wait", &id, "--output", "json"]).ok().json();
        assert_eq!((&rows[0]["state"], &rows[0]["result"]), (&"completed".into(), &42.into()));

        let tailing = scope.spawn(|| run(&tail));
        eventually("the command watches", || {
            worker.enqueue(job("k"));
            tailing.is_finished().then_some(())
        });
        let line = tailing.join().unwrap().ok().json();
        assert_eq!((&line["event"], &line["queue"]), (&"job.enqueued".into(), &"q".into()));
    });
    let unfinished = worker.enqueue(JobSpec { delay_ms: 60_000, ..job("k") });
    assert_eq!(run(&["enqueue", "k", "--id", &hex(&unfinished), "--wait=1ms"]).code, 7);
    assert_eq!(run(&["admin", "jobs", "wait", &hex(&unfinished), "--within", "1ms"]).code, 7);
}
