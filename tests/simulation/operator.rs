//! An operator: cancels, retries, deletes, pauses, schedules, gives orders, and looks at everything.

use super::actor::{Actor, Link};
use super::scene::{KINDS, QUEUES, Scene};
use super::swarm::Dial;
use windlass_broker::door::Door;
use windlass_engine::command::{
    Change, Enqueue, JobSpec, JobsQuery, Mutation, Pace, Patch, Put, Query, Scope, Select, SetResource,
    Target, Tell, Wishes,
};
use windlass_engine::fact::ResourceBody;
use windlass_engine::frame::Body;
use windlass_engine::limit::Limit;
use windlass_engine::order::Order;
use windlass_engine::policy::{Backoff, Policy};
use windlass_engine::queue_conf::{Dispatch, QueueConf};
use windlass_engine::schedule::TickOf;
use windlass_engine::{Blob, Command, Frame, JobId, OperationId};

/// Limits that come and go.
const LIMITS: [&str; 4] = ["pause", "slow", "keys", "gpu"];

/// Schedules that come and go.
const SCHEDULES: [&str; 2] = ["often", "seldom"];

/// One operator.
pub struct Operator {
    link: Link,
    has_configured: bool,
    is_sorry: bool,
}

impl Operator {
    /// An operator who has not touched anything yet.
    pub fn new(namespace: &'static str) -> Self {
        let link = Link::new("operator".into(), namespace, 60_000);
        Self { link, has_configured: false, is_sorry: false }
    }

    /// Retries come quickly here, so that histories stay short.
    fn configure(&mut self) {
        let backoff = Backoff { base_ms: 300, max_ms: 20_000, ..Backoff::DEFAULT };
        let policy = Policy { backoff: Some(backoff), keep_done_ms: Some(120_000), ..Policy::default() };
        self.set(Target::Namespace, ResourceBody::Policy(policy));
        self.has_configured = true;
    }

    fn set(&mut self, target: Target, body: ResourceBody) {
        self.set_scoped(target, body, Scope::default());
    }

    fn set_scoped(&mut self, target: Target, body: ResourceBody, scope: Scope) {
        let set = vec![SetResource { target, if_version: 0, body, scope }];
        self.link.ask(Command::Put(Put { set, ..Put::default() }));
    }

    fn remove(&mut self, remove: Vec<Target>) {
        self.link.ask(Command::Put(Put { remove, ..Put::default() }));
    }

    fn change(&mut self, ids: Vec<JobId>, scene: &mut Scene) {
        let to = match scene.random.below(13) {
            0..=3 => {
                scene.asked.cancels.extend(&ids);
                let grace_ms = if scene.random.chance(40) { 0 } else { scene.random.between(1, 5_000) };
                Mutation::Cancel { why: "changed my mind".into(), grace_ms, dependents: false }
            }
            4..=6 => {
                scene.asked.retries.extend(&ids);
                Mutation::Retry { reset_attempts: scene.random.chance(50), spread_ms: 0 }
            }
            7 => {
                scene.asked.deletes.extend(&ids);
                Mutation::Delete
            }
            8 => Mutation::Move((*scene.random.pick(&QUEUES)).into()),
            9 => {
                let priority = u8::try_from(scene.random.below(10)).ok();
                let policy = Policy { priority, ..Policy::default() };
                let add_tags = vec!["patched".into()];
                Mutation::Patch(Box::new(Patch { policy, add_tags, ..Patch::default() }))
            }
            10 => Mutation::Bury,
            11 => Mutation::Confirm,
            _ => Mutation::RunAt(if scene.random.chance(50) { 0 } else { scene.now + 3_000 }),
        };
        let dry_run = scene.random.chance(5);
        let runs_again = matches!(to, Mutation::Retry { .. });
        let mut change = Change { dry_run, ..Change::new(Select::ids(ids), to) };
        if runs_again && scene.random.chance(50) {
            change.operation = Some(OperationId(scene.random.bytes16()));
            change.pace = Pace { per_second: 3, stop_failure_permille: 700 };
        }
        self.link.ask(Command::Change(Box::new(change)));
    }

    fn put(&mut self, scene: &mut Scene) {
        let queue = String::from(*scene.random.pick(&QUEUES));
        match scene.random.below(4) {
            0 => self.limit(scene, queue),
            1 => self.remove(vec![Target::Limit((*scene.random.pick(&LIMITS)).into())]),
            2 => {
                let keep = u32::try_from(scene.random.below(6)).ok();
                let lease_ms = scene.random.chance(20).then_some(4_000);
                let policy = Policy { keep_done_max: keep, lease_ms, ..Policy::default() };
                let dispatch = if scene.random.chance(40) { Dispatch::Random } else { Dispatch::LongestIdle };
                let keep_bytes = scene.random.below(3) * 4_000;
                let conf = QueueConf { policy, dispatch, keep_bytes, ..QueueConf::default() };
                self.set(Target::Queue(queue), ResourceBody::Queue(conf));
            }
            _ => self.remove(vec![Target::Queue(queue)]),
        }
    }

