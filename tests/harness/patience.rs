//! Waiting: the one place where a test looks again and again until something is so.

use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything takes on an idle machine: only a test that fails anyway waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(15);

/// A worker that is dead or silent is noticed within seconds; on a machine that stands still now and then the
/// broker gives everybody that time again. Long before any visibility timeout, all the same.
pub(crate) const NOTICED_MS_MOST: u64 = 15_000;

/// What `look` finds, as soon as it finds something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "this did not happen within {PATIENCE:?}: {what}");
        thread::sleep(POLL);
    }
}
