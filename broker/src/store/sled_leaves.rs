//! The leaves on disk: sled, behind the guards without which it loses data. It is separate because
//! sled is named in this file only, so that replacing it means replacing this file.
//!
//! The guards, each for a failure that was seen: flush is made durable by `durable_sync`, and
//! proven at open; no value is so large that sled would make a blob of it, which it never syncs;
//! what sled makes and does not sync is synced here, files at creation and names at every open; a
//! left-over `*.generating` file, which would make open fail for ever, is removed; a missing database
//! is an error, because sled would make an empty one; open may panic on damage, so it runs where a
//! panic is an error; a flush may hang, so it is watched.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::failpoint;

use super::durable_sync;
use super::error::StoreError;
use super::folder::{make_folder, sync_folder};
use super::seam::{Change, EachEntry, Leaves, LeavesStats, ReadLeaves, assert_small};
use super::watchdog::{Alarm, Watchdog, end_process};

/// The one tree that holds the leaves: a batch is atomic in one tree only.
const TREE: &str = "leaves";
/// The self-check writes here, in sled's default tree, where no scan of the leaves sees it.
const PROBE: &[u8] = b"durable-sync probe";
/// How long a closed database may still be held by sled's own threads.
const LET_GO: Duration = Duration::from_secs(5);
/// sled may change its files while opening, before it finds damage.
const NEXT: &str = "keep a copy of the data directory as it is, then restore it from a backup";

/// How the leaves are opened.
#[derive(Clone, Copy, Debug)]
pub struct LeavesOptions {
    /// How many bytes of pages sled keeps in memory. Its own default is 1 GiB, and it does not see
    /// the limits of a cgroup v2.
    pub cache_bytes: u64,
    /// A write or sync that takes longer ends the process.
    pub patience: Duration,
}

impl Default for LeavesOptions {
    fn default() -> LeavesOptions {
        LeavesOptions { cache_bytes: 64 << 20, patience: Duration::from_secs(30) }
    }
}

/// The leaves in sled.
pub struct SledLeaves {
    folder: PathBuf,
    db: sled::Db,
    tree: sled::Tree,
    watchdog: Watchdog,
    /// What the hook had counted before the first write that is not synced yet.
    unsynced_since: Option<u64>,
    poisoned: bool,
    stats: LeavesStats,
}

impl std::fmt::Debug for SledLeaves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledLeaves").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl SledLeaves {
    /// Makes empty leaves in `folder`, durably.
    ///
    /// # Errors
    /// `Corrupt` when there is a database already, `NotDurable` when a flush would not be durable,
    /// and whatever the system refuses.
    pub fn create(folder: &Path, options: LeavesOptions) -> Result<SledLeaves, StoreError> {
        make_folder(folder)?;
        let db = folder.join("db");
        if db.exists() {
            let what = "a database stands where new leaves were to be made";
            return Err(StoreError::corrupt(&db, 0, what));
        }
        let leaves = SledLeaves::start(folder, options)?;
        failpoint::reach("before_leaves_sync");
        for name in ["conf", "db"] {
            let path = folder.join(name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|source| StoreError::io("sync the new leaves", &path, source))?;
        }
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        Ok(leaves)
    }

    /// Opens the leaves in `folder`.
    ///
    /// # Errors
    /// `Missing` when there is no database, `Corrupt` when sled refuses it or panics, `NotDurable`
    /// when a flush would not be durable, and whatever the system refuses.
    pub fn open(folder: &Path, options: LeavesOptions) -> Result<SledLeaves, StoreError> {
        for name in ["conf", "db"] {
            let path = folder.join(name);
            if fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
                return Err(StoreError::Missing {
                    path,
                    what: "the leaves were made, so it was there and not empty".into(),
                });
            }
        }
        remove_half_made_snapshots(folder)?;
        refuse_blobs(folder)?;
        SledLeaves::start(folder, options)
    }

    fn start(folder: &Path, options: LeavesOptions) -> Result<SledLeaves, StoreError> {
        let alarm = end_process(options.patience, folder);
        SledLeaves::start_watched(folder, options, alarm)
    }

    fn start_watched(folder: &Path, options: LeavesOptions, alarm: Alarm) -> Result<SledLeaves, StoreError> {
        let watchdog = Watchdog::start(options.patience, alarm)
            .map_err(|source| StoreError::io("start the watchdog", folder, source))?;
        let (db, tree) = open_where_a_panic_is_an_error(folder, options.cache_bytes)?;
        // While it opens, sled renames a new summary into place and then writes over segments that only
        // the summary makes superfluous. It never syncs the name.
        sync_folder(folder)?;
        watchdog.during("the self-check of the leaves", || prove_durable(&db, folder))?;
        Ok(SledLeaves {
            folder: folder.to_path_buf(),
            db,
            tree,
            watchdog,
            unsynced_since: None,
            poisoned: false,
            stats: LeavesStats::default(),
        })
    }

    /// Syncs and closes. Merely dropping closes too, but sled panics there when the disk fails.
    ///
    /// # Errors
    /// When the last sync fails.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.sync()?;
        let folder = self.folder.clone();
        let close = move || drop(self);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(close))
            .map_err(|panic| damaged(&folder, format!("close panicked: {}", message(&*panic))))
    }

    fn refuse_after_failure(&self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned { file: self.folder.clone() });
        }
        Ok(())
    }

    fn sync_watched(&self, counted_before: u64) -> Result<(), StoreError> {
        self.watchdog
            .during("a sync of the leaves", || self.tree.flush())
            .map_err(|error| explain("sync the leaves", &self.folder, error))?;
        if durable_sync::is_needed() && durable_sync::count() == counted_before {
            return Err(StoreError::NotDurable {
                file: self.folder.join("db"),
                what: "a flush of the leaves synced nothing",
            });
        }
        Ok(())
    }
}

