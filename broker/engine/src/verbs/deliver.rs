//! Deliveries: what happens and a sink wants to hear becomes a job of the broker's own, in the batch of
//! what it tells, so that no crash can come between.

use crate::command::JobSpec;
use crate::engine::{Asker, Engine, Turn};
use crate::event::{Event, text};
use crate::fact::{Fact, ResourceBody, ResourceKey};
use crate::ids::{NameId, Request, Seq, SessionId};
use crate::ledger::job::State;
use crate::ledger::names::Name;
use crate::limits::{
    DELIVERIES_LOW_DISK_MAX, DELIVERIES_OVER_JOBS_MAX, DELIVERIES_PER_TURN, DELIVERIES_WAITING_MAX, NAMES_MAX,
};
use crate::roster::sinks::{Delivery, Ear};
use crate::roster::watches::Interest;
use crate::sink::{self, Sink};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// Waiting deliveries that a sink finds when it comes.
const FOUND_MAX: usize = 100_000;

impl Engine {
    /// Every sink with its namespace and name, for who delivers; the first number rises with each change.
    pub fn sinks(&self) -> (u64, impl Iterator<Item = (&str, &str, &Sink)>) {
        let ears = self.roster.sinks.ears.iter();
        let sinks = ears.filter_map(|(&id, ear)| {
            let namespace = self.ledger.names.text(ear.interest.namespace);
            Some((namespace, ear.name.as_str(), self.sink(id)?))
        });
        (self.roster.sinks.version, sinks)
    }

    fn sink(&self, id: NameId) -> Option<&Sink> {
        match &self.ledger.resources.get(&ResourceKey::Sink(id))?.body {
            ResourceBody::Sink(sink) => Some(sink),
            ResourceBody::Policy(_)
            | ResourceBody::Queue(_)
            | ResourceBody::Limit(_)
            | ResourceBody::Schedule(_) => None,
        }
    }

    /// Sinks are what the store says they are; after jobs have joined.
    pub(crate) fn load_sinks(&mut self) {
        let keys = self.ledger.resources.range(ResourceKey::Sink(0)..=ResourceKey::Sink(NameId::MAX));
        let ids: Vec<NameId> = keys
            .filter_map(|(key, _)| if let ResourceKey::Sink(id) = key { Some(*id) } else { None })
            .collect();
        ids.into_iter().for_each(|id| self.resink(id));
    }

    /// A sink was set or removed.
    pub(crate) fn resink(&mut self, id: NameId) {
        let (namespace, name) = (self.namespace_of(id), String::from(self.ledger.names.text(id)));
        let before = self.roster.sinks.ears.remove(&id);
        if let Some(sink) = self.sink(id) {
            let interest = Interest {
                namespace,
                names: sink.wants(),
                queue: sink.queue.clone(),
                kind: sink.kind.clone(),
                key: sink.key.clone(),
                ..Interest::default()
            };
            let ear = match before {
                Some(before) => Ear { interest, ..before },
                None => {
                    let waiting = self.waiting_for(namespace, &name);
                    Ear { interest, name, waiting, ..Ear::default() }
                }
            };
            self.roster.sinks.ears.insert(id, ear);
        }
        let queue =
            |ear: &Ear| self.ledger.names.find(&Name::Queue(ear.interest.namespace, sink::QUEUE.into()));
        let queues = self.roster.sinks.ears.values().filter_map(queue).collect();
        let sinks = &mut self.roster.sinks;
        sinks.queues = queues;
        sinks.wanted = sinks.ears.values().fold(0, |bits, ear| bits | ear.interest.names);
        sinks.version += 1;
        self.roster.watches.is_hooked = sinks.wanted > 0;
        if sinks.wanted > 0 {
            self.look_out();
        }
    }

    /// The deliveries to a sink that have not ended.
    fn waiting_for(&self, namespace: NameId, name: &str) -> BTreeSet<Seq> {
        let names = &self.ledger.names;
        let queue = names.find(&Name::Queue(namespace, sink::QUEUE.into()));
        let key = names.find(&Name::Key(namespace, name.into()));
        let (Some(queue), Some(key)) = (queue, key) else { return BTreeSet::new() };
        let Some(index) = self.roster.queues.get(&queue) else { return BTreeSet::new() };
        let open = State::ALL.iter().filter(|state| !state.is_final());
        let seqs = open.flat_map(|state| index.states[state.index()].after(None)).take(FOUND_MAX);
        seqs.filter(|&seq| self.ledger.jobs.get(seq).is_some_and(|job| job.key == key)).collect()
    }

