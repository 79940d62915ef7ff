//! What travels with a job or a result and means nothing to the engine: content types and headers.
//!
//! Both directions stand side by side, because one must read what the other wrote, also years later:
//! the bytes are stored. They are protobuf, so that later fields do not make old ones unreadable.

use super::form::{Checked, at, cut, invalid, text, too_large};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use windlass_engine::Blob;
use windlass_proto::limits::{
    HEADER_VALUE_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_MAX, LOG_TEXT_BYTES_MAX, TEXT_BYTES_MAX, is_name,
};
use windlass_proto::v1::{Complete, LogLine};

/// Debug, in the words of syslog.
const LOG_LEVEL_MAX: u32 = 7;
/// Info.
const LOG_LEVEL_DEFAULT: u32 = 6;

/// The passive fields of a job, under the numbers that JobSpec gives them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Passive {
    #[prost(string, tag = "5")]
    pub(super) content_type: String,
    #[prost(string, tag = "6")]
    pub(super) content_encoding: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) headers: BTreeMap<String, String>,
}

/// Checks the passive fields of a job and packs them; empty if none is set.
pub(super) fn pack_job(job: Passive) -> Checked<Blob> {
    let Passive { content_type, content_encoding, headers } = job;
    if content_type.is_empty() && content_encoding.is_empty() && headers.is_empty() {
        return Ok(Blob::default());
    }
    let content_type = text(content_type, TEXT_BYTES_MAX, "content_type")?;
    let content_encoding = text(content_encoding, TEXT_BYTES_MAX, "content_encoding")?;
    if headers.len() > HEADERS_MAX {
        return Err(too_large("headers", format!("a job has at most {HEADERS_MAX} headers")));
    }
    let mut bytes = 0;
    for (key, value) in &headers {
        if !is_name(key) {
            return Err(invalid("headers", "the key of a header is a name"));
        }
        if value.len() > HEADER_VALUE_BYTES_MAX {
            let message = format!("the value of {key} is longer than {HEADER_VALUE_BYTES_MAX} bytes");
            return Err(too_large("headers", message));
        }
        bytes += key.len() + value.len();
    }
    if bytes > HEADERS_BYTES_MAX {
        return Err(too_large("headers", format!("{bytes} bytes of headers, at most {HEADERS_BYTES_MAX}")));
    }
    Ok(Passive { content_type, content_encoding, headers }.encode_to_vec().into())
}

pub(super) fn unpack_job(packed: &Bytes) -> Passive {
    if packed.is_empty() {
        return Passive::default();
    }
    Passive::decode(packed.clone()).unwrap_or_else(|error| {
        tracing::error!(%error, "the stored headers of a job cannot be read");
        Passive::default()
    })
}

/// Checks a result and packs it with its content type; empty if there is neither.
pub(super) fn pack_result(complete: Complete, bytes_max: usize) -> Checked<Blob> {
    let Complete { result, content_type } = complete;
    if result.len() > bytes_max {
        let message = format!("a result of {} bytes, at most {bytes_max}", result.len());
        return Err(too_large("complete.result", message));
    }
    let content_type = text(content_type, TEXT_BYTES_MAX, "complete.content_type")?;
    Ok(Complete { result, content_type }.encode_to_vec().into())
}

/// Packs lines of a log, one behind the other.
pub(super) fn pack_lines(lines: Vec<LogLine>) -> Checked<Vec<u8>> {
    let mut packed = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        if line.level > LOG_LEVEL_MAX {
            let message = format!("a level is 0 to {LOG_LEVEL_MAX}, as in syslog");
            return Err(at("logs", index, invalid("level", message)));
        }
        let level = if line.level == 0 { LOG_LEVEL_DEFAULT } else { line.level };
        let line = LogLine { level, text: cut(line.text, LOG_TEXT_BYTES_MAX), ..line };
        line.encode_length_delimited(&mut packed).expect("a vector takes whatever is written");
    }
    Ok(packed)
}

/// The next line of those that were packed.
pub(super) fn unpack_line(packed: &mut Bytes) -> Option<LogLine> {
    if packed.is_empty() {
        return None;
    }
    LogLine::decode_length_delimited(packed)
        .inspect_err(|error| tracing::error!(%error, "the stored log of a job cannot be read"))
        .ok()
}

/// A result with its content type.
pub(super) fn unpack_result(packed: &Bytes) -> Complete {
    Complete::decode(packed.clone()).unwrap_or_else(|error| {
        tracing::error!(%error, "the stored result of a job cannot be read");
        Complete::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Passive {
        Passive {
            content_type: "application/json".into(),
            content_encoding: "zstd".into(),
            headers: [("traceparent".into(), "00-1".into())].into(),
        }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        assert_eq!(unpack_job(&Bytes::from_owner(pack_job(job()).unwrap())), job());
        let full = Complete { result: Bytes::from_static(b"42"), content_type: "text/plain".into() };
        assert_eq!(unpack_result(&Bytes::from_owner(pack_result(full.clone(), 2).unwrap())), full);
    }

    #[test]
    fn nothing_packs_into_nothing() {
        assert!(pack_job(Passive::default()).unwrap().is_empty());
        assert!(pack_result(Complete::default(), 0).unwrap().is_empty());
        assert_eq!(unpack_job(&Bytes::new()), Passive::default());
    }

    #[test]
    fn what_breaks_a_bound_is_refused_at_its_field() {
        type Spoil = fn(&mut Passive);
        let broken: [(&str, Spoil); 5] = [
            ("content_type", |job| job.content_type = "a\nb".into()),
            ("content_encoding", |job| job.content_encoding = "x".repeat(201)),
            ("headers", |job| drop(job.headers.insert("a b".into(), String::new()))),
            ("headers", |job| drop(job.headers.insert("a".into(), "x".repeat(4_097)))),
            ("headers", |job| job.headers.extend((0..5).map(|n| (format!("h{n}"), "x".repeat(4_000))))),
        ];
        for (field, spoil) in broken {
            let mut job = job();
            spoil(&mut job);
            assert_eq!(pack_job(job).unwrap_err().field, field);
        }
    }
}
