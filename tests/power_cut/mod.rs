//! The power-cut explorer: the real broker works for clients over TCP; a shim notes every write, every
//! sync and every answer; the power is cut at random moments, and for each the states that a disk may be
//! left in are opened again and compared with what had been acknowledged by then. What a cut left is also
//! started with the real broker, which is cut while it recovers. More by hand:
//!
//! ```text
//! POWER_CUTS=2000 cargo test -p windlass-tests power_cut -- --nocapture
//! ```

mod life;
mod load;
mod notes;
mod promised;
mod talk;
mod trace;

use crate::simulation::random::Random;
use life::{DATA, Phase, Plan};
use notes::Step;
use promised::Promised;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;
use trace::{Disk, Op, Survives};
use windlass_broker::clock;

/// What `cc` makes the shim of.
const SHIM: &str = include_str!("shim.c");
/// How many moments are cut, unless asked otherwise.
const CUTS: usize = 60;
/// Cuts in a life that begins with an empty disk.
const CUTS_A_LIFE: usize = 60;
/// Frames that each producer says in it.
const FRAMES: u64 = 70;
/// Every so many cuts, the broker is started on what is left, and cut again.
const CUTS_BETWEEN_LIVES: usize = 9;
/// Cuts in a life that begins with what a cut left.
const CUTS_AFTER: usize = 6;
/// Frames that each producer says in it.
const FRAMES_AFTER: u64 = 4;

/// A state that is to be opened.
struct State {
    root: PathBuf,
    promised: Arc<Promised>,
    seed: u64,
    context: String,
}

/// A watched life.
struct Run {
    base: Disk,
    promised: Promised,
    steps: Vec<Step>,
}

/// Everything that the explorer makes lies here.
struct Lab {
    scratch: PathBuf,
    shim: PathBuf,
    to_check: SyncSender<State>,
    random: Random,
    /// Numbers of jobs.
    made: AtomicU64,
    folders: u64,
    states: BTreeMap<Phase, u64>,
}

impl Lab {
    /// A new folder.
    fn folder(&mut self) -> PathBuf {
        self.folders += 1;
        let folder = self.scratch.join(self.folders.to_string());
        fs::create_dir_all(&folder).expect("the scratch disk has room");
        folder
    }

    fn live(&mut self, disk: &Path, frames: u64) -> Vec<Step> {
        let logs = self.folder();
        let plan = Plan { disk, shim: &self.shim, logs: &logs, seed: self.random.next(), frames };
        let steps = life::live(&plan, &self.made);
        fs::remove_dir_all(logs).expect("it was made here");
        steps
    }

    /// Moments of all phases: half of them wherever they fall, the others by turns.
    fn moments(&mut self, steps: &[Step], cuts: usize) -> Vec<(usize, Phase)> {
        let phases = life::phases(steps);
        let mut of: BTreeMap<Phase, Vec<usize>> = BTreeMap::new();
        for (number, phase) in phases.iter().enumerate() {
            of.entry(*phase).or_default().push(number);
        }
        let groups: Vec<Vec<usize>> = of.into_values().collect();
        let mut moments: Vec<(usize, Phase)> = (0..cuts)
            .map(|cut| {
                let place = match cut % 2 {
                    0 => self.random.place(phases.len()),
                    _ => *self.random.pick(&groups[cut / 2 % groups.len()]),
                };
                (place, phases[place])
            })
            .collect();
        moments.sort_unstable();
        moments
    }

    /// Cuts a life at random moments, and those that go on after a cut again, `depth` times.
    fn explore(&mut self, run: &Run, cuts: usize, depth: u32) {
        let (mut disk, mut promised) = (run.base.clone(), run.promised.clone());
        let (mut done, mut has_spoken) = (0, false);
        for (number, (moment, phase)) in self.moments(&run.steps, cuts).into_iter().enumerate() {
            let until = (moment + 1).max(done);
            for step in &run.steps[done..until] {
                if !has_spoken && matches!(step, Step::Did(Op::Sent { .. })) {
                    // What sled wrote over while it opened is only told by the file that it renamed.
                    let unsynced = disk.unsynced_names(&Path::new(DATA).join("leaves"));
                    assert!(unsynced.is_empty(), "it speaks before its leaves are durable: {unsynced:?}");
                    has_spoken = true;
                }
                match step {
                    Step::Did(op) => disk.apply(op),
                    Step::Said(note) => promised.hear(*note),
                }
            }
            done = until;
            let owed = Arc::new(promised.clone());
            for survives in Survives::ALL {
                let root = self.folder();
                disk.cut(survives, &mut self.random, &root);
                *self.states.entry(phase).or_default() += 1;
                let context = format!("depth {depth}, {phase:?}, step {moment}, {survives:?}");
                let seed = self.random.next();
                let state = State { root, promised: Arc::clone(&owed), seed, context };
                self.to_check.send(state).expect("somebody checks");
            }
            if depth > 0 && (number + 1) % CUTS_BETWEEN_LIVES.min(cuts) == 0 {
                self.go_on(&disk, &promised, depth - 1);
            }
        }
    }

