//! What the journal promises, one test each; states after a power cut are in `power_cut`.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::layout::HEADER_BYTES;
use super::trace::Trace;
use super::*;

pub(super) const ID: DirectoryId = DirectoryId([7; 16]);
pub(super) const SECRET: u32 = 0xfeed;
const SMALL: u64 = 16 << 10;

/// tmpfs where there is one: these are thousands of syncs, and none of them is what is tested.
pub(super) fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

pub(super) fn options(segment_bytes: u64) -> JournalOptions {
    JournalOptions {
        segment_bytes_first: segment_bytes,
        segment_bytes_max: segment_bytes,
        ..JournalOptions::new(ID, SECRET)
    }
}

/// The body of a batch: its length and bytes follow from its number.
pub(super) fn body(batch: u64) -> Vec<u8> {
    let len = size(batch * 131 % 1500);
    (0..len).map(|i| ((batch + 1) * (i as u64 + 7) % 251).to_le_bytes()[0]).collect()
}

pub(super) fn append(journal: &mut DiskJournal, batch: u64) -> Result<(), StoreError> {
    journal.append(Record { batch, format: 1, body: &body(batch) })
}

/// A length or offset in memory.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

/// Everything from `from`, checked against `body`.
pub(super) fn batches(journal: &mut DiskJournal, from: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    journal
        .replay(from, &mut |record| {
            assert_eq!((record.format, record.body), (1, body(record.batch).as_slice()));
            seen.push(record.batch);
            Ok(())
        })
        .unwrap();
    seen
}

fn filled(dir: &TempDir, last: u64) -> DiskJournal {
    let mut journal = DiskJournal::create(dir.path(), options(SMALL)).unwrap();
    for batch in 1..=last {
        append(&mut journal, batch).unwrap();
    }
    journal
}

fn reopen(dir: &TempDir) -> (DiskJournal, Recovered) {
    DiskJournal::open(dir.path(), options(SMALL)).unwrap()
}

/// The file and offset of the damage that open refuses, and the whole message.
fn refusal(dir: &TempDir) -> (PathBuf, u64, String) {
    let error = DiskJournal::open(dir.path(), options(SMALL)).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    let message = error.to_string();
    let StoreError::Corrupt { file, offset, .. } = error else {
        panic!("expected damage, got: {message}");
    };
    (file, offset, message)
}

