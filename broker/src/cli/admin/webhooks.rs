//! `windlass admin webhook`: places outside that events are delivered to.

use super::super::failure::{Failure, Outcome};
use super::super::output::instant;
use super::{Desk, absent, done, state};
use crate::hooks::{self, QUEUE, TEST_KIND};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::NewJob;
use windlass_client::proto::query::What as Noun;
use windlass_client::proto::resource::What;
use windlass_client::proto::{Put, Query, Resource, Selector, Sink};

/// How long a test waits for its delivery: the time-out of one attempt, and some.
const TEST_PATIENCE: Duration = Duration::from_secs(15);

#[derive(Subcommand)]
pub(super) enum Webhooks {
    /// All of them, without their secrets
    List,
    /// Add one, or change it; the secret of a new one is shown once
    Add(AddArgs),
    /// Deliver a test, and say whether it arrived
    Test {
        /// Its name
        name: String,
    },
    /// What is to be delivered, and what was
    Deliveries {
        /// Of this one only
        name: Option<String>,
    },
    /// Give it another secret, shown once; the former one signs, too, for a day
    Rotate {
        /// Its name
        name: String,
    },
    /// Deliver again after its receiver answered 410
    Resume {
        /// Its name
        name: String,
    },
    /// Remove it; what waits for it is cancelled
    #[command(alias = "delete")]
    Remove {
        /// Its name
        name: String,
    },
}

/// What to add.
#[derive(Args)]
pub(super) struct AddArgs {
    /// Its name
    name: String,
    /// An http or https address
    url: String,
    /// An event, like job.dead; may be given several times; none: all alerts
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// Only of this queue
    #[arg(long, default_value = "", hide_default_value = true)]
    queue: String,
    /// Only of jobs of this kind
    #[arg(long, default_value = "", hide_default_value = true)]
    kind: String,
    /// Only of jobs of this lane
    #[arg(long, default_value = "", hide_default_value = true)]
    key: String,
    /// `whsec_` and the base64 of 24 to 64 random bytes; without it the broker makes one
    #[arg(long, env = "WINDLASS_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Option<String>,
}

impl Webhooks {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List | Self::Deliveries { .. } => true,
            Self::Add(_)
            | Self::Test { .. }
            | Self::Rotate { .. }
            | Self::Resume { .. }
            | Self::Remove { .. } => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: Option<&Webhooks>) -> Outcome {
    match what {
        None | Some(Webhooks::List) => list(desk).await,
        Some(Webhooks::Add(args)) => add(desk, args).await,
        Some(Webhooks::Test { name }) => test(desk, name).await,
        Some(Webhooks::Deliveries { name }) => deliveries(desk, name.as_deref()).await,
        Some(Webhooks::Rotate { name }) => rotate(desk, name).await,
        Some(Webhooks::Resume { name }) => resume(desk, name).await,
        Some(Webhooks::Remove { name }) => remove(desk, name).await,
    }
}

/// All sinks, with their versions.
async fn sinks(desk: &Desk) -> Result<Vec<(String, u64, Sink)>, Failure> {
    let sinks = desk.admin.config().await?.into_iter().filter_map(|view| {
        let Resource { name, what, .. } = view.resource?;
        let name = name.strip_prefix("sink/")?.to_owned();
        if let Some(What::Sink(sink)) = what { Some((name, view.version, sink)) } else { None }
    });
    Ok(sinks.collect())
}

async fn find(desk: &Desk, name: &str) -> Result<Option<Sink>, Failure> {
    Ok(sinks(desk).await?.into_iter().find(|(found, ..)| found == name).map(|(.., sink)| sink))
}

async fn list(desk: &Desk) -> Outcome {
    let limits = desk.admin.limits().await?;
    let row = |(name, version, sink): (String, u64, Sink)| {
        let select = sink.select.unwrap_or_default();
        let pause = limits.iter().find(|limit| limit.name == hooks::pause_of(&name));
        let why = pause.and_then(|pause| pause.limit.as_ref()).map(|limit| limit.why.clone());
        json!({
            "name": name,
            "url": sink.url,
            "events": sink.names,
            "queue": select.queue,
            "kind": select.kind,
            "key": select.key,
            "paused": why,
            "version": version,
        })
    };
    let rows: Vec<Value> = sinks(desk).await?.into_iter().map(row).collect();
    desk.rows(&["name", "url", "events", "queue", "kind", "key", "paused"], &rows)?;
    done()
}

