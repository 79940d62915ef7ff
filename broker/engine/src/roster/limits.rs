//! Limits: which of them bound which jobs, and how much of each is in use.
//!
//! A limit has one bucket, or one for each key. A rate is a GCRA (ITU-T I.371; the virtual scheduling
//! form): each start moves the bucket's theoretical time on by its cost, and a start may come no
//! further ahead of that time than the burst allows. After a start of the broker a bucket has no burst
//! saved up, so a restart lets at most one start through that the rate would not, and nothing has to
//! be stored for it.

use super::buckets::Buckets;
use super::lanes::RingAt;
use super::retries::Retries;
use super::timers::Timer;
use crate::ids::{Ms, NameId, Seq};
use crate::ledger::job::Job;
use crate::ledger::names::{Name, Names};
use crate::limit::{Breaker, Limit};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

const NS: u64 = 1_000_000;

/// Starts under a limit from one look at buckets to the next, to forget those at rest.
const SWEEP_EVERY: u32 = 16;

/// Buckets looked at then: neighbours in memory.
const SWEPT: usize = 32;

/// Covers remembered before all are looked up anew.
const COVERS_MAX: usize = 65_536;

/// The part of a limit that counts for itself: all of it, or one key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BucketId {
    pub(crate) limit: NameId,
    /// A key's text as 64 bits, which outlive its number; 0 = of all keys together.
    pub(crate) key: u64,
}

/// A ring (None) or one lane of it, in a queue.
pub(crate) type Waiter = (NameId, RingAt, Option<NameId>);

/// A job that wants to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) seq: Seq,
    pub(crate) cost: u32,
    pub(crate) waiter: Waiter,
}

/// What is in use.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// Cost leased now.
    pub(crate) in_use: u64,
    /// GCRA's theoretical arrival time.
    tat_ns: u64,
    /// Pushed back by a handler until then.
    pub(crate) pushed_back_until: Ms,
    /// Somebody was turned away, and whoever comes next waits with him: so a costly job is not
    /// passed by cheap ones for ever.
    pub(crate) is_closed: bool,
    /// The job that was turned away first.
    pub(crate) closed_by: Seq,
    /// When it opens by itself; None = when something that runs ends.
    pub(crate) opens_at: Option<Ms>,
    pub(crate) waiters: BTreeSet<Waiter>,
    pub(crate) breaker: Circuit,
    /// Of a limit that bounds the share of retries.
    pub(crate) retries: Option<Box<Retries>>,
}

/// The state of a breaker. It forgets a restart: what failed then may be mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Circuit {
    ends: u32,
    failures: u32,
    /// Open until then, and after it until a probe has ended; 0 = it is closed.
    pub(crate) open_until: Ms,
    /// Cost that has started as a probe.
    probed: u32,
}

/// The limits that bound the jobs of a queue, kind and gate.
#[derive(Debug, Default)]
pub(crate) struct Cover {
    /// Those that bound all of them alike.
    pub(crate) whole: Vec<NameId>,
    /// Those that look at the key.
    pub(crate) keyed: Vec<NameId>,
}

/// One limit.
#[derive(Debug)]
struct Row {
    limit: Limit,
    /// What was used of it before is not known; 0 = it was set in this run of the broker.
    known_since: Ms,
}

/// All limits.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    rows: BTreeMap<NameId, Row>,
    covers: BTreeMap<(NameId, NameId, NameId), Arc<Cover>>,
    buckets: Buckets,
    /// Where the next look goes on.
    swept: (NameId, usize),
    /// Starts since the last look.
    unswept: u32,
}

impl Limits {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A gate's number may stand for another gate from now on.
    pub(crate) fn forget_covers(&mut self) {
        self.covers.clear();
    }

    pub(crate) fn get(&self, limit: NameId) -> Option<&Limit> {
        self.rows.get(&limit).map(|row| &row.limit)
    }

    /// A limit that stood before the broker started: what was used of it is not known.
    pub(crate) fn load(&mut self, id: NameId, limit: Limit, now: Ms) {
        self.rows.insert(id, Row { limit, known_since: now });
    }

    /// A limit was set or removed. What its buckets hold stays where it is.
    pub(crate) fn set(&mut self, id: NameId, limit: Option<Limit>) {
        self.covers.clear();
        let old = self.rows.remove(&id);
        if let Some(limit) = limit {
            let known_since = old.map_or(0, |row| row.known_since);
            self.rows.insert(id, Row { limit, known_since });
        }
    }

    /// Leases are counted anew: a limit may bound others now.
    pub(crate) fn recount(&mut self) {
        for (_, bucket) in self.buckets.iter_mut() {
            bucket.in_use = 0;
        }
    }

