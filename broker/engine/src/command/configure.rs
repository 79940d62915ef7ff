//! Put: what is configured.

use crate::fact::ResourceBody;
use alloc::string::String;
use alloc::vec::Vec;

/// Resources to set and to remove.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// To set.
    pub set: Vec<SetResource>,
    /// To remove.
    pub remove: Vec<Target>,
    /// Check, but change nothing.
    pub dry_run: bool,
    /// Remove every resource of the namespace that is not set.
    pub prune: bool,
    /// Why; for people.
    pub reason: String,
}

/// One resource to set.
#[derive(Clone, Debug)]
pub struct SetResource {
    /// Which.
    pub target: Target,
    /// Refuse unless the stored version is this one; 0 = whatever it is.
    pub if_version: u64,
    /// What; of a limit without what it bounds.
    pub body: ResourceBody,
    /// What a limit bounds.
    pub scope: Scope,
}

/// What a limit bounds, by name; "" = any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Jobs of this queue.
    pub queue: String,
    /// Jobs of this kind.
    pub kind: String,
    /// Jobs of this lane.
    pub key: String,
}

/// What a resource's name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `namespace`
    Namespace,
    /// `queue/NAME`
    Queue(String),
    /// `kind/NAME`
    Kind(String),
    /// `limit/NAME`
    Limit(String),
    /// `schedule/NAME`
    Schedule(String),
    /// `sink/NAME`
    Sink(String),
}
