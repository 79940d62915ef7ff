//! A worker program like a user's: mail, pictures and PDF, done for real into one output folder.
//!
//! The three functions in [`kinds`] are what a user would write; [`run`] is all that joins them to
//! Windlass. A library next to the program, so that demos and tests can run it inside their own process.

mod files;
pub mod kinds;
mod log;
mod metrics;
mod options;
mod rehearsal;
mod run;
mod sample;
mod worker;

pub use options::Options;
pub use run::{HandlerError, Run};
pub use sample::draw_sample;
pub use worker::{Error, Summary, run};
