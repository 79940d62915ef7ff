//! Schedules: what runs again and again, when next, and ticks that are run by hand.

use windlass_proto::v1::query::What as Noun;
use windlass_proto::v1::resource::What;
use windlass_proto::v1::{Enqueue, JobSpec, Put, Query, Schedule, ScheduleView, enqueued};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use super::Admin;
use crate::error::{Error, Result};
use crate::link::Rules;

/// Ticks in one request.
const TICKS_PER_REQUEST: usize = 1_000;

impl Admin {
    /// All schedules, by name.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>> {
        self.every_row(Query { what: Noun::Schedules.into(), ..Query::default() }, |rows| rows.schedules)
            .await
    }

    /// One schedule; `None` if there is none of this name.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn schedule(&self, name: &str) -> Result<Option<ScheduleView>> {
        let query = Query { what: Noun::Schedules.into(), name: name.to_owned(), ..Query::default() };
        Ok(self.optional(query).await?.and_then(|rows| rows.schedules.into_iter().next()))
    }

    /// Sets a schedule; otherwise as [`Admin::set_queue`].
    ///
    /// # Errors
    /// As [`Admin::set_queue`]; [`Refused`](crate::ErrorKind::Refused) with `Invalid` if it would never run.
    pub async fn set_schedule(&self, name: &str, schedule: Schedule, if_version: u64) -> Result<u64> {
        self.set(format!("schedule/{name}"), if_version, What::Schedule(schedule)).await
    }

    /// Removes a schedule; its jobs stay. One that is not there is no fault.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn remove_schedule(&self, name: &str) -> Result<()> {
        self.put(Put { remove: vec![format!("schedule/{name}")], ..Put::default() }).await.map(drop)
    }

    /// Pauses a schedule, or lets it go on from now; `false` if there is none of this name.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused) with `VersionConflict` if somebody changed it meanwhile.
    pub async fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool> {
        let Some(view) = self.schedule(name).await? else { return Ok(false) };
        let schedule = Schedule { paused, ..view.schedule.unwrap_or_default() };
        self.set_schedule(name, schedule, view.version).await?;
        Ok(true)
    }

    /// Runs ticks of a schedule by hand, whatever its overlap says; instants in milliseconds since 1970.
    /// Each tick is one job, however often and by whomever it is asked for: one that exists already is a
    /// duplicate. `None` if there is no schedule of this name.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn run_ticks(&self, name: &str, ticks: &[u64]) -> Result<Option<Vec<enqueued::One>>> {
        let Some(view) = self.schedule(name).await? else { return Ok(None) };
        let template = view.schedule.and_then(|schedule| schedule.job).unwrap_or_default();
        let mut results = Vec::with_capacity(ticks.len());
        for ticks in ticks.chunks(TICKS_PER_REQUEST) {
            let jobs = ticks.iter().map(|tick| of_tick(&template, name, *tick)).collect();
            // The broker makes the ids from the ticks, so that sending it twice changes nothing.
            let request = Request::Enqueue(Enqueue { jobs, ..Enqueue::default() });
            let Body::Enqueued(enqueued) = self.ask(request, Rules::RESEND).await? else {
                return Err(Error::wrong_answer("Enqueued"));
            };
            results.extend(enqueued.results);
        }
        Ok(Some(results))
    }
}

/// The job of a tick, as the protocol wants it named.
fn of_tick(template: &JobSpec, schedule: &str, tick: u64) -> JobSpec {
    let mut job = template.clone();
    job.headers.insert("schedule".to_owned(), schedule.to_owned());
    job.headers.insert("schedule-tick-ms".to_owned(), tick.to_string());
    job
}
