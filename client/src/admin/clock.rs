//! The test clock of a broker that has one.

use std::time::Duration;

use windlass_proto::v1::AdvanceClock;
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use super::Admin;
use crate::error::{Error, Result};
use crate::link::Rules;
use crate::millis;

/// Years of cron ticks, or slow workers at each of them, may take a while.
const LONGEST: Duration = Duration::from_secs(3_600);

impl Admin {
    /// Lets the test clock of a broker that was started with `--test-clock` go on by `time`, at most 100
    /// years; answers with the broker's clock in milliseconds since 1970, when everything that was due on
    /// the way has happened, in its order and at its own time.
    ///
    /// Before each step and at the end the clock waits until no job is leased, at most `patience`, 60 s at
    /// most; with zero it does not wait for workers.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) with `Unsupported` by every other broker.
    pub async fn advance_clock(&self, time: Duration, patience: Duration) -> Result<u64> {
        let advance = AdvanceClock {
            by_ms: millis::of(time),
            patience_ms: millis::of(patience),
            ..AdvanceClock::default()
        };
        let rules = Rules::ONCE.longer_by(LONGEST);
        let Body::ClockAdvanced(advanced) = self.ask(Request::AdvanceClock(advance), rules).await? else {
            return Err(Error::wrong_answer("ClockAdvanced"));
        };
        Ok(advanced.at_ms)
    }
}
