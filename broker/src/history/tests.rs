//! The history over a real engine, in virtual time.

use super::*;
use windlass_engine::command::{Enqueue, Hello, JobSpec};
use windlass_engine::{Command, JobId, Request, SessionId, Start, Turn};

const DAWN: u64 = 1_893_456_000_000;
const STEP: u64 = SPANS[0].0;

/// An engine, and how many jobs it was given.
struct World {
    engine: Engine,
    jobs: u64,
    now: u64,
}

impl World {
    fn new() -> Self {
        let mut engine = Engine::new(1);
        engine.start(Start { now: DAWN, minutes: 1 }, &mut Turn::new(1));
        let mut world = Self { engine, jobs: 0, now: DAWN };
        let hello = Hello {
            namespace: "default".into(),
            client: "test".into(),
            host: String::new(),
            pid: 0,
            labels: Vec::new(),
            session_ttl_ms: 3_600_000,
            resume: None,
            running: None,
            fresh: SessionId([1; 16]),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        world.apply(Command::Hello(Box::new(hello)));
        world
    }

    fn apply(&mut self, command: Command) {
        let mut turn = Turn::new(2);
        self.engine.apply(self.now, Request { conn: 1, id: 1 }, command, &mut turn);
        self.engine.tick(self.now, &mut turn);
    }

    fn enqueue(&mut self, queue: &str, count: u64) {
        let job = |number: u64| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_le_bytes());
            Ok(JobSpec { id: JobId(id), queue: queue.into(), kind: "k".into(), ..JobSpec::default() })
        };
        let jobs = (self.jobs..self.jobs + count).map(job).collect();
        self.jobs += count;
        self.apply(Command::Enqueue(Enqueue { jobs, partial: false, wait_ms: None }));
    }

    /// So many steps go by.
    fn pass(&mut self, steps: u64, history: &History) {
        for _ in 0..steps {
            self.now += STEP;
            history.sample(self.now, &self.engine);
        }
    }

    fn series(&self, history: &History, metric: Metric, queue: &str, window_ms: u64) -> SeriesView {
        let names = &self.engine.ledger().names;
        let namespace = names.find(&Name::Namespace("default".into())).unwrap();
        let id = |queue: &str| names.find(&Name::Queue(namespace, queue.into())).unwrap();
        let mut rows = [SeriesView {
            metric,
            queue: (!queue.is_empty()).then(|| (id(queue), queue.into())),
            namespace,
            start_at: 0,
            step_ms: STEP,
            window_ms,
            values: Vec::new(),
        }];
        history.fill(&mut rows);
        let [row] = rows;
        row
    }
}

fn scale(ready: u64, leased: u64, slots: u64) -> ScaleView {
    ScaleView {
        id: 0,
        name: String::new(),
        ready,
        leased,
        slots,
        streams: slots.div_ceil(10),
        window_ms: 60_000,
        backlog_ms: 0,
        desired_workers: 0,
    }
}

#[test]
fn what_happened_in_a_step_is_counted_in_it() {
    let (mut world, history) = (World::new(), History::default());
    history.begin(world.now, &world.engine);
    world.enqueue("mail", 3);
    world.pass(1, &history);
    world.enqueue("mail", 2);
    world.enqueue("bills", 1);
    world.pass(2, &history);
    let values = |metric, queue| world.series(&history, metric, queue, 3 * STEP).values;
    assert_eq!(values(Metric::Enqueued, "mail"), [3, 2, 0]);
    assert_eq!(values(Metric::Ready, "mail"), [3, 5, 5]);
    assert_eq!(values(Metric::Enqueued, ""), [3, 3, 0], "all together");
    assert_eq!(values(Metric::Enqueued, "bills"), [0, 1, 0]);
    assert_eq!(world.series(&history, Metric::Ready, "mail", 3 * STEP).start_at, DAWN);
}

