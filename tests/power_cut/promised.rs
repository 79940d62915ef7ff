//! What was promised up to a moment, and whether a store that comes back keeps it.

use super::notes::Note;
use super::talk::{SEGMENT_BYTES, Talk};
use crate::simulation::bodies::{payload_of, result_of};
use crate::simulation::random::Random;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use windlass_broker::broker::Options;
use windlass_broker::clock::Clock;
use windlass_broker::driver::core::CoreOptions;
use windlass_broker::store::StoreError;
use windlass_broker::store::disk::DiskOptions;
use windlass_broker::vault::Vault;
use windlass_engine::command::{Enqueue, Fetch, JobSpec};
use windlass_engine::frame::{Body, Outcome, Work};
use windlass_engine::ledger::job::{Job, State};
use windlass_engine::part::{Part, PartKey};
use windlass_engine::{Command, JobId};
use windlass_proto::v1::Complete;

/// How many known ids are enqueued once more.
const ASKED_AGAIN: usize = 5;
/// Jobs whose bytes are compared in one state; thousands of states see them all.
const LOOKED_AT: usize = 60;
/// States in which work goes on after the look.
const PERCENT_WORKED_WITH: u64 = 25;

/// All jobs that anybody ever spoke of.
#[derive(Clone, Default)]
pub struct Promised {
    jobs: BTreeMap<JobId, Told>,
    /// The highest fence that anybody heard of.
    fence: u64,
}

/// What was asked and acknowledged of one job.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    enqueued: bool,
    /// The highest fence that was delivered.
    leased: u64,
    settling: bool,
    /// The fence whose result was taken.
    settled: Option<u64>,
    deleting: bool,
    deleted: bool,
}

impl Promised {
    /// Takes a note.
    pub fn hear(&mut self, note: Note) {
        let (Note::Enqueue(id)
        | Note::Enqueued(id)
        | Note::Leased(id, _)
        | Note::Settle(id)
        | Note::Settled(id, _)
        | Note::Delete(id)
        | Note::Deleted(id)) = note;
        let told = self.jobs.entry(id).or_default();
        match note {
            Note::Enqueue(_) => {}
            Note::Enqueued(_) => told.enqueued = true,
            Note::Leased(_, fence) => {
                told.leased = fence;
                self.fence = self.fence.max(fence);
            }
            Note::Settle(_) => told.settling = true,
            Note::Settled(_, fence) => told.settled = Some(fence),
            Note::Delete(_) => told.deleting = true,
            Note::Deleted(_) => told.deleted = true,
        }
    }

    /// How many jobs were acknowledged and are to be there.
    pub fn owed(&self) -> usize {
        self.owing().count()
    }

    /// A job that was delivered is owed as well, though the answer to its producer was lost.
    fn owing(&self) -> impl Iterator<Item = (&JobId, &Told)> {
        self.jobs.iter().filter(|(_, told)| (told.enqueued || told.leased > 0) && !told.deleting)
    }

    /// Opens what a cut left. Whatever was acknowledged must be there, whatever is there must have
    /// been asked for, and the store must go on working.
    pub fn check(&self, data: &Path, now: u64, seed: u64) -> Result<(), StoreError> {
        let options = Options {
            data: data.to_path_buf(),
            segment_bytes_first: SEGMENT_BYTES,
            segment_bytes_max: SEGMENT_BYTES,
            leaves_cache_bytes: 8 << 20,
            core: CoreOptions::default(),
            disk: DiskOptions { low_bytes: Some(0), reserve_bytes: 0 },
            clock: Clock::Wall,
        };
        let mut vault = Vault::open(&options)?;
        let mut random = Random::new(seed);
        let jobs: Vec<Job> = vault.engine().ledger().jobs.iter().cloned().collect();
        self.compare(&jobs);
        for _ in 0..LOOKED_AT.min(jobs.len()) {
            look(&mut vault, &jobs[random.place(jobs.len())])?;
        }
        drop(vault);
        if random.chance(PERCENT_WORKED_WITH) {
            let mut talk = Talk::start(data, now, seed)?;
            self.enqueue_again(&mut talk, &mut random)?;
            self.fetch(&mut talk)?;
            talk.fold_all()?;
            talk.engine().audit().expect("the engine agrees with itself");
            talk.stop()?;
        }
        Ok(())
    }

