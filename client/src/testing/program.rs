//! The broker's program as a child of the test: found, started, and ended with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// How long it may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker that runs as long as its stdin is open: it ends in order when this value goes, and also when
/// the test is killed.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    addr: String,
}

impl Program {
    /// Starts the program, or whichever is found, with its clock at this instant.
    pub(super) async fn start(program: Option<PathBuf>, instant: &str) -> Result<Self> {
        let program = program.unwrap_or_else(found);
        let mut command = Command::new(&program);
        // What the tester has in the environment must not steer the broker under test.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WINDLASS_"))
        {
            command.env_remove(name);
        }
        command.args(["serve", "--ephemeral", "--until-stdin-ends", "--log-level", "error"]);
        command.arg(format!("--test-clock={instant}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |what: &str| Error::unreachable(format!("{} {what}", program.display()));
        let mut child = command.spawn().map_err(|error| {
            failed(&format!("cannot be started ({error}); build it, or set WINDLASS_BIN to where it is"))
        })?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut lines = BufReader::new(stdout.ok_or_else(|| failed("has no stdout"))?).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.map_err(|_| failed("does not listen"))?;
        let line = line.map_err(Error::io)?.ok_or_else(|| failed("ended before it listened"))?;
        let addr = line.rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Self { child, stdin, addr })
    }

    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    /// Ends it and waits.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.stdin.take());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| Error::unreachable("the broker does not end"))?.map_err(Error::io)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::unreachable(format!("the broker ended with {status}")))
    }
}

/// Where the program is most likely to be: where the tester says, beside the test, in the path.
fn found() -> PathBuf {
    if let Some(named) = std::env::var_os("WINDLASS_BIN") {
        return named.into();
    }
    let test = std::env::current_exe().unwrap_or_default();
    // A test is target/debug/deps/NAME, its neighbours are in target/debug and target/release.
    let folders = test.ancestors().skip(1).take(2).chain(test.ancestors().nth(3).map(Path::new));
    let mut beside =
        folders.flat_map(|folder| ["windlass", "release/windlass"].map(|name| folder.join(name)));
    beside.find(|path| path.is_file()).unwrap_or_else(|| "windlass".into())
}
