//! What the program tells about itself: completions, manual pages, its version.

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::{self, Output};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Prints a completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "windlass", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}

/// Writes a manual page for each command, `windlass-admin-queues.1` and its like.
pub(super) fn manual(dir: &Path) -> Outcome {
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(super::command(), dir));
    written.map_err(|error| Failure::failed(format!("cannot write into {}: {error}", dir.display())))?;
    Ok(Exit::Ok)
}

/// The version of this program, and of the protocol that it speaks.
pub(super) fn version(out: &Output) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let value = json!({
        "name": "windlass",
        "version": version,
        "proto": 1,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    });
    out.done(&value, &format!("windlass {version}, protocol 1"))?;
    Ok(Exit::Ok)
}