    /// The limits of a queue, kind and gate.
    pub(crate) fn cover(&mut self, names: &Names, queue: NameId, kind: NameId, gate: NameId) -> Arc<Cover> {
        if let Some(cover) = self.covers.get(&(queue, kind, gate)) {
            return cover.clone();
        }
        let cover = Arc::new(self.look_up(names, queue, kind, gate));
        if self.covers.len() >= COVERS_MAX {
            self.covers.clear();
        }
        self.covers.insert((queue, kind, gate), cover.clone());
        cover
    }

    fn look_up(&self, names: &Names, queue: NameId, kind: NameId, gate: NameId) -> Cover {
        let named = names.gate(gate).map(|gate| gate.limits.as_slice()).unwrap_or_default();
        let namespace = if let Some(Name::Queue(namespace, _)) = names.get(queue) { *namespace } else { 0 };
        let mut cover = Cover::default();
        for (&id, Row { limit, .. }) in &self.rows {
            let applies = if limit.is_named() {
                let Some(Name::Limit(of, text)) = names.get(id) else { continue };
                *of == namespace && named.contains(text)
            } else {
                [(limit.queue, queue), (limit.kind, kind)]
                    .iter()
                    .all(|&(asked, is)| asked == 0 || asked == is)
            };
            // A key belongs to a namespace, as queues and kinds do.
            match (applies, limit.per_key || limit.key > 0) {
                (true, true) => cover.keyed.push(id),
                (true, false) => cover.whole.push(id),
                (false, _) => {}
            }
        }
        cover
    }

    /// The bucket of a limit for a key; None = the limit is about another key.
    pub(crate) fn bucket_of(&self, names: &Names, limit: NameId, key: NameId) -> Option<BucketId> {
        let row = self.get(limit)?;
        if row.key > 0 && row.key != key {
            return None;
        }
        let key = if row.per_key && key > 0 { names.bits(key) } else { 0 };
        Some(BucketId { limit, key })
    }

