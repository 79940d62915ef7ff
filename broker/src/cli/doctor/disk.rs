//! The disk of the data: what sort it is, how much room there is, and how long it takes to keep a promise.

use super::super::findings::Finding;
use super::super::output::size;
use rustix::fs::{StatVfs, statfs, statvfs};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes that are timed, and the bytes of each.
const WRITES: usize = 64;
const WRITE_BYTES: usize = 4_096;
/// No disk keeps anything as fast as this.
const INCREDIBLE: Duration = Duration::from_micros(20);
/// Everybody waits for a sync, so one this slow is felt.
const SLOW: Duration = Duration::from_millis(50);
/// Room below which a broker soon refuses jobs.
const ROOM_LOW: u64 = 1 << 30;
/// The files of a broker are few, but they have to be made.
const INODES_LOW: u64 = 1_000;

/// Looks at the disk of a data directory, or of the directory that it would be made in.
pub(super) fn look(data: &Path) -> Vec<Finding> {
    let Some(place) = nearest(data) else {
        let text = format!("{} and all that is above it cannot be looked at", data.display());
        return vec![Finding::critical("data.unreachable", text, "")];
    };
    let mut found = vec![owned(data, &place), kind(&place)];
    match statvfs(&place) {
        Ok(room) => found.extend(rooms(&place, &room)),
        Err(error) => {
            let text = format!("the room on {} is not known: {error}", place.display());
            found.push(Finding::warning("disk.unknown", text, ""));
        }
    }
    found.push(latency(&place));
    found
}

/// The directory itself, or the nearest one above it that exists.
fn nearest(data: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(data).ok()?;
    absolute.ancestors().find(|path| path.is_dir()).map(Path::to_path_buf)
}

fn owned(data: &Path, place: &Path) -> Finding {
    let shown = data.display();
    if rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_err() {
        let text = format!("{} may not be written by this user", place.display());
        return Finding::critical(
            "data.read_only",
            text,
            "run as the user of the broker, or give him the directory",
        );
    }
    if data.join("MANIFEST").exists() {
        return Finding::ok("data.there", format!("{shown} holds the data of a broker"));
    }
    Finding::ok("data.new", format!("{shown} holds no data yet; the first start makes it"))
}

/// File systems that lose, or may lose, what they have synced.
fn kind(place: &Path) -> Finding {
    let shown = place.display();
    let Ok(found) = statfs(place) else {
        return Finding::warning("disk.unknown", format!("the file system of {shown} is not known"), "");
    };
    let on = |what: &str| format!("{shown} is on {what}");
    let elsewhere = "put the data on a local disk: ext4, xfs, btrfs or zfs";
    match found.f_type {
        0x0102_1994 | 0x8584_58f6 => Finding::critical(
            "disk.forgets",
            format!("{}, which forgets everything when the machine is off", on("tmpfs")),
            elsewhere,
        ),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 => Finding::critical(
            "disk.remote",
            format!("{}, where a sync and a lock promise little", on("a network file system")),
            elsewhere,
        ),
        0x794c_7630 => Finding::warning(
            "disk.layered",
            format!("{}, which goes away with its container", on("overlayfs")),
            "mount a volume there",
        ),
        0x6573_5546 => Finding::warning(
            "disk.fuse",
            format!("{}, whose sync is what its program makes of it", on("FUSE")),
            elsewhere,
        ),
        _ => Finding::ok("disk.local", on("a local file system")),
    }
}

fn rooms(place: &Path, room: &StatVfs) -> Vec<Finding> {
    let shown = place.display();
    let free = room.f_bavail * room.f_frsize;
    let text = format!("{} are free on {shown}", size(free));
    let mut found = vec![if free < ROOM_LOW {
        Finding::warning(
            "disk.full",
            text,
            "free some, or move the data; below the low mark new jobs are refused",
        )
    } else {
        Finding::ok("disk.room", text)
    }];
    if room.f_files > 0 && room.f_favail < INODES_LOW {
        let text = format!("{} more files can be made on {shown}", room.f_favail);
        found.push(Finding::warning("disk.inodes", text, "remove small files"));
    }
    found
}

/// What a commit costs here, and whether it is a lie.
fn latency(place: &Path) -> Finding {
    let path = place.join(format!(".windlass-doctor-{}", std::process::id()));
    let timed = time(&path);
    let _removed_if_it_was_made = std::fs::remove_file(&path);
    let mut times = match timed {
        Ok(times) => times,
        Err(error) => {
            let text = format!("nothing can be written into {}: {error}", place.display());
            return Finding::critical("disk.unwritable", text, "");
        }
    };
    times.sort_unstable();
    let (median, slowest) = (times[WRITES / 2], times[WRITES * 99 / 100]);
    let text = format!("a sync takes {median:.0?}, and 99 of 100 at most {slowest:.0?}");
    if median < INCREDIBLE {
        let text = format!("{text}: no disk is that fast, so it does not keep what it says");
        return Finding::warning(
            "sync.incredible",
            text,
            "ask what is below: a RAM disk, or a cache that ignores flushes",
        );
    }
    if slowest > SLOW {
        return Finding::warning("sync.slow", text, "every acknowledgement waits for one; use a faster disk");
    }
    Finding::ok("sync.fine", text)
}

fn time(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    let block = [0x57; WRITE_BYTES];
    (0..WRITES)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&block)?;
            file.sync_data()?;
            Ok(began.elapsed())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above_it() {
        let home = tempfile::tempdir().unwrap();
        let found = look(&home.path().join("not/yet"));
        assert!(found.iter().any(|finding| finding.code == "data.new"), "{found:?}");
        assert!(found.iter().any(|finding| finding.code.starts_with("sync.")), "{found:?}");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
