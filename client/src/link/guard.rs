//! A lease in a caller's hands: it is settled, or given back.

use std::sync::Arc;

use super::shared::Shared;
use crate::lease::Held;

/// A lease in a caller's hands: unless it is settled, dropping it gives the job back.
#[derive(Debug)]
pub(crate) struct LeaseGuard {
    held: Arc<Held>,
    shared: Arc<Shared>,
    settled: bool,
}

impl LeaseGuard {
    pub(crate) fn new(held: Arc<Held>, shared: Arc<Shared>) -> Self {
        Self { held, shared, settled: false }
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The caller settles by other means.
    pub(crate) fn disarm(&mut self) {
        self.settled = true;
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.give_back(&self.held, "dropped without an outcome");
        }
    }
}
