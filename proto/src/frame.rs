//! Frames on a byte stream: a 32-bit big-endian length, then one message.
//!
//! The peer is not trusted with memory. The buffer grows with the bytes that have arrived, never with
//! the length that a header claims, and a ClientFrame is scanned before prost allocates anything for
//! it. Faults are told apart by who is hurt: a `FrameError` ends the connection, because nobody can
//! tell where the next frame begins or what the peer meant; a `Refusal` is an answer, and the
//! connection goes on.

use crate::limits::FRAME_BYTES_MAX;
use crate::scan::{self, Stop};
use crate::v1::{ClientFrame, Code, Error, ServerFrame, server_frame::Body};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use std::{fmt, io};
use tokio_util::codec::{Decoder, Encoder};

/// The broker's side: reads requests, writes answers.
///
/// It starts with the limit that holds before Hello; `set_limit` raises it once Hello is accepted.
#[derive(Debug)]
pub struct BrokerCodec {
    limit: usize,
    reader: Reader,
}

/// The client's side: writes requests, reads answers.
///
/// It starts with the limit that holds unless Welcome says otherwise; `set_limit` takes that over.
#[derive(Debug)]
pub struct ClientCodec {
    limit: usize,
    reader: Reader,
}

/// What the broker reads.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every item is a request, and none waits in this form")]
pub enum Inbound {
    /// A request.
    Request {
        /// The request itself; `request` is `None` for a verb that this version does not know.
        frame: ClientFrame,
        /// The memory that `frame` holds, estimated rather too high, for whoever bounds what waits.
        bytes: usize,
    },
    /// A request that was not decoded.
    Refused(Refusal),
}

/// Why a request was not decoded. The connection is in order and goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Id of the request.
    pub id: u64,
    /// `Invalid` or `TooLarge`.
    pub code: Code,
    /// For people.
    pub message: String,
    /// The field at fault, like `jobs[3].tags`.
    pub field: String,
}

/// Why a connection cannot go on.
#[derive(Debug)]
pub enum FrameError {
    /// A frame longer than the limit, to be read or to be written. Nothing was allocated for it.
    TooLong {
        /// The length that its header claims, or that it would have.
        claimed: u64,
        /// The limit that holds now.
        limit: usize,
    },
    /// The content of a frame is no message of this protocol.
    Undecodable {
        /// Id of the frame, as far as it can be known; else 0.
        id: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream ended inside a frame.
    CutShort,
    /// The stream itself failed.
    Io(io::Error),
}

impl Inbound {
    /// A request that was made in this process: it keeps the bounds of one that was read from a socket.
    pub fn of(frame: ClientFrame, limit: usize) -> Inbound {
        let refused = |code, message, field| Inbound::Refused(Refusal { id: frame.id, code, message, field });
        if frame.encoded_len() > limit {
            let message = format!("the request is longer than {limit} bytes; make several of it");
            return refused(Code::TooLarge, message, String::new());
        }
        match scan::weigh(&frame.encode_to_vec()) {
            Ok(bytes) => Inbound::Request { frame, bytes },
            Err(Stop::Refused { code, message, field }) => refused(code, message, field),
            Err(Stop::Malformed) => refused(Code::Invalid, "broken protobuf".to_owned(), String::new()),
        }
    }
}

impl BrokerCodec {
    /// A codec with `limit` bytes as the longest frame in both directions.
    pub fn new(limit: usize) -> BrokerCodec {
        BrokerCodec { limit: limit.min(FRAME_BYTES_MAX), reader: Reader::default() }
    }

    /// Changes the longest frame from the next one on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(FRAME_BYTES_MAX);
    }
}

impl ClientCodec {
    /// A codec with `limit` bytes as the longest frame in both directions.
    pub fn new(limit: usize) -> ClientCodec {
        ClientCodec { limit: limit.min(FRAME_BYTES_MAX), reader: Reader::default() }
    }

    /// Changes the longest frame from the next one on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(FRAME_BYTES_MAX);
    }
}

impl Decoder for BrokerCodec {
    type Item = Inbound;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Inbound>, FrameError> {
        self.reader.next(src, self.limit)?.map(receive).transpose()
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Inbound>, FrameError> {
        at_end(self.decode(src)?, src)
    }
}

impl Decoder for ClientCodec {
    type Item = ServerFrame;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<ServerFrame>, FrameError> {
        self.reader.next(src, self.limit)?.map(decode_message).transpose()
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<ServerFrame>, FrameError> {
        at_end(self.decode(src)?, src)
    }
}

impl Encoder<ServerFrame> for BrokerCodec {
    type Error = FrameError;

