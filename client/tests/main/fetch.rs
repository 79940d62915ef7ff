//! Long polls, and jobs settled by hand.

use std::time::Duration;

use windlass_client::proto::result::How;
use windlass_client::proto::server_frame::Body;
use windlass_client::proto::{Deliver, SettleCode, State};
use windlass_client::{Client, ErrorKind};

use crate::peer::{Line, Peer, soon, work};

async fn deliver_once(line: &mut Line, jobs: Vec<windlass_client::proto::Work>) {
    let (request, fetch) = line.hear_fetch().await;
    assert!(fetch.once > 0);
    line.say(request, Body::Deliver(Deliver { jobs, end: true, ..Deliver::default() })).await;
}

#[tokio::test]
async fn a_long_poll_may_collect_a_batch_by_weight() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let poll = client.fetch_once(["a"]).weighted_queues([("a", 2), ("b", 1)]);
    let poll = poll.max(9).batch(3, Duration::from_secs(2)).same_key();
    let script = async {
        let (request, fetch) = line.hear_fetch().await;
        let sources: Vec<_> = fetch.sources.iter().map(|one| (one.queue.as_str(), one.weight)).collect();
        assert_eq!((sources.as_slice(), fetch.strict), ([("a", 2), ("b", 1)].as_slice(), false));
        let batch = fetch.batch.unwrap();
        assert_eq!((batch.min, batch.max, batch.linger_ms, batch.same_key), (3, 0, 2_000, true));
        let jobs = vec![work(1, "k", "one"), work(2, "k", "two")];
        line.say(request, Body::Deliver(Deliver { jobs, end: true, ..Deliver::default() })).await;
    };
    let (jobs, ()) = tokio::join!(poll.into_future(), script);
    assert_eq!(jobs.unwrap().len(), 2);
}

#[tokio::test]
async fn a_long_poll_brings_jobs_that_are_settled_by_hand() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let poll = client.fetch_once(["a", "b"]).kinds(["k"]).max(5).wait(Duration::from_secs(20));
    let script = async {
        let (request, fetch) = line.hear_fetch().await;
        let queues: Vec<&str> = fetch.sources.iter().map(|source| source.queue.as_str()).collect();
        assert_eq!((queues.as_slice(), fetch.strict), (["a", "b"].as_slice(), true));
        assert_eq!(
            (fetch.once, fetch.wait_ms, fetch.kinds.as_slice()),
            (5, 20_000, ["k".to_owned()].as_slice())
        );
        let jobs = vec![work(1, "k", "one"), work(2, "k", "two")];
        line.say(request, Body::Deliver(Deliver { jobs, end: true, ..Deliver::default() })).await;
    };
    let (jobs, ()) = tokio::join!(poll.into_future(), script);
    let mut jobs = jobs.unwrap().into_iter();
    let (one, two) = (jobs.next().unwrap(), jobs.next().unwrap());
    assert_eq!((one.payload().as_ref(), one.fence(), one.kind()), (b"one".as_slice(), 1, "k"));

    let script = async {
        let (request, settle) = line.hear_settle().await;
        let Some(How::Complete(complete)) = &settle.results[0].how else { panic!("{settle:?}") };
        assert_eq!((complete.result.as_ref(), settle.results[0].fence), (b"done".as_slice(), 1));
        line.settled(request, &settle, SettleCode::Settled).await;
    };
    let (state, ()) = tokio::join!(one.complete("done"), script);
    assert_eq!(state.unwrap(), State::Completed);

    let script = async {
        let (request, settle) = line.hear_settle().await;
        assert!(matches!(&settle.results[0].how, Some(How::Fail(fail)) if fail.fatal));
        line.settled(request, &settle, SettleCode::LeaseLost).await;
    };
    let (lost, ()) = tokio::join!(two.fail_permanently("never"), script);
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::LeaseLost);
}

#[tokio::test]
async fn a_job_that_is_dropped_goes_back() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let poll = client.fetch_once(["q"]).into_future();
    let (jobs, ()) = tokio::join!(poll, deliver_once(&mut line, vec![work(9, "k", "")]));
    drop(jobs);
    let (_, settle) = line.hear_settle().await;
    assert_eq!(settle.results[0].fence, 9);
    assert!(matches!(&settle.results[0].how, Some(How::Release(release)) if release.delay_ms == 0));
}

#[tokio::test]
async fn jobs_for_a_poll_that_nobody_waits_for_go_back() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let poll = tokio::spawn({
        let client = client.clone();
        async move { client.fetch_once(["q"]).wait(Duration::from_secs(60)).await.map(|jobs| jobs.len()) }
    });
    let (request, _) = line.hear_fetch().await;
    poll.abort();
    assert!(soon("the end of the poll", poll).await.unwrap_err().is_cancelled());
    let jobs = vec![work(3, "k", "")];
    line.say(request, Body::Deliver(Deliver { jobs, end: true, ..Deliver::default() })).await;
    let (_, settle) = line.hear_settle().await;
    assert_eq!(settle.results[0].fence, 3);
    assert!(matches!(&settle.results[0].how, Some(How::Release(_))));
}

#[tokio::test]
async fn a_lease_survives_a_cut_and_its_outcome_is_sent_again() {
    let mut peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let poll = client.fetch_once(["q"]).into_future();
    let (jobs, ()) = tokio::join!(poll, deliver_once(&mut line, vec![work(5, "k", "")]));
    let job = jobs.unwrap().remove(0);
    let settling = tokio::spawn(job.complete(""));
    line.hear_settle().await;
    drop(line);

    // The broker had taken it, so it does not count the lease among those that stand.
    peer.welcome.leases_kept.clear();
    let mut line = peer.accept().await;
    let running = line.hello.running.clone().unwrap();
    assert_eq!((running.held.len(), running.held[0].fence), (1, 5));
    let (request, settle) = line.hear_settle().await;
    assert_eq!(settle.results[0].fence, 5);
    line.settled(request, &settle, SettleCode::AlreadySettled).await;
    assert!(soon("the answer", settling).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_lease_that_did_not_survive_stops_its_run() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let poll = client.fetch_once(["q"]).into_future();
    let (jobs, ()) = tokio::join!(poll, deliver_once(&mut line, vec![work(5, "k", "")]));
    let job = jobs.unwrap().remove(0);
    drop(line);
    let _line = peer.accept().await;
    soon("the token", job.token().cancelled()).await;
}
