//! `windlass tls init`: certificates for trying TLS out, without another tool.

mod authority;

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::OutputArgs;
use authority::{Made, Pair};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Names under which a broker on the same machine is reached.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const EXAMPLES: &str = "Examples:
  windlass tls init ./tls
  windlass tls init ./tls --name broker.example.com --name 10.0.0.7";

#[derive(Args)]
pub(super) struct TlsCommand {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Subcommand)]
enum What {
    /// Make an authority for development, a certificate for the broker and one for a client
    #[command(after_help = EXAMPLES)]
    Init {
        /// The directory; made if it is not there
        dir: PathBuf,
        /// A further name or address of the broker; those of this machine are always in
        #[arg(long = "name", value_name = "HOST")]
        names: Vec<String>,
    },
}

/// Runs the command.
pub(super) fn run(args: &TlsCommand) -> Outcome {
    let What::Init { dir, names } = &args.what;
    let mut all: Vec<String> = HERE.map(str::to_owned).into();
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let now = i64::try_from(crate::clock::wall_ms()).unwrap_or(i64::MAX);
    let now = Timestamp::from_millisecond(now)
        .map_err(|error| Failure::failed(format!("this machine's clock cannot be used: {error}")))?;
    let made = authority::make(all.clone(), now).map_err(|error| {
        Failure::usage(format!("a certificate for {} cannot be: {error}", all.join(", ")))
    })?;
    write(dir, &made)?;
    let commands = commands(dir, names.first().map_or("localhost", String::as_str));
    let value = json!({
        "dir": dir,
        "names": all,
        "until": made.until,
        "files": FILES.map(|name| dir.join(name)),
        "commands": commands,
    });
    args.output.open().done(&value, &told(dir, &all, &made.until, &commands))?;
    Ok(Exit::Ok)
}

/// Certificates and keys, in pairs.
const FILES: [&str; 6] = ["ca.pem", "ca.key", "server.pem", "server.key", "client.pem", "client.key"];

/// Writes six files, none of them over another one.
fn write(dir: &Path, made: &Made) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| failed(dir, &error))?;
    if let Some(there) = FILES.iter().map(|name| dir.join(name)).find(|path| path.exists()) {
        let message = format!("{} is there already, and nothing is written over it", there.display());
        return Err(Failure::failed(message).next("name another directory, or remove these files"));
    }
    let Made { authority, server, client, until: _ } = made;
    let contents =
        [authority, server, client].into_iter().flat_map(|Pair { certificate, key }| [certificate, key]);
    for (name, text) in FILES.iter().zip(contents) {
        let path = dir.join(name);
        let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// What to do with them.
fn commands(dir: &Path, host: &str) -> [String; 4] {
    let file = |name: &str| dir.join(name).display().to_string();
    let [ca, _, server, server_key, client, client_key] = FILES.map(file);
    let serve = format!("windlass serve --tls-cert {server} --tls-key {server_key}");
    [
        format!("{serve} --tls-client-ca {ca}"),
        serve,
        format!(
            "windlass admin status --addr {host}:7520 --tls-ca {ca} --tls-cert {client} --tls-key {client_key}"
        ),
        format!("curl --cacert {ca} --cert {client} --key {client_key} https://{host}:7521/readyz"),
    ]
}

fn told(dir: &Path, names: &[String], until: &str, commands: &[String; 4]) -> String {
    let [mutual, serve, admin, curl] = commands;
    format!(
        "made in {dir}, good until {until}:
  ca.pem, ca.key           an authority for development; keep its key away from the broker
  server.pem, server.key   for the broker, as {names}
  client.pem, client.key   for a client, where the broker demands one

The broker, for clients with a certificate of this authority:
  {mutual}
The broker, for clients without one:
  {serve}
Clients:
  {admin}
  {curl}",
        dir = dir.display(),
        names = names.join(", "),
    )
}
