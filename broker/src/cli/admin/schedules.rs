//! `windlass admin schedules`: what runs again and again, when next, and ticks that are run by hand.

use super::super::output::{self, Form, instant};
use super::super::{enqueue, exit};
use super::{AdminArgs, done, word};
use crate::calendar::{Almanac, Calendar};
use crate::clock;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use windlass_client::proto::schedule::{CatchUp, Overlap};
use windlass_client::proto::{JobSpec, Schedule, ScheduleView, enqueued};
use windlass_client::{Admin, Error, JobId};

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
    /// Remove it; its jobs stay
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

/// Runs the command.
pub(super) async fn run(
    admin: &Admin,
    args: &AdminArgs,
    what: Option<&Schedules>,
) -> Result<ExitCode, Error> {
    let form = args.output;
    let found = match what {
        None | Some(Schedules::List) => {
            list(form, &admin.schedules().await?);
            true
        }
        Some(Schedules::Show { name }) => show(admin, form, name).await?,
        Some(Schedules::Add(add)) => {
            let version = admin.set_schedule(&add.name, add.schedule(), 0).await?;
            done(form, &json!({"name": add.name, "version": version}), &format!("{} is set", add.name));
            true
        }
        Some(Schedules::Pause { name }) => steer(admin, form, name, true).await?,
        Some(Schedules::Resume { name }) => steer(admin, form, name, false).await?,
        Some(Schedules::Run { name }) => backfill(admin, form, name, &[clock::wall_ms()]).await?,
        Some(Schedules::Backfill { name, from, to, dry_run }) => {
            let Some(view) = admin.schedule(name).await? else { return Ok(absent(name)) };
            let ticks = match ticks(&view.schedule.unwrap_or_default(), *from, *to) {
                Ok(ticks) => ticks,
                Err(message) => return Ok(output::fail(exit::USAGE, &message)),
            };
            if *dry_run {
                done(form, &json!({"ticks": ticks.len()}), &format!("{} ticks", ticks.len()));
                return Ok(ExitCode::SUCCESS);
            }
            backfill(admin, form, name, &ticks).await?
        }
        Some(Schedules::Remove { name }) => {
            let question = format!("the schedule {name} will be removed.");
            if !args.yes && !output::confirm(&question) {
                return Ok(ExitCode::from(exit::REFUSED));
            }
            admin.remove_schedule(name).await?;
            done(form, &json!({"name": name, "removed": true}), &format!("{name} is removed"));
            true
        }
    };
    let name = what.map_or("", Schedules::name);
    Ok(if found { ExitCode::SUCCESS } else { absent(name) })
}

impl Schedules {
    fn name(&self) -> &str {
        match self {
            Self::List => "",
            Self::Add(add) => &add.name,
            Self::Show { name }
            | Self::Pause { name }
            | Self::Resume { name }
            | Self::Run { name }
            | Self::Backfill { name, .. }
            | Self::Remove { name } => name,
        }
    }
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

fn absent(name: &str) -> ExitCode {
    output::fail(exit::REFUSED, &format!("there is no schedule {name}"))
}

fn list(form: Form, views: &[ScheduleView]) {
    let rows: Vec<Value> = views.iter().map(row).collect();
    let columns = ["name", "when", "tz", "next", "last", "runs", "skipped", "failures", "paused"];
    output::rows(form, &columns, &rows);
}

fn row(view: &ScheduleView) -> Value {
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

async fn show(admin: &Admin, form: Form, name: &str) -> Result<bool, Error> {
    let Some(view) = admin.schedule(name).await? else { return Ok(false) };
    output::object(form, &row(&view));
    Ok(true)
}

async fn steer(admin: &Admin, form: Form, name: &str, paused: bool) -> Result<bool, Error> {
    if !admin.pause_schedule(name, paused).await? {
        return Ok(false);
    }
    let text = format!("{name} {}", if paused { "is paused" } else { "runs" });
    done(form, &json!({"name": name, "paused": paused}), &text);
    Ok(true)
}

async fn backfill(admin: &Admin, form: Form, name: &str, ticks: &[u64]) -> Result<bool, Error> {
    let Some(ones) = admin.run_ticks(name, ticks).await? else { return Ok(false) };
    let made = ones.iter().filter(|one| one.outcome() != enqueued::Outcome::Duplicate).count();
    let id = |one: &enqueued::One| JobId::from_slice(&one.id).map(|id| id.to_string()).unwrap_or_default();
    let ids: Vec<String> = ones.iter().take(10).map(id).collect();
    let text = match &ids[..] {
        [id] => id.clone(),
        _ => format!("{made} jobs made, {} were there", ones.len() - made),
    };
    done(form, &json!({"made": made, "duplicates": ones.len() - made, "sample": ids}), &text);
    Ok(true)
}

/// The ticks of a schedule in a span of time.
fn ticks(schedule: &Schedule, from: u64, to: u64) -> Result<Vec<u64>, String> {
    let calendar = Calendar {
        cron: schedule.cron.clone(),
        tz: schedule.tz.clone(),
        every_ms: schedule.every_ms,
        anchor_at: schedule.anchor_at_ms,
        start_at: schedule.start_at_ms,
        end_at: schedule.end_at_ms,
    };
    let almanac = Almanac::read(&calendar).map_err(|fault| fault.message)?;
    let ticks = almanac.first(from.saturating_sub(1), to, BACKFILL_MAX + 1);
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
