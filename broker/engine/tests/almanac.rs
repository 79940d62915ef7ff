//! Whoever reads calendars, for tests: intervals only, so that the rules need no time zones.

use windlass_engine::ids::Ms;
use windlass_engine::schedule::{Calendar, Tick, TickWanted};

/// The ticks of an interval that lie later than `after` and not later than `until`.
pub(crate) fn ticks(calendar: &Calendar, after: Ms, until: Ms) -> impl DoubleEndedIterator<Item = Ms> {
    let Calendar { every_ms, anchor_at, start_at, end_at, .. } = *calendar;
    let phase = anchor_at % every_ms;
    let last = if end_at > 0 { until.min(end_at) } else { until };
    let first = after.saturating_add(1).max(start_at);
    // The first number n with phase + n * every_ms >= first, and the first beyond the last.
    let from = first.saturating_sub(phase).div_ceil(every_ms);
    let to = if last < phase { 0 } else { (last - phase) / every_ms + 1 };
    (from..to.max(from)).map(move |n| phase + n * every_ms)
}

/// Answers a question.
pub(crate) fn answer(wanted: &TickWanted) -> Tick {
    let TickWanted { schedule, calendar, after, until, most } = wanted;
    let all = ticks(calendar, *after, *until).count();
    let mut due: Vec<Ms> = ticks(calendar, *after, *until).rev().take(*most).collect();
    due.reverse();
    let horizon = (*until).max(calendar.start_at).saturating_add(2 * calendar.every_ms);
    let next = ticks(calendar, *until, horizon).next().unwrap_or(0);
    Tick { schedule: *schedule, until: *until, left_out: (all - due.len()) as u64, due, next }
}
