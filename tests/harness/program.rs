//! A program as a child process: its output in files, signals to its own process id, and never left behind.

use super::patience::eventually;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running program; dropping it kills it.
pub(crate) struct Program {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// Two ends of many connections are more open files than a process has by default.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

impl Program {
    /// Starts the program; its stdout and stderr go to files of that name in `logs`.
    pub(crate) fn start(command: &mut Command, logs: &Path, name: &str) -> Self {
        let (out, err) = (logs.join(format!("{name}.out")), logs.join(format!("{name}.err")));
        let file = |path: &Path| Stdio::from(File::create(path).unwrap());
        // What the tester has in the environment must not steer the programs under test.
        let given: Vec<String> =
            command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        for (name, _) in std::env::vars() {
            if name.starts_with("WINDLASS_") && !given.contains(&name) {
                command.env_remove(name);
            }
        }
        let child = command.stdout(file(&out)).stderr(file(&err)).spawn().unwrap();
        Self { child, out, err }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, to this process only.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// kill -9, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The exit code, once it has ended by itself; 128 and the signal's number if a signal did it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap()?;
        Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap()))
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> i32 {
        eventually("the program ends", || self.exit_code())
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// Whether it is stopped, as by SIGSTOP.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let (_, after_the_name) = stat.rsplit_once(')').unwrap();
        after_the_name.trim_start().starts_with('T')
    }

    /// Resident memory.
    pub(crate) fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }
}

impl Drop for Program {
    #[allow(
        clippy::print_stderr,
        reason = "whoever looks at a failed test wants to know what the program said"
    )]
    fn drop(&mut self) {
        // It may have ended already; then there is nobody to kill.
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
        if std::thread::panicking() {
            let said = self.stderr();
            let lines: Vec<&str> = said.lines().rev().take(20).collect();
            eprintln!("--- the end of stderr of process {}:", self.pid());
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
