//! Pauses between tries: longer each time, and never the same for two clients.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The pause after so many failed tries: from 50 ms, doubling, up to 3 s, and a random half of it less.
///
/// The session outlives its last connection by about 3 s, so these have to be short.
pub(crate) fn pause(tries: u32) -> Duration {
    let full = FIRST.saturating_mul(1 << tries.min(10)).min(LONGEST);
    full / 2 + spread(full / 2)
}

/// A random time below `most`, so that the clients of a broker that was restarted do not all come at once.
fn spread(most: Duration) -> Duration {
    // The seeds of hash maps are random enough for this, and need no further crate.
    let random = RandomState::new().build_hasher().finish();
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(random % micros)
}

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        for tries in 0..40 {
            let full = FIRST.saturating_mul(1 << tries.min(10)).min(LONGEST);
            for _ in 0..20 {
                let pause = pause(tries);
                assert!(pause >= full / 2 && pause < full, "{tries}: {pause:?}");
            }
        }
    }
}
