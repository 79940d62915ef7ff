//! What rows are made of: the shapes that the gateway has, too, and instants and payloads as values.

use crate::json;
use serde::Serialize;
use serde_json::Value;

/// A row in the shape that HTTP answers with.
pub(in crate::cli) fn row(shape: impl Serialize) -> Value {
    serde_json::to_value(shape).expect("names, numbers and texts are JSON")
}

/// Instants in milliseconds since 1970 as RFC 3339 in UTC; null for 0.
pub(in crate::cli) fn instant(at_ms: u64) -> Value {
    json::instant(at_ms).into()
}

/// Bytes as JSON if they are JSON, as text if they are text, else as hex digits; null if there are none.
pub(in crate::cli) fn payload(bytes: &[u8]) -> Value {
    json::content(bytes)
}
