//! The clock: the only file that asks what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds between 1970 and 2025.
const YEAR_2025_MS: u64 = 1_735_689_600_000;

/// One look at both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Milliseconds since 1970; may jump when somebody sets the clock.
    pub wall_ms: u64,
    /// Never jumps.
    pub steady: Instant,
}

/// Looks at the clocks.
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
