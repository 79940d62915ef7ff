//! One run of one handler, and how its end is told to the broker. A panic is an end like any other.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use windlass_proto::v1::{self, Complete, result::How};

use super::JobContext;
use super::failure::{JobError, PANIC, Verdict};
use super::handler::{Handler, Run};
use crate::lease::Cause;
use crate::link::{Shared, Who};
use crate::stats::{Tally, WorkerStats};

/// Runs a handler to its end.
pub(super) async fn run(handler: &Handler, context: JobContext) -> Result<Complete, JobError> {
    // What a handler leaves half-done after a panic is its own; nothing of ours is inside.
    let started = catch_unwind(AssertUnwindSafe(|| handler(context)));
    let ended = match started {
        Ok(run) => Caught(run).await,
        Err(panic) => Err(panic),
    };
    ended.unwrap_or_else(|panic| {
        let what = message_of(panic.as_ref());
        Err(JobError::from(format!("the handler panicked: {what}")).with_kind(PANIC))
    })
}

/// Queues the outcome for the broker, unless the lease is lost and nobody wants it; what it counts as.
pub(super) fn settle(
    shared: &Arc<Shared>,
    stats: WorkerStats,
    context: &JobContext,
    outcome: Result<Complete, JobError>,
    checkpoint: Option<Bytes>,
) -> Tally {
    if context.is_lost() {
        tracing::warn!(job = %context.id(), kind = context.kind(), "the outcome is dropped: the lease was lost");
        stats.count(Tally::Lost);
        return Tally::Lost;
    }
    let outcome = outcome.and_then(|complete| small_enough(shared, complete)).map_err(|error| {
        if is_interrupted(context, &error) { JobError::snooze(Duration::ZERO) } else { error }
    });
    let tally = outcome.as_ref().map_or_else(tally_of, |_| Tally::Done);
    if let Err(error) = &outcome {
        tracing::debug!(job = %context.id(), kind = context.kind(), ?error, "the handler did not complete");
    }
    let spawn = if outcome.is_ok() { context.take_spawned() } else { Vec::new() };
    let result = v1::Result {
        id: context.work().id.clone(),
        fence: context.fence(),
        spawn,
        how: Some(outcome.map_or_else(JobError::into_how, How::Complete)),
        checkpoint,
    };
    shared.settle(result, Who::Worker(stats, tally));
    tally
}

/// Whether the run broke off because this side told it to, which is neither a failure nor anybody's wish
/// that the job be cancelled.
fn is_interrupted(context: &JobContext, error: &JobError) -> bool {
    let by_us = context.cause().is_some_and(|cause| cause != Cause::Asked);
    let gave_up = match error.verdict() {
        Verdict::Cancelled => true,
        Verdict::Retry(None) => !error.is_panic(),
        Verdict::Retry(Some(_)) | Verdict::Permanent | Verdict::Snooze(_) => false,
    };
    by_us && gave_up
}

/// A result over the broker's bound would be refused together with the outcome; doing the work again would
/// not make it smaller.
fn small_enough(shared: &Shared, complete: Complete) -> Result<Complete, JobError> {
    let max = shared.welcome().max_payload;
    let len = complete.result.len() as u64;
    if max > 0 && len > max {
        let text = format!("the result has {len} bytes, and the broker takes {max}");
        return Err(JobError::permanent(text).with_kind("result_too_large"));
    }
    Ok(complete)
}

fn tally_of(error: &JobError) -> Tally {
    match error.verdict() {
        Verdict::Retry(_) | Verdict::Permanent => Tally::Failed,
        Verdict::Snooze(_) => Tally::Released,
        Verdict::Cancelled => Tally::Cancelled,
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A run whose panics are values.
struct Caught(Run);

impl Future for Caught {
    type Output = Result<Result<Complete, JobError>, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
