//! Waiting: the one place where a test looks again and again until something is so.

use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything takes on an idle machine: only a test that fails anyway waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(15);

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
