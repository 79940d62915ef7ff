//! Every state that a power cut can leave of a journal, reopened. A run is watched write by write;
//! then it is cut at some point, and what was not synced is kept, lost, or kept in random blocks.
//! Whatever was acknowledged must be there, and nothing else but the record in flight.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::tests::{append, batches, options, scratch};
use super::trace::{Op, Trace};
use super::{DiskJournal, Folder, Journal, Recovered};

const SEGMENT: u64 = 16 << 10;

/// One file while the power is on: what is surely on disk, and what may be.
#[derive(Default, Clone)]
struct Watched {
    name: Option<PathBuf>,
    synced: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

/// What of the unsynced survives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Survives {
    Nothing,
    Everything,
    RandomBlocks,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Builds in `target` what a power cut after `ops` leaves of what was in `base`.
fn cut(
    base: &BTreeMap<PathBuf, Vec<u8>>,
    ops: &[Op],
    survives: Survives,
    random: &mut Random,
    target: &Path,
) {
    let mut untouched = base.clone();
    let mut files: BTreeMap<u64, Watched> = BTreeMap::new();
    let mut names: Vec<Op> = Vec::new();
    for op in ops {
        match op {
            Op::Adopt { id, path } => {
                let synced = untouched.remove(Path::new(path.file_name().unwrap())).unwrap();
                let file = Watched { name: Some(path.clone()), synced, ..Watched::default() };
                files.insert(*id, file);
            }
            Op::Create { id, .. } => {
                files.insert(*id, Watched::default());
                names.push(op.clone());
            }
            Op::Rename { .. } | Op::Remove { .. } => names.push(op.clone()),
            Op::Write { id, at, bytes } => {
                files.get_mut(id).unwrap().unsynced.push((*at, bytes.clone()));
            }
            Op::Sync { id } => {
                let file = files.get_mut(id).unwrap();
                for (at, bytes) in std::mem::take(&mut file.unsynced) {
                    put(&mut file.synced, at, &bytes);
                }
            }
            Op::SyncFolder => names.drain(..).for_each(|op| name(&mut files, &op)),
            Op::Note(_) => {}
        }
    }
    // A file system keeps the order of names, so a prefix of what happened to them survives.
    let surviving = match survives {
        Survives::Nothing => 0,
        Survives::Everything => names.len(),
        Survives::RandomBlocks => random.below(names.len() + 1),
    };
    names.drain(..).take(surviving).for_each(|op| name(&mut files, &op));
    for (name, bytes) in untouched {
        fs::write(target.join(name), bytes).unwrap();
    }
    for mut file in files.into_values() {
        let Some(path) = file.name else { continue };
        for (at, bytes) in file.unsynced {
            for (block, piece) in bytes.chunks(512).enumerate() {
                let keep = match survives {
                    Survives::Nothing => false,
                    Survives::Everything => true,
                    Survives::RandomBlocks => random.below(2) == 0,
                };
                if keep {
                    put(&mut file.synced, at + 512 * block as u64, piece);
                }
            }
        }
        fs::write(target.join(path.file_name().unwrap()), file.synced).unwrap();
    }
}

fn name(files: &mut BTreeMap<u64, Watched>, op: &Op) {
    match op {
        Op::Create { id, path } => files.get_mut(id).unwrap().name = Some(path.clone()),
        Op::Rename { id, to } => files.get_mut(id).unwrap().name = Some(to.clone()),
        Op::Remove { id } => files.get_mut(id).unwrap().name = None,
        Op::Adopt { .. } | Op::Write { .. } | Op::Sync { .. } | Op::SyncFolder | Op::Note(_) => {
            panic!("not about a name: {op:?}")
        }
    }
}

fn put(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap();
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into(), fs::read(entry.path()).unwrap())).collect()
}

fn watched(dir: &Path) -> (Folder, Trace) {
    let mut folder = Folder::new(dir);
    let trace = Trace::default();
    folder.trace = Some(trace.clone());
    (folder, trace)
}

