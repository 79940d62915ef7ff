//! Known bugs that a test plants, to see whether the simulation finds them. No build without the feature
//! `planted` has them, and no build for use can have the feature: it is refused without debug assertions.

#[cfg(not(debug_assertions))]
compile_error!("planted bugs are for tests: the feature `planted` is not for a build that is used");

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The epoch does not rise at a start, so fences come again.
    FenceAgain,
    /// A settlement is taken whatever its fence.
    FenceUnchecked,
    /// A settlement is taken from any session.
    SessionUnchecked,
    /// A worker that comes back keeps what it does not list.
    ListIgnored,
    /// Frames leave before their batch is on disk.
    SpokenEarly,
    /// A failed append is taken for a good one.
    ErrorSwallowed,
    /// Replay stops one record early.
    ReplayShort,
    /// The journal is recycled further than the fold has come.
    RecycledEarly,
    /// A fold leaves out a part of a job.
    PartDropped,
    /// After a restart nothing wakes what is scheduled.
    TimerLost,
    /// After a restart a job waits for others that have ended, and is never told.
    WaiterForgotten,
    /// A lost worker counts as a crash, and as an attempt too.
    CountedTwice,
    /// A job fails once more than it may.
    OneTooMany,
    /// Ended ids are forgotten by a restart.
    WindowForgotten,
    /// A serial key does not see that its job runs.
    SerialShared,
    /// The end of a job does not free its dedup key.
    KeyKept,
    /// A tick that was dealt with is dealt with again.
    TickAgain,
    /// A clock that is set moves no lease.
    ClockBelieved,
    /// The newest job of a lane goes first.
    Overtaken,
    /// A completed job is not counted.
    EndUncounted,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::FenceAgain,
        Self::FenceUnchecked,
        Self::SessionUnchecked,
        Self::ListIgnored,
        Self::SpokenEarly,
        Self::ErrorSwallowed,
        Self::ReplayShort,
        Self::RecycledEarly,
        Self::PartDropped,
        Self::TimerLost,
        Self::WaiterForgotten,
        Self::CountedTwice,
        Self::OneTooMany,
        Self::WindowForgotten,
        Self::SerialShared,
        Self::KeyKept,
        Self::TickAgain,
        Self::ClockBelieved,
        Self::Overtaken,
        Self::EndUncounted,
    ];
}

static PLANTED: AtomicU8 = AtomicU8::new(u8::MAX);

/// From now on every engine of this process has this bug, or none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(u8::MAX, |bug| bug as u8), Relaxed);
}

/// Whether this bug is planted.
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(Relaxed) == bug as u8
}
