//! Sockets: accepts connections, and moves bytes between each of them and its session.
//!
//! It is separate because it is the only floor that waits: for bytes, for room to write, for time.
//! What the bytes mean is the session's to say, what becomes of them the driver's.

mod connection;
mod listener;
mod patience;
#[cfg(test)]
mod tests;

pub use listener::{bind, serve};

use crate::limits::{
    ARRIVED_BYTES_MAX, HALF_FRAME_SECONDS, HANDSHAKE_SECONDS, OUTBOX_BYTES_MAX, OUTBOXES_BYTES_MAX,
    STRANGERS_MAX, WRITE_STALL_SECONDS,
};
use crate::session::Terms;
use crate::tls::Tls;
use std::sync::Arc;
use std::time::Duration;
use windlass_proto::limits::{FRAME_BYTES_DEFAULT, FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// The broker's clock in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The bounds that connections keep. What is not asked for in [`NetOptions::new`] is as `limits.rs`
/// says, unless a test wants to see it happen sooner.
#[derive(Clone)]
pub struct NetOptions {
    /// What every client is granted.
    pub terms: Terms,
    /// Open connections; further ones are closed at once.
    pub connections_max: usize,
    /// TLS, where it is spoken.
    pub tls: Option<Tls>,
    /// Connections that were not welcomed yet; further ones are accepted a moment later.
    pub strangers_max: usize,
    /// Time from accept to a whole Hello, the handshake of TLS included.
    pub handshake: Duration,
    /// Time from the first to the last byte of a frame.
    pub half_frame: Duration,
    /// Time in which a peer takes at least one byte of what is queued for it.
    pub write_stall: Duration,
    /// Time for what is queued once the broker stops.
    pub farewell: Duration,
    /// Weight queued for a peer at which it is cut.
    pub outbox_bytes_max: usize,
    /// Weight queued for all peers together at which those with much of it are cut.
    pub outboxes_bytes_max: usize,
    /// Bytes of unfinished frames of all peers together at which those with large ones are cut.
    pub arrived_bytes_max: usize,
}

impl NetOptions {
    /// Options with this key for the secrets of sessions, this largest payload, and this many
    /// connections. Frames grow beyond their default if the payload needs it.
    #[must_use]
    pub fn new(secret_key: [u8; 32], payload_bytes_max: usize, connections_max: usize) -> Self {
        let beside = FRAME_BYTES_MAX - PAYLOAD_BYTES_MAX;
        let frame_bytes_max = FRAME_BYTES_DEFAULT.max(payload_bytes_max.saturating_add(beside));
        Self {
            terms: Terms::new(secret_key).with_bytes_max(frame_bytes_max, payload_bytes_max),
            connections_max,
            tls: None,
            strangers_max: STRANGERS_MAX,
            handshake: Duration::from_secs(HANDSHAKE_SECONDS),
            half_frame: Duration::from_secs(HALF_FRAME_SECONDS),
            write_stall: Duration::from_secs(WRITE_STALL_SECONDS),
            farewell: Duration::from_secs(2),
            outbox_bytes_max: OUTBOX_BYTES_MAX,
            outboxes_bytes_max: OUTBOXES_BYTES_MAX,
            arrived_bytes_max: ARRIVED_BYTES_MAX,
        }
    }
}
