//! `windlass admin limits`: what bounds the starts of jobs.

use super::super::failure::Outcome;
use super::super::output::instant;
use super::{Desk, apply, done};
use clap::Subcommand;
use serde_json::{Value, json};
use windlass_client::proto::Limit;

#[derive(Subcommand)]
pub(super) enum Limits {
    /// All limits and pauses
    List,
    /// Change a limit, or make one, like `rate=100 per_ms=1000`; nothing behind the = takes a field back
    Set {
        /// Its name
        name: String,
        #[command(flatten)]
        fields: apply::SetArgs,
    },
    /// Remove a limit
    #[command(alias = "remove")]
    Delete {
        /// Its name
        name: String,
        /// For those who ask later
        #[arg(long, default_value = "")]
        reason: String,
    },
}

impl Limits {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List => true,
            Self::Set { .. } | Self::Delete { .. } => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: Option<&Limits>) -> Outcome {
    match what {
        None | Some(Limits::List) => list(desk).await,
        Some(Limits::Set { name, fields }) => apply::set(desk, "limit", name, fields).await,
        Some(Limits::Delete { name, reason }) => apply::remove(desk, "limit", name, reason).await,
    }
}

/// All limits, with what is in use.
async fn list(desk: &Desk) -> Outcome {
    let rows: Vec<Value> = desk
        .admin
        .limits()
        .await?
        .iter()
        .map(|view| {
            let limit = view.limit.clone().unwrap_or_default();
            json!({
                "name": view.name,
                "bounds": bounds(&limit),
                "lets": lets(&limit),
                "in_use": view.in_use,
                "waiting": view.waiting_lanes,
                "next_free_ms": view.next_free_ms,
                "until": instant(limit.until_at_ms),
                "why": limit.why,
            })
        })
        .collect();
    desk.rows(&["name", "bounds", "lets", "in_use", "waiting", "until", "why"], &rows)?;
    done()
}

/// What a limit bounds, in words.
fn bounds(limit: &Limit) -> String {
    let fields = [("queue", &limit.queue), ("kind", &limit.kind), ("key", &limit.key)];
    let mut words: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(field, value)| format!("{field} {value}"))
        .collect();
    if words.is_empty() {
        words.push("jobs that name it".to_owned());
    }
    if limit.per_key {
        words.push("per key".to_owned());
    }
    words.join(", ")
}

/// What a limit lets through, in words.
fn lets(limit: &Limit) -> String {
    let mut words = Vec::new();
    match limit.concurrency {
        Some(0) => words.push("nothing".to_owned()),
        Some(most) => words.push(format!("{most} at once")),
        None => {}
    }
    if limit.rate > 0 {
        words.push(format!("{} in {} ms", limit.rate, limit.per_ms));
    }
    if limit.breaker_failure_permille > 0 {
        words.push(format!("until {} of 1000 fail", limit.breaker_failure_permille));
    }
    words.join(", ")
}
