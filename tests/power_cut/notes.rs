//! What was asked of a broker and what it acknowledged, noted from outside, and where in its trace
//! each note belongs.

use super::trace::Op;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use windlass_engine::JobId;

/// A word of the conversation.
#[derive(Clone, Copy, Debug)]
pub enum Note {
    /// It was asked to take a job.
    Enqueue(JobId),
    /// It took it.
    Enqueued(JobId),
    /// It delivered a job under this fence.
    Leased(JobId, u64),
    /// It was asked to complete a job.
    Settle(JobId),
    /// It did.
    Settled(JobId, u64),
    /// It was asked to delete a job.
    Delete(JobId),
    /// It did.
    Deleted(JobId),
}

/// When a word was said.
#[derive(Clone, Copy, Debug)]
enum When {
    /// After whatever stood in the trace at this length.
    After(u64),
    /// With this byte of what the broker said to the peer with this port.
    Heard { port: u64, byte: u64 },
}

/// The notes of one life of a broker.
pub struct Notebook {
    trace: PathBuf,
    notes: Mutex<Vec<(When, Note)>>,
}

/// One thing after the other, as it happened.
#[derive(Clone, Debug)]
pub enum Step {
    /// The broker did something.
    Did(Op),
    /// Somebody said something.
    Said(Note),
}

impl Notebook {
    /// An empty one beside a trace.
    pub fn beside(trace: &Path) -> Self {
        Self { trace: trace.to_path_buf(), notes: Mutex::default() }
    }

    /// What is about to be asked: nothing that is in the trace already can come from it.
    pub fn ask(&self, notes: impl IntoIterator<Item = Note>) {
        let length = std::fs::metadata(&self.trace).expect("the broker is watched").len();
        let when = When::After(length);
        self.lock().extend(notes.into_iter().map(|note| (when, note)));
    }

    /// What was heard with this byte of a connection.
    pub fn hear(&self, port: u16, byte: u64, notes: impl IntoIterator<Item = Note>) {
        let when = When::Heard { port: port.into(), byte };
        self.lock().extend(notes.into_iter().map(|note| (when, note)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(When, Note)>> {
        self.notes.lock().expect("nobody panics while writing a note")
    }

    /// Puts the notes among what the broker did. An answer stands right behind the write to the socket
    /// that carried its last byte, so a broker that speaks too early is caught by a single op.
    pub fn among(self, ops: Vec<(u64, Op)>) -> Vec<Step> {
        let notes = self.notes.into_inner().expect("nobody panicked");
        let mut asked = Vec::new();
        let mut heard: BTreeMap<u64, Vec<(u64, Note)>> = BTreeMap::new();
        for (when, note) in notes {
            match when {
                When::After(length) => asked.push((length, note)),
                When::Heard { port, byte } => heard.entry(port).or_default().push((byte, note)),
            }
        }
        asked.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        heard.values_mut().for_each(|notes| notes.sort_by_key(|(byte, _)| std::cmp::Reverse(*byte)));
        let mut said: BTreeMap<u64, u64> = BTreeMap::new();
        let mut steps = Vec::new();
        for (place, op) in ops {
            while let Some((_, note)) = asked.pop_if(|(length, _)| *length <= place) {
                steps.push(Step::Said(note));
            }
            let sent = if let Op::Sent { port, bytes } = op { Some((port, bytes)) } else { None };
            steps.push(Step::Did(op));
            let Some((port, bytes)) = sent else { continue };
            let said = said.entry(port).or_default();
            *said += bytes;
            let notes = heard.entry(port).or_default();
            while let Some((_, note)) = notes.pop_if(|(byte, _)| byte <= said) {
                steps.push(Step::Said(note));
            }
        }
        steps
    }
}
