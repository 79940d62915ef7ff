//! Chains: the policies that speak for a job. The nearest that says something wins.

use super::Ledger;
use super::job::Job;
use crate::fact::ResourceKey;
use crate::ids::NameId;
use crate::limits::COST_MAX;
use crate::policy::{Backoff, Policy, default};

/// What a job says of itself, then its kind, its queue, its namespace. It is looked up once, and asked
/// as often as need be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a> {
    links: [Option<&'a Policy>; 4],
}

impl Ledger {
    /// The policies that speak for a job.
    pub(crate) fn policies(&self, job: &Job) -> Chain<'_> {
        self.policies_of(self.names.policy(job.terms), job.namespace, job.queue, job.kind)
    }

    /// Those that would speak for a job of this place that says so of itself.
    pub(crate) fn policies_of<'a>(
        &'a self,
        own: Option<&'a Policy>,
        namespace: NameId,
        queue: NameId,
        kind: NameId,
    ) -> Chain<'a> {
        if !self.has_policies() {
            return Chain { links: [own, None, None, None] };
        }
        let wider = |key| self.resources.get(&key)?.body.policy();
        let (kind, queue) = (wider(ResourceKey::Kind(kind)), wider(ResourceKey::Queue(queue)));
        Chain { links: [own, kind, queue, wider(ResourceKey::Namespace(namespace))] }
    }

    /// Policies stand before all other resources.
    fn has_policies(&self) -> bool {
        self.resources.first_key_value().is_some_and(|(key, _)| match key {
            ResourceKey::Namespace(_) | ResourceKey::Queue(_) | ResourceKey::Kind(_) => true,
            ResourceKey::Limit(_) | ResourceKey::Schedule(_) | ResourceKey::Sink(_) => false,
        })
    }
}

impl Chain<'_> {
    /// The nearest answer to a question of policy.
    pub(crate) fn ask<T>(&self, ask: impl Fn(&Policy) -> Option<T>) -> Option<T> {
        self.links.iter().flatten().find_map(|policy| ask(policy))
    }

    pub(crate) fn max_attempts(&self) -> u32 {
        self.ask(|policy| policy.max_attempts).unwrap_or(default::MAX_ATTEMPTS)
    }

    pub(crate) fn max_crashes(&self) -> u32 {
        self.ask(|policy| policy.max_crashes).unwrap_or(default::MAX_CRASHES)
    }

    pub(crate) fn backoff(&self) -> Backoff {
        self.ask(|policy| policy.backoff.clone()).unwrap_or(Backoff::DEFAULT)
    }

    pub(crate) fn cost(&self) -> u32 {
        self.ask(|policy| policy.cost).unwrap_or(default::COST).clamp(1, COST_MAX)
    }
}
