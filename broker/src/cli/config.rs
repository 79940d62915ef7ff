//! `windlass config`: the settings of `serve`, shown with where they come from, checked, and explained.

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::{self, Output, OutputArgs};
use crate::config::{Flags, Settings};
use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Show, check and explain the settings of `serve`.
#[derive(Args)]
#[command(after_help = "Examples:\n  windlass config show --origin\n  \
    windlass config check /etc/windlass.toml\n  windlass config example > windlass.toml")]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Subcommand)]
enum What {
    /// The settings that `serve` would run with, given the same flags
    Show(Box<ShowArgs>),
    /// Say whether `serve` would take a file
    Check {
        /// The file
        file: PathBuf,
    },
    /// Print a file with all settings, their defaults and what they mean
    Example,
}

#[derive(Args)]
struct ShowArgs {
    /// Say where each comes from
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    flags: Flags,
}

/// The flags of `serve`, alone.
#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    _flags: Flags,
}

/// Runs the command.
pub(super) fn run(args: &ConfigArgs) -> Outcome {
    let out = args.output.open();
    match &args.what {
        What::Show(show) => shown(&out, show),
        What::Check { file } => {
            let flags = Flags { config: Some(file.clone()), ..Flags::default() };
            flags.settle().map_err(|error| Failure::usage(error.to_string()))?;
            let value = json!({"file": file.display().to_string(), "valid": true});
            out.done(&value, &format!("{} is fine", file.display()))?;
            Ok(Exit::Ok)
        }
        What::Example => {
            output::line(example()?.trim_end());
            Ok(Exit::Ok)
        }
    }
}

fn shown(out: &Output, show: &ShowArgs) -> Outcome {
    let settings = show.flags.clone().settle().map_err(|error| Failure::usage(error.to_string()))?;
    let in_file = match &show.flags.config {
        Some(file) => keys(file)?,
        None => Vec::new(),
    };
    let words: Vec<String> = std::env::args().collect();
    let rows: Vec<Value> = values(&settings)
        .into_iter()
        .map(|(key, value)| {
            let origin = origin(key, &words, &in_file, show.flags.config.as_deref());
            json!({"name": key, "value": value, "origin": origin})
        })
        .collect();
    if out.is_for_people() {
        let width = rows.iter().map(|row| line(row).len()).max().unwrap_or(0);
        for row in &rows {
            let origin = if show.origin { row["origin"].as_str().unwrap_or_default() } else { "" };
            output::line(format!("{:width$}  {origin}", line(row)).trim_end());
        }
        return Ok(Exit::Ok);
    }
    let columns: &[&str] = if show.origin { &["name", "value", "origin"] } else { &["name", "value"] };
    out.rows(columns, &rows)?;
    Ok(Exit::Ok)
}

/// A setting as it stands in a file.
fn line(row: &Value) -> String {
    format!("{} = {}", row["name"].as_str().unwrap_or_default(), row["value"])
}

/// Where a setting comes from; who comes first wins.
fn origin(key: &str, words: &[String], in_file: &[String], file: Option<&Path>) -> String {
    let flag = format!("--{}", key.replace('_', "-"));
    let env = format!("WINDLASS_{}", key.to_uppercase());
    if words.iter().any(|word| *word == flag || word.starts_with(&format!("{flag}="))) {
        return format!("flag {flag}");
    }
    if std::env::var_os(&env).is_some() {
        return format!("env {env}");
    }
    match file {
        Some(file) if in_file.iter().any(|found| found == key) => format!("file {}", file.display()),
        Some(_) | None => "default".to_owned(),
    }
}

/// The keys that a file sets.
fn keys(file: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::usage(error.to_string()))?;
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| Failure::usage(error.to_string()))?;
    Ok(table.keys().map(|key| key.replace('-', "_")).collect())
}

