//! `windlass admin queues`: how full they are, which of them may run, and how they are emptied.

use super::super::enqueue::duration;
use super::super::exit::Exit;
use super::super::failure::{Failure, Outcome};
use super::super::output::{self, Form};
use super::bulk::{self, Chosen, Simple};
use super::{Desk, absent, apply, done};
use crate::json::{Queue, Scale};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use windlass_client::proto::change::To;
use windlass_client::proto::{Delete, Limit, Put, QueueView, Selector, State};
use windlass_client::{Error, ErrorKind, proto::Code};

/// Time between two looks at a queue that is drained.
const EVERY: Duration = Duration::from_millis(250);
/// The states of jobs that wait.
const WAITING: [State; 4] = [State::Ready, State::Scheduled, State::Held, State::Blocked];

#[derive(Subcommand)]
pub(super) enum Queues {
    /// All queues with their counts
    List,
    /// One queue in full
    Show {
        /// Its name
        queue: String,
    },
    /// What an autoscaler needs to know of a queue
    Scale {
        /// Its name
        queue: String,
        /// In which time the backlog is to be cleared
        #[arg(long, value_parser = duration, default_value = "5m", value_name = "TIME")]
        clear_in: Duration,
    },
    /// Hand out no more jobs of queues
    Pause {
        /// Their names
        #[arg(required = true)]
        queues: Vec<String>,
        /// Shown to whoever wonders
        #[arg(long, alias = "reason", default_value = "")]
        why: String,
        /// Resume by itself after this time, like 30m
        #[arg(long = "for", value_parser = duration, value_name = "TIME")]
        lasting: Option<Duration>,
    },
    /// Hand out jobs again
    Resume {
        /// Their names
        #[arg(required = true)]
        queues: Vec<String>,
    },
    /// Pause a queue and wait until nothing of it runs
    Drain(DrainArgs),
    /// Remove the jobs that wait in a queue; what runs and what has ended stays
    Purge {
        /// Its name
        queue: String,
        #[command(flatten)]
        which: Simple,
    },
    /// Change how a queue behaves, like `policy.max_attempts=5`; nothing behind the = takes it back
    Set {
        /// Its name
        queue: String,
        #[command(flatten)]
        fields: apply::SetArgs,
    },
    /// Remove a queue with all its jobs, its configuration and its pause
    Delete {
        /// Its name
        queue: String,
        #[command(flatten)]
        which: Simple,
    },
}

/// Which queue, and how long.
#[derive(Args)]
pub(super) struct DrainArgs {
    /// Its name
    queue: String,
    /// Wait at most this long [default: for ever]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    within: Option<Duration>,
    /// Shown to whoever wonders
    #[arg(long, alias = "reason", default_value = "it is drained")]
    why: String,
}

impl Queues {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List | Self::Show { .. } | Self::Scale { .. } => true,
            Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Drain(_)
            | Self::Purge { .. }
            | Self::Set { .. }
            | Self::Delete { .. } => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: Option<&Queues>) -> Outcome {
    match what {
        None | Some(Queues::List) => list(desk).await,
        Some(Queues::Show { queue }) => {
            desk.object(&row(&one(desk, queue).await?))?;
            done()
        }
        Some(Queues::Scale { queue, clear_in }) => {
            let oldest_ms = one(desk, queue).await?.oldest_ready_ms;
            let window_ms = u64::try_from(clear_in.as_millis()).unwrap_or(u64::MAX);
            let figures = desk.admin.scale(queue, window_ms).await?;
            desk.object(&output::row(Scale::of(figures, oldest_ms)))?;
            done()
        }
        Some(Queues::Pause { queues, why, lasting }) => pause(desk, queues, why, *lasting).await,
        Some(Queues::Resume { queues }) => {
            for queue in queues {
                desk.admin.resume(queue).await?;
            }
            steered(desk, queues, false)
        }
        Some(Queues::Drain(args)) => drain(desk, args).await,
        Some(Queues::Purge { queue, which }) => {
            one(desk, queue).await?;
            let states = WAITING.map(|state| state.into()).to_vec();
            let select = Selector { queue: queue.clone(), states, ..which.selector() };
            bulk::make(desk, &Chosen::from(which), select, To::Delete(Delete {})).await
        }
        Some(Queues::Set { queue, fields }) => apply::set(desk, "queue", queue, fields).await,
        Some(Queues::Delete { queue, which }) => delete(desk, queue, which).await,
    }
}

