//! The command line: what a person or a script says to Windlass. The only place that prints.

mod admin;
mod bench;
mod demo;
mod enqueue;
mod output;
mod serve;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;
use windlass_client::{Client, Error, ErrorKind};

/// A self-hosted broker for background jobs: one binary, nothing else to run.
#[derive(Parser)]
#[command(name = "windlass", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "Examples:\n  windlass demo                                    \
    see it work: a broker, a worker, a few hundred jobs\n  windlass serve --data ./data                     \
    start a broker\n  windlass enqueue generate_pdf @job.json          \
    enqueue a job\n  windlass admin queues                            \
    look at the queues\n\nExit codes: 0 ok, 1 refused, 2 usage, 3 cannot connect, 78 damaged data directory")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker
    Serve(Box<crate::config::Flags>),
    /// Run a broker, an example worker and a few hundred real jobs, and tell what happens
    Demo(demo::DemoArgs),
    /// Enqueue jobs
    Enqueue(enqueue::EnqueueArgs),
    /// Look at and steer queues, jobs and workers
    Admin(admin::AdminArgs),
    /// Measure a broker
    Bench(bench::BenchArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The example worker that the demo starts
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
}

/// Exit codes that scripts rely on.
mod exit {
    /// The broker, or the command itself, said no.
    pub(super) const REFUSED: u8 = 1;
    /// The command line is wrong.
    pub(super) const USAGE: u8 = 2;
    /// Nobody answers at the address.
    pub(super) const UNREACHABLE: u8 = 3;
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(exit::REFUSED, &format!("cannot start threads: {error}")),
    };
    match command {
        Command::Serve(flags) => serve::run(&runtime, *flags),
        Command::Demo(args) => runtime.block_on(demo::run(args)),
        Command::DemoWorker(args) => runtime.block_on(demo::run_worker(args)),
        Command::Enqueue(args) => runtime.block_on(enqueue::run(args)),
        Command::Admin(args) => runtime.block_on(admin::run(args)),
        Command::Bench(args) => runtime.block_on(bench::run(args)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "windlass", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            ExitCode::SUCCESS
        }
    }
}

/// Where the broker is.
#[derive(clap::Args, Clone, Debug)]
struct Target {
    /// Address of the broker
    #[arg(long, env = "WINDLASS_ADDR", default_value = "127.0.0.1:7520", global = true, value_name = "ADDR")]
    addr: String,
    /// Namespace of the jobs
    #[arg(long, env = "WINDLASS_NAMESPACE", default_value = "default", global = true, value_name = "NAME")]
    namespace: String,
}

impl Target {
    async fn connect(&self) -> Result<Client, Error> {
        Client::builder()
            .name(concat!("windlass-cli/", env!("CARGO_PKG_VERSION")))
            .namespace(self.namespace.as_str())
            .connect(&self.addr)
            .await
    }
}

/// Tells an error of the client and picks its exit code.
fn fail_with(error: &Error) -> ExitCode {
    let kind = error.kind();
    let code = if kind == ErrorKind::Unreachable {
        exit::UNREACHABLE
    } else if kind == ErrorKind::Invalid {
        exit::USAGE
    } else {
        exit::REFUSED
    };
    let hint = if code == exit::UNREACHABLE {
        "; is a broker running there? Start one with `windlass serve`"
    } else {
        ""
    };
    output::fail(code, &format!("{error}{hint}"))
}