/// Changes the bytes of a file, without changing its length.
fn edit(path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where the newest record starts and the next would, and in which file.
fn tail(journal: &DiskJournal) -> (PathBuf, usize, usize) {
    let last = body(journal.current.last_batch).len();
    let end = journal.current.at;
    let path = journal.current.file.path().to_path_buf();
    (path, size(end - padded(last)), size(end))
}

fn files(dir: &TempDir) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_was_appended_is_replayed_after_reopening() {
    // This one on a disk like that of a user.
    let dir = TempDir::new().unwrap();
    drop(filled(&dir, 100));
    for round in 0..3 {
        let (mut journal, recovered) = reopen(&dir);
        let last = 100 + round;
        assert_eq!(recovered, Recovered { first_batch: 1, last_batch: last });
        assert_eq!(batches(&mut journal, 0), (1..=last).collect::<Vec<_>>());
        assert_eq!(batches(&mut journal, 57), (57..=last).collect::<Vec<_>>());
        append(&mut journal, last + 1).unwrap();
    }
}

#[test]
fn a_new_journal_is_empty_and_begins_with_batch_one() {
    let dir = scratch();
    drop(filled(&dir, 0));
    let (mut journal, recovered) = reopen(&dir);
    assert_eq!(recovered, Recovered { first_batch: 1, last_batch: 0 });
    assert!(batches(&mut journal, 0).is_empty());
    assert!(find_record(dir.path()).unwrap().is_none());
    append(&mut journal, 1).unwrap();
    drop(journal);
    assert!(find_record(dir.path()).unwrap().is_some());
    assert!(DiskJournal::create(dir.path(), options(SMALL)).is_err());
}

#[test]
fn a_tail_cut_short_anywhere_is_cut_off_and_numbering_goes_on() {
    let dir = scratch();
    let journal = filled(&dir, 4);
    let (path, start, end) = tail(&journal);
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let written = start + layout::RECORD_HEAD + body(4).len();
    for cut in (start..end).step_by(13).chain([start + 1, written - 1, written, end - 1]) {
        let mut bytes = whole.clone();
        bytes[cut..end].fill(0);
        let intact = bytes == whole;
        fs::write(&path, bytes).unwrap();
        let (mut journal, recovered) = reopen(&dir);
        let last = if intact { 4 } else { 3 };
        assert_eq!(recovered.last_batch, last, "cut at byte {cut} of {start}..{end}");
        append(&mut journal, last + 1).unwrap();
        drop(journal);
        let (mut journal, _) = reopen(&dir);
        assert_eq!(batches(&mut journal, 1), (1..=last + 1).collect::<Vec<_>>());
    }
}

#[test]
fn a_tail_with_any_blocks_missing_is_cut_off() {
    let dir = scratch();
    let mut journal = filled(&dir, 2);
    let large: Vec<u8> = (0..4000_u32).map(|i| i.to_le_bytes()[0] | 1).collect();
    journal.append(Record { batch: 3, format: 1, body: &large }).unwrap();
    let (path, end) = (journal.current.file.path().to_path_buf(), size(journal.current.at));
    drop(journal);
    let start = end - size(padded(large.len()));
    let whole = fs::read(&path).unwrap();
    for missing in 1..=255_usize {
        let mut bytes = whole.clone();
        for block in (0..8).filter(|block| missing >> block & 1 == 1) {
            bytes[start + block * 512..][..512].fill(0);
        }
        fs::write(&path, bytes).unwrap();
        assert_eq!(reopen(&dir).1.last_batch, 2, "blocks missing: {missing:08b}");
    }
}

#[test]
fn damage_before_the_last_record_is_refused_with_file_and_offset() {
    let dir = scratch();
    drop(filled(&dir, 5));
    let path = files(&dir)[0].clone();
    let whole = fs::read(&path).unwrap();
    let mut start = size(RECORDS_AT);
    for batch in 1..=4 {
        for at in [0, 4, 8, 16, 17, 17 + body(batch).len() - 1] {
            edit(&path, |bytes| bytes[start + at] ^= 0x10);
            let (file, offset, message) = refusal(&dir);
            assert_eq!((&file, offset), (&path, start as u64), "batch {batch}, byte {at}");
            assert!(message.contains("restore it from a backup"), "{message}");
            let refused = fs::read(&path).unwrap();
            assert_eq!(refused.len(), whole.len());
            fs::write(&path, &whole).unwrap();
        }
        start += size(padded(body(batch).len()));
    }
    assert_eq!(reopen(&dir).1.last_batch, 5);
}

#[test]
fn damage_at_the_end_of_an_older_segment_is_refused() {
    let dir = scratch();
    let journal = filled(&dir, 40);
    assert!(journal.full.len() >= 2);
    let (path, last) = (journal.full[0].file.path().to_path_buf(), journal.full[0].last_batch);
    let second = journal.full[1].file.path().to_path_buf();
    let start = RECORDS_AT + (1..last).map(|batch| padded(body(batch).len())).sum::<u64>();
    drop(journal);
    edit(&path, |bytes| bytes[size(start) + 20] ^= 1);
    let (file, offset, _) = refusal(&dir);
    assert_eq!((file, offset), (path.clone(), start));
    edit(&path, |bytes| bytes[size(start) + 20] ^= 1);
    assert_eq!(reopen(&dir).1.last_batch, 40);

    fs::rename(&second, dir.path().join("elsewhere")).unwrap();
    assert!(refusal(&dir).2.contains("missing"));
    fs::rename(dir.path().join("elsewhere"), dir.path().join("99.segment")).unwrap();
    assert_eq!(reopen(&dir).1.last_batch, 40, "names must not matter");
}

#[test]
fn damage_to_the_newest_record_of_a_journal_at_rest_is_refused() {
    let dir = scratch();
    let mut journal = filled(&dir, 4);
    journal.confirm().unwrap();
    let (path, start, end) = tail(&journal);
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for at in start..start + layout::RECORD_HEAD + body(4).len() {
        edit(&path, |bytes| bytes[at] ^= 4);
        assert_eq!(refusal(&dir).1, start as u64, "byte {at} of {start}..{end}");
        fs::write(&path, &whole).unwrap();
    }
    for page in (start / 4096..end.div_ceil(4096)).map(|page| page * 4096) {
        edit(&path, |bytes| bytes[page..page + 4096].fill(0));
        refusal(&dir);
        fs::write(&path, &whole).unwrap();
    }
    // The mark itself is needed by nobody while the record is whole.
    let page = end.next_multiple_of(4096);
    edit(&path, |bytes| bytes[page] ^= 1);
    let (mut journal, recovered) = reopen(&dir);
    assert_eq!(recovered.last_batch, 4);
    append(&mut journal, 5).unwrap();
    journal.confirm().unwrap();
    append(&mut journal, 6).unwrap();
    drop(journal);
    assert_eq!(reopen(&dir).1.last_batch, 6, "a mark is no obstacle to the record that takes its place");
}

#[test]
fn a_newest_segment_that_is_lost_is_missed() {
    let dir = scratch();
    let mut journal = filled(&dir, 40);
    let newest = journal.current.file.path().to_path_buf();
    let before = journal.full.back().unwrap().file.path().to_path_buf();
    drop(journal);
    let (elsewhere, lost) = (scratch(), newest.clone());
    let aside = elsewhere.path().join("aside");
    fs::copy(&newest, &aside).unwrap();
    fs::remove_file(&newest).unwrap();
    let (file, offset, message) = refusal(&dir);
    assert_eq!((file, offset), (before.clone(), CLOSE_AT), "{message}");
    // A crash between the header of a new segment and the close of the one before.
    fs::copy(&aside, &lost).unwrap();
    edit(&before, |bytes| bytes[size(CLOSE_AT)..][..512].fill(0));
    journal = reopen(&dir).0;
    drop(journal);
    fs::remove_file(&newest).unwrap();
    assert_eq!(refusal(&dir).0, before, "the start has closed it again");
}

#[test]
fn after_a_stop_in_order_another_end_is_damage() {
    let dir = scratch();
    let (path, start, end) = tail(&filled(&dir, 4));
    let ended = JournalOptions { ended_at: Some(4), ..options(SMALL) };
    drop(DiskJournal::open(dir.path(), ended).unwrap());
    edit(&path, |bytes| bytes[start..end].fill(0));
    let before = fs::read(&path).unwrap();
    let error = DiskJournal::open(dir.path(), ended).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { offset, .. } if offset == start as u64), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before, "nothing has been changed");
}

