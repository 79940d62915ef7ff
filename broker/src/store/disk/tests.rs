//! Room, the reserve, and names of filesystems.

use tempfile::TempDir;

use super::*;

fn space(free: u64, low: u64) -> Space {
    Space { free, total: 100_000, low }
}

#[test]
fn the_low_mark_suits_small_and_large_disks() {
    assert_eq!(usual_low(400 * MIB), 100 * MIB);
    assert_eq!(usual_low(2048 * MIB), 256 * MIB);
    assert_eq!(usual_low(20_480 * MIB), 1024 * MIB);
    assert_eq!(usual_low(10 << 40), 4096 * MIB);
}

#[test]
fn the_level_does_not_flap() {
    assert_eq!(next_level(Level::Ok, space(800, 800)), Level::Ok);
    assert_eq!(next_level(Level::Ok, space(799, 800)), Level::Low);
    assert_eq!(next_level(Level::Low, space(899, 800)), Level::Low);
    assert_eq!(next_level(Level::Low, space(900, 800)), Level::Ok);
}

#[test]
fn the_level_follows_the_mark() {
    let dir = TempDir::new().unwrap();
    let level =
        |low| Disk::new(dir.path(), DiskOptions { low_bytes: Some(low), reserve_bytes: 0 }).level().unwrap();
    assert_eq!((level(1), level(u64::MAX)), (Level::Ok, Level::Low));
    let gone = Disk::new(&dir.path().join("gone"), DiskOptions::default()).space().unwrap_err();
    assert!(gone.to_string().contains("gone: could not ask for free space"), "{gone}");
}

#[test]
fn the_reserve_takes_blocks_and_gives_them_back() {
    let dir = TempDir::new().unwrap();
    let disk = |reserve_bytes, low_bytes| {
        Disk::new(dir.path(), DiskOptions { low_bytes: Some(low_bytes), reserve_bytes })
    };
    let path = dir.path().join("reserve");
    assert!(disk(MIB, 0).keep_reserve().unwrap());
    assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap()) >= MIB / 512);
    assert!(!disk(MIB, 0).release_reserve().unwrap(), "there is room enough");
    assert!(disk(2 * MIB, 0).keep_reserve().unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 2 * MIB);

    // A reserve larger than any disk stands for one that is full.
    assert!(disk(1 << 60, 0).release_reserve().unwrap());
    assert!(!path.exists());
    assert!(!disk(1 << 60, 0).release_reserve().unwrap());
    assert!(!disk(1 << 60, 0).keep_reserve().unwrap(), "no room for it");
    assert!(!disk(MIB, u64::MAX).keep_reserve().unwrap(), "no room above the mark");
    assert!(!disk(0, 0).keep_reserve().unwrap());
    assert!(!path.exists());
}

#[test]
fn filesystems_that_forget_are_known() {
    let memory = Disk::new(Path::new("/dev/shm"), DiskOptions::default());
    if let Ok(found) = memory.filesystem() {
        assert_eq!(found, Filesystem { name: "tmpfs", durable: false });
    }
    assert_eq!(name_of(0xef53), Filesystem { name: "ext4", durable: true });
    assert_eq!(name_of(0x9123_683e).name, "btrfs");
    assert_eq!(name_of(1), Filesystem { name: "unknown", durable: true });
}
