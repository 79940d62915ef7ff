//! A socket, plain or under TLS, that is read and written the same way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Encrypted bytes that wait for the socket to take them, of one connection.
const WAITING_BYTES_MAX: usize = 32 << 10;

/// The two kinds of connection.
#[derive(Debug)]
pub enum Wire {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Bytes under TLS.
    Encrypted(Box<Encrypted>),
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Encrypted {
    stream: TlsStream<TcpStream>,
    /// Decrypted bytes may wait in it, of which the socket knows nothing.
    may_hold: bool,
}

impl Wire {
    pub(super) fn encrypted(mut stream: TlsStream<TcpStream>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(WAITING_BYTES_MAX));
        // The peer may have said something right behind the handshake, in one segment with it.
        Self::Encrypted(Box::new(Encrypted { stream, may_hold: true }))
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Encrypted(encrypted) => encrypted.stream.get_ref().0,
        }
    }

    /// There may be something to read. Asked before a buffer is spent on it.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_read_ready(cx),
            Self::Encrypted(encrypted) if encrypted.may_hold => Poll::Ready(Ok(())),
            Self::Encrypted(encrypted) => encrypted.stream.get_ref().0.poll_read_ready(cx),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Encrypted(encrypted) => {
                let read = Pin::new(&mut encrypted.stream).poll_read(cx, buf);
                encrypted.may_hold = read.is_ready();
                read
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Encrypted(encrypted) => encrypted.stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_write_vectored(cx, bufs),
        }
    }
}
