//! The client against a scripted peer on a loopback socket: what it sends, and what it makes of answers,
//! cuts and silence. The real broker is tested in the workspace's `tests/`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its tools too")]

mod admin;
mod fetch;
mod peer;
mod producer;
mod report;
mod schedules;
mod worker;
