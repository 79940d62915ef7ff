//! `windlass admin operations`: bulk changes under way, and what became of the others.

use super::super::output::{self, Form, instant};
use super::done;
use clap::Subcommand;
use serde_json::{Value, json};
use windlass_client::{Admin, Error, JobId};

#[derive(Subcommand)]
pub(super) enum Operations {
    /// All that are remembered
    List,
    /// End one that is under way
    Stop {
        /// Its id
        id: JobId,
    },
}

/// Runs the command.
pub(super) async fn run(admin: &Admin, form: Form, what: Option<&Operations>) -> Result<(), Error> {
    if let Some(Operations::Stop { id }) = what {
        let stopped = admin.stop(id.to_bytes()).await?;
        let text = format!("stopped after {} of {}", stopped.changed, stopped.matched);
        done(form, &json!({"matched": stopped.matched, "changed": stopped.changed}), &text);
        return Ok(());
    }
    let mut operations = admin.operations().await?;
    operations.sort_by_key(|operation| std::cmp::Reverse(operation.started_at_ms));
    let rows: Vec<Value> = operations
        .iter()
        .map(|operation| {
            json!({
                "id": JobId::from_slice(&operation.id).map(|id| id.to_string()).unwrap_or_default(),
                "to": operation.to,
                "matched": operation.matched,
                "changed": operation.changed,
                "started_at": instant(operation.started_at_ms),
                "finished_at": instant(operation.finished_at_ms),
                "stopped_why": operation.stopped_why,
                "reason": operation.reason,
            })
        })
        .collect();
    let columns = ["id", "to", "matched", "changed", "started_at", "finished_at", "stopped_why", "reason"];
    output::rows(form, &columns, &rows);
    Ok(())
}
