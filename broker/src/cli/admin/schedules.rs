//! `windlass admin schedules`: what runs again and again, when next, and ticks that are run by hand.

use super::super::enqueue;
use super::super::failure::{Failure, Outcome};
use super::super::output::{self, instant};
use super::{Desk, absent, done, word};
use crate::calendar::{Almanac, Calendar};
use crate::clock;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::JobId;
use windlass_client::proto::schedule::{CatchUp, Overlap};
use windlass_client::proto::{JobSpec, Schedule, ScheduleView, enqueued};

/// Ticks of one backfill.
const BACKFILL_MAX: usize = 10_000;

#[derive(Subcommand)]
pub(super) enum Schedules {
    /// All schedules
    List,
    /// One schedule in full
    Show {
        /// Its name
        name: String,
    },
    /// Set a schedule
    Add(Box<AddArgs>),
    /// No ticks until it is resumed; none are made up for
    Pause {
        /// Its name
        name: String,
    },
    /// Ticks again, from now on
    Resume {
        /// Its name
        name: String,
    },
    /// Run it once, now, beside its ticks
    Run {
        /// Its name
        name: String,
    },
    /// Make the jobs of its ticks in a span of time; those that exist stay as they are
    Backfill {
        /// Its name
        name: String,
        /// First instant, like 2026-11-01T00:00:00Z
        #[arg(long, value_parser = moment)]
        from: u64,
        /// Last instant
        #[arg(long, value_parser = moment)]
        to: u64,
        /// Only tell how many
        #[arg(long)]
        dry_run: bool,
    },
    /// When a cron expression ticks next
    Next {
        /// Of five or six fields, like '30 2 * * MON-FRI'
        cron: String,
        /// The time zone, like Europe/Berlin
        #[arg(long, default_value = "")]
        tz: String,
        /// Ticks to tell
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Remove it; its jobs stay
    #[command(alias = "delete")]
    Remove {
        /// Its name
        name: String,
    },
}

/// What a new schedule says. What is not among these is declared in a file: see `admin apply`.
#[derive(Args)]
pub(super) struct AddArgs {
    /// Its name
    name: String,
    /// A cron expression of five or six fields, like '30 2 * * MON-FRI'
    #[arg(long, conflicts_with = "every", required_unless_present = "every")]
    cron: Option<String>,
    /// The time zone of the expression, like Europe/Berlin
    #[arg(long, default_value = "", requires = "cron")]
    tz: String,
    /// An interval, like 15m
    #[arg(long, value_parser = enqueue::duration)]
    every: Option<Duration>,
    /// The kind of its jobs
    #[arg(long)]
    kind: String,
    /// Their queue
    #[arg(long, default_value = "")]
    queue: String,
    /// Their payload
    #[arg(long, default_value = "")]
    payload: String,
    /// When the last job has not ended: skip, buffer_one, buffer_all, cancel_running, allow
    #[arg(long, value_parser = overlap, default_value = "skip")]
    overlap: Overlap,
    /// After the broker was down: last, none, all
    #[arg(long, value_parser = catch_up, default_value = "last")]
    catch_up: CatchUp,
    /// Each tick is late by a time up to this
    #[arg(long, value_parser = enqueue::duration, default_value = "0s")]
    jitter: Duration,
    /// Pause it after so many dead jobs in a row
    #[arg(long, default_value_t = 0)]
    pause_after_failures: u32,
}

impl Schedules {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List | Self::Show { .. } | Self::Next { .. } => true,
            Self::Add(_)
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Run { .. }
            | Self::Backfill { .. }
            | Self::Remove { .. } => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: Option<&Schedules>) -> Outcome {
    match what {
        None | Some(Schedules::List) => list(desk).await,
        Some(Schedules::Show { name }) => {
            desk.object(&row(&one(desk, name).await?))?;
            done()
        }
        Some(Schedules::Next { cron, tz, limit }) => next(desk, cron, tz, *limit),
        Some(Schedules::Add(add)) => {
            let version = desk.admin.set_schedule(&add.name, add.schedule(), 0).await?;
            let value = json!({"name": add.name, "version": version});
            desk.done(&value, &format!("{} is set", add.name))?;
            done()
        }
        Some(Schedules::Pause { name }) => steer(desk, name, true).await,
        Some(Schedules::Resume { name }) => steer(desk, name, false).await,
        Some(Schedules::Run { name }) => run_ticks(desk, name, &[clock::wall_ms()]).await,
        Some(Schedules::Backfill { name, from, to, dry_run }) => {
            let schedule = one(desk, name).await?.schedule.unwrap_or_default();
            let ticks = ticks(&schedule, *from, *to).map_err(Failure::usage)?;
            if *dry_run {
                desk.done(&json!({"ticks": ticks.len()}), &format!("{} ticks", ticks.len()))?;
                return done();
            }
            run_ticks(desk, name, &ticks).await
        }
        Some(Schedules::Remove { name }) => {
            one(desk, name).await?;
            desk.confirm(&format!("About to remove the schedule {name} on {}.", desk.place()), 1)?;
            desk.admin.remove_schedule(name).await?;
            desk.done(&json!({"name": name, "removed": true}), &format!("{name} is removed"))?;
            done()
        }
    }
}

/// The schedule of a name.
async fn one(desk: &Desk, name: &str) -> Result<ScheduleView, Failure> {
    desk.admin.schedule(name).await?.ok_or_else(|| absent("schedule", name))
}

/// The ticks of an expression from now on, read by this program as the broker would.
fn next(desk: &Desk, cron: &str, tz: &str, limit: u32) -> Outcome {
    let schedule = Schedule { cron: cron.to_owned(), tz: tz.to_owned(), ..Schedule::default() };
    let almanac = almanac(&schedule).map_err(Failure::usage)?;
    let ticks = almanac.first(desk.now_ms(), u64::MAX, limit as usize);
    let rows: Vec<Value> = ticks.iter().map(|at_ms| json!({"at": instant(*at_ms)})).collect();
    if desk.is_for_people() {
        for row in &rows {
            output::line(row["at"].as_str().unwrap_or_default());
        }
        return done();
    }
    desk.rows(&["at"], &rows)?;
    done()
}

impl AddArgs {
    fn schedule(&self) -> Schedule {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let job = JobSpec {
            kind: self.kind.clone(),
            queue: self.queue.clone(),
            payload: self.payload.clone().into(),
            ..JobSpec::default()
        };
        Schedule {
            cron: self.cron.clone().unwrap_or_default(),
            tz: self.tz.clone(),
            every_ms: self.every.map_or(0, ms),
            jitter_ms: ms(self.jitter),
            overlap: self.overlap.into(),
            catch_up: self.catch_up.into(),
            pause_after_failures: self.pause_after_failures,
            job: Some(job),
            ..Schedule::default()
        }
    }
}

async fn list(desk: &Desk) -> Outcome {
    let rows: Vec<Value> = desk.admin.schedules().await?.iter().map(row).collect();
    let columns = ["name", "when", "tz", "next", "last", "runs", "skipped", "failures", "paused"];
    desk.rows(&columns, &rows)?;
    done()
}

/// A schedule as a row.
pub(super) fn row(view: &ScheduleView) -> Value {
    let schedule = view.schedule.clone().unwrap_or_default();
    let when = match schedule.cron.as_str() {
        "" => format!("every {} ms", schedule.every_ms),
        cron => cron.to_owned(),
    };
    json!({
        "name": view.name,
        "version": view.version,
        "when": when,
        "tz": schedule.tz,
        "next": instant(view.next_at_ms),
        "last": instant(view.last_at_ms),
        "last_job": JobId::from_slice(&view.last_job).map(|id| id.to_string()).unwrap_or_default(),
        "runs": view.runs_total,
        "skipped": view.skipped_total,
        "failures": view.failures,
        "paused": schedule.paused,
        "overlap": word(schedule.overlap().as_str_name(), "OVERLAP_"),
        "catch_up": word(schedule.catch_up().as_str_name(), "CATCH_UP_"),
        "kind": schedule.job.map(|job| job.kind).unwrap_or_default(),
    })
}

async fn steer(desk: &Desk, name: &str, paused: bool) -> Outcome {
    if !desk.admin.pause_schedule(name, paused).await? {
        return Err(absent("schedule", name));
    }
    let text = format!("{name} {}", if paused { "is paused" } else { "runs" });
    desk.done(&json!({"name": name, "paused": paused}), &text)?;
    done()
}

async fn run_ticks(desk: &Desk, name: &str, ticks: &[u64]) -> Outcome {
    let ones = desk.admin.run_ticks(name, ticks).await?.ok_or_else(|| absent("schedule", name))?;
    let made = ones.iter().filter(|one| one.outcome() != enqueued::Outcome::Duplicate).count();
    let id = |one: &enqueued::One| JobId::from_slice(&one.id).map(|id| id.to_string()).unwrap_or_default();
    let ids: Vec<String> = ones.iter().take(10).map(id).collect();
    let text = match &ids[..] {
        [id] => id.clone(),
        _ => format!("{made} jobs made, {} were there", ones.len() - made),
    };
    desk.done(&json!({"made": made, "duplicates": ones.len() - made, "sample": ids}), &text)?;
    done()
}

/// A schedule's calendar.
fn almanac(schedule: &Schedule) -> Result<Almanac, String> {
    let calendar = Calendar {
        cron: schedule.cron.clone(),
        tz: schedule.tz.clone(),
        every_ms: schedule.every_ms,
        anchor_at: schedule.anchor_at_ms,
        start_at: schedule.start_at_ms,
        end_at: schedule.end_at_ms,
    };
    Almanac::read(&calendar).map_err(|fault| fault.message)
}

/// The ticks of a schedule in a span of time.
fn ticks(schedule: &Schedule, from: u64, to: u64) -> Result<Vec<u64>, String> {
    let ticks = almanac(schedule)?.first(from.saturating_sub(1), to, BACKFILL_MAX + 1);
    if ticks.len() > BACKFILL_MAX {
        return Err(format!("there are more than {BACKFILL_MAX} ticks; name a shorter span"));
    }
    Ok(ticks)
}

fn moment(text: &str) -> Result<u64, String> {
    let at: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    u64::try_from(at.as_millisecond()).map_err(|_| "this is before 1970".to_owned())
}

fn overlap(text: &str) -> Result<Overlap, String> {
    let name = format!("OVERLAP_{}", text.to_uppercase());
    Overlap::from_str_name(&name)
        .ok_or_else(|| "skip, buffer_one, buffer_all, cancel_running or allow".into())
}

fn catch_up(text: &str) -> Result<CatchUp, String> {
    let name = format!("CATCH_UP_{}", text.to_uppercase());
    CatchUp::from_str_name(&name).ok_or_else(|| "last, none or all".into())
}
