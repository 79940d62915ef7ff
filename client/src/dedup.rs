//! What makes two jobs one: a key, how long it is taken, and what then happens.

use std::time::Duration;

use windlass_proto::v1::{self, dedup};

use crate::millis;

/// Which existing job stands for the same thing, and what becomes of the new one.
///
/// By default the key is compared inside the queue, is taken until its holder ends, and a new job is
/// dropped while it is.
///
/// ```
/// use std::time::Duration;
/// use windlass_client::{Dedup, NewJob};
///
/// // A debounce: the job runs 5 s after the last change, with what that one said.
/// let job = NewJob::new("index.update")
///     .delay(Duration::from_secs(5))
///     .dedup(Dedup::key("user-17").until_start().replace());
/// // A cache: for an hour, whoever asks again hears the result of the first.
/// let report = NewJob::new("report").dedup(Dedup::key("2026-11").within(Duration::from_secs(3600)));
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until a job has it"]
pub struct Dedup {
    pub(crate) dedup: v1::Dedup,
}

impl Dedup {
    /// Jobs with this key are one; a text of 1 to 200 bytes.
    pub fn key(key: impl Into<String>) -> Self {
        Self { dedup: v1::Dedup { key: key.into(), ..v1::Dedup::default() } }
    }

    /// Compared in the whole namespace instead of the queue.
    pub fn whole_namespace(mut self) -> Self {
        self.dedup.whole_namespace = true;
        self
    }

    /// The key is free as soon as its holder is first handed to a worker.
    pub fn until_start(mut self) -> Self {
        self.dedup.until = dedup::Until::Start.into();
        self
    }

    /// The key is taken for this long after its holder was enqueued, whatever becomes of that; at most 30
    /// days.
    pub fn within(mut self, window: Duration) -> Self {
        self.dedup.until = dedup::Until::Window.into();
        self.dedup.window_ms = millis::of(window);
        self
    }

    /// The older job takes payload, headers and run time of the new one, unless it has started.
    pub fn replace(self) -> Self {
        self.on_conflict(dedup::OnConflict::Replace)
    }

    /// The new job runs when the older one has ended; at most one waits so, the newest.
    pub fn run_after(self) -> Self {
        self.on_conflict(dedup::OnConflict::RunAfter)
    }

    /// The older job is cancelled; one that runs has 30 s to stop, and then the new one runs.
    pub fn cancel_running(self) -> Self {
        self.on_conflict(dedup::OnConflict::CancelRunning)
    }

    /// The new job is refused; enqueueing it is an error.
    pub fn reject(self) -> Self {
        self.on_conflict(dedup::OnConflict::Reject)
    }

    /// The older job takes the payload in addition to its own, unless it has started. The handler reads
    /// them by [`JobContext::items`](crate::JobContext::items), also if there is but one.
    pub fn append(self) -> Self {
        self.on_conflict(dedup::OnConflict::Append)
    }

    fn on_conflict(mut self, conflict: dedup::OnConflict) -> Self {
        self.dedup.on_conflict = conflict.into();
        self
    }
}
