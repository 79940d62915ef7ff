//! `windlass admin limits` and `windlass admin explain`: what keeps jobs from running.

use super::super::output::{self, Form, instant};
use super::state;
use serde_json::{Value, json};
use windlass_client::proto::Limit;
use windlass_client::{Admin, Error, JobId};

/// All limits, with what is in use.
pub(super) async fn list(admin: &Admin, form: Form) -> Result<(), Error> {
    let rows: Vec<Value> = admin
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
    output::rows(form, &["name", "bounds", "lets", "in_use", "waiting", "until", "why"], &rows);
    Ok(())
}

/// Why a job is not running, a cause a line, the strongest first.
pub(super) async fn explain(admin: &Admin, form: Form, id: JobId) -> Result<bool, Error> {
    let Some(view) = admin.explain(id).await? else { return Ok(false) };
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
    if rows.is_empty() && form == Form::Table {
        output::line(&format!("{now}: nothing keeps it"));
    } else {
        output::rows(form, &["state", "reason", "for_ms", "text"], &rows);
    }
    Ok(true)
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
