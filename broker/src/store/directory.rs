//! The data directory: made once, held by one process, and known by its MANIFEST. It is separate
//! because it answers, before a journal or a leaf is read, whether there is anything to lose here.
//!
//! ```text
//! DIR/LOCK       flocked by the process that serves; its number stands inside
//! DIR/MANIFEST   format, id and secret of the directory, and whether it has been made wholly
//! DIR/ENDED      the last stop was in order
//! DIR/journal/   segments
//! DIR/leaves/    sled
//! DIR/history/   courses over time; may be lost
//! DIR/reserve    room kept for a start on a full disk
//! ```
//!
//! A new directory gets its MANIFEST twice: before anything else, saying that it is being made,
//! and at last, saying that it is whole. A crash between leaves the first, and the next start makes
//! everything anew; what an import left half filled only an import takes. Once whole, a missing
//! journal or missing leaves are an error and never an empty queue; and without a MANIFEST neither
//! may be there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode};

use crate::failpoint;

use super::error::{DirectoryId, NEXT_RESTORE, StoreError};
use super::folder::{make_folder, sync_folder, sync_names_above};
use super::journal;

const MAGIC: [u8; 8] = *b"WINDLASS";
pub(super) const VERSION: u8 = 1;
/// magic 8 | version u8 | stage u8 | id 16 | secret 32 | crc32c u32 of all before.
/// What may stand in a data directory before it has a MANIFEST; a file system may have made the last.
const OURS: [&str; 12] = [
    "LOCK",
    "MANIFEST.draft",
    "ENDED",
    "ENDED.draft",
    "journal",
    "leaves",
    "leaves.before",
    "leaves.copying",
    "leaves.opened",
    "history",
    "reserve",
    "lost+found",
];
/// How often, and how long apart, the lock of a broker that is ending is asked for: 5 s.
const LOCK_TRIES: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const MANIFEST_BYTES: usize = 62;
const CRC_AT: usize = MANIFEST_BYTES - 4;

/// A data directory that this process holds until the value is dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    manifest: Manifest,
    _lock: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Journal and leaves may be half made; nothing was ever acknowledged.
    Making,
    /// Jobs of an archive are on their way into it, and nobody may serve it before all are there.
    Filling,
    /// Journal and leaves exist, and must.
    Whole,
}

#[derive(Clone, PartialEq, Eq)]
struct Manifest {
    stage: Stage,
    id: DirectoryId,
    secret: [u8; 32],
}

impl std::fmt::Debug for Manifest {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest").field("stage", &self.stage).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Directory {
    /// Takes the data directory at `path`, making it if nothing is there. From here on the process
    /// makes files that only its own user can read (umask 077): sled would make them for everyone.
    ///
    /// # Errors
    /// `NotOurs` when there are other files and no MANIFEST, `Locked` when another process holds it,
    /// `Missing` when the MANIFEST is gone, `Corrupt` and `UnknownVersion` when it cannot be read,
    /// `HalfFilled` when an import into it did not end, `Full` and `ReadOnly` when it cannot be written.
    pub fn open(path: &Path) -> Result<Directory, StoreError> {
        let directory = Self::take(path, Stage::Making)?;
        match directory.manifest.stage {
            Stage::Filling => return Err(StoreError::HalfFilled { dir: path.to_path_buf() }),
            Stage::Making => directory.clear_half_made()?,
            Stage::Whole => {}
        }
        Ok(directory)
    }

    /// The same for jobs that come from elsewhere: until `seal` nobody else opens it.
    ///
    /// # Errors
    /// `Exists` when a whole directory is there; otherwise as `open`.
    pub fn open_to_fill(path: &Path) -> Result<Directory, StoreError> {
        let mut directory = Self::take(path, Stage::Filling)?;
        if !directory.is_new() {
            return Err(StoreError::Exists { path: path.to_path_buf() });
        }
        directory.clear_half_made()?;
        directory.enter(Stage::Filling)?;
        Ok(directory)
    }

    fn take(path: &Path, new: Stage) -> Result<Directory, StoreError> {
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        make_folder(path)?;
        refuse_strangers(path)?;
        let lock = take_lock(path)?;
        let manifest = match read_manifest(&path.join("MANIFEST"))? {
            Some(manifest) => manifest,
            None => {
                refuse_leftovers(path)?;
                let manifest = Manifest::draw(new)?;
                write_manifest(path, &manifest)?;
                manifest
            }
        };
        failpoint::reach("after_manifest");
        let directory = Directory { path: path.to_path_buf(), manifest, _lock: lock };
        if directory.is_new() {
            sync_names_above(path);
        }
        Ok(directory)
    }

