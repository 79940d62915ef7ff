//! The leases that the session holds, as far as this side knows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use windlass_proto::limits::RUNNING_MAX;
use windlass_proto::v1::hello::Running;
use windlass_proto::v1::hello::running::Held as Listed;
use windlass_proto::v1::{JobTouch, Work};

use crate::error::Result;
use crate::id::JobId;
use crate::lease::Held;

/// All leases, by fence: a fence never repeats, while a job may be leased again.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_fence: HashMap<u64, Lease>,
}

#[derive(Debug)]
struct Lease {
    held: Arc<Held>,
    /// Its end is moved by this side.
    extension: Option<Extension>,
    /// Its outcome is on the way; only the answer to that tells whether it still stands.
    settling: bool,
}

#[derive(Debug)]
struct Extension {
    lease_ms: u64,
    next: Instant,
}

/// Who moves the end of a lease that a visibility timeout limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extend {
    ByUs,
    ByCaller,
}

impl Leases {
    pub(super) fn is_empty(&self) -> bool {
        self.by_fence.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_fence.len()
    }

    /// A lease that has just been delivered.
    pub(super) fn add(&mut self, work: &Work, extend: Extend, now: Instant) -> Result<Arc<Held>> {
        let held = Arc::new(Held::new(JobId::from_slice(&work.id)?, work.fence));
        let extension = (extend == Extend::ByUs && work.ends_in_ms > 0)
            .then(|| Extension { lease_ms: work.ends_in_ms, next: now + third(work.ends_in_ms) });
        let lease = Lease { held: Arc::clone(&held), extension, settling: false };
        self.by_fence.insert(work.fence, lease);
        Ok(held)
    }

    /// What Hello lists as running. More than the protocol takes cannot come back; [`Leases::keep`] finds
    /// those missing and declares them lost.
    pub(super) fn running(&self) -> Running {
        let listed = |lease: &Lease| Listed { id: lease.held.id.to_bytes(), fence: lease.held.fence };
        Running { held: self.by_fence.values().take(RUNNING_MAX).map(listed).collect() }
    }

    /// The broker has told which leases stand; the runs of all others are told to stop.
    pub(super) fn keep(&mut self, kept: &[Bytes]) {
        let kept: HashSet<&[u8]> = kept.iter().map(AsRef::as_ref).collect();
        self.by_fence.retain(|_, lease| {
            let stands = lease.settling || kept.contains(lease.held.id.as_bytes().as_slice());
            if !stands {
                lease.held.lose("the lease was lost while the connection was down");
            }
            stands
        });
    }

    /// The outcome is on its way to the broker: the run is over, but the lease still has to be listed.
    pub(super) fn settle(&mut self, fence: u64) {
        if let Some(lease) = self.by_fence.get_mut(&fence) {
            lease.settling = true;
            lease.extension = None;
        }
    }

    /// The lease is over.
    pub(super) fn end(&mut self, fence: u64) {
        self.by_fence.remove(&fence);
    }

    /// The broker has ended the lease.
    pub(super) fn lose(&mut self, fence: u64, reason: &str) {
        if let Some(lease) = self.by_fence.remove(&fence) {
            lease.held.lose(reason);
        }
    }

    /// Asks a run to stop. Without a fence the job says which.
    pub(super) fn cancel(&self, fence: u64, job: &[u8], reason: &str) {
        let named = self.by_fence.get(&fence).or_else(|| {
            let of_job = |lease: &&Lease| fence == 0 && lease.held.id.as_bytes().as_slice() == job;
            self.by_fence.values().find(of_job)
        });
        if let Some(lease) = named {
            lease.held.cancel(reason);
        }
    }

    /// Asks all runs to stop; their leases stand.
    pub(super) fn cancel_all(&self, reason: &str) {
        for lease in self.by_fence.values() {
            lease.held.cancel(reason);
        }
    }

    /// All runs are over as far as this side is concerned.
    pub(super) fn lose_all(&mut self, reason: &str) {
        for (_, lease) in self.by_fence.drain() {
            lease.held.lose(reason);
        }
    }

    /// Leases without an outcome yet.
    pub(super) fn unsettled(&self) -> Vec<Arc<Held>> {
        let unsettled = self.by_fence.values().filter(|lease| !lease.settling);
        unsettled.map(|lease| Arc::clone(&lease.held)).collect()
    }

    /// What has to be said now so that no visibility timeout runs out.
    pub(super) fn extensions(&mut self, now: Instant) -> Vec<JobTouch> {
        let mut touches = Vec::new();
        for lease in self.by_fence.values_mut() {
            let Some(extension) = lease.extension.as_mut().filter(|due| due.next <= now) else {
                continue;
            };
            extension.next = now + third(extension.lease_ms);
            touches.push(JobTouch {
                id: lease.held.id.to_bytes(),
                fence: lease.held.fence,
                extend_ms: Some(extension.lease_ms),
                ..JobTouch::default()
            });
        }
        touches
    }

    /// When [`Leases::extensions`] has something to say next.
    pub(super) fn next_extension(&self) -> Option<Instant> {
        self.by_fence.values().filter_map(|lease| Some(lease.extension.as_ref()?.next)).min()
    }
}

/// Two tries may fail before the lease runs out.
fn third(lease_ms: u64) -> Duration {
    Duration::from_millis((lease_ms / 3).max(1))
}
