//! What the broker says, and what follows from it.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use windlass_proto::v1::result::How;
use windlass_proto::v1::signal::Type as Order;
use windlass_proto::v1::{self, Deliver, Enqueued, JobTouch, Release, ServerFrame, SettleCode, Signal};
use windlass_proto::v1::{Touched, Work, server_frame::Body};

use super::backoff;
use super::leases::Extend;
use super::request::{Open, Reply, Waiter};
use super::settle::{Who, may_take_later};
use super::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Held;

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) answers: Vec<Answered>,
    /// The broker wants this connection to end.
    pub(super) leave: bool,
}

/// An answer for a caller.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) to: oneshot::Sender<Result<Reply>>,
    pub(super) what: What,
    pub(super) units: u32,
}

/// The content of an answer.
#[derive(Debug)]
pub(super) enum What {
    Enqueued(Enqueued),
    Work(Vec<(Work, Arc<Held>)>),
    Other(Box<Body>),
    Failed(Error),
}

impl State {
    /// Takes in one frame.
    pub(super) fn hear(&mut self, frame: ServerFrame, heard: &mut Heard, now: Instant) -> Result<()> {
        let ServerFrame { id, body } = frame;
        match body {
            Some(Body::Signal(signal)) => {
                heard.leave |= self.signal(signal);
                Ok(())
            }
            Some(Body::Error(refusal)) if id == 0 => Err(refusal.into()),
            Some(Body::Error(refusal)) => {
                self.refused(id, refusal.into(), heard, now);
                Ok(())
            }
            Some(Body::Deliver(deliver)) if self.has_stream(id) => self.deliver(id, deliver, now),
            Some(Body::Deliver(deliver)) => self.delivered_once(id, deliver, heard, now),
            Some(body) => {
                self.answered(id, body, heard);
                Ok(())
            }
            // A newer broker said something that this client does not know; as an answer it is none.
            None => {
                self.fail(id, Error::wrong_answer("anything that this client knows"), heard);
                Ok(())
            }
        }
    }

    fn answered(&mut self, id: u64, body: Body, heard: &mut Heard) {
        // An id that is not open belongs to a request that was given up.
        let Some(Open { waiter, units, since, cut, .. }) = self.finish(id) else { return };
        // What was sent again tells nothing about the time of its first sending.
        if !cut {
            self.sign(since);
        }
        match waiter {
            Waiter::Caller(to) => {
                let what = if let Body::Enqueued(enqueued) = body {
                    What::Enqueued(enqueued)
                } else {
                    What::Other(Box::new(body))
                };
                heard.answers.push(Answered { to, what, units });
            }
            Waiter::Settle(sent) => {
                let answer = if let Body::Settled(answer) = body { answer } else { v1::Settled::default() };
                self.settled(sent, cut, answer);
            }
            Waiter::Nobody => {}
        }
    }

    /// The answer to a long poll. If nobody waits for it any more, its jobs go back.
    fn delivered_once(&mut self, id: u64, deliver: Deliver, heard: &mut Heard, now: Instant) -> Result<()> {
        let mut jobs = Vec::with_capacity(deliver.jobs.len());
        for work in deliver.jobs {
            let held = self.leases.add(&work, Extend::ByCaller, now)?;
            jobs.push((work, held));
        }
        match self.finish(id) {
            Some(Open { waiter: Waiter::Caller(to), units, .. }) => {
                heard.answers.push(Answered { to, what: What::Work(jobs), units });
            }
            Some(_) | None => {
                for (_, held) in jobs {
                    self.release(&held, "nobody waits for it any more");
                }
            }
        }
        Ok(())
    }

