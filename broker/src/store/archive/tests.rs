//! An archive comes back as it was written, or not at all.

use super::*;
use std::fs;
use tempfile::TempDir;

#[derive(Default, PartialEq, Debug)]
struct Found {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    batches: Vec<(u64, u8, Vec<u8>)>,
}

impl Visitor for Found {
    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.entries.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn batch(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        self.batches.push((record.batch, record.format, record.body.to_vec()));
        Ok(())
    }
}

fn written(path: &Path, number: u32) -> (Found, Summary) {
    let mut found = Found::default();
    let mut writer = Writer::begin(File::create(path).unwrap(), DirectoryId([7; 16])).unwrap();
    for entry in 0..number {
        let (key, value) = (entry.to_be_bytes().to_vec(), vec![3; entry as usize % 5 * 1_000]);
        writer.entry(&key, &value).unwrap();
        found.entries.push((key, value));
    }
    for batch in 5..5 + u64::from(number / 10) {
        let body = vec![9; usize::try_from(batch).unwrap() * 100];
        writer.batch(Record { batch, format: 3, body: &body }).unwrap();
        found.batches.push((batch, 3, body));
    }
    let summary = writer.end(5, 4 + u64::from(number / 10), Meta { to: 4, ..Meta::default() }).unwrap().1;
    (found, summary)
}

#[test]
fn what_was_written_is_read() {
    let dir = TempDir::new().unwrap();
    for number in [0, 1, 30, 1_000] {
        let path = dir.path().join("archive");
        let (written, told) = written(&path, number);
        let mut found = Found::default();
        assert_eq!(Archive::at(&path).read(&mut found).unwrap(), told);
        assert_eq!(found, written);
    }
}

#[test]
fn an_archive_that_lies_about_its_batches_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("archive");
    for (replay_from, last_batch) in [(0, 0), (1, u64::MAX), (2, 0), (u64::MAX, u64::MAX - 1), (1, 1)] {
        let writer = Writer::begin(File::create(&path).unwrap(), DirectoryId([7; 16])).unwrap();
        writer.end(replay_from, last_batch, Meta::default()).unwrap();
        let error = Archive::at(&path).read(&mut Found::default()).unwrap_err();
        assert_eq!(error.exit_code(), 78, "{replay_from} {last_batch}: {error}");
    }
}

#[test]
fn an_archive_that_is_cut_or_changed_anywhere_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("archive");
    written(&path, 12);
    let whole = fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).step_by(97).map(|end| whole[..end].to_vec()).collect();
    damaged.push([&whole[..], b"x"].concat());
    for at in (0..whole.len()).step_by(41).chain(0..120).chain(whole.len() - 150..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 8;
        damaged.push(bytes);
    }
    for bytes in damaged {
        fs::write(&path, bytes).unwrap();
        let error = Archive::at(&path).read(&mut Found::default()).unwrap_err();
        assert_eq!(error.exit_code(), 78, "{error}");
    }
}

#[test]
fn an_archive_of_a_later_version_is_refused_as_such() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("archive");
    written(&path, 3);
    for place in [16, 17] {
        let mut bytes = fs::read(&path).unwrap();
        bytes[place] = 99;
        let crc = crc32c::crc32c(&bytes[..HEAD_BYTES - 4]).to_le_bytes();
        bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&crc);
        fs::write(dir.path().join("later"), bytes).unwrap();
        let error = Archive::at(&dir.path().join("later")).read(&mut Found::default()).unwrap_err();
        assert!(matches!(error, StoreError::UnknownVersion { found: 99, .. }), "{error}");
    }
}
