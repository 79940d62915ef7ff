//! Configuration as people write it in JSON: lengths of time and instants as text.

use super::problem::Problem;
use super::span;
use serde_json::Value;

/// Fields that are lengths of time. Each means the field of that name with `_ms`.
const LENGTHS: &[&str] = &[
    "base",
    "breaker_open",
    "catch_up_window",
    "every",
    "jitter",
    "keep_dead",
    "keep_done",
    "lease",
    "max",
    "per",
    "slo",
    "stall",
    "timeout",
    "ttl",
    "window",
];
/// Fields whose content is not ours.
const FOREIGN: &[&str] = &["headers", "need_labels"];

/// Puts what is written as text into the protocol's form.
pub(super) fn plain(value: &mut Value, path: &str) -> Result<(), Problem> {
    let Value::Object(fields) = value else { return Ok(()) };
    let names: Vec<String> = fields.keys().cloned().collect();
    for name in names {
        let Some(mut field) = fields.remove(&name) else { continue };
        let pointer = format!("{path}/{name}");
        let is_length = LENGTHS.contains(&name.as_str());
        let (name, field) = match field {
            Value::String(ref text) if is_length || name.ends_with("_at") => {
                let read = if is_length { span::ms(text) } else { span::instant(text) };
                let ms = read.map_err(|fault| Problem::invalid(fault).at(pointer.clone()))?;
                (format!("{name}_ms"), Value::from(ms))
            }
            // A payload that is text is these bytes, as it is shown.
            Value::String(_) => (name, field),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)
                if name == "payload" =>
            {
                (name, Value::String(field.to_string()))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                if !FOREIGN.contains(&name.as_str()) {
                    plain(&mut field, &pointer)?;
                }
                (name, field)
            }
        };
        if fields.contains_key(&name) {
            return Err(
                Problem::invalid(format!("`{name}` is given twice, as text and as a number")).at(pointer)
            );
        }
        fields.insert(name, field);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_becomes_numbers_where_it_means_time() {
        let mut value = json!({
            "every": "15m",
            "start_at": "2030-01-01T00:00:00Z",
            "job": { "kind": "k", "payload": { "every": "15m" }, "headers": { "window": "1h" } },
        });
        plain(&mut value, "").unwrap();
        let expected = json!({
            "every_ms": 900_000,
            "start_at_ms": 1_893_456_000_000_u64,
            "job": { "kind": "k", "payload": "{\"every\":\"15m\"}", "headers": { "window": "1h" } },
        });
        assert_eq!(value, expected);
        for mut wrong in [json!({ "every": "x" }), json!({ "every": "1s", "every_ms": 1 })] {
            assert!(plain(&mut wrong, "").is_err(), "{wrong}");
        }
    }
}
