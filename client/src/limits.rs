//! The bounds of this side: every queue, buffer and list here has one. Those that the broker keeps, too,
//! stand in `windlass_proto::limits`.

use windlass_proto::limits::RUNNING_MAX;

/// Unanswered requests of a client, unless it is built with another number.
pub(crate) const WINDOW_DEFAULT: u32 = 4_096;
/// The most that it can be built with.
pub(crate) const WINDOW_MAX: u32 = 100_000;
/// Payload bytes that count as one more request of the window.
pub(crate) const WINDOW_UNIT_BYTES: usize = 16 * 1024;
/// What one request takes of the window at most, so that the largest one can be sent at all.
pub(crate) const WINDOW_UNITS_MAX: u32 = 256;
/// Room that the window leaves in what the broker allows: for outcomes, beats and the end of a session.
pub(crate) const WINDOW_RESERVE: usize = SETTLE_FRAMES_MAX + 16;
/// Frames of outcomes that may be unanswered at once. A slow broker gets larger frames, not more.
pub(crate) const SETTLE_FRAMES_MAX: usize = 64;

/// Handlers of a worker that run at once, unless it is built with another number.
pub(crate) const CONCURRENCY_DEFAULT: u32 = 10;
/// The most that it can be built with: more could not be listed when it comes back after a cut.
#[expect(clippy::cast_possible_truncation, reason = "it is far below 4 billion")]
pub(crate) const CONCURRENCY_MAX: u32 = RUNNING_MAX as u32;

/// What one read takes from the socket at most.
pub(crate) const READ_BYTES: usize = 32 * 1024;
/// Rows of a page where the caller gets all pages anyway.
pub(crate) const PAGE_ROWS: u32 = 1_000;
/// Queues and kinds whose metrics are told apart.
pub(crate) const METRICS_KINDS_MAX: usize = 1_000;
/// Pause while the broker reads the next piece of a snapshot.
pub(crate) const SNAPSHOT_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
