//! Interned names: queues, kinds, keys, namespaces, and what jobs say of themselves, as numbers.
//!
//! Queues, kinds and namespaces stay for ever (their number is bounded); keys, terms, gates and errors
//! are dropped when no job refers to them and no fact that does can be replayed any more.

use super::name_hash::hash;
use crate::ids::NameId;
use crate::limits::{KINDS_MAX, NAMES_MAX, QUEUES_MAX};
use crate::policy::Policy;
use crate::terms::{Gate, Terms};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

/// What a number stands for. New variants go to the end: the order is the stored format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Name {
    /// A tenant.
    Namespace(String),
    /// A queue of a namespace.
    Queue(NameId, String),
    /// A kind of a namespace.
    Kind(NameId, String),
    /// A key of a namespace.
    Key(NameId, String),
    /// A limit of a namespace.
    Limit(NameId, String),
    /// What jobs say of themselves.
    Terms(Terms),
    /// What must be so before jobs may start.
    Gate(Gate),
    /// How jobs of a namespace fail: the class of the failure, and its message with masks.
    Error(NameId, String, String),
    /// A schedule of a namespace.
    Schedule(NameId, String),
    /// A sink of a namespace.
    Sink(NameId, String),
}

impl Name {
    /// The name as people write it; terms and gates have none.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Namespace(text)
            | Self::Queue(_, text)
            | Self::Kind(_, text)
            | Self::Key(_, text)
            | Self::Limit(_, text)
            | Self::Schedule(_, text)
            | Self::Sink(_, text) => text,
            Self::Error(_, _, shape) => shape,
            Self::Terms(_) | Self::Gate(_) => "",
        }
    }

    /// The namespace it is a name of; 0 = of all.
    pub(crate) fn namespace(&self) -> NameId {
        match self {
            Self::Queue(of, _)
            | Self::Kind(of, _)
            | Self::Key(of, _)
            | Self::Limit(of, _)
            | Self::Schedule(of, _)
            | Self::Sink(of, _)
            | Self::Error(of, ..) => *of,
            Self::Namespace(_) | Self::Terms(_) | Self::Gate(_) => 0,
        }
    }

    fn is_listed(&self) -> bool {
        matches!(self, Self::Queue(..) | Self::Kind(..))
    }

    fn is_counted(&self) -> bool {
        match self {
            Self::Key(..) | Self::Terms(_) | Self::Gate(_) | Self::Error(..) => true,
            Self::Namespace(_)
            | Self::Queue(..)
            | Self::Kind(..)
            | Self::Limit(..)
            | Self::Schedule(..)
            | Self::Sink(..) => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Row {
    since: u64,
    /// Of the name.
    hash: u64,
    name: Arc<Name>,
    /// Jobs that refer to it; counted where they are dropped without.
    uses: u32,
    /// The batch in which `uses` fell to 0.
    idle_since: u64,
}

/// How many names of a class there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NameCounts {
    pub(crate) namespaces: usize,
    pub(crate) queues: usize,
    pub(crate) kinds: usize,
    pub(crate) limits: usize,
    pub(crate) others: usize,
    pub(crate) errors: usize,
    pub(crate) schedules: usize,
    pub(crate) sinks: usize,
}

impl NameCounts {
    fn of(&mut self, name: &Name) -> &mut usize {
        match name {
            Name::Namespace(_) => &mut self.namespaces,
            Name::Queue(..) => &mut self.queues,
            Name::Kind(..) => &mut self.kinds,
            Name::Limit(..) => &mut self.limits,
            Name::Key(..) | Name::Terms(_) | Name::Gate(_) => &mut self.others,
            Name::Error(..) => &mut self.errors,
            Name::Schedule(..) => &mut self.schedules,
            Name::Sink(..) => &mut self.sinks,
        }
    }
}

/// The names table.
#[derive(Debug, Default)]
pub struct Names {
    seed: u64,
    rows: Vec<Option<Row>>,
    /// Never iterated but to be compared.
    by_name: HashTable<NameId>,
    /// Queues and kinds, which are listed by name.
    listed: BTreeMap<Arc<Name>, NameId>,
    free: BTreeSet<NameId>,
    idle: BTreeSet<(u64, NameId)>,
    counts: NameCounts,
}

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The number of a name.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<NameId> {
        self.find_hashed(hash(self.seed, name), name)
    }

    fn find_hashed(&self, hash: u64, name: &Name) -> Option<NameId> {
        self.by_name.find(hash, |&id| self.get(id) == Some(name)).copied()
    }

    /// The text of a name and its namespace as bits, which outlive its number; 0 for none.
    pub(crate) fn bits(&self, id: NameId) -> u64 {
        if id == 0 { 0 } else { self.row(id).map_or(0, |row| row.hash) }
    }

    /// What a number stands for.
    #[must_use]
    pub fn get(&self, id: NameId) -> Option<&Name> {
        self.row(id).map(|row| &*row.name)
    }

    /// The name of a number, to be kept longer than its row; None for none.
    #[must_use]
    pub fn shared(&self, id: NameId) -> Option<Arc<Name>> {
        self.row(id).map(|row| row.name.clone())
    }

    /// The text of a number; "" for none.
    #[must_use]
    pub fn text(&self, id: NameId) -> &str {
        self.get(id).map_or("", Name::text)
    }

    /// The terms of a number, if it has any.
    #[must_use]
    pub fn terms(&self, id: NameId) -> Option<&Terms> {
        if id == 0 {
            return None;
        }
        if let Some(Name::Terms(terms)) = self.get(id) { Some(terms) } else { None }
    }

    /// The policy of a number of terms.
    #[must_use]
    pub fn policy(&self, id: NameId) -> Option<&Policy> {
        self.terms(id).map(|terms| &terms.policy)
    }

    /// The gate of a number, if it has any.
    #[must_use]
    pub fn gate(&self, id: NameId) -> Option<&Gate> {
        if id == 0 {
            return None;
        }
        if let Some(Name::Gate(gate)) = self.get(id) { Some(gate) } else { None }
    }

    /// The class and the masked message of a failure.
    #[must_use]
    pub fn error(&self, id: NameId) -> Option<(&str, &str)> {
        if id == 0 {
            return None;
        }
        if let Some(Name::Error(_, kind, shape)) = self.get(id) { Some((kind, shape)) } else { None }
    }

    /// The number the next new name gets.
    pub(crate) fn next_id(&self) -> NameId {
        self.free.first().copied().unwrap_or_else(|| {
            NameId::try_from(self.rows.len().max(1)).expect("the number of names is bounded")
        })
    }

    pub(crate) fn counts(&self) -> NameCounts {
        self.counts
    }

    /// Whether these names fit; names that are known already always do. Otherwise what there is
    /// too much of.
    pub(crate) fn has_room(&self, wanted: impl Iterator<Item = Name>) -> Result<(), &'static str> {
        let new: BTreeSet<Name> = wanted.filter(|name| self.find(name).is_none()).collect();
        let mut counts = self.counts;
        for name in &new {
            *counts.of(name) += 1;
        }
        for (class, used, most) in [
            ("queue", counts.queues, QUEUES_MAX),
            ("kind", counts.kinds, KINDS_MAX),
            ("key", counts.others, NAMES_MAX),
        ] {
            if used > most {
                return Err(class);
            }
        }
        Ok(())
    }

    pub(crate) fn since(&self, id: NameId) -> Option<u64> {
        self.row(id).map(|row| row.since)
    }

    pub(crate) fn set_since(&mut self, id: NameId, since: u64) {
        if let Some(row) = self.row_mut(id) {
            row.since = since;
        }
    }

    pub(crate) fn insert(&mut self, id: NameId, since: u64, name: Name) {
        let idle_since = since & !super::REPLAYED;
        let index = id as usize;
        while self.rows.len() <= index {
            let gap = NameId::try_from(self.rows.len()).expect("the number of names is bounded");
            if gap > 0 {
                self.free.insert(gap);
            }
            self.rows.push(None);
        }
        self.free.remove(&id);
        *self.counts.of(&name) += 1;
        if name.is_counted() {
            self.idle.insert((idle_since, id));
        }
        let hash = hash(self.seed, &name);
        let other = self.find_hashed(hash, &name);
        let name = Arc::new(name);
        if name.is_listed() {
            self.listed.insert(name.clone(), id);
        }
        self.rows[index] = Some(Row { since, hash, name, uses: 0, idle_since });
        // A store written over several turns may hold a name twice, where it was dropped and given
        // again meanwhile; the later one is to be found, and replay drops the other.
        let rank = |id| self.since(id).unwrap_or(0) & !super::REPLAYED;
        match other {
            Some(other) if rank(other) > idle_since => {}
            Some(other) => {
                if let Some(found) = self.by_name.find_mut(hash, |&found| found == other) {
                    *found = id;
                }
            }
            None => {
                let rows = &self.rows;
                let hash_of = |id: &NameId| rows[*id as usize].as_ref().map_or(0, |row| row.hash);
                self.by_name.insert_unique(hash, id, hash_of);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: NameId) {
        let Some(row) = self.rows.get_mut(id as usize).and_then(Option::take) else { return };
        *self.counts.of(&row.name) -= 1;
        self.idle.remove(&(row.idle_since, id));
        if let Ok(entry) = self.by_name.find_entry(row.hash, |&found| found == id) {
            entry.remove();
        }
        if self.listed.get(&row.name) == Some(&id) {
            self.listed.remove(&row.name);
        }
        self.free.insert(id);
    }

    /// A job begins to refer to a name.
    pub(crate) fn take(&mut self, id: NameId) {
        let Some(row) = self.row_mut(id) else { return };
        row.uses += 1;
        if row.uses == 1 {
            let entry = (row.idle_since, id);
            self.idle.remove(&entry);
        }
    }

    /// A job ceases to refer to a name.
    pub(crate) fn give(&mut self, id: NameId, batch: u64) {
        let Some(row) = self.row_mut(id) else { return };
        row.uses = row.uses.saturating_sub(1);
        if row.uses == 0 && row.name.is_counted() {
            row.idle_since = batch;
            self.idle.insert((batch, id));
        }
    }

    /// Counts anew how often jobs refer to names. A store written over several turns may hold a job
    /// beside an older row of its name, whose count goes when replay replaces the row.
    pub(crate) fn recount(&mut self, uses: impl Iterator<Item = NameId>) {
        self.idle.clear();
        for (id, row) in self.rows.iter_mut().enumerate() {
            let Some(row) = row.as_mut() else { continue };
            row.uses = 0;
            if let (true, Ok(id)) = (row.name.is_counted(), NameId::try_from(id)) {
                self.idle.insert((row.idle_since, id));
            }
        }
        uses.for_each(|id| self.take(id));
    }

    /// Names unused since before `batch`: no fact at or after it refers to them.
    pub(crate) fn idle_before(&self, batch: u64) -> impl Iterator<Item = NameId> + '_ {
        self.idle.range(..(batch, 0)).map(|&(_, id)| id)
    }

    /// The queues and kinds that come after a name, in their order: queues first, then kinds.
    pub(crate) fn after<'a>(&'a self, name: &Name) -> impl Iterator<Item = (NameId, &'a Name)> + use<'a> {
        let range = (Bound::Excluded(name), Bound::Unbounded);
        self.listed.range::<Name, _>(range).map(|(name, &id)| (id, &**name))
    }

    /// Every row with the batch that touched it last, by number.
    pub fn iter(&self) -> impl Iterator<Item = (NameId, u64, &Name)> {
        self.rows.iter().enumerate().filter_map(|(id, row)| {
            let row = row.as_ref()?;
            Some((NameId::try_from(id).ok()?, row.since, &*row.name))
        })
    }

    /// Whether the table agrees with how often jobs refer to its rows.
    pub(crate) fn audit(&self, uses: &BTreeMap<NameId, u32>) -> Result<(), String> {
        for (id, _, name) in self.iter() {
            let Some(row) = self.row(id) else { continue };
            let used = uses.get(&id).copied().unwrap_or(0);
            let idle = self.idle.contains(&(row.idle_since, id));
            if self.find(name) != Some(id) {
                return Err(format!("name {id}, {name:?}, is not found"));
            }
            if name.is_counted() && (row.uses != used || idle != (used == 0)) {
                return Err(format!("name {id} is used {used} times, not {}", row.uses));
            }
        }
        let rows = self.rows.iter().flatten().count();
        let free = self.rows.len().saturating_sub(1) - self.free.len();
        if rows == free && self.by_name.len() == rows {
            Ok(())
        } else {
            let lost: Vec<_> = self.by_name.iter().filter(|id| self.get(**id).is_none()).collect();
            Err(format!("{rows} names, {free} taken, {} found, {lost:?}", self.by_name.len()))
        }
    }

    /// A name with the batch that touched it last.
    #[must_use]
    pub fn stored(&self, id: NameId) -> Option<(u64, &Name)> {
        self.row(id).map(|row| (row.since, &*row.name))
    }

    fn row(&self, id: NameId) -> Option<&Row> {
        self.rows.get(id as usize)?.as_ref()
    }

    fn row_mut(&mut self, id: NameId) -> Option<&mut Row> {
        self.rows.get_mut(id as usize)?.as_mut()
    }
}
