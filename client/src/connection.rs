//! One connection, raw: frames out, frames in, and nothing that thinks.
//!
//! [`Client`](crate::Client) is what programs want. This is for tools that need every frame in their own
//! hands, a load generator or a test of the broker: no session is resumed here, nothing is sent again,
//! nobody beats.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::Decoder;
use windlass_proto::frame::{ClientCodec, FrameError, write_frame};
use windlass_proto::limits::{FRAME_BYTES_DEFAULT, FRAME_BYTES_MAX, PROTO_VERSION};
use windlass_proto::v1::{ClientFrame, Hello, ServerFrame, Welcome};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use crate::address::Address;
use crate::error::{Error, Result};
use crate::limits::READ_BYTES;
use crate::tls::{self, Incoming, Outgoing, Tls};

/// An open connection that has been welcomed.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// The sending half of a [`Connection`].
#[derive(Debug)]
pub struct Sender {
    socket: Outgoing,
    buffer: BytesMut,
    limit: usize,
}

/// The receiving half of a [`Connection`].
#[derive(Debug)]
pub struct Receiver {
    socket: Incoming,
    buffer: BytesMut,
    codec: ClientCodec,
}

impl Connection {
    /// Connects to `addr` (as [`Client::connect`](crate::Client::connect) takes it), says `hello` and waits
    /// for the answer, all within ten seconds.
    ///
    /// Token and namespace of the address fill what is empty in `hello`. Hello takes request id 1; the
    /// caller's own requests start at 2. The limits of Welcome are in force afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable) if nobody answers,
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) if the broker does not take the Hello, and
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if the peer speaks something else.
    pub async fn open(addr: &str, hello: Hello) -> Result<(Self, Welcome)> {
        Self::open_with(addr, hello, None).await
    }

    /// The same under TLS.
    ///
    /// # Errors
    /// As [`Connection::open`]; a certificate that is not to be trusted is
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol), one of ours that the broker does not take is
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused).
    pub async fn open_with(addr: &str, mut hello: Hello, tls: Option<&Tls>) -> Result<(Self, Welcome)> {
        let address = Address::parse(addr)?;
        if hello.token.is_empty() {
            hello.token = address.token;
        }
        if hello.namespace.is_empty() {
            hello.namespace = address.namespace;
        }
        if address.is_encrypted && tls.is_none() {
            return Err(crate::address::lacks_authority());
        }
        Self::open_within(&address.host_port, hello, tls, OPEN_TIMEOUT).await
    }

    /// Queues a frame; [`Connection::flush`] writes it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the frame is larger than the broker takes;
    /// nothing is queued then.
    pub fn send(&mut self, frame: &ClientFrame) -> Result<()> {
        self.sender.send(frame)
    }

    /// Writes all that is queued, in one write where the socket takes it.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable) if the connection is gone.
    pub async fn flush(&mut self) -> Result<()> {
        self.sender.flush().await
    }

    /// Waits for the next frame; `None` when the broker has closed the connection. Safe to cancel.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable) if the connection broke,
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if the bytes are no frames.
    pub async fn recv(&mut self) -> Result<Option<ServerFrame>> {
        self.receiver.recv().await
    }

    /// Two halves that can be used at the same time.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    pub(crate) async fn open_within(
        host_port: &str,
        hello: Hello,
        tls: Option<&Tls>,
        within: Duration,
    ) -> Result<(Self, Welcome)> {
        tokio::time::timeout(within, Self::greet(host_port, hello, tls)).await.unwrap_or_else(|_| {
            Err(Error::unreachable(format!("{host_port} did not answer within {within:?}")))
        })
    }

    async fn greet(host_port: &str, mut hello: Hello, tls: Option<&Tls>) -> Result<(Self, Welcome)> {
        hello.proto_min = hello.proto_min.max(PROTO_VERSION);
        hello.proto_max = hello.proto_max.max(PROTO_VERSION);
        let mut connection = Self::over(tls::open(host_port, tls).await?);
        connection.send(&ClientFrame { id: HELLO_ID, request: Some(Request::Hello(hello)) })?;
        connection.flush().await?;
        let answer = connection.recv().await?;
        match answer.and_then(|frame| frame.body) {
            Some(Body::Welcome(welcome)) => {
                connection.keep_limits_of(&welcome);
                Ok((connection, welcome))
            }
            Some(Body::Error(refusal)) => Err(refusal.into()),
            Some(_) => Err(Error::wrong_answer("Welcome")),
            None => Err(Error::unreachable(format!("{host_port} closed the connection at Hello"))),
        }
    }

    fn over((read, write): (Incoming, Outgoing)) -> Self {
        Self {
            sender: Sender { socket: write, buffer: BytesMut::new(), limit: FRAME_BYTES_DEFAULT },
            receiver: Receiver {
                socket: read,
                buffer: BytesMut::with_capacity(READ_BYTES),
                codec: ClientCodec::new(FRAME_BYTES_MAX),
            },
        }
    }

    fn keep_limits_of(&mut self, welcome: &Welcome) {
        // The broker keeps the limit too; what we read is bounded by what the protocol allows at all.
        let limit = usize::try_from(welcome.max_frame).unwrap_or(FRAME_BYTES_MAX);
        if limit > 0 {
            self.sender.limit = limit.min(FRAME_BYTES_MAX);
        }
    }
}

