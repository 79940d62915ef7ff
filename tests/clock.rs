//! The test clock: time that a client lets pass, and everything that happens on the way.

use crate::harness::{
    Broker, Peer, Program, body, complete, eventually, fail, hello, job, result_of, stream, windlass,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use windlass_proto::v1::attempt::Outcome;
use windlass_proto::v1::result::How;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{
    AdvanceClock, Backoff, Code, Deliver, Fail, Hello, JobSpec, Policy, Put, Query, Resource, Schedule,
    Selector, Settle, State, Watch, backoff, client_frame::Request, query::What, resource, schedule,
};

/// 2030-01-01, where these brokers' clocks begin.
const DAWN: u64 = 1_893_456_000_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

fn by(by_ms: u64) -> AdvanceClock {
    AdvanceClock { by_ms, ..AdvanceClock::default() }
}

impl Peer {
    /// Lets the clock go on, and waits until it has arrived.
    fn advance(&mut self, advance: AdvanceClock) -> u64 {
        body!(self.ask(Request::AdvanceClock(advance)), ClockAdvanced).at_ms
    }

    /// Lets the clock go on and fails every job that a stream brings meanwhile.
    fn advance_failing(&mut self, advance: AdvanceClock) -> u64 {
        let asked = self.say(Request::AdvanceClock(advance));
        loop {
            match self.hear_answer().unwrap() {
                (_, Body::Deliver(Deliver { jobs, .. })) => {
                    let how = || How::Fail(Fail { message: "no".into(), ..Fail::default() });
                    let results = jobs.iter().map(|work| result_of(work, how())).collect();
                    self.say(Request::Settle(Settle { results }));
                }
                (_, Body::Settled(_)) => {}
                (id, Body::ClockAdvanced(advanced)) if id == asked => return advanced.at_ms,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_week_of_retries_passes_at_once_and_each_at_its_time() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    assert_eq!(peer.welcome.server_at_ms, DAWN);
    let list_ms = vec![HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY];
    let backoff = Backoff { shape: backoff::Shape::List.into(), list_ms, ..Backoff::default() };
    let backoff = Backoff { jitter_permille: Some(0), ..backoff };
    let policy = Policy { backoff: Some(backoff), ..Policy::default() };
    let id = peer.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    peer.open_stream(stream("q", 1));
    let week = AdvanceClock { by_ms: 7 * DAY, patience_ms: 60_000, ..AdvanceClock::default() };
    assert_eq!(peer.advance_failing(week), DAWN + 7 * DAY);
    let job = peer.job(&id);
    let began: Vec<u64> = job.history.iter().map(|attempt| attempt.started_at_ms - DAWN).collect();
    assert_eq!(began, [0, HOUR, 7 * HOUR, 31 * HOUR, 79 * HOUR, 151 * HOUR]);
    assert!(job.history.iter().all(|attempt| attempt.ended_at_ms == attempt.started_at_ms), "{job:?}");
    assert_eq!((job.state(), job.run_at_ms), (State::Scheduled, DAWN + (151 + 72) * HOUR));
}

#[test]
fn what_is_due_on_the_way_happens_in_order_and_at_its_time() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    let names = ["job.ready", "job.expired"].map(str::to_owned).to_vec();
    let watch = peer.say(Request::Watch(Watch { names, ..Watch::default() }));
    let mut expected = BTreeMap::new();
    for hours in [5, 1, 4, 2, 3] {
        let late = peer.enqueue(JobSpec { delay_ms: hours * HOUR, ..job("k") });
        let ttl = Policy { ttl_ms: Some(hours * HOUR + 1), ..Policy::default() };
        let brief = peer.enqueue(JobSpec { policy: Some(ttl), ..job("k") });
        expected.insert(DAWN + hours * HOUR, ("job.ready", late));
        expected.insert(DAWN + hours * HOUR + 1, ("job.expired", brief));
    }
    let asked = peer.say(Request::AdvanceClock(AdvanceClock { to_at_ms: DAWN + DAY, ..by(0) }));
    let mut seen = Vec::new();
    loop {
        match peer.hear_answer().unwrap() {
            (id, Body::Event(event)) if id == watch => seen.push((event.at_ms, (event.name, event.job))),
            (id, Body::ClockAdvanced(advanced)) if id == asked => {
                assert_eq!(advanced.at_ms, DAWN + DAY);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<_> = expected.into_iter().map(|(at, (name, id))| (at, (name.to_owned(), id))).collect();
    assert_eq!(seen, expected, "the answer comes behind all of them");
}

#[test]
fn a_week_of_cron_passes_at_once_and_each_tick_at_its_time() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    let schedule = Schedule {
        cron: "0 9 * * 1-5".into(),
        tz: "Europe/Berlin".into(),
        job: Some(JobSpec { id: Bytes::new(), ..job("report") }),
        overlap: schedule::Overlap::Allow.into(),
        ..Schedule::default()
    };
    let what = Some(resource::What::Schedule(schedule));
    let set = vec![Resource { name: "schedule/report".into(), what, ..Resource::default() }];
    body!(peer.ask(Request::Put(Put { set, ..Put::default() })), Stored);
    peer.advance(by(7 * DAY));
    let select = Some(Selector { queue: "q".into(), ..Selector::default() });
    let jobs = peer.rows(Query { what: What::Jobs.into(), select, ..Query::default() }).jobs;
    let made: Vec<u64> = jobs.iter().map(|job| job.created_at_ms).collect();
    // The first of January 2030 is a Tuesday, and nine o'clock in Berlin is eight in UTC.
    assert_eq!(made, [0, 1, 2, 3, 6].map(|day| DAWN + day * DAY + 8 * HOUR));
}

#[test]
fn leases_with_a_time_end_and_sessions_with_a_connection_do_not() {
    let broker = Broker::with_test_clock();
    let (mut tester, mut worker, mut mortal) = (broker.peer(), broker.peer(), broker.peer());
    let [timed, bound, lost] = ["timed", "bound", "lost"].map(|kind| {
        let lease_ms = (kind == "timed").then_some(HOUR);
        let policy = Policy { lease_ms, ..Policy::default() };
        tester.enqueue(JobSpec { queue: kind.into(), policy: Some(policy), ..job(kind) })
    });
    let (held, kept) = (worker.fetch("timed"), worker.fetch("bound"));
    mortal.fetch("lost");
    assert_eq!(held.ends_in_ms, HOUR);
    drop(mortal);
    eventually("the broker has noticed", || {
        let gone = tester.sessions().iter().filter(|session| session.connections == 0).count();
        (gone == 1).then_some(())
    });
    tester.advance(by(HOUR - 1));
    assert_eq!(tester.job(&timed).state(), State::Leased);
    assert_eq!(tester.job(&lost).history[0].outcome(), Outcome::Lost, "nobody was there for 3 s");
    tester.advance(by(7 * DAY));
    let ended = tester.job(&timed);
    assert_eq!((ended.history[0].outcome(), ended.history[0].ended_at_ms), (Outcome::Expired, DAWN + HOUR));
    assert_eq!(tester.job(&bound).state(), State::Leased, "its worker is connected, if silent for a week");
    worker.settle(&kept, complete("late"));
    assert_eq!(tester.job(&bound).finished_at_ms, DAWN + 7 * DAY + HOUR - 1);
    assert_eq!(tester.sessions().len(), 2);
}

#[test]
fn without_patience_time_does_not_wait_for_workers() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    let id = peer.enqueue(job("k"));
    let work = peer.fetch("q");
    assert_eq!(peer.advance(by(DAY)), DAWN + DAY);
    assert_eq!(peer.advance(AdvanceClock { patience_ms: 1, ..by(DAY) }), DAWN + 2 * DAY, "it waits for 1 ms");
    peer.settle(&work, fail("late"));
    let attempt = peer.job(&id).history.remove(0);
    assert_eq!((attempt.started_at_ms, attempt.ended_at_ms), (DAWN, DAWN + 2 * DAY));
}

#[test]
fn a_clock_goes_by_a_time_or_to_an_instant_and_never_back() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    assert_eq!(peer.welcome.features, ["test_clock"]);
    assert_eq!(peer.advance(by(0)), DAWN, "it says what time it is");
    let to = |to_at_ms| AdvanceClock { to_at_ms, ..AdvanceClock::default() };
    assert_eq!(peer.advance(to(DAWN)), DAWN);
    let century = 36_525 * DAY;
    for (field, advance) in [
        ("to_at_ms", to(DAWN - 1)),
        ("to_at_ms", to(DAWN + century + 1)),
        ("to_at_ms", AdvanceClock { by_ms: 1, ..to(DAWN + 1) }),
        ("by_ms", by(century + 1)),
        ("patience_ms", AdvanceClock { patience_ms: 60_001, ..by(1) }),
    ] {
        let refused = peer.refused(Request::AdvanceClock(advance));
        assert_eq!((refused.code(), refused.field.as_str()), (Code::Invalid, field), "{}", refused.message);
    }
    let cli = windlass(&["admin", "advance-clock", "1h30m", "--addr", broker.addr()]).ok();
    assert_eq!(cli.lines(), ["2030-01-01T01:30:00.000Z"]);
    assert_eq!(peer.advance(by(century)), DAWN + century + 3 * HOUR / 2);
}

#[test]
fn a_broker_without_a_test_clock_refuses_to_advance_it() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let refused = peer.refused(Request::AdvanceClock(by(DAY)));
    assert_eq!(refused.code(), Code::Unsupported);
    assert_eq!(windlass(&["admin", "advance-clock", "1d", "--addr", broker.addr()]).code, 1);
    assert!(refused.message.contains("--test-clock"), "{}", refused.message);
    assert_eq!(peer.welcome.features, [""; 0]);
    let require = vec!["test_clock".to_owned()];
    let refused = Peer::mute(broker.addr()).refused(Request::Hello(Hello { require, ..hello() }));
    assert_eq!((refused.code(), refused.field.as_str()), (Code::Unsupported, "require[0]"));
}

#[test]
fn an_ephemeral_broker_leaves_nothing_behind() {
    let mut broker = Broker::with(&["--ephemeral"]);
    let homes = |broker: &Broker| {
        let entries = fs::read_dir(broker.home()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("windlass-ephemeral-")).count()
    };
    assert_eq!(homes(&broker), 1);
    broker.peer().enqueue(job("k"));
    assert_eq!((broker.terminate(), homes(&broker)), (0, 0));
}

/// Any language can do this: the script has nothing but a standard library.
#[test]
fn a_week_passes_in_python() {
    let broker = Broker::with_test_clock();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clock/week.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(broker.addr());
    let mut python = Program::start(&mut python, broker.home(), "week");
    let code = eventually("the script ends", || python.exit_code());
    assert_eq!((code, python.stderr().as_str()), (0, ""));
    let began: Vec<String> = python.stdout().lines().map(str::to_owned).collect();
    assert_eq!(began, ["0 h", "1 h", "25 h", "73 h", "dead after 168 h"]);
}
