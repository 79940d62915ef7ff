//! SIGHUP: what the broker reads anew while it runs.
//!
//! One place listens to the signal; whoever has something to read anew hands in how. A fault is logged,
//! and what was in force stays so.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Something that can be read anew.
pub(crate) struct Reloadable {
    /// What it is, for the log.
    pub(crate) name: &'static str,
    /// Reads it; an error says what is wrong, in words without secrets.
    pub(crate) reload: Box<dyn Fn() -> Result<(), String> + Send>,
}

impl Reloadable {
    pub(crate) fn new(name: &'static str, reload: impl Fn() -> Result<(), String> + Send + 'static) -> Self {
        Self { name, reload: Box::new(reload) }
    }
}

/// Reads everything anew at each SIGHUP, until `stop`. Where there is nothing to read, the signal keeps
/// its meaning: a broker on a terminal ends with it.
///
/// # Errors
/// If the system does not let us hear the signal.
pub(crate) fn at_hangup(all: Vec<Reloadable>, stop: CancellationToken) -> std::io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    // Before anything else is said to be ready: from here on the signal no longer ends the process.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = stop.cancelled() => return,
            }
            for one in &all {
                match (one.reload)() {
                    Ok(()) => tracing::info!(what = one.name, "read anew"),
                    Err(error) => {
                        tracing::error!(what = one.name, %error, "not read anew; what was in force stays so");
                    }
                }
            }
        }
    });
    Ok(())
}
