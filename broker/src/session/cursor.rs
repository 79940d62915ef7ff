//! Cursors of pages on the wire: opaque to the client, with a version for us.
//!
//! Both directions stand side by side, because a client brings back what we gave it, maybe to a later
//! version of the broker.

use super::form::{Checked, invalid};
use bytes::{BufMut, Bytes};
use windlass_engine::frame::Cursor;
use windlass_engine::{OperationId, SessionId};

/// Changes when the content of a cursor changes its meaning.
const VERSION: u8 = 1;
const SEQ: u8 = 1;
const NAME: u8 = 2;
const SESSION: u8 = 3;
const OPERATION: u8 = 4;
const LOG: u8 = 5;

/// The cursor as the client gets it; empty stands for the end.
pub(super) fn encode(cursor: Option<&Cursor>) -> Bytes {
    let Some(cursor) = cursor else { return Bytes::new() };
    let mut bytes = vec![VERSION];
    match cursor {
        Cursor::Seq(seq) => {
            bytes.put_u8(SEQ);
            bytes.put_u64(*seq);
        }
        Cursor::Name(name) => {
            bytes.put_u8(NAME);
            bytes.put_slice(name.as_bytes());
        }
        Cursor::Operation(id) => {
            bytes.put_u8(OPERATION);
            bytes.put_slice(&id.0);
        }
        Cursor::Log(chunk, lines) => {
            bytes.put_u8(LOG);
            bytes.put_u32(*chunk);
            bytes.put_u32(*lines);
        }
        Cursor::Session(id) => {
            bytes.put_u8(SESSION);
            bytes.put_slice(&id.0);
        }
    }
    bytes.into()
}

/// A place in a list of jobs.
pub(super) fn seq(bytes: &[u8]) -> Checked<Option<u64>> {
    read(bytes, SEQ, |place| Some(u64::from_be_bytes(place.try_into().ok()?)))
}

/// A place in a list of names.
pub(super) fn name(bytes: &[u8]) -> Checked<Option<String>> {
    read(bytes, NAME, |place| String::from_utf8(place.to_vec()).ok())
}

/// A place in a list of sessions.
pub(super) fn session(bytes: &[u8]) -> Checked<Option<SessionId>> {
    read(bytes, SESSION, |place| Some(SessionId(place.try_into().ok()?)))
}

/// A place in a list of changes.
pub(super) fn operation(bytes: &[u8]) -> Checked<Option<OperationId>> {
    read(bytes, OPERATION, |place| Some(OperationId(place.try_into().ok()?)))
}

/// A place in a log.
pub(super) fn log(bytes: &[u8]) -> Checked<Option<(u32, u32)>> {
    read(bytes, LOG, |place| {
        let (chunk, lines) = place.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*chunk), u32::from_be_bytes(lines.try_into().ok()?)))
    })
}

fn read<T>(bytes: &[u8], noun: u8, place: impl FnOnce(&[u8]) -> Option<T>) -> Checked<Option<T>> {
    let found = match bytes {
        [] => return Ok(None),
        [VERSION, of, rest @ ..] if *of == noun => place(rest),
        [..] => None,
    };
    match found {
        Some(found) => Ok(Some(found)),
        None => Err(invalid("cursor", "this cursor is not from this query")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        assert_eq!(seq(&encode(Some(&Cursor::Seq(7)))).unwrap(), Some(7));
        assert_eq!(name(&encode(Some(&Cursor::Name("mail".into())))).unwrap(), Some("mail".into()));
        let id = SessionId([9; 16]);
        assert_eq!(session(&encode(Some(&Cursor::Session(id)))).unwrap(), Some(id));
        let id = OperationId([8; 16]);
        assert_eq!(operation(&encode(Some(&Cursor::Operation(id)))).unwrap(), Some(id));
        assert_eq!(log(&encode(Some(&Cursor::Log(3, 9)))).unwrap(), Some((3, 9)));
        assert_eq!(seq(&encode(None)).unwrap(), None);
    }

    #[test]
    fn a_cursor_of_another_noun_or_version_is_refused() {
        let cursor = encode(Some(&Cursor::Seq(7)));
        assert_eq!(name(&cursor).unwrap_err().field, "cursor");
        let mut later = cursor.to_vec();
        later[0] = 2;
        for broken in [&later[..], &cursor[..9], &cursor[..1], b"hello"] {
            assert_eq!(seq(broken).unwrap_err().field, "cursor");
        }
    }
}
