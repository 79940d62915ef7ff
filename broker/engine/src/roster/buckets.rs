//! The buckets of all limits: found by a hashed key, kept in a slab a limit, in a row that is easy to
//! walk through.

use super::limits::{Bucket, BucketId};
use crate::ids::NameId;
use crate::policy::mix;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;
use hashbrown::HashTable;

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    of: BTreeMap<NameId, Table>,
}

/// The buckets of one limit.
#[derive(Debug, Default)]
struct Table {
    slab: Vec<Option<(u64, Bucket)>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
}

impl Buckets {
    pub(crate) fn get(&self, id: BucketId) -> Option<&Bucket> {
        let table = self.of.get(&id.limit)?;
        let place = table.find(id.key)?;
        table.slab[place as usize].as_ref().map(|(_, bucket)| bucket)
    }

    pub(crate) fn get_mut(&mut self, id: BucketId) -> Option<&mut Bucket> {
        let table = self.of.get_mut(&id.limit)?;
        let place = table.find(id.key)?;
        table.slab[place as usize].as_mut().map(|(_, bucket)| bucket)
    }

    pub(crate) fn get_or_insert_with(&mut self, id: BucketId, fresh: impl FnOnce() -> Bucket) -> &mut Bucket {
        let table = self.of.entry(id.limit).or_default();
        let place = table.find(id.key).unwrap_or_else(|| table.insert(id.key, fresh()));
        let (_, bucket) = table.slab[place as usize].as_mut().expect("the table names live places");
        bucket
    }

    pub(crate) fn remove(&mut self, id: BucketId) {
        let Some(table) = self.of.get_mut(&id.limit) else { return };
        let Some(place) = table.find(id.key) else { return };
        if let Ok(entry) = table.by_key.find_entry(spread(id.key), |&found| found == place) {
            entry.remove();
        }
        table.slab[place as usize] = None;
        table.free.push(place);
        if table.by_key.is_empty() {
            self.of.remove(&id.limit);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (BucketId, &Bucket)> {
        self.of.iter().flat_map(|(&limit, table)| table.iter(limit))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (BucketId, &mut Bucket)> {
        self.of.iter_mut().flat_map(|(&limit, table)| {
            table.slab.iter_mut().flatten().map(move |(key, bucket)| (BucketId { limit, key: *key }, bucket))
        })
    }

    /// The buckets of one limit.
    pub(crate) fn of_limit(&self, limit: NameId) -> impl Iterator<Item = (BucketId, &Bucket)> {
        self.of.get(&limit).into_iter().flat_map(move |table| table.iter(limit))
    }

    /// Looks at a few places from `from` on; returns those of them that `is_idle`, and where to go on.
    pub(crate) fn walk(
        &self,
        from: (NameId, usize),
        most: usize,
        is_idle: impl Fn(&Bucket) -> bool,
    ) -> (Vec<BucketId>, (NameId, usize)) {
        let (limit, start) = from;
        let next = self.of.range((Bound::Included(limit), Bound::Unbounded)).next();
        let Some((&found, table)) = next else { return (Vec::new(), (0, 0)) };
        let start = if found == limit { start } else { 0 };
        let end = table.slab.len().min(start + most);
        let places = table.slab.get(start..end).into_iter().flatten().flatten();
        let idle = places.filter(|(_, bucket)| is_idle(bucket));
        let idle = idle.map(|&(key, _)| BucketId { limit: found, key }).collect();
        (idle, if end == table.slab.len() { (found + 1, 0) } else { (found, end) })
    }
}

impl Table {
    fn find(&self, key: u64) -> Option<u32> {
        let is_it = |&place: &u32| self.slab[place as usize].as_ref().is_some_and(|(found, _)| *found == key);
        self.by_key.find(spread(key), is_it).copied()
    }

    fn insert(&mut self, key: u64, bucket: Bucket) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            u32::try_from(self.slab.len() - 1).expect("the number of keys is bounded below 2^32")
        });
        self.slab[place as usize] = Some((key, bucket));
        let slab = &self.slab;
        let hash_of = |place: &u32| slab[*place as usize].as_ref().map_or(0, |(key, _)| spread(*key));
        self.by_key.insert_unique(spread(key), place, hash_of);
        place
    }

    fn iter(&self, limit: NameId) -> impl Iterator<Item = (BucketId, &Bucket)> {
        self.slab.iter().flatten().map(move |(key, bucket)| (BucketId { limit, key: *key }, bucket))
    }
}

/// Keys come as seeded bits already; 0, which stands for all keys together, does not.
fn spread(key: u64) -> u64 {
    mix(0, key)
}
