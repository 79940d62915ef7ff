//! The leaves as they were before a start: kept beside them while sled opens them, because sled
//! changes its files before it finds damage, and a start that is refused must change nothing.
//!
//! ```text
//! leaves.copying   half a copy, or one that is no longer needed
//! leaves.before    a whole copy: whoever finds it was preceded by a start that came to no end
//! leaves.opened    what such a start has made of them
//! ```

use super::directory::Directory;
use super::error::StoreError;
use super::folder::{make_folder, sync_folder};
use crate::disk_usage::bytes_below;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Leaves larger than this are copied only where a copy shares their blocks: it would take seconds.
pub const COPY_BYTES_MAX: u64 = 512 << 20;

/// What a copy may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// It may take as much room as the leaves do.
    Room,
    /// It must share their blocks.
    Nothing,
}

/// Takes the copy. Call it with leaves that nobody has open.
///
/// # Errors
/// When the system refuses; there may be no room, or a file system that cannot share blocks.
pub fn keep(directory: &Directory, cost: Cost) -> Result<(), StoreError> {
    let (copying, before) = (path(directory, "copying"), path(directory, "before"));
    let copied = copy_folder(&directory.leaves(), &copying, cost);
    copied.inspect_err(|_| drop(fs::remove_dir_all(&copying)))?;
    rename(&copying, &before)?;
    sync_folder(directory.path())
}

/// Bytes that a copy takes.
#[must_use]
pub fn bytes(directory: &Directory) -> u64 {
    bytes_below(&directory.leaves())
}

/// Puts the leaves back if a start came to no end, and takes away what it left. Call it before the
/// leaves are opened, and after a start was refused.
///
/// # Errors
/// When the system refuses.
pub fn put_back(directory: &Directory) -> Result<(), StoreError> {
    let (leaves, before) = (directory.leaves(), path(directory, "before"));
    let opened = path(directory, "opened");
    if before.exists() {
        if leaves.exists() {
            remove(&opened)?;
            rename(&leaves, &opened)?;
        }
        rename(&before, &leaves)?;
        sync_folder(directory.path())?;
    }
    remove(&opened)?;
    remove(&path(directory, "copying"))
}

/// The leaves are whole: takes the copy away, so that it can never come back.
///
/// # Errors
/// When the system refuses.
pub fn let_go(directory: &Directory) -> Result<(), StoreError> {
    let before = path(directory, "before");
    if !before.exists() {
        return Ok(());
    }
    let copying = path(directory, "copying");
    rename(&before, &copying)?;
    sync_folder(directory.path())?;
    remove(&copying)
}

fn path(directory: &Directory, what: &str) -> PathBuf {
    directory.path().join(format!("leaves.{what}"))
}

fn copy_folder(from: &Path, to: &Path, cost: Cost) -> Result<(), StoreError> {
    let refuse = |source| StoreError::io("copy the leaves", to, source);
    remove(to)?;
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let place = to.join(entry.file_name());
        if entry.file_type().map_err(refuse)?.is_dir() {
            copy_folder(&entry.path(), &place, cost)?;
        } else {
            copy_file(&entry.path(), &place, cost).map_err(refuse)?;
        }
    }
    sync_folder(to)
}

fn copy_file(from: &Path, to: &Path, cost: Cost) -> io::Result<()> {
    let file = File::create(to)?;
    match rustix::fs::ioctl_ficlone(&file, File::open(from)?) {
        Ok(()) => {}
        Err(_cannot_share) if cost == Cost::Room => drop(fs::copy(from, to)?),
        Err(errno) => return Err(errno.into()),
    }
    file.sync_all()
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|source| StoreError::io("rename the folder", from, source))
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove the folder", folder, source))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
