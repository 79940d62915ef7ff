//! What the data directory promises: one holder, nothing lost silently, nothing half made.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::store::journal::{DiskJournal, JournalOptions};
use crate::store::seam::{Journal, Record};

fn journal_options(directory: &Directory) -> JournalOptions {
    JournalOptions {
        segment_bytes_first: 16 << 10,
        ..JournalOptions::new(directory.id(), directory.journal_secret())
    }
}

/// A whole directory with one record in its journal.
fn made(path: &Path) -> Directory {
    let mut directory = Directory::open(path).unwrap();
    assert!(directory.is_new());
    let mut journal = DiskJournal::create(&directory.journal(), journal_options(&directory)).unwrap();
    make_folder(&directory.leaves()).unwrap();
    directory.seal().unwrap();
    journal.append(Record { batch: 1, format: 1, body: b"a fact" }).unwrap();
    directory
}

#[test]
fn a_directory_keeps_its_id_and_secret_and_is_for_its_user_alone() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("a/b/data");
    let first = made(&path);
    let (id, secret) = (first.id(), *first.secret());
    assert!(!first.is_new());
    assert!(!format!("{first:?}").contains(&format!("{:?}", secret[0..4].to_vec())));
    drop(first);
    let mut again = Directory::open(&path).unwrap();
    assert_eq!((again.id(), *again.secret(), again.is_new()), (id, secret, false));
    again.seal().unwrap();
    for (name, mode) in [(".", 0o700), ("MANIFEST", 0o600), ("LOCK", 0o600), ("journal", 0o700)] {
        let found = fs::metadata(path.join(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    assert_ne!(id, Directory::open(&parent.path().join("other")).unwrap().id());
}

#[test]
fn a_second_holder_is_told_who_is_first() {
    let parent = TempDir::new().unwrap();
    let _held = made(&parent.path().join("data"));
    let error = Directory::open(&parent.path().join("data")).unwrap_err();
    assert!(matches!(error, StoreError::Locked { holder: Some(pid), .. } if pid == std::process::id()));
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("data: another windlass (process "), "{error}");
}

#[test]
fn whoever_comes_while_the_first_is_ending_waits_for_it() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("data");
    let held = made(&path);
    let (ready, told) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        ready.send(()).unwrap();
        Directory::open(&path)
    });
    told.recv().unwrap();
    drop(held);
    assert!(!second.join().unwrap().unwrap().is_new());
}

#[test]
fn any_damage_of_the_manifest_is_refused() {
    let parent = TempDir::new().unwrap();
    drop(made(parent.path()));
    let path = parent.path().join("MANIFEST");
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), MANIFEST_BYTES);
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|len| whole[..len].to_vec()).collect();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        damaged.push(flipped);
    }
    damaged.push([whole.clone(), vec![0]].concat());
    damaged.push([whole.clone(), whole.clone()].concat());
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        let error = Directory::open(parent.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert_eq!(error.exit_code(), 78);
    }
    fs::write(&path, &whole).unwrap();
    Directory::open(parent.path()).unwrap();
}

#[test]
fn a_manifest_of_a_newer_version_is_refused_as_such() {
    let parent = TempDir::new().unwrap();
    drop(made(parent.path()));
    let path = parent.path().join("MANIFEST");
    let mut newer = fs::read(&path).unwrap();
    newer.truncate(CRC_AT);
    newer[8] = 2;
    newer.extend(b"fields of the future");
    newer.extend(crc32c::crc32c(&newer).to_le_bytes());
    fs::write(&path, newer).unwrap();
    let error = Directory::open(parent.path()).unwrap_err();
    assert!(matches!(error, StoreError::UnknownVersion { found: 2, known: 1, .. }), "{error}");
    assert_eq!(error.exit_code(), 78);
}

#[test]
fn a_lost_manifest_is_not_a_new_directory() {
    let parent = TempDir::new().unwrap();
    drop(made(parent.path()));
    fs::remove_file(parent.path().join("MANIFEST")).unwrap();
    for gone in ["nothing", "leaves"] {
        let _ = fs::remove_dir_all(parent.path().join(gone));
        let error = Directory::open(parent.path()).unwrap_err();
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("MANIFEST: missing"), "{error}");
    }
    assert!(parent.path().join("journal").exists(), "nothing may be touched");
}

#[test]
fn a_start_that_was_interrupted_begins_anew() {
    let parent = TempDir::new().unwrap();
    for stage in 0..5 {
        let path = parent.path().join(stage.to_string());
        let directory = Directory::open(&path).unwrap();
        let id = directory.id();
        if stage > 0 {
            fs::create_dir(directory.journal()).unwrap();
        }
        if stage > 1 {
            fs::write(directory.journal().join("00000001.filling"), [0; 100]).unwrap();
        }
        if stage > 2 {
            DiskJournal::create(&directory.journal(), journal_options(&directory)).unwrap();
        }
        if stage > 3 {
            fs::create_dir(directory.leaves()).unwrap();
            fs::write(directory.leaves().join("db"), b"half").unwrap();
        }
        drop(directory);
        let directory = Directory::open(&path).unwrap();
        assert!(directory.is_new() && directory.id() == id, "stage {stage}");
        assert!(!directory.journal().exists() && !directory.leaves().exists());
    }
}

#[test]
fn a_crash_while_the_manifest_is_written_leaves_a_directory_that_opens() {
    let parent = TempDir::new().unwrap();
    fs::write(parent.path().join("MANIFEST.draft"), b"WIND").unwrap();
    drop(made(parent.path()));
    fs::write(parent.path().join("MANIFEST.draft"), b"WIND").unwrap();
    assert!(!Directory::open(parent.path()).unwrap().is_new());
}

#[test]
fn records_in_a_directory_that_was_never_whole_are_refused_and_kept() {
    let parent = TempDir::new().unwrap();
    let directory = Directory::open(parent.path()).unwrap();
    let mut journal = DiskJournal::create(&directory.journal(), journal_options(&directory)).unwrap();
    journal.append(Record { batch: 1, format: 1, body: b"served too early" }).unwrap();
    drop((journal, directory));
    let error = Directory::open(parent.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(parent.path().join("journal").exists());
}

#[test]
fn a_place_that_cannot_be_a_directory_is_named() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Directory::open(&file.join("data")).unwrap_err();
    assert!(error.to_string().contains("could not make the folder"), "{error}");
    let error = Directory::open(Path::new("/proc/windlass")).unwrap_err();
    assert!(error.to_string().starts_with("/proc/windlass: "), "{error}");
}

#[test]
fn errors_of_the_system_are_sorted_by_what_to_do() {
    let sorted = |errno| StoreError::io("write", Path::new("/x"), io::Error::from_raw_os_error(errno));
    for (errno, says) in [
        (libc::ENOSPC, "/x: no room to write; free space"),
        (libc::EDQUOT, "/x: no room to write; free space"),
        (libc::EROFS, "/x: not writable, cannot write; remount"),
        (libc::EACCES, "/x: not writable, cannot write; remount"),
        (libc::EIO, "/x: could not write; check the disk"),
    ] {
        let error = sorted(errno);
        assert!(error.to_string().starts_with(says), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
