//! `windlass admin audit`: what was changed, when, by whom and why.

use super::super::failure::Outcome;
use super::super::output;
use super::{Desk, done};
use crate::json::Audit;
use clap::Args;
use serde_json::Value;

/// How much of it.
#[derive(Args)]
pub(super) struct AuditArgs {
    /// The last so many entries
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// Runs the command; the newest entry stands at the end.
pub(super) async fn run(desk: &Desk, args: &AuditArgs) -> Outcome {
    let mut rows: Vec<Value> = Vec::new();
    for entry in desk.admin.audit(args.limit).await?.into_iter().rev() {
        let mut row = output::row(Audit::from(entry));
        if row["client"] == "" {
            row["client"] = "the broker".into();
        }
        rows.push(row);
    }
    desk.rows(&["at", "verb", "changed", "target", "client", "reason"], &rows)?;
    done()
}