impl Sender {
    /// Queues a frame; [`Sender::flush`] writes it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the frame is larger than the broker takes;
    /// nothing is queued then.
    pub fn send(&mut self, frame: &ClientFrame) -> Result<()> {
        write_frame(frame, self.limit, &mut self.buffer).map_err(|error| Error::invalid(error.to_string()))
    }

    /// How many bytes are queued, so that a sender in a loop knows when to flush.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.buffer.len()
    }

    /// Writes all that is queued.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable) if the connection is gone.
    pub async fn flush(&mut self) -> Result<()> {
        while !self.buffer.is_empty() {
            if self.socket.write_buf(&mut self.buffer).await.map_err(tls::failed)? == 0 {
                return Err(Error::unreachable("the connection takes no more bytes"));
            }
        }
        self.socket.flush().await.map_err(tls::failed)
    }

    /// Writes frames that are encoded already.
    pub(crate) async fn write(&mut self, frames: &[u8]) -> Result<()> {
        self.socket.write_all(frames).await.map_err(tls::failed)?;
        self.socket.flush().await.map_err(tls::failed)
    }
}

impl Receiver {
    /// Waits for the next frame; `None` when the broker has closed the connection. Safe to cancel.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable) if the connection broke,
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if the bytes are no frames.
    pub async fn recv(&mut self) -> Result<Option<ServerFrame>> {
        loop {
            if let Some(frame) = self.try_recv()? {
                return Ok(Some(frame));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut_short()) };
            }
        }
    }

    /// The next frame of those that have arrived already.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if the bytes are no frames.
    pub fn try_recv(&mut self) -> Result<Option<ServerFrame>> {
        self.codec.decode(&mut self.buffer).map_err(|error| match error {
            FrameError::Io(error) => Error::io(error),
            error @ (FrameError::TooLong { .. } | FrameError::Undecodable { .. } | FrameError::CutShort) => {
                Error::protocol(error.to_string())
            }
        })
    }

    /// Reads what the socket has, at least a byte; 0 means that the broker closed it. Safe to cancel.
    pub(crate) async fn fill(&mut self) -> Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.socket.read_buf(&mut self.buffer).await.map_err(tls::failed)
    }
}

fn cut_short() -> Error {
    Error::unreachable("the connection ended inside a frame")
}

/// The request id of Hello; the first request of every connection.
pub(crate) const HELLO_ID: u64 = 1;
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
