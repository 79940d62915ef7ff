//! The usual sign to stop: SIGINT or SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Completes at the first SIGINT (Ctrl-C) or SIGTERM. The second one ends the process at once with code
/// 130: whoever sends it does not want to wait. Meant for [`Worker::run_until`](crate::Worker::run_until).
///
/// # Panics
/// Outside of a tokio runtime, and if the system gives the process no signal handlers: a worker that could
/// not be stopped gracefully must not start.
pub async fn shutdown_signal() {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt()).expect("SIGINT can be handled"),
        terminate: signal(SignalKind::terminate()).expect("SIGTERM can be handled"),
    };
    signals.next().await;
    // Meant to outlive the caller: it waits for the rest of the process's life.
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(EXIT_INTERRUPTED);
    });
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What shells report for a program that SIGINT has ended.
const EXIT_INTERRUPTED: i32 = 130;
