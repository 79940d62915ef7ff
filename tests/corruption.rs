//! The corruption matrix: a directory that the real binary made is damaged in every way, file by file, and
//! opened again. Only two ends are allowed: everything acknowledged is there, byte for byte, or the start
//! is refused with code 78 and nothing has changed. More by hand:
//!
//! ```text
//! CORRUPTION_TIMES=20 cargo test -p windlass-tests corruption -- --nocapture
//! ```

mod child;
mod damage;

use crate::harness::{Broker, complete, eventually, fetch_once, job, result_of};
use damage::{Cell, cells};
pub use damage::{copy, files};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use windlass_proto::v1::JobSpec;

/// A start that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(40);
/// Jobs of the directory; with their payloads more than a segment of the journal, so that folds happen.
const JOBS: usize = 600;

/// How the broker that made the directory ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Killed,
    Stopped,
}

/// Lets the real binary make a directory. A line for each job that it acknowledged.
fn make(end: End, to: &Path) -> String {
    let mut broker = Broker::with(&["--unfolded-bytes", "1MiB", "--segment-bytes-max", "1MiB"]);
    let mut peer = broker.peer();
    let mut promised = String::new();
    for first in (0..JOBS).step_by(20) {
        let payload = |number: usize| format!("{number:06}").repeat(60 + number % 1_000).into_bytes();
        let jobs: Vec<JobSpec> = (first..first + 20)
            .map(|number| JobSpec { payload: payload(number).into(), ..job("k") })
            .collect();
        for spec in &jobs {
            let id = crate::harness::hex(&spec.id);
            promised.push_str(&format!("{id} {}\n", crc32c::crc32c(&spec.payload)));
        }
        eventually("the fold keeps up", || (peer.server().unfolded_bytes < 1 << 19).then_some(()));
        peer.enqueue_all(jobs);
    }
    let works = peer.poll(fetch_once("q", 40));
    peer.settle_all(works[..20].iter().map(|work| result_of(work, complete("done"))).collect());
    peer.pause("bills");
    if end == End::Stopped {
        drop(peer);
        assert_eq!(broker.terminate(), 0);
    } else {
        eventually("the journal is at rest", || is_at_rest(&broker.data().join("journal")).then_some(()));
        broker.kill();
    }
    copy(&broker.data(), to);
    assert!(fs::metadata(to.join("leaves/db")).unwrap().len() > 1 << 19, "there were folds");
    promised
}

/// Behind the newest record of the newest segment stands a mark; see `store/journal/layout.rs`.
fn is_at_rest(journal: &Path) -> bool {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let contents = fs::read_dir(journal).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let headed = contents.filter(|content| content.starts_with(b"WNDLJRNL"));
    let newest = headed.max_by_key(|content| number(&content[32..40])).unwrap();
    let (mut at, mut batch) = (1_024, number(&newest[40..48]));
    loop {
        let length = u32::from_le_bytes(newest[at..at + 4].try_into().unwrap());
        if length == u32::MAX || number(&newest[at + 8..at + 16]) != batch {
            return length == u32::MAX && number(&newest[at + 8..at + 16]) == batch - 1;
        }
        at = (at + 17 + length as usize).next_multiple_of(512);
        batch += 1;
    }
}

/// What a child says, line by line.
fn listen(orders: &[(&str, String)]) -> (std::process::Child, Receiver<String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "corruption::no_damage_is_passed_over_in_silence", "--nocapture"]);
    for (name, value) in orders {
        command.env(format!("CORRUPTION_{name}"), value);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (lines, heard) = channel();
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(line) = line.strip_prefix("cell ") {
                let _nobody_listens = lines.send(line.to_owned());
            }
        }
    });
    let mut stderr = child.stderr.take().unwrap();
    // Panics of sled are told there; a pipe that nobody reads would stop the child.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (child, heard)
}

/// Every cell of one directory, judged by as many children as it takes. What became of each.
fn judge(pristine: &Path, scratch: &Path, promised: &Path, weight: usize) -> Vec<String> {
    let number = cells(pristine, 1, weight).len();
    let mut verdicts: Vec<String> = Vec::new();
    while verdicts.len() < number {
        let orders = [
            ("PRISTINE", pristine.display().to_string()),
            ("SCRATCH", scratch.display().to_string()),
            ("PROMISED", promised.display().to_string()),
            ("SEED", "1".into()),
            ("WEIGHT", weight.to_string()),
            ("FIRST", verdicts.len().to_string()),
        ];
        let (mut child, lines) = listen(&orders);
        let mut has_begun = false;
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line == "all done" => {}
                Ok(line) => {
                    let (cell, verdict) = line.split_once(' ').unwrap();
                    assert_eq!(cell, verdicts.len().to_string());
                    has_begun = verdict == "begins";
                    if !has_begun {
                        verdicts.push(verdict.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    child.kill().unwrap();
                    verdicts.push("hangs".into());
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if has_begun {
                        verdicts.push("the process died".into());
                    }
                    break;
                }
            }
        }
        child.wait().unwrap();
    }
    verdicts
}

/// All cells of one end, with their verdicts.
fn matrix(end: End, home: &Path, weight: usize) -> Vec<(Cell, String)> {
    let [pristine, scratch, promised] =
        ["pristine", "scratch", "promised"].map(|name| home.join(format!("{end:?}-{name}")));
    fs::write(&promised, make(end, &pristine)).unwrap();
    let verdicts = judge(&pristine, &scratch, &promised, weight);
    cells(&pristine, 1, weight).into_iter().zip(verdicts).collect()
}

/// G9.
#[test]
fn no_damage_is_passed_over_in_silence() {
    if let Some(orders) = child::orders() {
        return child::run(&orders);
    }
    let weight = std::env::var("CORRUPTION_TIMES").map_or(1, |times| times.parse().expect("a number"));
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut faults = Vec::new();
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let judged = std::thread::scope(|scope| {
        let home = home.path();
        let ends =
            [End::Killed, End::Stopped].map(|end| (end, scope.spawn(move || matrix(end, home, weight))));
        ends.map(|(end, thread)| (end, thread.join().unwrap()))
    });
    for (end, verdicts) in judged {
        for (cell, verdict) in verdicts {
            let folder = cell.file.iter().next().unwrap().to_string_lossy().into_owned();
            let count = counts.entry(format!("{end:?} {folder}")).or_default();
            if verdict == "intact" {
                count[0] += 1;
            } else if verdict.starts_with("refused: ") {
                count[1] += 1;
            } else {
                faults.push(format!("{end:?} {cell:?}: {verdict}"));
            }
        }
    }
    for (what, [intact, refused]) in &counts {
        println!("{what}: {intact} intact, {refused} refused");
    }
    let judged: usize = counts.values().flatten().sum();
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), judged + faults.len());
    assert!(judged > 400, "{judged} cells");
    let refused: usize = counts.values().map(|[_, refused]| refused).sum();
    assert!(refused > 100, "damage is noticed: {counts:?}");
}
