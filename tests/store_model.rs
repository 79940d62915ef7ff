//! The disk store against a map: jobs with small and large bodies come, run, end and go over many
//! reopenings, and whatever the map holds must come back byte by byte from journal and sled.

use crate::simulation::bodies::{any_length, headers_of, job_id, payload_of, result_of};
use crate::simulation::history::History;
use crate::simulation::process::{Process, Setup, Tape};
use crate::simulation::random::Random;
use crate::simulation::wire::Wire;
use std::collections::BTreeMap;
use std::path::Path;
use windlass_broker::driver::core::CoreOptions;
use windlass_broker::store::StoreError;
use windlass_broker::store::directory::Directory;
use windlass_broker::store::journal::{DiskJournal, JournalOptions};
use windlass_broker::store::seam::Recovered;
use windlass_broker::store::sled_leaves::{LeavesOptions, SledLeaves};
use windlass_engine::command::{
    Change, Enqueue, Fetch, Hello, How, JobSpec, Mutation, Query, Select, Settlement, Wishes,
};
use windlass_engine::frame::Body;
use windlass_engine::ledger::job::State;
use windlass_engine::part::Slot;
use windlass_engine::policy::Policy;
use windlass_engine::terms::Terms;
use windlass_engine::{Command, Frame, JobId, SessionId};

/// Times that a store is closed and opened again.
const REOPENINGS: usize = 8;
/// Rounds of work between two reopenings.
const ROUNDS: usize = 25;
/// Longest payload: many chunks, and larger than a small segment.
const PAYLOAD_MAX: u32 = 300_000;

/// Directory, journal and leaves, opened or made as the broker does it.
pub fn open_store(data: &Path, segment_bytes: u64) -> Result<(Directory, Store), StoreError> {
    let mut directory = Directory::open(data)?;
    let options = JournalOptions {
        segment_bytes_first: segment_bytes,
        segment_bytes_max: 1 << 20,
        ..JournalOptions::new(directory.id(), directory.journal_secret())
    };
    let leaves = LeavesOptions { cache_bytes: 8 << 20, ..LeavesOptions::default() };
    let store = if directory.is_new() {
        let journal = DiskJournal::create(&directory.journal(), options)?;
        let leaves = SledLeaves::create(&directory.leaves(), leaves)?;
        directory.seal()?;
        (journal, Recovered { first_batch: 1, last_batch: 0 }, leaves)
    } else {
        let (journal, recovered) = DiskJournal::open(&directory.journal(), options)?;
        (journal, recovered, SledLeaves::open(&directory.leaves(), leaves)?)
    };
    Ok((directory, store))
}

/// Journal and leaves, and what recovery found in the journal.
pub type Store = (DiskJournal, Recovered, SledLeaves);

/// A broker on disk, and what it must hold.
struct Shop<'a> {
    data: &'a Path,
    segment_bytes: u64,
    random: Random,
    now: u64,
    process: Option<Process<DiskJournal, SledLeaves>>,
    _directory: Option<Directory>,
    tape: Tape,
    history: History,
    wire: Option<Wire>,
    /// Every job there is: the fence that completed it, if one did.
    model: BTreeMap<JobId, Option<u64>>,
    made: u64,
}

impl<'a> Shop<'a> {
    fn new(data: &'a Path, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let tape = Tape::default();
        Self {
            data,
            segment_bytes: 65_536 << random.below(5),
            random,
            now: 1_800_000_000_000,
            process: None,
            _directory: None,
            history: History::new(tape.clone()),
            tape,
            wire: None,
            model: BTreeMap::new(),
            made: 0,
        }
    }