#[test]
fn a_damaged_header_is_refused_wherever_records_stand_behind_it() {
    let dir = scratch();
    let journal = filled(&dir, 40);
    let middle = journal.full[1].file.path().to_path_buf();
    let newest = journal.current.file.path().to_path_buf();
    assert!(journal.current.is_used());
    drop(journal);
    for path in [middle, newest] {
        edit(&path, |bytes| bytes[33] ^= 1);
        let (_, _, message) = refusal(&dir);
        assert!(message.contains(&path.display().to_string()), "{message}");
        edit(&path, |bytes| bytes[33] ^= 1);
    }
    assert_eq!(reopen(&dir).1.last_batch, 40);
}

#[test]
fn a_shortened_or_lost_journal_is_refused() {
    let dir = scratch();
    drop(filled(&dir, 3));
    let path = files(&dir)[0].clone();
    let whole = fs::read(&path).unwrap();
    for len in [0, 511, 512, 5000, whole.len() - 512] {
        fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(refusal(&dir).1, len as u64);
    }
    for file in files(&dir) {
        fs::remove_file(file).unwrap();
    }
    let lost = DiskJournal::open(dir.path(), options(SMALL)).unwrap_err();
    assert!(matches!(lost, StoreError::Missing { .. }), "{lost}");
    let lost = DiskJournal::open(&dir.path().join("nowhere"), options(SMALL)).unwrap_err();
    assert!(matches!(lost, StoreError::Missing { .. }), "{lost}");
}

#[test]
fn another_directory_or_version_is_refused() {
    let dir = scratch();
    drop(filled(&dir, 3));
    let other = JournalOptions { directory: DirectoryId([8; 16]), ..options(SMALL) };
    let foreign = DiskJournal::open(dir.path(), other).unwrap_err();
    assert!(matches!(foreign, StoreError::Foreign { .. }), "{foreign}");
    edit(&files(&dir)[0], |bytes| {
        bytes[8] = layout::VERSION + 1;
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    });
    let newer = DiskJournal::open(dir.path(), options(SMALL)).unwrap_err();
    assert!(matches!(newer, StoreError::UnknownVersion { found: 3, .. }), "{newer}");
    assert_eq!((foreign.exit_code(), newer.exit_code()), (78, 78));
}

