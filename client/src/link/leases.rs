//! The leases that the session holds, as far as this side knows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use windlass_proto::limits::{JOBS_PER_FRAME_MAX, RUNNING_MAX};
use windlass_proto::v1::hello::Running;
use windlass_proto::v1::hello::running::Held as Listed;
use windlass_proto::v1::{JobTouch, Work};

use crate::error::Result;
use crate::id::JobId;
use crate::lease::{Cause, Held};

/// All leases, by fence: a fence never repeats, while a job may be leased again.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_fence: HashMap<u64, Lease>,
    /// No visibility timeout has to be moved before this instant.
    next_extension: Option<Instant>,
    /// A lease has come that is due sooner than all others were.
    is_sooner: bool,
}

#[derive(Debug)]
struct Lease {
    held: Arc<Held>,
    /// When its visibility timeout runs out; `None`: it lives as long as the session.
    ends: Option<Instant>,
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
        if let Some(due) = extension.as_ref().map(|extension| extension.next)
            && self.next_extension.is_none_or(|next| due < next)
        {
            self.next_extension = Some(due);
            self.is_sooner = true;
        }
        let ends = (work.ends_in_ms > 0).then(|| now + Duration::from_millis(work.ends_in_ms));
        let lease = Lease { held: Arc::clone(&held), ends, extension, settling: false };
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
            lease.held.cancel(Cause::Asked, reason);
        }
    }

    /// Asks all runs to stop because this side ends; their leases stand.
    pub(super) fn stop_all(&self, reason: &str) {
        for lease in self.by_fence.values() {
            lease.held.cancel(Cause::Stopping, reason);
        }
    }

    /// All runs are over as far as this side is concerned.
    pub(super) fn lose_all(&mut self, reason: &str) {
        for (_, lease) in self.by_fence.drain() {
            lease.held.lose(reason);
        }
    }

    /// The broker has said how long the lease lasts from the instant at which it was asked.
    pub(super) fn extended(&mut self, fence: u64, asked: Instant, ends_in_ms: u64) {
        if let Some(lease) = self.by_fence.get_mut(&fence)
            && lease.ends.is_some()
            && ends_in_ms > 0
        {
            lease.ends = Some(asked + Duration::from_millis(ends_in_ms));
        }
    }

    /// Asks the runs to stop whose leases the broker may have given to others by now, because it could not
    /// be reached: those of the session end at `session_ends`. The broker has the last word: a lease that
    /// turns out to stand keeps its outcome.
    pub(super) fn lapse(&self, session_ends: Instant, now: Instant) {
        for lease in self.by_fence.values() {
            if !lease.settling
                && lease.ends.unwrap_or(session_ends) <= now
                && !lease.held.token.is_cancelled()
            {
                tracing::warn!(job = %lease.held.id, "the broker is out of reach for as long as the lease lasts");
                lease
                    .held
                    .cancel(Cause::Lapsed, "the broker could not be reached for as long as the lease lasts");
            }
        }
    }

    /// Leases without an outcome yet.
    pub(super) fn unsettled(&self) -> Vec<Arc<Held>> {
        let unsettled = self.by_fence.values().filter(|lease| !lease.settling);
        unsettled.map(|lease| Arc::clone(&lease.held)).collect()
    }

    /// What has to be said now so that no visibility timeout runs out, and when the next one is due.
    pub(super) fn extensions(&mut self, now: Instant) -> (Vec<JobTouch>, Option<Instant>) {
        self.is_sooner = false;
        if self.next_extension.is_none_or(|next| next > now) {
            return (Vec::new(), self.next_extension);
        }
        let mut touches = Vec::new();
        let mut next_extension: Option<Instant> = None;
        for Lease { held, extension, .. } in self.by_fence.values_mut() {
            let Some(extension) = extension else { continue };
            if extension.next <= now && touches.len() < JOBS_PER_FRAME_MAX {
                extension.next = now + third(extension.lease_ms);
                touches.push(JobTouch {
                    id: held.id.to_bytes(),
                    fence: held.fence,
                    extend_ms: Some(extension.lease_ms),
                    ..JobTouch::default()
                });
            }
            next_extension = Some(next_extension.map_or(extension.next, |next| next.min(extension.next)));
        }
        self.next_extension = next_extension;
        (touches, next_extension)
    }

    /// Whether a lease is due sooner than was said by the last [`Leases::extensions`].
    pub(super) fn is_sooner(&self) -> bool {
        self.is_sooner
    }
}

/// Two tries may fail before the lease runs out.
fn third(lease_ms: u64) -> Duration {
    Duration::from_millis((lease_ms / 3).max(1))
}
