//! Outcomes of runs on their way to the broker: many in one frame, again after a cut, until each is
//! answered.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::Instant;
use windlass_proto::v1::result::How;
use windlass_proto::v1::settled::One;
use windlass_proto::v1::{self, Code, Fail, Settle, SettleCode, Settled, State as JobState};
use windlass_proto::v1::{ClientFrame, client_frame::Request};

use super::request::{Rules, Waiter};
use super::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::limits::SETTLE_FRAMES_MAX;
use crate::stats::{Tally, WorkerStats};

/// Outcomes that have not been sent yet.
#[derive(Debug, Default)]
pub(super) struct Settles {
    queue: VecDeque<Outcome>,
    /// Frames without an answer. A bound on them makes a slow broker get larger frames, not more.
    frames: usize,
}

/// One outcome.
#[derive(Debug)]
struct Outcome {
    result: v1::Result,
    who: Who,
    /// It stands for an outcome that the broker refused.
    substitute: bool,
}

/// What is remembered of an outcome while its frame is on the way.
#[derive(Debug)]
pub(super) struct Sent {
    id: Bytes,
    fence: u64,
    who: Who,
    substitute: bool,
}

/// Who wants to know what became of an outcome.
#[derive(Debug)]
pub(crate) enum Who {
    Caller(oneshot::Sender<Result<JobState>>),
    /// The counters of a worker.
    Worker(WorkerStats, Tally),
    Nobody,
}

impl Settles {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.frames == 0
    }

    /// Whether [`State::send_settles`] has something to do.
    pub(super) fn is_ready(&self) -> bool {
        !self.queue.is_empty() && self.frames < SETTLE_FRAMES_MAX
    }

    /// Takes as many outcomes as fit into one frame, at least one.
    fn next_batch(&mut self, results_max: usize, bytes_max: usize) -> Vec<Outcome> {
        let (mut bytes, mut spawned) = (0, 0);
        let mut count = 0;
        for outcome in self.queue.iter().take(results_max.max(1)) {
            // Each entry of the list has a tag and a length before it.
            bytes += outcome.result.encoded_len() + 6;
            spawned += outcome.result.spawn.len();
            if (bytes > bytes_max || spawned > results_max.max(1)) && count > 0 {
                break;
            }
            count += 1;
        }
        self.queue.drain(..count).collect()
    }
}

impl State {
    /// Queues an outcome. Outcomes are never given up as long as the link lives.
    pub(super) fn settle(&mut self, result: v1::Result, who: Who) {
        if self.has_ended() {
            who.learn(Err(Error::closed()));
            return;
        }
        self.leases.settle(result.fence);
        self.settles.queue.push_back(Outcome { result, who, substitute: false });
    }

    /// Puts all outcomes that are ready into frames.
    pub(super) fn send_settles(&mut self, now: Instant) {
        while self.settles.is_ready() {
            let batch = self.settles.next_batch(self.results_max(), self.frame_max() - FRAME_MARGIN);
            self.send_batch(batch, now);
        }
    }

    fn send_batch(&mut self, batch: Vec<Outcome>, now: Instant) {
        let mut results = Vec::with_capacity(batch.len());
        let mut sent = Vec::with_capacity(batch.len());
        for Outcome { result, who, substitute } in batch {
            sent.push(Sent { id: result.id.clone(), fence: result.fence, who, substitute });
            results.push(result);
        }
        let request = Request::Settle(Settle { results });
        match self.push(request, Rules::RESEND, now) {
            Ok((id, mut open)) => {
                open.until = None;
                open.waiter = Waiter::Settle(sent);
                self.open.insert(id, open);
                self.settles.frames += 1;
            }
            // Only a single outcome can be too large for a frame.
            Err(error) => self.refused_outcomes(sent, &error),
        }
    }

    /// The broker has answered a frame of outcomes.
    pub(super) fn settled(&mut self, sent: Vec<Sent>, was_cut: bool, answer: Settled) {
        self.settles.frames -= 1;
        if answer.results.len() != sent.len() {
            tracing::error!("the broker answered {} of {} outcomes", answer.results.len(), sent.len());
        }
        for (one, sent) in answer.results.into_iter().zip(sent) {
            self.settled_one(one, was_cut, sent);
        }
    }

