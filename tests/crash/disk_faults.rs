//! A disk that refuses: strace makes the N-th write, sync or allocation of any thread of the real broker
//! fail, for every N of the first dozens, while it makes its directory, starts, serves, folds and stops.
//! Either it goes on, and is right to; or it ends with a message before it has acknowledged anything that
//! is not there after the next start. Where strace is missing these tests are skipped, unless
//! `WINDLASS_TEST_STRACE` is set. More by hand:
//!
//! ```text
//! FAULTS=40 cargo test -p windlass-tests disk_faults -- --nocapture
//! ```

use super::witness::Witness;
use crate::harness::Broker;
use std::fs;
use std::process::Command;

/// For how many N each call fails, unless asked otherwise.
const FAULTS: usize = 6;
/// Steps of work within which most faults are met.
const STEPS: usize = 60;
/// Small, so that segments are turned and folds are made all the time.
const FLAGS: [&str; 6] =
    ["--segment-bytes", "64KiB", "--segment-bytes-max", "64KiB", "--disk-reserve-bytes", "64KiB"];

/// Calls, and how they fail.
const REFUSED: &[(&str, &str)] = &[
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fallocate", "ENOSPC"),
    ("rename", "EIO"),
];

/// Calls that may be interrupted. `write` is not among them, because the runtime's own writes never are.
const INTERRUPTED: &[&str] = &["fdatasync", "fsync", "pwrite64", "fallocate", "ftruncate"];

fn faults() -> usize {
    std::env::var("FAULTS").map_or(FAULTS, |faults| faults.parse().unwrap())
}

/// Whether strace is here.
fn has_strace() -> bool {
    let found = Command::new("strace").arg("-V").output().is_ok_and(|said| said.status.success());
    let is_wanted = std::env::var_os("WINDLASS_TEST_STRACE").is_some();
    assert!(found || !is_wanted, "strace is needed: apt-get install strace");
    if !found {
        println!("skipped: there is no strace");
    }
    found
}

/// From its next start on the broker suffers this at that call.
fn arm(broker: &mut Broker, call: &str, what: &str) {
    let traced = format!("trace={call}");
    let inject = format!("inject={call}:{what}");
    // `-D`: the broker stays our child, and strace is beside it.
    let strace = ["strace", "-D", "-f", "-qqq", "--seccomp-bpf", "-o", "/dev/null", "-e"];
    broker.set_launcher(&[&strace[..], &[&traced, "-e", &inject]].concat());
}

/// How a broker may end by itself: with a message that names the data and the way out.
fn ended_well(broker: &mut Broker, code: i32, context: &str) {
    let said = broker.program().stderr();
    assert_eq!(code, 1, "{context}: {said}");
    let data = broker.data();
    assert!(said.contains(data.to_str().unwrap()), "{context}: no file is named: {said}");
    assert!(said.contains("check the disk") || said.contains("free space"), "{context}: no way out: {said}");
    assert!(!said.contains("panicked"), "{context}: {said}");
}

#[test]
fn a_broker_whose_disk_refuses_any_call_ends_before_it_speaks() {
    if !has_strace() {
        return;
    }
    let (mut ended, mut went_on) = (0, 0);
    for &(call, error) in REFUSED {
        let mut broker = Broker::with(&FLAGS);
        let mut witness = Witness::new(&broker, 7);
        assert_eq!(broker.terminate(), 0);
        for nth in 1..=faults() {
            let context = format!("{call} {nth} gives {error}");
            arm(&mut broker, call, &format!("error={error}:when={nth}"));
            let end = match broker.try_restart() {
                Err(code) => Some(code),
                Ok(()) => {
                    let is_there = witness.connect(&broker);
                    let steps = (0..STEPS).take_while(|_| is_there && witness.step()).count();
                    let code = if steps < STEPS { broker.program().wait() } else { broker.terminate() };
                    // A fault may also have met what can do without, or the end of the stop.
                    (steps < STEPS || code != 0).then_some(code)
                }
            };
            match end {
                Some(code) => ended_well(&mut broker, code, &context),
                None => went_on += 1,
            }
            ended += usize::from(end.is_some());
            broker.set_launcher(&[]);
            broker.restart();
            witness.come_back(&broker);
            broker.kill();
        }
    }
    println!("{ended} faults ended the broker, {went_on} did not");
    assert!(ended > went_on, "{ended} faults ended the broker, {went_on} did not");
}

#[test]
fn a_broker_whose_disk_refuses_any_call_while_it_makes_its_directory_makes_it_later() {
    if !has_strace() {
        return;
    }
    let mut ended = 0;
    // The first `write` of the main thread is the MANIFEST's, the others go to its log.
    for (call, error) in REFUSED.iter().copied().chain([("write", "ENOSPC"), ("mkdir", "EACCES")]) {
        let mut broker = Broker::with(&FLAGS);
        let most = if call == "write" { 1 } else { 5 };
        for nth in 1..=faults().min(most) {
            broker.kill();
            fs::remove_dir_all(broker.data()).unwrap();
            arm(&mut broker, call, &format!("error={error}:when={nth}"));
            if let Err(code) = broker.try_restart() {
                assert_eq!(code, 1, "{call} {nth} gives {error}: {}", broker.program().stderr());
                ended += 1;
            }
            // One that has met nothing yet would meet it later.
            if broker.program().exit_code().is_none() {
                broker.kill();
            }
            broker.set_launcher(&[]);
            broker.restart();
            assert!(Witness::new(&broker, 8).step(), "{}", broker.program().stderr());
        }
    }
    println!("{ended} faults ended the broker");
    assert!(ended > 0);
}

#[test]
fn a_broker_that_is_interrupted_all_the_time_goes_on() {
    if !has_strace() {
        return;
    }
    for call in INTERRUPTED {
        let mut broker = Broker::with(&FLAGS);
        let mut witness = Witness::new(&broker, 9);
        assert_eq!(broker.terminate(), 0);
        arm(&mut broker, call, "error=EINTR:when=1+2");
        broker.restart();
        witness.come_back(&broker);
        for _ in 0..STEPS {
            assert!(witness.step(), "{call}: {}", broker.program().stderr());
        }
        assert_eq!(broker.terminate(), 0, "{call}: {}", broker.program().stderr());
        broker.set_launcher(&[]);
        broker.restart();
        witness.come_back(&broker);
    }
}

/// Whoever beats keeps its leases though every sync takes longer than many a lease's patience.
#[test]
fn a_broker_whose_syncs_are_slow_is_only_slow() {
    if !has_strace() {
        return;
    }
    let mut broker = Broker::with(&FLAGS);
    let mut witness = Witness::new(&broker, 10);
    assert_eq!(broker.terminate(), 0);
    arm(&mut broker, "fdatasync", "delay_exit=250ms");
    broker.restart();
    witness.come_back(&broker);
    let mut reader = broker.peer();
    for _ in 0..8 {
        assert!(witness.step(), "{}", broker.program().stderr());
        assert!(reader.server().jobs > 0);
        reader.beat();
    }
    broker.kill();
    broker.set_launcher(&[]);
    broker.restart();
    witness.come_back(&broker);
}
