//! What can be made of a damaged directory: the newest whole state that can still be read, in a new
//! directory; the damaged one stays as it is.
//!
//! It never guesses. The leaves are taken if they add up, as they are or without sled's own summary of
//! them; if they do not, the journal alone will do where it reaches back to the first batch. The
//! journal is taken up to the first record that cannot be read. So what is lost is a number of last
//! batches, and nothing else.

use super::copy::{Filler, empty_stores, finish, fold_tail};
use crate::broker::Options;
use crate::store::StoreError;
use crate::store::archive::Visitor;
use crate::store::before::{self, Cost};
use crate::store::directory::Directory;
use crate::store::journal::{JournalOptions, Prefix, read_prefix};
use crate::store::keys;
use crate::store::record::Meta;
use crate::store::recovery;
use crate::store::seam::{EachRecord, Journal, JournalStats, Leaves, Record, Recovered};
use crate::store::sled_leaves::{LeavesOptions, SledLeaves};
use std::fs;
use std::path::{Path, PathBuf};

/// What was made, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// What the leaves were taken from.
    pub from: &'static str,
    /// Everything up to this batch is there.
    pub last_batch: u64,
    /// How many batches after it are lost, as far as they can be told.
    pub lost_batches: u64,
    /// Why the other ways came to nothing.
    pub refused: Vec<String>,
}

/// Where the older state is taken from.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Leaves,
    WithoutSnapshot,
    JournalAlone,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Leaves => "the leaves as they are",
            Self::WithoutSnapshot => "the leaves without their snap file",
            Self::JournalAlone => "the journal alone",
        }
    }
}

/// Makes a new directory at `to` of what can be read at `options.data`.
///
/// # Errors
/// When nothing whole can be made of it, when its MANIFEST cannot be read, and when something is at
/// `to`.
pub fn repair(options: &Options, to: &Path) -> Result<Repaired, StoreError> {
    if to.exists() {
        return Err(StoreError::Exists { path: to.to_path_buf() });
    }
    let source = Directory::open(&options.data)?;
    before::put_back(&source)?;
    let mut refused = Vec::new();
    for way in [Way::Leaves, Way::WithoutSnapshot, Way::JournalAlone] {
        before::keep(&source, Cost::Room)?;
        let made = attempt(&source, way, &Options { data: to.to_path_buf(), ..options.clone() });
        before::put_back(&source)?;
        match made {
            Ok(Prefix { last_batch, newest, .. }) => {
                let lost_batches = newest - last_batch;
                return Ok(Repaired { from: way.name(), last_batch, lost_batches, refused });
            }
            Err(error) => refused.push(format!("{}: {error}", way.name())),
        }
    }
    let _nothing_was_made = fs::remove_dir_all(to);
    let what = format!("nothing whole can be made of it: {}", refused.join("; "));
    Err(StoreError::Mismatch { what })
}

fn attempt(source: &Directory, way: Way, options: &Options) -> Result<Prefix, StoreError> {
    let mut directory = Directory::open_to_fill(&options.data)?;
    let (journal, leaves) = empty_stores(&directory, options)?;
    let filled = match way {
        Way::JournalAlone => {
            let nothing = Meta { seq_next: 1, stopped: true, ..Meta::default() };
            Filler::begin(leaves, 1, nothing).end()?
        }
        Way::Leaves | Way::WithoutSnapshot => take_leaves(source, way, leaves)?,
    };
    let replay_from = recovery::load_meta(&*filled.reader())?.replay_from;
    let options_of_source = JournalOptions::new(source.id(), source.journal_secret());
    let mut taken = Damaged { folder: source.journal(), options: options_of_source };
    let prefix = read_prefix(&taken.folder, &taken.options, replay_from, &mut |_| Ok(()))?;
    let recovered = Recovered { first_batch: replay_from, last_batch: prefix.last_batch };
    let leaves = fold_tail(filled, &mut taken, recovered, options)?;
    finish(&mut directory, journal, leaves, prefix.last_batch)?;
    Ok(prefix)
}

/// Copies the entries, if they add up.
fn take_leaves(source: &Directory, way: Way, into: SledLeaves) -> Result<SledLeaves, StoreError> {
    if way == Way::WithoutSnapshot {
        remove_snapshots(&source.leaves())?;
    }
    let old = SledLeaves::open(&source.leaves(), LeavesOptions::default())?;
    let reader = old.reader();
    let meta = recovery::load_meta(&*reader)?;
    let mut filler = Filler::begin(into, meta.replay_from, meta);
    for class in keys::CLASSES {
        reader.scan(class, &mut |key, value| filler.entry(key, value))?;
    }
    let filled = filler.end()?;
    let copied = recovery::load_meta(&*filled.reader())?;
    if (copied.rows, copied.leaves, copied.parts) == (meta.rows, meta.leaves, meta.parts) {
        return Ok(filled);
    }
    Err(StoreError::Mismatch { what: "the leaves do not add up".into() })
}

fn remove_snapshots(folder: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::io("remove a snap file", folder, source);
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).map_err(refuse)?;
        }
    }
    Ok(())
}

/// A journal that is read up to its first damage.
struct Damaged {
    folder: PathBuf,
    options: JournalOptions,
}

impl Journal for Damaged {
    fn continue_at(&mut self, _batch: u64) -> Result<(), StoreError> {
        Err(StoreError::Poisoned { file: self.folder.clone() })
    }

    fn append(&mut self, _record: Record<'_>) -> Result<(), StoreError> {
        Err(StoreError::Poisoned { file: self.folder.clone() })
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn replay(&mut self, from: u64, each: EachRecord<'_>) -> Result<(), StoreError> {
        read_prefix(&self.folder, &self.options, from, each).map(drop)
    }

    fn recycle(&mut self, _from: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn stats(&self) -> JournalStats {
        JournalStats::default()
    }
}
