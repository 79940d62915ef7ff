//! `windlass token`: who may speak to a broker. It writes the file that `serve --tokens` reads, and asks no
//! broker.

use super::enqueue::duration;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::{self, Form, Output, OutputArgs, Question};
use crate::tokens::Role;
use crate::tokens::file::{Entry, File, FileError, Glob, Moment, Name};
use crate::tokens::secret::fresh;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to do when the broker runs already.
const NEXT: &str = "next: a broker that runs reads the file again at `kill -HUP`";

/// Make, renew and remove the tokens of a broker.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  windlass token new shop --role producer --queue 'mail-*' > shop.token\n  \
    windlass token new ops --role operator --expires 90d --payloads\n  \
    windlass token rotate shop --overlap 24h\n  windlass serve --tokens windlass-tokens.toml"
)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    what: What,
    /// The file in which the tokens stand; made if it is not there, for its owner only
    #[arg(
        long,
        global = true,
        env = "WINDLASS_TOKENS",
        value_name = "FILE",
        default_value = "windlass-tokens.toml"
    )]
    file: PathBuf,
    /// Do not ask before a token is removed
    #[arg(long, short, global = true)]
    yes: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Subcommand)]
enum What {
    /// Make a token and print it; nothing shows it a second time
    New(NewArgs),
    /// Give a token a new secret and print it; the one before stays good for a while
    Rotate {
        /// Its name
        #[arg(value_parser = name)]
        name: Name,
        /// How long the secret before stays good
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
        overlap: Duration,
    },
    /// Remove a token; whoever has it is sent away when the broker reads the file again
    Revoke {
        /// Its name
        #[arg(value_parser = name)]
        name: Name,
    },
    /// All of them, without their secrets, which are nowhere
    List,
}

#[derive(Args)]
struct NewArgs {
    /// Its name, which stands in audits and logs: 1 to 64 of a-z, 0-9 and -
    #[arg(value_parser = name)]
    name: Name,
    /// What it is for; repeat it for several
    #[arg(long = "role", value_name = "ROLE", required = true, value_enum)]
    roles: Vec<Role>,
    /// A queue, or the beginning of queues with a * behind it; repeat it for several [default: all]
    #[arg(long = "queue", value_name = "GLOB", value_parser = glob)]
    queues: Vec<Glob>,
    /// A namespace, in the same way [default: default]
    #[arg(long = "namespace", value_name = "GLOB", value_parser = glob)]
    namespaces: Vec<Glob>,
    /// Until when it is good: a length of time like 90d, or an instant [default: no end]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    expires: Option<Moment>,
    /// It may see what jobs carry: payloads, headers, results, logs
    #[arg(long)]
    payloads: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::try_from(text.to_owned()).map_err(str::to_owned)
}

fn glob(text: &str) -> Result<Glob, String> {
    Glob::try_from(text.to_owned()).map_err(str::to_owned)
}

fn moment(text: &str) -> Result<Moment, String> {
    match duration(text) {
        Ok(length) => Ok(after(length)),
        Err(_) => Moment::try_from(text.to_owned()).map_err(|why| format!("{why}, or like 90d")),
    }
}

/// So much later than now, in whole seconds.
fn after(length: Duration) -> Moment {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    Moment(crate::clock::wall_ms().saturating_add(length) / 1_000 * 1_000)
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::not_found(error.to_string()).next("`windlass token new` makes one")
            }
            FileError::Io { .. } => Self::failed(error.to_string()),
            FileError::Open(_) | FileError::Malformed { .. } => Self::usage(error.to_string()),
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &TokenArgs) -> Outcome {
    let out = args.output.open();
    match &args.what {
        What::New(new) => make(&out, &args.file, new),
        What::Rotate { name, overlap } => rotate(&out, &args.file, name, *overlap),
        What::Revoke { name } => revoke(&out, &args.file, name, args.yes),
        What::List => {
            let file = File::read(&args.file)?;
            let rows: Vec<Value> = file.token.iter().map(|(name, entry)| row(name, entry)).collect();
            let columns = ["name", "roles", "queues", "namespaces", "expires_at", "payloads"];
            out.rows(&columns, &rows)?;
            Ok(Exit::Ok)
        }
    }
}

