//! Enqueueing through cuts, half answers, refusals, bounds and silence.

use std::time::Duration;

use windlass_client::proto::enqueued::Outcome;
use windlass_client::proto::server_frame::Body;
use windlass_client::proto::{Code, Enqueued, Error};
use windlass_client::{Client, ErrorKind, JobId, NewJob};

use crate::peer::{Peer, soon};

fn job() -> NewJob {
    NewJob::new("k").payload("p")
}

/// An enqueue that runs beside the test.
fn enqueue(client: &Client) -> tokio::task::JoinHandle<windlass_client::Result<windlass_client::Enqueued>> {
    let client = client.clone();
    tokio::spawn(async move { client.enqueue(job()).await })
}

#[tokio::test]
async fn an_enqueue_is_answered_with_what_the_broker_made_of_it() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder().namespace("shop").token("t")).await;
    assert_eq!((line.hello.namespace.as_str(), line.hello.token.as_str()), ("shop", "t"));
    assert!(line.hello.running.is_none() && line.hello.resume_session.is_empty());

    let id = JobId::new();
    let send = client
        .enqueue(NewJob::new("mail"))
        .id(id)
        .queue("q")
        .delay(Duration::from_secs(5))
        .priority(7)
        .attempts(3)
        .header("a", "b")
        .key("lane");
    let answer = async {
        let (request, enqueue) = line.hear_enqueue().await;
        let spec = &enqueue.jobs[0];
        assert_eq!(spec.id, id.to_bytes());
        assert_eq!((spec.queue.as_str(), spec.kind.as_str(), spec.key.as_str()), ("q", "mail", "lane"));
        assert_eq!(spec.delay_ms, 5_000);
        let policy = spec.policy.as_ref().unwrap();
        assert_eq!((policy.priority, policy.max_attempts), (Some(7), Some(3)));
        line.enqueued(request, &enqueue, Outcome::Duplicate).await;
    };
    let (enqueued, ()) = tokio::join!(send.into_future(), answer);
    let enqueued = enqueued.unwrap();
    assert_eq!((enqueued.id, enqueued.seq), (id, 1));
    // The id was the caller's, so somebody else may have used it before.
    assert!(enqueued.duplicate);
}

#[tokio::test]
async fn what_a_cut_left_unanswered_is_sent_again_under_the_same_id() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let sending = enqueue(&client);
    let (_, first) = line.hear_enqueue().await;
    drop(line);

    let mut line = peer.accept().await;
    assert_eq!(line.hello.resume_session, peer.welcome.session);
    assert_eq!(line.hello.resume_secret, peer.welcome.secret);
    assert!(line.hello.running.is_some(), "the main connection resumes and says what runs");
    let (request, second) = line.hear_enqueue().await;
    assert_eq!(first.jobs[0].id, second.jobs[0].id);
    line.enqueued(request, &second, Outcome::Duplicate).await;
    let enqueued = soon("the answer", sending).await.unwrap().unwrap();
    assert!(!enqueued.duplicate, "only its own first sending can have made it known");
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let sending = enqueue(&client);
    let (request, first) = line.hear_enqueue().await;
    let answer = Enqueued { results: vec![Default::default(); 40] };
    line.say_half(request, Body::Enqueued(answer)).await;

    let mut line = peer.accept().await;
    let (request, second) = line.hear_enqueue().await;
    assert_eq!(first.jobs[0].id, second.jobs[0].id);
    line.created(request, &second).await;
    assert!(soon("the answer", sending).await.unwrap().is_ok());
}

#[tokio::test]
async fn after_a_cut_only_the_unanswered_go_again_and_in_their_order() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let mut receipts = Vec::new();
    for _ in 0..5 {
        receipts.push(client.enqueue(job()).submit().await.unwrap());
    }
    let ids: Vec<JobId> = receipts.iter().map(|receipt| receipt.job_id()).collect();
    for (at, id) in ids.iter().enumerate() {
        let (request, enqueue) = line.hear_enqueue().await;
        assert_eq!(enqueue.jobs[0].id, id.to_bytes());
        if at == 1 || at == 2 {
            line.created(request, &enqueue).await;
        }
    }
    let mut receipts = receipts.into_iter();
    let (first, second, third) = (receipts.next(), receipts.next().unwrap(), receipts.next().unwrap());
    soon("the second answer", second).await.unwrap();
    soon("the third answer", third).await.unwrap();
    drop(line);

    let mut line = peer.accept().await;
    for at in [0, 3, 4] {
        let (request, enqueue) = line.hear_enqueue().await;
        assert_eq!(enqueue.jobs[0].id, ids[at].to_bytes());
        line.created(request, &enqueue).await;
    }
    for receipt in first.into_iter().chain(receipts) {
        soon("an answer", receipt).await.unwrap();
    }
}

