//! Folders whose names are durable.

use super::StoreError;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes a folder for this user alone, and its name durable.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::io("make the folder", path, source);
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(refuse)?;
    let absolute = std::path::absolute(path).map_err(refuse)?;
    absolute.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StoreError::io("sync the folder", path, source))
}