    /// The real broker starts on what a cut or a kill left, works on, and is cut as well.
    fn go_on(&mut self, disk: &Disk, promised: &Promised, depth: u32) {
        let root = self.folder();
        let base = if self.random.chance(50) {
            let survives = *self.random.pick(&Survives::ALL);
            disk.cut(survives, &mut self.random, &root);
            Disk::holding(&root)
        } else {
            // Everything is there to be read, and what was not synced may still be lost.
            disk.cut(Survives::Everything, &mut self.random, &root);
            disk.after_a_kill()
        };
        let steps = self.live(&root, FRAMES_AFTER);
        fs::remove_dir_all(root).expect("it was made here");
        self.explore(&Run { base, promised: promised.clone(), steps }, CUTS_AFTER, depth);
    }
}

fn build_shim(scratch: &Path) -> PathBuf {
    let (source, shim) = (scratch.join("shim.c"), scratch.join("shim.so"));
    fs::write(&source, SHIM).expect("room for the shim");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&shim, &source])
        .args(["-ldl", "-lpthread"])
        .status()
        .expect("a C compiler is needed: apt-get install gcc libc6-dev");
    assert!(built.success(), "the shim does not compile");
    shim
}

/// Opens one state after the other, and says what is wrong with them. A bad one is left where it is.
fn check_all(states: &Mutex<Receiver<State>>, now: u64, bad: &Mutex<Vec<String>>) {
    loop {
        let next = states.lock().expect("nobody panics while waiting").recv();
        let Ok(State { root, promised, seed, context }) = next else { return };
        let checked = std::panic::catch_unwind(|| promised.check(&root.join(DATA), now, seed));
        let what = match checked {
            Ok(Ok(())) => {
                fs::remove_dir_all(&root).expect("it was made here");
                continue;
            }
            Ok(Err(error)) => format!("it cannot be started: {error}"),
            Err(_told_above) => "a promise is broken, see above".into(),
        };
        let owed = promised.owed();
        let what = format!("{context}, {owed} jobs owed: {what}; left in {}", root.display());
        bad.lock().expect("nobody panics while telling").push(what);
    }
}

/// G1: nothing acknowledged is missing, nothing appears that nobody asked for, and the broker goes on,
/// whatever a power cut leaves of its files.
#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    let cuts = std::env::var("POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().expect("a number"));
    let seed = std::env::var("POWER_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    // In memory, where there is such a place: what is synced is known from the trace.
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let scratch =
        tempfile::Builder::new().prefix("power-cut-").tempdir_in(home).expect("a scratch directory");
    let began = Instant::now();
    let now = clock::wall_ms();
    let checkers = thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    let (to_check, states) = sync_channel(2 * checkers);
    let (states, bad) = (Mutex::new(states), Mutex::new(Vec::new()));
    let explored = thread::scope(|scope| {
        for _ in 0..checkers {
            scope.spawn(|| check_all(&states, now, &bad));
        }
        let mut lab = Lab {
            scratch: scratch.path().to_path_buf(),
            shim: build_shim(scratch.path()),
            to_check,
            random: Random::new(seed),
            made: AtomicU64::new(1),
            folders: 0,
            states: BTreeMap::new(),
        };
        for _ in 0..cuts.div_ceil(CUTS_A_LIFE) {
            let disk = lab.folder();
            let base = Disk::holding(&disk);
            let steps = lab.live(&disk, FRAMES);
            fs::remove_dir_all(disk).expect("it was made here");
            lab.explore(&Run { base, promised: Promised::default(), steps }, CUTS_A_LIFE, 2);
        }
        lab.states
    });
    let (states, seconds) = (explored.values().sum::<u64>(), began.elapsed().as_secs_f64());
    println!("{states} states in {seconds:.0} s: {explored:?}");
    let bad = bad.into_inner().expect("nobody panicked");
    if !bad.is_empty() {
        let _kept_to_be_looked_at = scratch.keep();
        panic!("{} of {states} states: {bad:#?}", bad.len());
    }
    assert_eq!(explored.len(), 4, "a phase was never cut: {explored:?}");
    assert!(states >= 6 * cuts as u64, "{states} states");
}
