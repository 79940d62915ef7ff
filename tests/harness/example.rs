//! The example worker as a process of its own, and what it wrote about its runs.

use super::{Program, WORKER_EXAMPLE};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A worker process that takes every job of the queue `default`.
pub(crate) struct ExampleWorker {
    pub(crate) program: Program,
    log: PathBuf,
}

impl ExampleWorker {
    /// Starts it in `home`, under a name of its own.
    pub(crate) fn start(home: &Path, name: &str, addr: &str, concurrency: u32) -> Self {
        Self::with(home, name, &["--addr", addr, "--concurrency", &concurrency.to_string()])
    }

    /// Starts it with these flags.
    pub(crate) fn with(home: &Path, name: &str, flags: &[&str]) -> Self {
        let log = home.join(format!("{name}.log"));
        let mut command = Command::new(WORKER_EXAMPLE);
        command.args(flags);
        command.arg("--out").arg(home.join("out")).arg("--log-file").arg(&log);
        Self { program: Program::start(&mut command, home, name), log }
    }

    /// The lines about its executions so far.
    pub(crate) fn runs(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Whether a session's description names this process.
    pub(crate) fn is(&self, worker: &str) -> bool {
        worker.ends_with(&format!(":{}", self.program.pid()))
    }
}
