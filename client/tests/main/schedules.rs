//! The operator's side of schedules: how they are read, set, paused, and run by hand.

use bytes::Bytes;
use windlass_client::proto::client_frame::Request;
use windlass_client::proto::query::What;
use windlass_client::proto::resource::What as Conf;
use windlass_client::proto::server_frame::Body;
use windlass_client::proto::{
    Code, Enqueue, Error, JobSpec, Put, Query, Rows, Schedule, ScheduleView, Stored, stored,
};
use windlass_client::{Client, ErrorKind};

use crate::peer::{Line, Peer};

fn nightly() -> Schedule {
    let job =
        JobSpec { kind: "report".into(), headers: [("a".into(), "b".into())].into(), ..JobSpec::default() };
    Schedule { cron: "30 2 * * *".into(), max_runs: 7, job: Some(job), ..Schedule::default() }
}

async fn hear_query(line: &mut Line) -> (u64, Query) {
    let frame = line.hear_word().await;
    let Some(Request::Query(query)) = frame.request else { panic!("not Query: {frame:?}") };
    assert_eq!(query.what, i32::from(What::Schedules));
    (frame.id, query)
}

async fn hear_put(line: &mut Line) -> (u64, Put) {
    let frame = line.hear_word().await;
    let Some(Request::Put(put)) = frame.request else { panic!("not Put: {frame:?}") };
    (frame.id, put)
}

/// Answers with these schedules.
async fn say_rows(line: &mut Line, request: u64, names: &[&str], cursor: &'static str) {
    let view = |name: &&str| {
        let name = (*name).to_owned();
        ScheduleView { name, schedule: Some(nightly()), version: 4, ..ScheduleView::default() }
    };
    let rows =
        Rows { schedules: names.iter().map(view).collect(), cursor: Bytes::from(cursor), ..Rows::default() };
    line.say(request, Body::Rows(rows)).await;
}

async fn say_stored(line: &mut Line, request: u64, one: stored::One) {
    line.say(request, Body::Stored(Stored { results: vec![one] })).await;
}

/// The next Enqueue, all of whose jobs are new.
async fn hear_jobs(line: &mut Line) -> Enqueue {
    let frame = line.hear_word().await;
    let Some(Request::Enqueue(enqueue)) = frame.request else { panic!("not Enqueue: {frame:?}") };
    line.created(frame.id, &enqueue).await;
    enqueue
}

#[tokio::test]
async fn schedules_are_read_over_all_pages_and_one_by_its_name() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let script = async {
        let (request, query) = hear_query(&mut line).await;
        assert_eq!((query.name.as_str(), &query.cursor[..]), ("", &b""[..]));
        say_rows(&mut line, request, &["hourly"], "next").await;
        let (request, query) = hear_query(&mut line).await;
        assert_eq!(&query.cursor[..], b"next");
        say_rows(&mut line, request, &["nightly"], "").await;
        let (request, query) = hear_query(&mut line).await;
        assert_eq!(query.name, "nightly");
        say_rows(&mut line, request, &["nightly"], "").await;
        let (request, _) = hear_query(&mut line).await;
        say_rows(&mut line, request, &[], "").await;
    };
    let asking = async {
        let admin = client.admin();
        let names: Vec<String> =
            admin.schedules().await.unwrap().into_iter().map(|schedule| schedule.name).collect();
        assert_eq!(names, ["hourly", "nightly"]);
        assert_eq!(admin.schedule("nightly").await.unwrap().unwrap().schedule, Some(nightly()));
        assert!(admin.schedule("none").await.unwrap().is_none());
    };
    tokio::join!(asking, script);
}

#[tokio::test]
async fn a_schedule_is_set_by_its_name_and_removed_by_it() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let script = async {
        let (request, put) = hear_put(&mut line).await;
        assert_eq!((put.set[0].name.as_str(), put.set[0].if_version), ("schedule/nightly", 3));
        assert_eq!(put.set[0].what, Some(Conf::Schedule(nightly())));
        say_stored(&mut line, request, stored::One { version: 4, ..stored::One::default() }).await;
        let (request, put) = hear_put(&mut line).await;
        assert_eq!((put.set.len(), put.remove), (0, vec!["schedule/nightly".to_owned()]));
        line.say(request, Body::Stored(Stored::default())).await;
    };
    let asking = async {
        let admin = client.admin();
        assert_eq!(admin.set_schedule("nightly", nightly(), 3).await.unwrap(), 4);
        admin.remove_schedule("nightly").await.unwrap();
    };
    tokio::join!(asking, script);
}

#[tokio::test]
async fn a_schedule_is_paused_as_it_stands_unless_somebody_changed_it_meanwhile() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    let conflict = Error { code: Code::VersionConflict.into(), ..Error::default() };
    let script = async {
        let one = stored::One { version: 5, ..stored::One::default() };
        let refused = stored::One { error: Some(conflict), ..stored::One::default() };
        for (paused, answer) in [(true, one), (false, refused)] {
            let (request, query) = hear_query(&mut line).await;
            assert_eq!(query.name, "nightly");
            say_rows(&mut line, request, &["nightly"], "").await;
            let (request, put) = hear_put(&mut line).await;
            assert_eq!((put.set[0].name.as_str(), put.set[0].if_version), ("schedule/nightly", 4));
            assert_eq!(put.set[0].what, Some(Conf::Schedule(Schedule { paused, ..nightly() })));
            say_stored(&mut line, request, answer).await;
        }
        // Of one that is not there nothing is put.
        let (request, _) = hear_query(&mut line).await;
        say_rows(&mut line, request, &[], "").await;
    };
    let asking = async {
        let admin = client.admin();
        assert!(admin.pause_schedule("nightly", true).await.unwrap());
        let refused = admin.pause_schedule("nightly", false).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused(Code::VersionConflict));
        assert!(!admin.pause_schedule("none", true).await.unwrap());
    };
    tokio::join!(asking, script);
}

#[tokio::test]
async fn ticks_run_by_hand_are_jobs_of_the_template_and_are_sent_again_after_a_cut() {
    let peer = Peer::bind().await;
    let (client, mut line) = peer.client(Client::builder()).await;
    // One more than a request takes.
    let ticks: Vec<u64> = (1..=1_001).map(|tick| tick * 60_000).collect();
    let script = async {
        let (request, _) = hear_query(&mut line).await;
        say_rows(&mut line, request, &["nightly"], "").await;
        let unheard = line.hear_word().await;
        drop(line);
        let mut line = peer.accept().await;
        let first = hear_jobs(&mut line).await;
        assert_eq!(unheard.request, Some(Request::Enqueue(first.clone())));
        let second = hear_jobs(&mut line).await;
        assert_eq!((first.jobs.len(), second.jobs.len()), (1_000, 1));
        for (job, tick) in first.jobs.iter().chain(&second.jobs).zip(&ticks) {
            // The broker makes the id from the tick.
            assert_eq!((job.kind.as_str(), job.id.len(), job.headers.len()), ("report", 0, 3));
            assert_eq!((job.headers["schedule"].as_str(), job.headers["a"].as_str()), ("nightly", "b"));
            assert_eq!(job.headers["schedule-tick-ms"], tick.to_string());
        }
        let (request, _) = hear_query(&mut line).await;
        say_rows(&mut line, request, &[], "").await;
        line
    };
    let asking = async {
        let admin = client.admin();
        let made = admin.run_ticks("nightly", &ticks).await.unwrap();
        assert_eq!(made.map(|made| made.len()), Some(1_001));
        assert!(admin.run_ticks("none", &ticks).await.unwrap().is_none());
    };
    let ((), _line) = tokio::join!(asking, script);
}
