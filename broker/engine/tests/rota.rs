//! Schedules in random histories.

use crate::dice::Dice;
use crate::world::DAWN;
use windlass_engine::schedule::{Calendar, CatchUp, Overlap, Schedule, TickOf};

/// A random schedule, without its job.
pub(crate) fn schedule(dice: &mut Dice, calendar: Calendar) -> Schedule {
    let overlaps =
        [Overlap::Skip, Overlap::BufferOne, Overlap::BufferAll, Overlap::CancelRunning, Overlap::Allow];
    Schedule {
        calendar,
        overlap: dice.of(&overlaps).unwrap_or_default(),
        catch_up: dice.of(&[CatchUp::Last, CatchUp::None, CatchUp::All]).unwrap_or_default(),
        catch_up_window_ms: 1_000 + dice.roll(200_000),
        catch_up_max: 1 + dice.roll(5) as u32,
        max_runs: if dice.one_in(6) { 1 + dice.roll(9) } else { 0 },
        paused: dice.one_in(6),
        pause_after_failures: if dice.one_in(2) { 1 + dice.roll(3) as u32 } else { 0 },
        ..Schedule::default()
    }
}

/// A tick that somebody names himself.
pub(crate) fn tick_of(dice: &mut Dice) -> TickOf {
    let schedule = if dice.one_in(2) { "often" } else { "hourly" };
    TickOf { schedule: schedule.into(), at: DAWN + 1_000 * dice.roll(200) }
}
