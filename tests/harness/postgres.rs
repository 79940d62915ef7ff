//! A PostgreSQL of the test's own: a fresh cluster on a socket in a temporary directory.

use super::Program;
use super::patience::eventually;
use rustix::process::Signal;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Whoever sets this wants no test to be left out.
const REQUIRED: &str = "WINDLASS_TEST_POSTGRES";
/// The user that its package makes: the server refuses to run as root.
const USER: &str = "postgres";

/// A server that runs; it ends, and its cluster is removed, when the value is dropped.
pub(crate) struct Postgres {
    program: Program,
    home: TempDir,
}

impl Postgres {
    /// A new server; `None` where PostgreSQL is not installed and not required.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = installed() else {
            let is_required = std::env::var_os(REQUIRED).is_some();
            assert!(!is_required, "there is no PostgreSQL; on Debian: apt-get install postgresql");
            println!("left out, because there is no PostgreSQL; on Debian: apt-get install postgresql");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            let said = Command::new("id").args(["-u", USER]).output().unwrap().stdout;
            let uid = String::from_utf8(said).unwrap().trim().parse().unwrap();
            chown(home.path(), Some(uid), None).unwrap();
        }
        let data = home.path().join("data");
        let mut initdb = as_a_mortal(&bin.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-U",
            "app",
            "-A",
            "trust",
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
        ]);
        let mut initdb = Program::start(&mut initdb, home.path(), "initdb");
        assert_eq!(initdb.wait(), 0, "{}", initdb.stderr());
        let mut server = as_a_mortal(&bin.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(home.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let program = Program::start(&mut server, home.path(), "postgres");
        let server = Self { program, home };
        eventually("PostgreSQL is ready", || {
            let ready =
                Command::new(bin.join("pg_isready")).arg("-q").arg("-h").arg(server.home.path()).status();
            ready.unwrap().success().then_some(())
        });
        Some(server)
    }

    /// How to connect to it.
    pub(crate) fn address(&self) -> String {
        format!("host={} user=app dbname=postgres", self.home.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In order, so that its processes do not write into a directory that is being removed.
        self.program.signal(Signal::INT);
        self.program.wait();
    }
}

/// Where its programs are.
fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let packaged = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let in_the_path = std::env::var_os("PATH").unwrap_or_default();
    let all = packaged.chain(std::env::split_paths(&in_the_path).collect::<Vec<_>>());
    all.into_iter()
        .find(|bin| ["initdb", "postgres", "pg_isready"].iter().all(|name| bin.join(name).is_file()))
}

/// A command that does not run as root.
fn as_a_mortal(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program);
    command
}
