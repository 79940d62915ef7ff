//! The example worker, under a name that cargo lets these tests find.

use clap::Parser;
use std::process::ExitCode;
use worker_example::Options;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match worker_example::run(Options::parse(), windlass_client::shutdown_signal()).await {
        Ok(summary) => {
            tracing::info!(%summary, "stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::from(error.exit_code())
        }
    }
}