async fn pause(desk: &Desk, queues: &[String], why: &str, lasting: Option<Duration>) -> Outcome {
    for queue in queues {
        let Some(lasting) = lasting else {
            desk.admin.pause(queue, why).await?;
            continue;
        };
        let lasting_ms = u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX);
        let limit = Limit {
            queue: queue.clone(),
            concurrency: Some(0),
            why: why.to_owned(),
            until_at_ms: desk.now_ms().saturating_add(lasting_ms),
            ..Limit::default()
        };
        desk.admin.set_limit(&format!("pause:queue/{queue}"), limit, 0).await?;
    }
    steered(desk, queues, true)
}

/// What was done to one queue, or to each of several.
fn steered(desk: &Desk, queues: &[String], paused: bool) -> Outcome {
    let value = |queue: &String| json!({"queue": queue, "paused": paused});
    let text = |queue: &String| format!("{queue} {}", if paused { "is paused" } else { "runs" });
    if let [queue] = queues {
        desk.done(&value(queue), &text(queue))?;
    } else if desk.form() == Form::Table {
        for queue in queues {
            desk.done(&value(queue), &text(queue))?;
        }
    } else {
        desk.rows(&["queue", "paused"], &queues.iter().map(value).collect::<Vec<_>>())?;
    }
    done()
}

async fn drain(desk: &Desk, args: &DrainArgs) -> Outcome {
    one(desk, &args.queue).await?;
    desk.admin.pause(&args.queue, &args.why).await?;
    let began = Instant::now();
    loop {
        let view = one(desk, &args.queue).await?;
        if view.leased == 0 {
            let value = json!({"queue": args.queue, "paused": true, "leased": 0, "ready": view.ready});
            desk.done(&value, &format!("{} is paused, and nothing of it runs", args.queue))?;
            desk.hint(&format!("let it run again: windlass admin queue resume {}", args.queue));
            return done();
        }
        if args.within.is_some_and(|within| began.elapsed() >= within) {
            let message = format!("{} is paused, and {} of its jobs still run", args.queue, view.leased);
            return Err(Failure::new(Exit::TimedOut, message));
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn delete(desk: &Desk, queue: &str, which: &Simple) -> Outcome {
    one(desk, queue).await?;
    let select = Selector { queue: queue.to_owned(), ..which.selector() };
    let outcome = bulk::make(desk, &Chosen::from(which), select, To::Delete(Delete {})).await?;
    if which.dry_run {
        return Ok(outcome);
    }
    for name in [format!("queue/{queue}"), format!("limit/pause:queue/{queue}")] {
        let put = Put { remove: vec![name], reason: which.reason.clone(), ..Put::default() };
        match desk.admin.put(put).await {
            Err(error) if error.kind() != ErrorKind::Refused(Code::NotFound) => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(outcome)
}

/// The queue of a name.
pub(super) async fn one(desk: &Desk, name: &str) -> Result<QueueView, Failure> {
    let found: Result<_, Error> = desk.admin.queue(name).await;
    found?.ok_or_else(|| absent("queue", name))
}

async fn list(desk: &Desk) -> Outcome {
    let rows: Vec<Value> = desk.admin.queues().await?.iter().map(row).collect();
    let columns = [
        "name",
        "ready",
        "scheduled",
        "leased",
        "completed",
        "dead",
        "completed_total",
        "dead_total",
        "paused",
    ];
    desk.rows(&columns, &rows)?;
    if rows.is_empty() {
        desk.hint("a queue exists as soon as a job names it: windlass enqueue KIND --queue NAME");
    }
    done()
}

/// A queue as a row.
pub(super) fn row(queue: &QueueView) -> Value {
    output::row(Queue::from(queue.clone()))
}