/// Every setting with its value in force.
fn values(settings: &Settings) -> BTreeMap<&'static str, Value> {
    let options = &settings.options;
    let core = &options.core;
    BTreeMap::from([
        ("data", json!(options.data)),
        ("listen", json!(settings.listen)),
        ("http", json!(settings.http.map_or_else(|| "off".to_owned(), |http| http.to_string()))),
        ("http_host", json!(settings.http_hosts.join(","))),
        ("ephemeral", json!(settings.ephemeral)),
        ("test_clock", json!(options.clock.is_test().then_some("now"))),
        ("until_stdin_ends", json!(settings.until_stdin_ends)),
        ("tls_cert", json!(settings.tls.as_ref().map(|tls| &tls.certificate))),
        ("tls_key", json!(settings.tls.as_ref().map(|tls| &tls.key))),
        ("tls_client_ca", json!(settings.tls.as_ref().and_then(|tls| tls.client_authority.as_ref()))),
        ("insecure", json!(settings.exposed.is_some())),
        ("tokens", json!(settings.tokens)),
        ("webhook_link_local", json!(settings.webhook_link_local)),
        ("log", json!(format!("{:?}", settings.log).to_lowercase())),
        ("log_level", json!(settings.log_level)),
        ("max_payload", json!(settings.max_payload)),
        ("max_jobs", json!(core.jobs_max)),
        ("max_connections", json!(settings.max_connections)),
        ("segment_bytes", json!(options.segment_bytes_first)),
        ("segment_bytes_max", json!(options.segment_bytes_max)),
        ("unfolded_bytes", json!(core.unfolded_bytes_max)),
        ("parts_cache_bytes", json!(core.cache_bytes_max)),
        ("leaves_cache_bytes", json!(options.leaves_cache_bytes)),
        ("disk_low_bytes", json!(options.disk.low_bytes)),
        ("disk_reserve_bytes", json!(options.disk.reserve_bytes)),
    ])
}

/// A file with everything in it, and nothing set.
fn example() -> Result<String, Failure> {
    let defaults = Flags::default().settle().map_err(|error| Failure::failed(error.to_string()))?;
    let values = values(&defaults);
    let mut text =
        String::from("# Settings of `windlass serve`. A flag or WINDLASS_* in the environment wins.\n");
    for argument in Alone::command().get_arguments() {
        let key = argument.get_id().as_str();
        let Some(value) = values.get(key) else { continue };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let value = match (value, key) {
            (Value::Null, "test_clock") => "\"now\"".to_owned(),
            (Value::Null, "tls_cert") => "\"server.pem\"".to_owned(),
            (Value::Null, "tls_key") => "\"server.key\"".to_owned(),
            (Value::Null, "tls_client_ca") => "\"clients.pem\"".to_owned(),
            (Value::Null, _) => "\"1GiB\"".to_owned(),
            (value, _) => value.to_string(),
        };
        text.push_str(&format!("\n# {}\n# {key} = {value}\n", help.replace('\n', "\n# ")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_shown_and_explained() {
        let values = values(&Flags::default().settle().unwrap());
        let text = example().unwrap();
        for argument in Alone::command().get_arguments() {
            let key = argument.get_id().as_str();
            if !["config", "help"].contains(&key) {
                assert!(values.contains_key(key), "{key} is not shown");
                assert!(text.contains(&format!("\n# {key} = ")), "{key} is not explained");
            }
        }
    }

    #[test]
    fn the_example_is_a_file_that_serve_takes() {
        let bare: String = example()
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")))
            .filter(|line| !line.starts_with("test_clock") && !line.contains(". "))
            .map(|line| format!("{line}\n"))
            .collect();
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("windlass.toml");
        std::fs::write(&file, &bare).unwrap();
        let flags = Flags { config: Some(file), ..Flags::default() };
        assert!(flags.settle().is_ok(), "{bare}");
    }

    #[test]
    fn the_first_that_says_something_is_where_it_comes_from() {
        let words = ["windlass", "config", "show", "--listen=127.0.0.1:1"].map(str::to_owned);
        let in_file = ["max_jobs".to_owned(), "listen".to_owned()];
        let told = |key| origin(key, &words, &in_file, Some(Path::new("w.toml")));
        assert_eq!((told("listen"), told("max_jobs")), ("flag --listen".into(), "file w.toml".into()));
        assert_eq!(told("max_payload"), "default");
    }
}
