//! The demo's stage: the processes it starts and the directory they play in.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A picture for the workers to resize, below their output folder.
const SAMPLE: &str = "in/sample.png";

/// A directory, and the broker that keeps its data there.
pub(super) struct Stage {
    addr: String,
    broker: Option<Actor>,
    /// Ended together with the stage.
    cast: Vec<Actor>,
    dir: TempDir,
}

/// A process of ours; it is killed when the value goes.
pub(super) struct Actor {
    child: Child,
    pid: u32,
}

impl Stage {
    pub(super) fn set() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("windlass-demo-").tempdir()?;
        let stage = Self { addr: "127.0.0.1:0".into(), broker: None, cast: Vec::new(), dir };
        worker_example::draw_sample(&stage.out().join(SAMPLE), 640, 480).map_err(io::Error::other)?;
        Ok(stage)
    }

    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(super) fn sample(&self) -> &'static str {
        SAMPLE
    }

    /// Starts the broker, at the port it had before if there was one, and waits until it listens.
    pub(super) async fn start_broker(&mut self) -> io::Result<String> {
        let mut command = myself()?;
        command.arg("serve").arg("--data").arg(self.data()).args([
            "--listen",
            &self.addr,
            "--http",
            "127.0.0.1:0",
        ]);
        command.stdout(Stdio::piped()).stderr(self.log("broker")?);
        let mut broker = Actor::start(&mut command)?;
        let stdout =
            broker.child.stdout.take().ok_or_else(|| io::Error::other("the broker has no stdout"))?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let addr = line.as_deref().and_then(|line| line.rsplit(' ').next()).map(str::to_owned);
        self.addr = addr.ok_or_else(|| io::Error::other("the broker ended before it listened"))?;
        self.broker = Some(broker);
        Ok(self.addr.clone())
    }

    pub(super) async fn kill_broker(&mut self) -> io::Result<()> {
        match &mut self.broker {
            Some(broker) => broker.kill().await,
            None => Ok(()),
        }
    }

    /// Ends everybody, and removes the directory: whoever is not waited for might still write into it.
    pub(super) async fn end(mut self) {
        for actor in self.broker.iter_mut().chain(&mut self.cast) {
            // One that has ended by itself is no matter here.
            let _ended = actor.kill().await;
        }
    }

    pub(super) fn start_worker(&self, name: &str) -> io::Result<Actor> {
        let mut command = myself()?;
        command.args(["demo-worker", "--addr", &self.addr, "--queue", super::QUEUE, "--concurrency", "4"]);
        command.arg("--out").arg(self.out());
        command.stdout(Stdio::null()).stderr(self.log(name)?);
        Actor::start(&mut command)
    }

    /// These actors stay until the stage goes.
    pub(super) fn keep_until_end(&mut self, actors: impl IntoIterator<Item = Actor>) {
        self.cast.extend(actors);
    }

    /// After a failure the logs are worth more than a clean disk.
    pub(super) fn leave_traces(&mut self) {
        self.dir.disable_cleanup(true);
        super::output::complain(&format!("logs and data are left in {}", self.dir.path().display()));
    }

    fn log(&self, name: &str) -> io::Result<Stdio> {
        let path: &Path = self.dir.path();
        let file =
            std::fs::OpenOptions::new().create(true).append(true).open(path.join(format!("{name}.log")))?;
        Ok(file.into())
    }
}

impl Actor {
    fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        let pid = child.id().unwrap_or(0);
        Ok(Self { child, pid })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// kill -9, and waits for the end.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

fn myself() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}