fn make(out: &Output, path: &Path, new: &NewArgs) -> Outcome {
    let _nobody_else = File::lock(path)?;
    let mut file = match File::read(path) {
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => File::default(),
        read => read?,
    };
    if file.token.contains_key(&new.name) {
        let message = format!("there is a token {} already", new.name.0);
        return Err(
            Failure::new(Exit::Conflict, message).next("`windlass token rotate` gives it a new secret")
        );
    }
    let or = |given: &[Glob], default: &str| {
        if given.is_empty() { vec![Glob(default.to_owned())] } else { given.to_vec() }
    };
    let (text, hash) = fresh(&new.name.0);
    let entry = Entry {
        hash,
        former_hash: None,
        former_until: None,
        roles: new.roles.clone(),
        queues: or(&new.queues, "*"),
        namespaces: or(&new.namespaces, "default"),
        expires: new.expires,
        payloads: new.payloads,
    };
    file.token.insert(new.name.clone(), entry.clone());
    file.write(path)?;
    told(out, &text, row(&new.name, &entry))
}

fn rotate(out: &Output, path: &Path, name: &Name, overlap: Duration) -> Outcome {
    let _nobody_else = File::lock(path)?;
    let mut file = File::read(path)?;
    let Some(entry) = file.token.get_mut(name) else { return Err(absent(name, path)) };
    let now_ms = crate::clock::wall_ms();
    if let Some(until) = entry.former_until.filter(|until| until.0 > now_ms && !overlap.is_zero()) {
        let message = format!("the secret before the present one is good until {until}");
        return Err(Failure::new(Exit::Conflict, message).next("with `--overlap 0s` both end at once"));
    }
    let (text, hash) = fresh(&name.0);
    let former = std::mem::replace(&mut entry.hash, hash);
    (entry.former_hash, entry.former_until) =
        if overlap.is_zero() { (None, None) } else { (Some(former), Some(after(overlap))) };
    let shown = row(name, entry);
    file.write(path)?;
    told(out, &text, shown)
}

fn revoke(out: &Output, path: &Path, name: &Name, yes: bool) -> Outcome {
    let _nobody_else = File::lock(path)?;
    let mut file = File::read(path)?;
    if !file.token.contains_key(name) {
        return Err(absent(name, path));
    }
    let what = format!("The token {} will be removed.", name.0);
    output::confirm(&Question { what: &what, count: 1, is_protected: false, yes })?;
    file.token.remove(name);
    file.write(path)?;
    out.done(&json!({"name": name.0, "removed": true}), &format!("{} is removed", name.0))?;
    out.hint(NEXT);
    Ok(Exit::Ok)
}

fn absent(name: &Name, path: &Path) -> Failure {
    Failure::not_found(format!("there is no token {} in {}", name.0, path.display()))
}

/// The one time that a token is shown: alone on a line, or with what it is for.
fn told(out: &Output, text: &str, mut row: Value) -> Outcome {
    match out.form() {
        Form::Table | Form::Name => output::line(text),
        Form::Json | Form::Jsonl | Form::Csv => {
            row["token"] = text.into();
            out.object(&row)?;
        }
    }
    out.hint("keep it: only its hash is stored, so nothing shows it a second time");
    out.hint(NEXT);
    Ok(Exit::Ok)
}

fn row(name: &Name, entry: &Entry) -> Value {
    let globs = |globs: &[Glob]| globs.iter().map(|glob| glob.0.clone()).collect::<Vec<_>>();
    json!({
        "name": name.0,
        "roles": entry.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "queues": globs(&entry.queues),
        "namespaces": globs(&entry.namespaces),
        "expires_at": entry.expires.map(|at| at.to_string()),
        "former_until": entry.former_until.map(|at| at.to_string()),
        "payloads": entry.payloads,
    })
}
