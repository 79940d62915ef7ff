//! The words on the wire: messages, frames, codes and the bounds that both sides keep.
//!
//! Everything here is true for a client as much as for the broker, and depends on nothing else of
//! Windlass, so that either side can be replaced.

mod code;
pub mod frame;
pub mod limits;
mod scan;
mod shape;

#[rustfmt::skip]
#[allow(
    missing_docs,
    clippy::all,
    reason = "prost writes this file; its style is not ours to choose"
)]
pub mod v1;

/// The protocol's name where TLS agrees on what is spoken (ALPN).
pub const ALPN: &[u8] = b"windlass";
