//! `windlass admin audit`: what was changed, when, by whom and why.

use super::super::output::{self, Form, instant};
use clap::Args;
use serde_json::{Value, json};
use windlass_client::{Admin, Error};

/// How much of it.
#[derive(Args)]
pub(super) struct AuditArgs {
    /// The last so many entries
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// Runs the command; the newest entry stands at the end.
pub(super) async fn run(admin: &Admin, form: Form, args: &AuditArgs) -> Result<(), Error> {
    let rows: Vec<Value> = admin
        .audit(args.limit)
        .await?
        .iter()
        .rev()
        .map(|entry| {
            json!({
                "seq": entry.seq.to_string(),
                "at": instant(entry.at_ms),
                "verb": entry.verb,
                "changed": entry.changed,
                "target": entry.target,
                "client": if entry.client.is_empty() { "the broker" } else { &entry.client },
                "reason": entry.reason,
            })
        })
        .collect();
    output::rows(form, &["at", "verb", "changed", "target", "client", "reason"], &rows);
    Ok(())
}
