//! The command line: a command, run to its end, and what it said.

use super::patience::eventually;
use super::{Program, WINDLASS};
use serde_json::Value;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command on its way.
pub(crate) struct Running {
    program: Program,
    _logs: TempDir,
}

/// Runs `windlass` with these arguments, without a terminal or anything to read.
pub(crate) fn windlass(arguments: &[&str]) -> Answer {
    start_windlass(arguments).end()
}

/// The same, killed when it passes a failpoint, like `before_manifest:2`.
pub(crate) fn windlass_killed_at(place: &str, arguments: &[&str]) -> Answer {
    start(arguments, b"", &[("WINDLASS_FAILPOINT", &format!("{place}:kill"))]).end()
}

/// The same, with `input` on stdin.
pub(crate) fn windlass_reading(input: &[u8], arguments: &[&str]) -> Answer {
    start(arguments, input, &[]).end()
}

/// Starts it without waiting, so that several can run beside each other.
pub(crate) fn start_windlass(arguments: &[&str]) -> Running {
    start(arguments, b"", &[])
}

fn start(arguments: &[&str], input: &[u8], env: &[(&str, &str)]) -> Running {
    let logs = tempfile::tempdir().unwrap();
    let stdin = logs.path().join("stdin");
    fs::write(&stdin, input).unwrap();
    let mut command = Command::new(WINDLASS);
    command.args(arguments).envs(env.iter().copied()).stdin(Stdio::from(File::open(stdin).unwrap()));
    Running { program: Program::start(&mut command, logs.path(), "windlass"), _logs: logs }
}

impl Running {
    /// Waits for its end.
    pub(crate) fn end(mut self) -> Answer {
        let code = eventually("the command ends", || self.program.exit_code());
        Answer { code, out: self.program.stdout(), err: self.program.stderr() }
    }
}

impl Answer {
    /// Fails the test unless the command succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// The one JSON document that it printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The lines that it printed.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}
