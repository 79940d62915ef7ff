//! Who may ask what: one table of requests and roles.
//!
//! It is a match without a wildcard, so that a verb, a noun of Query or a mutation that joins the schema does
//! not compile until somebody decides whose it is. Which queues and which namespace a request may touch is
//! the business of `confine.rs`.

use crate::tokens::Role::{Admin, Operator, Producer, Viewer, Worker};
use crate::tokens::{Grant, Roles};
use windlass_engine::command::{Code, Refusal};
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{Change, Put, Query, Selector, Watch};

/// The limits under which the pauses of queues stand.
const PAUSE: &str = "limit/pause:queue/";

/// Who looks.
const LOOKING: Roles = Roles::of(&[Viewer, Operator, Admin]);
/// Who looks, and who asks after the jobs that it has sent.
const ASKING: Roles = Roles::of(&[Producer, Viewer, Operator, Admin]);
const STEERING: Roles = Roles::of(&[Operator, Admin]);
const WORKING: Roles = Roles::of(&[Worker, Admin]);
const PRODUCING: Roles = Roles::of(&[Producer, Admin]);
const CONFIGURING: Roles = Roles::of(&[Admin]);

/// Whose request it is: a token needs one of these roles.
pub(super) fn whose(request: &Request) -> Roles {
    match request {
        Request::Hello(_) | Request::Bye(_) => Roles::ALL,
        Request::Enqueue(_) => PRODUCING,
        Request::Fetch(_) | Request::Settle(_) | Request::Touch(_) => WORKING,
        Request::Change(change) => whose_change(change),
        Request::Query(query) => whose_query(query),
        Request::Watch(watch) => whose_watch(watch),
        Request::Put(put) => whose_put(put),
        Request::AdvanceClock(_) => CONFIGURING,
    }
}

fn whose_change(change: &Change) -> Roles {
    match change.to {
        Some(
            To::Retry(_)
            | To::Cancel(_)
            | To::Delete(_)
            | To::RunAt(_)
            | To::Move(_)
            | To::Patch(_)
            | To::Bury(_)
            | To::Confirm(_)
            | To::Tell(_)
            | To::Stop(_),
        )
        | None => STEERING,
    }
}

fn whose_query(query: &Query) -> Roles {
    match query.what() {
        What::Jobs | What::Job | What::Explain if is_by_ids(query.select.as_ref()) => ASKING,
        What::Unspecified
        | What::Jobs
        | What::Job
        | What::Explain
        | What::Errors
        | What::Queues
        | What::Keys
        | What::Kinds
        | What::Limits
        | What::Schedules
        | What::Sessions
        | What::Series
        | What::Scale
        | What::Server
        | What::Config
        | What::Audit
        | What::Operations
        | What::Logs
        | What::Tokens => LOOKING,
        // It is everything: other namespaces, and what keeps secrets of webhooks.
        What::Export => CONFIGURING,
    }
}

fn whose_watch(watch: &Watch) -> Roles {
    // A stream is closed by whoever has opened it.
    if watch.stream > 0 || is_by_ids(watch.select.as_ref()) { ASKING } else { LOOKING }
}

/// Pauses are an operator's to set and to lift; everything else that is stored is configuration.
fn whose_put(put: &Put) -> Roles {
    let names = put.set.iter().map(|resource| &resource.name).chain(&put.remove);
    let is_pause = put.set.len() + put.remove.len() > 0 && names.clone().all(|name| name.starts_with(PAUSE));
    if is_pause && !put.prune { STEERING } else { CONFIGURING }
}

/// The jobs are named by their ids.
fn is_by_ids(select: Option<&Selector>) -> bool {
    select.is_some_and(|select| !select.ids.is_empty())
}

/// Refuses what the token has no role for.
pub(super) fn permit(grant: &Grant, request: &Request) -> Result<(), Refusal> {
    let whose = whose(request);
    if grant.roles().meets(whose) {
        return Ok(());
    }
    let message = format!("token {} is no {}", grant.name(), whose.names().join(" or "));
    Err(Refusal::new(Code::Denied, "", message))
}
