//! Bounds that only large numbers reach: a session's leases, what one turn decides when sessions with
//! many of them are lost, and changes of many jobs.

use windlass_engine::command::{
    After, Change, Command, Enqueue, Fetch, Flow, Hello, How, JobSpec, Mutation, Pace, Put, Scope, Select,
    SetResource, Settlement, Target, Wishes,
};
use windlass_engine::engine::Start;
use windlass_engine::fact::{Fact, ResourceBody};
use windlass_engine::flow::{DepPolicy, On};
use windlass_engine::frame::{Body, Work};
use windlass_engine::ids::{ConnId, JobId, OperationId, Request, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::limit::Limit;
use windlass_engine::limits::{
    AUDITS_MAX, ENQUEUE_JOBS_MAX, LEASES_PER_TICK, SESSION_LEASES_MAX, SESSION_TTL_MS_DEFAULT, SLOTS_MAX,
    STOP_SAMPLES_MIN, TIMERS_PER_TICK,
};
use windlass_engine::{Blob, Engine, Turn};

const DAWN: u64 = 1_800_000_000_000;

struct Crowd {
    engine: Engine,
    now: u64,
    batch: u64,
    requests: u64,
    works: Vec<(ConnId, Work)>,
}

impl Crowd {
    fn new() -> Self {
        let mut engine = Engine::new(1);
        engine.start(Start { now: DAWN, minutes: 1 }, &mut Turn::new(1));
        Self { engine, now: DAWN, batch: 1, requests: 0, works: Vec::new() }
    }

    /// One turn, and how many facts it decided.
    fn turn(&mut self, command: Option<(ConnId, Command)>) -> Vec<Fact> {
        self.batch += 1;
        self.requests += 1;
        let mut turn = Turn::new(self.batch);
        if let Some((conn, command)) = command {
            self.engine.apply(self.now, Request { conn, id: self.requests }, command, &mut turn);
        }
        self.engine.tick(self.now, &mut turn);
        for frame in turn.frames {
            assert!(!matches!(frame.body, Body::Error(_)), "{:?}", frame.body);
            if let Body::Deliver { works, .. } = frame.body {
                self.works.extend(works.into_iter().map(|work| (frame.to.conn, work)));
            }
        }
        turn.facts
    }

    /// Turns until no work is left for this moment; the largest of them.
    fn rest(&mut self) -> usize {
        let mut largest = 0;
        while self.engine.next_deadline().is_some_and(|at| at <= self.now) {
            largest = largest.max(self.turn(None).len());
        }
        self.engine.audit().expect("the indexes agree with the ledger");
        largest
    }

    fn worker(&mut self, conn: ConnId, streams: u32) {
        let hello = Hello {
            namespace: "default".into(),
            client: "crowd".into(),
            host: String::new(),
            pid: 0,
            labels: Vec::new(),
            session_ttl_ms: 0,
            resume: None,
            running: None,
            fresh: SessionId([u8::try_from(conn).expect("a few connections"); 16]),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        self.turn(Some((conn, Command::Hello(Box::new(hello)))));
        for _ in 0..streams {
            let fetch = Fetch {
                stream: 0,
                queues: vec!["q".into()],
                weights: Vec::new(),
                batch: None,
                kinds: Vec::new(),
                slots: SLOTS_MAX,
                once: 0,
                wait_ms: 0,
                lease_ms: None,
                close: false,
            };
            self.turn(Some((conn, Command::Fetch(Box::new(fetch)))));
        }
    }

    fn jobs(&mut self, conn: ConnId, count: usize) {
        for first in (0..count).step_by(ENQUEUE_JOBS_MAX) {
            let spec = |number: usize| JobSpec {
                id: JobId((1 + number as u128).to_be_bytes()),
                queue: "q".into(),
                kind: "k".into(),
                key: String::new(),
                payload: Blob::default(),
                ..JobSpec::default()
            };
            let jobs = (first..count.min(first + ENQUEUE_JOBS_MAX)).map(|number| Ok(spec(number))).collect();
            self.turn(Some((conn, Command::Enqueue(Enqueue { jobs, partial: false, wait_ms: None }))));
        }
    }
}

#[test]
fn a_session_holds_so_many_leases_and_takes_the_next_job_when_one_ends() {
    let mut crowd = Crowd::new();
    crowd.worker(1, 3);
    crowd.jobs(1, SESSION_LEASES_MAX + 10);
    crowd.rest();
    assert_eq!(crowd.works.len(), SESSION_LEASES_MAX, "though three streams have room for more");
    for _ in 0..10 {
        let (conn, work) = crowd.works.remove(0);
        let how = How::Complete(Blob::default());
        let settle = Command::Settle(vec![Settlement {
            id: work.id,
            fence: work.fence,
            how,
            checkpoint: None,
            spawn: None,
        }]);
        crowd.turn(Some((conn, settle)));
        crowd.rest();
        assert_eq!(crowd.works.len(), SESSION_LEASES_MAX);
    }
}

#[test]
fn many_lost_sessions_are_decided_in_turns_of_bounded_size() {
    let mut crowd = Crowd::new();
    for conn in 1..=4 {
        crowd.worker(conn, 2);
    }
    crowd.jobs(1, 4 * SESSION_LEASES_MAX);
    crowd.rest();
    assert_eq!(crowd.works.len(), 4 * SESSION_LEASES_MAX);
    crowd.now += SESSION_TTL_MS_DEFAULT;
    let largest = crowd.rest();
    let bound = SESSION_LEASES_MAX + TIMERS_PER_TICK + LEASES_PER_TICK + 10;
    assert!(largest <= bound, "{largest} facts in one turn, at most {bound}");
    assert!(crowd.engine.ledger().jobs.iter().all(|job| job.lease.is_none() && job.crashes == 1));
    assert!(crowd.engine.ledger().sessions.is_empty());
}

#[test]
fn the_audit_keeps_the_last_entries() {
    let mut crowd = Crowd::new();
    crowd.worker(1, 0);
    let target = || Target::Limit("pause".into());
    for round in 0..AUDITS_MAX + 20 {
        let limit = Limit { concurrency: Some(0), ..Limit::default() };
        let (body, scope) = (ResourceBody::Limit(limit), Scope { queue: "mail".into(), ..Scope::default() });
        let set = vec![SetResource { target: target(), if_version: 0, body, scope }];
        let put = match round % 2 {
            0 => Put { set, ..Put::default() },
            _ => Put { remove: vec![target()], ..Put::default() },
        };
        crowd.turn(Some((1, Command::Put(put))));
    }
    let audits = &crowd.engine.ledger().audits;
    assert_eq!(audits.len(), AUDITS_MAX);
    assert_eq!(audits.keys().copied().min(), Some(21), "the oldest went first");
}

fn change_of(id: u8, to: Mutation, pace: Pace) -> Command {
    let operation = Some(OperationId([id; 16]));
    Command::Change(Box::new(Change { pace, operation, ..Change::new(Select::default(), to) }))
}

#[test]
fn a_change_of_many_jobs_is_counted_and_made_in_slices() {
    let mut crowd = Crowd::new();
    crowd.worker(1, 0);
    let count = 45_000;
    crowd.jobs(1, count);
    let facts = crowd.turn(Some((1, change_of(1, Mutation::Bury, Pace::default()))));
    assert!(facts.is_empty(), "the jobs are still being counted");
    let largest = crowd.rest();
    assert!(largest <= 2 * TIMERS_PER_TICK, "{largest} facts in one turn");
    let ledger = crowd.engine.ledger();
    assert!(ledger.jobs.iter().all(|job| job.state == State::Dead));
    let operation = &ledger.operations[&OperationId([1; 16])].operation;
    let all = count as u64;
    assert_eq!((operation.matched, operation.changed, operation.finished_at), (all, all, DAWN));
    // Few enough are changed at once, after they were counted.
    let few = Change { max: 7, ..Change::new(Select::default(), Mutation::Delete) };
    crowd.turn(Some((1, Command::Change(Box::new(few)))));
    crowd.rest();
    assert_eq!(crowd.engine.ledger().jobs.len(), count - 7);
}

#[test]
fn a_guarded_retry_stops_when_too_many_jobs_fail_again() {
    let mut crowd = Crowd::new();
    crowd.worker(1, 1);
    crowd.turn(Some((1, change_of(9, Mutation::Delete, Pace::default()))));
    crowd.jobs(1, 400);
    crowd.rest();
    let fail = |crowd: &mut Crowd, share: usize| {
        for (place, (conn, work)) in std::mem::take(&mut crowd.works).into_iter().enumerate() {
            let error = Box::default();
            let failed = How::Fail { error, fatal: true, retry_after_ms: None };
            let how = if place % 10 < share { failed } else { How::Complete(Blob::default()) };
            let settle = Command::Settle(vec![Settlement {
                id: work.id,
                fence: work.fence,
                how,
                checkpoint: None,
                spawn: None,
            }]);
            crowd.turn(Some((conn, settle)));
        }
        crowd.rest();
    };
    fail(&mut crowd, 10);
    let retry = |id| {
        let to = Mutation::Retry { reset_attempts: true, spread_ms: 0 };
        let states = [State::Dead].into_iter().collect();
        let pace = Pace { per_second: 0, stop_failure_permille: 300 };
        let select = Select { states, ..Select::default() };
        let change = Change { pace, operation: Some(OperationId([id; 16])), ..Change::new(select, to) };
        Command::Change(Box::new(change))
    };
    // Nothing is mended: the first twenty fail, and no further one is touched.
    crowd.turn(Some((1, retry(1))));
    crowd.rest();
    assert_eq!(crowd.works.len() as u64, STOP_SAMPLES_MIN);
    fail(&mut crowd, 10);
    let operation = crowd.engine.ledger().operations[&OperationId([1; 16])].operation.clone();
    assert_eq!((operation.changed, &*operation.stopped_why), (20, "20 of 20 failed again"));
    // Mended for the most part: it dares more and more, and comes to its end.
    crowd.turn(Some((1, retry(2))));
    for _ in 0..20 {
        crowd.rest();
        fail(&mut crowd, 2);
    }
    let operation = crowd.engine.ledger().operations[&OperationId([2; 16])].operation.clone();
    assert_eq!((operation.changed, &*operation.stopped_why), (400, ""));
    assert!((80..100).contains(&crowd.engine.count_of(State::Dead)));
}

#[test]
fn who_comes_while_others_still_hear_of_an_end_hears_of_the_next_one() {
    let mut crowd = Crowd::new();
    crowd.worker(1, 0);
    let spec = |number: u128, after: &[u128]| {
        let after = after.iter().map(|job| After { job: JobId(job.to_be_bytes()), on: On::Success });
        let flow = Flow { after: after.collect(), policy: DepPolicy::default(), group: None };
        let wishes = Some(Box::new(Wishes { flow: Some(Box::new(flow)), ..Wishes::default() }));
        let id = JobId(number.to_be_bytes());
        Ok(JobSpec { id, queue: "q".into(), kind: "k".into(), wishes, ..JobSpec::default() })
    };
    let enqueue = |jobs| Some((1, Command::Enqueue(Enqueue { jobs, partial: false, wait_ms: None })));
    let change = |to| {
        let select = Select { ids: Some(vec![JobId(1_u128.to_be_bytes())]), ..Select::default() };
        Some((1, Command::Change(Box::new(Change::new(select, to)))))
    };
    crowd.turn(enqueue(vec![spec(1, &[])]));
    for first in [10_000, 20_000] {
        crowd.turn(enqueue((first..first + 10_000).map(|number| spec(number, &[1])).collect()));
    }
    crowd.turn(change(Mutation::Bury));
    crowd.turn(change(Mutation::Retry { reset_attempts: false, spread_ms: 0 }));
    crowd.turn(enqueue(vec![spec(2, &[1])]));
    assert_eq!(crowd.engine.ledger().fallouts.len(), 1, "not all have heard of the first end");
    crowd.turn(change(Mutation::Bury));
    crowd.rest();
    assert_eq!(crowd.engine.count_of(State::Blocked), 0, "nobody waits for what has ended");
    assert!(crowd.engine.ledger().fallouts.is_empty());
}
