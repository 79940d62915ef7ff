//! What happens, and what handlers write about it.

use super::{id, instant, optional_word, text};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// Something that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// Rises from event to event.
    pub seq: String,
    /// When it happened.
    pub at: Option<String>,
    /// `job.completed`, `session.lost` and so on.
    pub name: String,
    /// The job it is about.
    pub job: Option<String>,
    /// Its queue.
    pub queue: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// Where it stands now.
    pub state: Option<String>,
    /// For people: a sentence.
    pub note: String,
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        Self {
            seq: event.seq.to_string(),
            at: instant(event.at_ms),
            state: optional_word(event.state().as_str_name(), "STATE_"),
            job: id(&event.job),
            name: event.name,
            queue: text(event.queue),
            kind: text(event.kind),
            key: text(event.key),
            note: event.note,
        }
    }
}

/// Names of the severities, as in syslog.
const LEVELS: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// A line that a handler wrote.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogLine {
    /// The attempt that wrote it.
    pub attempt: u32,
    /// When, on the worker's clock.
    pub at: Option<String>,
    /// error, warning, info, debug and so on, as in syslog.
    pub level: String,
    /// The line.
    pub text: String,
}

impl From<v1::LogView> for LogLine {
    fn from(view: v1::LogView) -> Self {
        let line = view.line.unwrap_or_default();
        let level = usize::try_from(line.level).ok().and_then(|level| LEVELS.get(level));
        Self {
            attempt: view.attempt,
            at: instant(line.at_ms),
            level: level.copied().unwrap_or("info").to_owned(),
            text: line.text,
        }
    }
}
