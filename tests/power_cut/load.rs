//! Work for a broker that is watched: clients over TCP, which note what they ask and what they hear.

use super::notes::{Note, Notebook};
use crate::harness::{Peer, encode, fetch_once, result_of as ended};
use crate::simulation::bodies::{any_length, job_id, payload_of, result_of};
use crate::simulation::random::Random;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use windlass_engine::JobId;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::result::How;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{
    Change, Code, Complete, Delete, Enqueue, Fetch, JobSpec, Policy, Selector, Settle, SettleCode, Work,
    change,
};

/// What has ended is kept for longer than any test runs.
const KEPT_MS: u64 = 86_400_000;
/// How many producers there are, beside one worker.
const PRODUCERS: u64 = 2;

/// One client.
struct Client<'a> {
    peer: Peer,
    notes: &'a Notebook,
    random: Random,
    last_id: u64,
}

/// Lets clients work until each producer has said so many frames. `made` numbers the jobs.
pub fn work(addr: &str, notes: &Notebook, made: &AtomicU64, seed: u64, frames: u64) {
    let client = |part: u64| Client {
        peer: Peer::open(addr),
        notes,
        random: Random::new(seed ^ part << 32),
        last_id: 1,
    };
    let clients: Vec<Client<'_>> = (0..PRODUCERS).map(client).collect();
    let mut worker = client(PRODUCERS);
    let producing = AtomicU64::new(PRODUCERS);
    thread::scope(|scope| {
        for mut producer in clients {
            let producing = &producing;
            scope.spawn(move || {
                producer.produce(made, frames);
                producing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            while producing.load(Ordering::Relaxed) > 0 {
                worker.work();
            }
        });
    });
}

impl Client<'_> {
    /// Says frames, several before it listens, and deletes some of the jobs.
    fn produce(&mut self, made: &AtomicU64, frames: u64) {
        let mut alive: Vec<JobId> = Vec::new();
        let mut said = 0;
        while said < frames {
            let burst: Vec<Vec<JobId>> = (0..=self.random.below(3)).map(|_| self.enqueue(made)).collect();
            said += burst.len() as u64;
            for ids in burst {
                let Body::Enqueued(_) = self.hear(ids.iter().map(|&id| Note::Enqueued(id))) else {
                    continue;
                };
                alive.extend(ids);
            }
            if self.random.chance(30) {
                self.delete(&mut alive);
            }
        }
    }

    fn enqueue(&mut self, made: &AtomicU64) -> Vec<JobId> {
        let ids: Vec<JobId> = (0..=self.random.below(8))
            .map(|_| {
                let payload = any_length(&mut self.random, 20_000);
                job_id(made.fetch_add(1, Ordering::Relaxed), payload, 0)
            })
            .collect();
        self.notes.ask(ids.iter().map(|&id| Note::Enqueue(id)));
        let jobs = ids.iter().map(|&id| spec(id)).collect();
        self.say(Request::Enqueue(Enqueue { jobs, ..Enqueue::default() }));
        ids
    }

    fn delete(&mut self, alive: &mut Vec<JobId>) {
        let mut ids = Vec::new();
        for _ in 0..self.random.below(12) {
            if !alive.is_empty() {
                let place = self.random.place(alive.len());
                ids.push(alive.swap_remove(place));
            }
        }
        if ids.is_empty() {
            return;
        }
        self.notes.ask(ids.iter().map(|&id| Note::Delete(id)));
        let select = Selector {
            ids: ids.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect(),
            ..Selector::default()
        };
        let to = Some(change::To::Delete(Delete {}));
        self.say(Request::Change(Change { select: Some(select), to, ..Change::default() }));
        self.hear(ids.iter().map(|&id| Note::Deleted(id)));
    }

    /// Takes jobs and completes most of them.
    fn work(&mut self) {
        self.say(Request::Fetch(Fetch { wait_ms: 100, ..fetch_once("q", 6) }));
        let Body::Deliver(deliver) = self.hear([]) else { return };
        let leased = deliver.jobs.iter().map(|work| Note::Leased(id_of(work), work.fence));
        self.notes.hear(self.peer.port(), self.peer.heard_bytes, leased);
        let done: Vec<&Work> = deliver.jobs.iter().filter(|work| work.fence % 5 > 0).collect();
        if done.is_empty() {
            return;
        }
        self.notes.ask(done.iter().map(|work| Note::Settle(id_of(work))));
        let complete = |work: &&Work| {
            let result = Bytes::copy_from_slice(&result_of(id_of(work), work.fence));
            ended(work, How::Complete(Complete { result, content_type: String::new() }))
        };
        self.say(Request::Settle(Settle { results: done.iter().map(complete).collect() }));
        let Body::Settled(settled) = self.hear([]) else { return };
        // One that was deleted meanwhile is not settled any more.
        let settled = done.iter().zip(&settled.results);
        let settled = settled.filter(|(_, one)| one.code() == SettleCode::Settled);
        let settled = settled.map(|(work, _)| Note::Settled(id_of(work), work.fence));
        self.notes.hear(self.peer.port(), self.peer.heard_bytes, settled);
    }

    fn say(&mut self, request: Request) {
        self.last_id += 1;
        self.peer.send(&encode(self.last_id, request));
    }

    /// The next answer; unless it is a refusal, it acknowledges these.
    fn hear(&mut self, acknowledged: impl IntoIterator<Item = Note>) -> Body {
        let (_, body) = self.peer.hear_answer().expect("the broker serves until it is told to stop");
        match &body {
            // The fold may be behind for a moment; then nothing was done.
            Body::Error(refusal) => assert_eq!(refusal.code(), Code::Exhausted, "{refusal:?}"),
            _ => self.notes.hear(self.peer.port(), self.peer.heard_bytes, acknowledged),
        }
        body
    }
}

fn id_of(work: &Work) -> JobId {
    JobId(work.id[..].try_into().expect("ids have 16 bytes"))
}

fn spec(id: JobId) -> JobSpec {
    JobSpec {
        id: Bytes::copy_from_slice(&id.0),
        queue: "q".into(),
        kind: "k".into(),
        payload: Bytes::copy_from_slice(&payload_of(id)),
        policy: Some(Policy { keep_done_ms: Some(KEPT_MS), ..Policy::default() }),
        ..JobSpec::default()
    }
}
