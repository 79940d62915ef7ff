//! A body that is written while it is read.

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces that may wait for the client's socket.
const PIECES: usize = 16;

struct Pour(mpsc::Receiver<Bytes>);

/// A body, and where its pieces go. It ends when the sender is dropped; the sender is told when
/// nobody reads any more.
pub(super) fn pour() -> (mpsc::Sender<Bytes>, Body) {
    let (pieces, poured) = mpsc::channel(PIECES);
    (pieces, Body::new(Pour(poured)))
}

impl hyper::body::Body for Pour {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
