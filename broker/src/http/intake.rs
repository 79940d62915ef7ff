//! Bodies on their way in: how fast they have to come, and how much of them the gateway holds at a time.

use super::Gateway;
use crate::limits::{
    HTTP_BODIES_BYTES_MAX, HTTP_BODY_BYTES_PER_SECOND, HTTP_BODY_BYTES_SMALL, HTTP_BODY_SECONDS,
};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It came too slowly.
    #[error("the body did not come in time: {HTTP_BODY_SECONDS} s, and one more for each 64 KiB")]
    Slow,
    /// There is too much of others.
    #[error("too many large bodies are under way")]
    Full,
}

/// Bytes of all bodies of the gateway.
#[derive(Debug, Default)]
pub(super) struct Intake {
    bytes: AtomicUsize,
}

/// What one request takes of them, from its first byte to its answer.
struct Share {
    all: Arc<Intake>,
    bytes: AtomicUsize,
}

impl Share {
    /// Takes more, if there is room.
    fn take(&self, bytes: usize) -> Result<(), Refused> {
        let before = self.all.bytes.fetch_add(bytes, Ordering::Relaxed);
        let own = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if own > HTTP_BODY_BYTES_SMALL && before + bytes > HTTP_BODIES_BYTES_MAX {
            return Err(Refused::Full);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Counts the body of a request until it is answered.
pub(super) async fn measured(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let share = Arc::new(Share { all: gateway.intake(), bytes: AtomicUsize::new(0) });
    let request = request.map(|body| Body::new(Measured::new(body, Arc::clone(&share))));
    let response = next.run(request).await;
    drop(share);
    response
}

/// A body with its bounds.
struct Measured {
    body: Body,
    share: Arc<Share>,
    since: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Measured {
    fn new(body: Body, share: Arc<Share>) -> Self {
        Self { body, share, since: Instant::now(), alarm: None }
    }

    /// When what has come so far has taken too long.
    fn deadline(&self) -> Instant {
        let bytes = self.share.bytes.load(Ordering::Relaxed) as u64;
        self.since + Duration::from_secs(HTTP_BODY_SECONDS + bytes / HTTP_BODY_BYTES_PER_SECOND)
    }
}

impl hyper::body::Body for Measured {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let taken = self.share.take(bytes);
                Poll::Ready(Some(taken.map(|()| frame).map_err(Into::into)))
            }
            Poll::Ready(ended) => Poll::Ready(ended.map(|failed| failed.map_err(Into::into))),
            Poll::Pending => {
                let deadline = self.deadline();
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                if alarm.deadline() != deadline {
                    alarm.as_mut().reset(deadline);
                }
                alarm.as_mut().poll(cx).map(|()| Some(Err(Refused::Slow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body was refused, if it was one of the reasons here.
pub(super) fn refused(error: &(dyn std::error::Error + 'static)) -> Option<Refused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(*refused);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    /// A body that is sent piece by piece.
    fn body(all: &Arc<Intake>) -> (mpsc::Sender<Bytes>, Measured) {
        let (pieces, body) = super::super::pour::pour();
        let share = Arc::new(Share { all: Arc::clone(all), bytes: AtomicUsize::new(0) });
        (pieces, Measured::new(body, share))
    }

    /// How long a body has been on its way that has too little of it.
    const LATE: Duration = Duration::from_secs(HTTP_BODY_SECONDS + 1);

    #[tokio::test]
    async fn a_byte_now_and_then_does_not_keep_a_body_open() {
        let (pieces, mut body) = body(&Arc::default());
        pieces.send(Bytes::from_static(b"x")).await.unwrap();
        body.since = Instant::now().checked_sub(LATE).unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(refused(error.as_ref()), Some(Refused::Slow));
    }

    #[tokio::test]
    async fn a_long_body_over_a_slow_line_is_waited_for() {
        let (pieces, mut body) = body(&Arc::default());
        pieces.send(vec![1; 64 * HTTP_BODY_BYTES_SMALL].into()).await.unwrap();
        body.since = Instant::now().checked_sub(LATE).unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        let waited = tokio::time::timeout(Duration::ZERO, body.frame()).await;
        assert!(waited.is_err(), "it was given up");
    }

    #[tokio::test]
    async fn of_many_bodies_the_large_ones_are_refused_until_others_are_answered() {
        let all = Arc::default();
        let (pieces, mut first) = body(&all);
        pieces.send(vec![0; HTTP_BODIES_BYTES_MAX].into()).await.unwrap();
        assert!(first.frame().await.unwrap().is_ok());
        for (bytes, is_taken) in [(HTTP_BODY_BYTES_SMALL, true), (HTTP_BODY_BYTES_SMALL + 1, false)] {
            let (pieces, mut body) = body(&all);
            pieces.send(vec![0; bytes].into()).await.unwrap();
            let frame = body.frame().await.unwrap();
            assert_eq!(frame.is_ok(), is_taken);
            if let Err(error) = frame {
                assert_eq!(refused(error.as_ref()), Some(Refused::Full));
            }
        }
        drop(first);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
    }
}
