//! Brokers by name: which one is meant, and that nobody else reads the file.

use crate::harness::{Answer, Broker, WINDLASS};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs it with contexts below `home`, and this environment.
fn run(home: &Path, words: &[&str], env: &[(&str, &str)]) -> Answer {
    let mut command = Command::new(WINDLASS);
    command.args(words).stdin(Stdio::null()).env("XDG_CONFIG_HOME", home);
    command.env_remove("WINDLASS_ADDR").env_remove("WINDLASS_CONTEXT").envs(env.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// When the broker that answers began.
fn epoch(home: &Path, words: &[&str], env: &[(&str, &str)]) -> Value {
    let answer = run(home, &[&["admin", "stats", "-o", "json"], words].concat(), env).ok();
    answer.json()["started_at"].clone()
}

#[test]
fn a_broker_is_meant_by_flag_then_environment_then_the_context_in_use() {
    let (one, two) = (Broker::start(), Broker::start());
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let admin = |words: &[&str]| run(home, &[&["admin", "context"], words].concat(), &[]);
    admin(&["add", "one", one.addr()]).ok();
    admin(&["add", "two", two.addr(), "--protected"]).ok();
    let file = home.join("windlass/contexts.toml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "for its owner only");
    assert_eq!(std::fs::read_dir(home.join("windlass")).unwrap().count(), 1, "nothing is left beside it");

    admin(&["use", "one"]).ok();
    admin(&["use", "two"]).ok();
    let (first, second) =
        (epoch(home, &["--addr", one.addr()], &[]), epoch(home, &["--addr", two.addr()], &[]));
    assert_ne!(first, second);
    assert_eq!(epoch(home, &[], &[]), second);
    assert_eq!(epoch(home, &["-c", "one"], &[]), first);
    assert_eq!(epoch(home, &[], &[("WINDLASS_CONTEXT", "one")]), first);
    assert_eq!(epoch(home, &[], &[("WINDLASS_ADDR", one.addr()), ("WINDLASS_CONTEXT", "two")]), first);
    assert_eq!(epoch(home, &["-c", "two"], &[("WINDLASS_ADDR", one.addr())]), second);
    admin(&["use", "-"]).ok();
    assert_eq!(epoch(home, &[], &[]), first);

    run(home, &["enqueue", "k", "-c", "two"], &[]).ok();
    let asked = run(home, &["admin", "queue", "purge", "default", "-c", "two"], &[]);
    let place = "About to delete 1 job (queue default, state ready or scheduled or held or blocked";
    assert!(asked.code == 9 && asked.err.contains(place), "{asked:?}");
    assert!(asked.err.contains(&format!("on two ({})", two.addr())), "{asked:?}");
    let unknown = run(home, &["admin", "queues", "-c", "three"], &[]);
    assert!(unknown.code == 6 && unknown.err.contains("known: one, two"), "{unknown:?}");
    std::fs::write(&file, "[context.one]\nadr = \"x\"\n").unwrap();
    assert_eq!(run(home, &["admin", "queues"], &[]).code, 2, "a file that makes no sense is not passed over");
}
