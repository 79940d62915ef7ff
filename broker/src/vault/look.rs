//! Looking at a data directory: what it is, and whether all of it can be read.

use super::Vault;
use crate::broker::Options;
use crate::disk_usage::bytes_below;
use crate::driver::core::Core;
use crate::store::StoreError;
use crate::store::directory::Directory;
use crate::store::record;
use crate::store::recovery;
use crate::store::seam::{Journal, Leaves};
use std::path::Path;
use windlass_engine::ids::Seq;
use windlass_engine::ledger::job::State;
use windlass_engine::part::PartKey;

/// What a data directory is, without reading what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its id.
    pub id: String,
    /// It was made to its end; otherwise the next start makes it anew.
    pub is_whole: bool,
    /// Format of the records that this program writes.
    pub record_format: u8,
    /// The last broker on it stopped in order.
    pub ended_in_order: bool,
    /// The process that holds it.
    pub holder: Option<u32>,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes of the leaves.
    pub leaves_bytes: u64,
    /// Bytes of courses over time.
    pub history_bytes: u64,
}

/// Looks at a directory without taking it; None where there is none.
///
/// # Errors
/// When its MANIFEST is damaged, of a later version, or cannot be read.
pub fn info(data: &Path) -> Result<Option<Info>, StoreError> {
    let Some((id, is_whole)) = Directory::look(data)? else { return Ok(None) };
    Ok(Some(Info {
        id: id.to_string(),
        is_whole,
        record_format: record::FORMAT,
        ended_in_order: data.join("ENDED").exists(),
        holder: Directory::holder(data),
        journal_bytes: bytes_below(&data.join("journal")),
        leaves_bytes: bytes_below(&data.join("leaves")),
        history_bytes: bytes_below(&data.join("history")),
    }))
}

/// What lies in a data directory, all of it read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Its id.
    pub id: String,
    /// Jobs of all states.
    pub jobs: u64,
    /// Jobs by state.
    pub states: Vec<(&'static str, u64)>,
    /// Rows of tables: names, sessions, resources, and so on.
    pub rows: u64,
    /// Payloads, results and other parts, and their bytes.
    pub parts: u64,
    /// Their bytes.
    pub part_bytes: u64,
    /// Facts that are in the journal only.
    pub facts: u64,
    /// The last batch.
    pub last_batch: u64,
    /// Segments of the journal.
    pub segments: u64,
}

impl Vault {
    /// Reads everything: each head and row was read when it was opened, now each part that a job
    /// names, and each that Meta counted.
    ///
    /// # Errors
    /// The first damage, with its place.
    pub fn verify(&mut self) -> Result<Inventory, StoreError> {
        recovery::verify_parts(&*self.leaves.reader(), &self.loaded.meta)?;
        let (parts, part_bytes) = read_parts(&mut self.core)?;
        let count =
            |state| self.engine().ledger().jobs.iter().filter(|job| job.state == state).count() as u64;
        let states = STATES.map(|(state, word)| (word, count(state)));
        Ok(Inventory {
            id: self.directory.id().to_string(),
            jobs: self.engine().ledger().jobs.len() as u64,
            states: states.into_iter().filter(|(_, number)| *number > 0).collect(),
            rows: self.loaded.meta.rows.entries,
            parts,
            part_bytes,
            facts: self.loaded.facts,
            last_batch: self.loaded.last_batch,
            segments: self.journal.stats().segments as u64,
        })
    }

    /// Opens the directory at `options.data` to look at it. One that is damaged is left as it was.
    ///
    /// # Errors
    /// The first damage, with its place.
    pub fn inventory(options: &Options) -> Result<Inventory, StoreError> {
        let mut vault = Self::open(options)?;
        let inventory = vault.verify()?;
        vault.close()?;
        Ok(inventory)
    }

    /// Lets the directory go.
    ///
    /// # Errors
    /// When the leaves cannot be closed.
    pub fn close(self) -> Result<(), StoreError> {
        drop(self.core);
        self.leaves.close()
    }
}

/// Reads every part that a job names. How many there are, and their bytes.
pub(super) fn read_parts(core: &mut Core) -> Result<(u64, u64), StoreError> {
    let seqs: Vec<Seq> = core.engine().ledger().jobs.iter().map(|job| job.seq).collect();
    let (mut parts, mut bytes) = (0, 0);
    for seq in seqs {
        let job = core.engine().ledger().jobs.get(seq);
        let keys: Vec<PartKey> = job.into_iter().flat_map(|job| job.parts()).collect();
        for key in keys {
            bytes += core.read(key)?.len() as u64;
            parts += 1;
        }
    }
    Ok((parts, bytes))
}

const STATES: [(State, &str); 9] = [
    (State::Held, "held"),
    (State::Scheduled, "scheduled"),
    (State::Blocked, "blocked"),
    (State::Ready, "ready"),
    (State::Leased, "leased"),
    (State::Completed, "completed"),
    (State::Dead, "dead"),
    (State::Cancelled, "cancelled"),
    (State::Expired, "expired"),
];
