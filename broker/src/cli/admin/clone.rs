//! `windlass admin jobs clone`: another job like one that is there, or was.

use super::super::enqueue::bytes_of;
use super::super::failure::{Failure, Outcome};
use super::{Desk, done, no_job, state, word};
use clap::Args;
use serde_json::json;
use windlass_client::{JobId, NewJob};

/// Which job, and what is to be different.
#[derive(Args)]
pub(super) struct CloneArgs {
    /// Its id
    id: JobId,
    /// Another payload: JSON, `-` for stdin, `@FILE` for a file
    #[arg(long)]
    payload: Option<String>,
    /// Another queue
    #[arg(long, short)]
    queue: Option<String>,
}

/// Runs the command. Its own history, its dependencies and its dedup key stay with the first job.
pub(super) async fn run(desk: &Desk, args: &CloneArgs) -> Outcome {
    let payload = args.payload.as_deref().map(bytes_of).transpose().map_err(Failure::usage)?;
    let first = desk.admin.job(args.id).await?.ok_or_else(|| no_job(args.id))?;
    if first.kind.is_empty() {
        return Err(Failure::usage(format!("{} is a group, which runs nothing by itself", args.id)));
    }
    let queue = args.queue.clone().unwrap_or(first.queue);
    let payload = payload.map_or(first.payload, Into::into);
    let mut job = NewJob::new(first.kind).queue(queue).payload(payload).content_type(first.content_type);
    if !first.key.is_empty() {
        job = job.key(first.key);
    }
    if let Some(policy) = first.policy {
        job = job.policy(policy);
    }
    if first.cost > 1 {
        job = job.cost(first.cost);
    }
    for (name, value) in first.headers {
        job = job.header(name, value);
    }
    for tag in first.tags {
        job = job.tag(tag);
    }
    for limit in first.limits {
        job = job.limit(limit);
    }
    let enqueued = desk.client.enqueue(job).await?;
    let id = enqueued.id.to_string();
    let value = json!({
        "id": id,
        "state": state(enqueued.state),
        "duplicate": enqueued.duplicate,
        "outcome": word(enqueued.outcome.as_str_name(), "OUTCOME_"),
        "cloned_from": args.id.to_string(),
    });
    desk.item(&value, &id)?;
    done()
}
