//! `windlass admin workers`: who is there, and a word to all of them, or to those with a label.

use super::super::enqueue::duration;
use super::super::failure::{Failure, Outcome};
use super::super::output::{count, instant};
use super::{Desk, absent, done, word};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::proto::signal::Type as Order;
use windlass_client::proto::{Change, Selector, SessionView, Tell, change::To};
use windlass_client::{Admin, Error, JobId};

/// What is done with workers.
#[derive(Subcommand)]
pub(super) enum Workers {
    /// All sessions that are alive
    List,
    /// One of them in full
    Show {
        /// Its id
        id: JobId,
    },
    /// Let them take no more jobs, and finish those at hand
    Quiet(Chosen),
    /// Let them take jobs again; calls off a stop that has not come yet
    Resume(Chosen),
    /// Let them finish what they run and end
    #[command(alias = "terminate")]
    Stop(Chosen),
    /// Let them write what they are doing to their logs
    Dump(Chosen),
}

/// Which of them, and over how long.
#[derive(Args)]
pub(super) struct Chosen {
    /// Ids of sessions, as `workers` shows them
    ids: Vec<JobId>,
    /// Those with this label, like version=1.2; with several of them, those that have all
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// One after the other over this time, like 10m
    #[arg(long, value_parser = duration)]
    within: Option<Duration>,
    /// At most so many
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    max: u64,
    /// Say how many there are, and tell them nothing
    #[arg(long)]
    dry_run: bool,
    /// For those who ask later
    #[arg(long, default_value = "")]
    reason: String,
}

impl Workers {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List | Self::Show { .. } => true,
            Self::Quiet(_) | Self::Resume(_) | Self::Stop(_) | Self::Dump(_) => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: Option<&Workers>) -> Outcome {
    match what {
        None | Some(Workers::List) => list(desk).await,
        Some(Workers::Show { id }) => show(desk, *id).await,
        Some(Workers::Quiet(chosen)) => tell(desk, chosen, Order::Quiet).await,
        Some(Workers::Resume(chosen)) => tell(desk, chosen, Order::Resume).await,
        Some(Workers::Stop(chosen)) => tell(desk, chosen, Order::Terminate).await,
        Some(Workers::Dump(chosen)) => tell(desk, chosen, Order::Dump).await,
    }
}

async fn tell(desk: &Desk, chosen: &Chosen, order: Order) -> Outcome {
    if chosen.ids.is_empty() && chosen.label.is_empty() && !chosen.all {
        return Err(Failure::usage("say which workers: by ids, by --label, or with --all"));
    }
    if order == Order::Terminate && !chosen.dry_run {
        let (matched, _) = send(&desk.admin, chosen, order, true).await?;
        if matched > 0 {
            desk.confirm(
                &format!("About to end {} on {}.", count(matched, "worker"), desk.place()),
                matched,
            )?;
        }
    }
    let (matched, told) = send(&desk.admin, chosen, order, chosen.dry_run).await?;
    if matched == 0 && !chosen.ids.is_empty() {
        return Err(Failure::not_found("no such worker"));
    }
    let said = word(order.as_str_name(), "TYPE_");
    let would = if chosen.dry_run { "would be" } else { "are" };
    let value = json!({"told": said, "matched": matched, "changed": told});
    desk.done(&value, &format!("{told} of {matched} found {would} told {said}"))?;
    done()
}

/// One request for each id, or one for all that have the labels.
async fn send(admin: &Admin, chosen: &Chosen, order: Order, dry_run: bool) -> Result<(u64, u64), Error> {
    let within = chosen.within.unwrap_or_default();
    let tell = Tell {
        r#type: order.into(),
        labels: chosen.label.iter().cloned().collect(),
        within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
    };
    let by_id = |id: &JobId| Selector { session: id.to_bytes(), ..Selector::default() };
    let mut selects: Vec<Selector> = chosen.ids.iter().map(by_id).collect();
    if selects.is_empty() {
        selects.push(Selector { all: chosen.all, ..Selector::default() });
    }
    let (mut matched, mut told) = (0, 0);
    for select in selects {
        let changed = admin
            .change(Change {
                select: Some(select),
                max: chosen.max,
                dry_run,
                reason: chosen.reason.clone(),
                to: Some(To::Tell(tell.clone())),
                ..Change::default()
            })
            .await?;
        matched += changed.matched;
        told += changed.changed;
    }
    Ok((matched, told))
}

async fn list(desk: &Desk) -> Outcome {
    let rows: Vec<Value> = others(desk).await?.iter().map(row).collect();
    let columns =
        ["id", "client", "host", "pid", "labels", "phase", "queues", "slots", "leases", "silent_ms", "since"];
    desk.rows(&columns, &rows)?;
    done()
}

async fn show(desk: &Desk, id: JobId) -> Outcome {
    let found = others(desk).await?.into_iter().find(|session| session.id == id.to_bytes());
    desk.object(&row(&found.ok_or_else(|| absent("worker", &id.to_string()))?))?;
    done()
}

/// All sessions but that of this command.
pub(super) async fn others(desk: &Desk) -> Result<Vec<SessionView>, Error> {
    let mut sessions = desk.admin.workers().await?;
    let this_command = desk.client.welcome().session.clone();
    sessions.retain(|session| session.id != this_command);
    Ok(sessions)
}

/// A session as a row.
pub(super) fn row(session: &SessionView) -> Value {
    let labels: Vec<String> = session.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "id": JobId::from_slice(&session.id).map(|id| id.to_string()).unwrap_or_default(),
        "client": session.client,
        "host": session.host,
        "pid": session.pid,
        "labels": labels.join(","),
        "phase": word(session.phase().as_str_name(), "PHASE_").replace("unspecified", ""),
        "queues": session.queues.join(","),
        "kinds": session.kinds.join(","),
        "streams": session.streams,
        "slots": session.slots,
        "busy": session.busy,
        "leases": session.leases,
        "connections": session.connections,
        "silent_ms": session.last_sign_ms_ago,
        "rss_bytes": session.rss_bytes,
        "loop_lag_ms": session.loop_lag_ms,
        "since": instant(session.since_at_ms),
    })
}

/// `name=value`.
fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is no label; write it like version=1.2"))
}
