//! One value in a table: as it is for a pipe, in words for a person. The ending of a key says its unit.

use super::terminal::Ink;
use serde_json::Value;

/// What a key's value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Instant,
    Millis,
    Micros,
    Bytes,
    Permille,
    State,
    Bare,
}

impl Unit {
    fn of(key: &str) -> Self {
        match key {
            "at" | "since" | "next" | "last" | "until" => return Self::Instant,
            "state" | "level" | "severity" => return Self::State,
            _ => {}
        }
        let ends = |ending| key.ends_with(ending);
        if ends("_at") {
            Self::Instant
        } else if ends("_ms") {
            Self::Millis
        } else if ends("_us") {
            Self::Micros
        } else if ends("_bytes") {
            Self::Bytes
        } else if ends("_permille") {
            Self::Permille
        } else {
            Self::Bare
        }
    }
}

/// A head without the unit that the cells show already.
pub(in crate::cli) fn head(key: &str) -> String {
    if key == "max_attempts" {
        return "MAX".to_owned();
    }
    let unit = Unit::of(key);
    let bare = ["_ms", "_us", "_bytes", "_permille", "_at"].into_iter().find_map(|end| key.strip_suffix(end));
    let shown = if unit == Unit::Bare || unit == Unit::State { key } else { bare.unwrap_or(key) };
    shown.replace('_', " ").to_uppercase()
}

/// The value for a pipe: every digit, nothing rounded.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => super::one_line(text),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            super::one_line(&items.join(","))
        }
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The value for a person, who reads it at `now_ms`.
pub(in crate::cli) fn spoken(key: &str, value: &Value, now_ms: u64) -> String {
    let count = value.as_u64();
    match (Unit::of(key), value) {
        (Unit::Instant, Value::String(text)) => relative(text, now_ms).unwrap_or_else(|| plain(value)),
        (Unit::Millis, Value::Number(_)) => count.map_or_else(|| plain(value), length),
        (Unit::Micros, Value::Number(_)) => count.map_or_else(|| plain(value), micros),
        (Unit::Bytes, Value::Number(_)) => count.map_or_else(|| plain(value), size),
        (Unit::Permille, Value::Number(_)) => count.map_or_else(|| plain(value), percent),
        (Unit::Bare, Value::Number(_)) => count.map_or_else(|| plain(value), grouped),
        (_, Value::String(text)) if text.is_empty() => "-".into(),
        _ => plain(value),
    }
}

/// How a value stands out.
pub(in crate::cli) fn ink(key: &str, value: &Value) -> Ink {
    if Unit::of(key) == Unit::State {
        return match value.as_str().unwrap_or_default() {
            "dead" | "error" | "critical" | "alert" | "emergency" => Ink::Red,
            "completed" | "ok" => Ink::Green,
            "leased" => Ink::Blue,
            "cancelled" | "expired" | "debug" => Ink::Dim,
            "blocked" | "held" | "warning" => Ink::Yellow,
            _ => Ink::Plain,
        };
    }
    if key == "dead" && value.as_u64().is_some_and(|count| count > 0) {
        Ink::Red
    } else if key == "paused" && *value == Value::Bool(true) {
        Ink::Yellow
    } else if ["id", "name", "fingerprint"].contains(&key) {
        Ink::Bold
    } else if value.is_null() {
        Ink::Dim
    } else {
        Ink::Plain
    }
}

/// `3m ago`, `in 2h`.
fn relative(text: &str, now_ms: u64) -> Option<String> {
    let at: jiff::Timestamp = text.parse().ok()?;
    let at_ms = u64::try_from(at.as_millisecond()).ok()?;
    Some(if at_ms > now_ms {
        format!("in {}", length(at_ms - now_ms))
    } else {
        format!("{} ago", length(now_ms - at_ms))
    })
}

/// A length of time in its two largest units, like `1d2h`, `3m10s`, `420ms`.
pub(in crate::cli) fn length(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let Some(largest) = UNITS.iter().position(|(unit, _)| ms >= *unit) else { return format!("{ms}ms") };
    let (unit, name) = UNITS[largest];
    let rest = UNITS.get(largest + 1).map(|(unit, name)| (ms % UNITS[largest].0 / unit, *name));
    match rest {
        Some((count @ 1.., second)) => format!("{}{name}{count}{second}", ms / unit),
        Some((0, _)) => format!("{}{name}", ms / unit),
        None => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
    }
}

fn micros(us: u64) -> String {
    if us < 1_000 { format!("{us}µs") } else { format!("{}.{}ms", us / 1_000, us % 1_000 / 100) }
}

/// Bytes in the largest unit of which there is one.
pub(in crate::cli) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes / unit < 10 => {
            format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
        }
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// So many of something, in words.
pub(in crate::cli) fn count(number: u64, one: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{} {one}{many}", grouped(number))
}

/// Thousands apart, as they are read.
pub(in crate::cli) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lengths_of_time_are_told_in_two_units() {
        let cases = [
            (0, "0ms"),
            (420, "420ms"),
            (1_250, "1.2s"),
            (130_000, "2m10s"),
            (3_600_000, "1h"),
            (93_600_000, "1d2h"),
        ];
        for (ms, text) in cases {
            assert_eq!(length(ms), text);
        }
    }

    #[test]
    fn a_person_reads_units_and_a_pipe_reads_digits() {
        let told = |key, value: Value| (spoken(key, &value, 1_000_000), plain(&value));
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(told("store_bytes", json!(3_221_225_472_u64)), pair("3.0 GiB", "3221225472"));
        assert_eq!(told("fsync_p99_us", json!(4_120)), pair("4.1ms", "4120"));
        assert_eq!(told("ready", json!(12_041)), pair("12,041", "12041"));
        let at = "1970-01-01T00:13:40.000Z";
        assert_eq!(told("created_at", json!(at)), pair("3m ago", at));
        assert_eq!(told("run_at", Value::Null), pair("-", "-"));
        assert_eq!((head("silent_ms"), head("dead_total")), ("SILENT".into(), "DEAD TOTAL".into()));
    }
}
