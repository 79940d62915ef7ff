//! `windlass admin logs`: what the handlers of a job have written, and what they go on to write.

use super::super::failure::{Failure, Outcome};
use super::super::output::instant;
use super::{Desk, done};
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::proto::query::What;
use windlass_client::proto::{LogView, Query, Selector, State};
use windlass_client::{Admin, Error, JobId};

/// Lines of one page.
const PAGE: u32 = 1_000;
/// Time between two looks at the log of a job that goes on.
const EVERY: Duration = Duration::from_millis(500);
/// Severities in the words of syslog.
const LEVELS: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

#[derive(Args)]
pub(super) struct LogsArgs {
    /// The job
    id: JobId,
    /// Go on until the job has ended
    #[arg(long, short)]
    follow: bool,
}

/// How far the log was printed: the page, and lines of it.
#[derive(Default)]
struct Place {
    cursor: Bytes,
    lines: usize,
}

/// Prints the log, oldest line first.
pub(super) async fn run(desk: &Desk, args: &LogsArgs) -> Outcome {
    let mut place = Place::default();
    loop {
        // Looked at before the log is read, so that the last lines are seen.
        let goes_on = args.follow && is_open(&desk.admin, args.id).await?;
        print(desk, args.id, &mut place).await?;
        if !goes_on {
            return done();
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn is_open(admin: &Admin, id: JobId) -> Result<bool, Error> {
    let job = admin.job(id).await?;
    Ok(job.is_some_and(|job| job.finished_at_ms == 0 && job.state() != State::Unspecified))
}

async fn print(desk: &Desk, id: JobId, place: &mut Place) -> Result<(), Failure> {
    loop {
        let select = Selector { ids: vec![id.to_bytes()], ..Selector::default() };
        let query = Query {
            what: What::Logs.into(),
            select: Some(select),
            limit: PAGE,
            cursor: place.cursor.clone(),
            ..Query::default()
        };
        let rows = desk.admin.query(query).await?;
        for row in rows.logs.iter().skip(place.lines) {
            line(desk, row)?;
        }
        if rows.cursor.is_empty() {
            place.lines = rows.logs.len().max(place.lines);
            return Ok(());
        }
        *place = Place { cursor: rows.cursor, lines: 0 };
    }
}

fn line(desk: &Desk, row: &LogView) -> Result<(), Failure> {
    let written = row.line.clone().unwrap_or_default();
    let level = usize::try_from(written.level).ok().and_then(|level| LEVELS.get(level).copied());
    let (at, level) = (instant(written.at_ms), level.unwrap_or("?"));
    let value = json!({ "at": at, "attempt": row.attempt, "level": level, "text": written.text });
    let at = if let Value::String(at) = at { at } else { String::new() };
    desk.item(&value, &format!("{at}  {}  {level}  {}", row.attempt, written.text))
}
