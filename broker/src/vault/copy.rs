//! A data directory out of the world and into it: export into an archive, import from one.
//!
//! An import is whole or nothing: the archive is read to its end before anything is made, and the
//! new directory counts once its MANIFEST says that it is whole.

use super::{Vault, look};
use crate::broker::Options;
use crate::clock;
use crate::driver::core::Core;
use crate::store::StoreError;
use crate::store::archive::{Archive, Summary, Visitor, Writer};
use crate::store::directory::Directory;
use crate::store::fold::Folder;
use crate::store::journal::{DiskJournal, JournalOptions};
use crate::store::keys;
use crate::store::record::{self, Meta};
use crate::store::seam::{Change, EachRecord, Journal, JournalStats, Leaves, Record, Recovered};
use crate::store::sled_leaves::{LeavesOptions, SledLeaves};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Entries written to the leaves at once.
const ENTRIES_PER_WRITE: usize = 256;
/// Runs of a broker that may have begun between the archive and its import without a minute having
/// passed for each: the fences of the new directory are above theirs.
const EPOCHS_SPARED: u32 = 1_440;

impl Vault {
    /// Writes all there is into a new file, which is whole or not there.
    ///
    /// # Errors
    /// When something cannot be read, or the file not be written, or is there already.
    pub fn export(&mut self, file: &Path) -> Result<Summary, StoreError> {
        let refuse = |source| StoreError::io("write the archive", file, source);
        let draft = draft_of(file)?;
        let out = BufWriter::new(private(&draft).map_err(refuse)?);
        let written = self.write_archive(out, file).and_then(|(out, summary)| {
            let out = out.into_inner().map_err(|error| refuse(error.into_error()))?;
            out.sync_all().map_err(refuse)?;
            publish(&draft, file).map_err(refuse)?;
            Ok(summary)
        });
        written.inspect_err(|_| drop(fs::remove_file(&draft)))
    }

    fn write_archive<W: Write>(&mut self, out: W, file: &Path) -> Result<(W, Summary), StoreError> {
        let refuse = |source| StoreError::io("write the archive", file, source);
        let mut writer = Writer::begin(out, self.directory.id()).map_err(refuse)?;
        let reader = self.leaves.reader();
        for class in keys::CLASSES {
            reader.scan(class, &mut |key, value| writer.entry(key, value).map_err(refuse))?;
        }
        let Meta { replay_from, .. } = self.loaded.meta;
        let last_batch = self.loaded.last_batch;
        if replay_from <= last_batch {
            self.journal.replay(replay_from, &mut |record| writer.batch(record).map_err(refuse))?;
        }
        writer.end(replay_from, last_batch, self.loaded.meta).map_err(refuse)
    }
}

/// A new file that is its owner's alone: an archive holds secrets of webhooks.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Where an archive is written before it has its name.
pub(crate) fn draft_of(file: &Path) -> Result<PathBuf, StoreError> {
    if file.exists() {
        return Err(StoreError::Exists { path: file.to_path_buf() });
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".draft-{}", std::process::id()));
    Ok(name.into())
}

