//! What was promised up to a moment, and whether a store that comes back keeps it.

use super::notes::Note;
use super::talk::Talk;
use crate::simulation::bodies::{payload_of, result_of};
use crate::simulation::random::Random;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use windlass_broker::store::StoreError;
use windlass_engine::command::{Enqueue, Fetch, JobSpec, Query};
use windlass_engine::frame::{Body, Outcome, Work};
use windlass_engine::ledger::job::{Job, State};
use windlass_engine::part::Slot;
use windlass_engine::{Command, JobId};
use windlass_proto::v1::Complete;

/// How many known ids are enqueued once more.
const ASKED_AGAIN: usize = 5;
/// Jobs whose bytes are compared in one state; thousands of states see them all.
const LOOKED_AT: usize = 60;

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
        let mut talk = Talk::start(data, now, seed)?;
        let jobs: BTreeMap<JobId, Job> =
            talk.engine().ledger().jobs.iter().map(|job| (job.id, job.clone())).collect();
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
        let mut random = Random::new(seed);
        let all: Vec<&Job> = jobs.values().collect();
        for _ in 0..LOOKED_AT.min(all.len()) {
            look(&mut talk, all[random.place(all.len())])?;
        }
        self.enqueue_again(&mut talk, &mut random)?;
        self.fetch(&mut talk)?;
        talk.engine().audit().expect("the engine agrees with itself");
        if random.chance(25) {
            talk.fold_all()?;
            talk.stop()?;
        }
        Ok(())
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
fn look(talk: &mut Talk, job: &Job) -> Result<(), StoreError> {
    let id: JobId = job.id;
    let frames = talk.ask(Command::Query(Query::Job(id)))?;
    let view = frames.into_iter().find_map(|frame| match frame.body {
        Body::Rows(rows) => rows.jobs.into_iter().next(),
        _ => None,
    });
    let view = view.expect("the job is there");
    let bytes = |slot: &Slot| match slot {
        Slot::Bytes(bytes) => Bytes::copy_from_slice(bytes),
        Slot::Empty => Bytes::new(),
        Slot::Part(_) | Slot::Pieces(..) | Slot::Note(_) => panic!("{id} has a slot that is not filled"),
    };
    assert!(bytes(&view.payload) == payload_of(id)[..], "the payload of {id}");
    if job.state == State::Completed {
        let result = Complete::decode(bytes(&view.result)).expect("a result with its type").result;
        assert!(result == result_of(id, job.fence)[..], "the result of {id}");
    }
    Ok(())
}
