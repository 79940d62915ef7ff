//! The broker that is measured: one that runs already, or a process of our own.

use super::Problem;
use super::args::Common;
use crate::disk_usage::bytes_below;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What `windlass serve` says when it listens.
const LISTENING: &str = "windlass listening on ";
/// And behind that, of its gateway.
const HTTP: &str = "dashboard and HTTP on http://";
/// Longest wait for that.
const START: Duration = Duration::from_secs(120);
/// Longest wait for its end.
const STOP: Duration = Duration::from_secs(60);

/// Where the load goes.
#[derive(Debug)]
pub(super) struct Target {
    /// Address as the client takes it.
    pub(super) addr: String,
    /// Address of its gateway, if it is ours; empty: unknown.
    pub(super) http: String,
    /// Present if it is ours.
    pub(super) own: Option<Own>,
}

/// A broker process with its data.
#[derive(Debug)]
pub(super) struct Own {
    child: Child,
    data: Data,
}

/// A data directory; dropped, a temporary one is removed.
#[derive(Debug)]
struct Data {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Target {
    /// The broker at `addr`, or a new one.
    pub(super) async fn open(addr: Option<&str>, common: &Common) -> Result<Self, Problem> {
        match addr {
            Some(addr) => Ok(Self { addr: addr.into(), http: String::new(), own: None }),
            None => {
                let data = Data::open(common.data.as_deref())?;
                let (child, addr, http) = start(&data.path).await?;
                Ok(Self { addr, http, own: Some(Own { child, data }) })
            }
        }
    }

    /// Ends the broker if it is ours, and removes its data if they are temporary.
    pub(super) async fn close(self) -> Result<(), Problem> {
        match self.own {
            Some(own) => own.stop().await,
            None => Ok(()),
        }
    }
}

impl Own {
    /// Number of the process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Bytes that its data take on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        bytes_below(&self.data.path.join("journal")) + bytes_below(&self.data.path.join("leaves"))
    }

    /// Kills it with SIGKILL, starts it again on the same data: its address, and the time from
    /// the start of the process to the line that says it listens.
    pub(super) async fn restart(&mut self) -> Result<(String, Duration), Problem> {
        self.child.kill().await.map_err(|error| Problem::own("cannot kill the broker", &error))?;
        let begun = Instant::now();
        let (child, addr, _) = start(&self.data.path).await?;
        self.child = child;
        Ok((addr, begun.elapsed()))
    }

    async fn stop(mut self) -> Result<(), Problem> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)
                .map_err(|error| Problem::own("cannot signal the broker", &error))?;
        }
        match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Problem::Own(format!("the broker did not end well: {status}"))),
            Ok(Err(error)) => Err(Problem::own("cannot wait for the broker", &error)),
            Err(_) => Err(Problem::Own(format!("the broker did not end within {STOP:?} of SIGTERM"))),
        }
    }
}

impl Drop for Own {
    /// A benchmark that broke off leaves no process behind, and nobody who writes into a directory that
    /// is being removed.
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.start_kill();
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Data {
    /// Beside the caller rather than in /tmp, which often is no disk.
    fn open(asked: Option<&Path>) -> Result<Self, Problem> {
        if let Some(path) = asked {
            return Ok(Self { path: path.into(), _temporary: None });
        }
        let temporary = tempfile::Builder::new()
            .prefix("windlass-bench-")
            .tempdir_in(".")
            .map_err(|error| Problem::own("cannot make a directory here for the broker's data", &error))?;
        Ok(Self { path: temporary.path().join("data"), _temporary: Some(temporary) })
    }
}

/// The process, its address and that of its gateway.
async fn start(data: &Path) -> Result<(Child, String, String), Problem> {
    let program =
        std::env::current_exe().map_err(|error| Problem::own("cannot find this program", &error))?;
    let mut child = Command::new(program)
        .arg("serve")
        .arg("--data")
        .arg(data)
        .args(["--listen", "127.0.0.1:0", "--log-level", "warn"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Problem::own("cannot start a broker", &error))?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Problem::Own("the broker has no stdout".into()));
    };
    let (mut line, mut second) = (String::new(), String::new());
    let mut stdout = BufReader::new(stdout);
    let read = tokio::time::timeout(START, async {
        stdout.read_line(&mut line).await?;
        stdout.read_line(&mut second).await
    })
    .await;
    match (read, line.trim().strip_prefix(LISTENING)) {
        (Ok(Ok(_)), Some(addr)) => {
            let http = second.trim().strip_prefix(HTTP).unwrap_or_default();
            Ok((child, addr.into(), http.into()))
        }
        (Ok(_), _) => {
            let ended = child.wait().await.map(|status| status.to_string()).unwrap_or_default();
            Err(Problem::Own(format!("the broker did not start: {ended}")))
        }
        (Err(_), _) => Err(Problem::Own(format!("the broker did not listen within {START:?}"))),
    }
}