impl Leaves for SledLeaves {
    fn write(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        assert_small(&changes)?;
        if changes.is_empty() {
            return Ok(());
        }
        let number = changes.len() as u64;
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Put(key, value) => batch.insert(key, value),
                Change::Remove(key) => batch.remove(key),
            }
        }
        self.unsynced_since.get_or_insert_with(durable_sync::count);
        self.watchdog
            .during("a write to the leaves", || self.tree.apply_batch(batch))
            .map_err(|error| explain("write to the leaves", &self.folder, error))
            .inspect_err(|_| self.poisoned = true)?;
        self.stats.changes += number;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        let Some(counted_before) = self.unsynced_since else {
            return Ok(());
        };
        let before = Instant::now();
        self.sync_watched(counted_before).inspect_err(|_| self.poisoned = true)?;
        self.unsynced_since = None;
        self.stats.syncs += 1;
        self.stats.last_sync_us = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn reader(&self) -> Arc<dyn ReadLeaves> {
        Arc::new(SledReader { folder: self.folder.clone(), tree: self.tree.clone() })
    }

    fn stats(&self) -> LeavesStats {
        LeavesStats { bytes_on_disk: self.db.size_on_disk().unwrap_or(0), ..self.stats }
    }
}

struct SledReader {
    folder: PathBuf,
    tree: sled::Tree,
}

impl ReadLeaves for SledReader {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tree.get(key) {
            Ok(value) => Ok(value.map(|value| value.to_vec())),
            Err(error) => Err(explain("read a leaf", &self.folder, error)),
        }
    }

    fn scan(&self, prefix: &[u8], each: EachEntry<'_>) -> Result<(), StoreError> {
        for entry in self.tree.scan_prefix(prefix) {
            let (key, value) = entry.map_err(|error| explain("scan the leaves", &self.folder, error))?;
            each(&key, &value)?;
        }
        Ok(())
    }
}

/// A snapshot that was being written when the process died or the disk was full; sled would take
/// it for a whole one at every open, and fail.
fn remove_half_made_snapshots(folder: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::io("remove a half-made snapshot", folder, source);
    let mut removed = false;
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(&path).map_err(refuse)?;
            removed = true;
        }
    }
    if removed { sync_folder(folder) } else { Ok(()) }
}

/// A blob would be a value that this file let through although it must not.
fn refuse_blobs(folder: &Path) -> Result<(), StoreError> {
    let blobs = folder.join("blobs");
    let blob = fs::read_dir(&blobs).ok().and_then(|mut entries| entries.next()?.ok());
    match blob {
        None => Ok(()),
        Some(blob) => Err(damaged(&blob.path(), "a blob, which is never made here".into())),
    }
}

fn open_where_a_panic_is_an_error(
    folder: &Path,
    cache_bytes: u64,
) -> Result<(sled::Db, sled::Tree), StoreError> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .mode(sled::Mode::LowSpace)
        // sled's own flusher would swallow a failed fsync, after which the kernel has forgotten
        // the pages and the next one succeeds. Only `sync` syncs.
        .flush_every_ms(None);
    let open = move || {
        let db = open_once_let_go(&config)?;
        let tree = db.open_tree(TREE)?;
        Ok((db, tree))
    };
    let opened = std::thread::Builder::new()
        .name("leaves-open".into())
        .spawn(open)
        .map_err(|source| StoreError::io("start a thread to open the leaves", folder, source))?
        .join();
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(explain("open the leaves", folder, error)),
        Err(panic) => Err(damaged(&folder.join("db"), format!("sled cannot open it: {}", message(&*panic)))),
    }
}

/// sled's threads may hold the lock for a moment after a close in this very process. Another
/// process cannot: it would hold the directory's own lock, and that was taken before.
fn open_once_let_go(config: &sled::Config) -> sled::Result<sled::Db> {
    let began = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("acquire lock") && began.elapsed() < LET_GO =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// Writes and flushes, and looks whether the hook was called.
fn prove_durable(db: &sled::Db, folder: &Path) -> Result<(), StoreError> {
    let refuse = |error| explain("probe the leaves", folder, error);
    // sled writes nothing when the value is the one it has, so each probe differs from the last.
    let last = db.get(PROBE).map_err(refuse)?.and_then(|value| value.first().copied());
    let before = durable_sync::count();
    db.insert(PROBE, &[last.unwrap_or(0).wrapping_add(1)]).map_err(refuse)?;
    db.flush().map_err(refuse)?;
    if durable_sync::is_needed() && durable_sync::count() == before {
        return Err(StoreError::NotDurable {
            file: folder.join("db"),
            what: "sled's sync is not replaced by fdatasync",
        });
    }
    Ok(())
}

/// Puts sled's errors into the store's words.
fn explain(doing: &'static str, folder: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) => StoreError::io(doing, &folder.join("db"), source),
        sled::Error::Corruption { at, .. } => {
            let what = format!("sled finds damage ({at:?}) and cannot {doing}");
            damaged(&folder.join("db"), what)
        }
        error @ (sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_)) => {
            damaged(&folder.join("db"), format!("sled cannot {doing}: {error}"))
        }
    }
}

/// sled names no byte, so the offset is that of the file.
fn damaged(file: &Path, what: String) -> StoreError {
    StoreError::Corrupt { file: file.to_path_buf(), offset: 0, what, next: NEXT }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

#[cfg(test)]
mod tests;
