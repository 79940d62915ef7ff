//! The guards around sled, each tested.

use tempfile::TempDir;

use super::*;
use crate::store::seam::{KEY_MAX, VALUE_MAX};

fn created(dir: &TempDir) -> SledLeaves {
    SledLeaves::create(&dir.path().join("leaves"), LeavesOptions::default()).unwrap()
}

fn opened(dir: &TempDir) -> Result<SledLeaves, StoreError> {
    SledLeaves::open(&dir.path().join("leaves"), LeavesOptions::default())
}

fn put(key: &[u8], value: &[u8]) -> Change {
    Change::Put(key.to_vec(), value.to_vec())
}

fn entries(leaves: &SledLeaves, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seen = Vec::new();
    leaves
        .reader()
        .scan(prefix, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    seen
}

#[test]
fn what_was_synced_is_there_after_opening_and_the_probe_is_not_seen() {
    let dir = TempDir::new().unwrap();
    let mut leaves = created(&dir);
    leaves.write(vec![put(b"a1", b"x"), put(b"a2", b"y"), put(b"b1", b"z")]).unwrap();
    leaves.write(vec![Change::Remove(b"a1".to_vec()), Change::Remove(b"none".to_vec())]).unwrap();
    leaves.sync().unwrap();
    assert_eq!((leaves.stats().changes, leaves.stats().syncs), (5, 1));
    assert!(leaves.stats().bytes_on_disk > 0);
    leaves.sync().unwrap();
    assert_eq!(leaves.stats().syncs, 1, "nothing was written, so nothing is synced");
    leaves.close().unwrap();
    let leaves = opened(&dir).unwrap();
    assert_eq!(entries(&leaves, b"a"), [(b"a2".to_vec(), b"y".to_vec())]);
    assert_eq!(entries(&leaves, b"").len(), 2);
    assert_eq!(leaves.reader().read(b"b1").unwrap().unwrap(), b"z");
    assert_eq!(leaves.reader().read(b"b2").unwrap(), None);
}

#[test]
fn a_reader_reads_on_another_thread_while_the_owner_writes() {
    let dir = TempDir::new().unwrap();
    let mut leaves = created(&dir);
    let reader = leaves.reader();
    leaves.write(vec![put(b"k", b"0")]).unwrap();
    let reading =
        std::thread::spawn(move || (0..2000).filter(|_| reader.read(b"k").unwrap().is_some()).count());
    for round in 0..200_u32 {
        leaves.write(vec![put(b"k", &round.to_le_bytes()), put(b"l", b"1")]).unwrap();
    }
    leaves.sync().unwrap();
    assert_eq!(reading.join().unwrap(), 2000);
}

#[test]
fn largest_values_never_become_blobs_and_larger_ones_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut leaves = created(&dir);
    for round in 0..5_u8 {
        let changes = (0..200_u16).map(|i| {
            let mut key = vec![round; KEY_MAX - 2];
            key.extend(i.to_be_bytes());
            Change::Put(key, vec![round; VALUE_MAX])
        });
        leaves.write(changes.collect()).unwrap();
        leaves.sync().unwrap();
    }
    for (key, value) in [(KEY_MAX + 1, 0), (1, VALUE_MAX + 1)] {
        let error = leaves.write(vec![put(b"ok", b""), put(&vec![1; key], &vec![1; value])]).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    }
    assert_eq!(leaves.reader().read(b"ok").unwrap(), None, "a refused write leaves no trace");
    leaves.write(vec![put(b"ok", b"")]).unwrap();
    leaves.close().unwrap();
    let blobs = dir.path().join("leaves/blobs");
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0);
    assert_eq!(entries(&opened(&dir).unwrap(), b"").len(), 1001);

    fs::write(blobs.join("77"), b"x").unwrap();
    let error = opened(&dir).unwrap_err();
    assert!(error.to_string().contains("blobs/77"), "{error}");
}