    /// What the MANIFEST at `path` says, without taking the directory: its id, and whether it is
    /// whole. None where there is no data directory.
    ///
    /// # Errors
    /// `Corrupt` and `UnknownVersion` when it cannot be read.
    pub fn look(path: &Path) -> Result<Option<(DirectoryId, bool)>, StoreError> {
        let manifest = read_manifest(&path.join("MANIFEST"))?;
        Ok(manifest.map(|manifest| (manifest.id, manifest.stage == Stage::Whole)))
    }

    /// The process that holds the directory at `path`, if one does.
    #[must_use]
    pub fn holder(path: &Path) -> Option<u32> {
        let lock = File::open(path.join("LOCK")).ok()?;
        let is_held = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_err();
        let mut holder = String::new();
        (&lock).read_to_string(&mut holder).ok()?;
        if is_held { Some(holder.trim().parse().unwrap_or(0)) } else { None }
    }

    /// Whether the journal and the leaves are still to be created; `seal` comes after that.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.manifest.stage != Stage::Whole
    }

    /// Declares the directory whole. Call it once journal and leaves are created and synced, and
    /// before anything is acknowledged; on a directory that is whole it does nothing.
    ///
    /// # Errors
    /// When the MANIFEST cannot be written.
    pub fn seal(&mut self) -> Result<(), StoreError> {
        self.enter(Stage::Whole)
    }

    fn enter(&mut self, stage: Stage) -> Result<(), StoreError> {
        if self.manifest.stage == stage {
            return Ok(());
        }
        let manifest = Manifest { stage, ..self.manifest.clone() };
        write_manifest(&self.path, &manifest)?;
        self.manifest = manifest;
        Ok(())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the journal's segments.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The folder of sled.
    #[must_use]
    pub fn leaves(&self) -> PathBuf {
        self.path.join("leaves")
    }

    /// The folder of the history, in which nothing is that was promised.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.path.join("history")
    }

    /// The id that every file of this directory carries.
    #[must_use]
    pub fn id(&self) -> DirectoryId {
        self.manifest.id
    }

    /// The key that session secrets are made with. It never leaves the directory.
    #[must_use]
    pub fn secret(&self) -> &[u8; 32] {
        &self.manifest.secret
    }

    /// Where the journal's checksums start, see `JournalOptions::secret`.
    #[must_use]
    pub fn journal_secret(&self) -> u32 {
        crc32c::crc32c(&self.manifest.secret)
    }

    /// Takes away what an interrupted first start left, so that making can begin anew.
    fn clear_half_made(&self) -> Result<(), StoreError> {
        if let Some(file) = journal::find_record(&self.journal())? {
            // Serving began although the directory was never sealed: a bug, and no reason to lose
            // jobs.
            let what = "a record in a data directory whose MANIFEST says that it is being made";
            return Err(StoreError::corrupt(&file, 0, what));
        }
        for folder in [self.journal(), self.leaves()] {
            match fs::remove_dir_all(&folder) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove a half-made folder", &folder, source));
                }
                Ok(()) | Err(_) => {}
            }
        }
        sync_folder(&self.path)
    }
}

fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("LOCK");
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| StoreError::io("open the lock file", &path, source))?;
    match flock_patiently(&lock) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let holder = match (&lock).read_to_string(&mut holder) {
                Ok(_) => holder.trim().parse().ok(),
                Err(_) => None,
            };
            return Err(StoreError::Locked { dir: dir.to_path_buf(), holder });
        }
        Err(errno) => return Err(StoreError::io("lock the data directory", &path, errno.into())),
    }
    // The number is a courtesy to whoever comes second, so a full disk is no reason to stop here.
    // Its width is fixed, so that writing it again needs no new block.
    let _ = lock.write_all_at(format!("{:<20}\n", std::process::id()).as_bytes(), 0);
    Ok(lock)
}

/// A broker that was killed holds its lock until the kernel has ended it, which takes as long as the write
/// or sync that it was in. Whoever starts the next one at once should not have to start it twice.
fn flock_patiently(lock: &File) -> rustix::io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            done => return done,
        }
    }
    rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive)
}

