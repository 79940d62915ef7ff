//! Schedules: when each has to be seen to, and which wait for somebody who reads their calendar.

use crate::ids::{Ms, NameId};
use crate::roster::{Timer, Timers};
use alloc::collections::{BTreeMap, BTreeSet};

/// At once, also by a clock that is set back before anybody looks.
pub(crate) const AT_ONCE: Ms = 1;

/// The schedules that have something to wait for.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    timers: BTreeMap<NameId, Ms>,
    /// Their next ticks are asked for.
    pub(crate) wanted: BTreeSet<NameId>,
    /// There was no room for their jobs.
    pub(crate) stalled: BTreeSet<NameId>,
}

impl Schedules {
    /// The schedule is seen to then; None = not before something else happens.
    pub(crate) fn arm(&mut self, schedule: NameId, at: Option<Ms>, timers: &mut Timers) {
        let before = match at {
            Some(at) => self.timers.insert(schedule, at),
            None => self.timers.remove(&schedule),
        };
        if let Some(before) = before {
            timers.remove(before, Timer::Schedule(schedule));
        }
        if let Some(at) = at {
            timers.insert(at, Timer::Schedule(schedule));
        }
    }

    /// Those for which there was no room are seen to again.
    pub(crate) fn wake(&mut self, timers: &mut Timers) {
        for schedule in core::mem::take(&mut self.stalled) {
            self.arm(schedule, Some(AT_ONCE), timers);
        }
    }

    /// Nothing is to be done about it any more.
    pub(crate) fn forget(&mut self, schedule: NameId, timers: &mut Timers) {
        self.arm(schedule, None, timers);
        self.wanted.remove(&schedule);
        self.stalled.remove(&schedule);
    }

    /// When it is seen to.
    pub(crate) fn armed(&self, schedule: NameId) -> Option<Ms> {
        self.timers.get(&schedule).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_found_no_room_looks_again_at_once_by_any_clock() {
        let (mut schedules, mut timers) = (Schedules::default(), Timers::default());
        schedules.arm(7, Some(5_000), &mut timers);
        schedules.stalled.insert(7);
        schedules.wake(&mut timers);
        assert_eq!(timers.pop(1), Some(Timer::Schedule(7)));
        assert!(schedules.stalled.is_empty());
    }
}
