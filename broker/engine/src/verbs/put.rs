//! Put: configuration, versioned. All of a Put holds, or nothing of it.

use crate::command::{Code, Put, Refusal, SetResource, Target};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::{Fact, ResourceKey};
use crate::frame::Body;
use crate::ids::NameId;
use crate::ledger::names::Name;
use crate::limits::{KINDS_MAX, QUEUES_MAX};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

impl Engine {
    pub(crate) fn put(&mut self, asker: Asker, put: &Put, turn: &mut Turn) {
        let checked = put
            .set
            .iter()
            .enumerate()
            .try_for_each(|(place, set)| self.check_resource(asker.namespace, place, set));
        if let Err(refusal) = checked {
            return turn.refuse(asker.from, refusal);
        }
        let mut versions: Vec<Result<u64, Refusal>> = Vec::new();
        for set in &put.set {
            versions.push(Ok(self.set_resource(asker, set, put.dry_run, turn)));
        }
        for target in &put.remove {
            let key = self.existing_key(asker.namespace, target);
            if let Some(key) = key.filter(|key| self.ledger.resources.contains_key(key) && !put.dry_run) {
                self.decide(turn, Fact::ResourceRemoved { key });
                self.reconsider(key);
            }
        }
        turn.say(asker.from, Body::Stored(versions));
    }

    fn check_resource(&self, namespace: NameId, place: usize, set: &SetResource) -> Result<(), Refusal> {
        let stored = self
            .existing_key(namespace, &set.target)
            .and_then(|key| self.ledger.resources.get(&key))
            .map_or(0, |row| row.version);
        if set.if_version > 0 && set.if_version != stored {
            let message = format!("the stored version is {stored}, not {}", set.if_version);
            let field = format!("set[{place}].if_version");
            return Err(Refusal::new(Code::VersionConflict, &field, message));
        }
        let counts = self.ledger.names.counts();
        let full = match &set.target {
            Target::Queue(_) | Target::PauseQueue(_) => counts.queues >= QUEUES_MAX,
            Target::Kind(_) => counts.kinds >= KINDS_MAX,
            Target::Namespace => false,
        };
        if full && self.existing_key(namespace, &set.target).is_none() {
            let field = format!("set[{place}].name");
            return Err(Refusal::new(Code::Exhausted, &field, "too many names"));
        }
        Ok(())
    }

    fn set_resource(&mut self, asker: Asker, set: &SetResource, dry_run: bool, turn: &mut Turn) -> u64 {
        let stored = self
            .existing_key(asker.namespace, &set.target)
            .and_then(|key| self.ledger.resources.get(&key))
            .map_or(0, |row| row.version);
        if dry_run {
            return stored + 1;
        }
        let namespace = asker.namespace;
        let key = match &set.target {
            Target::Namespace => ResourceKey::Namespace(namespace),
            Target::Queue(name) => {
                ResourceKey::Queue(self.intern(turn, Name::Queue(namespace, name.clone())))
            }
            Target::Kind(name) => ResourceKey::Kind(self.intern(turn, Name::Kind(namespace, name.clone()))),
            Target::PauseQueue(name) => {
                ResourceKey::PauseQueue(self.intern(turn, Name::Queue(namespace, name.clone())))
            }
        };
        let body = Box::new(set.body.clone());
        self.decide(turn, Fact::ResourceSet { key, version: stored + 1, body });
        self.reconsider(key);
        stored + 1
    }

    /// A queue that runs again looks for streams, and so do jobs whose cost may have changed. For
    /// a suspect that stands still nobody empties his session.
    fn reconsider(&mut self, key: ResourceKey) {
        match key {
            ResourceKey::PauseQueue(queue) if self.ledger.paused(queue).is_some() => {
                self.roster.release(queue);
            }
            ResourceKey::PauseQueue(queue) | ResourceKey::Queue(queue) => self.roster.stir(queue),
            ResourceKey::Kind(_) | ResourceKey::Namespace(_) => self.roster.stir_all(),
        }
    }

    fn existing_key(&self, namespace: NameId, target: &Target) -> Option<ResourceKey> {
        let names = &self.ledger.names;
        Some(match target {
            Target::Namespace => ResourceKey::Namespace(namespace),
            Target::Queue(name) => ResourceKey::Queue(names.find(&Name::Queue(namespace, name.clone()))?),
            Target::Kind(name) => ResourceKey::Kind(names.find(&Name::Kind(namespace, name.clone()))?),
            Target::PauseQueue(name) => {
                ResourceKey::PauseQueue(names.find(&Name::Queue(namespace, name.clone()))?)
            }
        })
    }
}
