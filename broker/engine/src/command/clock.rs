//! What a test asks of the clock. The engine owns no clock: who drives it over a test clock takes
//! this command out, and everywhere else it is refused.

use crate::ids::Ms;

/// Lets the test clock go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdvanceClock {
    /// By how much.
    pub by_ms: u64,
    /// Or up to which instant; 0 = not given.
    pub to_at: Ms,
    /// How long in real time each step waits for leased jobs.
    pub patience_ms: u64,
}