    /// Opens the store as the broker does, and looks at everything in it.
    fn open(&mut self) {
        let (directory, opened) = open_store(self.data, self.segment_bytes).expect("the store opens");
        let core = CoreOptions { unfolded_bytes_max: 2 << 20, cache_bytes_max: 100_000, jobs_max: 1_000_000 };
        let setup = Setup { now: self.now, seed: self.random.next(), core, leaves_per_slice: 3 };
        self.history.reopened(opened.1.first_batch);
        let process = Process::start(opened, &setup, &self.tape).expect("the store recovers");
        self.history.read();
        self.history.compare(process.engine());
        self.wire = Some(Wire::open(&process.door));
        self.process = Some(process);
        self._directory = Some(directory);
        let hello = Hello {
            namespace: "default".into(),
            client: "model/1".into(),
            host: String::new(),
            pid: 1,
            labels: Vec::new(),
            session_ttl_ms: 0,
            resume: None,
            running: None,
            fresh: SessionId(self.random.bytes16()),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        self.ask(Command::Hello(Box::new(hello)));
        self.compare();
    }

    /// In order, or as if nobody had cared.
    fn close(&mut self) {
        self.wire = None;
        let process = self.process.take().expect("it is open");
        if self.random.chance(50) {
            let leaves = process.stop(self.now).expect("it stops");
            leaves.close().expect("the leaves close");
        }
        self.history.read();
        self._directory = None;
        let blobs = std::fs::read_dir(self.data.join("leaves/blobs")).map_or(0, Iterator::count);
        assert_eq!(blobs, 0, "sled never syncs a blob, so none may exist");
    }

    /// Asks, and waits for the last frame of the answer.
    fn ask(&mut self, command: Command) -> Vec<Frame> {
        let (process, wire) = (self.process.as_mut().expect("open"), self.wire.as_mut().expect("open"));
        wire.ask(command);
        wire.carry(usize::MAX);
        let mut frames = Vec::new();
        while wire.unanswered().next().is_some() {
            self.now += 1;
            process.round(self.now).expect("a round");
            process.pump().expect("a commit");
            process.fold().expect("a slice");
            self.history.read();
            wire.collect(&self.history);
            frames.extend(std::iter::from_fn(|| wire.hear()));
        }
        frames
    }

    fn work(&mut self) {
        match self.random.below(10) {
            0..=3 => self.enqueue(),
            4..=7 => self.run(),
            _ => self.delete(),
        }
    }

    fn enqueue(&mut self) {
        let jobs = 1 + self.random.below(20);
        let jobs: Vec<_> = (0..jobs).map(|_| Ok(self.new_job())).collect();
        let frames = self.ask(Command::Enqueue(Enqueue { jobs, partial: false, wait_ms: None }));
        for frame in frames {
            let Body::Enqueued(ones) = frame.body else { continue };
            self.model.extend(ones.into_iter().map(|one| (one.id, None)));
        }
    }

    fn new_job(&mut self) -> JobSpec {
        self.made += 1;
        let payload = any_length(&mut self.random, PAYLOAD_MAX);
        let headers = u16::try_from(self.random.below(600)).expect("short");
        let id = job_id(self.made, payload, headers);
        JobSpec {
            id,
            queue: "q".into(),
            kind: "k".into(),
            key: if self.random.chance(30) { format!("order-{}", self.made) } else { String::new() },
            payload: payload_of(id),
            headers: headers_of(id),
            wishes: Some(Box::new(Wishes {
                terms: Terms {
                    policy: Policy { keep_done_ms: Some(1 << 40), ..Policy::default() },
                    ..Terms::default()
                },
                ..Wishes::default()
            })),
            ..JobSpec::default()
        }
    }

    fn run(&mut self) {
        let once = u32::try_from(1 + self.random.below(12)).expect("few");
        let fetch = Fetch {
            stream: 0,
            queues: vec!["q".into()],
            weights: Vec::new(),
            batch: None,
            kinds: Vec::new(),
            slots: 1,
            once,
            wait_ms: 0,
            lease_ms: None,
            close: false,
        };
        let mut results = Vec::new();
        for frame in self.ask(Command::Fetch(Box::new(fetch))) {
            let Body::Deliver { works, .. } = frame.body else { continue };
            for work in works {
                let how = if self.random.chance(80) {
                    self.model.insert(work.id, Some(work.fence));
                    How::Complete(result_of(work.id, work.fence))
                } else {
                    How::Release { delay_ms: 0, reason: "not now".into(), throttle: None }
                };
                results.push(Settlement {
                    id: work.id,
                    fence: work.fence,
                    how,
                    checkpoint: None,
                    spawn: None,
                });
            }
        }
        if !results.is_empty() {
            self.ask(Command::Settle(results));
        }
    }

    fn delete(&mut self) {
        let ids: Vec<JobId> = self.model.keys().copied().collect();
        let mut doomed = Vec::new();
        for _ in 0..self.random.below(30) {
            if !ids.is_empty() {
                doomed.push(*self.random.pick(&ids));
            }
        }
        if doomed.is_empty() {
            return;
        }
        self.history.asked.deletes.extend(&doomed);
        doomed.iter().for_each(|id| {
            self.model.remove(id);
        });
        self.ask(Command::Change(Box::new(Change::new(Select::ids(doomed), Mutation::Delete))));
    }

    /// The store holds what the map holds, and nothing else.
    fn compare(&mut self) {
        let model = self.model.clone();
        let held = self.process.as_ref().expect("open").engine().ledger().jobs.len();
        assert_eq!(held, model.len(), "jobs of the store and of the map");
        for (id, completed) in model {
            // That payload, headers and history are right is checked on the wire.
            let frames = self.ask(Command::Query(Query::Job(id)));
            let view = frames.into_iter().find_map(|frame| match frame.body {
                Body::Rows(rows) => rows.jobs.into_iter().next(),
                _ => None,
            });
            let view = view.unwrap_or_else(|| panic!("job {id} is lost"));
            assert_eq!(view.state == State::Completed, completed.is_some(), "the state of {id}");
            let expected = completed.map(|fence| result_of(id, fence)).unwrap_or_default();
            match view.result {
                Slot::Bytes(bytes) => assert!(bytes == expected, "the result of {id}"),
                other => assert!(expected.is_empty(), "the result of {id} is {other:?}"),
            }
        }
    }
}

#[test]
fn the_store_on_disk_is_a_map_that_survives_reopening() {
    for seed in 0..3 {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let data = scratch.path().join("data");
        let mut shop = Shop::new(&data, seed);
        for _ in 0..REOPENINGS {
            shop.open();
            for _ in 0..ROUNDS {
                shop.work();
            }
            shop.compare();
            shop.close();
        }
        shop.open();
        assert!(shop.made > 300, "seed {seed}: {} jobs", shop.made);
    }
}