#[test]
fn steps_that_nobody_looked_at_are_filled() {
    let (mut world, history) = (World::new(), History::default());
    history.begin(world.now, &world.engine);
    world.enqueue("mail", 3);
    world.now += 5 * STEP;
    history.sample(world.now, &world.engine);
    let row = |metric| world.series(&history, metric, "mail", 5 * STEP);
    assert_eq!(row(Metric::Enqueued).values, [3, 0, 0, 0, 0]);
    assert_eq!(row(Metric::Ready).values, [3; 5]);
}

#[test]
fn what_is_saved_goes_on_after_a_restart_and_what_was_not_is_counted_then() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("history");
    let (mut world, history) = (World::new(), History::load(&folder));
    history.begin(world.now, &world.engine);
    world.enqueue("mail", 3);
    world.pass(7, &history);
    (0..FILES.len()).for_each(|ring| history.save(&folder, ring).unwrap());
    // These come after the last save, and a crash follows.
    world.enqueue("mail", 2);
    world.pass(1, &history);
    let again = History::load(&folder);
    world.now += 2 * STEP;
    again.begin(world.now, &world.engine);
    world.pass(1, &again);
    let values = |metric| world.series(&again, metric, "mail", 11 * STEP).values;
    assert_eq!(values(Metric::Enqueued), [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(values(Metric::Ready), [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5]);
    let month = world.series(&again, Metric::Enqueued, "mail", 30 * 86_400_000);
    assert_eq!((month.step_ms, month.values), (900_000, vec![0; 2_880]), "no quarter of an hour is over");
}

#[test]
fn damaged_files_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("10s"), b"WLHIST no").unwrap();
    let (mut world, history) = (World::new(), History::load(dir.path()));
    history.begin(world.now, &world.engine);
    world.enqueue("mail", 1);
    world.pass(1, &history);
    assert_eq!(world.series(&history, Metric::Enqueued, "mail", STEP).values, [1]);
}

#[test]
fn so_many_queues_are_kept_and_a_busy_one_takes_the_place_of_an_idle_one() {
    let (mut world, history) = (World::new(), History::default());
    history.begin(world.now, &world.engine);
    for number in 0..=SERIES_QUEUES_MAX {
        world.enqueue(&format!("q{number:04}"), 1);
    }
    world.pass(1, &history);
    let last = format!("q{SERIES_QUEUES_MAX:04}");
    assert!(world.series(&history, Metric::Ready, &last, STEP).values.is_empty());
    assert_eq!(world.series(&history, Metric::Ready, "", STEP).values, [SERIES_QUEUES_MAX as u64 + 1]);
    world.now += SERIES_IDLE_MS + STEP;
    world.pass(2, &history);
    world.enqueue(&last, 1);
    world.pass(1, &history);
    assert_eq!(world.series(&history, Metric::Ready, &last, STEP).values, [2]);
    assert_eq!(history.lock().number(true), SERIES_QUEUES_MAX);
}

#[test]
fn scaling_follows_the_speed_of_late() {
    let speed = |steps, ended, leased| Speed { steps, ended, leased };
    let figures = |speed: Speed, mut row: ScaleView| {
        speed.apply(&mut row);
        (row.backlog_ms, row.desired_workers)
    };
    // 60 jobs a minute, ten at a time: a job takes ten seconds.
    let steady = speed(6, 60, 60);
    assert_eq!(figures(steady, scale(0, 10, 10)), (0, 1), "what runs goes on running");
    assert_eq!(figures(steady, scale(60, 10, 10)), (60_000, 2), "as many again within the minute");
    assert_eq!(figures(steady, scale(600, 10, 10)), (600_000, 11));
    assert_eq!(figures(Speed::default(), scale(0, 0, 0)), (0, 0), "nothing to do");
    assert_eq!(figures(Speed::default(), scale(90, 0, 0)), (90_000, 2), "nobody has worked yet");
    assert_eq!(figures(speed(6, 1_000_000, 0), scale(5, 0, 10)).1, 1, "faster than it is looked at");
}
