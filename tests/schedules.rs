//! Schedules over the wire: every tick is one job, also when the broker is killed again and again.

use crate::harness::{Broker, Peer, body, complete, eventually, result_of, windlass};
use std::collections::BTreeMap;
use std::fs;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::schedule::{CatchUp, Overlap};
use windlass_proto::v1::{
    Code, JobSpec, JobView, Put, Query, Resource, Schedule, ScheduleView, Selector, Settle,
};

fn put(peer: &mut Peer, name: &str, schedule: Schedule) {
    let what = Some(Content::Schedule(schedule));
    let set = vec![Resource { name: format!("schedule/{name}"), if_version: 0, what }];
    assert_eq!(body!(peer.ask(Request::Put(Put { set, ..Put::default() })), Stored).results.len(), 1);
}

fn every_second() -> Schedule {
    let job = JobSpec { queue: "q".into(), kind: "k".into(), payload: "p".into(), ..JobSpec::default() };
    Schedule {
        every_ms: 1_000,
        overlap: Overlap::Allow.into(),
        catch_up: CatchUp::All.into(),
        job: Some(job),
        ..Schedule::default()
    }
}

fn look(peer: &mut Peer) -> Vec<ScheduleView> {
    peer.rows(Query { what: What::Schedules.into(), ..Query::default() }).schedules
}

/// The jobs of a schedule, by tick.
fn made(peer: &mut Peer, schedule: &str) -> BTreeMap<u64, Vec<JobView>> {
    let select = Some(Selector { schedule: schedule.into(), ..Selector::default() });
    let fields = vec!["headers".to_owned()];
    let rows = peer.rows(Query { what: What::Jobs.into(), select, fields, limit: 1_000, ..Query::default() });
    let mut made: BTreeMap<u64, Vec<JobView>> = BTreeMap::new();
    for job in rows.jobs {
        made.entry(job.headers["schedule-tick-ms"].parse().unwrap()).or_default().push(job);
    }
    made
}

#[test]
fn each_tick_exists_once_whatever_crashes() {
    let mut broker = Broker::start();
    put(&mut broker.peer(), "often", every_second());
    for _ in 0..3 {
        let mut peer = broker.peer();
        let before = look(&mut peer)[0].runs_total;
        eventually("it goes on ticking", || (look(&mut peer)[0].runs_total > before).then_some(()));
        broker.kill();
        broker.restart();
    }
    let mut peer = broker.peer();
    let made = eventually("more than three ticks", || {
        let made = made(&mut peer, "often");
        (made.len() > 3).then_some(made)
    });
    assert!(made.values().all(|jobs| jobs.len() == 1), "a tick exists twice: {made:?}");
    let ticks: Vec<u64> = made.keys().copied().collect();
    let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
    let expected: Vec<u64> = (first..=last).step_by(1_000).collect();
    assert_eq!(ticks, expected, "a tick is missing");
    assert!(ticks.iter().all(|tick| tick % 1_000 == 0));
    assert!(made.values().flatten().all(|job| job.schedule == "often"));
}

#[test]
fn a_handler_sees_its_tick_and_an_operator_runs_one_by_hand() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    let hourly = Schedule { every_ms: 3_600_000, ..every_second() };
    put(&mut peer, "hourly", hourly);
    let admin = |arguments: &[&str]| {
        windlass(
            &[&["admin", "schedules"], arguments, &["--output", "json", "--addr", broker.addr()]].concat(),
        )
    };
    let (from, to) = ("2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z");
    let backfill = ["backfill", "hourly", "--from", from, "--to", to];
    assert_eq!(admin(&backfill).ok().json()["made"], 3);
    assert_eq!(admin(&backfill).ok().json()["duplicates"], 3);
    let work = peer.fetch("q");
    assert_eq!(work.headers["schedule-tick-ms"], "1767225600000");
    assert!(!work.headers.contains_key("schedule"));
    assert_eq!((&work.payload[..], work.id[6] >> 4), (&b"p"[..], 8));
    peer.ask(Request::Settle(Settle { results: vec![result_of(&work, complete(""))] }));
    assert_eq!(made(&mut peer, "hourly").len(), 3);
    assert_eq!(admin(&["run", "hourly"]).ok().json()["made"], 1);
    assert_eq!(admin(&["pause", "hourly"]).ok().json()["paused"], true);
    assert_eq!(admin(&["list"]).ok().json()[0]["paused"], true);
    assert_eq!(look(&mut peer)[0].next_at_ms, 0);
    admin(&["resume", "hourly"]).ok();
    assert!(look(&mut peer)[0].next_at_ms > 0);
    assert_eq!(admin(&["show", "daily"]).code, 6);
    admin(&["add", "daily", "--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--kind", "report"]).ok();
    assert_eq!(admin(&["show", "daily"]).ok().json()["when"], "30 2 * * *");
    admin(&["remove", "daily", "--yes"]).ok();
    assert_eq!(look(&mut peer).len(), 1);
}

#[test]
fn schedules_are_declared_in_a_file_and_what_never_runs_is_refused() {
    let broker = Broker::start();
    let text = "[schedule.nightly]\ncron = \"0 3 * * *\"\ntz = \"America/New_York\"\noverlap = \"buffer_one\"\n\n\
                [schedule.nightly.job]\nkind = \"report\"\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conf.toml");
    fs::write(&file, text).unwrap();
    let apply = || windlass(&["admin", "apply", file.to_str().unwrap(), "--addr", broker.addr()]).ok();
    assert!(apply().out.contains("1 added"));
    assert!(apply().out.contains("1 the same"));
    let printed = windlass(&["admin", "config", "--addr", broker.addr()]).ok().out;
    assert!(printed.contains("[schedule.nightly.job]") && printed.contains("America/New_York"), "{printed}");
    fs::write(&file, printed).unwrap();
    assert!(apply().out.contains("1 the same"));
    let mut peer = broker.peer();
    let never = Schedule { cron: "0 0 30 2 *".into(), every_ms: 0, ..every_second() };
    let set = Resource { name: "schedule/s".into(), if_version: 0, what: Some(Content::Schedule(never)) };
    let error = peer.refused(Request::Put(Put { set: vec![set], ..Put::default() }));
    assert_eq!((error.code(), error.field.as_str()), (Code::Invalid, "set[0].schedule.cron"));
}
