//! The clock: the only file that asks what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds between 1970 and 2025.
const YEAR_2025_MS: u64 = 1_735_689_600_000;

/// What the broker takes for the time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    Wall,
    /// One that stands until the driver sets it, in milliseconds since 1970.
    Test(Arc<AtomicU64>),
}

impl Clock {
    /// A test clock that stands at this instant.
    #[must_use]
    pub fn test(at_ms: u64) -> Self {
        Self::Test(Arc::new(AtomicU64::new(at_ms)))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::Wall => wall_ms(),
            Self::Test(at_ms) => at_ms.load(Ordering::Relaxed),
        }
    }

    /// It does not go by itself.
    #[must_use]
    pub fn is_test(&self) -> bool {
        matches!(self, Self::Test(_))
    }

    /// Moves a test clock; nobody sets the machine's.
    pub fn set(&self, now_ms: u64) {
        if let Self::Test(at_ms) = self {
            at_ms.store(now_ms, Ordering::Relaxed);
        }
    }
}

/// One look at both clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Milliseconds since 1970; may jump when somebody sets the clock.
    pub wall_ms: u64,
    /// Never jumps.
    pub steady: Instant,
}

/// Looks at the clocks of the machine.
#[must_use]
pub fn read() -> Reading {
    Reading { wall_ms: wall_ms(), steady: Instant::now() }
}

/// Milliseconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Minutes since 2025-01-01, the least epoch of a start: even a restored backup gets a new one.
#[must_use]
pub fn epoch_minutes(wall_ms: u64) -> u32 {
    u32::try_from(wall_ms.saturating_sub(YEAR_2025_MS) / 60_000).unwrap_or(u32::MAX) & 0x00ff_ffff
}
