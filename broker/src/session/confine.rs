//! What a token allows of a request that its role may ask: which queues, and whether it sees what jobs carry.
//!
//! What can be confined is confined, by a condition that goes with the request, or by what the engine knows
//! of the connection (see [`Reach`]). What cannot be confined is refused to a token that does not reach
//! every queue: a sum over all queues, or a change that is known by its id alone.

use super::form::Checked;
use crate::tokens::{Grant, Role};
use windlass_engine::command::{
    Change, Code, Command, Enqueue, Fetch, JobSpec, Mutation, Put, Query, Refusal, Select, Settlement,
    Target, Watch,
};
use windlass_engine::{Reach, sink};
use windlass_proto::v1;

/// The header that is left, though others are hidden: it says nothing but whether a request is the same again.
pub const FINGERPRINT: &str = "idempotency-fingerprint";

/// Jobs that are named in a line of the log.
const NAMED_MAX: usize = 10;

/// Confines a command to what the token allows, or refuses it.
pub(super) fn confine(grant: &Grant, command: &mut Command) -> Checked<()> {
    match command {
        Command::Enqueue(enqueue) => self::enqueue(grant, enqueue),
        Command::Fetch(fetch) => self::fetch(grant, fetch),
        Command::Settle(results) => {
            results.iter_mut().for_each(|result| spawn(grant, result));
            Ok(())
        }
        Command::Watch(watch) => self::watch(grant, watch),
        Command::Query(query) => self::query(grant, query),
        Command::Change(change) => self::change(grant, change),
        Command::Put(put) => self::put(grant, put),
        Command::Tell(_) => all(grant, "sessions are of no queue"),
        Command::Stop { .. } => all(grant, "a change may be of jobs of any queue"),
        Command::AdvanceClock(_) => all(grant, "time is everybody's"),
        // A lease is proven by its fence and its session, which belongs to the token.
        Command::Touch(_)
        | Command::Bye { .. }
        | Command::Hello(_)
        | Command::Tick(_)
        | Command::Sign
        | Command::Unchoke
        | Command::Hangup => Ok(()),
    }
}

fn denied(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(Code::Denied, field, message)
}

/// Refuses what only a token for all queues may ask.
fn all(grant: &Grant, why: &str) -> Checked<()> {
    if grant.queues().is_all() {
        return Ok(());
    }
    let message = format!("token {} reaches some queues only, and {why}", grant.name());
    Err(denied("", message))
}

/// The queue is one of the token's, and its jobs are its to make or to run: the broker's own deliveries are
/// nobody's but an admin's.
fn work(grant: &Grant, queue: &str, field: impl FnOnce() -> String) -> Checked<()> {
    if queue == sink::QUEUE && !grant.roles().has(Role::Admin) {
        return Err(denied(&field(), "here the broker's own deliveries wait, and they are an admin's"));
    }
    reach(grant, queue, field)
}

/// The queue is one of the token's.
fn reach(grant: &Grant, queue: &str, field: impl FnOnce() -> String) -> Checked<()> {
    if grant.queues().covers(queue) {
        return Ok(());
    }
    Err(denied(&field(), format!("token {} does not reach the queue {queue}", grant.name())))
}

fn enqueue(grant: &Grant, enqueue: &mut Enqueue) -> Checked<()> {
    for (place, job) in enqueue.jobs.iter_mut().enumerate() {
        let Ok(spec) = &*job else { continue };
        if let Err(refusal) = self::job(grant, spec, "jobs", place) {
            if !enqueue.partial {
                return Err(refusal);
            }
            *job = Err(refusal);
        }
    }
    Ok(())
}

fn job(grant: &Grant, spec: &JobSpec, list: &str, place: usize) -> Checked<()> {
    work(grant, &spec.queue, || format!("{list}[{place}].queue"))?;
    if spec.wishes.as_ref().is_some_and(|wishes| wishes.tick.is_some()) {
        // It would be told what came of that tick, or take the place of one that is still to come.
        return all(grant, "a tick is that of a schedule, which may be of any queue")
            .map_err(|refusal| Refusal { field: format!("{list}[{place}].headers"), ..refusal });
    }
    let dedup = spec.wishes.as_ref().and_then(|wishes| wishes.dedup.as_ref());
    if dedup.is_some_and(|dedup| dedup.whole_namespace) {
        return all(grant, "a dedup key of the whole namespace may be that of a job of any queue").map_err(
            |refusal| Refusal { field: format!("{list}[{place}].dedup.whole_namespace"), ..refusal },
        );
    }
    Ok(())
}

/// What follows from a run is refused as any other refused spawn: the lease stands.
fn spawn(grant: &Grant, result: &mut Settlement) {
    let Some(spawn) = &mut result.spawn else { return };
    let Ok(jobs) = &**spawn else { return };
    let refused = jobs.iter().enumerate().find_map(|(place, spec)| job(grant, spec, "spawn", place).err());
    if let Some(refusal) = refused {
        **spawn = Err(refusal);
    }
}

fn fetch(grant: &Grant, fetch: &Fetch) -> Checked<()> {
    let mut queues = fetch.queues.iter().enumerate();
    queues.try_for_each(|(place, queue)| work(grant, queue, || format!("sources[{place}].queue")))
}

