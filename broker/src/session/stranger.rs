//! What a stranger may say: a short Hello, or a longer one that begins with the proof of a session.
//!
//! A worker that comes back lists all its leases, which may be long. So its Hello is let pass, but only
//! after its beginning has shown the secret of a session of this broker.

use super::{Terms, hello};
use prost::encoding::{WireType, decode_key, decode_varint};
use windlass_proto::frame::LENGTH_BYTES;
use windlass_proto::limits::{HELLO_BYTES_MAX, STRANGER_BYTES_MAX};

/// How a frame of a stranger is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It is not known yet.
    Unclear,
    /// It may be as long as this.
    AtMost(usize),
    /// It is a long Hello of a session whose secret it does not show.
    Unproven,
}

/// Looks at the beginning of what arrived.
pub(super) fn look(arrived: &[u8], terms: &Terms) -> Beginning {
    let Some((length, frame)) = arrived.split_first_chunk::<LENGTH_BYTES>() else {
        return Beginning::Unclear;
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length <= STRANGER_BYTES_MAX || length > HELLO_BYTES_MAX {
        return Beginning::AtMost(STRANGER_BYTES_MAX);
    }
    match frame.get(..STRANGER_BYTES_MAX) {
        None => Beginning::Unclear,
        Some(beginning) => match session(beginning) {
            None => Beginning::AtMost(STRANGER_BYTES_MAX),
            Some((session, secret)) if hello::is_secret_of(session, secret, terms) => {
                Beginning::AtMost(HELLO_BYTES_MAX)
            }
            Some(_) => Beginning::Unproven,
        },
    }
}

/// The session and the secret that the Hello at the beginning of a ClientFrame shows.
fn session(beginning: &[u8]) -> Option<(&[u8], &[u8])> {
    const HELLO: u32 = 2;
    const SESSION: u32 = 10;
    const SECRET: u32 = 11;
    let mut frame = beginning;
    while let Some((number, value)) = field(&mut frame) {
        if number != HELLO {
            continue;
        }
        let (mut hello, mut session, mut secret) = (value, None, &[][..]);
        while let Some((number, value)) = field(&mut hello) {
            match number {
                SESSION => session = Some(value),
                SECRET => secret = value,
                _ => {}
            }
        }
        return session.map(|session| (session, secret));
    }
    None
}

/// The next field: its number and, if it has a length, as much of its content as is there.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (number, wire) = decode_key(rest).ok()?;
    let length = match wire {
        WireType::Varint => {
            decode_varint(rest).ok()?;
            return Some((number, &[]));
        }
        WireType::LengthDelimited => usize::try_from(decode_varint(rest).ok()?).ok()?,
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (content, after) = rest.split_at(length.min(rest.len()));
    *rest = after;
    Some((number, content))
}
