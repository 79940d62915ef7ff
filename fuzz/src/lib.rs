//! What strangers send, and what disks give back: a function for each, which takes any bytes and must not
//! panic, run for long, or take much memory. Fuzzers call them with what they make up, and
//! `tests/fuzzed.rs` with all that is kept in `corpus/`.

mod body;
mod filter;
mod frame;
mod message;
mod stored;

pub use body::body;
pub use filter::filter;
pub use frame::frame;
pub use message::message;
pub use stored::stored;
