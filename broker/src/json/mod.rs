//! How the rows of the protocol look as JSON: the fields' names, ids as UUIDs, instants as RFC 3339,
//! enums as words.
//!
//! It is separate because the gateway's routes, its events and its webhooks show the same nouns and
//! must show them alike. Numbers that may exceed 2^53 are strings, because JavaScript would round them.

mod event;
mod group;
mod job;
mod kind;
mod limit;
mod measure;
pub mod message;
mod queue;
mod resource;
mod schedule;
mod server;
mod token;
mod worker;

pub use event::{Event, LogLine};
pub use group::{Audit, ErrorGroup, Explain, Operation};
pub use job::{Attempt, Job};
pub use kind::Kind;
pub use limit::LimitRow;
pub use measure::{Scale, Series};
pub use queue::Queue;
pub use resource::Resource;
pub use schedule::ScheduleRow;
pub use server::Server;
pub use token::Token;
pub use worker::Worker;

use serde_json::Value;
use uuid::Uuid;

/// An id of the protocol as a UUID; null if there is none.
#[must_use]
pub fn id(bytes: &[u8]) -> Option<String> {
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Uuid::from_bytes(bytes).to_string())
}

/// An instant of the protocol as RFC 3339 in UTC; null for 0.
#[must_use]
pub fn instant(at_ms: u64) -> Option<String> {
    let at = i64::try_from(at_ms).ok().filter(|&at| at > 0)?;
    jiff::Timestamp::from_millisecond(at).ok().map(|at| format!("{at:.3}"))
}

/// An enum's word: its name without the prefix, in lower case; empty for "unspecified".
#[must_use]
pub fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name).to_lowercase();
    if word == "unspecified" { String::new() } else { word }
}

/// The same, null for "unspecified".
#[must_use]
pub fn optional_word(name: &str, prefix: &str) -> Option<String> {
    Some(word(name, prefix)).filter(|word| !word.is_empty())
}

/// Bytes as JSON if they are JSON, as text if they are text, else as hex digits; null if there are
/// none.
#[must_use]
pub fn content(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

/// A text; null if it is empty.
fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_null_and_what_is_binary_is_hex() {
        assert_eq!(instant(0), None);
        assert_eq!(instant(1_893_456_000_001).as_deref(), Some("2030-01-01T00:00:00.001Z"));
        assert_eq!(id(b""), None);
        assert_eq!(word("STATE_DEAD", "STATE_"), "dead");
        assert_eq!(optional_word("DEAD_REASON_UNSPECIFIED", "DEAD_REASON_"), None);
        assert_eq!(content(br#"{"a":9007199254740993}"#).to_string(), r#"{"a":9007199254740993}"#);
        assert_eq!(content(&[0xff, 0x00]), Value::String("ff00".to_owned()));
    }
}