#[test]
fn segments_are_recycled_and_their_old_records_never_come_back() {
    let dir = scratch();
    let mut journal = filled(&dir, 1);
    for batch in 2..=600 {
        append(&mut journal, batch).unwrap();
        journal.recycle(batch).unwrap();
        if batch % 37 == 0 {
            drop(journal);
            let (reopened, recovered) = reopen(&dir);
            journal = reopened;
            assert_eq!(recovered.last_batch, batch);
            let seen = batches(&mut journal, recovered.first_batch);
            assert_eq!(seen, (recovered.first_batch..=batch).collect::<Vec<_>>());
            journal.recycle(batch).unwrap();
        }
    }
    assert!(journal.stats().segments == KEPT + 1);
    assert!(files(&dir).len() <= 8, "{:?}", files(&dir));
    let first = journal.full[0].header.first_batch;
    drop(journal);
    let (mut journal, _) = reopen(&dir);
    let missing = journal.replay(1, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert!(first > 1);
}

#[test]
fn a_record_of_another_generation_or_without_the_secret_is_no_record() {
    let dir = scratch();
    let journal = filled(&dir, 3);
    let (path, _, end) = tail(&journal);
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let mut buffer = Vec::new();
    for (secret, generation, taken) in [(SECRET, 1, true), (SECRET, 0, false), (1, 1, false)] {
        let record = Record { batch: 4, format: 1, body: &body(4) };
        encode_record(&mut buffer, seed(secret, generation), end as u64, record);
        fs::write(&path, &whole).unwrap();
        edit(&path, |bytes| bytes[end..][..buffer.len()].copy_from_slice(&buffer));
        assert_eq!(reopen(&dir).1.last_batch, if taken { 4 } else { 3 });
    }
}

#[test]
fn numbering_may_jump_after_open_and_only_forwards() {
    let dir = scratch();
    let mut journal = filled(&dir, 3);
    drop(journal);
    let mut last = 3;
    for (jump, appended) in [(1000, 2), (5, 0), (7, 0), (1, 3), (2000, 40)] {
        let (reopened, recovered) = reopen(&dir);
        journal = reopened;
        assert_eq!(recovered.last_batch, last);
        journal.continue_at(last + jump).unwrap();
        last += jump - 1;
        for _ in 0..appended {
            last += 1;
            append(&mut journal, last).unwrap();
        }
        drop(journal);
    }
    let (mut journal, recovered) = reopen(&dir);
    assert_eq!(recovered, Recovered { first_batch: 1, last_batch: last });
    let seen = batches(&mut journal, 0);
    assert_eq!(seen[..5], [1, 2, 3, 1003, 1004]);
    assert_eq!((seen.len(), *seen.last().unwrap()), (3 + 2 + 3 + 40, last));
    assert_eq!(batches(&mut journal, 500)[0], 1003);
    let back = std::panic::AssertUnwindSafe(|| journal.continue_at(last));
    assert!(std::panic::catch_unwind(back).is_err());
}

#[test]
fn an_import_that_was_killed_before_its_directory_was_whole_holds_no_record() {
    let dir = scratch();
    let mut journal = DiskJournal::create(dir.path(), options(SMALL)).unwrap();
    journal.continue_at(1_000).unwrap();
    drop(journal);
    assert_eq!(find_record(dir.path()).unwrap(), None);
    let (mut journal, recovered) = reopen(&dir);
    assert_eq!(recovered.last_batch, 999);
    append(&mut journal, 1_000).unwrap();
    drop(journal);
    assert!(find_record(dir.path()).unwrap().is_some());
}

#[test]
fn a_large_record_gets_a_segment_that_holds_it() {
    let dir = scratch();
    let mut journal = filled(&dir, 2);
    let large = vec![9; 100_000];
    for batch in 3..=8 {
        journal.append(Record { batch, format: 1, body: &large }).unwrap();
    }
    assert!(journal.current.file.bytes() >= 4 * padded(large.len()));
    assert!(journal.full.len() <= 2, "large records must not cost a segment each");
    drop(journal);
    let (mut journal, recovered) = reopen(&dir);
    assert_eq!(recovered.last_batch, 8);
    let mut lens = Vec::new();
    journal
        .replay(3, &mut |record| {
            lens.push(record.body.len());
            Ok(())
        })
        .unwrap();
    assert_eq!(lens, [100_000; 6]);
}

#[test]
fn too_large_a_record_leaves_no_trace() {
    let dir = scratch();
    let mut journal = filled(&dir, 2);
    let body_bytes = vec![0; BODY_MAX + 1];
    let error = journal.append(Record { batch: 3, format: 1, body: &body_bytes }).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
    append(&mut journal, 3).unwrap();
    assert_eq!(journal.stats().records, 3);
}

#[test]
fn segments_double_while_they_fill_fast() {
    let dir = scratch();
    let sizes = JournalOptions { segment_bytes_max: 8 * SMALL, ..options(SMALL) };
    let mut journal = DiskJournal::create(dir.path(), sizes).unwrap();
    for batch in 1..=400 {
        append(&mut journal, batch).unwrap();
    }
    assert_eq!(journal.current.file.bytes(), 8 * SMALL);
    let stats = journal.stats();
    assert!(stats.sync_p50_us <= stats.sync_p99_us && stats.sync_p99_us <= stats.sync_max_us);
}

#[test]
fn trim_removes_recycled_files_oldest_first() {
    let dir = scratch();
    drop(filled(&dir, 200));
    let before = files(&dir).len();
    let (mut journal, _) = reopen(&dir);
    journal.recycle(u64::MAX).unwrap();
    journal.trim().unwrap();
    drop(journal);
    let after = files(&dir).len();
    assert!(before > 8 && after <= 1 + KEPT + SPARES_KEPT, "{before} files, then {after}");
    let (mut journal, recovered) = reopen(&dir);
    assert_eq!(recovered.last_batch, 200);
    let seen = batches(&mut journal, recovered.first_batch);
    assert_eq!(seen, (recovered.first_batch..=200).collect::<Vec<_>>());
}

#[test]
fn after_one_error_nothing_more_is_appended_and_nothing_acknowledged_is_lost() {
    for budget in 0..60 {
        let dir = scratch();
        drop(filled(&dir, 2));
        let mut folder = Folder::new(dir.path());
        let trace = Trace::default();
        folder.trace = Some(trace.clone());
        let (mut journal, _) = DiskJournal::open_in(folder, options(SMALL)).unwrap();
        trace.fail_after(budget);
        let failed = (3..).find(|&batch| append(&mut journal, batch).is_err()).unwrap();
        let again = append(&mut journal, failed).unwrap_err();
        assert!(matches!(again, StoreError::Poisoned { .. }), "{again}");
        drop(journal);
        let (mut journal, recovered) = reopen(&dir);
        let last = recovered.last_batch;
        assert!(last == failed || last == failed - 1, "{last} after batch {failed} failed");
        assert_eq!(batches(&mut journal, 1), (1..=last).collect::<Vec<_>>());
    }
}

#[test]
fn a_half_filled_file_is_taken_away() {
    let dir = scratch();
    drop(filled(&dir, 2));
    let half = dir.path().join("00000077.filling");
    fs::write(&half, [0; 700]).unwrap();
    assert_eq!(reopen(&dir).1.last_batch, 2);
    assert!(!half.exists());
}

#[test]
fn the_header_on_disk_is_as_documented() {
    let header = Header { directory: ID, generation: 3, first_batch: 40, follows: 39, segment_bytes: SMALL };
    let block = header.encode();
    assert_eq!(&block[..9], b"WNDLJRNL\x02");
    assert_eq!((block[16], block[32], block[40], block[48], block[57]), (7, 3, 40, 39, 64));
    let read = Header::decode(&block, ID, Path::new("x")).unwrap();
    assert_eq!(read, layout::FirstBlock::Header(header));
    for at in 0..HEADER_BYTES {
        let mut damaged = block;
        damaged[at] ^= 4;
        let read = Header::decode(&damaged, ID, Path::new("x")).unwrap();
        assert_eq!(read, layout::FirstBlock::Unreadable, "byte {at}");
    }
}
