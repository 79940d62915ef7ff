//! The power-cut explorer: a real store over real files works in a child process; a shim notes
//! every write and sync; the power is cut at random moments, and for each the states that a disk
//! may be left in are opened again. More by hand:
//!
//! ```text
//! POWER_CUTS=1000 cargo test -p windlass-tests power_cut -- --nocapture
//! ```

mod child;
mod promised;
mod talk;
mod trace;

use crate::simulation::random::Random;
use promised::Promised;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use trace::{Disk, Op, Survives};

/// What `cc` makes the shim of.
const SHIM: &str = include_str!("shim.c");
/// How many moments of a child's life are cut, unless asked otherwise.
const CUTS: usize = 45;
/// Steps of the first child.
const STEPS: u64 = 120;
/// Steps of a child that works on after a cut.
const STEPS_AFTER: u64 = 12;

/// A watched child's life.
struct Run {
    base: Disk,
    promised: Promised,
    ops: Vec<Op>,
}

/// Everything that the explorer makes lies here.
struct Lab {
    scratch: tempfile::TempDir,
    shim: PathBuf,
    states: u64,
}

impl Lab {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let (source, shim) = (scratch.path().join("shim.c"), scratch.path().join("shim.so"));
        fs::write(&source, SHIM).expect("room for the shim");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&shim, &source])
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("a C compiler is needed: apt-get install gcc libc6-dev");
        assert!(built.success(), "the shim does not compile");
        Self { scratch, shim, states: 0 }
    }

    /// A new folder.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.scratch.path().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the scratch disk has room");
        folder
    }

    /// Lets a child work below `disk`, and takes its trace.
    fn run(&self, disk: &Path, seed: u64, steps: u64) -> Vec<Op> {
        let [trace, notes] = ["trace", "notes"].map(|name| self.scratch.path().join(name));
        fs::write(&trace, "").expect("room for the trace");
        fs::write(&notes, "").expect("room for the notes");
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "power_cut::nothing_acknowledged_is_lost_in_a_power_cut", "--nocapture"])
            .env("LD_PRELOAD", &self.shim)
            .env("WATCH_DIR", disk)
            .env("WATCH_TRACE", &trace)
            .env("WATCH_NOTES", &notes)
            .env("CHILD_DATA", disk.join("data"))
            .env("CHILD_SEED", seed.to_string())
            .env("CHILD_STEPS", steps.to_string())
            .output()
            .expect("this test can be run again");
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "the child of seed {seed} failed: {said}");
        trace::read(&trace, disk)
    }

    /// Cuts a run at random moments, and those that go on after a cut again, `depth` times.
    fn explore(&mut self, run: &Run, seed: u64, cuts: usize, depth: u32) {
        let mut random = Random::new(seed);
        let mut moments: Vec<usize> = (0..cuts).map(|_| random.place(run.ops.len() + 1)).collect();
        moments.sort_unstable();
        let (mut disk, mut promised) = (run.base.clone(), run.promised.clone());
        let mut done = 0;
        for moment in moments {
            for op in &run.ops[done..moment] {
                disk.apply(op);
                if let Op::Note(note) = op {
                    promised.hear(note);
                }
            }
            done = moment;
            let ways = [
                Survives::Nothing,
                Survives::Everything,
                Survives::LatterHalf,
                Survives::RandomPages,
                Survives::RandomPages,
            ];
            for (number, survives) in ways.into_iter().enumerate() {
                let root = self.folder("cut");
                disk.cut(survives, &mut random, &root);
                let context = format!("seed {seed}, depth {depth}, op {moment}, {survives:?} ({number})");
                if depth > 0 && number == ways.len() - 1 && random.chance(25) {
                    self.go_on(&root, &promised, random.next(), depth - 1);
                } else {
                    self.reopen(&root, &promised, random.next(), &context);
                }
            }
        }
    }

    /// The next child works on what a cut left, and is cut as well.
    fn go_on(&mut self, root: &Path, promised: &Promised, seed: u64, depth: u32) {
        let disk = self.folder(&format!("disk-{depth}"));
        fs::remove_dir(&disk).expect("it is empty");
        fs::rename(root, &disk).expect("both lie on one disk");
        let base = Disk::holding(&disk);
        let ops = self.run(&disk, seed, STEPS_AFTER);
        self.explore(&Run { base, promised: promised.clone(), ops }, seed, 4, depth);
    }

    fn reopen(&mut self, root: &Path, promised: &Promised, seed: u64, context: &str) {
        self.states += 1;
        let checked = std::panic::catch_unwind(|| promised.check(&root.join("data"), seed));
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{context}: a power cut left what cannot be started: {error}"),
            Err(panic) => {
                println!("{context}: {} jobs were owed", promised.owed());
                std::panic::resume_unwind(panic)
            }
        }
    }
}

/// G1: nothing acknowledged is missing, nothing appears that nobody asked for, and the store goes
/// on, whatever a power cut leaves of journal and leaves.
#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    if let Some(orders) = child::orders() {
        return child::run(&orders);
    }
    let cuts = std::env::var("POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().expect("a number"));
    let mut lab = Lab::new();
    let disk = lab.folder("disk");
    let base = Disk::holding(&disk);
    let ops = lab.run(&disk, 1, STEPS);
    let notes = ops.iter().filter(|op| matches!(op, Op::Note(_))).count();
    let syncs = ops.iter().filter(|op| matches!(op, Op::Sync { .. })).count();
    assert!(notes > 200 && syncs > 100, "the shim sees {notes} notes and {syncs} syncs only");
    lab.explore(&Run { base, promised: Promised::default(), ops }, 1, cuts, 1);
    println!("{} states", lab.states);
    assert!(lab.states >= 4 * cuts as u64, "{} states", lab.states);
}
