//! `windlass admin kinds`: what is asked of each handler, and who can run it.

use super::super::failure::Outcome;
use super::super::output;
use super::{Desk, absent, apply, done};
use crate::json::Kind;
use clap::Subcommand;
use serde_json::Value;
use windlass_client::proto::KindView;

#[derive(Subcommand)]
pub(super) enum Kinds {
    /// All kinds with their counts, and how many streams can run them
    List,
    /// One kind in full
    Show {
        /// Its name
        kind: String,
    },
    /// Change the policy of a kind, like `max_attempts=5`; nothing behind the = takes it back
    Set {
        /// Its name
        kind: String,
        #[command(flatten)]
        fields: apply::SetArgs,
    },
}

impl Kinds {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List | Self::Show { .. } => true,
            Self::Set { .. } => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: Option<&Kinds>) -> Outcome {
    match what {
        None | Some(Kinds::List) => {
            let rows: Vec<Value> = desk.admin.kinds().await?.into_iter().map(row).collect();
            let columns = [
                "name",
                "ready",
                "leased",
                "scheduled",
                "dead",
                "completed_total",
                "failed_total",
                "streams",
            ];
            desk.rows(&columns, &rows)?;
        }
        Some(Kinds::Show { kind }) => {
            let found = desk.admin.kinds().await?.into_iter().find(|view| view.name == *kind);
            desk.object(&row(found.ok_or_else(|| absent("kind", kind))?))?;
        }
        Some(Kinds::Set { kind, fields }) => return apply::set(desk, "kind", kind, fields).await,
    }
    done()
}

fn row(view: KindView) -> Value {
    output::row(Kind::from(view))
}
