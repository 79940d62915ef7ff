//! `windlass admin stats` and `advance-clock`: the broker itself, and the time it has.

use super::super::failure::Outcome;
use super::super::output::{self, instant};
use super::{Desk, done};
use crate::json::Server;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::proto::ServerView;

/// The broker in figures.
pub(super) async fn stats(desk: &Desk) -> Outcome {
    desk.object(&row(&desk.admin.stats().await?))?;
    done()
}

/// The broker as a row.
pub(super) fn row(server: &ServerView) -> Value {
    output::row(Server::from(server.clone()))
}

/// Lets time pass, where time is the test's.
pub(super) async fn advance_clock(desk: &Desk, by: Duration, patience: Duration) -> Outcome {
    let now = instant(desk.admin.advance_clock(by, patience).await?);
    desk.done(&json!({"now": now}), now.as_str().unwrap_or_default())?;
    done()
}
