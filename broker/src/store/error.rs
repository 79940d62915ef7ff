//! What can go wrong on the byte floor. It is separate because every file of the store speaks it
//! and because the process ends by it: each error says what happened, where, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store. All of them are fatal for the process; recovery is the normal start.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Bytes that were durable once are damaged; starting anyway would skip records.
    #[error("{}: damaged at byte {offset}: {what}; {next}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file the damage was noticed.
        offset: u64,
        /// What was expected and what was found.
        what: String,
        /// The way out for the operator.
        next: &'static str,
    },
    /// Something that the MANIFEST promises is not there.
    #[error("{}: missing: {what}; {NEXT_RESTORE}", path.display())]
    Missing {
        /// What should exist.
        path: PathBuf,
        /// Why it should exist.
        what: String,
    },
    /// Somebody else's files are where a data directory was to be made.
    #[error(
        "{}: not empty and not a windlass data directory, there is {found}; \
         name a new or an empty directory",
        dir.display()
    )]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// One of the files.
        found: String,
    },
    /// An import or a repair ended before everything was there.
    #[error(
        "{}: an import into this directory did not end, so some of its jobs are missing; \
         import again, or remove the directory",
        dir.display()
    )]
    HalfFilled {
        /// The directory.
        dir: PathBuf,
    },
    /// Something is where something new was to be made.
    #[error("{}: is there already, and nothing is written over it; name another place", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// A file belongs to another data directory.
    #[error(
        "{}: belongs to data directory {found}, this one is {expected}; \
         move the file away, or restore the whole directory from one backup",
        file.display()
    )]
    Foreign {
        /// The stranger.
        file: PathBuf,
        /// The id that stands in the file.
        found: DirectoryId,
        /// The id of this data directory.
        expected: DirectoryId,
    },
    /// A file was written by a version of windlass that this one does not know.
    #[error(
        "{}: format version {found} is unknown, this windlass knows up to {known}; \
         run the version that wrote it, or a newer one",
        file.display()
    )]
    UnknownVersion {
        /// The file.
        file: PathBuf,
        /// The version that stands in the file.
        found: u8,
        /// The newest version that this program reads.
        known: u8,
    },
    /// Another process holds the data directory.
    #[error(
        "{}: another windlass{} holds this data directory; stop it, or give this one another directory",
        dir.display(),
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it, if its number could be read.
        holder: Option<u32>,
    },
    /// The disk is full.
    #[error("{}: no room to {doing}; free space on this filesystem, then start again", file.display())]
    Full {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory cannot be written.
    #[error(
        "{}: not writable, cannot {doing}; remount it read-write, \
         or make it belong to the user that runs windlass",
        file.display()
    )]
    ReadOnly {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other refusal of the system.
    #[error("{}: could not {doing}; check the disk and the kernel log, then start again", file.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A caller handed over more than the store accepts; nothing was written.
    #[error("{what} of {bytes} bytes is over the limit of {most}; split it before it reaches the store")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// An earlier write or sync failed, so nothing more may be written through this handle.
    #[error("{}: refused, because an earlier write failed; restart windlass to recover", file.display())]
    Poisoned {
        /// The folder or file that failed.
        file: PathBuf,
    },
    /// A stored record does not decode.
    #[error("{what}: {source}; keep a copy of the data directory, then restore it from a backup")]
    Record {
        /// Which record.
        what: String,
        /// Why it does not decode.
        source: super::record::RecordError,
    },
    /// A job names a part that the leaves do not hold.
    #[error(
        "the leaves do not hold {part}, which a job names; \
         keep a copy of the data directory, then restore it from a backup"
    )]
    MissingPart {
        /// The part.
        part: String,
    },
    /// Journal and leaves do not belong together, or one of them lost something.
    #[error("{what}; keep a copy of the data directory, then restore it from a backup")]
    Mismatch {
        /// What was noticed.
        what: String,
    },
    /// A flush returned, yet nothing was synced: acknowledged jobs would not survive power loss.
    #[error(
        "{}: {what}, so a flush would not survive a power loss; \
         this build of windlass is broken, use a released binary",
        file.display()
    )]
    NotDurable {
        /// The file that should have been synced.
        file: PathBuf,
        /// What the self-check saw.
        what: &'static str,
    },
}

/// The way out after damage that was found before anything was changed.
pub(super) const NEXT_RESTORE: &str = "nothing has been changed; \
     keep a copy of the data directory, then restore it from a backup";

impl StoreError {
    /// Sorts a refusal of the system by what the operator has to do about it.
    pub(crate) fn io(doing: &'static str, file: &Path, source: io::Error) -> StoreError {
        let file = file.to_path_buf();
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            StoreError::Full { doing, file, source }
        } else if matches!(kind, io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) {
            StoreError::ReadOnly { doing, file, source }
        } else {
            StoreError::Io { doing, file, source }
        }
    }

    /// Damage that was found before anything was changed on disk.
    pub(super) fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> StoreError {
        StoreError::Corrupt { file: file.to_path_buf(), offset, what: what.into(), next: NEXT_RESTORE }
    }

    /// The exit code of a process that ends by this error: 78 (a restart will not help, a person
    /// has to look) or 1 (try again once the cause is gone).
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            StoreError::Corrupt { .. }
            | StoreError::Missing { .. }
            | StoreError::Foreign { .. }
            | StoreError::UnknownVersion { .. }
            | StoreError::Record { .. }
            | StoreError::MissingPart { .. }
            | StoreError::Mismatch { .. }
            | StoreError::HalfFilled { .. }
            | StoreError::NotDurable { .. } => 78,
            StoreError::NotOurs { .. }
            | StoreError::Exists { .. }
            | StoreError::Locked { .. }
            | StoreError::Full { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Io { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Poisoned { .. } => 1,
        }
    }
}

/// The identity of a data directory, drawn once when it is made; every file of it carries the id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryId(pub [u8; 16]);

impl std::fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for DirectoryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirectoryId({self})")
    }
}
