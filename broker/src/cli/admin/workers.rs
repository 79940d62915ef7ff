//! `windlass admin workers`: who is there, and a word to all of them, or to those with a label.

use super::super::enqueue::duration;
use super::super::exit;
use super::super::output::{self, Form, instant};
use super::{AdminArgs, done, word};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use windlass_client::proto::signal::Type as Order;
use windlass_client::proto::{Change, Selector, Tell, change::To};
use windlass_client::{Admin, Client, Error, JobId};

/// What is done with workers.
#[derive(Subcommand)]
pub(super) enum Workers {
    /// All sessions that are alive
    List,
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

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    args: &AdminArgs,
    what: Option<&Workers>,
) -> Result<ExitCode, Error> {
    let admin = &client.admin();
    match what {
        None | Some(Workers::List) => {
            list(client, args.output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Workers::Quiet(chosen)) => tell(admin, args, chosen, Order::Quiet).await,
        Some(Workers::Resume(chosen)) => tell(admin, args, chosen, Order::Resume).await,
        Some(Workers::Stop(chosen)) => tell(admin, args, chosen, Order::Terminate).await,
        Some(Workers::Dump(chosen)) => tell(admin, args, chosen, Order::Dump).await,
    }
}

async fn tell(admin: &Admin, args: &AdminArgs, chosen: &Chosen, order: Order) -> Result<ExitCode, Error> {
    if chosen.ids.is_empty() && chosen.label.is_empty() && !chosen.all {
        return Ok(output::fail(exit::USAGE, "say which workers: by ids, by --label, or with --all"));
    }
    if order == Order::Terminate && !args.yes && !chosen.dry_run {
        let (matched, _) = send(admin, chosen, order, true).await?;
        if !output::confirm(&format!("{matched} worker(s) will end.")) {
            return Ok(ExitCode::from(exit::REFUSED));
        }
    }
    let (matched, told) = send(admin, chosen, order, chosen.dry_run).await?;
    let said = word(order.as_str_name(), "TYPE_");
    let would = if chosen.dry_run { "would be" } else { "are" };
    let value = json!({"told": said, "matched": matched, "changed": told});
    done(args.output, &value, &format!("{told} of {matched} found {would} told {said}"));
    if matched == 0 && !chosen.ids.is_empty() {
        return Ok(output::fail(exit::REFUSED, "no such worker"));
    }
    Ok(ExitCode::SUCCESS)
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

async fn list(client: &Client, form: Form) -> Result<(), Error> {
    let this_command = client.welcome().session.clone();
    let rows: Vec<Value> = client
        .admin()
        .workers()
        .await?
        .iter()
        .filter(|session| session.id != this_command)
        .map(|session| {
            let labels: Vec<String> =
                session.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
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
        })
        .collect();
    let columns =
        ["id", "client", "host", "pid", "labels", "phase", "queues", "slots", "leases", "silent_ms", "since"];
    output::rows(form, &columns, &rows);
    Ok(())
}

/// `name=value`.
fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is no label; write it like version=1.2"))
}
