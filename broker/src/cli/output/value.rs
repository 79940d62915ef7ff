//! What rows are made of: instants and payloads as JSON.

use serde_json::Value;

/// Instants in milliseconds since 1970 as RFC 3339 in UTC; null for 0.
pub(in crate::cli) fn instant(at_ms: u64) -> Value {
    let at = i64::try_from(at_ms)
        .ok()
        .filter(|&at| at > 0)
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or(Value::Null, |at| Value::String(format!("{at:.3}")))
}

/// Bytes as JSON if they are JSON, as text if they are text, else as hex digits.
pub(in crate::cli) fn payload(bytes: &[u8]) -> Value {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}