#[test]
fn a_missing_or_empty_database_is_never_an_empty_queue() {
    let dir = TempDir::new().unwrap();
    let error = opened(&dir).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    created(&dir).close().unwrap();
    for name in ["db", "conf"] {
        let path = dir.path().join("leaves").join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, b"").unwrap();
        let empty = opened(&dir).unwrap_err();
        fs::remove_file(&path).unwrap();
        let gone = opened(&dir).unwrap_err();
        assert!(matches!((&empty, &gone), (StoreError::Missing { .. }, StoreError::Missing { .. })));
        assert_eq!((empty.exit_code(), gone.exit_code()), (78, 78));
        fs::write(&path, whole).unwrap();
    }
    opened(&dir).unwrap();
    let again = SledLeaves::create(&dir.path().join("leaves"), LeavesOptions::default()).unwrap_err();
    assert!(matches!(again, StoreError::Corrupt { .. }), "{again}");
}

#[test]
fn a_half_made_snapshot_does_not_stop_a_start() {
    let dir = TempDir::new().unwrap();
    let mut leaves = created(&dir);
    leaves.write(vec![put(b"k", b"v")]).unwrap();
    leaves.close().unwrap();
    let half = dir.path().join("leaves/snap.0000000000000FFF.generating");
    fs::write(&half, b"cut").unwrap();
    let leaves = opened(&dir).unwrap();
    assert_eq!(entries(&leaves, b"").len(), 1);
    assert!(!half.exists());
}

#[test]
fn damage_is_an_error_and_never_a_panic_here() {
    let dir = TempDir::new().unwrap();
    let mut leaves = created(&dir);
    for round in 0..40_u8 {
        leaves.write((0..50_u8).map(|i| put(&[round, i], &[round; 300])).collect()).unwrap();
    }
    leaves.close().unwrap();
    let whole: Vec<_> = fs::read_dir(dir.path().join("leaves"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    let mut refused = 0;
    for (path, bytes) in &whole {
        for tenth in 0..10 {
            let _ = fs::remove_dir_all(dir.path().join("leaves"));
            fs::create_dir(dir.path().join("leaves")).unwrap();
            for (path, bytes) in &whole {
                fs::write(path, bytes).unwrap();
            }
            let mut damaged = bytes.clone();
            let at = bytes.len() * tenth / 10;
            let end = (at + 512).min(bytes.len());
            damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            fs::write(path, damaged).unwrap();
            if let Err(error) = opened(&dir) {
                assert_eq!(error.exit_code(), 78, "{error}");
                assert!(error.to_string().contains("restore it from a backup"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn after_close_another_can_open_and_a_held_database_is_refused() {
    let dir = TempDir::new().unwrap();
    let held = created(&dir);
    let error = opened(&dir).unwrap_err();
    assert!(error.to_string().contains("leaves/db: could not open the leaves"), "{error}");
    held.close().unwrap();
    opened(&dir).unwrap();
}

#[test]
fn writes_that_change_nothing_are_synced_like_any_other() {
    let dir = TempDir::new().unwrap();
    let mut leaves = created(&dir);
    for _ in 0..5 {
        leaves.write(vec![put(b"k", b"v")]).unwrap();
        leaves.sync().unwrap();
        leaves.write(vec![Change::Remove(b"never there".to_vec())]).unwrap();
        leaves.sync().unwrap();
        leaves.write(Vec::new()).unwrap();
        leaves.sync().unwrap();
    }
    assert_eq!(leaves.stats().syncs, 10);
}

#[test]
fn every_probe_differs_from_the_last_because_sled_skips_equal_values() {
    let dir = TempDir::new().unwrap();
    let leaves = created(&dir);
    for _ in 0..300 {
        let last = leaves.db.get(PROBE).unwrap();
        prove_durable(&leaves.db, &leaves.folder).unwrap();
        assert_ne!(leaves.db.get(PROBE).unwrap(), last);
    }
}
