//! The operator's side: what is asked, and how pages become one sequence.

use bytes::Bytes;
use windlass_client::proto::change::To;
use windlass_client::proto::client_frame::Request;
use windlass_client::proto::query::What;
use windlass_client::proto::resource::What as Conf;
use windlass_client::proto::server_frame::Body;
use windlass_client::proto::{
    Changed, Code, Error, JobView, Policy, QueueView, Rows, Selector, Stored, stored,
};
use windlass_client::{Client, ErrorKind, JobId};

use crate::peer::{Line, Peer};

async fn hear_query(line: &mut Line) -> (u64, windlass_client::proto::Query) {
    let frame = line.hear_word().await;
    match frame.request {
        Some(Request::Query(query)) => (frame.id, query),
        other => panic!("not Query: {other:?}"),
    }
}

#[tokio::test]
async fn jobs_come_one_after_the_other_over_all_pages() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let script = async {
        for (page, cursor) in [(1_u64, "next"), (2, "last"), (3, "")] {
            let (request, query) = hear_query(&mut line).await;
            assert_eq!((query.what, query.limit, query.newest_first), (What::Jobs.into(), 2, true));
            assert_eq!(query.cursor.is_empty(), page == 1);
            // The second page is empty, which is not the end.
            let jobs = if page == 2 { Vec::new() } else { vec![JobView { seq: page, ..JobView::default() }] };
            let rows = Rows { jobs, cursor: Bytes::from(cursor), ..Rows::default() };
            line.say(request, Body::Rows(rows)).await;
        }
    };
    let reading = async {
        let mut jobs =
            client.admin().jobs(Selector { all: true, ..Selector::default() }).page_size(2).newest_first();
        let mut seqs = Vec::new();
        while let Some(job) = jobs.next().await.unwrap() {
            seqs.push(job.seq);
        }
        seqs
    };
    let (seqs, ()) = tokio::join!(reading, script);
    assert_eq!(seqs, [1, 3]);
}

#[tokio::test]
async fn what_does_not_exist_is_none() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let script = async {
        let (request, query) = hear_query(&mut line).await;
        assert_eq!(query.name, "mail");
        line.say_error(request, Error { code: Code::NotFound.into(), ..Error::default() }).await;
        let (request, _) = hear_query(&mut line).await;
        let queues = vec![QueueView { name: "mail".into(), ready: 3, ..QueueView::default() }];
        line.say(request, Body::Rows(Rows { queues, ..Rows::default() })).await;
    };
    let asking = async {
        let admin = client.admin();
        assert!(admin.queue("mail").await.unwrap().is_none());
        assert_eq!(admin.queue("mail").await.unwrap().unwrap().ready, 3);
    };
    tokio::join!(asking, script);
}

#[tokio::test]
async fn a_change_that_was_cut_is_sent_again_as_it_was() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let id = JobId::new();
    let script = async {
        let first = line.hear_word().await;
        drop(line);
        let mut line = peer.accept().await;
        let second = line.hear_word().await;
        assert_eq!(first.request, second.request);
        let Some(Request::Change(change)) = second.request else { panic!("not Change") };
        assert!(change.operation.is_empty(), "the broker does not take one yet");
        assert!(matches!(change.to, Some(To::Cancel(cancel)) if cancel.why == "no need"));
        let changed = Changed { matched: 1, changed: 1, sample: vec![id.to_bytes()], ..Changed::default() };
        line.say(second.id, Body::Changed(changed)).await;
        line
    };
    let admin = client.admin();
    let (changed, _line) = tokio::join!(admin.cancel([id], "no need"), script);
    let changed = changed.unwrap();
    assert_eq!((changed.matched, changed.changed, changed.sample), (1, 1, vec![id]));
}

#[tokio::test]
async fn a_put_with_a_version_is_not_sent_twice() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let admin = client.admin();
    let script = async {
        line.hear_word().await;
        drop(line);
        peer.accept().await
    };
    let (unknown, mut line) = tokio::join!(admin.set_kind_policy("k", Policy::default(), 4), script);
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::OutcomeUnknown);

    let script = async {
        let frame = line.hear_word().await;
        let Some(Request::Put(put)) = frame.request else { panic!("not Put") };
        assert_eq!(put.set[0].name, "limit/pause:queue/mail");
        let Some(Conf::Limit(limit)) = &put.set[0].what else { panic!("not a limit") };
        assert_eq!((limit.queue.as_str(), limit.concurrency, limit.why.as_str()), ("mail", Some(0), "full"));
        let one = stored::One { version: 1, ..stored::One::default() };
        line.say(frame.id, Body::Stored(Stored { results: vec![one] })).await;
    };
    let (paused, ()) = tokio::join!(admin.pause("mail", "full"), script);
    paused.unwrap();
}
