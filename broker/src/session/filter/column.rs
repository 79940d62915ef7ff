//! The columns of the filter language: what each is called, and what its values mean.

use super::Value;
use std::str::FromStr;
use windlass_engine::fact::DeadReason;
use windlass_engine::filter::{NumberColumn, Pattern, States, Test, TextColumn};
use windlass_engine::ledger::job::State;
use windlass_engine::{JobId, SessionId};

/// A column that a filter may ask.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    State,
    Id,
    Reason,
    Session,
    Group,
    Tag,
    Error,
    Fingerprint,
    Text(TextColumn),
    Number(NumberColumn),
    /// An instant, or a day.
    Instant(NumberColumn),
    /// The time since an instant.
    Since(NumberColumn),
}

const COLUMNS: [(&str, Column); 24] = [
    ("state", Column::State),
    ("queue", Column::Text(TextColumn::Queue)),
    ("kind", Column::Text(TextColumn::Kind)),
    ("key", Column::Text(TextColumn::Key)),
    ("dedup", Column::Text(TextColumn::Dedup)),
    ("schedule", Column::Text(TextColumn::Schedule)),
    ("tag", Column::Tag),
    ("id", Column::Id),
    ("reason", Column::Reason),
    ("error", Column::Error),
    ("fingerprint", Column::Fingerprint),
    ("session", Column::Session),
    ("group", Column::Group),
    ("age", Column::Since(NumberColumn::Created)),
    ("created", Column::Instant(NumberColumn::Created)),
    ("run_at", Column::Instant(NumberColumn::RunAt)),
    ("leased", Column::Instant(NumberColumn::Leased)),
    ("finished", Column::Instant(NumberColumn::Finished)),
    ("attempt", Column::Number(NumberColumn::Attempt)),
    ("deliveries", Column::Number(NumberColumn::Deliveries)),
    ("crashes", Column::Number(NumberColumn::Crashes)),
    ("snoozes", Column::Number(NumberColumn::Snoozes)),
    ("priority", Column::Number(NumberColumn::Priority)),
    ("size", Column::Number(NumberColumn::Size)),
];

const REASONS: [(&str, DeadReason); 7] = [
    ("failed", DeadReason::Failed),
    ("fatal", DeadReason::Fatal),
    ("poison", DeadReason::Poison),
    ("timeout", DeadReason::Timeout),
    ("operator", DeadReason::Operator),
    ("stalled", DeadReason::Stalled),
    ("dependency", DeadReason::Dependency),
];

/// No number is in it.
const NOWHERE: (u64, u64) = (1, 0);

/// The columns, for whoever asked for another one.
pub(super) fn known() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("where column is one of {}", names.join(", "))
}

impl Column {
    pub(super) fn of(name: &str) -> Result<Self, String> {
        let found = COLUMNS.iter().find(|(known, _)| *known == name);
        found.map(|(_, column)| *column).ok_or_else(|| format!("{name:?} is no column; {}", known()))
    }

    /// What a value of this column asks of a job.
    pub(super) fn test(self, value: &Value, now_ms: u64) -> Result<Test, String> {
        let text = value.text.as_str();
        let wrong = |expected: &str| format!("{text:?} is not {expected}");
        match self {
            Self::State => {
                let state = State::ALL.into_iter().find(|state| state.name() == text);
                let state = state
                    .ok_or_else(|| wrong(&format!("one of {}", State::ALL.map(State::name).join(", "))))?;
                Ok(Test::State(States::from_iter([state])))
            }
            Self::Reason => {
                let reason = REASONS.iter().find(|(name, _)| *name == text);
                let (_, reason) = reason
                    .ok_or_else(|| wrong(&format!("one of {}", REASONS.map(|(name, _)| name).join(", "))))?;
                Ok(Test::Reason(*reason))
            }
            Self::Id => {
                let prefix = hex(text).filter(|bytes| (1..=16).contains(&bytes.len()));
                prefix
                    .map(Test::Id)
                    .ok_or_else(|| wrong("an id or how one begins, an even number of hex digits"))
            }
            Self::Session => {
                let id = hex(text).and_then(|bytes| bytes.try_into().ok());
                id.map(|id| Test::Session(SessionId(id))).ok_or_else(|| wrong("the id of a session"))
            }
            Self::Group => {
                let id = hex(text).and_then(|bytes| bytes.try_into().ok());
                id.map(|id| Test::Group(JobId(id))).ok_or_else(|| wrong("the id of a group"))
            }
            Self::Error => Ok(Test::Error(Pattern::Holds(value.text.clone()))),
            Self::Fingerprint => fingerprint(text)
                .map(Test::Fingerprint)
                .ok_or_else(|| wrong("a fingerprint of 16 hex digits")),
            Self::Tag => Ok(Test::Tag(pattern(value))),
            Self::Text(column) => Ok(Test::Text(column, pattern(value))),
            Self::Number(column) => {
                let number = |text: &str| u64::from_str(text).ok().map(|number| (number, number));
                bounds(value, number)
                    .map(|(least, most)| Test::Number(column, least, most))
                    .ok_or_else(|| wrong("a number, >n, >=n, <n, <=n or n..m"))
            }
            Self::Instant(column) => {
                let expected = "an instant like 2026-11-25 or 2026-11-25T18:30:00Z or -1h (that long ago), with >, >=, <, <= or a..b";
                bounds(value, |text| instant(text, now_ms))
                    .map(|(least, most)| Test::Number(column, least, most))
                    .ok_or_else(|| wrong(expected))
            }
            Self::Since(column) => {
                let time = |text: &str| duration(text).map(|ms| (ms, ms));
                let (least, most) = bounds(value, time)
                    .ok_or_else(|| wrong("a duration like 90s, 1h30m or 3d, with >, >=, <, <= or a..b"))?;
                let (first, last) = if least > most {
                    NOWHERE
                } else {
                    (now_ms.saturating_sub(most), now_ms.saturating_sub(least))
                };
                Ok(Test::Number(column, first, last))
            }
        }
    }
}

