//! Durations and instants as the wire counts them: whole milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A duration in milliseconds, rounded up, so that "a little" never becomes "not given".
pub(crate) fn of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// This moment on this machine's clock.
#[allow(clippy::disallowed_methods, reason = "a worker dates the lines of its log")]
pub(crate) fn now() -> u64 {
    at(SystemTime::now())
}

/// An instant as Unix time; before 1970 it is the first millisecond, because 0 means "not given".
pub(crate) fn at(instant: SystemTime) -> u64 {
    instant.duration_since(UNIX_EPOCH).map_or(1, |since| of(since).max(1))
}
