//! Calendars: which instants a schedule means. The engine asks, because it has no time zones.
//!
//! The rule where local time jumps, for expressions whose hour is not `*`: a local time that does not
//! exist stands for the first instant after the gap, and one that comes twice for the first of the two.
//! Expressions whose hour is `*` follow real time: they mean every instant whose local time they match.

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, CronDateTime};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};
use windlass_engine::ids::Ms;
use windlass_engine::limits::TICKS_MADE_UP_MAX;
pub use windlass_engine::schedule::Calendar;
use windlass_engine::schedule::{Tick, TickWanted};

/// Longest expression, in bytes.
const CRON_BYTES_MAX: usize = 200;
/// No tick is looked for after this instant: the first of January 2500.
const LAST_MS: Ms = 16_725_225_600_000;
/// Local times of one instant that are looked at: a jump of at most a day, second by second.
const LOOKS_MAX: usize = 90_000;
/// The first while that is searched for the last ticks before an instant.
const FIRST_WHILE_MS: Ms = 60_000;

/// What is wrong with a calendar, and with which of its fields.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// `cron`, `tz`, `every_ms` or `end_at_ms`.
    pub field: &'static str,
    /// In words.
    pub message: String,
}

/// A calendar that can be read.
#[derive(Debug)]
pub struct Almanac {
    beat: Beat,
    start_at: Ms,
    end_at: Ms,
}

#[derive(Debug)]
enum Beat {
    Every {
        every_ms: Ms,
        phase: Ms,
    },
    /// Every instant whose local time the expression matches.
    Real(Box<Cron>, TimeZone),
    /// Every local time that the expression matches, as an instant.
    Local(Box<Cron>, TimeZone),
}

/// Answers a question of the engine. A calendar that cannot be read any more, after a change of the
/// program, has no ticks.
#[must_use]
pub fn answer(wanted: &TickWanted) -> Tick {
    let TickWanted { schedule, calendar, after, until, most } = wanted;
    let (schedule, until) = (*schedule, *until);
    let Ok(almanac) = Almanac::read(calendar) else {
        tracing::error!(calendar = ?calendar, "a stored schedule cannot be read; it has no ticks");
        return Tick { schedule, until, due: Vec::new(), left_out: 0, next: 0 };
    };
    let mut due = almanac.last(*after, until, TICKS_MADE_UP_MAX.max(*most));
    let left_out = due.len().saturating_sub(*most);
    due.drain(..left_out);
    let next = almanac.next(until).unwrap_or(0);
    Tick { schedule, until, due, left_out: left_out as u64, next }
}

impl Almanac {
    /// Reads a calendar.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(calendar: &Calendar) -> Result<Self, Fault> {
        let Calendar { cron, tz, every_ms, anchor_at, start_at, end_at } = calendar;
        let beat = if cron.is_empty() {
            if *every_ms == 0 {
                return Err(Fault { field: "every_ms", message: "an interval of nothing".into() });
            }
            Beat::Every { every_ms: *every_ms, phase: anchor_at % every_ms }
        } else {
            let zone = zone(tz)?;
            let (cron, follows_real_time) = expression(cron)?;
            if follows_real_time { Beat::Real(cron, zone) } else { Beat::Local(cron, zone) }
        };
        Ok(Self { beat, start_at: *start_at, end_at: if *end_at == 0 { LAST_MS } else { *end_at } })
    }

    /// What the calendar means, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.beat {
            Beat::Every { every_ms, .. } => format!("Every {} ms.", every_ms),
            Beat::Real(cron, _) | Beat::Local(cron, _) => cron.describe(),
        }
    }

    /// The first tick after an instant.
    #[must_use]
    pub fn next(&self, after: Ms) -> Option<Ms> {
        let after = after.max(self.start_at.saturating_sub(1));
        let last = self.end_at.min(LAST_MS);
        if after >= last {
            return None;
        }
        let next = match &self.beat {
            Beat::Every { every_ms, phase } => {
                let n = (after + 1).saturating_sub(*phase).div_ceil(*every_ms);
                n.checked_mul(*every_ms).and_then(|ms| ms.checked_add(*phase))
            }
            Beat::Real(cron, zone) => {
                let from = local(after, zone)?;
                cron.find_next_occurrence(&from, false).ok().and_then(|tick| ms(tick.timestamp()))
            }
            Beat::Local(cron, zone) => {
                let mut at: DateTime = local(after, zone)?.datetime();
                (0..LOOKS_MAX).find_map(|_| {
                    at = match cron.find_next_occurrence(&at, false) {
                        Ok(next) => next,
                        Err(_) => return Some(None),
                    };
                    let tick = instant(at, zone);
                    if tick.is_none_or(|tick| tick > after) { Some(tick) } else { None }
                })?
            }
        };
        next.filter(|&next| next > after && next <= last)
    }

    /// The first ticks of a while, at most so many: later than `after`, not later than `until`.
    #[must_use]
    pub fn first(&self, after: Ms, until: Ms, most: usize) -> Vec<Ms> {
        let ticks = std::iter::successors(self.next(after), |&tick| self.next(tick));
        ticks.take_while(|&tick| tick <= until).take(most).collect()
    }

    /// The last ticks of a while, at most so many: later than `after`, not later than `until`.
    #[must_use]
    pub fn last(&self, after: Ms, until: Ms, most: usize) -> Vec<Ms> {
        // The search begins at the end: a while that has too few ticks, one that has too many, and then
        // between the two.
        let (mut few, mut many, mut length) = (0, None, FIRST_WHILE_MS);
        loop {
            let from = after.max(until.saturating_sub(length));
            let mut ticks = self.first(from, until, 4 * most.max(1));
            if ticks.len() == 4 * most.max(1) {
                many = Some(length);
            } else if ticks.len() >= most || from <= after {
                ticks.drain(..ticks.len().saturating_sub(most));
                return ticks;
            } else {
                few = length;
            }
            length = many.map_or(length.saturating_mul(2), |many| few.midpoint(many));
        }
    }
}