async fn add(desk: &Desk, args: &AddArgs) -> Outcome {
    let is_new = find(desk, &args.name).await?.is_none();
    let made = (is_new && args.secret.is_none()).then(hooks::fresh_secret);
    let select = Selector {
        queue: args.queue.clone(),
        kind: args.kind.clone(),
        key: args.key.clone(),
        ..Selector::default()
    };
    let sink = Sink {
        url: args.url.clone(),
        secret: args.secret.clone().or_else(|| made.clone()).unwrap_or_default(),
        names: args.events.clone(),
        select: (select != Selector::default()).then_some(select),
    };
    store(desk, &args.name, sink, made).await
}

async fn rotate(desk: &Desk, name: &str) -> Outcome {
    let sink = find(desk, name).await?.ok_or_else(|| absent("webhook", name))?;
    let secret = hooks::fresh_secret();
    store(desk, name, Sink { secret: secret.clone(), ..sink }, Some(secret)).await
}

/// Stores a sink, and shows the secret that was made for it.
async fn store(desk: &Desk, name: &str, sink: Sink, made: Option<String>) -> Outcome {
    let resource = Resource { name: format!("sink/{name}"), if_version: 0, what: Some(What::Sink(sink)) };
    let stored = desk.admin.put(Put { set: vec![resource], ..Put::default() }).await?;
    let version = stored.results.first().map_or(0, |one| one.version);
    let text = match &made {
        Some(secret) => format!("{name} version {version}, secret {secret} (not shown again)"),
        None => format!("{name} version {version}"),
    };
    desk.item(&json!({ "name": name, "version": version, "secret": made }), &text)?;
    done()
}

async fn test(desk: &Desk, name: &str) -> Outcome {
    find(desk, name).await?.ok_or_else(|| absent("webhook", name))?;
    let job = NewJob::new(TEST_KIND).queue(QUEUE).key(name).attempts(1);
    let id = desk.client.enqueue(job).await?.id;
    let ended = tokio::time::timeout(TEST_PATIENCE, desk.client.wait([id])).await;
    let _how = ended
        .map_err(|_| Failure::failed(format!("nothing became of the test within 15 s; see job {id}")))??;
    let job = desk.admin.job(id).await?.ok_or_else(|| absent("delivery", &id.to_string()))?;
    if job.state() == windlass_client::proto::State::Completed {
        desk.item(
            &json!({ "name": name, "job": id.to_string(), "delivered": true }),
            &format!("{name} has it"),
        )?;
        return done();
    }
    let why = job.history.last().map(|attempt| attempt.message.clone());
    Err(Failure::failed(format!("{name} does not have it: {}", why.unwrap_or_default())))
}

async fn deliveries(desk: &Desk, name: Option<&str>) -> Outcome {
    let key = name.unwrap_or_default().to_owned();
    let select = Some(Selector { queue: QUEUE.to_owned(), key, ..Selector::default() });
    let fields = vec!["payload".to_owned()];
    let query =
        Query { what: Noun::Jobs.into(), select, fields, newest_first: true, limit: 100, ..Query::default() };
    let row = |job: windlass_client::proto::JobView| {
        let said: Value = serde_json::from_slice(&job.payload).unwrap_or_default();
        json!({
            "id": uuid::Uuid::from_slice(&job.id).unwrap_or_default().to_string(),
            "webhook": job.key,
            "event": said.get("event").cloned().unwrap_or_else(|| json!(job.kind)),
            "state": state(job.state()),
            "attempt": job.attempt,
            "created_at": instant(job.created_at_ms),
        })
    };
    let rows: Vec<Value> = desk.admin.query(query).await?.jobs.into_iter().map(row).collect();
    desk.rows(&["id", "webhook", "event", "state", "attempt", "created_at"], &rows)?;
    done()
}

async fn resume(desk: &Desk, name: &str) -> Outcome {
    find(desk, name).await?.ok_or_else(|| absent("webhook", name))?;
    desk.admin.remove_limit(&hooks::pause_of(name)).await?;
    desk.item(&json!({ "name": name, "paused": false }), &format!("{name} gets deliveries"))?;
    done()
}

async fn remove(desk: &Desk, name: &str) -> Outcome {
    find(desk, name).await?.ok_or_else(|| absent("webhook", name))?;
    desk.confirm(&format!("remove the webhook {name}"), 1)?;
    let remove = vec![format!("sink/{name}"), format!("limit/{}", hooks::pause_of(name))];
    desk.admin.put(Put { remove, ..Put::default() }).await?;
    desk.item(&json!({ "name": name, "removed": true }), &format!("{name} is removed"))?;
    done()
}