    /// A request was refused: for good, or until the broker is less busy.
    fn refused(&mut self, id: u64, error: Error, heard: &mut Heard, now: Instant) {
        if self.has_stream(id) {
            self.refuse_stream(id, error, now);
            return;
        }
        let ErrorKind::Refused(code) = error.kind() else { return };
        let Some(open) = self.open.get_mut(&id) else { return };
        let is_settle = matches!(open.waiter, Waiter::Settle(_));
        let later = error.is_retryable() || (is_settle && may_take_later(code));
        let at = now + error.retry_after().unwrap_or_else(|| backoff::pause(open.refusals));
        if later && open.until.is_none_or(|until| at < until) {
            open.refusals = open.refusals.saturating_add(1);
            open.refused = Some(error);
            self.later.push((at, id));
            return;
        }
        self.fail(id, error, heard);
    }

    /// A request has failed, and whoever asked learns why.
    pub(super) fn fail(&mut self, id: u64, error: Error, heard: &mut Heard) {
        let frame = self.open.get(&id).map(|open| self.outbox.frame(&open.place));
        let Some(Open { waiter, units, cut, .. }) = self.finish(id) else { return };
        match waiter {
            Waiter::Caller(to) => {
                // The earlier sending may have been carried out, whatever is said of the later one.
                let error = if cut && error.is_retryable() {
                    Error::new(ErrorKind::OutcomeUnknown, error.message())
                } else {
                    error
                };
                heard.answers.push(Answered { to, what: What::Failed(error), units });
            }
            Waiter::Settle(sent) => self.settle_refused(sent, &frame.unwrap_or_default(), &error),
            Waiter::Nobody => {}
        }
    }

    /// The broker's own word. Answers whether this connection is to end.
    pub(super) fn signal(&mut self, signal: Signal) -> bool {
        let reason = if signal.reason.is_empty() { "the broker asked for it" } else { &signal.reason };
        match signal.r#type() {
            Order::Cancel => self.leases.cancel(signal.fence, &signal.job, reason),
            Order::LeaseLost => {
                tracing::warn!(fence = signal.fence, reason, "a lease is lost");
                self.leases.lose(signal.fence, reason);
            }
            Order::Goaway => {
                self.moved_to = (!signal.address.is_empty()).then_some(signal.address);
                return true;
            }
            Order::Dump => self.dump(),
            order @ (Order::Quiet | Order::Resume | Order::Terminate) => self.order(order),
            Order::Unspecified => {}
        }
        false
    }

    /// What a touch of runs has told about them.
    pub(super) fn touched(&mut self, touches: &[JobTouch], asked: Instant, answer: &Touched) -> Result<()> {
        self.sign(asked);
        let mut lost = Ok(());
        for (touch, one) in touches.iter().zip(&answer.jobs) {
            match SettleCode::try_from(one.code).unwrap_or(SettleCode::Unspecified) {
                SettleCode::LeaseLost | SettleCode::UnknownJob | SettleCode::AlreadySettled => {
                    self.leases.lose(touch.fence, "the lease had ended");
                    lost = Err(Error::new(ErrorKind::LeaseLost, one.reason.as_str()));
                }
                SettleCode::Settled | SettleCode::SpawnRejected | SettleCode::Unspecified => {
                    self.leases.extended(touch.fence, asked, one.ends_in_ms);
                    if one.cancel {
                        self.leases.cancel(touch.fence, &touch.id, &one.reason);
                    }
                }
            }
        }
        lost
    }

    /// The broker has answered something that was sent at this instant or later, so until a ttl after it the
    /// session stands.
    pub(super) fn sign(&mut self, asked: Instant) {
        self.signed = self.signed.max(asked);
    }

    /// Gives a job back: no attempt is counted, and it returns to its old place.
    pub(super) fn release(&mut self, held: &Held, reason: &str) {
        let release = Release { reason: reason.to_owned(), ..Release::default() };
        let result = v1::Result {
            id: held.id.to_bytes(),
            fence: held.fence,
            how: Some(How::Release(release)),
            ..v1::Result::default()
        };
        self.settle(result, Who::Nobody);
    }

    fn dump(&self) {
        tracing::info!(
            leases = self.leases.len(),
            requests = self.open.len(),
            streams = self.streams.len(),
            "the broker asked what this client is doing"
        );
        for held in self.leases.unsettled() {
            tracing::info!(job = %held.id, fence = held.fence, "it holds a lease");
        }
    }
}
