//! The program: options in, signals to stop, exit code out.

use clap::Parser;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use worker_example::Options;

#[tokio::main]
async fn main() -> ExitCode {
    // Jobs go to stdout, one line each; the rest to stderr.
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).init();
    let (code, words) = match worker_example::run(Options::parse(), windlass_client::shutdown_signal()).await
    {
        Ok(summary) => (0, format!("stopped: {summary}")),
        Err(error) => (error.exit_code(), format!("error: {}", with_causes(&error))),
    };
    let _ = writeln!(io::stderr(), "{words}");
    code.into()
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
