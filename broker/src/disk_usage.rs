//! What folders take on disk, for whoever measures them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the files below a folder take on disk; files that vanish meanwhile take nothing.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    /// Of `st_blocks`, whatever the file system's own blocks are.
    const BLOCK_BYTES: u64 = 512;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
