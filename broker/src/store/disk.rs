//! The disk below the data directory: how much room it has, what kind it is, and a reserve for bad
//! days. It is separate because running out of room is decided before a write fails, not after.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::retry_on_intr;

use super::error::StoreError;

const MIB: u64 = 1 << 20;

/// When room counts as low, and how much is held back.
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// Below this many free bytes the level is low. `None` is 5 % of the disk, at least 256 MiB and
    /// at most 4 GiB, but never more than a quarter of it.
    pub low_bytes: Option<u64>,
    /// Size of the reserve: what a start on a full disk may need to write. 0 keeps none.
    pub reserve_bytes: u64,
}

impl Default for DiskOptions {
    fn default() -> DiskOptions {
        DiskOptions { low_bytes: None, reserve_bytes: 64 * MIB }
    }
}

/// Whether there is room for more jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// There is.
    Ok,
    /// There is not: new work is refused, what is running may end.
    Low,
}

/// Room on the disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this user may still write.
    pub free: u64,
    /// The size of the disk.
    pub total: u64,
    /// Below this many free bytes the level is low.
    pub low: u64,
}

/// What the data directory lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// Its name, as `mount` would say it, or "unknown".
    pub name: &'static str,
    /// False when it forgets everything at power loss, whatever is synced.
    pub durable: bool,
}

/// The disk below one data directory.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    options: DiskOptions,
    level: Level,
}

impl Disk {
    /// Looks at the disk below `dir`, which exists.
    #[must_use]
    pub fn new(dir: &Path, options: DiskOptions) -> Disk {
        Disk { dir: dir.to_path_buf(), options, level: Level::Ok }
    }

    /// How much room there is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn space(&self) -> Result<Space, StoreError> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|errno| StoreError::io("ask for free space", &self.dir, errno.into()))?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total,
            low: self.options.low_bytes.unwrap_or_else(|| usual_low(total)),
        })
    }

    /// Whether there is room for more jobs. Once low, it is ok again only an eighth above the mark,
    /// so that producers do not see it flap.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn level(&mut self) -> Result<Level, StoreError> {
        let space = self.space()?;
        self.level = next_level(self.level, space);
        Ok(self.level)
    }

    /// Gives the reserve back to the disk if less than that is free, so that a start can write.
    /// True if it did. Call it before journal and leaves are opened.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn release_reserve(&self) -> Result<bool, StoreError> {
        if self.space()?.free >= self.options.reserve_bytes {
            return Ok(false);
        }
        match fs::remove_file(self.reserve()) {
            Ok(()) => Ok(true),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(StoreError::io("release the reserve", &self.reserve(), source)),
        }
    }

    /// Makes the reserve if it is not there and there is room for it above the low mark. True if it
    /// stands afterwards. Call it after the start, and now and then when the level is ok.
    ///
    /// # Errors
    /// When the system refuses for another reason than room.
    pub fn keep_reserve(&self) -> Result<bool, StoreError> {
        let path = self.reserve();
        let bytes = self.options.reserve_bytes;
        let held = fs::metadata(&path).map_or(0, |file| file.len());
        if held == bytes {
            return Ok(bytes > 0);
        }
        if held > 0 {
            fs::remove_file(&path).map_err(|source| StoreError::io("resize the reserve", &path, source))?;
        }
        let space = self.space()?;
        if bytes == 0 || space.free < space.low.saturating_add(bytes) {
            return Ok(false);
        }
        match preallocate(&path, bytes) {
            Ok(()) => Ok(true),
            Err(source) => {
                // Half a reserve would look like a whole one to nobody, and only take room.
                let _ = fs::remove_file(&path);
                let error = StoreError::io("make the reserve", &path, source);
                if matches!(error, StoreError::Full { .. }) { Ok(false) } else { Err(error) }
            }
        }
    }

    /// What the data directory lies on.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn filesystem(&self) -> Result<Filesystem, StoreError> {
        let stat = rustix::fs::statfs(&self.dir)
            .map_err(|errno| StoreError::io("ask for the filesystem", &self.dir, errno.into()))?;
        // The type is a 32-bit magic, sign-extended on some systems.
        Ok(name_of(stat.f_type & 0xffff_ffff))
    }

    fn reserve(&self) -> PathBuf {
        self.dir.join("reserve")
    }
}

fn usual_low(total: u64) -> u64 {
    (total / 20).clamp(256 * MIB, 4096 * MIB).min(total / 4)
}

fn next_level(level: Level, space: Space) -> Level {
    match level {
        _ if space.free < space.low => Level::Low,
        Level::Low if space.free < space.low.saturating_add(space.low / 8) => Level::Low,
        Level::Ok | Level::Low => Level::Ok,
    }
}

/// Takes real blocks for the file, so that removing it gives real room.
fn preallocate(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    match retry_on_intr(|| rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let zeros = vec![0; 1 << 16];
            let mut left = bytes;
            while left > 0 {
                let piece = left.min(zeros.len() as u64);
                file.write_all(&zeros[..usize::try_from(piece).unwrap_or(zeros.len())])?;
                left -= piece;
            }
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// From linux/magic.h; only those a data directory is likely to lie on.
fn name_of(magic: i64) -> Filesystem {
    let (name, durable) = match magic {
        0x0102_1994 => ("tmpfs", false),
        0x8584_58f6 => ("ramfs", false),
        0xef53 => ("ext4", true),
        0x5846_5342 => ("xfs", true),
        0x9123_683e => ("btrfs", true),
        0xf2f5_2010 => ("f2fs", true),
        0x2fc1_2fc1 => ("zfs", true),
        0xca45_1a4e => ("bcachefs", true),
        0x794c_7630 => ("overlay", true),
        0x6969 => ("nfs", true),
        0xff53_4d42 | 0xfe53_4d42 => ("cifs", true),
        0x6573_5546 => ("fuse", true),
        0x0102_1997 => ("9p", true),
        _ => ("unknown", true),
    };
    Filesystem { name, durable }
}

#[cfg(test)]
mod tests;
