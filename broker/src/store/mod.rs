//! The store: a journal in front of sled, and the data directory that holds both. It is its own
//! floor because it alone touches the disk.
//!
//! The lower half knows bytes and batches: the [`seam`], the [`journal`], [`sled_leaves`], the
//! [`directory`]. The upper half knows facts, heads and parts: [`record`], [`keys`], [`parts`],
//! [`fold`], [`recovery`].

pub mod archive;
pub mod before;
pub mod directory;
pub mod disk;
pub mod durable_sync;
pub mod ended;
mod error;
pub mod fold;
mod folder;
pub mod journal;
pub mod keys;
pub mod parts;
pub mod record;
pub mod recovery;
pub mod seam;
pub mod simulated;
pub mod sled_leaves;
mod watchdog;

pub use error::{DirectoryId, StoreError};
