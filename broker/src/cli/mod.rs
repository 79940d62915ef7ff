//! The command line: what a person or a script says to Windlass. The only place that prints.

mod admin;
mod bench;
mod config;
mod contexts;
mod demo;
mod doctor;
mod enqueue;
mod exit;
mod failure;
mod findings;
mod healthcheck;
mod output;
mod pages;
mod serve;
mod store;
mod target;
mod tls;
mod token;
mod trust;
mod web;

use self::exit::Exit;
use self::failure::{Failure, Outcome};
use self::output::{Form, OutputArgs};
use clap::error::ErrorKind as Fault;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// A self-hosted broker for background jobs: one binary, nothing else to run.
#[derive(Parser)]
#[command(name = "windlass", version, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  windlass demo                                    see it work: a broker, a worker, a few hundred jobs
  windlass serve --data ./data                     start a broker
  windlass enqueue generate_pdf @job.json          enqueue a job
  windlass admin status                            see how it is going";

#[derive(Subcommand)]
enum Command {
    /// Run the broker
    Serve(Box<crate::config::Flags>),
    /// Run a broker, an example worker and a few hundred real jobs, and tell what happens
    Demo(demo::DemoArgs),
    /// Enqueue jobs
    Enqueue(Box<enqueue::EnqueueArgs>),
    /// Look at and steer queues, jobs and workers
    Admin(Box<admin::AdminArgs>),
    /// Measure a broker
    Bench(bench::BenchArgs),
    /// Look at, check, copy and mend a data directory that no broker serves
    Store(store::StoreArgs),
    /// Look whether this machine and its settings are fit for a broker
    Doctor(Box<doctor::DoctorArgs>),
    /// Ask a broker over HTTP whether it is ready; for containers without a shell
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Make, renew and remove the tokens of a broker
    Token(token::TokenArgs),
    /// Show, check and explain the settings of `serve`
    Config(config::ConfigArgs),
    /// Make certificates for trying TLS out
    Tls(tls::TlsCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory; made if it is not there
        dir: std::path::PathBuf,
    },
    /// Print the version of this program and of its protocol
    Version {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// The example worker that the demo starts
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
}

/// The whole command line, as clap knows it: for manual pages, completions, and the test that covers it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command().after_help(format!("{EXAMPLES}\n\n{}", Exit::help()))
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let words = words(std::env::args_os());
    let parsed = command().try_get_matches_from(&words).and_then(|found| Cli::from_arg_matches(&found));
    let command = match parsed {
        Ok(cli) => cli.command,
        Err(fault) => return refuse(&fault, &words),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::failed(format!("cannot start threads: {error}")).tell(Form::Table);
        }
    };
    match command {
        Command::Serve(flags) => serve::run(&runtime, *flags),
        Command::Demo(args) => runtime.block_on(demo::run(args)),
        Command::DemoWorker(args) => runtime.block_on(demo::run_worker(args)),
        Command::Enqueue(args) => runtime.block_on(enqueue::run(*args)),
        Command::Admin(args) => runtime.block_on(admin::run(*args)),
        Command::Bench(args) => runtime.block_on(bench::run(args)),
        Command::Store(args) => ended(&args.output, store::run(&args)),
        Command::Doctor(args) => ended(&args.output, doctor::run(&args)),
        Command::Healthcheck(args) => ended(&args.output, healthcheck::run(&args)),
        Command::Token(args) => ended(&args.output, token::run(&args)),
        Command::Config(args) => ended(&args.output, config::run(&args)),
        Command::Tls(args) => ended(&args.output, tls::run(&args)),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { dir } => ended(&OutputArgs::default(), pages::manual(&dir)),
        Command::Version { output } => ended(&output, pages::version(&output.open())),
    }
}

/// The words of the command line. A link named `windlassctl` stands for `windlass admin`.
fn words(all: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = all.collect();
    let called = words.first().and_then(|word| std::path::Path::new(word).file_name());
    if called.is_some_and(|name| name == "windlassctl") {
        words.insert(1, "admin".into());
    }
    words
}

/// Says what is wrong with a command line, or what was asked about it.
fn refuse(fault: &clap::Error, words: &[OsString]) -> ExitCode {
    let is_asked = !fault.use_stderr();
    if is_asked || !asks_for_json(words) || fault.kind() == Fault::DisplayHelpOnMissingArgumentOrSubcommand {
        let _closed_stream_is_no_reason_to_stop = fault.print();
        return if is_asked { ExitCode::SUCCESS } else { Exit::Usage.into() };
    }
    let text = fault.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    Failure::usage(first.trim_start_matches("error: ")).tell(Form::Json)
}

/// Whether the answer was to be JSON, as far as a command line that cannot be read tells.
fn asks_for_json(words: &[OsString]) -> bool {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let is_json = |text: &str| matches!(text, "json" | "jsonl");
    words.windows(2).any(|pair| ["--output", "-o"].contains(&pair[0]) && is_json(pair[1]))
        || words.iter().any(|word| {
            let value = word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o"));
            value.is_some_and(|value| is_json(value.trim_start_matches('=')))
        })
}

/// The exit code of a command that has told everything but its failure.
fn ended(output: &OutputArgs, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(output.form()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_link_is_the_operators_half() {
        let said = |words: &[&str]| super::words(words.iter().map(OsString::from));
        assert_eq!(said(&["/usr/bin/windlassctl", "queues"]), ["/usr/bin/windlassctl", "admin", "queues"]);
        assert_eq!(said(&["windlass", "serve"]), ["windlass", "serve"]);
    }

    #[test]
    fn json_is_recognised_on_a_line_that_is_wrong() {
        let asks = |line: &str| asks_for_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asks("x --output json") && asks("x --output=jsonl") && asks("x -o json") && asks("x -ojson"));
        assert!(!asks("x --output table") && !asks("x json"));
    }
}