#[tokio::test]
async fn many_jobs_are_one_frame() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let answer = async {
        let (request, enqueue) = line.hear_enqueue().await;
        assert_eq!((enqueue.jobs.len(), enqueue.partial), (100, false));
        line.created(request, &enqueue).await;
    };
    let (many, ()) = tokio::join!(client.enqueue_many((0..100).map(|_| job())), answer);
    assert_eq!(many.unwrap().len(), 100);
}

#[tokio::test]
async fn a_busy_broker_is_asked_again() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let sending = enqueue(&client);
    let (request, first) = line.hear_enqueue().await;
    let busy = Error { code: Code::Exhausted.into(), retry_after_ms: 1, ..Error::default() };
    line.say_error(request, busy).await;
    let (request, second) = line.hear_enqueue().await;
    assert_eq!(first, second);
    line.created(request, &second).await;
    assert!(soon("the answer", sending).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_refusal_says_which_field_is_at_fault() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let sending = enqueue(&client);
    let (request, _) = line.hear_enqueue().await;
    let refusal = Error {
        code: Code::Invalid.into(),
        message: "no name".into(),
        field: "enqueue.jobs[0].queue".into(),
        ..Error::default()
    };
    line.say_error(request, refusal).await;
    let error = soon("the answer", sending).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused(Code::Invalid));
    assert_eq!(error.field(), "enqueue.jobs[0].queue");
    assert!(!error.is_retryable());
    assert_eq!(error.to_string(), "the broker refused it as INVALID: no name (at enqueue.jobs[0].queue)");
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_the_outcome_unknown() {
    let peer = Peer::bind().await;
    let builder = Client::builder().give_up_after(Duration::from_millis(50));
    let (client, mut line) = peer.client(builder).await;
    let sending = enqueue(&client);
    line.hear_enqueue().await;
    let error = soon("giving up", sending).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn without_a_connection_it_is_certain_that_nothing_was_sent() {
    let peer = Peer::bind().await;
    let builder = Client::builder().give_up_after(Duration::from_millis(50));
    let (client, mut line) = peer.client(builder).await;
    // The broker is gone: first the port, then the connection.
    drop(peer);
    let cut = enqueue(&client);
    line.hear_enqueue().await;
    drop(line);
    // Its outcome is known to be unknown only once the client has noticed the cut.
    let error = soon("giving up", cut).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);

    let error = soon("giving up", client.enqueue(job()).into_future()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_id_that_the_broker_may_have_forgotten_is_not_sent_again() {
    let mut peer = Peer::bind().await;
    peer.welcome.idempotency_window_ms = 1;
    let (client, mut line) = peer.client(Client::builder()).await;
    let sending = enqueue(&client);
    line.hear_enqueue().await;
    drop(line);
    // Longer than the broker would remember it.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut line = peer.accept().await;
    let error = soon("giving up", sending).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);

    // Nothing of it is left on the new connection.
    let next = enqueue(&client);
    let (request, enqueue) = line.hear_enqueue().await;
    line.created(request, &enqueue).await;
    assert_eq!(soon("the answer", next).await.unwrap().unwrap().id.to_bytes(), enqueue.jobs[0].id);
}

#[tokio::test]
async fn the_bounds_of_welcome_are_kept() {
    let mut peer = Peer::bind().await;
    peer.welcome.max_frame = 1_000;
    peer.welcome.max_outstanding = 4;
    let (client, mut line) = peer.client(Client::builder()).await;
    let large = client.enqueue(job().payload(vec![0; 2_000])).into_future();
    assert_eq!(soon("refusing it here", large).await.unwrap_err().kind(), ErrorKind::Invalid);

    let sending: Vec<_> = (0..10).map(|_| enqueue(&client)).collect();
    for _ in 0..10 {
        // However the ten are scheduled, no more than allowed are unanswered, so the next one comes only
        // because the one before was answered.
        let (request, enqueue) = line.hear_enqueue().await;
        line.created(request, &enqueue).await;
    }
    for sent in sending {
        assert!(soon("an answer", sent).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn no_more_requests_are_open_than_the_broker_allows() {
    let mut peer = Peer::bind().await;
    peer.welcome.max_outstanding = 4;
    let (client, mut line) = peer.client(Client::builder()).await;
    let mut receipts = vec![client.enqueue(job()).submit().await.unwrap()];
    receipts.push(client.enqueue(job()).submit().await.unwrap());
    // Half of what is allowed is kept free for outcomes and beats.
    let mut third = Box::pin(client.enqueue(job()).submit());
    assert!(futures_poll(&mut third).await.is_none(), "the window is full");
    let (request, enqueue) = line.hear_enqueue().await;
    line.created(request, &enqueue).await;
    receipts.push(soon("room", third).await.unwrap());
    for _ in 0..2 {
        let (request, enqueue) = line.hear_enqueue().await;
        line.created(request, &enqueue).await;
    }
    for receipt in receipts {
        assert!(soon("an answer", receipt).await.is_ok());
    }
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        let poll = std::pin::Pin::new(&mut *future).poll(cx);
        std::task::Poll::Ready(match poll {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_left() {
    let mut peer = Peer::bind().await;
    peer.welcome.session_ttl_ms = 1_500;
    let (client, mut line) = peer.client(Client::builder()).await;
    let sending = enqueue(&client);
    line.hear_enqueue().await;

    // The old connection stays open and says nothing; a new one comes nevertheless.
    let mut second = peer.accept().await;
    let (request, enqueue) = second.hear_enqueue().await;
    second.created(request, &enqueue).await;
    assert!(soon("the answer", sending).await.unwrap().is_ok());
    drop(line);
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_as_long_as_beats_are_answered() {
    let mut peer = Peer::bind().await;
    peer.welcome.session_ttl_ms = 1_500;
    let (client, mut line) = peer.client(Client::builder()).await;
    let sending = enqueue(&client);
    let (request, enqueue) = line.hear_enqueue().await;
    // Without these answers the second beat would have been the last word.
    for _ in 0..3 {
        let beat = line.hear().await;
        line.say(beat.id, Body::Touched(Default::default())).await;
    }
    line.created(request, &enqueue).await;
    assert!(soon("the answer", sending).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_broker_that_does_not_want_us_says_so_at_once() {
    let peer = Peer::bind().await;
    let address = peer.address();
    let refuse = async {
        let mut line = peer.accept_only().await;
        let error =
            Error { code: Code::Unauthenticated.into(), message: "no token".into(), ..Error::default() };
        line.say_error(1, error).await;
    };
    let (client, ()) = tokio::join!(Client::connect(&address), refuse);
    assert_eq!(client.unwrap_err().kind(), ErrorKind::Refused(Code::Unauthenticated));
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced() {
    let mut peer = Peer::bind().await;
    let (client, line) = peer.client(Client::builder()).await;
    drop(line);
    let mut line = peer.accept_only().await;
    assert_eq!(line.hello.resume_session, peer.welcome.session);
    line.say_error(1, Error { code: Code::Unauthenticated.into(), ..Error::default() }).await;

    peer.welcome.session = bytes::Bytes::from_static(&[8; 16]);
    let mut line = peer.accept().await;
    assert!(line.hello.resume_session.is_empty() && line.hello.running.is_none());
    let sending = enqueue(&client);
    let (request, enqueue) = line.hear_enqueue().await;
    line.created(request, &enqueue).await;
    assert!(soon("the answer", sending).await.unwrap().is_ok());
}

#[tokio::test]
async fn closing_waits_for_answers_and_says_bye() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let receipt = client.enqueue(job()).submit().await.unwrap();
    let other = client.clone();
    let closing = tokio::spawn(client.close());
    let (request, enqueue) = line.hear_enqueue().await;
    line.created(request, &enqueue).await;
    assert!(soon("the answer", receipt).await.is_ok());
    line.hear_bye().await;
    soon("closing", closing).await.unwrap();
    let error = soon("refusing", other.enqueue(job()).into_future()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_connection() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let receipt = client.enqueue(job()).submit().await.unwrap();
    line.hear_enqueue().await;
    drop(client);
    assert!(soon("the end", line.try_hear()).await.is_none());
    let error = soon("the answer", receipt).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
}
