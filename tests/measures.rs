//! What the broker measures: kinds, courses over time, figures for scaling.

use crate::harness::{Broker, Peer, body, complete, eventually, fail, job, stream};
use windlass_proto::v1::{
    AdvanceClock, JobSpec, Query, Selector, SeriesView, client_frame::Request, query::What,
};

/// 2030-01-01, where these brokers' clocks begin.
const DAWN: u64 = 1_893_456_000_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

fn in_queue(queue: &str) -> JobSpec {
    JobSpec { queue: queue.into(), ..job("k") }
}

impl Peer {
    fn wait(&mut self, by_ms: u64) {
        let advance = AdvanceClock { by_ms, ..AdvanceClock::default() };
        body!(self.ask(Request::AdvanceClock(advance)), ClockAdvanced);
    }

    fn course(&mut self, metric: &str, queue: &str, window_ms: u64, step_ms: u64) -> SeriesView {
        let select = Some(Selector { queue: queue.into(), ..Selector::default() });
        let (what, name) = (What::Series.into(), metric.to_owned());
        let rows = self.rows(Query { what, name, select, window_ms, step_ms, ..Query::default() });
        let [row] = rows.series.try_into().unwrap();
        assert_eq!((row.metric.as_str(), row.queue.as_str()), (metric, queue));
        row
    }
}

#[test]
fn a_kind_tells_what_became_of_its_jobs() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue_all(vec![job("a"), job("a")]);
    peer.open_stream(stream("other", 4));
    let (first, second) = (peer.fetch("q"), peer.fetch("q"));
    peer.enqueue(job("b"));
    peer.settle(&first, complete(""));
    peer.settle(&second, fail("no"));
    let check = |peer: &mut Peer| {
        let kinds = peer.rows(Query { what: What::Kinds.into(), ..Query::default() });
        assert_eq!((kinds.total, kinds.total_exact), (2, true));
        let [a, b] = kinds.kinds.try_into().unwrap();
        assert_eq!((a.name.as_str(), a.completed_total, a.failed_total), ("a", 1, 1));
        assert_eq!((b.name.as_str(), b.ready), ("b", 1));
        a.streams
    };
    assert_eq!(check(&mut peer), 1, "a stream of any kind");
    assert_eq!(broker.terminate(), 0);
    broker.restart();
    assert_eq!(check(&mut broker.peer()), 0);
}

#[test]
fn a_month_of_courses_passes_at_once_and_each_step_has_what_happened_in_it() {
    let broker = Broker::with_test_clock();
    let mut peer = broker.peer();
    for day in 1..=40 {
        peer.enqueue_all((0..day).map(|_| in_queue("mail")).collect());
        peer.enqueue(in_queue("bills"));
        peer.wait(DAY);
    }
    let month = peer.course("enqueued", "mail", 30 * DAY, DAY);
    assert_eq!((month.start_at_ms, month.step_ms), (DAWN + 10 * DAY, DAY));
    assert_eq!(month.values, (11..=40).collect::<Vec<_>>());
    assert_eq!(peer.course("enqueued", "", 30 * DAY, DAY).values, (12..=41).collect::<Vec<_>>());
    let levels = peer.course("ready", "bills", 3 * DAY, DAY);
    assert_eq!(levels.values, [38, 39, 40]);
    let hour = peer.course("ready", "bills", HOUR, 0);
    assert_eq!((hour.step_ms, hour.values), (60 * SECOND, vec![40; 60]));
    let select = Some(Selector { all: true, ..Selector::default() });
    let each = Query { what: What::Series.into(), name: "ready".into(), select, ..Query::default() };
    let each: Vec<_> = peer.rows(each).series.into_iter().map(|row| row.queue).collect();
    assert_eq!(each, ["bills", "mail"]);
}

#[test]
fn a_course_survives_a_restart() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue_all(vec![job("k"), job("k"), job("k")]);
    // Whether the ten seconds are over or not: what is not counted before is counted after.
    assert_eq!(broker.terminate(), 0);
    assert!(broker.data().join("history/10s").exists());
    broker.restart();
    let mut peer = broker.peer();
    let sum = |course: SeriesView| course.values.iter().sum::<u64>();
    eventually("the jobs are in the course", || {
        (sum(peer.course("enqueued", "q", HOUR, 10 * SECOND)) == 3).then_some(())
    });
}

#[test]
fn who_scales_is_told_how_long_the_backlog_takes_and_how_many_would_clear_it() {
    let broker = Broker::with_test_clock();
    let (mut peer, mut worker) = (broker.peer(), broker.peer());
    let figures = |peer: &mut Peer, window_ms| {
        let query = Query { what: What::Scale.into(), name: "q".into(), window_ms, ..Query::default() };
        let [row] = peer.rows(query).scales.try_into().unwrap();
        row
    };
    let none = figures(&mut peer, 0);
    assert_eq!((none.queue.as_str(), none.ready, none.backlog_ms, none.desired_workers), ("q", 0, 0, 0));
    // Ten jobs a minute, one at a time: each takes six seconds.
    peer.enqueue_all((0..30).map(|_| job("k")).collect());
    let stream = worker.open_stream(stream("q", 1));
    for _ in 0..10 {
        let work = worker.delivery(stream).jobs.remove(0);
        peer.wait(6 * SECOND);
        worker.settle(&work, complete(""));
    }
    peer.wait(10 * SECOND);
    let row = figures(&mut peer, 60 * SECOND);
    assert_eq!((row.ready, row.leased, row.slots, row.load_permille), (19, 1, 1, 20_000));
    let minutes = row.backlog_ms as f64 / 60_000.0;
    assert!((1.7..2.3).contains(&minutes), "19 jobs at about ten a minute: {row:?}");
    assert!((3..=4).contains(&row.desired_workers), "{row:?}");
    assert_eq!(figures(&mut peer, HOUR).desired_workers, 2, "one that goes on, and a bit");
}
