//! The child that opens what was damaged, cell after cell, with the code that a start of the broker runs.
//! It is a process of its own because sled may panic on threads of its own, or hang.

use super::damage::{Cell, cells, copy, files};
use crate::simulation::dump::Dump;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use windlass_broker::broker::Options;
use windlass_broker::clock::Clock;
use windlass_broker::driver::core::CoreOptions;
use windlass_broker::store::StoreError;
use windlass_broker::store::disk::DiskOptions;
use windlass_broker::vault::Vault;
use windlass_engine::part::{Part, PartKey};

/// What a child is told in the environment.
pub struct Orders {
    pub pristine: PathBuf,
    pub scratch: PathBuf,
    /// A line for each acknowledged job: its id and the checksum of its payload.
    pub promised: PathBuf,
    pub seed: u64,
    pub weight: usize,
    pub first: usize,
}

/// All that survives a restart: records, and the checksums of parts.
struct Whole {
    dump: Dump,
    parts: BTreeMap<PartKey, u32>,
}

/// Judges the cells from the first one on, a line each. It ends early after a cell in which sled may have
/// panicked, because sled keeps that in mind for the whole process.
pub fn run(orders: &Orders) {
    let scratch = orders.scratch.join("data");
    copy(&orders.pristine, &scratch);
    let truth = open(&scratch).expect("undamaged it opens");
    truth.keeps(&fs::read_to_string(&orders.promised).unwrap());
    for (number, cell) in
        cells(&orders.pristine, orders.seed, orders.weight).iter().enumerate().skip(orders.first)
    {
        say(&format!("cell {number} begins"));
        copy(&orders.pristine, &scratch);
        cell.apply(&scratch);
        let damaged = contents(&scratch);
        let judged = catch_unwind(AssertUnwindSafe(|| open(&scratch)));
        let (verdict, is_spoilt) = match judged {
            Err(_panic) => ("panicked".to_owned(), true),
            Ok(Ok(whole)) => (whole.verdict(&truth), false),
            Ok(Err(error)) => (refusal(&error, cell, &damaged, &scratch), error.to_string().contains("sled")),
        };
        say(&format!("cell {number} {verdict}"));
        if is_spoilt {
            return;
        }
    }
    say("cell all done");
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent listens");
}

/// Opens, and reads everything.
fn open(data: &Path) -> Result<Whole, StoreError> {
    let mut vault = Vault::open(&Options {
        data: data.to_path_buf(),
        segment_bytes_first: 1 << 20,
        segment_bytes_max: 1 << 20,
        leaves_cache_bytes: 8 << 20,
        core: CoreOptions::default(),
        disk: DiskOptions { low_bytes: Some(0), reserve_bytes: 0 },
        clock: Clock::default(),
    })?;
    let dump = Dump::of(vault.engine());
    let keys: Vec<PartKey> = vault.engine().ledger().jobs.iter().flat_map(|job| job.parts()).collect();
    let mut parts = BTreeMap::new();
    for key in keys {
        parts.insert(key, crc32c::crc32c(&vault.read(key)?));
    }
    Ok(Whole { dump, parts })
}

/// A refusal has the right code, and has changed nothing.
fn refusal(error: &StoreError, cell: &Cell, damaged: &BTreeMap<PathBuf, Vec<u8>>, data: &Path) -> String {
    if error.exit_code() != 78 {
        return format!("wrong exit code {}: {error}", error.exit_code());
    }
    let now = contents(data);
    let changed = damaged.keys().chain(now.keys()).find(|file| damaged.get(*file) != now.get(*file));
    match changed {
        Some(file) => format!("changed {} although refused after {cell:?}: {error}", file.display()),
        None => format!("refused: {}", error.to_string().replace('\n', " ")),
    }
}

/// All that matters, with the bytes.
fn contents(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let matters = |file: &PathBuf| !file.ends_with("LOCK");
    files(data)
        .into_iter()
        .filter(matters)
        .map(|file| (file.clone(), fs::read(data.join(file)).unwrap()))
        .collect()
}

impl Whole {
    fn verdict(&self, truth: &Self) -> String {
        if let Err(difference) = self.dump.compare(&truth.dump) {
            return format!("lost in silence: {}", difference.replace('\n', " "));
        }
        if self.parts == truth.parts { "intact".into() } else { "lost in silence: a part differs".into() }
    }

    /// What the wire acknowledged is what an undamaged directory holds.
    fn keeps(&self, promised: &str) {
        let jobs: BTreeMap<String, u64> =
            self.dump.ids().map(|(id, seq)| (id.to_string().replace('-', ""), seq)).collect();
        let mut number = 0;
        for line in promised.lines() {
            let (id, crc) = line.split_once(' ').unwrap();
            let payload = PartKey { seq: jobs[&id.replace('-', "")], part: Part::Payload, version: 0 };
            assert_eq!(self.parts[&payload].to_string(), crc, "the payload of {id}");
            number += 1;
        }
        assert_eq!(jobs.len(), number, "jobs that nobody enqueued");
    }
}

/// The orders in the environment, if this process is a child.
pub fn orders() -> Option<Orders> {
    let text = |name: &str| std::env::var(format!("CORRUPTION_{name}")).ok();
    Some(Orders {
        pristine: text("PRISTINE")?.into(),
        scratch: text("SCRATCH")?.into(),
        promised: text("PROMISED")?.into(),
        seed: text("SEED")?.parse().ok()?,
        weight: text("WEIGHT")?.parse().ok()?,
        first: text("FIRST")?.parse().ok()?,
    })
}
