//! The simulator keeps the seam's promises, and breaks exactly what a power cut may break.

use tempfile::TempDir;

use super::*;
use crate::store::DirectoryId;
use crate::store::journal::{DiskJournal, JournalOptions};
use crate::store::sled_leaves::{LeavesOptions, SledLeaves};

fn record(batch: u64) -> Record<'static> {
    Record { batch, format: 3, body: b"facts" }
}

fn put(key: u8, value: u8) -> Change {
    Change::Put(vec![key], vec![value])
}

fn replayed(journal: &mut dyn Journal, from: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    journal
        .replay(from, &mut |record| {
            assert_eq!((record.format, record.body), (3, b"facts".as_slice()));
            seen.push(record.batch);
            Ok(())
        })
        .unwrap();
    seen
}

fn entries(leaves: &dyn Leaves) -> Vec<(u8, u8)> {
    let mut seen = Vec::new();
    leaves
        .reader()
        .scan(&[], &mut |key, value| {
            seen.push((key[0], value[0]));
            Ok(())
        })
        .unwrap();
    seen
}

/// What both journals promise alike; `open` opens the same one again.
fn keeps_the_journals_promises(open: &mut dyn FnMut() -> (Box<dyn Journal>, Recovered)) {
    let (mut journal, recovered) = open();
    assert_eq!(recovered, Recovered { first_batch: 1, last_batch: 0 });
    assert!(replayed(&mut *journal, 0).is_empty());
    (1..=5).for_each(|batch| journal.append(record(batch)).unwrap());
    assert_eq!((journal.stats().records, journal.stats().bytes), (5, 25));
    drop(journal);

    let (mut journal, recovered) = open();
    assert_eq!(recovered, Recovered { first_batch: 1, last_batch: 5 });
    assert_eq!(replayed(&mut *journal, 4), [4, 5]);
    journal.continue_at(6).unwrap();
    journal.continue_at(20).unwrap();
    drop(journal);

    let (mut journal, recovered) = open();
    assert_eq!(recovered, Recovered { first_batch: 1, last_batch: 19 });
    (20..=400).for_each(|batch| {
        journal.append(record(batch)).unwrap();
        journal.recycle(batch).unwrap();
    });
    drop(journal);

    let (mut journal, recovered) = open();
    let first = recovered.first_batch;
    assert!(first > 1 && recovered.last_batch == 400);
    assert_eq!(replayed(&mut *journal, first), (first..=400).collect::<Vec<_>>());
    let missing = journal.replay(first - 1, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    let stop = journal.replay(first, &mut |_| Err(poisoned())).unwrap_err();
    assert!(matches!(stop, StoreError::Poisoned { .. }), "an error of the caller ends the replay");
}

#[test]
fn both_journals_keep_the_same_promises() {
    let disk = SimDisk::new();
    keeps_the_journals_promises(&mut || {
        let (journal, recovered) = disk.open_journal();
        (Box::new(journal), recovered)
    });

    let dir = TempDir::new().unwrap();
    let options = JournalOptions {
        segment_bytes_first: 16 << 10,
        segment_bytes_max: 16 << 10,
        ..JournalOptions::new(DirectoryId([1; 16]), 2)
    };
    drop(DiskJournal::create(dir.path(), options).unwrap());
    keeps_the_journals_promises(&mut || {
        let (journal, recovered) = DiskJournal::open(dir.path(), options).unwrap();
        (Box::new(journal), recovered)
    });
}

#[test]
fn both_leaves_keep_the_same_promises() {
    let dir = TempDir::new().unwrap();
    let sled = SledLeaves::create(&dir.path().join("leaves"), LeavesOptions::default()).unwrap();
    for mut leaves in [Box::new(SimDisk::new().open_leaves()) as Box<dyn Leaves>, Box::new(sled)] {
        leaves.write(vec![put(2, 1), put(1, 1), put(2, 2), Change::Remove(vec![9])]).unwrap();
        assert_eq!(entries(&*leaves), [(1, 1), (2, 2)], "readers see what was written");
        leaves.write(vec![Change::Remove(vec![1])]).unwrap();
        leaves.sync().unwrap();
        assert_eq!(leaves.reader().read(&[2]).unwrap(), Some(vec![2]));
        assert_eq!((leaves.stats().changes, leaves.stats().syncs), (5, 1));
        let large = leaves.write(vec![Change::Put(vec![1], vec![0; 5000])]).unwrap_err();
        assert!(matches!(large, StoreError::TooLarge { .. }));
        assert_eq!(entries(&*leaves), [(2, 2)]);
    }
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_a_prefix_of_the_rest() {
    let mut survived = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new();
        let mut leaves = disk.open_leaves();
        leaves.write(vec![put(1, 1)]).unwrap();
        leaves.sync().unwrap();
        leaves.write(vec![put(2, 1), put(3, 1)]).unwrap();
        leaves.write(vec![put(2, 2), Change::Remove(vec![1])]).unwrap();
        disk.power_cut(seed);
        assert!(leaves.write(vec![put(4, 4)]).is_err(), "the old handle is dead");
        assert!(leaves.reader().read(&[1]).is_err());
        survived.insert(entries(&disk.open_leaves()));
    }
    let allowed = [vec![(1, 1)], vec![(1, 1), (2, 1), (3, 1)], vec![(2, 2), (3, 1)]];
    assert_eq!(survived, allowed.into());
}

#[test]
fn a_failed_append_is_on_disk_or_not_and_ends_the_journal() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = SimDisk::new();
        let (mut journal, _) = disk.open_journal();
        disk.fail_append(3);
        journal.append(record(1)).unwrap();
        journal.append(record(2)).unwrap();
        assert!(journal.append(record(3)).is_err());
        assert!(matches!(journal.append(record(3)).unwrap_err(), StoreError::Poisoned { .. }));
        disk.power_cut(seed);
        let (mut journal, recovered) = disk.open_journal();
        assert_eq!(replayed(&mut journal, 1), (1..=recovered.last_batch).collect::<Vec<_>>());
        journal.append(record(recovered.last_batch + 1)).unwrap();
        ends.insert(recovered.last_batch);
    }
    assert_eq!(ends, [2, 3].into());
}

#[test]
fn faults_of_the_leaves_fire_once_at_their_number() {
    let disk = SimDisk::new();
    let mut leaves = disk.open_leaves();
    disk.fail_write(2);
    disk.fail_sync(1);
    leaves.write(vec![put(1, 1)]).unwrap();
    assert!(leaves.write(vec![put(2, 2)]).is_err());
    assert!(leaves.sync().is_err());
}

#[test]
fn the_same_seed_is_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new();
        let mut leaves = disk.open_leaves();
        (0..30).for_each(|key| leaves.write(vec![put(key, 1)]).unwrap());
        disk.power_cut(seed);
        entries(&disk.open_leaves()).len()
    };
    assert!((0..20).all(|seed| run(seed) == run(seed)));
    assert!((0..20).any(|seed| run(seed) != run(0)));
}