/// The newest batch acknowledged in `ops`.
fn acknowledged(ops: &[Op], before: u64) -> u64 {
    let notes = ops.iter().filter_map(|op| if let Op::Note(batch) = op { Some(*batch) } else { None });
    notes.max().unwrap_or(0).max(before)
}

/// Opens what is in `dir`, works on with it, and gives back what was done and acknowledged.
/// `sure` batches must be there, and at most one more.
fn reopen_and_work(dir: &Path, sure: u64, appends: u64, context: &str) -> Vec<Op> {
    let (folder, trace) = watched(dir);
    let (mut journal, recovered) =
        DiskJournal::open_in(folder, options(SEGMENT)).unwrap_or_else(|error| panic!("{context}: {error}"));
    let Recovered { first_batch, last_batch } = recovered;
    // What a start reports is as good as acknowledged: it must not be gone after the next cut.
    trace.push(Op::Note(last_batch));
    assert!(last_batch == sure || last_batch == sure + 1, "{context}: {last_batch} for {sure}");
    assert_eq!(batches(&mut journal, first_batch), (first_batch..=last_batch).collect::<Vec<_>>());
    for batch in last_batch + 1..=last_batch + appends {
        append(&mut journal, batch).unwrap();
        trace.push(Op::Note(batch));
        confirm_some(&mut journal, batch);
        journal.recycle(batch.saturating_sub(20)).unwrap();
    }
    drop(journal);
    trace.ops()
}

/// Now and then nothing more waits.
fn confirm_some(journal: &mut DiskJournal, batch: u64) {
    if batch.is_multiple_of(3) {
        journal.confirm().unwrap();
    }
}

/// What was done, on what, and what was sure before.
struct Run {
    base: BTreeMap<PathBuf, Vec<u8>>,
    sure: u64,
    ops: Vec<Op>,
    /// Cuts fall behind this many ops.
    from: usize,
}

/// Cuts a run at random points, and does the same to what the next start does, `depth` times.
/// Returns how many states it met.
fn explore(run: &Run, seeds: std::ops::Range<u64>, depth: u32) -> usize {
    let mut states = 0;
    for seed in seeds {
        let mut random = Random(seed);
        let end = run.from + random.below(run.ops.len() - run.from + 1);
        let ops = &run.ops[..end];
        let sure = acknowledged(ops, run.sure);
        let blocks = Survives::RandomBlocks;
        for survives in [Survives::Nothing, Survives::Everything, blocks, blocks] {
            let dir = scratch();
            cut(&run.base, ops, survives, &mut random, dir.path());
            let base = content(dir.path());
            let last = ops.last().map(kind);
            let context = format!("depth {depth}, seed {seed}, {survives:?}, op {end} {last:?}");
            let ops = reopen_and_work(dir.path(), sure, 25, &context);
            states += 1;
            if depth > 0 && survives == blocks {
                states += explore(&Run { base, sure, ops, from: 0 }, seed..seed + 2, depth - 1);
            }
        }
    }
    states
}

fn kind(op: &Op) -> String {
    format!("{op:?}").chars().take(40).collect()
}

/// A run of 150 batches with recycling, and where in it the journal was made.
fn a_run() -> (Vec<Op>, usize) {
    let dir = scratch();
    let (folder, trace) = watched(dir.path());
    let mut journal = DiskJournal::create_in(folder, options(SEGMENT)).unwrap();
    let made = trace.ops().iter().rposition(|op| matches!(op, Op::Sync { .. })).unwrap() + 1;
    trace.push(Op::Note(0));
    for batch in 1..=150 {
        append(&mut journal, batch).unwrap();
        trace.push(Op::Note(batch));
        confirm_some(&mut journal, batch);
        if batch % 10 == 0 {
            journal.recycle(batch - 5).unwrap();
        }
    }
    drop(journal);
    (trace.ops(), made)
}

