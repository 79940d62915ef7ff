//! Where files may lie and how they are written: always under the output folder, always whole.
//!
//! Separate because payloads come from strangers and workers are killed in the middle: no handler opens
//! a path of a payload, or a file to write, by other means.

use crate::run::HandlerError;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use tempfile::NamedTempFile;

/// The place of `name` under `folder`.
///
/// # Errors
/// A permanent failure if it would lie elsewhere (absolute, `..`), or is no name at all.
pub(crate) fn place(folder: &Path, name: &str) -> Result<PathBuf, HandlerError> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !plain || name.contains(char::is_control) {
        return Err(HandlerError::permanent(format!("{name:?} is not a path inside the output folder")));
    }
    Ok(folder.join(path))
}

/// Reads a file of at most `bytes_max` bytes.
///
/// # Errors
/// To be retried if it cannot be read: it may be on its way. Permanent if it is too long.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, HandlerError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| HandlerError::retry(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > bytes_max {
        return Err(HandlerError::permanent(format!("{} is longer than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

/// Writes `path` whole and durably, replacing an older one: whoever looks sees all of it or nothing,
/// and a job that says it is done has its file on the disk. `staging` is on the same file system.
///
/// # Errors
/// To be retried: a full disk may be emptied.
pub(crate) fn write(path: &Path, staging: &Path, bytes: &[u8]) -> Result<(), HandlerError> {
    write_synced(path, staging, bytes)
        .map_err(|error| HandlerError::retry(format!("cannot write {}: {error}", path.display())))
}

fn write_synced(path: &Path, staging: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    fs::create_dir_all(staging)?;
    let mut file = NamedTempFile::new_in(staging)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

const NAME_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_always_under_the_folder() {
        let folder = Path::new("out");
        assert_eq!(place(folder, "a/b.png").unwrap(), Path::new("out/a/b.png"));
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", "/etc/passwd", "../a", "a/../../b", "./a", "a\0b", "a\nb", &long] {
            assert!(place(folder, name).unwrap_err().is_permanent(), "{name:?}");
        }
    }

    #[test]
    fn a_second_write_replaces_the_first_and_leaves_nothing_behind() {
        let out = tempfile::tempdir().unwrap();
        let (path, staging) = (out.path().join("deep/file"), out.path().join("tmp"));
        write(&path, &staging, b"first").unwrap();
        write(&path, &staging, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn reading_is_bounded() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("file");
        assert!(!read(&path, 4).unwrap_err().is_permanent(), "a missing file may come");
        fs::write(&path, b"four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert!(read(&path, 3).unwrap_err().is_permanent());
    }
}
