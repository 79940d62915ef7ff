//! What a handler says while it runs: gathered here, so that a hot loop costs a frame now and then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::time::timeout;
use windlass_proto::limits::{CHECKPOINT_BYTES_MAX, LOG_LINES_PER_TOUCH_MAX};
use windlass_proto::v1::{JobTouch, LogLine};

use crate::error::{Error, ErrorKind, Result};
use crate::lease::Held;
use crate::link::Shared;
use crate::millis;

/// What is still to be said of one run.
#[derive(Debug)]
pub(super) struct Report {
    shared: Arc<Shared>,
    held: Arc<Held>,
    runtime: Handle,
    unsaid: Mutex<Unsaid>,
    /// Held by who speaks: what is said later goes out later.
    speaking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Unsaid {
    progress: Option<u32>,
    note: Option<String>,
    logs: VecDeque<LogLine>,
    output: BytesMut,
    checkpoint: Option<Bytes>,
    /// A task is about to say it.
    is_due: bool,
}

impl Unsaid {
    fn is_empty(&self) -> bool {
        self.progress.is_none()
            && self.note.is_none()
            && self.logs.is_empty()
            && self.output.is_empty()
            && self.checkpoint.is_none()
    }

    /// As much of it as one touch takes; `None`: there is nothing.
    fn next(&mut self) -> Option<JobTouch> {
        if self.is_empty() {
            return None;
        }
        let lines = self.logs.len().min(LOG_LINES_PER_TOUCH_MAX);
        let bytes = self.output.len().min(CHECKPOINT_BYTES_MAX);
        Some(JobTouch {
            progress_permille: self.progress.take(),
            note: self.note.take().unwrap_or_default(),
            logs: self.logs.drain(..lines).collect(),
            stream: self.output.split_to(bytes).freeze(),
            checkpoint: self.checkpoint.take(),
            ..JobTouch::default()
        })
    }
}

impl Report {
    pub(super) fn new(held: Arc<Held>, shared: Arc<Shared>, runtime: Handle) -> Arc<Self> {
        let (unsaid, speaking) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { shared, held, runtime, unsaid, speaking })
    }

    pub(super) fn progress(self: &Arc<Self>, permille: u32) {
        self.say(|unsaid| unsaid.progress = Some(permille.min(1_000)));
    }

    pub(super) fn note(self: &Arc<Self>, note: String) {
        self.say(|unsaid| unsaid.note = Some(note));
    }

    pub(super) fn log(self: &Arc<Self>, level: u32, text: String) {
        let line = LogLine { at_ms: millis::now(), level, text };
        self.say(|unsaid| {
            if unsaid.logs.len() >= LINES_MAX {
                // The broker keeps no more either.
                unsaid.logs.pop_front();
            }
            unsaid.logs.push_back(line);
        });
    }

    pub(super) fn output(self: &Arc<Self>, bytes: &[u8]) {
        self.say(|unsaid| {
            unsaid.output.extend_from_slice(bytes);
            let over = unsaid.output.len().saturating_sub(OUTPUT_MAX);
            drop(unsaid.output.split_to(over));
        });
    }

    pub(super) fn checkpoint(self: &Arc<Self>, bytes: Bytes) -> Result<()> {
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            let text =
                format!("a checkpoint of {} bytes; at most {CHECKPOINT_BYTES_MAX} are kept", bytes.len());
            return Err(Error::invalid(text));
        }
        self.say(|unsaid| unsaid.checkpoint = Some(bytes));
        Ok(())
    }

    /// Says everything, and waits until the broker has taken it.
    pub(super) async fn flush(&self) -> Result<()> {
        let _turn = self.speaking.lock().await;
        loop {
            let next = self.lock().next();
            let Some(touch) = next else { return Ok(()) };
            self.speak(touch).await?;
        }
    }

    /// Feeds the watchdog, also when there is nothing to say.
    pub(super) async fn touch(&self) -> Result<()> {
        let _turn = self.speaking.lock().await;
        let next = self.lock().next().unwrap_or_default();
        self.speak(next).await
    }

    /// The run is over: what has to be said before its outcome. What is for the next run goes with that.
    pub(super) async fn finish(&self) -> Option<Bytes> {
        let checkpoint = self.lock().checkpoint.take();
        if !self.held.is_lost() && timeout(PATIENCE, self.flush()).await.is_err() {
            tracing::debug!(job = %self.held.id, "the broker did not take what was said last in time");
        }
        checkpoint
    }

    fn say(self: &Arc<Self>, what: impl FnOnce(&mut Unsaid)) {
        let mut unsaid = self.lock();
        what(&mut unsaid);
        if !std::mem::replace(&mut unsaid.is_due, true) {
            let report = Arc::clone(self);
            self.runtime.spawn(async move {
                tokio::time::sleep(GATHER).await;
                report.lock().is_due = false;
                if let Err(error) = report.flush().await {
                    tracing::debug!(job = %report.held.id, %error, "something a handler said was not taken");
                }
            });
        }
    }

    async fn speak(&self, touch: JobTouch) -> Result<()> {
        let (id, fence) = (self.held.id.to_bytes(), self.held.fence);
        let said = self.shared.touch(JobTouch { id, fence, ..touch.clone() }).await;
        if let Err(error) = &said
            && error.kind() != ErrorKind::LeaseLost
        {
            // Nothing newer was said meanwhile, or that counts.
            let mut unsaid = self.lock();
            unsaid.checkpoint = unsaid.checkpoint.take().or(touch.checkpoint);
        }
        said
    }

    fn lock(&self) -> MutexGuard<'_, Unsaid> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long what is said waits for more of it.
const GATHER: Duration = Duration::from_millis(100);
/// How long an outcome waits for what was said before it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines that wait for a broker that cannot be reached.
const LINES_MAX: usize = 1_000;
/// Bytes of output that do.
const OUTPUT_MAX: usize = 64 << 10;
