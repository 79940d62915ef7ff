//! Which queues have metrics of their own: so many at most, however many queues there are.

use super::meters::QueueMeasures;
use crate::limits::METRICS_QUEUES_MAX;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use windlass_engine::ids::NameId;
use windlass_engine::ledger::job::State;

/// The name under which all others are added up.
pub(super) const OTHERS: &str = "_other";

/// The queues shown so far. One that is shown stays so until the broker ends: if it became one of the
/// others, their counters would jump.
#[derive(Debug, Default)]
pub struct Shown {
    queues: Mutex<BTreeSet<NameId>>,
}

impl Shown {
    /// The queues to be shown one by one, and the sum of all others with their number.
    pub(super) fn split(
        &self,
        queues: Vec<QueueMeasures>,
        only: &[String],
    ) -> (Vec<QueueMeasures>, Option<(QueueMeasures, u64)>) {
        if !only.is_empty() {
            return (queues.into_iter().filter(|queue| only.contains(&queue.name)).collect(), None);
        }
        let mut shown = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut known, mut new): (Vec<_>, Vec<_>) =
            queues.into_iter().partition(|queue| shown.contains(&queue.id));
        let room = METRICS_QUEUES_MAX.saturating_sub(shown.len());
        if new.len() > room {
            // Those in which something goes on come first.
            new.sort_by_key(|queue| {
                let open = State::ALL.into_iter().filter(|state| !state.is_final());
                let open: u64 = open.map(|state| queue.counts[state.index()]).sum();
                std::cmp::Reverse((open > 0, queue.totals.enqueued))
            });
        }
        let others = new.split_off(room.min(new.len()));
        shown.extend(new.iter().map(|queue| queue.id));
        known.append(&mut new);
        known.sort_by_key(|queue| queue.id);
        let number = others.len() as u64;
        let sum = others.into_iter().reduce(|mut sum, other| {
            sum.add(&other);
            sum
        });
        let named =
            |sum| QueueMeasures { name: OTHERS.into(), namespace: String::new(), is_paused: false, ..sum };
        (known, sum.map(|sum| (named(sum), number)))
    }
}
