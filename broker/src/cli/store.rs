//! `windlass store`: a data directory that nobody serves: what it is, whether it is whole, copies of it.

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::{Output, OutputArgs, size};
use crate::broker::Options;
use crate::config::Flags;
use crate::vault::{self, Inventory, Summary, Vault};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Look at, check, copy and mend a data directory that no broker serves. `windlass admin snapshot` copies
/// one that is served.
#[derive(Args)]
#[command(after_help = "Examples:\n  windlass store verify --data /var/lib/windlass\n  \
    windlass store export --data /var/lib/windlass backup.windlass\n  \
    windlass store import --data /var/lib/windlass-new backup.windlass\n\n\
    Exit codes: 0 all is well, 78 something is damaged, 1 it could not be done")]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Data directory [default: ./windlass-data]
    #[arg(long, env = "WINDLASS_DATA", value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// What the directory is, and who holds it; nothing in it is read
    Info,
    /// Read everything, and say what is there or what is damaged; what is damaged is left as it was
    Verify,
    /// Write everything into one checksummed file
    Export {
        /// The file; must not be there
        file: PathBuf,
    },
    /// Make a new data directory of what a damaged one still holds wholly, and say what is lost
    Repair {
        /// The new directory; must not be there
        to: PathBuf,
    },
    /// Make a new data directory of such a file, wholly or not at all
    Import {
        /// The file, of `store export` or `admin snapshot`
        file: PathBuf,
    },
}

/// Does it.
pub(super) fn run(args: &StoreArgs) -> Outcome {
    let out = args.output.open();
    let flags = Flags { data: args.data.clone(), ..Flags::default() };
    let options = flags.settle().map_err(|error| Failure::usage(error.to_string()))?.options;
    match &args.what {
        What::Info => info(&out, &options.data),
        What::Verify => verify(&out, &options),
        What::Export { file } => export(&out, &options, file),
        What::Repair { to } => repair(&out, &options, to),
        What::Import { file } => import(&out, &options, file),
    }
}

fn info(out: &Output, data: &Path) -> Outcome {
    let found = vault::info(data).map_err(|error| Failure::of_store(error.exit_code(), error.to_string()))?;
    let info = found.ok_or_else(|| absent(data))?;
    let row = json!({
        "id": info.id,
        "data": data.display().to_string(),
        "whole": info.is_whole,
        "record_format": info.record_format,
        "version": env!("CARGO_PKG_VERSION"),
        "ended_in_order": info.ended_in_order,
        "held_by": info.holder,
        "journal_bytes": info.journal_bytes,
        "leaves_bytes": info.leaves_bytes,
        "history_bytes": info.history_bytes,
    });
    out.object(&row)?;
    Ok(Exit::Ok)
}

fn verify(out: &Output, options: &Options) -> Outcome {
    must_be_there(&options.data)?;
    let found =
        Vault::inventory(options).map_err(|error| Failure::of_store(error.exit_code(), told(&error)))?;
    let Inventory { jobs, parts, part_bytes, .. } = found;
    let said =
        format!("{} is whole: {jobs} jobs, {parts} parts of {}", options.data.display(), size(part_bytes));
    out.done(&inventory(&found), &said)?;
    Ok(Exit::Ok)
}

fn inventory(found: &Inventory) -> Value {
    let states: serde_json::Map<String, Value> =
        found.states.iter().map(|(word, number)| ((*word).to_owned(), json!(number))).collect();
    json!({
        "id": found.id,
        "jobs": found.jobs,
        "states": states,
        "rows": found.rows,
        "parts": found.parts,
        "part_bytes": found.part_bytes,
        "journal_facts": found.facts,
        "last_batch": found.last_batch,
        "segments": found.segments,
    })
}

fn export(out: &Output, options: &Options, file: &Path) -> Outcome {
    must_be_there(&options.data)?;
    let written = Vault::open(options).and_then(|mut vault| {
        vault.verify()?;
        let summary = vault.export(file)?;
        vault.close()?;
        Ok(summary)
    });
    let summary = written.map_err(|error| Failure::of_store(error.exit_code(), told(&error)))?;
    let (row, bytes) = archived(file, &summary);
    out.done(&row, &format!("{} holds all of {}, {}", file.display(), options.data.display(), size(bytes)))?;
    Ok(Exit::Ok)
}

/// What is told of an archive that was written: the row, and its length in bytes.
pub(super) fn archived(file: &Path, summary: &Summary) -> (Value, u64) {
    let bytes = std::fs::metadata(file).map_or(0, |file| file.len());
    let row = json!({
        "file": file.display().to_string(),
        "bytes": bytes,
        "entries": summary.entries,
        "batches": summary.batches,
        "last_batch": summary.last_batch,
    });
    (row, bytes)
}

fn repair(out: &Output, options: &Options, to: &Path) -> Outcome {
    must_be_there(&options.data)?;
    let made =
        vault::repair(options, to).map_err(|error| Failure::of_store(error.exit_code(), told(&error)))?;
    let row = json!({
        "data": to.display().to_string(),
        "from": made.from,
        "last_batch": made.last_batch,
        "lost_batches": made.lost_batches,
        "refused": made.refused,
    });
    let lost = match made.lost_batches {
        0 => "nothing that can be told is lost".to_owned(),
        lost => format!("{lost} batches after that are lost"),
    };
    let said = format!(
        "{} holds everything up to batch {}, from {}; {lost}. {} is as it was",
        to.display(),
        made.last_batch,
        made.from,
        options.data.display()
    );
    out.done(&row, &said)?;
    Ok(if made.lost_batches == 0 { Exit::Ok } else { Exit::Partly })
}

fn import(out: &Output, options: &Options, file: &Path) -> Outcome {
    let made =
        vault::import(file, options).map_err(|error| Failure::of_store(error.exit_code(), told(&error)))?;
    let row = json!({
        "data": options.data.display().to_string(),
        "entries": made.entries,
        "batches": made.batches,
        "last_batch": made.last_batch,
    });
    let said = format!(
        "{0} is a new data directory; start it with `windlass serve --data {0}`",
        options.data.display()
    );
    out.done(&row, &said)?;
    Ok(Exit::Ok)
}

/// To look at a directory must not make one.
fn must_be_there(data: &Path) -> Result<(), Failure> {
    let there =
        data.join("MANIFEST").exists() || data.join("journal").exists() || data.join("leaves").exists();
    if there { Ok(()) } else { Err(absent(data)) }
}

fn absent(data: &Path) -> Failure {
    Failure::not_found(format!("{} is no data directory; name one with --data", data.display()))
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    super::serve::with_causes(error)
}
