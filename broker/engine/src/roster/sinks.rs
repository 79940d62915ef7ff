//! Sinks: who wants to hear what, which deliveries wait, and those that this turn adds.

use super::watches::Interest;
use crate::blob::Blob;
use crate::ids::{JobId, NameId, Seq};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// A sink, as events find it.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    pub(crate) interest: Interest,
    /// Its name, which is the lane of its deliveries.
    pub(crate) name: String,
    /// Deliveries that have not ended.
    pub(crate) waiting: BTreeSet<Seq>,
    /// Of these, those that this turn adds.
    pub(crate) added: usize,
    /// Deliveries that there was no room for, since the last one that there was.
    pub(crate) dropped: u64,
}

/// A delivery that this turn stores.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: JobId,
    pub(crate) namespace: NameId,
    pub(crate) sink: NameId,
    pub(crate) payload: Blob,
}

/// All sinks.
#[derive(Debug, Default)]
pub(crate) struct Sinks {
    /// Bits of the events that any of them wants; 0 = there are none.
    pub(crate) wanted: u64,
    pub(crate) ears: BTreeMap<NameId, Ear>,
    /// The queues of deliveries.
    pub(crate) queues: BTreeSet<NameId>,
    pub(crate) due: Vec<Delivery>,
    /// Rises when a sink comes, changes or goes.
    pub(crate) version: u64,
    /// Deliveries stored since the disk is low.
    pub(crate) low: usize,
}
