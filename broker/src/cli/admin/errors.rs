//! `windlass admin errors`: failures in groups that look alike.

use super::super::enqueue::duration;
use super::super::failure::Outcome;
use super::super::output::instant;
use super::{Desk, done};
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::proto::{ErrorGroupView, Selector};
use windlass_client::{Error, JobId};

/// Which failures.
#[derive(Args)]
pub(super) struct ErrorsArgs {
    /// How far to look back, in half hours; longer than a day counts all that is known
    #[arg(long, value_parser = duration, default_value = "1h")]
    window: Duration,
    /// Only those seen in this queue
    #[arg(long, short, default_value = "")]
    queue: String,
    /// Only those seen in jobs of this kind
    #[arg(long, short, default_value = "")]
    kind: String,
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, args: &ErrorsArgs) -> Outcome {
    let rows: Vec<Value> = groups(desk, args).await?.iter().map(row).collect();
    desk.rows(&COLUMNS, &rows)?;
    done()
}

/// What a table shows.
pub(super) const COLUMNS: [&str; 8] =
    ["fingerprint", "count", "dead", "kinds", "class", "message", "last_at", "sample"];

/// The groups.
pub(super) async fn groups(desk: &Desk, args: &ErrorsArgs) -> Result<Vec<ErrorGroupView>, Error> {
    let window_ms = u64::try_from(args.window.as_millis()).unwrap_or(u64::MAX);
    let select = Selector { queue: args.queue.clone(), kind: args.kind.clone(), ..Selector::default() };
    desk.admin.errors(window_ms, select).await
}

/// A group as a row.
pub(super) fn row(error: &ErrorGroupView) -> Value {
    json!({
        "fingerprint": error.fingerprint,
        "count": error.count,
        "dead": error.dead,
        "class": error.kind,
        "message": error.message,
        "first_at": instant(error.first_at_ms),
        "last_at": instant(error.last_at_ms),
        "queues": error.queues.join(","),
        "kinds": error.kinds.join(","),
        "sample": JobId::from_slice(&error.sample).map(|id| id.to_string()).unwrap_or_default(),
    })
}
