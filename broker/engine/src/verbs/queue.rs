//! Queues as they are configured: what a Put says of one reaches what is derived of it.

use crate::engine::{Engine, Turn};
use crate::fact::{Fact, ResourceBody, ResourceKey};
use crate::ids::NameId;
use crate::limits::KEPT_PER_TICK;
use crate::queue_conf::{Dispatch, QueueConf};
use crate::roster::kept_bytes::FINAL;

/// Ended jobs that are looked at in one step.
const WEIGHED_AT_ONCE: usize = 64;

impl Engine {
    /// The queues as the store holds their configuration; before jobs join.
    pub(crate) fn load_queues(&mut self) {
        let keys = self.ledger.resources.keys();
        let queues: alloc::vec::Vec<NameId> = keys
            .filter_map(|key| match *key {
                ResourceKey::Queue(queue) => Some(queue),
                ResourceKey::Namespace(_)
                | ResourceKey::Kind(_)
                | ResourceKey::Limit(_)
                | ResourceKey::Schedule(_)
                | ResourceKey::Sink(_) => None,
            })
            .collect();
        queues.into_iter().for_each(|queue| self.reconfigure(queue));
    }

    /// The configuration of a queue was set or removed.
    pub(crate) fn reconfigure(&mut self, queue: NameId) {
        let conf = self.queue_conf(queue).cloned().unwrap_or_default();
        let index = self.roster.queues.entry(queue).or_default();
        index.is_random = conf.dispatch == Dispatch::Random;
        index.lanes.serve_oldest_every(conf.fair_every);
        if conf.keep_bytes == 0 {
            index.kept_bytes = None;
        } else {
            index.kept_bytes.get_or_insert_default().most = conf.keep_bytes;
            self.roster.heavy.insert(queue);
        }
    }

    /// Ended jobs lose what they hold where it is more than their queue is to keep; a few at a time, the
    /// next ticks go on.
    pub(crate) fn lighten(&mut self, turn: &mut Turn) {
        let mut left = KEPT_PER_TICK;
        while left > 0
            && let Some(&queue) = self.roster.heavy.first()
        {
            left -= 1;
            let kept = self.roster.queues.get(&queue).and_then(|index| index.kept_bytes.as_ref());
            if kept.is_some_and(|kept| !kept.is_complete()) {
                self.weigh_kept(queue);
            } else if let Some(seq) = kept.and_then(|kept| kept.over()) {
                self.decide(turn, Fact::Emptied { seq });
            } else {
                self.roster.heavy.remove(&queue);
            }
        }
    }

    /// Looks on through the jobs that had ended before the queue was to keep only so many bytes.
    fn weigh_kept(&mut self, queue: NameId) {
        let Some(index) = self.roster.queues.get_mut(&queue) else { return };
        let Some(kept) = &mut index.kept_bytes else { return };
        let (place, after) = kept.looked;
        let Some(state) = FINAL.get(place) else { return };
        let mut last = None;
        for seq in index.states[state.index()].after(after).take(WEIGHED_AT_ONCE) {
            last = Some(seq);
            self.ledger.jobs.get(seq).into_iter().for_each(|job| kept.join(job));
        }
        kept.looked = if last.is_some() { (place, last) } else { (place + 1, None) };
    }

    /// What is configured of a queue, if anything is.
    pub(crate) fn queue_conf(&self, queue: NameId) -> Option<&QueueConf> {
        match &self.ledger.resources.get(&ResourceKey::Queue(queue))?.body {
            ResourceBody::Queue(conf) => Some(conf),
            ResourceBody::Policy(_)
            | ResourceBody::Limit(_)
            | ResourceBody::Schedule(_)
            | ResourceBody::Sink(_) => None,
        }
    }
}
