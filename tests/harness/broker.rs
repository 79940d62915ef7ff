//! A broker: the real program on a directory and a port of its own.

use super::http::{self, Reply};
use super::patience::eventually;
use super::{Peer, Program, WINDLASS};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What a small broker needs: the defaults are meant for more than a few jobs, and for one broker a
/// machine.
const SMALL: [&str; 6] = ["--segment-bytes", "1MiB", "--disk-reserve-bytes", "1MiB", "--http", "127.0.0.1:0"];

/// A broker that serves; it is killed, and its directory removed, when the value is dropped.
pub(crate) struct Broker {
    program: Program,
    addr: String,
    _port: Socket,
    flags: Vec<String>,
    env: Vec<(String, String)>,
    /// A program that starts it, and its arguments; usually none.
    launcher: Vec<String>,
    starts: u32,
    home: TempDir,
}

impl Broker {
    /// A new broker, small in its files and otherwise as it comes.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A new broker with further flags.
    pub(crate) fn with(flags: &[&str]) -> Self {
        Self::with_env(flags, &[])
    }

    /// A new broker with further flags and an environment.
    pub(crate) fn with_env(flags: &[&str], env: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let env: Vec<_> = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::begin(home, flags, env)
    }

    /// A broker on a data directory that is there, with further flags.
    pub(crate) fn on(data: &Path, flags: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(data, home.path().join("data")).unwrap();
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self::begin(home, flags, Vec::new())
    }

    fn begin(home: TempDir, flags: Vec<String>, env: Vec<(String, String)>) -> Self {
        let (port, listen) = hold_port();
        let mut program = serve(home.path(), &listen, &flags, &env, &[], 1);
        let addr = listening(&mut program).unwrap();
        Self { program, addr, _port: port, flags, env, launcher: Vec::new(), starts: 1, home }
    }

    /// A new broker whose clock stands at the beginning of 2030 until somebody advances it; its data are
    /// below [`Broker::home`].
    pub(crate) fn with_test_clock() -> Self {
        Self::with(&["--ephemeral", "--test-clock", "2030-01-01T00:00:00Z"])
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Where its gateway listens.
    pub(crate) fn http_addr(&self) -> String {
        let said = self.program.stdout();
        let line = said.lines().nth(1).expect("the second line is the gateway's");
        line.split_once("://").unwrap().1.to_owned()
    }

    /// Asks the gateway, on a connection of its own.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> Reply {
        http::ask(&self.http_addr(), method, path, &[], body.as_bytes())
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A directory beside the data, for whatever a test needs.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The process.
    pub(crate) fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// A raw peer in a session of its own.
    pub(crate) fn peer(&self) -> Peer {
        Peer::open(&self.addr)
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.program.kill();
        self.has_no_blobs();
    }

    /// Whatever was done with it, sled has made no blob: it never syncs them.
    fn has_no_blobs(&self) {
        let blobs = std::fs::read_dir(self.data().join("leaves/blobs"));
        let found = blobs.map_or(0, Iterator::count);
        assert_eq!(found, 0, "there are blobs in {}", self.data().display());
    }

    /// Starts it again on the same data and the same port, after it has ended.
    pub(crate) fn restart(&mut self) {
        if let Err(code) = self.try_restart() {
            panic!("the broker ended with {code}: {}", self.program.stderr());
        }
    }

    /// The same, with further flags from now on.
    pub(crate) fn restart_with(&mut self, flags: &[&str]) {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self.restart();
    }

    /// The same, if it is willing to; otherwise its exit code.
    pub(crate) fn try_restart(&mut self) -> Result<(), i32> {
        self.starts += 1;
        let (home, addr) = (self.home.path(), &self.addr);
        self.program = serve(home, addr, &self.flags, &self.env, &self.launcher, self.starts);
        listening(&mut self.program).map(drop)
    }

    /// From the next start on it has this environment.
    pub(crate) fn set_env(&mut self, env: &[(&str, &str)]) {
        self.env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    }

    /// From the next start on it is started by this command, which is given the broker's own.
    pub(crate) fn set_launcher(&mut self, launcher: &[&str]) {
        self.launcher = launcher.iter().map(|&word| word.to_owned()).collect();
    }

    /// Asks it to end, and waits. The exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.program.signal(Signal::TERM);
        let code = self.program.wait();
        self.has_no_blobs();
        code
    }

    /// Resident memory.
    pub(crate) fn rss_bytes(&self) -> u64 {
        self.program.rss_bytes()
    }
}

/// A port that nobody is given by chance as long as the socket is there, also between two starts of a broker,
/// which may listen on it: both allow that the address is used twice, and only one of them listens.
pub(crate) fn hold_port() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    (socket, addr)
}

fn serve(
    home: &Path,
    listen: &str,
    flags: &[String],
    env: &[(String, String)],
    launcher: &[String],
    start: u32,
) -> Program {
    let words: Vec<&str> = launcher.iter().map(String::as_str).chain([WINDLASS, "serve"]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    if !flags.iter().any(|flag| flag == "--listen") {
        command.args(["--listen", listen]);
    }
    if flags.iter().any(|flag| flag == "--ephemeral") {
        command.env("TMPDIR", home);
    } else {
        command.arg("--data").arg(home.join("data"));
    }
    let small = SMALL.chunks(2).filter(|pair| !flags.iter().any(|flag| flag == pair[0]));
    command.args(small.flatten()).args(flags).envs(env.iter().cloned());
    Program::start(&mut command, home, &format!("broker-{start}"))
}

/// Waits for the line that says where it listens; an exit code if it ends instead.
fn listening(program: &mut Program) -> Result<String, i32> {
    eventually("the broker listens", || {
        // Asked first: what it said before it ended stands in the file by then.
        let ended = program.exit_code();
        let said = program.stdout();
        // The second line is the gateway's; both sockets are bound before the first.
        match said.split_once('\n').filter(|(_, rest)| rest.ends_with('\n')) {
            Some((line, _)) => Some(Ok(line.strip_prefix("windlass listening on ").unwrap().to_owned())),
            None => ended.map(Err),
        }
    })
}