    fn settled_one(&mut self, one: One, was_cut: bool, sent: Sent) {
        let why = || one.error.clone().map(Error::from);
        let mut code = SettleCode::try_from(one.code).unwrap_or(SettleCode::Unspecified);
        if was_cut && code == SettleCode::UnknownJob {
            // The first sending was taken, and the broker has not kept the ended job.
            code = SettleCode::AlreadySettled;
        }
        match code {
            // A settle that was sent twice because of a cut is as good as one.
            SettleCode::Settled | SettleCode::AlreadySettled => {
                if let Some(left) = why() {
                    tracing::warn!(job = %shown(&sent.id), %left, "an outcome was taken, but not all of it");
                }
                self.leases.end(sent.fence);
                sent.who.learn(Ok(JobState::try_from(one.state).unwrap_or(JobState::Unspecified)));
            }
            SettleCode::LeaseLost | SettleCode::UnknownJob => {
                tracing::warn!(job = %shown(&sent.id), fence = sent.fence, "an outcome came too late: the lease had ended");
                self.leases.lose(sent.fence, "the lease had ended");
                let lost =
                    Error::new(ErrorKind::LeaseLost, why().map_or(String::new(), |e| e.message().to_owned()));
                sent.who.learn(Err(lost));
            }
            SettleCode::SpawnRejected | SettleCode::Unspecified => {
                let error = why().unwrap_or_else(|| Error::wrong_answer("an outcome's code"));
                self.refused_outcomes(vec![sent], &error);
            }
        }
    }

    /// The broker refused a frame of outcomes as a whole, and will again.
    pub(super) fn settle_refused(&mut self, sent: Vec<Sent>, frame: &[u8], error: &Error) {
        self.settles.frames -= 1;
        if sent.len() == 1 {
            self.refused_outcomes(sent, error);
            return;
        }
        // One of them is at fault; alone, each gets its own answer.
        let results = results_in(frame);
        let now = Instant::now();
        for (result, Sent { who, substitute, .. }) in results.into_iter().zip(sent) {
            self.send_batch(vec![Outcome { result, who, substitute }], now);
        }
    }

    /// An outcome cannot be stored as it is. So that the job does not stay leased for ever, its run counts
    /// as failed.
    fn refused_outcomes(&mut self, sent: Vec<Sent>, error: &Error) {
        for Sent { id, fence, who, substitute } in sent {
            tracing::error!(job = %shown(&id), %error, "the broker refused an outcome");
            if substitute {
                self.leases.lose(fence, "its outcome was refused");
                who.learn(Err(error.clone()));
                continue;
            }
            let fail =
                Fail { kind: "outcome_refused".to_owned(), message: error.to_string(), ..Fail::default() };
            let result = v1::Result { id, fence, how: Some(How::Fail(fail)), ..v1::Result::default() };
            self.settles.queue.push_back(Outcome { result, who: who.refused(error), substitute: true });
        }
    }

    /// The link has ended: nobody will settle anything any more.
    pub(super) fn abandon_settles(&mut self) {
        for outcome in std::mem::take(&mut self.settles.queue) {
            outcome.who.learn(Err(Error::closed()));
        }
    }

    /// The frame of outcomes is dropped from the books, because the link has ended.
    pub(super) fn abandon_sent(sent: Vec<Sent>, error: &Error) {
        for outcome in sent {
            outcome.who.learn(Err(error.clone()));
        }
    }
}

impl Who {
    fn learn(self, answer: Result<JobState>) {
        match self {
            Self::Caller(caller) => drop(caller.send(answer)),
            Self::Worker(stats, tally) => match answer {
                Ok(_) => stats.count(tally),
                // The worker ended before the answer came, which is neither one nor the other.
                Err(error) if error.kind() == ErrorKind::Closed => {}
                Err(_) => stats.count(Tally::Lost),
            },
            Self::Nobody => {}
        }
    }

    /// A caller learns of a refusal at once; a worker counts what is sent instead.
    fn refused(self, error: &Error) -> Self {
        match self {
            Self::Caller(caller) => {
                drop(caller.send(Err(error.clone())));
                Self::Nobody
            }
            Self::Worker(stats, _) => Self::Worker(stats, Tally::Failed),
            Self::Nobody => Self::Nobody,
        }
    }
}

/// Whether the broker may take the same outcome a little later.
pub(super) fn may_take_later(code: Code) -> bool {
    matches!(code, Code::Exhausted | Code::Draining | Code::Internal | Code::Unspecified)
}

fn results_in(frame: &[u8]) -> Vec<v1::Result> {
    let message = frame.get(windlass_proto::frame::LENGTH_BYTES..).unwrap_or_default();
    match ClientFrame::decode(message).map(|frame| frame.request) {
        Ok(Some(Request::Settle(settle))) => settle.results,
        // The frame is one that this link has encoded itself.
        Ok(_) | Err(_) => Vec::new(),
    }
}

fn shown(id: &[u8]) -> String {
    JobId::from_slice(id).map_or_else(|_| "?".to_owned(), |id| id.to_string())
}

/// What a frame has besides its list.
const FRAME_MARGIN: usize = 64;