    fn compare(&self, jobs: &[Job]) {
        let jobs: BTreeMap<JobId, &Job> = jobs.iter().map(|job| (job.id, job)).collect();
        for id in jobs.keys() {
            let told = self.jobs.get(id).unwrap_or_else(|| panic!("nobody enqueued {id}"));
            assert!(!told.deleted, "job {id} was deleted and is back: {told:?}");
        }
        for (id, told) in self.owing() {
            let job =
                jobs.get(id).unwrap_or_else(|| panic!("job {id} was acknowledged and is gone: {told:?}"));
            assert!(job.fence >= told.leased, "the lease of {id} is forgotten: {told:?} {job:?}");
            if let Some(fence) = told.settled {
                let is = (job.state, job.fence);
                assert_eq!(is, (State::Completed, fence), "the settlement of {id} is undone: {told:?}");
            }
            if job.state == State::Completed {
                assert!(told.settling, "nobody settled {id}: {told:?}");
            }
        }
    }

    /// A producer that never got its answer sends again.
    fn enqueue_again(&self, talk: &mut Talk, random: &mut Random) -> Result<(), StoreError> {
        let known: Vec<JobId> = self.owing().map(|(id, _)| *id).collect();
        if known.is_empty() {
            return Ok(());
        }
        let again: Vec<JobId> = (0..ASKED_AGAIN).map(|_| *random.pick(&known)).collect();
        let spec =
            |&id: &JobId| Ok(JobSpec { id, queue: "q".into(), kind: "k".into(), ..JobSpec::default() });
        let jobs = again.iter().map(spec).collect();
        let enqueue = Enqueue { jobs, partial: false, wait_ms: None };
        for frame in talk.ask(Command::Enqueue(enqueue))? {
            let Body::Enqueued(ones) = frame.body else { panic!("refused: {:?}", frame.body) };
            for (one, id) in ones.iter().zip(&again) {
                let stored = one.what.as_ref().expect("a known id is not refused");
                assert_eq!(stored.outcome, Outcome::Duplicate, "{id} is enqueued a second time");
            }
        }
        Ok(())
    }

    /// A fence never repeats.
    fn fetch(&self, talk: &mut Talk) -> Result<(), StoreError> {
        let fetch = Fetch {
            stream: 0,
            queues: vec!["q".into()],
            weights: Vec::new(),
            batch: None,
            kinds: Vec::new(),
            slots: 1,
            once: 1,
            wait_ms: 0,
            lease_ms: None,
            close: false,
        };
        let frames = talk.ask(Command::Fetch(Box::new(fetch)))?;
        let works: Vec<Work> = frames
            .into_iter()
            .flat_map(|frame| if let Body::Deliver { works, .. } = frame.body { works } else { Vec::new() })
            .collect();
        for work in works {
            assert!(work.fence > self.fence, "fence {} was given away before", work.fence);
            let told = self.jobs.get(&work.id).copied().unwrap_or_default();
            assert!(told.settled.is_none(), "{} was settled and runs again: {told:?}", work.id);
        }
        Ok(())
    }
}

/// The job's bytes are those that its id asks for.
fn look(vault: &mut Vault, job: &Job) -> Result<(), StoreError> {
    let id: JobId = job.id;
    let keys: Vec<PartKey> = job.parts().collect();
    let mut read = |part| match keys.iter().find(|key| key.part == part) {
        Some(&key) => vault.read(key).map(|blob| Bytes::copy_from_slice(&blob)),
        None => Ok(Bytes::new()),
    };
    assert!(read(Part::Payload)? == payload_of(id)[..], "the payload of {id}");
    if job.state == State::Completed {
        let result = Complete::decode(read(Part::Result)?).expect("a result with its type").result;
        assert!(result == result_of(id, job.fence)[..], "the result of {id}");
    }
    Ok(())
}
