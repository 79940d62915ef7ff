//! Reading what the screen shows: of the open tab, and of the line over all of them.

use super::super::survey::{Survey, Totals};
use super::super::{Desk, errors, jobs, schedules, server, status, workers};
use super::screen::{Screen, Tab};
use crate::cli::findings::Finding;
use crate::cli::output::{grouped, length, size};
use serde_json::Value;
use std::time::Instant;
use windlass_client::Error;
use windlass_client::proto::Selector;

/// Jobs of their tab.
const JOBS: u32 = 200;

/// Reads the open tab.
pub(super) async fn tab(desk: &Desk, screen: &mut Screen) -> Result<(), Error> {
    let survey = Survey::take(desk).await?;
    head(screen, &survey);
    fill(desk, screen, &survey, screen.tab).await
}

/// Reads all tabs.
pub(super) async fn everything(desk: &Desk, screen: &mut Screen) -> Result<(), Error> {
    let survey = Survey::take(desk).await?;
    head(screen, &survey);
    for tab in Tab::ALL {
        fill(desk, screen, &survey, tab).await?;
    }
    Ok(())
}

/// The line over the tabs, and a second more of history.
fn head(screen: &mut Screen, survey: &Survey) {
    let server = &survey.server;
    let totals = survey.totals();
    let now = Instant::now();
    let rates = match screen.last.replace((now, totals)) {
        Some((then, before)) => totals.rates(before, now - then),
        None => Totals::default(),
    };
    screen.note(rates.enqueued, rates.completed);
    screen.now_ms = server.server_at_ms;
    screen.server = server::row(server);
    screen.head = format!(
        "windlass {}  {}  up {}  in {}/s  out {}/s  fail {} %  fsync p99 {} ms  disk {} free  on {}",
        server.version,
        if server.draining { "draining" } else { "ready" },
        length(server.uptime_ms),
        grouped(rates.enqueued),
        grouped(rates.completed),
        rates.failing() / 10,
        server.fsync_p99_us / 1_000,
        size(server.disk_free_bytes),
        screen.place,
    );
}

async fn fill(desk: &Desk, screen: &mut Screen, survey: &Survey, tab: Tab) -> Result<(), Error> {
    let rows: Vec<Value> = match tab {
        Tab::Overview => survey.findings(desk.has_test_clock()).iter().map(Finding::row).collect(),
        Tab::Queues => {
            let problems = survey.findings(desk.has_test_clock());
            survey.queues.iter().map(|queue| status::row(survey, queue, None, &problems)).collect()
        }
        Tab::Jobs => {
            let filter = screen.view_of(tab).filter.clone();
            let select = Selector { all: filter.is_empty(), filter, ..Selector::default() };
            let page = desk.admin.jobs(select).page_size(JOBS).newest_first().page().await?;
            page.jobs.into_iter().map(jobs::job_row).collect()
        }
        Tab::Workers => survey.workers.iter().map(workers::row).collect(),
        Tab::Errors => {
            let groups = desk.admin.errors(screen.window_ms(), Selector::default()).await?;
            groups.iter().map(errors::row).collect()
        }
        Tab::Schedules => survey.schedules.iter().map(schedules::row).collect(),
    };
    screen.fill(tab, rows);
    Ok(())
}