/// A zone of the database that comes with the program.
fn zone(name: &str) -> Result<TimeZone, Fault> {
    let name = if name.is_empty() { "UTC" } else { name };
    TimeZone::get(name).map_err(|_| Fault {
        field: "tz",
        message: format!("{name} is no time zone; name one like UTC or Europe/Berlin"),
    })
}

/// An expression, and whether it follows real time.
fn expression(text: &str) -> Result<(Box<Cron>, bool), Fault> {
    let fault = |message: String| Fault { field: "cron", message };
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_plain = text.len() <= CRON_BYTES_MAX && text.is_ascii() && !text.contains(['@', '+']);
    if !is_plain || !(5..=6).contains(&fields.len()) {
        return Err(fault(format!(
            "an expression has five fields (minute hour day month weekday), or six with seconds in front, and at most {CRON_BYTES_MAX} bytes"
        )));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| fault(error.to_string()))?;
    if !has_days(&cron) {
        return Err(fault("no day matches this expression; it would never run".to_owned()));
    }
    Ok((Box::new(cron), fields[fields.len() - 4] == "*"))
}

/// Some day matches the expression. The calendar repeats itself after 28 years, so no more of them are
/// looked at; croner itself would search for three thousand.
fn has_days(cron: &Cron) -> bool {
    let mut days = jiff::civil::date(1970, 1, 1).series(jiff::ToSpan::days(1)).take(28 * 366);
    days.any(|day| {
        let weekday = day.to_datetime(jiff::civil::Time::midnight()).civil_weekday();
        let number = |part: i8| u32::from(part.unsigned_abs());
        let (year, month, day) = (i32::from(day.year()), number(day.month()), number(day.day()));
        let matches = |found: Result<bool, _>| found.unwrap_or(false);
        matches(cron.pattern.month_match(month)) && matches(cron.pattern.day_match(year, month, day, weekday))
    })
}

fn local(at: Ms, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?.to_zoned(zone.clone()))
}

fn ms(at: Timestamp) -> Option<Ms> {
    u64::try_from(at.as_millisecond()).ok()
}

/// The instant that a local time stands for.
fn instant(at: DateTime, zone: &TimeZone) -> Option<Ms> {
    let found = zone.to_ambiguous_timestamp(at);
    match found.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ms(found.earlier().ok()?),
        AmbiguousOffset::Gap { .. } => {
            // Read with the offset from before the gap, it lies after it by less than its length, or at
            // its very end.
            let beyond = found.later().ok()? + SignedDuration::from_millis(1);
            ms(zone.preceding(beyond).next()?.timestamp())
        }
    }
}

#[cfg(test)]
mod tests;
