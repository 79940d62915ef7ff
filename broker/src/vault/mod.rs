//! A data directory, opened and recovered, without a broker around it: what a start begins with,
//! and what is done to one while nobody serves it.

mod copy;
mod look;
mod repair;

pub use crate::store::archive::Summary;
pub use copy::{NewArchive, import};
pub use look::{Info, Inventory, info};
pub use repair::{Repaired, repair};

use crate::broker::Options;
use crate::driver::core::Core;
use crate::failpoint;
use crate::store::StoreError;
use crate::store::before::{self, Cost};
use crate::store::directory::Directory;
use crate::store::disk::Disk;
use crate::store::ended;
use crate::store::journal::{DiskJournal, JournalOptions};
use crate::store::recovery::{self, Loaded};
use crate::store::seam::{Leaves, Recovered};
use crate::store::sled_leaves::{LeavesOptions, SledLeaves};
use windlass_engine::part::PartKey;
use windlass_engine::{Blob, Engine};

/// A data directory that this process holds, with everything in it recovered and nothing decided.
pub struct Vault {
    pub(crate) directory: Directory,
    pub(crate) disk: Disk,
    pub(crate) journal: DiskJournal,
    pub(crate) leaves: SledLeaves,
    pub(crate) core: Core,
    pub(crate) loaded: Loaded,
}

impl Vault {
    /// Opens what lies at `options.data`, or makes it. When it is refused, everything is as it was;
    /// very large leaves excepted, of which no copy is kept while sled opens them.
    ///
    /// # Errors
    /// When the directory is locked, damaged, full or not writable; the error says what to do.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        let mut directory = Directory::open(&options.data)?;
        let disk = Disk::new(directory.path(), options.disk);
        disk.release_reserve()?;
        before::put_back(&directory)?;
        let ended_at = ended::read(&directory);
        if !directory.is_new() {
            keep_leaves(&directory, &disk);
            failpoint::reach("after_leaves_kept");
        }
        let opened = match open_stores(&directory, options, ended_at) {
            Ok(opened) => opened,
            Err(error) => {
                before::put_back(&directory)?;
                return Err(error);
            }
        };
        failpoint::reach("before_leaves_let_go");
        before::let_go(&directory)?;
        directory.seal()?;
        failpoint::reach("after_seal");
        let Opened { journal, leaves, core, loaded } = opened;
        Ok(Self { directory, disk, journal, leaves, core, loaded })
    }

    /// The rules and what they hold.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.core.engine()
    }

    /// The bytes of a part that a job names.
    ///
    /// # Errors
    /// When the leaves cannot be read, or do not hold it.
    pub fn read(&mut self, key: PartKey) -> Result<Blob, StoreError> {
        self.core.read(key)
    }
}

/// What lies in the directory, recovered.
struct Opened {
    journal: DiskJournal,
    leaves: SledLeaves,
    core: Core,
    loaded: Loaded,
}

fn open_stores(
    directory: &Directory,
    options: &Options,
    ended_at: Option<u64>,
) -> Result<Opened, StoreError> {
    let journal_options = JournalOptions {
        ended_at,
        segment_bytes_first: options.segment_bytes_first,
        segment_bytes_max: options.segment_bytes_max,
        ..JournalOptions::new(directory.id(), directory.journal_secret())
    };
    let leaves_options =
        LeavesOptions { cache_bytes: options.leaves_cache_bytes, ..LeavesOptions::default() };
    let (mut journal, leaves, recovered) = if directory.is_new() {
        let journal = DiskJournal::create(&directory.journal(), journal_options)?;
        failpoint::reach("after_new_journal");
        let leaves = SledLeaves::create(&directory.leaves(), leaves_options)?;
        failpoint::reach("after_new_leaves");
        (journal, leaves, Recovered { first_batch: 1, last_batch: 0 })
    } else {
        let (journal, recovered) = DiskJournal::open(&directory.journal(), journal_options)?;
        failpoint::reach("before_leaves_open");
        let leaves = SledLeaves::open(&directory.leaves(), leaves_options)?;
        failpoint::reach("after_leaves_open");
        (journal, leaves, recovered)
    };
    let reader = leaves.reader();
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    let (core, loaded) = Core::recover(&mut journal, recovered, reader.clone(), seed, options.core)?;
    if ended_at.is_none() || before::bytes(directory) <= before::COPY_BYTES_MAX {
        recovery::verify_parts(&*reader, &loaded.meta)?;
    }
    Ok(Opened { journal, leaves, core, loaded })
}

/// Keeps a copy of the leaves while sled opens them, if that is cheap enough.
fn keep_leaves(directory: &Directory, disk: &Disk) {
    let bytes = before::bytes(directory);
    let has_room = disk.space().is_ok_and(|space| space.free > space.low.saturating_add(bytes));
    let is_small = bytes <= before::COPY_BYTES_MAX;
    let cost = if is_small && has_room { Cost::Room } else { Cost::Nothing };
    if let Err(error) = before::keep(directory, cost) {
        tracing::warn!(bytes, %error, "no copy of the leaves is kept during this start");
    }
}
