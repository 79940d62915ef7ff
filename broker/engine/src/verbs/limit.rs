//! Limits coming, changing and going: what they bound is counted anew, and who waited is asked again.

use crate::command::{Code, Refusal, Scope, Throttle};
use crate::engine::{Asker, Engine, Turn, share};
use crate::fact::{Fact, ResourceBody, ResourceKey};
use crate::frame::Rows;
use crate::ids::{Ms, NameId, Seq};
use crate::ledger::names::Name;
use crate::limit::Limit;
use crate::limits::DELAY_MS_MAX;
use crate::roster::Timer;
use crate::roster::limits::{BucketId, Waiter};
use crate::roster::retries::{ONE_EVERY_MS, Retries};
use crate::verbs::query::Page;
use crate::view::LimitView;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

/// Retries looked at before others get their turn.
const RETRIES_LOOKED_AT: usize = 256;

impl Engine {
    /// The limits as the store holds them; before jobs join.
    pub(crate) fn load_limits(&mut self, now: Ms) {
        for (&key, row) in &self.ledger.resources {
            if let (ResourceKey::Limit(id), ResourceBody::Limit(limit)) = (key, &row.body) {
                if limit.until_at > 0 {
                    self.roster.timers.insert(limit.until_at, Timer::LimitEnd(id));
                }
                self.roster.limits.load(id, limit.clone(), now);
            }
        }
    }

    /// A limit was set or removed.
    pub(crate) fn relimit(&mut self, id: NameId) {
        let until = |limit: Option<&Limit>| limit.map_or(0, |limit| limit.until_at);
        let old = until(self.roster.limits.get(id));
        if old > 0 {
            self.roster.timers.remove(old, Timer::LimitEnd(id));
        }
        let row = self.ledger.resources.get(&ResourceKey::Limit(id));
        let limit = row.and_then(|row| match &row.body {
            ResourceBody::Limit(limit) => Some(limit.clone()),
            ResourceBody::Policy(_)
            | ResourceBody::Queue(_)
            | ResourceBody::Schedule(_)
            | ResourceBody::Sink(_) => None,
        });
        if until(limit.as_ref()) > 0 {
            self.roster.timers.insert(until(limit.as_ref()), Timer::LimitEnd(id));
        }
        self.roster.limits.set(id, limit);
        self.wake_retries(id);
        self.recount_leases();
        self.roster.open_buckets();
        // Nobody empties his session for a suspect that may have to wait now.
        let queues: Vec<NameId> = self.roster.queues.keys().copied().collect();
        for queue in queues {
            self.roster.release(queue);
            self.roster.stir(queue);
        }
    }

    /// A limit that has changed may keep no retries any more.
    fn wake_retries(&mut self, id: NameId) {
        let buckets: Vec<BucketId> = self.roster.limits.of_limit(id).map(|(id, _)| id).collect();
        for id in buckets {
            let Some(retries) = self.roster.limits.retries_mut(id).filter(|found| !found.is_empty()) else {
                continue;
            };
            let old = core::mem::replace(&mut retries.timer_at, 1);
            if old > 0 {
                self.roster.timers.remove(old, Timer::Retries(id));
            }
            self.roster.timers.insert(1, Timer::Retries(id));
        }
    }

    /// Retries that were set aside stand in their lanes again, as many as may start now. How many were
    /// looked at.
    pub(crate) fn reseat_retries(&mut self, id: BucketId, now: Ms) -> usize {
        if self.roster.limits.retries_mut(id).is_none_or(|retries| retries.is_empty()) {
            return 0;
        }
        let mut room = self.roster.limits.room_for_retries(id, now);
        let mut looked = 0;
        while room > 0 && looked < RETRIES_LOOKED_AT {
            let taken = self.roster.limits.retries_mut(id).and_then(Retries::take);
            let Some((seq, queue)) = taken else { break };
            looked += 1;
            let Some(job) = self.ledger.jobs.get(seq).filter(|job| job.queue == queue) else { continue };
            let index = self.roster.queues.get_mut(&queue);
            if let Some(kind) = index.and_then(|index| index.reseat(job)) {
                self.roster.stirred.entry((queue, kind)).or_default().again = true;
                room -= 1;
            }
        }
        let rest = if looked == RETRIES_LOOKED_AT { 0 } else { ONE_EVERY_MS };
        self.roster.arm_retries(id, now.saturating_add(rest));
        looked
    }

    /// It is time to look at the retries that this bucket has set aside. How many were looked at.
    pub(crate) fn end_retries(&mut self, id: BucketId, now: Ms) -> usize {
        if let Some(retries) = self.roster.limits.retries_mut(id) {
            retries.timer_at = 0;
        }
        self.reseat_retries(id, now)
    }

