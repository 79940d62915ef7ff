//! One lease as its holder sees it: what it is, whether it is to stop, and whether it is lost.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::id::JobId;

/// Why a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The broker asked for it: somebody cancelled the job, or its time is up.
    Asked,
    /// The worker is stopping.
    Stopping,
    /// The broker could not be reached for as long as the lease lasts.
    Lapsed,
    /// The broker has ended the lease.
    Lost,
}

/// A lease that a handler or a caller holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: JobId,
    pub(crate) fence: u64,
    pub(crate) token: CancellationToken,
    why: OnceLock<(Cause, String)>,
    lost: AtomicBool,
}

impl Held {
    pub(crate) fn new(id: JobId, fence: u64) -> Self {
        Self {
            id,
            fence,
            token: CancellationToken::new(),
            why: OnceLock::new(),
            lost: AtomicBool::new(false),
        }
    }

    /// Asks the run to stop; the first reason stands.
    pub(crate) fn cancel(&self, cause: Cause, reason: &str) {
        // The reason is there before the token fires, so that whoever wakes up can read it.
        let _first_stands = self.why.set((cause, reason.to_owned()));
        self.token.cancel();
    }

    /// The lease has ended: the run is to stop, and its outcome will not be taken.
    pub(crate) fn lose(&self, reason: &str) {
        self.lost.store(true, Ordering::Release);
        self.cancel(Cause::Lost, reason);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.why().map(|(_, reason)| reason.as_str())
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.why().map(|(cause, _)| *cause)
    }

    fn why(&self) -> Option<&(Cause, String)> {
        // Set a moment before the token: until that fires, the run has not been asked.
        if self.token.is_cancelled() { self.why.get() } else { None }
    }
}
