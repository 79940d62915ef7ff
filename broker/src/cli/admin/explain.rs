//! `windlass admin explain`: what keeps a job from running, the strongest cause first.

use super::super::failure::Outcome;
use super::super::output::{self, Form};
use super::{Desk, done, no_job, state};
use serde_json::{Value, json};
use windlass_client::JobId;

/// Why a job is not running, a cause a line.
pub(super) async fn run(desk: &Desk, id: JobId) -> Outcome {
    let view = desk.admin.explain(id).await?.ok_or_else(|| no_job(id))?;
    let now = state(view.state());
    let rows: Vec<Value> = view
        .reasons
        .iter()
        .map(|reason| {
            json!({
                "state": now,
                "reason": reason.code,
                "for_ms": reason.for_ms,
                "name": reason.name,
                "text": reason.text,
            })
        })
        .collect();
    if rows.is_empty() && desk.form() == Form::Table {
        output::line(&format!("{now}: nothing keeps it"));
    } else {
        desk.rows(&["state", "reason", "for_ms", "text"], &rows)?;
    }
    done()
}