fn pattern(value: &Value) -> Pattern {
    let is_like = !value.is_quoted && value.text.contains('*');
    if is_like { Pattern::Like(value.text.clone()) } else { Pattern::Is(value.text.clone()) }
}

/// The numbers that `>a`, `>=a`, `<a`, `<=a`, `a..b` or `a` stand for. One value may stand for several
/// numbers, as a day does.
fn bounds(value: &Value, read: impl Fn(&str) -> Option<(u64, u64)>) -> Option<(u64, u64)> {
    let text = value.text.as_str();
    if value.is_quoted {
        return read(text);
    }
    if let Some(rest) = text.strip_prefix(">=") {
        return Some((read(rest)?.0, u64::MAX));
    }
    if let Some(rest) = text.strip_prefix("<=") {
        return Some((0, read(rest)?.1));
    }
    if let Some(rest) = text.strip_prefix('>') {
        return Some(read(rest)?.1.checked_add(1).map_or(NOWHERE, |least| (least, u64::MAX)));
    }
    if let Some(rest) = text.strip_prefix('<') {
        return Some(read(rest)?.0.checked_sub(1).map_or(NOWHERE, |most| (0, most)));
    }
    match text.split_once("..") {
        Some((first, last)) => Some((read(first)?.0, read(last)?.1)),
        None => read(text),
    }
}

/// What failures that look alike are known by.
pub(in crate::session) fn fingerprint(text: &str) -> Option<u64> {
    Some(text).filter(|text| text.len() == 16).and_then(|text| u64::from_str_radix(text, 16).ok())
}

/// Digits in pairs; dashes do not count.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|letter| *letter != '-')
        .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The first and the last millisecond of an instant, a day, or a distance from now.
fn instant(text: &str, now_ms: u64) -> Option<(u64, u64)> {
    let point = |ms: i64| u64::try_from(ms).ok().map(|ms| (ms, ms));
    if let Some(ago) = text.strip_prefix('-') {
        let at = now_ms.saturating_sub(duration(ago)?);
        return Some((at, at));
    }
    if let Some(ahead) = text.strip_prefix('+') {
        let at = now_ms.saturating_add(duration(ahead)?);
        return Some((at, at));
    }
    if let Ok(at) = jiff::Timestamp::from_str(text) {
        return point(at.as_millisecond());
    }
    let utc = |at: jiff::civil::DateTime| at.to_zoned(jiff::tz::TimeZone::UTC).ok();
    if text.contains(['T', ' ']) {
        let at = jiff::civil::DateTime::from_str(text).ok().and_then(utc)?;
        return point(at.timestamp().as_millisecond());
    }
    let day = jiff::civil::Date::from_str(text).ok()?;
    let first =
        u64::try_from(utc(day.to_datetime(jiff::civil::Time::midnight()))?.timestamp().as_millisecond());
    let first = first.ok()?;
    Some((first, first + 86_399_999))
}

fn duration(text: &str) -> Option<u64> {
    let span = jiff::Span::from_str(text).ok()?;
    let exact = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    u64::try_from(exact.as_millis()).ok()
}
