//! The lookout: what is known of queues that nobody does anything about. It looks around only while
//! somebody listens, and in slices.

use super::{Timer, Timers};
use crate::ids::{Ms, NameId};
use crate::limits::LOOK_EVERY_MS;
use crate::roster::stream::StreamKey;
use alloc::collections::{BTreeMap, BTreeSet};

/// Where a look around has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not begun.
    #[default]
    Resting,
    /// Which jobs wait? Queues behind this one are to be looked at.
    Queues(NameId),
    /// Who takes their kinds? Streams behind this one are to be looked at.
    Streams(Option<StreamKey>),
    /// All was seen.
    Done,
}

/// What was seen, and what was told of it.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    /// When the next look begins; 0 = never.
    pub(crate) at: Ms,
    /// How long after the last one that is.
    pub(crate) pace_ms: Ms,
    pub(crate) stage: Stage,
    /// Something is about to be told, if it stays as it is.
    pub(crate) is_tense: bool,
    /// Queues and kinds that have ready jobs, less those that somebody takes.
    pub(crate) waiting: BTreeSet<(NameId, NameId)>,
    /// Queues whose jobs are older than they may be, in this look.
    pub(crate) late: BTreeSet<NameId>,
    /// Of these it was told.
    pub(crate) told_late: BTreeSet<NameId>,
    /// That the disk is low was told.
    pub(crate) told_low: bool,
    /// Queues with a kind that nobody takes: since when, and whether it was told.
    pub(crate) idle: BTreeMap<NameId, (Ms, bool)>,
}

impl Lookout {
    pub(crate) fn is_looking(&self) -> bool {
        self.stage != Stage::Resting
    }

    /// The next look begins so long from now.
    pub(crate) fn arm(&mut self, now: Ms, pace_ms: Ms, timers: &mut Timers) {
        self.pace_ms = pace_ms;
        self.arm_at(now.saturating_add(pace_ms), timers);
    }

    /// Where nothing has moved since the last look the next one is far; what moves brings it near.
    pub(crate) fn hurry(&mut self, now: Ms, timers: &mut Timers) {
        let at = self.at;
        self.pace_ms = LOOK_EVERY_MS;
        if at > now.saturating_add(LOOK_EVERY_MS) {
            timers.remove(at, Timer::Look);
            self.arm(now, LOOK_EVERY_MS, timers);
        }
    }

    fn arm_at(&mut self, at: Ms, timers: &mut Timers) {
        self.at = at;
        timers.insert(at, Timer::Look);
    }

    /// The clock was set.
    pub(crate) fn shift(&mut self, moved: impl Fn(Ms) -> Ms, timers: &mut Timers) {
        for (since, _) in self.idle.values_mut() {
            *since = moved(*since);
        }
        if self.at > 0 {
            timers.remove(self.at, Timer::Look);
            let at = moved(self.at);
            self.arm_at(at, timers);
        }
    }
}