    fn recount_leases(&mut self) {
        self.roster.limits.recount();
        for presence in self.roster.sessions.values_mut() {
            for (&seq, mark) in &mut presence.leases {
                let Some(job) = self.ledger.jobs.get(seq) else { continue };
                mark.buckets = share(&self.ledger, &mut self.roster.limits, job).buckets;
                self.roster.limits.take(&mark.buckets, mark.cost);
            }
        }
    }

    /// A handler was told to slow down, say by a 429: the limit is closed for every worker.
    pub(crate) fn push_back(&mut self, asker: Asker, seq: Seq, throttle: &Throttle) -> Result<(), Refusal> {
        let names = &self.ledger.names;
        let name = Name::Limit(asker.namespace, throttle.limit.clone());
        let limit = names.find(&name).and_then(|id| Some((id, self.roster.limits.get(id)?)));
        let Some((limit, row)) = limit else {
            let message =
                format!("there is no limit {:?}, so nothing was closed; put it first", throttle.limit);
            return Err(Refusal::new(Code::NotFound, "release.throttle_limit", message));
        };
        let key = match throttle.key.as_str() {
            "" => Some(row.key),
            key => names.find(&Name::Key(asker.namespace, key.into())),
        };
        let Some(id) = key.and_then(|key| self.roster.limits.bucket_of(names, limit, key)) else {
            let message =
                format!("the limit keeps no job of the key {:?}, so nothing was closed", throttle.key);
            return Err(Refusal::new(Code::NotFound, "release.throttle_key", message));
        };
        let keeps = |job| self.roster.limits.claims(names, job).iter().any(|claim| claim.limit == limit);
        // Of other queues' limits nobody closes one who may not see those queues.
        if self.roster.reaches.contains_key(&asker.from.conn) && !self.ledger.jobs.get(seq).is_some_and(keeps)
        {
            let message = "the limit does not keep this job, and the token reaches some queues only";
            return Err(Refusal::new(Code::Denied, "release.throttle_limit", message));
        }
        let until = asker.now.saturating_add(throttle.ms.min(DELAY_MS_MAX));
        self.roster.limits.push_back(id, until);
        Ok(())
    }

    pub(crate) fn limits_page(&self, asker: Asker, name: &str, after: &str, limit: usize) -> Rows {
        let ids = self.ledger.resources.keys().filter_map(|key| match *key {
            ResourceKey::Limit(id) => Some(id),
            ResourceKey::Namespace(_)
            | ResourceKey::Queue(_)
            | ResourceKey::Kind(_)
            | ResourceKey::Schedule(_)
            | ResourceKey::Sink(_) => None,
        });
        let Page { rows, cursor, total } = self.page_of(asker.namespace, ids, (name, after), limit);
        let limits = rows.into_iter().filter_map(|(text, id)| self.limit_view(text, id, asker.now)).collect();
        Rows { limits, cursor, total, ..Rows::default() }
    }

    fn limit_view(&self, name: &str, id: NameId, now: Ms) -> Option<LimitView> {
        let row = self.ledger.resources.get(&ResourceKey::Limit(id))?;
        let ResourceBody::Limit(limit) = &row.body else { return None };
        let buckets = || self.roster.limits.of_limit(id).map(|(_, bucket)| bucket);
        let opens_at = buckets().filter_map(|bucket| bucket.opens_at).min();
        let open_until = buckets().map(|bucket| bucket.breaker.open_until).max();
        Some(LimitView {
            name: name.into(),
            scope: self.scope_of(limit),
            limit: limit.clone(),
            version: row.version,
            in_use: buckets().map(|bucket| bucket.in_use).sum(),
            waiting_lanes: buckets().map(|bucket| self.waiting_lanes(&bucket.waiters)).sum(),
            next_free_ms: opens_at.map_or(0, |at| at.saturating_sub(now)),
            open_until: open_until.filter(|&until| until > now).unwrap_or(0),
        })
    }

    /// What a limit bounds, by name.
    pub(crate) fn scope_of(&self, limit: &Limit) -> Scope {
        let text = |id| self.ledger.names.text(id).into();
        Scope { queue: text(limit.queue), kind: text(limit.kind), key: text(limit.key) }
    }

    fn waiting_lanes(&self, waiters: &BTreeSet<Waiter>) -> u64 {
        let lanes = waiters.iter().filter_map(|&(queue, ring, key)| match key {
            Some(_) => Some(1),
            None => Some(self.roster.queues.get(&queue)?.lanes.lanes_of(ring)),
        });
        lanes.sum::<usize>() as u64
    }

    /// A limit's time is over.
    pub(crate) fn end_limit(&mut self, id: NameId, turn: &mut Turn) {
        let key = ResourceKey::Limit(id);
        if self.ledger.resources.contains_key(&key) {
            self.decide(turn, Fact::ResourceRemoved { key });
            self.relimit(id);
        }
    }
}
