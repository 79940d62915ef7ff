//! `windlass admin errors`: failures in groups that look alike.

use super::super::enqueue::duration;
use super::super::output::{self, Form, instant};
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::proto::Selector;
use windlass_client::{Admin, Error, JobId};

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
pub(super) async fn run(admin: &Admin, form: Form, args: &ErrorsArgs) -> Result<(), Error> {
    let window_ms = u64::try_from(args.window.as_millis()).unwrap_or(u64::MAX);
    let select = Selector { queue: args.queue.clone(), kind: args.kind.clone(), ..Selector::default() };
    let rows: Vec<Value> = admin
        .errors(window_ms, select)
        .await?
        .iter()
        .map(|error| {
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
        })
        .collect();
    let columns = ["fingerprint", "count", "dead", "kinds", "class", "message", "last_at", "sample"];
    output::rows(form, &columns, &rows);
    Ok(())
}