#[test]
fn every_acknowledged_record_survives_a_power_cut_at_any_moment() {
    let (ops, made) = a_run();
    // More by hand: POWER_CUTS=2000 cargo test -p windlass-broker power_cut
    let cuts = std::env::var("POWER_CUTS").map_or(25, |cuts| cuts.parse().unwrap());
    let states = explore(&Run { base: BTreeMap::new(), sure: 0, ops, from: made }, 0..cuts, 1);
    assert!(states as u64 >= 4 * cuts, "{states}");
    println!("{states} states");
}

/// After a failed sync the kernel shows what never reached the disk. A start may believe it, but
/// must have made it true before it reports it.
#[test]
fn what_a_start_reports_is_on_disk_even_if_the_kernel_showed_what_was_not() {
    let (ops, made) = a_run();
    let (mut random, mut believed) = (Random(7), 0);
    let records = ops.iter().enumerate().skip(made).filter(|(_, op)| matches!(op, Op::Note(_)));
    for (end, _) in records.step_by(7) {
        // Up to the write of a record, without its sync and its acknowledgement.
        let written = &ops[..end - 1];
        let (shown, on_disk, after) = (scratch(), scratch(), scratch());
        let nothing = BTreeMap::new();
        cut(&nothing, written, Survives::Everything, &mut random, shown.path());
        cut(&nothing, written, Survives::Nothing, &mut random, on_disk.path());
        if content(shown.path()).keys().ne(content(on_disk.path()).keys()) {
            continue;
        }
        let (folder, trace) = watched(shown.path());
        let (_journal, reported) = DiskJournal::open_in(folder, options(SEGMENT)).unwrap();
        cut(&content(on_disk.path()), &trace.ops(), Survives::Nothing, &mut random, after.path());
        let (_, recovered) = DiskJournal::open(after.path(), options(SEGMENT)).unwrap();
        assert_eq!(recovered, reported);
        believed += u64::from(reported.last_batch > acknowledged(written, 0));
    }
    assert!(believed > 10, "{believed} times the kernel showed more than there was");
}

/// A broker is killed after it wrote a record and before the sync; the next start reads the record from the
/// kernel's memory, and then the power fails while that start settles it. Whatever of its writes arrived,
/// and in whatever order, the one after that is not to take it for damage.
#[test]
fn a_start_that_is_cut_while_it_settles_what_only_the_kernel_had_leaves_no_damage() {
    let (ops, made) = a_run();
    let (mut random, mut cuts) = (Random(11), 0);
    let records = ops.iter().enumerate().skip(made).filter(|(_, op)| matches!(op, Op::Note(1..)));
    for (end, _) in records.step_by(7) {
        let written = &ops[..end - 1];
        let (shown, on_disk) = (scratch(), scratch());
        let nothing = BTreeMap::new();
        cut(&nothing, written, Survives::Everything, &mut random, shown.path());
        cut(&nothing, written, Survives::Nothing, &mut random, on_disk.path());
        if content(shown.path()).keys().ne(content(on_disk.path()).keys()) {
            continue;
        }
        let (folder, trace) = watched(shown.path());
        drop(DiskJournal::open_in(folder, options(SEGMENT)).unwrap());
        let (sure, settled) = (acknowledged(written, 0), trace.ops());
        for end in 0..=settled.len() {
            let after = scratch();
            cut(&content(on_disk.path()), &settled[..end], Survives::RandomBlocks, &mut random, after.path());
            let (_, found) = DiskJournal::open(after.path(), options(SEGMENT))
                .unwrap_or_else(|error| panic!("batch {sure}, cut after {end} writes: {error}"));
            assert!((sure..=sure + 1).contains(&found.last_batch), "{found:?} for {sure}");
            cuts += 1;
        }
    }
    assert!(cuts > 50, "{cuts}");
}
