//! The broker as a whole: opens the store, starts the threads, listens; and the way back.

use crate::clock::{self, Clock};
use crate::disk_usage::bytes_below;
use crate::door::{Door, Notice};
use crate::driver::commit::Commit;
use crate::driver::core::{Core, CoreOptions};
use crate::driver::sinks::Places;
use crate::driver::snapshots::{Snapshots, Source};
use crate::driver::{Driver, Known, folding};
use crate::failpoint;
use crate::history::{History, Keeper};
use crate::metrics::Meters;
use crate::store::StoreError;
use crate::store::directory::Directory;
use crate::store::disk::{Disk, DiskOptions, Level};
use crate::store::ended;
use crate::store::fold::Folder;
use crate::store::journal::{DiskJournal, JournalOptions};
use crate::store::record;
use crate::store::seam::{Journal, Leaves, Record};
use crate::store::sled_leaves::SledLeaves;
use crate::vault::Vault;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use windlass_engine::engine::Pressure;
use windlass_engine::view::DiskView;
use windlass_engine::{Start, Turn};

/// Slices on their way to the fold thread.
const SLICES_WAITING: usize = 4;
/// How often free space is looked at.
const DISK_WATCH: Duration = Duration::from_secs(1);

/// How often it is looked whether the history is to be saved.
const HISTORY_WATCH: Duration = Duration::from_secs(1);

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// Size of the first journal segment, in bytes.
    pub segment_bytes_first: u64,
    /// Size up to which segments double, in bytes.
    pub segment_bytes_max: u64,
    /// Bytes of sled's page cache.
    pub leaves_cache_bytes: u64,
    /// Bounds of the core.
    pub core: CoreOptions,
    /// When room counts as low.
    pub disk: DiskOptions,
    /// What it takes for the time.
    pub clock: Clock,
}

/// A broker that runs.
pub struct Broker {
    /// Where connections come in.
    pub door: Door,
    /// The key that session secrets are made with.
    pub secret: [u8; 32],
    /// What it measures of itself.
    pub meters: Meters,
    /// Where events are delivered to.
    pub sinks: Places,
    threads: Vec<JoinHandle<()>>,
    disk_watch: Arc<AtomicBool>,
    /// Saves the history and ends when its sender is dropped.
    history: (mpsc::Sender<()>, JoinHandle<()>),
    commit: Arc<Commit>,
    /// Held until everything in it is closed.
    directory: Directory,
}

impl Broker {
    /// Recovers what the data directory holds and starts to serve the door. When it returns, the
    /// broker's epoch is durable and connections may be let in.
    ///
    /// # Errors
    /// When the directory is locked, damaged, full or not writable; the error says what to do.
    pub fn start(options: &Options) -> Result<Self, StoreError> {
        let mut opened = Vault::open(options)?;
        let (core, loaded) = (&mut opened.core, &opened.loaded);
        ended::forget(&opened.directory)?;
        failpoint::reach("after_end_forgotten");
        opened.journal.recycle(loaded.meta.replay_from)?;
        opened.journal.trim()?;
        if options.clock.is_test() {
            core.ignore_silence();
        }
        let now = options.clock.now_ms();
        let start = Start { now, minutes: clock::epoch_minutes(clock::wall_ms()) };
        let first = loaded.last_batch + 1;
        let mut turn = Turn::new(first);
        core.start(start, &mut turn)?;
        failpoint::reach("before_first_batch");
        let body = record::encode_facts(&turn.facts);
        opened.journal.append(Record { batch: first, format: record::FORMAT, body: &body })?;
        tracing::info!(
            jobs = core.engine().ledger().jobs.len(),
            facts = loaded.facts,
            batch = first,
            "recovered"
        );
        failpoint::reach("after_first_batch");
        opened.disk.keep_reserve()?;
        let secret = *opened.directory.secret();
        let history = History::load(&opened.directory.history());
        history.begin(now, core.engine());
        let keeper = keep(Keeper::new(history.clone(), opened.directory.history()));
        let commit = Arc::new(Commit::new(first));
        let snapshot = Source {
            leaves: opened.leaves.reader(),
            journal: opened.directory.journal(),
            options: JournalOptions::new(opened.directory.id(), opened.directory.journal_secret()),
            commit: commit.clone(),
        };
        let folder = Folder::new(opened.leaves, opened.loaded.meta);
        let door = Door::default();
        let known = known(&opened.disk);
        let meters = Meters::new(door.clone());
        let parts = Parts {
            core: opened.core,
            folder,
            journal: opened.journal,
            door: door.clone(),
            known,
            clock: options.clock.clone(),
            disk: opened.disk,
            leaves: opened.directory.leaves(),
            history,
            meters: meters.clone(),
            snapshot,
        };
        let (threads, disk_watch, sinks) = run(parts, &commit);
        let directory = opened.directory;
        Ok(Self { door, secret, meters, sinks, threads, disk_watch, history: keeper, commit, directory })
    }

