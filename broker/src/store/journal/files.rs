//! The journal's only door to the file system: a folder of segment files, and what may be done to
//! them. It is separate so that a test can watch every write and sync, make one fail, and build
//! the states that a power cut can leave.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::retry_on_intr;

use super::layout::PAGE;
#[cfg(test)]
use super::trace::{Op, Trace};
use crate::store::error::StoreError;

const SEGMENT: &str = "segment";
const FILLING: &str = "filling";
/// Zeros are written and synced in pieces, so that filling never has more than this in flight in
/// front of a commit's own sync.
const FILL_PIECE: usize = 1 << 20;

/// The folder that holds the segments. Names are serial numbers and mean nothing: what a segment
/// is stands in its header.
#[derive(Clone)]
pub(super) struct Folder {
    path: PathBuf,
    next_serial: Arc<AtomicU64>,
    #[cfg(test)]
    pub(super) trace: Option<Trace>,
}

/// One segment file, open for reading and writing.
pub(super) struct SegmentFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    #[cfg(test)]
    trace: Option<(Trace, u64)>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Folder {
        Folder {
            path: path.to_path_buf(),
            next_serial: Arc::new(AtomicU64::new(1)),
            #[cfg(test)]
            trace: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens every segment file; takes half-filled ones away, which hold nothing.
    pub(super) fn open_all(&self) -> Result<Vec<SegmentFile>, StoreError> {
        let mut found = Vec::new();
        let list = |source| StoreError::io("list the journal", &self.path, source);
        for entry in fs::read_dir(&self.path).map_err(list)? {
            let path = entry.map_err(list)?.path();
            let extension = path.extension().and_then(|ext| ext.to_str());
            if extension == Some(FILLING) {
                fs::remove_file(&path)
                    .map_err(|source| StoreError::io("remove a half-filled segment", &path, source))?;
            } else if extension == Some(SEGMENT) {
                found.push(self.open_file(path)?);
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Opens every segment file that has its name, and touches nothing.
    pub(super) fn open_named(&self) -> Result<Vec<SegmentFile>, StoreError> {
        let list = |source| StoreError::io("list the journal", &self.path, source);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(list)? {
            let path = entry.map_err(list)?.path();
            if path.extension().is_some_and(|extension| extension == SEGMENT) {
                found.push(self.open_file(path)?);
            }
        }
        Ok(found)
    }

    fn open_file(&self, path: PathBuf) -> Result<SegmentFile, StoreError> {
        let refuse = |source| StoreError::io("open a journal segment", &path, source);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(refuse)?;
        let bytes = file.metadata().map_err(refuse)?.len();
        let serial = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()).unwrap_or(0);
        self.next_serial.fetch_max(serial + 1, Ordering::Relaxed);
        Ok(SegmentFile {
            file,
            bytes,
            #[cfg(test)]
            trace: self.trace.clone().map(|trace| {
                let id = trace.adopt(&path);
                (trace, id)
            }),
            path,
        })
    }

    /// Makes a segment file of zeros. It gets its name only once every zero is on disk, so a crash
    /// never leaves one that would still need blocks from the file system.
    pub(super) fn make(
        &self,
        bytes: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<SegmentFile>, StoreError> {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{serial:08}.{FILLING}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| StoreError::io("make a journal segment", &path, source))?;
        let mut segment = SegmentFile {
            file,
            bytes: 0,
            #[cfg(test)]
            trace: self.trace.clone().map(|trace| {
                let id = trace.create(&path);
                (trace, id)
            }),
            path,
        };
        match segment.grow(bytes, stop) {
            Ok(true) => self.name(segment, serial).map(Some),
            Ok(false) => Ok(None).inspect(|_| self.forget(serial)),
            Err(error) => Err(error).inspect_err(|_| self.forget(serial)),
        }
    }

    fn name(&self, mut segment: SegmentFile, serial: u64) -> Result<SegmentFile, StoreError> {
        let named = self.path.join(format!("{serial:08}.{SEGMENT}"));
        fs::rename(&segment.path, &named)
            .map_err(|source| StoreError::io("name a journal segment", &named, source))?;
        #[cfg(test)]
        if let Some((trace, id)) = &segment.trace {
            trace.push(Op::Rename { id: *id, to: named.clone() });
        }
        segment.path = named;
        self.sync()?;
        Ok(segment)
    }

    /// Takes back a file that could not be filled. If even that fails, the next open does it.
    fn forget(&self, serial: u64) {
        let _ = fs::remove_file(self.path.join(format!("{serial:08}.{FILLING}")));
    }

    /// Removes a segment for good, and makes that durable, so that segments vanish in order.
    pub(super) fn remove(&self, segment: SegmentFile) -> Result<(), StoreError> {
        fs::remove_file(&segment.path)
            .map_err(|source| StoreError::io("remove a spare segment", &segment.path, source))?;
        #[cfg(test)]
        if let Some((trace, id)) = &segment.trace {
            trace.push(Op::Remove { id: *id });
        }
        self.sync()
    }

    /// Makes names durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| StoreError::io("sync the folder", &self.path, source))?;
        #[cfg(test)]
        if let Some(trace) = &self.trace {
            trace.push(Op::SyncFolder);
        }
        Ok(())
    }
}

impl SegmentFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let refuse = |source| StoreError::io("write to the journal", &self.path, source);
        #[cfg(test)]
        if let Some((trace, id)) = &self.trace {
            trace.write(*id, at, bytes).map_err(refuse)?;
        }
        self.file.write_all_at(bytes, at).map_err(refuse)
    }

    pub(super) fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file
            .read_exact_at(bytes, at)
            .map_err(|source| StoreError::io("read the journal", &self.path, source))
    }

    /// Makes all that was written to this file durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let refuse = |source| StoreError::io("sync the journal", &self.path, source);
        #[cfg(test)]
        if let Some((trace, id)) = &self.trace {
            trace.sync(*id).map_err(refuse)?;
        }
        // Some file systems let a signal interrupt a sync. Interrupted is not failed: nothing was dropped.
        retry_on_intr(|| rustix::fs::fdatasync(&self.file)).map_err(|errno| refuse(errno.into()))
    }

    /// Makes the kernel forget the pages it holds of this file, so that what is read next comes
    /// from the disk. Dirty pages are written first; what a failed sync marked clean is dropped.
    pub(super) fn drop_cached_pages(&self) -> Result<(), StoreError> {
        self.sync()?;
        rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)
            .map_err(|errno| StoreError::io("drop cached pages", &self.path, errno.into()))
    }

    /// Extends the file with zeros, written and synced. False when `stop` said so half-way.
    pub(super) fn grow(&mut self, to: u64, stop: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        let to = to.next_multiple_of(PAGE);
        if to <= self.bytes {
            return Ok(true);
        }
        // Asking for all of it first gives one extent where the file system can; where it cannot,
        // the zeros below do the same, and a full disk is noticed either way.
        let more = to - self.bytes;
        let asked =
            retry_on_intr(|| rustix::fs::fallocate(&self.file, FallocateFlags::empty(), self.bytes, more));
        if asked == Err(rustix::io::Errno::NOSPC) {
            let source = rustix::io::Errno::NOSPC.into();
            return Err(StoreError::io("preallocate a journal segment", &self.path, source));
        }
        let zeros = vec![0; FILL_PIECE];
        while self.bytes < to {
            if stop() {
                return Ok(false);
            }
            let piece = usize::try_from(to - self.bytes).unwrap_or(FILL_PIECE).min(FILL_PIECE);
            self.write_at(self.bytes, &zeros[..piece])?;
            self.sync()?;
            self.bytes += piece as u64;
        }
        Ok(true)
    }
}
