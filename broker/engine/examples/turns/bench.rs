//! An engine with a clock and clients, who take one turn after the other.

use windlass_engine::command::{
    Command, Enqueue, Fetch, Hello, How, JobSpec, Put, Scope, SetResource, Settlement, Target,
};
use windlass_engine::engine::Start;
use windlass_engine::fact::ResourceBody;
use windlass_engine::frame::Body;
use windlass_engine::ids::{ConnId, JobId, Request, SessionId};
use windlass_engine::limit::Limit;
use windlass_engine::{Engine, Frame, Turn};

/// An engine, its clock and its clients.
pub(crate) struct Bench {
    engine: Engine,
    pub(crate) now: u64,
    batch: u64,
    jobs: u128,
    first_key: u128,
    requests: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut bench = Self {
            engine: Engine::new(1),
            now: 1_800_000_000_000,
            batch: 1,
            jobs: 0,
            first_key: 0,
            requests: 0,
        };
        bench.engine.start(Start { now: bench.now, minutes: 1 }, &mut Turn::new(1));
        bench
    }

    pub(crate) fn hello(&mut self, conn: ConnId) {
        let mut fresh = [0; 16];
        fresh[..8].copy_from_slice(&conn.to_le_bytes());
        let hello = Hello {
            namespace: "default".into(),
            client: "turns".into(),
            host: String::new(),
            pid: 0,
            labels: Vec::new(),
            session_ttl_ms: 3_600_000,
            resume: None,
            running: None,
            fresh: SessionId(fresh),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        self.turn(vec![(conn, Command::Hello(Box::new(hello)))]);
    }

    pub(crate) fn fetch(slots: u32) -> Command {
        Command::Fetch(Box::new(Fetch {
            stream: 0,
            queues: vec!["mail".into()],
            weights: Vec::new(),
            batch: None,
            kinds: vec!["send".into()],
            slots,
            once: 0,
            wait_ms: 0,
            lease_ms: None,
            close: false,
        }))
    }

    /// Sets the one limit of the queue.
    pub(crate) fn limit(&mut self, limit: Limit) {
        let set = SetResource {
            target: Target::Limit("each".into()),
            if_version: 0,
            body: ResourceBody::Limit(limit),
            scope: Scope { queue: "mail".into(), ..Scope::default() },
        };
        self.turn(vec![(1, Command::Put(Put { set: vec![set], ..Put::default() }))]);
    }

    /// Jobs with keys that take turns, or with none.
    pub(crate) fn enqueue(&mut self, count: usize, keys: u128) -> Command {
        self.enqueue_as(count, |job| if keys == 0 { String::new() } else { format!("key-{}", job % keys) })
    }

    pub(crate) fn enqueue_as(&mut self, count: usize, key: impl Fn(u128) -> String) -> Command {
        let jobs = (0..count).map(|_| {
            self.jobs += 1;
            // Ids of clients are not in order.
            let id = self.jobs.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            Ok(JobSpec {
                id: JobId(id.to_le_bytes()),
                queue: "mail".into(),
                kind: "send".into(),
                key: key(self.jobs - self.first_key),
                payload: windlass_engine::Blob::from(&[7; 100][..]),
                ..JobSpec::default()
            })
        });
        Command::Enqueue(Enqueue { jobs: jobs.collect(), partial: false, wait_ms: None })
    }

    /// Two turns: jobs come and are leased; then they are completed.
    pub(crate) fn life(&mut self, enqueue: Command, count: usize) {
        let leases = self.turn(vec![(1, enqueue)]);
        assert_eq!(leases.len(), count, "every job finds a worker");
        let more = self.turn(completed(leases));
        assert!(more.is_empty(), "there is no other job");
        self.now += 1;
    }

    /// One turn: what was leased is completed, and more jobs come; the leases it gave out.
    pub(crate) fn pass(
        &mut self,
        leases: Vec<(ConnId, Settlement)>,
        enqueue: Command,
    ) -> Vec<(ConnId, Settlement)> {
        let mut commands = completed(leases);
        commands.push((1, enqueue));
        self.turn(commands)
    }

    /// Keys come again from the first one on.
    pub(crate) fn start_over(&mut self) {
        self.first_key = self.jobs;
    }

    /// The next turn has something to do at once.
    pub(crate) fn has_work(&self) -> bool {
        self.engine.next_deadline() == Some(0)
    }

    /// A turn; the leases it gave out.
    pub(crate) fn turn(&mut self, commands: Vec<(ConnId, Command)>) -> Vec<(ConnId, Settlement)> {
        self.batch += 1;
        let mut turn = Turn::new(self.batch);
        for (conn, command) in commands {
            self.requests += 1;
            let from = Request { conn, id: self.requests };
            self.engine.apply(self.now, from, command, &mut turn);
        }
        self.engine.tick(self.now, &mut turn);
        turn.frames.iter().flat_map(settlements).collect()
    }
}

/// Who was given jobs completes them.
fn completed(leases: Vec<(ConnId, Settlement)>) -> Vec<(ConnId, Command)> {
    let mut results: Vec<(ConnId, Vec<Settlement>)> = Vec::new();
    for (conn, settlement) in leases {
        match results.last_mut() {
            Some((last, list)) if *last == conn => list.push(settlement),
            Some(_) | None => results.push((conn, vec![settlement])),
        }
    }
    results.into_iter().map(|(conn, list)| (conn, Command::Settle(list))).collect()
}

fn settlements(frame: &Frame) -> Vec<(ConnId, Settlement)> {
    let Body::Deliver { works, .. } = &frame.body else { return Vec::new() };
    let settle = |id, fence| Settlement {
        id,
        fence,
        how: How::Complete(windlass_engine::Blob::default()),
        checkpoint: None,
        spawn: None,
    };
    works.iter().map(|work| (frame.to.conn, settle(work.id, work.fence))).collect()
}
