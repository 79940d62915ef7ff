//! A producer and a worker who outlive their broker many times and know what it promised them: what was
//! acknowledged, what runs, what is settled. After each death they come back and compare.

use crate::harness::{Broker, Peer, body, encode, fetch_once, hello, result_of as ended};
use crate::simulation::bodies::{any_length, job_id, payload_of, result_of};
use crate::simulation::random::Random;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::JobId;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::enqueued::Outcome;
use windlass_proto::v1::hello::Running;
use windlass_proto::v1::hello::running::Held;
use windlass_proto::v1::result::How;
use windlass_proto::v1::{Complete, Enqueue, Fetch, Hello, JobSpec, Policy, Settle, SettleCode, State, Work};

/// The queue of all jobs.
const QUEUE: &str = "witnessed";
/// Longer than a broker is away.
const TTL_MS: u64 = 60_000;
/// So many jobs of earlier lives are looked at again.
const OLD_ONES: usize = 30;

/// What is known of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Its enqueueing was acknowledged.
    Enqueued,
    /// It was delivered under this fence.
    Leased(u64),
    /// Its completion under this fence was acknowledged.
    Settled(u64),
}

/// The two clients.
pub(super) struct Witness {
    producer: Peer,
    worker: Peer,
    random: Random,
    last_id: u64,
    made: u64,
    jobs: BTreeMap<JobId, Known>,
    /// Jobs that something happened to since the last comparison.
    touched: BTreeSet<JobId>,
    /// Sent and not answered.
    enqueueing: Vec<JobId>,
    settling: Vec<(JobId, u64)>,
    /// The highest fence that was heard.
    fence: u64,
}

impl Witness {
    pub(super) fn new(broker: &Broker, seed: u64) -> Self {
        Self {
            producer: broker.peer(),
            worker: Peer::with(broker.addr(), Hello { session_ttl_ms: TTL_MS, ..hello() }),
            random: Random::new(seed),
            last_id: 1,
            made: 0,
            jobs: BTreeMap::new(),
            touched: BTreeSet::new(),
            enqueueing: Vec::new(),
            settling: Vec::new(),
            fence: 0,
        }
    }

    /// How many jobs it knows.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Enqueues, settles and fetches at the same time. False = the broker died meanwhile.
    pub(super) fn step(&mut self) -> bool {
        self.try_step().is_some()
    }

    fn try_step(&mut self) -> Option<()> {
        for _ in 0..=self.random.below(5) {
            self.made += 1;
            let payload = any_length(&mut self.random, 8_000);
            self.enqueueing.push(job_id(self.made, payload, 0));
        }
        self.settling = self.held().collect();
        self.settling.retain(|_| self.random.chance(80));
        let (enqueue, settle) = (self.enqueue(), self.settle());
        let settles = !self.settling.is_empty();
        say(&mut self.producer, &mut self.last_id, enqueue)?;
        if settles {
            say(&mut self.worker, &mut self.last_id, settle)?;
        }
        let fetch = Fetch { wait_ms: 20, ..fetch_once(QUEUE, 5) };
        say(&mut self.worker, &mut self.last_id, Request::Fetch(fetch))?;

        let enqueued = body!(self.producer.hear_answer()?.1, Enqueued);
        assert!(enqueued.results.iter().all(|one| one.outcome() == Outcome::Created), "{enqueued:?}");
        self.enqueued();
        if settles {
            let settled = body!(self.worker.hear_answer()?.1, Settled);
            assert!(settled.results.iter().all(|one| one.code() == SettleCode::Settled), "{settled:?}");
            self.settled();
        }
        let delivered = body!(self.worker.hear_answer()?.1, Deliver);
        self.delivered(&delivered.jobs);
        Some(())
    }

    /// Comes back after the broker has died and was started again: what was not answered is sent again,
    /// what runs goes on; and all that was promised is compared.
    pub(super) fn come_back(&mut self, broker: &Broker) {
        assert!(self.connect(broker), "the broker died, and nobody killed it");
        self.compare();
    }

    /// The same without the comparison. False = the broker died meanwhile.
    pub(super) fn connect(&mut self, broker: &Broker) -> bool {
        self.try_connect(broker).is_some()
    }

    fn try_connect(&mut self, broker: &Broker) -> Option<()> {
        let held = self.held().map(|(id, fence)| Held { id: bytes(id), fence });
        let running = Running { held: held.collect() };
        let hello = Hello { session_ttl_ms: TTL_MS, ..self.worker.coming_back(Some(running)) };
        self.worker = Peer::try_with(broker.addr(), hello)?;
        self.producer = Peer::try_open(broker.addr())?;
        if !self.enqueueing.is_empty() {
            // Taken before or taken now: once, whichever it is.
            let enqueue = self.enqueue();
            say(&mut self.producer, &mut self.last_id, enqueue)?;
            body!(self.producer.hear_answer()?.1, Enqueued);
            self.enqueued();
        }
        if !self.settling.is_empty() {
            let settle = self.settle();
            say(&mut self.worker, &mut self.last_id, settle)?;
            for one in body!(self.worker.hear_answer()?.1, Settled).results {
                let is_taken = matches!(one.code(), SettleCode::Settled | SettleCode::AlreadySettled);
                assert!(is_taken, "a lease did not outlive the broker: {one:?}");
            }
            self.settled();
        }
        Some(())
    }