    /// All buckets that a job's lease counts into.
    pub(crate) fn claim(&mut self, names: &Names, job: &Job) -> Vec<BucketId> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let cover = self.cover(names, job.queue, job.kind, job.gate);
        self.claims_of(names, &cover, job)
    }

    /// The same without remembering what was looked up.
    pub(crate) fn claims(&self, names: &Names, job: &Job) -> Vec<BucketId> {
        self.claims_of(names, &self.look_up(names, job.queue, job.kind, job.gate), job)
    }

    fn claims_of(&self, names: &Names, cover: &Cover, job: &Job) -> Vec<BucketId> {
        let whole = cover.whole.iter().map(|&limit| BucketId { limit, key: 0 });
        whole.chain(cover.keyed.iter().filter_map(|&limit| self.bucket_of(names, limit, job.key))).collect()
    }

    // ------------------------------------------------------------------ use

    /// Whether a job of this cost may start; if not, when its bucket opens by itself.
    pub(crate) fn admits(&mut self, id: BucketId, asker: Asker, now: Ms) -> Admission {
        let Asker { seq, cost, waiter } = asker;
        let Some(row) = self.rows.get(&id.limit) else { return Admission::Free };
        let bucket = self.buckets.get_or_insert_with(id, || Bucket::new(row));
        let row = &row.limit;
        let is_first = !bucket.is_closed;
        if is_first {
            match bucket.look(row, cost, now) {
                Look::Free => return Admission::Free,
                Look::Until(opens_at) => bucket.opens_at = Some(opens_at),
                Look::InUse => bucket.opens_at = None,
            }
            bucket.is_closed = true;
            bucket.closed_by = seq;
        }
        bucket.waiters.insert(waiter);
        Admission::Closed { opens_at: bucket.opens_at.filter(|_| is_first) }
    }

    /// The same without asking to be told, so that nothing changes. True = what runs keeps it, and not time.
    pub(crate) fn would_admit(&self, id: BucketId, cost: u32, now: Ms) -> (Admission, bool) {
        let Some(row) = self.rows.get(&id.limit) else { return (Admission::Free, false) };
        let fresh = Bucket::new(row);
        let bucket = self.buckets.get(id).unwrap_or(&fresh);
        let (free, opens_at) = match bucket.look(&row.limit, cost, now) {
            Look::Free => (true, None),
            Look::Until(at) => (false, Some(at)),
            Look::InUse => (false, None),
        };
        if free && !bucket.is_closed {
            return (Admission::Free, false);
        }
        // It may have been pushed back since it was closed.
        let opens_at = opens_at.max(bucket.opens_at);
        (Admission::Closed { opens_at }, opens_at.is_none())
    }

    /// A lease begins to count.
    pub(crate) fn take(&mut self, claims: &[BucketId], cost: u32) {
        for &id in claims {
            self.bucket(id).in_use += u64::from(cost);
        }
    }

    /// A lease ceases to count, in this bucket. True = who waits may look again.
    pub(crate) fn give(&mut self, id: BucketId, cost: u32) -> bool {
        let Some(bucket) = self.buckets.get_mut(id) else { return false };
        bucket.in_use = bucket.in_use.saturating_sub(u64::from(cost));
        bucket.is_closed && bucket.opens_at.is_none()
    }

    /// A job starts: rates and probes are used up. True = one of the limits looks at retries.
    pub(crate) fn charge(&mut self, claims: &[BucketId], cost: u32, is_retry: bool, now: Ms) -> bool {
        let mut looks_at_retries = false;
        for &id in claims {
            let Some(limit) = self.get(id.limit) else { continue };
            let (interval, share) = (limit.interval_ns(), limit.retry_permille);
            let bucket = self.bucket(id);
            if share > 0 {
                looks_at_retries = true;
                bucket.retries.get_or_insert_default().started(share, is_retry, now);
            }
            if interval > 0 {
                let at = bucket.tat_ns.max(now.saturating_mul(NS));
                bucket.tat_ns = at.saturating_add(interval.saturating_mul(u64::from(cost)));
            }
            if bucket.breaker.open_until > 0 {
                bucket.breaker.probed = bucket.breaker.probed.saturating_add(cost);
            }
            self.sweep(now);
        }
        looks_at_retries
    }

    /// The share of retries lets one start in this bucket.
    pub(crate) fn admits_retry(&mut self, id: BucketId, now: Ms) -> bool {
        self.room_for_retries(id, now) > 0
    }

    /// How many retries may start in this bucket now; of a limit that does not bound them any.
    pub(crate) fn room_for_retries(&mut self, id: BucketId, now: Ms) -> u64 {
        match self.get(id.limit).map_or(0, |limit| limit.retry_permille) {
            0 => u64::MAX,
            share => self.bucket(id).retries.get_or_insert_default().room(share, now),
        }
    }

    /// The retries of a bucket, if it has any set aside.
    pub(crate) fn retries_mut(&mut self, id: BucketId) -> Option<&mut Retries> {
        self.buckets.get_mut(id)?.retries.as_deref_mut()
    }

    /// What was let through has ended, well or badly. True = the breaker opened or closed.
    pub(crate) fn ended(&mut self, id: BucketId, failed: bool, now: Ms) -> bool {
        let Some(rule) = self.get(id.limit).and_then(|limit| limit.breaker) else { return false };
        self.bucket(id).breaker.ended(rule, failed, now)
    }

    /// The breaker of this bucket is open, or was and its probe has not ended.
    pub(crate) fn is_broken(&self, id: BucketId) -> bool {
        self.find(id).is_some_and(|bucket| bucket.breaker.open_until > 0)
    }

    /// A handler was told to slow down: nothing passes until then.
    pub(crate) fn push_back(&mut self, id: BucketId, until: Ms) {
        let bucket = self.bucket(id);
        bucket.pushed_back_until = bucket.pushed_back_until.max(until);
    }

    /// The bucket opens: who waited, and where its timer stands.
    pub(crate) fn open(&mut self, id: BucketId) -> (Vec<Waiter>, Option<Ms>) {
        let Some(bucket) = self.buckets.get_mut(id) else { return (Vec::new(), None) };
        bucket.is_closed = false;
        (core::mem::take(&mut bucket.waiters).into_iter().collect(), bucket.opens_at.take())
    }

    /// Everybody's deadlines move; tells where timers stood and stand.
    pub(crate) fn shift(&mut self, by: i64) -> Vec<(Timer, Ms, Ms)> {
        let moved = |at: Ms| if at == 0 { 0 } else { at.saturating_add_signed(by).max(1) };
        let mut timers = Vec::new();
        for row in self.rows.values_mut() {
            row.known_since = moved(row.known_since);
        }
        for (id, bucket) in self.buckets.iter_mut() {
            bucket.tat_ns = bucket.tat_ns.saturating_add_signed(by.saturating_mul(NS as i64));
            bucket.pushed_back_until = moved(bucket.pushed_back_until);
            bucket.breaker.open_until = moved(bucket.breaker.open_until);
            if let Some(retries) = &mut bucket.retries {
                let before = retries.timer_at;
                retries.shift(moved);
                if before > 0 {
                    timers.push((Timer::Retries(id), before, retries.timer_at));
                }
            }
            if let Some(opens_at) = &mut bucket.opens_at {
                timers.push((Timer::Bucket(id), *opens_at, moved(*opens_at)));
                *opens_at = moved(*opens_at);
            }
        }
        timers
    }

    pub(crate) fn find(&self, id: BucketId) -> Option<&Bucket> {
        self.buckets.get(id)
    }

    pub(crate) fn buckets(&self) -> impl Iterator<Item = (BucketId, &Bucket)> {
        self.buckets.iter()
    }

    /// The buckets of one limit.
    pub(crate) fn of_limit(&self, limit: NameId) -> impl Iterator<Item = (BucketId, &Bucket)> {
        self.buckets.of_limit(limit)
    }

    fn bucket(&mut self, id: BucketId) -> &mut Bucket {
        let row = self.rows.get(&id.limit);
        let fresh = || row.map_or_else(Bucket::default, Bucket::new);
        self.buckets.get_or_insert_with(id, fresh)
    }

    /// Now and then forgets buckets that say no more than a new one would.
    fn sweep(&mut self, now: Ms) {
        self.unswept += 1;
        if self.unswept < SWEEP_EVERY {
            return;
        }
        self.unswept = 0;
        let (idle, next) = self.buckets.walk(self.swept, SWEPT, |bucket| bucket.is_idle(now));
        self.swept = next;
        for id in idle {
            self.buckets.remove(id);
        }
    }
}

