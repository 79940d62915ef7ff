//! Who is there: the last signs of sessions, their connections and what they hold.

use super::stream::StreamKey;
use crate::command::Beat;
use crate::ids::{ConnId, Ms, NameId, Seq};
use crate::limits::{IDLE_SESSION_MS, RESUME_WINDOW_MS};
use alloc::collections::{BTreeMap, BTreeSet};

/// One session, as its signs of life show it.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    pub(crate) ttl_ms: u64,
    pub(crate) last_sign: Ms,
    /// When the last connection closed; 0 while one is open.
    pub(crate) hangup_at: Ms,
    pub(crate) conns: BTreeSet<ConnId>,
    pub(crate) leases: BTreeMap<Seq, LeaseMark>,
    pub(crate) streams: usize,
    /// It holds a suspect, which runs alone.
    pub(crate) alone: bool,
    /// It takes nothing more until it is empty: a suspect of this queue waits for it.
    pub(crate) empties_for: Option<NameId>,
    pub(crate) beat: Option<Beat>,
    /// Where its timer stands.
    pub(crate) timer_at: Ms,
}

/// What is derived about one lease.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeaseMark {
    /// The stream whose slots it takes.
    pub(crate) stream: Option<StreamKey>,
    /// How many.
    pub(crate) cost: u32,
    /// When its visibility timeout ends; moved when the broker itself was away. 0 = with the
    /// session.
    pub(crate) ends_at: Ms,
    /// When its grace ends; 0 = nobody asked it to stop.
    pub(crate) revoke_at: Ms,
}

impl Presence {
    /// When the session ends if nothing more is heard of it.
    pub(crate) fn deadline(&self) -> Ms {
        if self.hangup_at > 0 {
            (self.hangup_at + RESUME_WINDOW_MS).min(self.last_sign + self.ttl_ms)
        } else if self.conns.is_empty() || !self.leases.is_empty() || self.streams > 0 {
            self.last_sign + self.ttl_ms
        } else {
            self.last_sign + IDLE_SESSION_MS.max(self.ttl_ms)
        }
    }
}