    fn schedule(&mut self, scene: &mut Scene) {
        let name = *scene.random.pick(&SCHEDULES);
        match scene.random.below(8) {
            0 => self.remove(vec![Target::Schedule(name.into())]),
            1 | 2 => self.run_by_hand(name, scene),
            _ => {
                let schedule = Box::new(scene.any_schedule());
                self.set(Target::Schedule(name.into()), ResourceBody::Schedule(schedule));
            }
        }
    }

    /// A tick that the schedule may have, or may have had, or that nobody has.
    fn run_by_hand(&mut self, name: &str, scene: &mut Scene) {
        let at = (scene.now - scene.random.below(20_000)) / 1_000 * 1_000;
        let tick = Some(TickOf { schedule: name.into(), at });
        let job = JobSpec {
            id: JobId::default(),
            queue: QUEUES[0].into(),
            kind: KINDS[0].into(),
            key: String::new(),
            payload: Blob::default(),
            headers: Blob::default(),
            run_at: 0,
            wishes: Some(Box::new(Wishes { tick, ..Wishes::default() })),
        };
        self.link.ask(Command::Enqueue(Enqueue { jobs: vec![Ok(job)], partial: false, wait_ms: None }));
    }

    /// A word to all other sessions, or to some.
    fn tell(&mut self, scene: &mut Scene) {
        let random = &mut scene.random;
        let order =
            *random.pick(&[Order::Quiet, Order::Resume, Order::Resume, Order::Terminate, Order::Dump]);
        let (within_ms, max) = (if random.chance(50) { 0 } else { random.below(8_000) }, random.below(4));
        self.say(Tell { within_ms, max, dry_run: random.chance(10), ..tell_all(order) });
    }

    fn say(&mut self, tell: Tell) {
        self.link.ask(Command::Tell(Box::new(tell)));
    }

    fn limit(&mut self, scene: &mut Scene, queue: String) {
        let random = &mut scene.random;
        let name = *random.pick(&LIMITS);
        let rate = random.between(1, 20);
        let some = u32::try_from(random.between(1, 3)).ok();
        let (limit, scope) = match name {
            "pause" => {
                (Limit { concurrency: Some(0), ..Limit::default() }, Scope { queue, ..Scope::default() })
            }
            "slow" => (
                Limit { rate, per_ms: 1_000, burst: rate, ..Limit::default() },
                Scope { queue, ..Scope::default() },
            ),
            "keys" => (
                Limit { per_key: true, concurrency: some, ..Limit::default() },
                Scope { queue, ..Scope::default() },
            ),
            _ => (Limit { concurrency: some, ..Limit::default() }, Scope::default()),
        };
        self.set_scoped(Target::Limit(name.into()), ResourceBody::Limit(limit), scope);
    }

    fn look(&mut self, scene: &mut Scene) {
        let query = match scene.random.below(9) {
            7 => Query::Operations { after: None, limit: 0 },
            0..=3 => match scene.any_id() {
                Some(id) => Query::Job(id),
                None => Query::Server,
            },
            4 => Query::Jobs(JobsQuery { limit: 20, newest_first: true, ..JobsQuery::default() }),
            5 => Query::Queues { name: String::new(), after: String::new(), limit: 0 },
            6 => Query::Sessions { after: None, limit: 0 },
            _ => Query::Server,
        };
        self.link.ask(Command::Query(query));
    }
}

fn tell_all(order: Order) -> Tell {
    Tell {
        session: None,
        labels: Vec::new(),
        order,
        within_ms: 0,
        dry_run: false,
        max: 0,
        reason: String::new(),
    }
}

impl Actor for Operator {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn connect(&mut self, door: &Door, scene: &mut Scene) {
        self.link.hello(door, None, scene);
        self.is_sorry = false;
    }

    fn act(&mut self, scene: &mut Scene) {
        if scene.is_calm {
            if !self.is_sorry {
                let schedules = SCHEDULES.map(|schedule| Target::Schedule(schedule.into()));
                let limits = LIMITS.map(|limit| Target::Limit(limit.into()));
                self.remove(limits.into_iter().chain(schedules).collect());
                self.say(tell_all(Order::Resume));
                self.is_sorry = true;
            }
            return;
        }
        if !self.has_configured {
            return self.configure();
        }
        match scene.random.below(10) {
            0..=3 if scene.happens(Dial::Change, 90) => {
                let count = scene.random.between(1, 3);
                let ids: Vec<JobId> = (0..count).filter_map(|_| scene.any_id()).collect();
                self.change(ids, scene);
            }
            4 | 5 if scene.happens(Dial::Settings, 75) => self.put(scene),
            6 if scene.happens(Dial::Schedule, 90) => self.schedule(scene),
            7 if scene.happens(Dial::Order, 60) => self.tell(scene),
            _ => self.look(scene),
        }
    }

    fn hear(&mut self, frame: Frame, _scene: &mut Scene) {
        match frame.body {
            Body::Welcome(welcome) => self.link.session = Some(welcome.session),
            Body::Cut => self.link.wire = None,
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.is_sorry
    }
}