    fn encode(&mut self, frame: ServerFrame, dst: &mut BytesMut) -> Result<(), FrameError> {
        write_frame(&frame, self.limit, dst)
    }
}

impl Encoder<ClientFrame> for ClientCodec {
    type Error = FrameError;

    fn encode(&mut self, frame: ClientFrame, dst: &mut BytesMut) -> Result<(), FrameError> {
        write_frame(&frame, self.limit, dst)
    }
}

impl Refusal {
    /// The frame that tells the client.
    pub fn into_frame(self) -> ServerFrame {
        let Refusal { id, code, message, field } = self;
        let error = Error { code: code.into(), message, retry_after_ms: 0, field };
        ServerFrame { id, body: Some(Body::Error(error)) }
    }
}

/// Appends `frame` with its length to `dst`; a frame over `limit` leaves `dst` as it was.
///
/// # Errors
/// `FrameError::TooLong` if the message is longer than `limit`.
pub fn write_frame(frame: &impl Message, limit: usize, dst: &mut BytesMut) -> Result<(), FrameError> {
    let len = frame.encoded_len();
    let header = u32::try_from(len).ok().filter(|_| len <= limit);
    let Some(header) = header else {
        return Err(FrameError::TooLong { claimed: len as u64, limit });
    };
    let start = dst.len();
    dst.resize(start + LENGTH_BYTES + len, 0);
    // A slice cannot grow, so prost writes into it several times faster than into the buffer.
    let mut place = &mut dst[start..];
    place.put_u32(header);
    frame.encode_raw(&mut place);
    Ok(())
}

fn receive(frame: Bytes) -> Result<Inbound, FrameError> {
    match scan::weigh(&frame) {
        Err(Stop::Malformed) => Err(undecodable(&frame, "broken protobuf")),
        Err(Stop::Refused { code, message, field }) => {
            let id = scan::frame_id(&frame);
            Ok(Inbound::Refused(Refusal { id, code, message, field }))
        }
        Ok(bytes) => decode_message(frame).map(|frame| Inbound::Request { frame, bytes }),
    }
}

fn decode_message<M: Message + Default>(frame: Bytes) -> Result<M, FrameError> {
    M::decode(frame.clone()).map_err(|error| undecodable(&frame, &error.to_string()))
}

fn undecodable(frame: &[u8], reason: &str) -> FrameError {
    FrameError::Undecodable { id: scan::frame_id(frame), reason: reason.to_owned() }
}

fn at_end<T>(frame: Option<T>, src: &BytesMut) -> Result<Option<T>, FrameError> {
    if frame.is_none() && !src.is_empty() {
        return Err(FrameError::CutShort);
    }
    Ok(frame)
}

/// Takes whole frames off the buffer of a stream.
#[derive(Debug, Default)]
struct Reader {
    /// The buffer has grown for a large frame, and should not stay that large.
    grown: bool,
}

impl Reader {
    fn next(&mut self, src: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(header) = src.first_chunk::<LENGTH_BYTES>() else {
            self.rest(src);
            return Ok(None);
        };
        let claimed = u32::from_be_bytes(*header);
        let len = usize::try_from(claimed).unwrap_or(usize::MAX);
        if len > limit {
            return Err(FrameError::TooLong { claimed: claimed.into(), limit });
        }
        let missing = (LENGTH_BYTES + len).saturating_sub(src.len());
        if missing > 0 {
            self.grown |= len > GROWTH_BYTES_MAX;
            src.reserve(missing.min(GROWTH_BYTES_MAX));
            return Ok(None);
        }
        src.advance(LENGTH_BYTES);
        Ok(Some(src.split_to(len).freeze()))
    }

    /// Gives a large buffer back once it is empty: a connection may stay idle for days.
    fn rest(&mut self, src: &mut BytesMut) {
        if self.grown && src.is_empty() {
            self.grown = false;
            *src = BytesMut::new();
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { claimed, limit } => {
                write!(f, "a frame of {claimed} bytes is over the limit of {limit}")
            }
            FrameError::Undecodable { id, reason } => {
                write!(f, "frame {id} is no message of this protocol: {reason}")
            }
            FrameError::CutShort => write!(f, "the stream ended inside a frame"),
            FrameError::Io(_) => write!(f, "the stream failed"),
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FrameError::Io(error) => Some(error),
            FrameError::TooLong { .. } | FrameError::Undecodable { .. } | FrameError::CutShort => None,
        }
    }
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> FrameError {
        FrameError::Io(error)
    }
}

/// The length before each frame.
pub const LENGTH_BYTES: usize = 4;
/// What the buffer may grow by beyond the bytes that have arrived.
const GROWTH_BYTES_MAX: usize = 64 * 1024;
