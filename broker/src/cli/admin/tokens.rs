//! `windlass admin tokens`: who may speak to the broker, and for what.

use super::super::failure::Outcome;
use super::super::output;
use super::{Desk, done};
use crate::json::Token;
use serde_json::Value;

/// Runs the command.
pub(super) async fn run(desk: &Desk) -> Outcome {
    let tokens = desk.admin.tokens().await?;
    let rows: Vec<Value> = tokens.into_iter().map(|token| output::row(Token::from(token))).collect();
    let columns = ["name", "roles", "queues", "namespaces", "expires_at", "last_used_at", "payloads"];
    desk.rows(&columns, &rows)?;
    done()
}
