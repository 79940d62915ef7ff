//! Commits per second through the journal and through sled alone, on the disk of the directory
//! given as the first argument (default: the current one). It backs the decision for a journal;
//! run it with `cargo run --release -p windlass-broker --example store_bench -- DIR`.
#![allow(clippy::print_stdout, reason = "a table for a person is what this program is for")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use windlass_broker::store::DirectoryId;
use windlass_broker::store::disk::{Disk, DiskOptions};
use windlass_broker::store::journal::{DiskJournal, JournalOptions};
use windlass_broker::store::seam::{Change, Journal, Leaves, Record, VALUE_MAX};
use windlass_broker::store::sled_leaves::{LeavesOptions, SledLeaves};

const JOB_BYTES: usize = 200;
const LEG: Duration = Duration::from_secs(3);

/// Times of all commits of one leg.
struct Leg {
    commits: Vec<Duration>,
    took: Duration,
    cpu_ms: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let dir = Path::new(&dir).join(format!("store-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let done = run(&dir);
    std::fs::remove_dir_all(&dir)?;
    done
}

fn run(dir: &Path) -> Result<(), Box<dyn Error>> {
    println!("filesystem: {}", Disk::new(dir, DiskOptions::default()).filesystem()?.name);
    println!(
        "{:<34}{:>10}{:>11}{:>8}{:>8}{:>8}{:>9}{:>11}",
        "way", "commits/s", "jobs/s", "p50 us", "p99 us", "p999 us", "max us", "cpu us/job"
    );
    for jobs in [1, 16, 128, 1024] {
        let journal = dir.join(format!("journal-{jobs}"));
        print("journal, recycling", jobs, measure_journal(&journal, jobs)?);
    }
    for jobs in [1, 128] {
        let leaves = dir.join(format!("leaves-{jobs}"));
        print("sled, values of 4 KiB, write + sync", jobs, measure_leaves(&leaves, jobs)?);
    }
    measure_open(&dir.join("journal-1024"))
}

fn measure_journal(dir: &Path, jobs: usize) -> Result<Leg, Box<dyn Error>> {
    let mut journal = DiskJournal::create(dir, options())?;
    let body = vec![7; JOB_BYTES * jobs];
    measure(|batch| {
        journal.append(Record { batch, format: 1, body: &body })?;
        // As a fold does: now and then all but the newest is free.
        if batch % 256 == 0 {
            journal.recycle(batch)?;
        }
        Ok(())
    })
}

fn measure_leaves(dir: &Path, jobs: usize) -> Result<Leg, Box<dyn Error>> {
    let mut leaves = SledLeaves::create(dir, LeavesOptions::default())?;
    let body = vec![7; JOB_BYTES * jobs];
    measure(|batch| {
        let changes = body.chunks(VALUE_MAX).enumerate().map(|(chunk, bytes)| {
            let key = [batch.to_be_bytes(), (chunk as u64).to_be_bytes()].concat();
            Change::Put(key, bytes.to_vec())
        });
        leaves.write(changes.collect())?;
        Ok(leaves.sync()?)
    })
}

fn measure(mut commit: impl FnMut(u64) -> Result<(), Box<dyn Error>>) -> Result<Leg, Box<dyn Error>> {
    let mut commits = Vec::new();
    let (start, cpu) = (Instant::now(), cpu_ms()?);
    while start.elapsed() < LEG {
        let before = Instant::now();
        commit(commits.len() as u64 + 1)?;
        commits.push(before.elapsed());
    }
    Ok(Leg { commits, took: start.elapsed(), cpu_ms: cpu_ms()? - cpu })
}

fn measure_open(dir: &Path) -> Result<(), Box<dyn Error>> {
    let before = Instant::now();
    let (mut journal, recovered) = DiskJournal::open(dir, options())?;
    let opened = before.elapsed();
    let before = Instant::now();
    let mut bytes = 0;
    journal.replay(recovered.first_batch, &mut |record| {
        bytes += record.body.len();
        Ok(())
    })?;
    println!(
        "open of {} MiB on disk: {} ms; replay of {} MiB in {} records: {} ms",
        journal.stats().bytes_on_disk >> 20,
        opened.as_millis(),
        bytes >> 20,
        recovered.last_batch + 1 - recovered.first_batch,
        before.elapsed().as_millis()
    );
    Ok(())
}

fn options() -> JournalOptions {
    JournalOptions::new(DirectoryId([1; 16]), 1)
}

/// Processor time of this process so far, all threads.
fn cpu_ms() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks * 10)
}

fn print(way: &str, jobs: usize, leg: Leg) {
    let Leg { mut commits, took, cpu_ms } = leg;
    commits.sort_unstable();
    let at = |permille: usize| commits[(commits.len() - 1) * permille / 1000].as_micros();
    let per_second = |number: usize| number as f64 / took.as_secs_f64();
    println!(
        "{:<34}{:>10.0}{:>11.0}{:>8}{:>8}{:>8}{:>9}{:>11.1}",
        format!("{way}, {jobs} job"),
        per_second(commits.len()),
        per_second(commits.len() * jobs),
        at(500),
        at(990),
        at(999),
        at(1000),
        cpu_ms as f64 * 1000.0 / (commits.len() * jobs) as f64
    );
}
