//! A watcher of the journal's writes and syncs, for tests: it remembers all of them in order, and
//! can refuse the nth, as a failing disk does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// One thing that was done to the file system.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A file was found.
    Adopt { id: u64, path: PathBuf },
    /// A file was made.
    Create { id: u64, path: PathBuf },
    /// Bytes were written to it.
    Write { id: u64, at: u64, bytes: Vec<u8> },
    /// It was synced.
    Sync { id: u64 },
    /// It was named.
    Rename { id: u64, to: PathBuf },
    /// It was removed.
    Remove { id: u64 },
    /// The folder was synced.
    SyncFolder,
    /// The test says that a batch was acknowledged.
    Note(u64),
}

#[derive(Default)]
struct Watched {
    ops: Vec<Op>,
    files: u64,
    /// Writes and syncs still let through; the next one after them fails, and all later ones.
    budget: Option<u64>,
}

/// Shared by a folder and its files.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Watched>>);

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().expect("no test panics while it holds the trace")
    }

    pub(super) fn push(&self, op: Op) {
        self.lock().ops.push(op);
    }

    /// A file that was made under watch.
    pub(super) fn create(&self, path: &Path) -> u64 {
        let id = self.number();
        self.push(Op::Create { id, path: path.to_path_buf() });
        id
    }

    /// A file that was there before.
    pub(super) fn adopt(&self, path: &Path) -> u64 {
        let id = self.number();
        self.push(Op::Adopt { id, path: path.to_path_buf() });
        id
    }

    fn number(&self) -> u64 {
        let mut watched = self.lock();
        watched.files += 1;
        watched.files
    }

    pub(super) fn write(&self, id: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.push(Op::Write { id, at, bytes: bytes.to_vec() });
        Ok(())
    }

    pub(super) fn sync(&self, id: u64) -> io::Result<()> {
        self.spend()?;
        self.push(Op::Sync { id });
        Ok(())
    }

    /// Lets `budget` more writes and syncs through; then the disk says no, for good.
    pub(super) fn fail_after(&self, budget: u64) {
        self.lock().budget = Some(budget);
    }

    pub(super) fn ops(&self) -> Vec<Op> {
        self.lock().ops.clone()
    }

    fn spend(&self) -> io::Result<()> {
        match &mut self.lock().budget {
            None => Ok(()),
            Some(0) => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}
