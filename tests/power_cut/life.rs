//! One life of the real broker, watched from its first call to its last.

use super::load;
use super::notes::{Notebook, Step};
use super::trace::{self, NameOp, Op};
use crate::harness::{Program, WINDLASS, eventually};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU64;

/// Small files, so that a short life uses many of them and a disk is written in no time.
const FLAGS: [&str; 14] = [
    "--listen",
    "127.0.0.1:0",
    "--http",
    "off",
    "--segment-bytes",
    "64KiB",
    "--segment-bytes-max",
    "64KiB",
    "--unfolded-bytes",
    "1MiB",
    "--disk-reserve-bytes",
    "64KiB",
    "--leaves-cache-bytes",
    "8MiB",
];

/// In every other life one of four writes to the leaves takes up to so many microseconds, and is overtaken.
const UNEVEN_US: &str = "300000";

/// How a life is led.
pub struct Plan<'a> {
    /// The disk; the data lie in [`DATA`] below it.
    pub disk: &'a Path,
    /// The library that watches.
    pub shim: &'a Path,
    /// Where the trace and what the broker says go.
    pub logs: &'a Path,
    /// Its randomness.
    pub seed: u64,
    /// How many frames each producer says.
    pub frames: u64,
}

/// Where the data are on a disk: in a folder that the broker has to make as well.
pub const DATA: &str = "made/by/broker";

/// Lets a broker live and work, and end in order or by a kill.
pub fn live(plan: &Plan<'_>, made: &AtomicU64) -> Vec<Step> {
    let trace = plan.logs.join("trace");
    fs::write(&trace, "").expect("room for the trace");
    let notes = Notebook::beside(&trace);
    let mut command = Command::new(WINDLASS);
    command.arg("serve").arg("--data").arg(plan.disk.join(DATA)).args(FLAGS);
    command.env("LD_PRELOAD", plan.shim).env("WATCH_DIR", plan.disk).env("WATCH_TRACE", &trace);
    if plan.seed % 4 < 2 {
        command.env("WATCH_SLOW", UNEVEN_US);
    }
    let mut program = Program::start(&mut command, plan.logs, "broker");
    let addr = eventually("the broker listens", || {
        assert_eq!(program.exit_code(), None, "seed {}: {}", plan.seed, program.stderr());
        let said = program.stdout();
        said.strip_prefix("windlass listening on ").map(|rest| rest.trim_end().to_owned())
    });
    load::work(&addr, &notes, made, plan.seed, plan.frames);
    if plan.seed.is_multiple_of(2) {
        program.kill();
    } else {
        program.signal(Signal::TERM);
        assert_eq!(program.wait(), 0, "seed {}: {}", plan.seed, program.stderr());
    }
    notes.among(trace::read(&trace, plan.disk))
}

/// What the broker was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before it listened for the first time: it made or recovered its directory.
    Starting,
    /// It wrote or synced what a fold writes.
    Folding,
    /// It made a segment, or began to write one that it had used before.
    Turning,
    /// A commit, or nothing.
    Committing,
}

/// The phase of each step.
pub fn phases(steps: &[Step]) -> Vec<Phase> {
    let mut paths: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut is_serving = false;
    let mut of = |op: &Op| {
        if let Op::Name(NameOp::Rename { from, to }) = op {
            paths.values_mut().filter(|path| *path == from).for_each(|path| path.clone_from(to));
        }
        let (inode, at) = match op {
            Op::Adopt { inode, path } | Op::Create { inode, path } => {
                paths.insert(*inode, path.clone());
                (*inode, None)
            }
            Op::Write { inode, at, .. } => (*inode, Some(*at)),
            Op::Resize { inode, .. } | Op::Sync { inode } => (*inode, None),
            Op::SyncFolder { path }
            | Op::Name(
                NameOp::Link { path, .. }
                | NameOp::Rename { to: path, .. }
                | NameOp::Unlink { path }
                | NameOp::MakeFolder { path }
                | NameOp::RemoveFolder { path },
            ) => {
                return part(path)
                    .map(|part| if part == "journal" { Phase::Turning } else { Phase::Folding });
            }
            Op::Sent { .. } => {
                is_serving = true;
                return None;
            }
        };
        if !is_serving {
            return None;
        }
        let path = paths.get(&inode)?;
        match part(path)? {
            "leaves" => Some(Phase::Folding),
            "journal" if at == Some(0) || path.extension()? == "filling" => Some(Phase::Turning),
            _ => None,
        }
    };
    let found: Vec<Option<Phase>> =
        steps.iter().map(|step| if let Step::Did(op) = step { of(op) } else { None }).collect();
    let first_word = steps.iter().position(|step| matches!(step, Step::Did(Op::Sent { .. })));
    let first_word = first_word.unwrap_or(steps.len());
    let phase = |(number, phase): (usize, Option<Phase>)| match phase {
        _ if number < first_word => Phase::Starting,
        phase => phase.unwrap_or(Phase::Committing),
    };
    found.into_iter().enumerate().map(phase).collect()
}

/// The part of the data directory in which a file lies.
fn part(path: &Path) -> Option<&str> {
    path.strip_prefix(DATA).ok()?.iter().next()?.to_str()
}
