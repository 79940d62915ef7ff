//! One request from asking to its answer: the rules it is tried by, and who waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::{Enqueued, Work, server_frame::Body};

use super::guard::LeaseGuard;
use super::outbox::Place;
use super::settle::Sent;
use crate::error::{Error, Result};
use crate::limits::{WINDOW_UNIT_BYTES, WINDOW_UNITS_MAX};

/// How long and how often a request is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(super) after_a_cut: AfterACut,
    /// The broker itself may take this long to answer.
    pub(super) longer_by: Duration,
}

/// What becomes of a request that was not answered when the connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterACut {
    /// It is sent again: its ids make that safe.
    Again,
    /// It is sent only if it never was.
    OnlyIfUnsent,
    /// It was about this connection.
    Never,
}

impl Rules {
    /// For requests that have the same effect however often they are sent.
    pub(crate) const RESEND: Self = Self::of(AfterACut::Again);
    /// For requests that must not be sent twice.
    pub(crate) const ONCE: Self = Self::of(AfterACut::OnlyIfUnsent);
    /// For requests about the connection itself.
    pub(super) const HERE: Self = Self::of(AfterACut::Never);

    const fn of(after_a_cut: AfterACut) -> Self {
        Self { after_a_cut, longer_by: Duration::ZERO }
    }

    pub(crate) fn longer_by(self, longer_by: Duration) -> Self {
        Self { longer_by, ..self }
    }
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) place: Place,
    pub(super) rules: Rules,
    /// What it takes of the window.
    pub(super) units: u32,
    pub(super) since: Instant,
    /// When it is given up; `None`: never.
    pub(super) until: Option<Instant>,
    /// It was unanswered when a connection broke, so the broker may have it.
    pub(super) cut: bool,
    /// How often the broker was too busy for it, and what it said last.
    pub(super) refusals: u32,
    pub(super) refused: Option<Error>,
    pub(super) waiter: Waiter,
}

/// Who gets the answer.
#[derive(Debug)]
pub(super) enum Waiter {
    Caller(oneshot::Sender<Result<Reply>>),
    /// Several runs at once.
    Settle(Vec<Sent>),
    /// A beat, or a change of a stream: what counts is that an answer comes.
    Nobody,
}

/// An answer, with the leases that came with it already entered.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Apart from the others and not boxed, because of its number.
    Enqueued(Enqueued),
    Work(Vec<(Work, LeaseGuard)>),
    Other(Box<Body>),
}

/// The answer to a request that is on its way; a future.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) receiver: oneshot::Receiver<Result<Reply>>,
}

impl Future for Answer {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender is dropped unused only together with the whole link.
        let answer = ready!(Pin::new(&mut self.receiver).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_| Err(Error::closed())))
    }
}

impl Answer {
    /// The answer to a request that brings no jobs.
    pub(crate) async fn body(self) -> Result<Body> {
        match self.await? {
            Reply::Enqueued(enqueued) => Ok(Body::Enqueued(enqueued)),
            Reply::Other(body) => Ok(*body),
            Reply::Work(_) => Err(Error::wrong_answer("what was asked")),
        }
    }
}

/// What a request takes of the window: one, and more for a large one, so that the window bounds memory
/// too.
pub(super) fn units_of(request: &Request) -> u32 {
    let bytes: usize = match request {
        Request::Enqueue(enqueue) => enqueue.jobs.iter().map(|job| job.payload.len()).sum(),
        Request::Hello(_)
        | Request::Fetch(_)
        | Request::Settle(_)
        | Request::Touch(_)
        | Request::Change(_)
        | Request::Query(_)
        | Request::Watch(_)
        | Request::Put(_)
        | Request::AdvanceClock(_)
        | Request::Bye(_) => 0,
    };
    u32::try_from(1 + bytes / WINDOW_UNIT_BYTES).unwrap_or(WINDOW_UNITS_MAX).min(WINDOW_UNITS_MAX)
}
