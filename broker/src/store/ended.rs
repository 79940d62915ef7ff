//! The mark of a stop in order: the file `ENDED` says with which batch the journal ended.
//!
//! While it stands, nothing was torn: a journal that ends elsewhere has lost something, and sled
//! was closed. It is written last and taken away before the first write of the next run; without it
//! the stop was a crash, or the file is damaged, and a start looks closer.

use super::directory::Directory;
use super::error::StoreError;
use super::folder::sync_folder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

const MAGIC: [u8; 8] = *b"WNDLENDD";
/// magic 8 | directory id 16 | batch u64 | crc32c u32 of all before.
const BYTES: usize = 36;

/// The batch that the journal ended with; None when the last stop was not in order.
#[must_use]
pub fn read(directory: &Directory) -> Option<u64> {
    let bytes: [u8; BYTES] = fs::read(directory.path().join("ENDED")).ok()?.try_into().ok()?;
    let batch = u64::from_le_bytes(bytes[24..32].try_into().ok()?);
    (bytes == encode(directory, batch)).then_some(batch)
}

/// Notes a stop in order, once journal and leaves are closed.
///
/// # Errors
/// When the system refuses; the next start then takes it for a crash.
pub fn note(directory: &Directory, last_batch: u64) -> Result<(), StoreError> {
    let (path, draft) = (directory.path().join("ENDED"), directory.path().join("ENDED.draft"));
    let refuse = |source| StoreError::io("note the end", &path, source);
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
    let mut file: File = options.open(&draft).map_err(refuse)?;
    file.write_all(&encode(directory, last_batch)).map_err(refuse)?;
    file.sync_all().map_err(refuse)?;
    fs::rename(&draft, &path).map_err(refuse)?;
    sync_folder(directory.path())
}

/// Takes the mark away, durably, before anything is written.
///
/// # Errors
/// When the system refuses.
pub fn forget(directory: &Directory) -> Result<(), StoreError> {
    let path = directory.path().join("ENDED");
    match fs::remove_file(&path) {
        Ok(()) => sync_folder(directory.path()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::io("take away the mark of the last end", &path, source)),
    }
}

fn encode(directory: &Directory, batch: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..24].copy_from_slice(&directory.id().0);
    bytes[24..32].copy_from_slice(&batch.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