    /// Stops in order: tells every client, commits what was decided, closes the store. Frames that
    /// are in outboxes then are the network's to write.
    pub fn drain(self) {
        self.door.notify(Notice::Drain);
        for thread in self.threads {
            let _its_own_end_is_handled = thread.join();
        }
        self.disk_watch.store(true, Ordering::Relaxed);
        let (stop, keeper) = self.history;
        drop(stop);
        let _its_own_end_is_handled = keeper.join();
        failpoint::reach("before_end_noted");
        if let Err(error) = ended::note(&self.directory, self.commit.durable()) {
            tracing::warn!(%error, "the next start will look closer, as after a crash");
        }
    }
}

/// What the threads own.
struct Parts {
    core: Core,
    folder: Folder<SledLeaves>,
    journal: DiskJournal,
    door: Door,
    known: Known,
    clock: Clock,
    disk: Disk,
    /// The folder of the folded store, to be measured.
    leaves: PathBuf,
    history: History,
    meters: Meters,
    snapshot: Source,
}

fn run(parts: Parts, commit: &Arc<Commit>) -> (Vec<JoinHandle<()>>, Arc<AtomicBool>, Places) {
    let Parts { core, folder, mut journal, door, known, clock, mut disk, leaves, history, meters, snapshot } =
        parts;
    let (slices, copied) = mpsc::sync_channel(SLICES_WAITING);
    let stopped = Arc::new(AtomicBool::new(false));
    let driver = Driver::new(core, door.clone(), commit.clone(), slices, known.clone(), clock)
        .with_history(history)
        .with_snapshots(Snapshots::of(snapshot))
        .with_meters(meters);
    let sinks = driver.sinks();
    let (writer, folded) = (commit.clone(), commit.clone());
    let folds = door.clone();
    let watch_stopped = stopped.clone();
    // Before the first request comes it is known how much room there is.
    let mut pressure = Pressure::default();
    look(&mut disk, &leaves, &door, &known, &mut pressure);
    let threads = vec![
        spawn("driver", move || driver.run()),
        spawn("journal", move || writer.run(&mut journal)),
        spawn("fold", move || folding::run(folder, &copied, &folded, &folds)?.into_leaves().close()),
    ];
    // It is not waited for: it holds nothing that must be closed in order.
    let _detached = spawn("disk", move || {
        while !watch_stopped.load(Ordering::Relaxed) {
            thread::sleep(DISK_WATCH);
            look(&mut disk, &leaves, &door, &known, &mut pressure);
        }
        Ok(())
    });
    (threads, stopped, sinks)
}

/// A thread whose error or panic ends the process: nothing that depended on it has been said.
fn spawn(
    name: &'static str,
    work: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) -> JoinHandle<()> {
    let guarded = move || match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(thread = name, %error, "the broker stops: it cannot keep its promise");
            std::process::exit(error.exit_code());
        }
        Err(_panic) => {
            tracing::error!(thread = name, "the broker stops: a bug, please report the panic above");
            std::process::exit(70);
        }
    };
    thread::Builder::new().name(name.into()).spawn(guarded).expect("a thread can be started at start-up")
}

/// Saves the history now and then, and at the end.
fn keep(mut keeper: Keeper) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel();
    let thread = spawn("history", move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(HISTORY_WATCH) {
            keeper.keep();
        }
        keeper.close();
        Ok(())
    });
    (stop, thread)
}

fn known(disk: &Disk) -> Known {
    let filesystem = disk.filesystem().map_or("unknown", |filesystem| filesystem.name).to_owned();
    Arc::new(Mutex::new(DiskView { filesystem, ..DiskView::default() }))
}

/// Looks at free space and at the process itself, and tells the driver when room runs out.
fn look(disk: &mut Disk, leaves: &Path, door: &Door, known: &Known, last: &mut Pressure) {
    let (Ok(level), Ok(space)) = (disk.level(), disk.space()) else { return };
    let pressure = Pressure {
        no_enqueue: level == Level::Low,
        small_results: space.free < space.low / 2,
        no_leases: space.free < space.low / 4,
        ..Pressure::default()
    };
    if pressure != *last {
        tracing::warn!(free = space.free, low = space.low, ?pressure, "room on the disk");
        door.notify(Notice::Disk(pressure));
        *last = pressure;
    }
    let store_bytes = bytes_below(leaves);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    (known.free_bytes, known.store_bytes) = (space.free, store_bytes);
    (known.rss_bytes, known.cpu_us) = crate::process::usage();
}
