//! Folders whose names are durable.

use super::StoreError;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes a folder for this user alone, and those above it that are missing, and makes all their names
/// durable: a power cut must not take the folder away together with what is synced in it.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::io("make the folder", path, source);
    let absolute = std::path::absolute(path).map_err(refuse)?;
    let missing: Vec<&Path> = absolute.ancestors().take_while(|folder| !folder.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            // Another process may make it at the same time; whose the directory is the lock decides.
            Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => return Err(refuse(source)),
            Ok(()) | Err(_) => {}
        }
        folder.parent().map_or(Ok(()), sync_folder)?;
    }
    Ok(())
}

/// Makes the name of a folder durable, and those of the folders above it, as far as this user can: whoever
/// made them may have died, or been killed, before syncing them.
pub(super) fn sync_names_above(path: &Path) {
    let Ok(absolute) = std::path::absolute(path) else { return };
    for folder in absolute.ancestors().skip(1) {
        // A folder that we may not read was there before anything of ours.
        let _is_not_ours = sync_folder(folder);
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StoreError::io("sync the folder", path, source))
}
