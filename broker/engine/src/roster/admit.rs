//! Admission: the limits let a picked job start, or its lane waits until they do.

use super::lanes::{Lanes, Spot};
use super::limits::{Admission, Asker, BucketId, Cover};
use super::{Roster, Timer};
use crate::fact::{Counts, Fact};
use crate::ids::{Ms, NameId};
use crate::ledger::job::Job;
use crate::ledger::names::Names;
use alloc::vec::Vec;

/// A job that was picked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) queue: NameId,
    pub(crate) spot: Spot,
    pub(crate) cost: u32,
    /// It has failed before.
    pub(crate) is_retry: bool,
}

impl Roster {
    /// Whether all limits let the job at this spot start. If one does not, its ring is blocked, or its
    /// lane parked, until that one opens.
    pub(crate) fn admit(&mut self, names: &Names, wanted: Wanted, now: Ms) -> bool {
        if self.limits.is_empty() {
            return true;
        }
        let Wanted { queue, spot, cost, is_retry } = wanted;
        let cover = self.limits.cover(names, queue, spot.ring.kind, spot.ring.gate);
        for &limit in &cover.whole {
            let asker = Asker { seq: spot.seq, cost, waiter: (queue, spot.ring, None) };
            if !self.ask(BucketId { limit, key: 0 }, asker, now) {
                self.keep(queue, |lanes| lanes.block(spot.ring));
                return false;
            }
        }
        for &limit in &cover.keyed {
            let Some(id) = self.limits.bucket_of(names, limit, spot.key) else { continue };
            let asker = Asker { seq: spot.seq, cost, waiter: (queue, spot.ring, Some(spot.key)) };
            if !self.ask(id, asker, now) {
                self.keep(queue, |lanes| lanes.park(spot.ring, spot.key));
                return false;
            }
        }
        !is_retry || self.admit_retry(names, &cover, wanted, now)
    }

    /// Whether all limits let the retry start; if not, it is set aside, and others pass it.
    fn admit_retry(&mut self, names: &Names, cover: &Cover, wanted: Wanted, now: Ms) -> bool {
        let whole = cover.whole.iter().map(|&limit| BucketId { limit, key: 0 });
        let keyed = cover.keyed.iter();
        let keyed = keyed.filter_map(|&limit| self.limits.bucket_of(names, limit, wanted.spot.key));
        let all: Vec<BucketId> = whole.chain(keyed).collect();
        let Some(id) = all.into_iter().find(|&id| !self.limits.admits_retry(id, now)) else { return true };
        let Wanted { queue, spot, .. } = wanted;
        if let Some(index) = self.queues.get_mut(&queue) {
            index.set_aside(spot, id);
        }
        if let Some(retries) = self.limits.retries_mut(id) {
            retries.set_aside(spot.seq, queue);
        }
        self.arm_retries(id, now.saturating_add(1));
        self.keep(queue, |_| ());
        false
    }

    /// Whoever was set aside in this bucket is looked at again in time, but not before `earliest`.
    pub(crate) fn arm_retries(&mut self, id: BucketId, earliest: Ms) {
        let Some(retries) = self.limits.retries_mut(id) else { return };
        if retries.timer_at == 0 && !retries.is_empty() {
            retries.timer_at = retries.next_at().max(earliest);
            let at = retries.timer_at;
            self.timers.insert(at, Timer::Retries(id));
        }
    }

    /// The same for a job that stands in no lane; it is told when a limit opens.
    pub(crate) fn admit_suspect(
        &mut self,
        names: &Names,
        queue: NameId,
        spot: Spot,
        cost: u32,
        now: Ms,
    ) -> bool {
        if self.limits.is_empty() {
            return true;
        }
        let cover = self.limits.cover(names, queue, spot.ring.kind, spot.ring.gate);
        let whole = cover.whole.iter().map(|&limit| BucketId { limit, key: 0 });
        let keyed = cover.keyed.iter().filter_map(|&limit| self.limits.bucket_of(names, limit, spot.key));
        let all: Vec<BucketId> = whole.chain(keyed).collect();
        let asker = Asker { seq: spot.seq, cost, waiter: (queue, spot.ring, Some(spot.key)) };
        all.into_iter().all(|id| self.ask(id, asker, now))
    }

    /// Something of the queue's lanes waits now; what stands behind it may fit who had no room for it.
    fn keep(&mut self, queue: NameId, wait: impl FnOnce(&mut Lanes)) {
        let Some(index) = self.queues.get_mut(&queue) else { return };
        wait(&mut index.lanes);
        if core::mem::take(&mut index.skipped) {
            self.stir(queue);
        }
    }

    /// The job does not wait any more, and nobody waits for its sake.
    pub(crate) fn withdraw(&mut self, names: &Names, job: &Job) {
        for id in self.limits.claim(names, job) {
            if self.limits.find(id).is_some_and(|bucket| bucket.is_closed && bucket.closed_by == job.seq) {
                self.open_bucket(id);
            }
        }
    }

    fn ask(&mut self, id: BucketId, asker: Asker, now: Ms) -> bool {
        match self.limits.admits(id, asker, now) {
            Admission::Free => true,
            Admission::Closed { opens_at } => {
                if let Some(at) = opens_at {
                    self.timers.insert(at, Timer::Bucket(id));
                }
                false
            }
        }
    }

    /// A lease ends by this fact: breakers count whether it went well.
    pub(crate) fn note_end(&mut self, job: &Job, fact: &Fact) {
        let counted = |counts: &Counts| matches!(counts, Counts::Attempt | Counts::Crash);
        let (failed, now) = if let Fact::Completed { end, .. } = fact {
            (false, end.at)
        } else if let Fact::Returned { counts, now, .. } = fact
            && counted(counts)
        {
            (true, *now)
        } else if let Fact::Died { counts, end, .. } = fact
            && counted(counts)
        {
            (true, end.at)
        } else {
            return;
        };
        let Some(lease) = &job.lease else { return };
        let mark = self.sessions.get(&lease.session).and_then(|presence| presence.leases.get(&job.seq));
        for id in mark.map(|mark| mark.buckets.clone()).unwrap_or_default() {
            let was_open = self.limits.is_broken(id);
            if self.limits.ended(id, failed, now) {
                let is_open = self.limits.is_broken(id);
                if is_open != was_open {
                    self.tripped.push((id, is_open));
                }
                self.open_bucket(id);
            }
        }
    }

    /// The bucket opens: who waited for it is asked again.
    pub(crate) fn open_bucket(&mut self, id: BucketId) {
        let (waiters, timer) = self.limits.open(id);
        if let Some(at) = timer {
            self.timers.remove(at, Timer::Bucket(id));
        }
        for (queue, ring, key) in waiters {
            let Some(index) = self.queues.get_mut(&queue) else { continue };
            match key {
                Some(key) => index.lanes.unpark(ring, key),
                None => index.lanes.unblock(ring),
            }
            self.stirred.entry((queue, ring.kind)).or_default().again = true;
        }
    }

    /// Every bucket opens: limits have changed.
    pub(crate) fn open_buckets(&mut self) {
        let closed = self.limits.buckets().filter(|(_, bucket)| bucket.is_closed);
        let closed: Vec<BucketId> = closed.map(|(id, _)| id).collect();
        for id in closed {
            self.open_bucket(id);
        }
    }
}
