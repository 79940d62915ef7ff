//! `windlass serve`: runs a broker until it is told to stop.

use super::exit::Exit;
use super::output;
use crate::broker::Broker;
use crate::config::{Flags, LogForm, Settings};
use crate::net::{self, NetOptions};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs the broker; returns when it has stopped.
pub(super) fn run(runtime: &Runtime, flags: Flags) -> ExitCode {
    let mut settings = match flags.settle() {
        Ok(settings) => settings,
        Err(error) => return fail(Exit::Usage as u8, &error.to_string()),
    };
    let _removed_at_the_end = match ephemeral(&mut settings) {
        Ok(home) => home,
        Err(error) => {
            return fail(Exit::Failed as u8, &format!("cannot make a temporary directory: {error}"));
        }
    };
    log(&settings);
    crate::process::raise_open_files();
    let broker = match Broker::start(&settings.options) {
        Ok(broker) => broker,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(Exit::Failed as u8);
            let data = settings.options.data.display();
            return fail(code, &format!("cannot start on {data}: {}", with_causes(&error)));
        }
    };
    runtime.block_on(serve(broker, &settings))
}

/// An error in words, and its exit code: some of the store's are its own.
fn fail(code: u8, message: &str) -> ExitCode {
    output::complain(message);
    ExitCode::from(code)
}

/// A home for the data of a broker that keeps none.
fn ephemeral(settings: &mut Settings) -> std::io::Result<Option<TempDir>> {
    if !settings.ephemeral {
        return Ok(None);
    }
    let home = tempfile::Builder::new().prefix("windlass-ephemeral-").tempdir()?;
    settings.options.data = home.path().join("data");
    Ok(Some(home))
}

async fn serve(broker: Broker, settings: &Settings) -> ExitCode {
    let listening = net::bind(settings.listen).and_then(|listener| {
        let addr = listener.local_addr()?;
        Ok((listener, addr, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    });
    let (listener, addr, mut terminate, mut interrupt) = match listening {
        Ok(listening) => listening,
        Err(error) => {
            broker.drain();
            let message = format!("cannot listen on {}: {error}", settings.listen);
            return fail(Exit::Failed as u8, &message);
        }
    };
    let stop = CancellationToken::new();
    let mut options = NetOptions::new(broker.secret, settings.max_payload, settings.max_connections);
    let clock = settings.options.clock.clone();
    if clock.is_test() {
        options.terms = options.terms.with_test_clock();
    }
    let clock = Arc::new(move || clock.now_ms());
    let network = tokio::spawn(net::serve(listener, broker.door.clone(), options, clock, stop.clone()));
    output::line(&format!("windlass listening on {addr}"));
    tokio::select! {
        () = first_of(&mut terminate, &mut interrupt) => {}
        () = end_of_stdin(settings.until_stdin_ends) => {}
    }
    tracing::info!("draining; a second signal ends the broker at once");
    let drained = tokio::task::spawn_blocking(|| broker.drain());
    let orderly = async {
        let _joined = drained.await;
        stop.cancel();
        let _joined = network.await;
    };
    tokio::select! {
        () = orderly => tracing::info!("stopped"),
        () = first_of(&mut terminate, &mut interrupt) => {
            // What was acknowledged is on disk already: ending here loses nothing.
            tracing::warn!("ended by a second signal");
            std::process::exit(0);
        }
    }
    ExitCode::SUCCESS
}

/// Waits until whoever started the broker has closed its stdin; for ever if that is not asked for.
async fn end_of_stdin(is_awaited: bool) {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    if is_awaited {
        // It cannot be interrupted, so it has a thread of its own, which ends with the process.
        std::thread::spawn(move || {
            let _read_in_vain = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            drop(ended);
        });
        let _closed = end.await;
    } else {
        std::future::pending().await
    }
}

async fn first_of(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn log(settings: &Settings) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false);
    match settings.log {
        LogForm::Human => builder.init(),
        LogForm::Json => builder.json().init(),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(" ({source})"));
        cause = source.source();
    }
    text
}
