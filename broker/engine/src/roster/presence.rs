//! Who is there: the last signs of sessions, their connections and what they hold.

use super::Run;
use super::limits::BucketId;
use super::stream::StreamKey;
use crate::command::Beat;
use crate::ids::{ConnId, Ms, NameId, Seq};
use crate::limits::{IDLE_SESSION_MS, RESUME_WINDOW_MS, SESSION_LEASES_MAX};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// One session, as its signs of life show it.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    pub(crate) ttl_ms: u64,
    pub(crate) last_sign: Ms,
    /// It said something in this run of the broker.
    pub(crate) seen: bool,
    /// When the last connection closed; 0 while one is open.
    pub(crate) hangup_at: Ms,
    pub(crate) conns: BTreeSet<ConnId>,
    pub(crate) leases: BTreeMap<Seq, LeaseMark>,
    /// How many of its leases live by its signs of life.
    pub(crate) bound: usize,
    pub(crate) streams: usize,
    /// It holds a suspect, which runs alone.
    pub(crate) alone: bool,
    /// It takes nothing more until it is empty: a suspect of this queue waits for this stream.
    pub(crate) empties_for: Option<(NameId, StreamKey)>,
    /// It was told to take no more jobs.
    pub(crate) quiet: bool,
    pub(crate) beat: Option<Beat>,
    /// Where its timer stands.
    pub(crate) timer_at: Ms,
}

/// What is derived about one lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseMark {
    /// The stream whose slots it takes.
    pub(crate) stream: Option<StreamKey>,
    /// How many.
    pub(crate) cost: u32,
    /// The limits it counts into.
    pub(crate) buckets: Vec<BucketId>,
    /// When its visibility timeout ends; moved when the broker itself was away. 0 = with the
    /// session.
    pub(crate) ends_at: Ms,
    /// When its grace ends; 0 = nobody asked it to stop.
    pub(crate) revoke_at: Ms,
    /// What more is known of its run.
    pub(crate) run: Option<Box<Run>>,
}

impl Presence {
    /// It takes nothing for now, whatever room its streams have: it is to be empty first, is full, or
    /// was told so.
    pub(crate) fn is_shut(&self) -> bool {
        self.alone || self.quiet || self.empties_for.is_some() || self.leases.len() >= SESSION_LEASES_MAX
    }

    /// When the session is lost if nothing more is heard of it. A lease with a visibility timeout
    /// stands until that ends, whatever the session does, and keeps it so that it can be settled;
    /// but a stream lives by signs of life, or a silent worker would be given one job after another.
    pub(crate) fn deadline(&self, ignores_silence: bool) -> Ms {
        if ignores_silence && !self.conns.is_empty() {
            return Ms::MAX;
        }
        let silence = if self.hangup_at > 0 {
            self.hangup_at.saturating_add(RESUME_WINDOW_MS).min(self.last_sign.saturating_add(self.ttl_ms))
        } else if self.conns.is_empty() || !self.leases.is_empty() || self.streams > 0 {
            self.last_sign.saturating_add(self.ttl_ms)
        } else {
            self.last_sign.saturating_add(IDLE_SESSION_MS.max(self.ttl_ms))
        };
        if self.bound > 0 || self.streams > 0 {
            return silence;
        }
        self.leases.values().map(|mark| mark.ends_at).fold(silence, Ms::max)
    }
}
