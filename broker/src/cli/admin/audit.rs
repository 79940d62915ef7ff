//! `windlass admin audit`: what was changed, when, by whom and why.

use super::super::enqueue::duration;
use super::super::failure::Outcome;
use super::super::output;
use super::{Desk, done};
use crate::json::Audit;
use clap::Args;
use serde_json::Value;
use std::time::Duration;
use windlass_client::proto::AuditView;

/// Entries that are looked through.
const LOOKED_THROUGH: u32 = 1_000;

/// How much of it.
#[derive(Args)]
pub(super) struct AuditArgs {
    /// The last so many entries
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Only those of the last while, like 2h, among the last 1,000
    #[arg(long, value_parser = duration, value_name = "TIME")]
    since: Option<Duration>,
    /// Only those of a token or client with this in its name, among the last 1,000
    #[arg(long, value_name = "TEXT")]
    who: Option<String>,
}

impl AuditArgs {
    fn fits(&self, entry: &AuditView, now_ms: u64) -> bool {
        let is_young = |since: Duration| u128::from(now_ms.saturating_sub(entry.at_ms)) <= since.as_millis();
        self.since.is_none_or(is_young)
            && self
                .who
                .as_ref()
                .is_none_or(|who| [&entry.by, &entry.client].iter().any(|by| by.contains(who.as_str())))
    }
}

/// Runs the command; the newest entry stands at the end.
pub(super) async fn run(desk: &Desk, args: &AuditArgs) -> Outcome {
    let is_plain = args.since.is_none() && args.who.is_none();
    let entries = desk.admin.audit(if is_plain { args.limit } else { LOOKED_THROUGH }).await?;
    let fitting = entries.into_iter().filter(|entry| args.fits(entry, desk.now_ms()));
    let mut rows: Vec<Value> = fitting.take(args.limit as usize).map(row).collect();
    rows.reverse();
    desk.rows(&["at", "verb", "changed", "target", "by", "client", "reason"], &rows)?;
    done()
}

fn row(entry: AuditView) -> Value {
    let mut row = output::row(Audit::from(entry));
    if row["client"] == "" {
        row["client"] = "the broker".into();
    }
    row
}
