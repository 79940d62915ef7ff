//! Parts: the pieces of variable size of a job. They live outside the engine, which names them.

use crate::blob::Blob;
use crate::fact::Note;
use crate::ids::Seq;
use alloc::boxed::Box;

/// Bytes that live outside the engine: named by the engine, filled in by the driver.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Slot {
    /// There are none.
    #[default]
    Empty,
    /// Still to be taken from the parts.
    Part(PartKey),
    /// Several versions of a part that belong together, from this one to that of the number.
    Pieces(PartKey, u32),
    /// Taken.
    Bytes(Blob),
    /// An attempt's note, taken.
    Note(Box<Note>),
}

impl Slot {
    /// Bytes that are at hand already.
    #[must_use]
    pub fn of(bytes: &Blob) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Bytes(bytes.clone()) }
    }
}

/// Which piece of variable size of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The producer's bytes.
    Payload = 0,
    /// Content type, headers, tags.
    Headers = 1,
    /// What the worker returned.
    Result = 2,
    /// One attempt of the history; the version is its number.
    History = 3,
    /// What a run has stored for the next one.
    Checkpoint = 4,
    /// Lines of its log.
    Log = 5,
    /// What a handler said last, for people.
    Note = 6,
}

/// The name of a part: immutable once written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartKey {
    /// The job.
    pub seq: Seq,
    /// Which piece.
    pub part: Part,
    /// Which version of it.
    pub version: u32,
}
