//! The body of a delivery: a CloudEvent 1.0 in structured JSON, thin enough that it may arrive twice.

use serde_json::{Map, Value, json};
use uuid::Uuid;
use windlass_engine::sink::TEST_KIND;
use windlass_proto::v1::Work;

/// The id that stays the same however often a delivery is made.
pub(super) fn message_id(work: &Work) -> String {
    format!("msg_{}", Uuid::from_slice(&work.id).unwrap_or_default())
}

/// What is posted; a test is dated now. Of a test nothing is taken from its payload: anybody may have written it.
pub(super) fn body(work: &Work, namespace: &str, now_ms: u64) -> Vec<u8> {
    let mut data = if work.kind == TEST_KIND {
        Map::from_iter([
            ("event".to_owned(), json!(TEST_KIND)),
            ("at_ms".to_owned(), json!(now_ms)),
            ("subject".to_owned(), json!(format!("sink/{}", work.key))),
            ("note".to_owned(), json!("a test: nothing is wrong")),
        ])
    } else {
        serde_json::from_slice(&work.payload).unwrap_or_default()
    };
    let mut text = |name: &str| match data.remove(name) {
        Some(Value::String(text)) => text,
        Some(_) | None => String::new(),
    };
    let (event, number, subject) = (text("event"), text("number"), text("subject"));
    let at_ms = data.remove("at_ms").and_then(|at| at.as_u64()).unwrap_or(now_ms);
    let subject = match data.get("job").and_then(Value::as_str) {
        Some(job) => format!("job/{job}"),
        None => subject,
    };
    let id = if number.is_empty() { message_id(work) } else { format!("evt_{number}") };
    data.insert("namespace".to_owned(), json!(namespace));
    let body = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/windlass/{namespace}"),
        "type": format!("windlass.{}.v1", word(&event)),
        "time": crate::json::instant(at_ms),
        "subject": if subject.is_empty() { Value::Null } else { json!(subject) },
        "datacontenttype": "application/json",
        "data": data,
    });
    body.to_string().into_bytes()
}

/// What people call an event: a session that was lost was a worker.
fn word(event: &str) -> &str {
    if event == "session.lost" { "worker.lost" } else { event }
}
