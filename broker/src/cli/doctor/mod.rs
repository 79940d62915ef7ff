//! `windlass doctor`: whether this machine, this directory and these settings are fit for a broker.

mod disk;

use super::exit::Exit;
use super::failure::Outcome;
use super::findings::{self, Finding};
use super::output::OutputArgs;
use crate::config::Flags;
use clap::Args;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Open files below which a busy broker runs out of them.
const FILES_FEW: u64 = 4_096;

/// Look whether this machine and its settings are fit for a broker. Needs none; `windlass admin doctor`
/// looks at one that runs.
#[derive(Args)]
#[command(after_help = "Examples:\n  windlass doctor --data /var/lib/windlass\n  \
    windlass doctor --config /etc/windlass.toml --output json\n\n\
    Exit codes: 0 all is well, 1 something is not, 2 the settings cannot be")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Looks.
pub(super) fn run(args: &DoctorArgs) -> Outcome {
    let out = args.output.open();
    let mut found = Vec::new();
    if let Some(file) = &args.flags.config {
        found.push(config_file(file));
    }
    let settings = match args.flags.clone().settle() {
        Ok(settings) => settings,
        Err(error) => {
            let fix =
                "`windlass config example` shows all settings, `windlass config check FILE` reads a file";
            found.push(Finding::critical("settings.invalid", error.to_string(), fix));
            findings::tell(&out, &found)?;
            return Ok(Exit::Usage);
        }
    };
    found.push(Finding::ok("settings.valid", "the settings can be"));
    found.extend(disk::look(&settings.options.data));
    found.push(open_files(settings.max_connections));
    found.push(address(settings.listen));
    found.extend(settings.http.map(address));
    found.extend([Some(settings.listen), settings.http].into_iter().flatten().filter_map(reach));
    findings::tell(&out, &found)
}

/// A file that others may write decides what the broker does.
fn config_file(file: &Path) -> Finding {
    let shown = file.display();
    match std::fs::metadata(file) {
        Err(error) => Finding::critical("config.unreadable", format!("{shown} cannot be read: {error}"), ""),
        Ok(found) if found.permissions().mode() & 0o022 != 0 => Finding::warning(
            "config.writable",
            format!("{shown} may be written by others than its owner"),
            format!("chmod go-w {shown}"),
        ),
        Ok(_) => Finding::ok("config.readable", format!("{shown} can be read, and is its owner's to write")),
    }
}

fn open_files(connections: usize) -> Finding {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let fix = "raise it: LimitNOFILE= in the unit, or `ulimit -n`";
    match most {
        Some(most) if most < FILES_FEW || most < connections as u64 => Finding::warning(
            "files.few",
            format!("this process may open {most} files, and the broker takes {connections} connections"),
            fix,
        ),
        Some(most) => Finding::ok("files.enough", format!("this process may open {most} files")),
        None => Finding::ok("files.enough", "this process may open any number of files"),
    }
}

fn address(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok("port.free", format!("{listen} can be listened on")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Finding::warning(
            "port.taken",
            format!("{listen} is taken"),
            "if that is your broker, all is well: `windlass admin status`; else choose another by --listen or --http",
        ),
        Err(error) => Finding::critical(
            "port.refused",
            format!("{listen} cannot be listened on: {error}"),
            "choose an address of this machine, and a port over 1023 unless you are root",
        ),
    }
}

fn reach(listen: SocketAddr) -> Option<Finding> {
    (!listen.ip().is_loopback()).then(|| {
        Finding::warning(
            "reach.open",
            format!("{listen} is reachable from other machines, and the broker asks nobody who he is"),
            "keep others away with a firewall, or listen on 127.0.0.1",
        )
    })
}
