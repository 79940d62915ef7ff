//! The commands of the README, run as they stand there.

use crate::harness::{Peer, Program, WINDLASS, WORKER_EXAMPLE, eventually, hold_port, windlass};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The port that the README's commands use.
const PORT: &str = "127.0.0.1:7520";
/// And of its gateway.
const HTTP: &str = "127.0.0.1:7521";

/// The blocks of shell commands, in order.
fn blocks() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let blocks = readme.split("```sh\n").skip(1);
    blocks.map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

/// A shell in a process group of its own, which ends with the test.
struct Shell {
    child: Child,
}

impl Shell {
    fn say(&mut self, script: &str) {
        self.child.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _all_have_ended = kill_process_group(group, Signal::KILL);
        let _all_have_ended = self.child.wait();
    }
}

#[test]
fn the_demo_ends_well_and_says_so() {
    let first = &blocks()[0];
    assert_eq!(first.trim(), "cargo run --release --bin windlass -- demo");
    let answer = windlass(&["demo"]).ok();
    let lines = answer.lines();
    assert!(lines.last().unwrap().starts_with("300 of 300 jobs completed"), "{answer:?}");
    for kind in ["send_email", "resize_image", "generate_pdf"] {
        let row = lines.iter().find(|line| line.starts_with(kind)).unwrap();
        let completed: u32 = row.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!((95..=105).contains(&completed), "about a third: {row}");
    }
    for (act, jobs) in [("rate limit", "16"), ("redrive", "8"), ("flow", "8"), ("schedule", "3")] {
        let row = lines.iter().rfind(|line| line.starts_with(act)).unwrap();
        let numbers: Vec<&str> = row[act.len()..].split_whitespace().collect();
        assert_eq!(numbers[0], jobs, "{row}");
    }
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing_behind() {
    let (home, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut demo = Command::new(WINDLASS);
    demo.args(["demo", "--jobs", "3000"]).env("TMPDIR", home.path());
    let mut demo = Program::start(&mut demo, logs.path(), "demo");
    let addr = eventually("the broker of the demo listens", || {
        let told = demo.stdout();
        let rest = told.split("listening on ").nth(1)?;
        Some(rest.split_once(',')?.0.to_owned())
    });
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait(), 1);
    assert!(demo.stderr().contains("the demo was stopped"), "{}", demo.stderr());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    eventually("its broker is gone", || TcpStream::connect(&addr).err());
}

#[test]
fn the_five_minutes_go_as_they_are_told() {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("target/release");
    fs::create_dir_all(&bin).unwrap();
    symlink(WINDLASS, bin.join("windlass")).unwrap();
    symlink(WORKER_EXAMPLE, bin.join("worker-example")).unwrap();
    // Tests run beside each other, so this broker cannot have the port of everybody.
    let ((_port, addr), (_http_port, http)) = (hold_port(), hold_port());
    let file = |name| File::create(home.path().join(name)).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail"]).current_dir(home.path()).process_group(0);
    bash.env("WINDLASS_LISTEN", &addr).env("WINDLASS_ADDR", &addr).env("WINDLASS_HTTP", &http);
    bash.stdin(Stdio::piped()).stdout(file("stdout")).stderr(file("stderr"));
    let mut shell = Shell { child: bash.spawn().unwrap() };

    let blocks = blocks();
    let (_demo_and_test, tour) = blocks.split_at(2);
    assert_eq!(blocks[1].trim(), "./test");
    for block in tour {
        for line in block.lines().filter(|line| !line.starts_with("cargo build ")) {
            shell.say(&format!("{}\n", line.replace(PORT, &addr).replace(HTTP, &http)));
        }
    }
    shell.say("echo the tour is over\n");
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    eventually("all commands have run", || {
        let ended = shell.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}{}", read("stdout"), read("stderr"));
        read("stdout").contains("the tour is over").then_some(())
    });

    // "the queue shows 102 jobs completed, none lost, none run twice by the restart"
    let mut peer = Peer::open(&addr);
    eventually("all jobs are completed", || (peer.queue("default").completed == 102).then_some(()));
    assert_eq!(fs::read_dir(home.path().join("out/pdf")).unwrap().count(), 102);
    let ids = read("ids.txt");
    assert_eq!(ids.lines().count(), 100);
    let all = windlass(&["admin", "jobs", "list", "--limit", "200", "--output", "json", "--addr", &addr])
        .ok()
        .json();
    for job in all.as_array().unwrap() {
        assert_eq!((&job["attempt"], &job["crashes"]), (&1.into(), &0.into()), "{job}");
    }
    let told = read("stdout");
    let shown = format!("id\t{}", ids.lines().next().unwrap());
    assert!(told.lines().any(|line| line == shown), "{told}");

    shell.say("kill %3 %2\nwait %3\nwait %2\nexit 0\n");
    let status = eventually("both have stopped", || shell.child.try_wait().unwrap());
    assert!(status.success(), "{status}: {}", read("stderr"));
}