fn watch(grant: &Grant, watch: &Watch) -> Checked<()> {
    if !grant.shows_bodies() {
        let field = if watch.with_result { "with_result" } else { "with_stream" };
        if watch.with_result || watch.with_stream {
            return Err(denied(field, hidden(grant)));
        }
    }
    if watch.queue.is_empty() { Ok(()) } else { reach(grant, &watch.queue, || "select.queue".into()) }
}

fn hidden(grant: &Grant) -> String {
    format!("token {} may not see what jobs carry; see `payloads` in docs/OPERATIONS.md", grant.name())
}

fn query(grant: &Grant, query: &mut Query) -> Checked<()> {
    let named = |name: &str, field: &str| {
        if name.is_empty() { Ok(()) } else { reach(grant, name, || field.into()) }
    };
    match query {
        Query::Job(_) | Query::Explain(_) | Query::Server | Query::Sessions { .. } => Ok(()),
        Query::Logs { .. } if !grant.shows_bodies() => Err(denied("", hidden(grant))),
        Query::Logs { .. } => Ok(()),
        Query::Jobs(jobs) => {
            if !grant.shows_bodies() {
                (jobs.fields.payload, jobs.fields.result) = (false, false);
            }
            select(grant, &mut jobs.select)
        }
        Query::Queues { name, .. } | Query::Scale { name, .. } => named(name, "name"),
        Query::Series(series) if series.queue.is_empty() && !series.each => {
            all(grant, "this is a sum of all")
        }
        Query::Series(series) => named(&series.queue, "select.queue"),
        Query::Kinds { .. } => all(grant, "kinds are of no queue"),
        Query::Limits { .. } => all(grant, "limits are of no queue"),
        Query::Schedules { .. } => all(grant, "schedules are of no queue"),
        Query::Errors { .. } => all(grant, "failures are counted over all queues"),
        Query::Config { .. } => all(grant, "the configuration is of no queue"),
        Query::Operations { .. } => all(grant, "a change may be of jobs of any queue"),
        Query::Audit { .. } => all(grant, "the audit is of no queue"),
        Query::Export { .. } if !grant.namespaces().is_all() || !grant.shows_bodies() => {
            let message = format!(
                "token {} does not reach all namespaces and payloads, and a snapshot holds them",
                grant.name()
            );
            Err(denied("what", message))
        }
        Query::Export { .. } => all(grant, "a snapshot holds all"),
    }
}

/// Only jobs of the token's queues are meant.
fn select(grant: &Grant, select: &mut Select) -> Checked<()> {
    if !select.queue.is_empty() {
        return reach(grant, &select.queue, || "select.queue".into());
    }
    select.filter.clauses.extend(grant.queues().clause());
    Ok(())
}

fn change(grant: &Grant, change: &mut Change) -> Checked<()> {
    select(grant, &mut change.select)?;
    match &change.to {
        Mutation::Move(queue) => work(grant, queue, || "move.queue".into()),
        Mutation::Cancel { dependents: true, .. } => all(grant, "what waits for a job may be of any queue")
            .map_err(|refusal| Refusal { field: "cancel.dependents".into(), ..refusal }),
        Mutation::Cancel { dependents: false, .. }
        | Mutation::Retry { .. }
        | Mutation::Delete
        | Mutation::RunAt(_)
        | Mutation::Patch(_)
        | Mutation::Bury
        | Mutation::Confirm => Ok(()),
    }
}

/// The pause of a queue is that queue's; all other configuration is of none.
fn put(grant: &Grant, put: &Put) -> Checked<()> {
    let paused = |target: &Target| {
        let Target::Limit(name) = target else { return false };
        name.strip_prefix("pause:queue/").is_some_and(|queue| grant.queues().covers(queue))
    };
    let targets = put.set.iter().map(|set| &set.target).chain(&put.remove);
    let is_theirs = !put.prune && targets.clone().all(paused);
    if is_theirs { Ok(()) } else { all(grant, "the configuration is of no queue") }
}

/// What the engine has to know of who speaks.
pub(super) fn introduced(grant: Option<&Grant>) -> (String, Reach) {
    grant.map_or_else(Default::default, |grant| (grant.name().to_owned(), grant.queues().clone()))
}

/// Leaves out of an answer what the token may not see. Whoever sees what the jobs of others carry is noted.
pub(super) fn redact(grant: &Grant, rows: &mut v1::Rows) {
    if !grant.shows_bodies() {
        for job in &mut rows.jobs {
            job.payload.clear();
            job.result.clear();
            job.headers.retain(|name, _| name == FINGERPRINT);
            job.bodies_hidden = true;
        }
        return;
    }
    let is_open =
        |job: &&v1::JobView| !job.payload.is_empty() || !job.result.is_empty() || !job.headers.is_empty();
    let shown = rows.jobs.iter().filter(is_open).map(|job| &job.id);
    let mut shown: Vec<&bytes::Bytes> = shown.chain(rows.logs.iter().map(|line| &line.job)).collect();
    shown.dedup();
    if grant.looks() && !shown.is_empty() {
        let named = shown.iter().take(NAMED_MAX).filter_map(|id| uuid::Uuid::from_slice(id).ok());
        let jobs = named.map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
        tracing::info!(token = grant.name(), count = shown.len(), jobs, "payloads were read");
    }
}
