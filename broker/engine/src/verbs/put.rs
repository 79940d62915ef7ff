//! Put: configuration, versioned. All of a Put holds, or nothing of it.

use crate::command::{Code, Put, Refusal, Scope, SetResource, Target};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::{Fact, ResourceBody, ResourceKey};
use crate::frame::{Body, Rows};
use crate::ids::{Ms, NameId};
use crate::ledger::names::Name;
use crate::ledger::tables::ResourceRow;
use crate::limit::Limit;
use crate::limits::{
    FORMER_SECRET_MS, KINDS_MAX, LIMITS_MAX, QUEUES_MAX, SCHEDULE_BYTES_MAX, SCHEDULES_MAX, SINK_BYTES_MAX,
    SINKS_MAX,
};
use crate::sink::{self, Sink};
use crate::verbs::query::{Page, page};
use crate::verbs::schedule::template_names;
use crate::view::ConfigView;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
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
        let before = turn.facts.len();
        let mut versions: Vec<Result<u64, Refusal>> = Vec::new();
        for set in &put.set {
            versions.push(Ok(self.set_resource(asker, set, put.dry_run, turn)));
        }
        for target in &put.remove {
            let key = self.existing_key(asker.namespace, target);
            if let Some(key) = key.filter(|key| self.ledger.resources.contains_key(key) && !put.dry_run) {
                self.remove_resource(key, turn);
            }
        }
        if put.prune && !put.dry_run {
            self.prune(asker.namespace, &put.set, turn);
        }
        self.audit_put(asker, &put.reason, before, turn);
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
            Target::Queue(_) => counts.queues >= QUEUES_MAX,
            Target::Kind(_) => counts.kinds >= KINDS_MAX,
            Target::Limit(_) => counts.limits >= LIMITS_MAX,
            Target::Schedule(_) => counts.schedules >= SCHEDULES_MAX,
            Target::Sink(_) => counts.sinks >= SINKS_MAX,
            Target::Namespace => false,
        };
        let names = [&set.scope.queue, &set.scope.kind, &set.scope.key];
        let scope = names.into_iter().zip([Name::Queue, Name::Kind, Name::Key as fn(NameId, _) -> Name]);
        let scope =
            scope.filter(|(text, _)| !text.is_empty()).map(|(text, name)| name(namespace, text.clone()));
        if let Err(what) = self.ledger.names.has_room(scope) {
            let field = format!("set[{place}].limit");
            return Err(Refusal::new(Code::Exhausted, &field, format!("too many {what} names")));
        }
        if let ResourceBody::Schedule(schedule) = &set.body {
            if schedule.weight() > SCHEDULE_BYTES_MAX {
                let message = format!(
                    "a schedule takes at most {SCHEDULE_BYTES_MAX} bytes with its job, not {}; keep large payloads elsewhere",
                    schedule.weight()
                );
                return Err(Refusal::new(Code::TooLarge, &format!("set[{place}].schedule"), message));
            }
            let wanted = template_names(namespace, &schedule.job);
            self.ledger.names.has_room(wanted).map_err(|what| {
                let field = format!("set[{place}].schedule.job");
                Refusal::new(Code::Exhausted, &field, format!("too many {what} names"))
            })?;
        }
        if let ResourceBody::Sink(sink) = &set.body {
            self.check_sink(namespace, place, sink, stored)?;
        }
        if full && self.existing_key(namespace, &set.target).is_none() {
            let field = format!("set[{place}].name");
            return Err(Refusal::new(Code::Exhausted, &field, "too many names"));
        }
        Ok(())
    }

    fn check_sink(&self, namespace: NameId, place: usize, sink: &Sink, stored: u64) -> Result<(), Refusal> {
        let field = format!("set[{place}].sink");
        if sink.weight() > SINK_BYTES_MAX {
            let message = format!("a sink takes at most {SINK_BYTES_MAX} bytes, not {}", sink.weight());
            return Err(Refusal::new(Code::TooLarge, &field, message));
        }
        if sink.secret.is_empty() && stored == 0 {
            let message = "a new sink needs a secret; `windlass admin webhook add` makes one";
            return Err(Refusal::new(Code::Invalid, &format!("{field}.secret"), message));
        }
        let wanted = sink_names(namespace);
        let full = |what| Refusal::new(Code::Exhausted, &field, format!("too many {what} names"));
        self.ledger.names.has_room(wanted.into_iter()).map_err(full)
    }

    fn set_resource(&mut self, asker: Asker, set: &SetResource, dry_run: bool, turn: &mut Turn) -> u64 {
        let row =
            self.existing_key(asker.namespace, &set.target).and_then(|key| self.ledger.resources.get(&key));
        let stored = row.map_or(0, |row| row.version);
        // What is so already keeps its version, so that the same file can be applied again and again.
        if row.is_some_and(|row| self.says(&row.body, set)) {
            return stored;
        }
        let before = row.map(|row| row.body.clone());
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
            Target::Limit(name) => {
                ResourceKey::Limit(self.intern(turn, Name::Limit(namespace, name.clone())))
            }
            Target::Schedule(name) => {
                ResourceKey::Schedule(self.intern(turn, Name::Schedule(namespace, name.clone())))
            }
            Target::Sink(name) => {
                for name in sink_names(namespace) {
                    self.intern(turn, name);
                }
                ResourceKey::Sink(self.intern(turn, Name::Sink(namespace, name.clone())))
            }
        };
        let body = Box::new(match &set.body {
            body @ (ResourceBody::Policy(_) | ResourceBody::Queue(_)) => body.clone(),
            ResourceBody::Limit(limit) => {
                ResourceBody::Limit(self.scoped(namespace, limit.clone(), &set.scope, turn))
            }
            ResourceBody::Schedule(schedule) => ResourceBody::Schedule(schedule.clone()),
            ResourceBody::Sink(sink) => {
                ResourceBody::Sink(Box::new(kept_secret(sink, before.as_ref(), asker.now)))
            }
        });
        self.decide(turn, Fact::ResourceSet { key, version: stored + 1, body, at: asker.now });
        self.reconsider(key);
        if let ResourceKey::Schedule(schedule) = key {
            let before = before.and_then(ResourceBody::schedule);
            self.reschedule(schedule, before.as_deref(), asker.now, turn);
        }
        stored + 1
    }

    /// Removes the namespace's resources that are not among those set.
    fn prune(&mut self, namespace: NameId, set: &[SetResource], turn: &mut Turn) {
        let kept: BTreeSet<ResourceKey> =
            set.iter().filter_map(|set| self.existing_key(namespace, &set.target)).collect();
        let keys = self.ledger.resources.keys().filter(|key| !kept.contains(key));
        let gone: Vec<ResourceKey> = keys.filter(|key| self.owner(**key) == namespace).copied().collect();
        for key in gone {
            self.remove_resource(key, turn);
        }
    }

    fn remove_resource(&mut self, key: ResourceKey, turn: &mut Turn) {
        self.decide(turn, Fact::ResourceRemoved { key });
        self.reconsider(key);
        if let ResourceKey::Schedule(schedule) = key {
            self.unschedule(schedule, turn);
        }
    }

    /// The namespace of a resource.
    fn owner(&self, key: ResourceKey) -> NameId {
        match key {
            ResourceKey::Namespace(namespace) => namespace,
            ResourceKey::Queue(id)
            | ResourceKey::Kind(id)
            | ResourceKey::Limit(id)
            | ResourceKey::Schedule(id)
            | ResourceKey::Sink(id) => self.namespace_of(id),
        }
    }

    /// The name of a resource, as Put takes it.
    pub(super) fn resource_name(&self, key: ResourceKey) -> String {
        let text = |id| self.ledger.names.text(id);
        match key {
            ResourceKey::Namespace(_) => "namespace".into(),
            ResourceKey::Queue(id) => format!("queue/{}", text(id)),
            ResourceKey::Kind(id) => format!("kind/{}", text(id)),
            ResourceKey::Limit(id) => format!("limit/{}", text(id)),
            ResourceKey::Schedule(id) => format!("schedule/{}", text(id)),
            ResourceKey::Sink(id) => format!("sink/{}", text(id)),
        }
    }

    pub(super) fn config_page(&self, asker: Asker, name: &str, after: &str, limit: usize) -> Rows {
        let mine = self.ledger.resources.iter().filter(|(key, _)| self.owner(**key) == asker.namespace);
        let named = mine.map(|(&key, row)| (self.resource_name(key), row));
        let Page { rows, cursor, total } = page(named, (name, after), limit);
        let view = |(name, row): (String, &ResourceRow)| ConfigView {
            name,
            version: row.version,
            changed_at: row.at,
            body: row.body.clone(),
            scope: if let ResourceBody::Limit(limit) = &row.body {
                self.scope_of(limit)
            } else {
                Scope::default()
            },
        };
        Rows { configs: rows.into_iter().map(view).collect(), cursor, total, ..Rows::default() }
    }

    /// What is stored says the same as what is to be set.
    fn says(&self, stored: &ResourceBody, set: &SetResource) -> bool {
        match (stored, &set.body) {
            (ResourceBody::Limit(stored), ResourceBody::Limit(limit)) => {
                let Limit { queue, kind, key, .. } = *stored;
                *stored == Limit { queue, kind, key, ..limit.clone() } && self.scope_of(stored) == set.scope
            }
            (ResourceBody::Sink(stored), ResourceBody::Sink(sink)) => {
                let Sink { secret, former, .. } = (**stored).clone();
                let is_same = sink.secret.is_empty() || sink.secret == secret;
                is_same && **stored == Sink { secret, former, ..(**sink).clone() }
            }
            (stored, body) => stored == body,
        }
    }

    /// The limit with what it bounds as numbers.
    fn scoped(&mut self, namespace: NameId, limit: Limit, scope: &Scope, turn: &mut Turn) -> Limit {
        let mut number = |text: &String, name: fn(NameId, String) -> Name| match text.as_str() {
            "" => 0,
            _ => self.intern(turn, name(namespace, text.clone())),
        };
        Limit {
            queue: number(&scope.queue, Name::Queue),
            kind: number(&scope.kind, Name::Kind),
            key: number(&scope.key, Name::Key),
            ..limit
        }
    }

    /// Jobs look for streams again whose cost may have changed, or that a limit stopped.
    fn reconsider(&mut self, key: ResourceKey) {
        match key {
            ResourceKey::Limit(limit) => self.relimit(limit),
            ResourceKey::Queue(queue) => {
                self.reconfigure(queue);
                self.roster.open_buckets();
                self.roster.stir(queue);
            }
            ResourceKey::Kind(_) | ResourceKey::Namespace(_) => {
                self.roster.open_buckets();
                self.roster.stir_all();
            }
            ResourceKey::Schedule(_) => {}
            ResourceKey::Sink(sink) => self.resink(sink),
        }
    }

    fn existing_key(&self, namespace: NameId, target: &Target) -> Option<ResourceKey> {
        let names = &self.ledger.names;
        Some(match target {
            Target::Namespace => ResourceKey::Namespace(namespace),
            Target::Queue(name) => ResourceKey::Queue(names.find(&Name::Queue(namespace, name.clone()))?),
            Target::Kind(name) => ResourceKey::Kind(names.find(&Name::Kind(namespace, name.clone()))?),
            Target::Limit(name) => ResourceKey::Limit(names.find(&Name::Limit(namespace, name.clone()))?),
            Target::Schedule(name) => {
                ResourceKey::Schedule(names.find(&Name::Schedule(namespace, name.clone()))?)
            }
            Target::Sink(name) => ResourceKey::Sink(names.find(&Name::Sink(namespace, name.clone()))?),
        })
    }
}

/// The names that deliveries to a sink bring.
fn sink_names(namespace: NameId) -> [Name; 2] {
    [Name::Queue(namespace, sink::QUEUE.into()), Name::Kind(namespace, sink::KIND.into())]
}

/// The sink with the secret that is stored, unless it has another one; then the stored one signs for a
/// while, too.
fn kept_secret(sink: &Sink, before: Option<&ResourceBody>, now: Ms) -> Sink {
    let Some(ResourceBody::Sink(before)) = before else { return sink.clone() };
    if sink.secret.is_empty() || sink.secret == before.secret {
        let (secret, former) = (before.secret.clone(), before.former.clone());
        return Sink { secret, former, ..sink.clone() };
    }
    let former = Some(Box::new((before.secret.clone(), now.saturating_add(FORMER_SECRET_MS))));
    Sink { former, ..sink.clone() }
}
