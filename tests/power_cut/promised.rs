//! What the child was promised up to a moment, and whether a store that comes back keeps it.

use super::talk::Talk;
use crate::simulation::bodies::{headers_of, payload_of, result_of};
use std::collections::BTreeMap;
use std::path::Path;
use windlass_broker::store::StoreError;
use windlass_engine::command::Query;
use windlass_engine::frame::Body;
use windlass_engine::ledger::job::{Job, State};
use windlass_engine::part::Slot;
use windlass_engine::{Command, JobId};

/// All jobs that the child ever spoke of.
#[derive(Clone, Default)]
pub struct Promised {
    jobs: BTreeMap<String, Told>,
    /// The child said that its store was open.
    pub is_ready: bool,
}

/// What was asked and acknowledged of one job.
#[derive(Clone, Debug, Default)]
struct Told {
    enqueued: bool,
    /// The highest fence that was delivered.
    leased: u64,
    settling: bool,
    settled: bool,
    deleting: bool,
    deleted: bool,
}

impl Promised {
    /// Takes a note of the child.
    pub fn hear(&mut self, note: &str) {
        let mut words = note.split(' ');
        let (verb, id) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if verb == "ready" {
            self.is_ready = true;
            return;
        }
        let told = self.jobs.entry(id.into()).or_default();
        match verb {
            "enqueue" => {}
            "enqueued" => told.enqueued = true,
            "leased" => told.leased = words.next().and_then(|text| text.parse().ok()).expect("a fence"),
            "settle" => told.settling = true,
            "settled" => told.settled = true,
            "delete" => told.deleting = true,
            "deleted" => told.deleted = true,
            other => panic!("the child notes {other}"),
        }
    }

    /// How many jobs were acknowledged and are to be there.
    pub fn owed(&self) -> usize {
        self.jobs.values().filter(|told| told.enqueued && !told.deleting).count()
    }

    /// Opens what a cut left. Whatever was acknowledged must be there, whatever is there must have
    /// been asked for, and the store must go on working.
    pub fn check(&self, data: &Path, seed: u64) -> Result<(), StoreError> {
        let mut talk = Talk::start(data, seed)?;
        let jobs: BTreeMap<String, Job> =
            talk.engine().ledger().jobs.iter().map(|job| (job.id.to_string(), job.clone())).collect();
        for id in jobs.keys() {
            let told = self.jobs.get(id).unwrap_or_else(|| panic!("nobody enqueued {id}"));
            assert!(!told.deleted, "job {id} was deleted and is back: {told:?}");
        }
        for (id, told) in self.jobs.iter().filter(|(_, told)| told.enqueued && !told.deleting) {
            let job =
                jobs.get(id).unwrap_or_else(|| panic!("job {id} was acknowledged and is gone: {told:?}"));
            assert!(job.fence >= told.leased, "the lease of {id} is forgotten: {told:?} {job:?}");
            if told.settled {
                assert_eq!(job.state, State::Completed, "the settlement of {id} is undone: {told:?}");
            }
            if job.state == State::Completed {
                assert!(told.settling, "nobody settled {id}: {told:?}");
            }
        }
        for job in jobs.values() {
            look(&mut talk, job)?;
        }
        talk.engine().audit().expect("the engine agrees with itself");
        talk.fold_all()?;
        talk.stop()
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
    let is = |slot: &Slot, expected: &[u8]| match slot {
        Slot::Bytes(bytes) => **bytes == *expected,
        Slot::Empty => expected.is_empty(),
        Slot::Part(_) | Slot::Pieces(..) | Slot::Note(_) => false,
    };
    assert!(is(&view.payload, &payload_of(id)), "the payload of {id}");
    assert!(is(&view.headers, &headers_of(id)), "the headers of {id}");
    if job.state == State::Completed {
        assert!(is(&view.result, &result_of(id, job.fence)), "the result of {id}");
    }
    Ok(())
}