/// Gives a synced archive its name, durably, unless somebody else has taken it meanwhile.
pub(crate) fn publish(draft: &Path, file: &Path) -> io::Result<()> {
    fs::hard_link(draft, file)?;
    fs::remove_file(draft)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// An archive that comes from elsewhere, into a new file that is whole or not there.
pub struct NewArchive {
    file: PathBuf,
    draft: PathBuf,
    out: BufWriter<File>,
}

impl NewArchive {
    /// Begins it.
    ///
    /// # Errors
    /// When there is something, or nothing can be made there.
    pub fn begin(file: &Path) -> Result<Self, StoreError> {
        let draft = draft_of(file)?;
        let out = private(&draft).map_err(|source| StoreError::io("write the archive", file, source))?;
        Ok(Self { file: file.to_path_buf(), draft, out: BufWriter::new(out) })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Checks all of it, and gives it its name.
    ///
    /// # Errors
    /// When it is no whole archive, or cannot be written.
    pub fn end(mut self) -> Result<Summary, StoreError> {
        let file = self.file.clone();
        let refuse = |source| StoreError::io("write the archive", &file, source);
        self.out.flush().map_err(refuse)?;
        self.out.get_ref().sync_all().map_err(refuse)?;
        let summary = Archive::at(&self.draft).read(&mut Nothing)?;
        publish(&self.draft, &self.file).map_err(refuse)?;
        Ok(summary)
    }
}

impl Drop for NewArchive {
    fn drop(&mut self) {
        // After `end` there is none.
        let _gone_already = fs::remove_file(&self.draft);
    }
}

/// Makes a new data directory at `options.data` of an archive.
///
/// # Errors
/// When the archive is damaged or of a later version, or when there is a data directory already.
pub fn import(file: &Path, options: &Options) -> Result<Summary, StoreError> {
    let archive = Archive::at(file);
    let summary = archive.read(&mut Nothing)?;
    let mut directory = Directory::open_to_fill(&options.data)?;
    let (journal, leaves) = empty_stores(&directory, options)?;
    let mut filler = Filler::begin(leaves, summary.replay_from, summary.meta);
    archive.read(&mut filler)?;
    let filled = filler.end()?;
    let recovered = Recovered { first_batch: summary.replay_from, last_batch: summary.last_batch };
    let leaves = fold_tail(filled, &mut Batches { archive: &archive }, recovered, options)?;
    finish(&mut directory, journal, leaves, summary.last_batch)?;
    Ok(summary)
}

/// An empty journal and empty leaves in a new directory.
pub(super) fn empty_stores(
    directory: &Directory,
    options: &Options,
) -> Result<(DiskJournal, SledLeaves), StoreError> {
    let journal_options = JournalOptions {
        segment_bytes_first: options.segment_bytes_first,
        segment_bytes_max: options.segment_bytes_max,
        ..JournalOptions::new(directory.id(), directory.journal_secret())
    };
    let journal = DiskJournal::create(&directory.journal(), journal_options)?;
    let leaves_options =
        LeavesOptions { cache_bytes: options.leaves_cache_bytes, ..LeavesOptions::default() };
    Ok((journal, SledLeaves::create(&directory.leaves(), leaves_options)?))
}

/// The new directory counts from here on.
pub(super) fn finish(
    directory: &mut Directory,
    mut journal: DiskJournal,
    leaves: SledLeaves,
    last_batch: u64,
) -> Result<(), StoreError> {
    renew(leaves)?.close()?;
    journal.continue_at(last_batch + 1)?;
    drop(journal);
    directory.seal()
}

/// Looks at nothing: reading alone checks an archive.
struct Nothing;

impl Visitor for Nothing {
    fn entry(&mut self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn batch(&mut self, _: Record<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Puts entries into the leaves as they come.
pub(super) struct Filler {
    leaves: SledLeaves,
    meta: Meta,
    changes: Vec<Change>,
    /// Leaves that were there, to tell parts that were left alone while the archive was written.
    known: BTreeSet<u64>,
}

impl Filler {
    /// Begins, for batches from `replay_from` on; `told` is the Meta of the entries that come.
    pub(super) fn begin(leaves: SledLeaves, replay_from: u64, told: Meta) -> Self {
        let Meta { to, seq_next, epoch, stopped, .. } = told;
        let meta = Meta { replay_from, to, seq_next, epoch, stopped, ..Meta::default() };
        Self { leaves, meta, changes: Vec::new(), known: BTreeSet::new() }
    }

    /// The leaves, synced.
    pub(super) fn end(mut self) -> Result<SledLeaves, StoreError> {
        self.flush()?;
        self.leaves.sync()?;
        Ok(self.leaves)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.changes.push(Change::Put(keys::META.to_vec(), record::encode_meta(&self.meta)));
        self.leaves.write(std::mem::take(&mut self.changes))
    }
}

impl Visitor for Filler {
    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.known.extend(keys::read_leaf(key));
        if keys::leaf_of_part(key).is_some_and(|leaf| !self.known.contains(&leaf)) {
            return Ok(());
        }
        let Some(sum) = self.meta.sum_of(key) else { return Ok(()) };
        sum.add(key, value);
        self.changes.push(Change::Put(key.to_vec(), value.to_vec()));
        if self.changes.len() >= ENTRIES_PER_WRITE { self.flush() } else { Ok(()) }
    }

    fn batch(&mut self, _: Record<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Recovers as a start does, from a journal that lies elsewhere, reads all parts, and folds everything.
pub(super) fn fold_tail<J: Journal>(
    leaves: SledLeaves,
    journal: &mut J,
    recovered: Recovered,
    options: &Options,
) -> Result<SledLeaves, StoreError> {
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    let (mut core, loaded) = Core::recover(journal, recovered, leaves.reader(), seed, options.core)?;
    look::read_parts(&mut core)?;
    let mut folder = Folder::new(leaves, loaded.meta);
    loop {
        if let Some(slice) = core.slice(recovered.last_batch, true)
            && folder.write(slice)?.is_some()
        {
            return Ok(folder.into_leaves());
        }
    }
}

/// The directory is another one now: whoever held a lease of the old one holds none of this.
fn renew(mut leaves: SledLeaves) -> Result<SledLeaves, StoreError> {
    let bytes = leaves.reader().read(keys::META)?.unwrap_or_default();
    let mut meta = record::decode_meta(&bytes).map_err(|error| error.at("the store's Meta record"))?;
    meta.epoch = meta.epoch.max(clock::epoch_minutes(clock::wall_ms())).saturating_add(EPOCHS_SPARED);
    meta.stopped = false;
    leaves.write(vec![Change::Put(keys::META.to_vec(), record::encode_meta(&meta))])?;
    leaves.sync()?;
    Ok(leaves)
}

/// The batches of an archive, to be replayed.
struct Batches<'a> {
    archive: &'a Archive,
}

struct EachBatch<'a> {
    from: u64,
    each: EachRecord<'a>,
}

impl Visitor for EachBatch<'_> {
    fn entry(&mut self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn batch(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        if record.batch >= self.from { (self.each)(record) } else { Ok(()) }
    }
}

impl Journal for Batches<'_> {
    fn continue_at(&mut self, _batch: u64) -> Result<(), StoreError> {
        Err(StoreError::Poisoned { file: PathBuf::from("an archive") })
    }

    fn append(&mut self, _record: Record<'_>) -> Result<(), StoreError> {
        Err(StoreError::Poisoned { file: PathBuf::from("an archive") })
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn replay(&mut self, from: u64, each: EachRecord<'_>) -> Result<(), StoreError> {
        self.archive.read(&mut EachBatch { from, each }).map(drop)
    }

    fn recycle(&mut self, _from: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn stats(&self) -> JournalStats {
        JournalStats::default()
    }
}
