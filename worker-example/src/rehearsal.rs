//! Two switches in payloads that no real job has. They let a demo or a test see what is hard to wait for.

use crate::run::Run;
use serde::Deserialize;
use std::time::Duration;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Switches {
    /// In any kind: the job takes so much longer, time enough to kill the worker in the middle.
    hold_ms: u64,
    /// In `send_email`: the first so many attempts fail as if the mail server were busy, to see retries.
    fail_first: u32,
}

/// How long to wait before the work begins.
pub(crate) fn hold(run: &Run) -> Duration {
    Duration::from_millis(switches(run).hold_ms).min(HOLD_MAX)
}

/// Whether this attempt is one of those that are meant to fail.
pub(crate) fn has_to_fail(run: &Run) -> bool {
    run.attempt <= switches(run).fail_first
}

/// A payload that cannot be read has no switches; the handler will say what is wrong with it.
fn switches(run: &Run) -> Switches {
    serde_json::from_slice(&run.payload).unwrap_or_default()
}

const HOLD_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_held_as_long_as_it_says_and_no_longer_than_an_hour() {
        for (payload, ms) in [
            (r#"{"hold_ms": 250}"#, 250),
            (r#"{"hold_ms": 18446744073709551615}"#, 3_600_000),
            ("{}", 0),
            ("no JSON", 0),
            ("", 0),
        ] {
            assert_eq!(hold(&Run::sample("any", payload)), Duration::from_millis(ms), "{payload}");
        }
    }
}
