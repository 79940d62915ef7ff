//! Clients that do not read: a connection whose answer does not get away is given up.

use crate::limits::{HTTP_ANSWER_BYTES_MIN, WRITE_STALL_SECONDS};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

const STALL: Duration = Duration::from_secs(WRITE_STALL_SECONDS);

/// A connection with that patience.
pub(super) struct Stalling<W> {
    wire: W,
    patience: Duration,
    /// Runs while the client does not take what there is for it.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Taken since then.
    taken: usize,
}

impl<W> Stalling<W> {
    pub(super) fn new(wire: W) -> Self {
        Self { wire, patience: STALL, alarm: None, taken: 0 }
    }

    /// Some was taken; all that there was, or enough for a while.
    fn took(&mut self, bytes: usize, is_all: bool) {
        self.taken += bytes;
        if is_all || self.taken >= HTTP_ANSWER_BYTES_MIN {
            (self.alarm, self.taken) = (None, 0);
        }
    }

    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let patience = self.patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        alarm
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Stalling<W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_read(cx, buf)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Stalling<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.wire).poll_write_vectored(cx, bufs) {
            Poll::Ready(Ok(bytes)) => {
                let all: usize = bufs.iter().map(|buf| buf.len()).sum();
                this.took(bytes, bytes == all);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(failed) => Poll::Ready(failed),
            Poll::Pending => this.waits(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.wire).poll_flush(cx) {
            Poll::Pending => this.waits(cx).map_ok(|_| ()),
            flushed @ Poll::Ready(_) => flushed,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.wire).poll_shutdown(cx) {
            Poll::Pending => this.waits(cx).map_ok(|_| ()),
            closed @ Poll::Ready(_) => closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn who_takes_a_byte_now_and_then_is_given_up_and_who_takes_enough_is_not() {
        let (mut client, wire) = tokio::io::duplex(1 << 10);
        let mut wire = Stalling::new(wire);
        let answer = vec![1; 100 << 10];
        let (read, written) =
            tokio::join!(async { client.read_exact(&mut vec![0; 100 << 10]).await }, wire.write_all(&answer));
        assert!(read.is_ok() && written.is_ok());
        wire.patience = Duration::from_millis(50);
        let reads = tokio::spawn(async move {
            while let Ok(1..) = client.read(&mut [0; 1]).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let failed = wire.write_all(&answer).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        drop(wire);
        reads.await.unwrap();
    }
}
