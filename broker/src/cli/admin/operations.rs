//! `windlass admin operations`: bulk changes under way, and what became of the others.

use super::super::failure::Outcome;
use super::super::output;
use super::{Desk, absent, done};
use crate::json::Operation;
use clap::Subcommand;
use serde_json::{Value, json};
use windlass_client::proto::OperationView;
use windlass_client::{Error, JobId};

#[derive(Subcommand)]
pub(super) enum Operations {
    /// All that are remembered
    List,
    /// One of them
    Show {
        /// Its id
        id: JobId,
    },
    /// End one that is under way
    #[command(alias = "cancel")]
    Stop {
        /// Its id
        id: JobId,
    },
}

impl Operations {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List | Self::Show { .. } => true,
            Self::Stop { .. } => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: Option<&Operations>) -> Outcome {
    match what {
        None | Some(Operations::List) => {
            let mut operations = desk.admin.operations().await?;
            operations.sort_by_key(|operation| std::cmp::Reverse(operation.started_at_ms));
            let rows: Vec<Value> = operations.iter().map(row).collect();
            desk.rows(&COLUMNS, &rows)?;
        }
        Some(Operations::Show { id }) => {
            let found = one(desk, *id).await?;
            let found = found.ok_or_else(|| absent("operation", &id.to_string()))?;
            desk.object(&row(&found))?;
        }
        Some(Operations::Stop { id }) => {
            let stopped = desk.admin.stop(id.to_bytes()).await?;
            let text = format!("stopped after {} of {}", stopped.changed, stopped.matched);
            let value = json!({"matched": stopped.matched, "changed": stopped.changed});
            desk.done(&value, &text)?;
        }
    }
    done()
}

/// The operation of an id.
pub(super) async fn one(desk: &Desk, id: JobId) -> Result<Option<OperationView>, Error> {
    let operations = desk.admin.operations().await?;
    Ok(operations.into_iter().find(|operation| operation.id == id.to_bytes()))
}

const COLUMNS: [&str; 8] =
    ["id", "to", "matched", "changed", "started_at", "finished_at", "stopped_why", "reason"];

fn row(operation: &OperationView) -> Value {
    output::row(Operation::from(operation.clone()))
}
