//! The usual sign to stop: SIGINT or SIGTERM.

/// Completes at the first SIGINT (Ctrl-C) or SIGTERM; the second one then ends the process at once, since
/// whoever sends it does not want to wait.
///
/// Must be called within a tokio runtime. Meant for [`Worker::run_until`](crate::Worker::run_until).
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    todo!()
}
