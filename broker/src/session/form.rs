//! The forms that all verbs share: names, texts, ids, bounds, and how a fault is told.
//!
//! It is separate from the verbs so that a name is the same thing in each of them, and a refusal
//! points at its field in the same way everywhere.

use std::ops::RangeInclusive;
use windlass_engine::command::{Code, Refusal};
use windlass_engine::{JobId, SessionId};
use windlass_proto::limits::{self, ID_BYTES, NAME_BYTES_MAX, REASON_BYTES_MAX};

/// A part of a request, or what is wrong with it.
pub(super) type Checked<T> = Result<T, Refusal>;

/// The request breaks a rule of the protocol.
pub(super) fn invalid(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(Code::Invalid, field, message)
}

/// Something is over its bound.
pub(super) fn too_large(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(Code::TooLarge, field, message)
}

/// The schema has it, this broker does not do it. It is never ignored: the client may rely on it.
pub(super) fn unsupported(field: &str) -> Refusal {
    let message = match field {
        "" => "this broker does not support this".to_owned(),
        field => format!("this broker does not support `{field}`; leave it out"),
    };
    Refusal::new(Code::Unsupported, field, message)
}

/// Refuses the first field of the list that is set, because this broker does not do what it asks.
pub(super) fn unset(fields: &[(&str, bool)]) -> Checked<()> {
    match fields.iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => Err(unsupported(field)),
        None => Ok(()),
    }
}

/// Puts the field that encloses the fault before its path.
pub(super) fn inside(field: &str, fault: Refusal) -> Refusal {
    Refusal { field: join(field, &fault.field), ..fault }
}

/// Puts the entry of the list that encloses the fault before its path.
pub(super) fn at(list: &str, index: usize, fault: Refusal) -> Refusal {
    Refusal { field: join(&format!("{list}[{index}]"), &fault.field), ..fault }
}

fn join(outer: &str, inner: &str) -> String {
    if inner.is_empty() { outer.to_owned() } else { format!("{outer}.{inner}") }
}

/// A name, required.
pub(super) fn name(text: String, field: &str) -> Checked<String> {
    if limits::is_name(&text) {
        return Ok(text);
    }
    let rule = "letters, digits and . _ : / -";
    Err(invalid(field, format!("a name is 1 to {NAME_BYTES_MAX} bytes of {rule}")))
}

/// A name, or the default if none is given.
pub(super) fn name_or(text: String, default: &str, field: &str) -> Checked<String> {
    if text.is_empty() { Ok(default.to_owned()) } else { name(text, field) }
}

/// A name, or none.
pub(super) fn optional_name(text: String, field: &str) -> Checked<String> {
    if text.is_empty() { Ok(text) } else { name(text, field) }
}

/// One line of free text; it may be empty.
pub(super) fn text(text: String, bytes_max: usize, field: &str) -> Checked<String> {
    if limits::is_text(&text, bytes_max) {
        return Ok(text);
    }
    Err(invalid(field, format!("a text of at most {bytes_max} bytes without control characters")))
}

/// A reason or a note: free text that is cut where it is too long, because nobody's work should fail
/// for it.
pub(super) fn reason(text: String) -> String {
    cut(text, REASON_BYTES_MAX)
}

/// The longest beginning of a text that keeps the bound.
pub(super) fn cut(mut text: String, bytes_max: usize) -> String {
    let kept = limits::cut(&text, bytes_max).len();
    text.truncate(kept);
    text
}

/// The id of a job.
pub(super) fn job_id(bytes: &[u8], field: &str) -> Checked<JobId> {
    match <[u8; ID_BYTES]>::try_from(bytes) {
        Ok(id) if limits::is_id(&id) => Ok(JobId(id)),
        Ok(_) | Err(_) => Err(invalid(field, "an id is 16 bytes, not all zero")),
    }
}

/// The id of a session.
pub(super) fn session_id(bytes: &[u8], field: &str) -> Checked<SessionId> {
    let id = <[u8; ID_BYTES]>::try_from(bytes);
    id.map(SessionId).map_err(|_| invalid(field, "the id of a session is 16 bytes"))
}

/// A value of an enum of the wire. A later version's value is not guessed at.
pub(super) fn known<E: TryFrom<i32>>(value: i32, field: &str) -> Checked<E> {
    E::try_from(value).map_err(|_| invalid(field, format!("the value {value} is not known")))
}

/// A number within its bounds, or none.
pub(super) fn within(value: Option<u32>, range: RangeInclusive<u32>, field: &str) -> Checked<Option<u32>> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(invalid(field, format!("{value} is not within {} to {}", range.start(), range.end())))
        }
        Some(_) | None => Ok(value),
    }
}

/// A number up to its bound.
pub(super) fn at_most(value: u64, most: u64, field: &str) -> Checked<u64> {
    if value > most {
        return Err(invalid(field, format!("{value} is more than {most}")));
    }
    Ok(value)
}
