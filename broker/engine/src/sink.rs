//! Sink: a place outside that events are delivered to. A delivery is an ordinary job of the queue
//! [`QUEUE`], stored in the batch of what it tells.

use crate::event::{Event, EventName, text};
use crate::ids::{JobId, Ms};
use crate::policy::mix;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Deliveries wait here, each in the lane of its sink.
pub const QUEUE: &str = "_webhooks";
/// The kind of a delivery that the broker made.
pub const KIND: &str = "webhook";
/// The kind of a delivery that an operator made to see whether it arrives.
pub const TEST_KIND: &str = "webhook.test";
/// How the session calls itself that makes the deliveries; that it is lost is nobody's alert.
pub const CLIENT: &str = "windlass/webhooks";

/// Where events go, and which.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// An http or https address.
    pub url: String,
    /// What signs each delivery. In a Put "" = the one that is stored.
    pub secret: String,
    /// What signed them before, and until when it still does, so that receivers can change over.
    pub former: Option<Box<(String, Ms)>>,
    /// Words of the events; empty = the alerts.
    pub names: Vec<String>,
    /// Only of jobs of this queue, and of the queue itself; "" = any.
    pub queue: String,
    /// Only of jobs of this kind; "" = any.
    pub kind: String,
    /// Only of jobs of this lane; "" = any.
    pub key: String,
}

/// Without the secrets: what is printed ends up in logs.
impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("url", &self.url).field("names", &self.names).finish_non_exhaustive()
    }
}

impl Sink {
    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        let texts = [&self.url, &self.secret, &self.queue, &self.kind, &self.key];
        let former = self.former.as_ref().map_or(0, |former| former.0.len());
        256 + former
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + self.names.iter().map(|name| 8 + name.len()).sum::<usize>()
    }

    /// The bits of the events that it wants.
    pub(crate) fn wants(&self) -> u64 {
        let all = EventName::ALL.iter().copied();
        let wanted = all.filter(|event| {
            if self.names.is_empty() {
                event.is_alert()
            } else {
                self.names.iter().any(|name| name == event.name())
            }
        });
        wanted.fold(0, |bits, event| bits | event.bit())
    }
}

/// The id of the delivery of an event to a sink: another one for each, and the same whoever asks.
pub(crate) fn delivery_id(event: &Event, sink: u32) -> JobId {
    let (high, low) = (mix(event.number, sink.into()), mix(u64::from(sink) << 32, !event.number));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(event.at << 16 | high >> 48).to_be_bytes());
    id[8..].copy_from_slice(&low.to_be_bytes());
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    JobId(id)
}

/// What a delivery says of an event, as JSON; `dropped` = so many deliveries before it were left out.
pub(crate) fn payload(event: &Event, namespace: &str, dropped: u64) -> Vec<u8> {
    let mut json = String::from("{");
    let mut member = |name: &str, value: &str| {
        if !value.is_empty() {
            json.push_str(if json.len() > 1 { ",\"" } else { "\"" });
            json.push_str(name);
            json.push_str("\":");
            write(&mut json, value);
        }
    };
    member("event", event.name.name());
    member("number", &format!("{}", event.number));
    member("namespace", namespace);
    if let Some(job) = &event.job {
        member("job", &format!("{}", job.id));
        member("queue", text(job.queue.as_ref()));
        member("kind", text(job.kind.as_ref()));
        member("key", text(job.key.as_ref()));
        member("state", job.state.map_or("", |state| state.name()));
    }
    member("queue", event.queue.as_ref().map_or("", |queue| queue.text()));
    member("subject", &event.subject);
    member("note", &event.note);
    json.push_str(&format!(",\"at_ms\":{}", event.at));
    if dropped > 0 {
        json.push_str(&format!(",\"dropped\":{dropped}"));
    }
    json.push('}');
    json.into_bytes()
}

/// A text in quotes.
fn write(json: &mut String, text: &str) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            ..='\u{1f}' | '\u{7f}' => json.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => json.push(letter),
        }
    }
    json.push('"');
}