    fn compare(&mut self) {
        let old: Vec<JobId> = self.jobs.keys().copied().collect();
        let chosen = (0..OLD_ONES.min(old.len())).map(|_| old[self.random.place(old.len())]);
        let mut ids = std::mem::take(&mut self.touched);
        ids.extend(chosen);
        for id in ids {
            let known = self.jobs[&id];
            let job = self.producer.job(&bytes(id));
            assert!(job.payload == payload_of(id)[..], "the payload of {id}");
            assert_eq!(job.crashes, 0, "{known:?} {job:?}");
            match known {
                Known::Enqueued => assert_eq!((job.state(), job.attempt), (State::Ready, 0), "{job:?}"),
                Known::Leased(fence) => {
                    assert_eq!((job.state(), job.attempt), (State::Leased, 1), "{job:?}");
                    assert_eq!(job.lease.unwrap().fence, fence, "it was given to somebody else");
                }
                Known::Settled(fence) => {
                    assert_eq!((job.state(), job.attempt), (State::Completed, 1), "{job:?}");
                    assert!(job.result == result_of(id, fence)[..], "the result of {id}");
                }
            }
        }
        // Nothing more and nothing less than what is known, over all jobs there ever were.
        let count = |is: fn(&Known) -> bool| self.jobs.values().filter(|known| is(known)).count() as u64;
        let queue = self.producer.queue(QUEUE);
        let expected = (
            count(|known| matches!(known, Known::Enqueued)),
            count(|known| matches!(known, Known::Leased(_))),
            count(|known| matches!(known, Known::Settled(_))),
        );
        assert_eq!((queue.ready, queue.leased, queue.completed_total), expected);
    }

    fn held(&self) -> impl Iterator<Item = (JobId, u64)> {
        self.jobs.iter().filter_map(|(id, known)| match known {
            Known::Leased(fence) => Some((*id, *fence)),
            Known::Enqueued | Known::Settled(_) => None,
        })
    }

    fn enqueue(&self) -> Request {
        let policy = Some(Policy { keep_done_ms: Some(86_400_000), ..Policy::default() });
        let spec = |id: &JobId| JobSpec {
            id: bytes(*id),
            queue: QUEUE.into(),
            kind: "k".into(),
            payload: Bytes::copy_from_slice(&payload_of(*id)),
            policy: policy.clone(),
            ..JobSpec::default()
        };
        Request::Enqueue(Enqueue { jobs: self.enqueueing.iter().map(spec).collect(), ..Enqueue::default() })
    }

    fn enqueued(&mut self) {
        for id in std::mem::take(&mut self.enqueueing) {
            self.know(id, Known::Enqueued);
        }
    }

    fn settle(&self) -> Request {
        let result = |(id, fence): &(JobId, u64)| {
            let work = Work { id: bytes(*id), fence: *fence, ..Work::default() };
            let result = Bytes::copy_from_slice(&result_of(*id, *fence));
            ended(&work, How::Complete(Complete { result, content_type: String::new() }))
        };
        Request::Settle(Settle { results: self.settling.iter().map(result).collect() })
    }

    fn settled(&mut self) {
        for (id, fence) in std::mem::take(&mut self.settling) {
            self.know(id, Known::Settled(fence));
        }
    }

    fn delivered(&mut self, works: &[Work]) {
        let highest = self.fence;
        for work in works {
            let id = JobId(work.id[..].try_into().unwrap());
            assert_eq!(
                self.jobs.get(&id),
                Some(&Known::Enqueued),
                "{id} runs already, or nobody enqueued it"
            );
            assert_eq!(work.attempt, 1, "{id} was not run before");
            assert!(work.fence > highest, "fence {} was given away before", work.fence);
            self.fence = self.fence.max(work.fence);
            self.know(id, Known::Leased(work.fence));
        }
    }

    fn know(&mut self, id: JobId, known: Known) {
        self.jobs.insert(id, known);
        self.touched.insert(id);
    }
}

fn bytes(id: JobId) -> Bytes {
    Bytes::copy_from_slice(&id.0)
}

/// `None` = the broker is gone.
fn say(peer: &mut Peer, last_id: &mut u64, request: Request) -> Option<()> {
    *last_id += 1;
    peer.try_send(&encode(*last_id, request)).ok()
}