    /// A job has changed, or goes: if it is a delivery, its sink counts it.
    pub(crate) fn follow_delivery(&mut self, seq: Seq, fact: &Fact) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        if let Fact::Reshaped { .. } = fact {
            // It may have been moved here, or away.
            for ear in self.roster.sinks.ears.values_mut() {
                ear.waiting.remove(&seq);
            }
        }
        if !self.roster.sinks.queues.contains(&job.queue) {
            return;
        }
        let goes = matches!(fact, Fact::Removed { .. });
        let waits = !goes && !job.state.is_final();
        let (namespace, name) = (job.namespace, self.ledger.names.text(job.key));
        let mut ears = self.roster.sinks.ears.values_mut();
        if let Some(ear) = ears.find(|ear| ear.interest.namespace == namespace && ear.name == name) {
            if waits {
                ear.waiting.insert(seq);
            } else {
                ear.waiting.remove(&seq);
            }
        }
    }

    /// The event goes to the sinks that want it, at the end of this turn.
    pub(crate) fn hook(&mut self, event: &Event) {
        if self.roster.sinks.wanted & event.name.bit() == 0 {
            return;
        }
        // What becomes of deliveries is told to nobody by deliveries.
        let queue = event.job.as_ref().map_or(event.queue.as_ref(), |job| job.queue.as_ref());
        if text(queue) == sink::QUEUE {
            return;
        }
        let has_room = self.has_room_for_deliveries();
        let sinks = &mut self.roster.sinks;
        for (&id, ear) in &mut sinks.ears {
            if !ear.interest.takes(event) {
                continue;
            }
            if !has_room
                || sinks.due.len() >= DELIVERIES_PER_TURN
                || ear.waiting.len() + ear.added >= DELIVERIES_WAITING_MAX
            {
                ear.dropped = ear.dropped.saturating_add(1);
                continue;
            }
            ear.added += 1;
            let namespace = ear.interest.namespace;
            let dropped = core::mem::take(&mut ear.dropped);
            let payload = sink::payload(event, self.ledger.names.text(namespace), dropped).into();
            sinks.due.push(Delivery { id: sink::delivery_id(event, id), namespace, sink: id, payload });
        }
    }

    /// Deliveries may go a little beyond the bounds of other jobs: they tell of what is wrong.
    fn has_room_for_deliveries(&mut self) -> bool {
        if !self.pressure.disk_low {
            self.roster.sinks.low = 0;
        }
        let sinks = &self.roster.sinks;
        let fits_disk = !self.pressure.disk_low || sinks.low + sinks.due.len() < DELIVERIES_LOW_DISK_MAX;
        fits_disk
            && self.ledger.jobs.len() + sinks.due.len()
                < self.jobs_max.saturating_add(DELIVERIES_OVER_JOBS_MAX)
            && self.ledger.names.counts().others + sinks.due.len() < NAMES_MAX
    }

    /// Stores the deliveries of this turn.
    pub(crate) fn store_deliveries(&mut self, turn: &mut Turn) {
        if self.roster.sinks.due.is_empty() {
            return;
        }
        let due = core::mem::take(&mut self.roster.sinks.due);
        if self.pressure.disk_low {
            self.roster.sinks.low += due.len();
        }
        for Delivery { id, namespace, sink, payload } in due {
            let Some(ear) = self.roster.sinks.ears.get_mut(&sink) else { continue };
            ear.added = 0;
            let key = ear.name.clone();
            let (from, session) = (Request { conn: 0, id: 0 }, SessionId([0; 16]));
            let asker = Asker { from, session, namespace, now: self.now };
            let (queue, kind) = (sink::QUEUE.into(), sink::KIND.into());
            self.store(asker, JobSpec { id, queue, kind, key, payload, ..JobSpec::default() }, turn);
        }
    }

    /// Who waits for a sink is what it counts.
    pub(crate) fn audit_sinks(&self) -> Result<(), String> {
        for (&id, ear) in &self.roster.sinks.ears {
            if self.sink(id).is_none() || ear.added > 0 {
                return Err(alloc::format!("sink {}: nobody set it, or a delivery was not stored", ear.name));
            }
            if ear.waiting != self.waiting_for(ear.interest.namespace, &ear.name) {
                return Err(alloc::format!("sink {}: other deliveries wait than it counts", ear.name));
            }
        }
        let set = self.ledger.resources.range(ResourceKey::Sink(0)..=ResourceKey::Sink(NameId::MAX)).count();
        if set == self.roster.sinks.ears.len() { Ok(()) } else { Err("a sink hears nothing".into()) }
    }
}