/// A new data directory is made in an empty folder only: one that holds anything else was named by
/// mistake.
fn refuse_strangers(dir: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::io("list the folder", dir, source);
    if dir.join("MANIFEST").try_exists().map_err(refuse)? {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(refuse)? {
        let name = entry.map_err(refuse)?.file_name();
        if !OURS.iter().any(|&ours| name == ours) {
            let found = name.to_string_lossy().into_owned();
            return Err(StoreError::NotOurs { dir: dir.to_path_buf(), found });
        }
    }
    Ok(())
}

/// Without a MANIFEST nothing of ours may be there: its loss must not look like a new directory.
fn refuse_leftovers(dir: &Path) -> Result<(), StoreError> {
    for name in ["journal", "leaves", "leaves.before"] {
        let folder = dir.join(name);
        let there =
            folder.try_exists().map_err(|source| StoreError::io("look for the folder", &folder, source))?;
        if there {
            return Err(StoreError::Missing {
                path: dir.join("MANIFEST"),
                what: format!("there is a folder {name}/ beside it, which may hold jobs"),
            });
        }
    }
    Ok(())
}

impl Manifest {
    fn draw(stage: Stage) -> Result<Manifest, StoreError> {
        let source = Path::new("/dev/urandom");
        let mut bytes = [0; 48];
        File::open(source)
            .and_then(|mut random| random.read_exact(&mut bytes))
            .map_err(|error| StoreError::io("draw random bytes", source, error))?;
        let (mut id, mut secret) = ([0; 16], [0; 32]);
        id.copy_from_slice(&bytes[..16]);
        secret.copy_from_slice(&bytes[16..]);
        Ok(Manifest { stage, id: DirectoryId(id), secret })
    }

    fn encode(&self) -> [u8; MANIFEST_BYTES] {
        let mut bytes = [0; MANIFEST_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8] = VERSION;
        bytes[9] = match self.stage {
            Stage::Making => 0,
            Stage::Whole => 1,
            Stage::Filling => 2,
        };
        bytes[10..26].copy_from_slice(&self.id.0);
        bytes[26..58].copy_from_slice(&self.secret);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// In every version the crc is the last four bytes, so a newer one is told from a damaged one.
    fn decode(bytes: &[u8], file: &Path) -> Result<Manifest, StoreError> {
        let damaged = |offset, what| {
            Err(StoreError::Corrupt {
                file: file.to_path_buf(),
                offset,
                what: String::from(what),
                next: NEXT_RESTORE,
            })
        };
        let Some((told, crc)) = bytes.split_last_chunk::<4>() else {
            return damaged(bytes.len() as u64, "the file is cut short");
        };
        if crc32c::crc32c(told) != u32::from_le_bytes(*crc) {
            return damaged(0, "its checksum disagrees");
        }
        if told.len() < 9 || told[0..8] != MAGIC {
            return damaged(0, "this is not the MANIFEST of a windlass data directory");
        }
        if told[8] != VERSION {
            return Err(StoreError::UnknownVersion {
                file: file.to_path_buf(),
                found: told[8],
                known: VERSION,
            });
        }
        let stage = match told.get(9) {
            Some(0) => Stage::Making,
            Some(1) => Stage::Whole,
            Some(2) => Stage::Filling,
            Some(_) | None => return damaged(9, "this stage is unknown"),
        };
        if told.len() != CRC_AT {
            return damaged(told.len() as u64, "the length is not that of this version");
        }
        let (mut id, mut secret) = ([0; 16], [0; 32]);
        id.copy_from_slice(&told[10..26]);
        secret.copy_from_slice(&told[26..58]);
        Ok(Manifest { stage, id: DirectoryId(id), secret })
    }
}

fn read_manifest(path: &Path) -> Result<Option<Manifest>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Manifest::decode(&bytes, path).map(Some),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::io("read the MANIFEST", path, source)),
    }
}

fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), StoreError> {
    let path = dir.join("MANIFEST");
    let draft = dir.join("MANIFEST.draft");
    let refuse = |source| StoreError::io("write the MANIFEST", &path, source);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(refuse)?;
    file.write_all(&manifest.encode()).map_err(refuse)?;
    file.sync_all().map_err(refuse)?;
    failpoint::reach("before_manifest");
    fs::rename(&draft, &path).map_err(refuse)?;
    sync_folder(dir)
}

#[cfg(test)]
mod tests;
