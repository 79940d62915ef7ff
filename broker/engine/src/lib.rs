//! The rules of the broker, pure: commands and time come in, facts and frames go out.
//!
//! The crate is `no_std`, so the compiler itself forbids clocks, files, sockets, threads and
//! randomly ordered maps. Time, randomness and identities are arguments.
//!
//! Reading order: the words ([`ids`], [`policy`], [`command`], [`fact`], [`part`], [`event`], [`frame`]), what survives
//! a restart ([`ledger`]), what is derivable ([`roster`]), the verbs, and the [`Engine`] that ties
//! them together:
//!
//! ```text
//! apply(now, request, Command, &mut Turn)   one command: facts and frames, or one refusal
//! tick(now, &mut Turn)                      what time asks for, then who gets which job
//! next_deadline()                           when to call tick if nothing else happens
//! replay(batch, &Fact), restore(now)        the same `evolve`, fed from the journal
//! ```
#![no_std]
#![deny(clippy::float_arithmetic)]
extern crate alloc;
#[cfg(test)]
extern crate std;

/// Whether a known bug is planted, which only a build for tests can have: see `planted.rs`.
#[cfg(feature = "planted")]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is($crate::planted::Bug::$bug)
    };
}

/// Whether a known bug is planted: never, in this build.
#[cfg(not(feature = "planted"))]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

pub mod audit;
pub mod blob;
pub mod command;
pub mod engine;
pub mod event;
pub mod fact;
pub mod filter;
pub mod fingerprint;
pub mod flow;
pub mod frame;
pub mod ids;
pub mod ledger;
pub mod limit;
pub mod limits;
pub mod measure;
pub mod operation;
pub mod order;
pub mod part;
#[cfg(feature = "planted")]
pub mod planted;
pub mod policy;
pub mod queue_conf;
pub mod reach;
pub mod roster;
pub mod schedule;
pub mod sink;
pub mod terms;
mod verbs;
pub mod view;

pub use blob::Blob;
pub use command::Command;
pub use engine::{Engine, Start, Turn};
pub use fact::Fact;
pub use frame::Frame;
pub use ids::{ConnId, JobId, NameId, OperationId, Request, Seq, SessionId};
pub use reach::Reach;
pub use verbs::measure::Measured;