/// Whether a job may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Free,
    /// It waits; the bucket opens by itself then, which `admits` tells only to the first who waits.
    Closed {
        opens_at: Option<Ms>,
    },
}

enum Look {
    Free,
    /// Not before then.
    Until(Ms),
    /// When something that runs has ended.
    InUse,
}

impl Bucket {
    /// A bucket that nobody has used. Just after the start of the broker its past is not known, so it
    /// has no burst saved up.
    fn new(row: &Row) -> Self {
        let Row { limit, known_since } = row;
        let saved = match known_since {
            0 => 0,
            _ => limit.interval_ns().saturating_mul(limit.burst.saturating_sub(1)),
        };
        Self { tat_ns: known_since.saturating_mul(NS).saturating_add(saved), ..Self::default() }
    }

    /// Why a start of this cost would be turned away now, and until when.
    fn look(&self, row: &Limit, cost: u32, now: Ms) -> Look {
        let shut_until = self.pushed_back_until.max(self.breaker.open_until);
        if shut_until > now {
            return Look::Until(shut_until);
        }
        let probes = row.breaker.map_or(0, |breaker| breaker.probes);
        let is_probing = self.breaker.open_until > 0;
        // A job that costs more than there is at all runs alone.
        let has_room = row.concurrency.is_none_or(|most| {
            most > 0 && (self.in_use == 0 || self.in_use.saturating_add(cost.into()) <= most.into())
        });
        if !has_room || is_probing && self.breaker.probed >= probes {
            return Look::InUse;
        }
        let interval = row.interval_ns();
        if interval == 0 {
            return Look::Free;
        }
        // What costs more than the whole burst waits for all of it.
        let asked = interval.saturating_mul(u64::from(cost).min(row.burst));
        let ahead = interval.saturating_mul(row.burst);
        let free_at = self.tat_ns.saturating_add(asked).saturating_sub(ahead).div_ceil(NS);
        if free_at <= now { Look::Free } else { Look::Until(free_at) }
    }

    /// It holds nothing that a new one would not say.
    fn is_idle(&self, now: Ms) -> bool {
        let is_rested = self.tat_ns <= now.saturating_mul(NS) && self.pushed_back_until <= now;
        let is_rested = is_rested && self.retries.as_ref().is_none_or(|retries| retries.is_idle(now));
        is_rested && self.in_use == 0 && !self.is_closed && self.breaker == Circuit::default()
    }
}

impl Circuit {
    fn ended(&mut self, rule: Breaker, failed: bool, now: Ms) -> bool {
        if self.open_until > now {
            return false;
        }
        if self.open_until > 0 {
            let open_until = if failed { now.saturating_add(rule.open_ms) } else { 0 };
            *self = Self { open_until, ..Self::default() };
            return true;
        }
        self.ends += 1;
        self.failures += u32::from(failed);
        let is_too_much =
            u64::from(self.failures) * 1_000 >= u64::from(self.ends) * u64::from(rule.failure_permille);
        if failed && is_too_much && self.ends >= rule.min_samples {
            *self = Self { open_until: now.saturating_add(rule.open_ms), ..Self::default() };
            return true;
        }
        // What is long past counts less and less.
        if self.ends >= rule.min_samples.saturating_mul(2) {
            (self.ends, self.failures) = (self.ends / 2, self.failures / 2);
        }
        false
    }
}
