//! One change of all jobs that are named or chosen: asked about, made, and followed to its end.

use super::super::exit::Exit;
use super::super::failure::{Failure, Outcome};
use super::super::output::{self, Form, grouped, length};
use super::jobs::Which;
use super::{Desk, done, operations};
use clap::Args;
use serde_json::json;
use std::time::Duration;
use windlass_client::proto::change::To;
use windlass_client::proto::{Change, Selector, State};
use windlass_client::{Changed, Error, JobId};

/// Time between two looks at a change that goes on.
const EVERY: Duration = Duration::from_millis(250);
/// Jobs that a dry run shows.
const SAMPLES: usize = 5;

/// Which jobs, and how fast.
#[derive(Args, Default)]
pub(super) struct Chosen {
    /// Their ids
    ids: Vec<JobId>,
    #[command(flatten)]
    which: Which,
    /// All jobs that the rest does not exclude
    #[arg(long)]
    all: bool,
    /// Say how many there are, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Change at most so many, the oldest first
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    max: u64,
    /// Change nothing unless there are about so many: up to a tenth more or less
    #[arg(long, value_name = "COUNT")]
    expect: Option<u64>,
    /// For those who ask later
    #[arg(long, default_value = "")]
    reason: String,
    /// Change at most so many a second, in the background
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    per_second: u32,
    /// Stop when this share of the changed jobs has failed again, like 0.3
    #[arg(long, value_parser = permille, value_name = "RATIO")]
    stop_failure_ratio: Option<u32>,
}

/// How fast and how carefully, where the command itself says which jobs.
#[derive(Args)]
pub(super) struct Simple {
    /// Only those that also fit this, like 'kind:email.* age:>1h'
    #[arg(long, short, default_value = "")]
    filter: String,
    /// Say how many there are, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Change nothing unless there are about so many: up to a tenth more or less
    #[arg(long, value_name = "COUNT")]
    expect: Option<u64>,
    /// For those who ask later
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}

impl Simple {
    pub(super) fn selector(&self) -> Selector {
        Selector { filter: self.filter.clone(), ..Selector::default() }
    }
}

impl From<&Simple> for Chosen {
    fn from(simple: &Simple) -> Self {
        Self {
            dry_run: simple.dry_run,
            expect: simple.expect,
            reason: simple.reason.clone(),
            ..Self::default()
        }
    }
}

impl Chosen {
    /// What was chosen; choosing nothing is never everything.
    pub(super) fn selector(&self) -> Result<Selector, Failure> {
        if self.ids.is_empty() && self.which.is_empty() && !self.all {
            return Err(Failure::usage("say which jobs: by ids, by --filter or the like, or with --all"));
        }
        Ok(self.any_selector())
    }

    /// The same where something else chooses, too.
    pub(super) fn any_selector(&self) -> Selector {
        let ids = self.ids.iter().map(|id| id.to_bytes()).collect();
        Selector { ids, all: self.all, ..self.which.selector() }
    }
}

/// A share as a number from 0 to 1.
fn permille(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no share; write it like 0.3");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let digits = format!("{part:0<3}");
    let part: u32 = digits.parse().map_err(|_| wrong())?;
    match whole.checked_mul(1_000).map(|whole| whole + part) {
        Some(permille @ 1..=1_000) if digits.len() == 3 => Ok(permille),
        Some(_) | None => Err(wrong()),
    }
}

/// What a change does to jobs, as a verb, and whether something is lost by it.
fn meaning(to: &To) -> (&'static str, bool) {
    match to {
        To::Retry(_) => ("run again", false),
        To::Confirm(_) => ("release", false),
        To::RunAt(_) => ("run now", false),
        To::Cancel(_) => ("cancel", true),
        To::Delete(_) => ("delete", true),
        To::Move(_) => ("move", true),
        To::Patch(_) => ("change", true),
        To::Bury(_) => ("bury", true),
        To::Tell(_) => ("tell", false),
        To::Stop(_) => ("stop", false),
    }
}

/// Asks if something may be lost or nobody counted, makes the change, and says what it did.
pub(super) async fn make(desk: &Desk, which: &Chosen, select: Selector, to: To) -> Outcome {
    let (verb, is_loss) = meaning(&to);
    let change = Change {
        select: Some(select.clone()),
        max: which.max,
        dry_run: which.dry_run,
        per_second: which.per_second,
        stop_failure_permille: which.stop_failure_ratio.unwrap_or(0),
        reason: which.reason.clone(),
        to: Some(to),
        ..Change::default()
    };
    let asks = (is_loss || which.ids.is_empty()) && !which.dry_run;
    if asks || which.expect.is_some() {
        let found = desk.admin.change(Change { dry_run: true, ..change.clone() }).await?;
        if let Some(expected) = which.expect {
            check(expected, found.changed)?;
        }
        if asks && found.changed > 0 {
            let what = announce(desk, verb, &select, found.changed).await?;
            desk.confirm(&what, found.changed)?;
        }
    }
    let changed = desk.admin.change(change).await?;
    if changed.matched == 0 && !which.ids.is_empty() {
        return Err(Failure::not_found("no such job"));
    }
    if which.dry_run {
        return dry(desk, &changed, verb).await;
    }
    match JobId::from_slice(&changed.operation) {
        Ok(id) if desk.is_for_people() => follow(desk, id).await,
        Ok(id) => {
            let value = json!({
                "matched": changed.matched,
                "changed": changed.changed,
                "operation": id.to_string(),
            });
            let found = changed.matched;
            let text = format!("{found} found; the change goes on as {id}, see `windlass admin operations`");
            desk.done(&value, &text)?;
            done()
        }
        Err(_) => {
            let Changed { matched, changed, .. } = changed;
            let value = json!({"matched": matched, "changed": changed});
            desk.done(&value, &format!("{changed} of {matched} found changed"))?;
            done()
        }
    }
}

/// Refuses if the count is off by more than a tenth.
fn check(expected: u64, found: u64) -> Result<(), Failure> {
    if expected.abs_diff(found) <= expected / 10 {
        return Ok(());
    }
    let message = format!("{found} jobs are found where {expected} were expected; nothing was changed");
    Err(Failure::new(Exit::Conflict, message))
}

/// What is about to happen, in a sentence.
async fn announce(desk: &Desk, verb: &str, select: &Selector, count: u64) -> Result<String, Failure> {
    let mut words = words(select);
    if select.ids.is_empty() {
        let oldest = desk.admin.jobs(select.clone()).page_size(1).page().await?;
        if let Some(job) = oldest.jobs.first() {
            words.push(format!("oldest {}", length(desk.now_ms().saturating_sub(job.created_at_ms))));
        }
    }
    let of = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
    Ok(format!("About to {verb} {}{of} on {}.", output::count(count, "job"), desk.place()))
}

/// A choice in words.
fn words(select: &Selector) -> Vec<String> {
    let states = select.states.iter().filter_map(|state| State::try_from(*state).ok());
    let states: Vec<String> = states.map(super::state).collect();
    let fields = [
        ("queue", select.queue.clone()),
        ("state", states.join(" or ")),
        ("kind", select.kind.clone()),
        ("key", select.key.clone()),
        ("tag", select.tags.join(" and ")),
        ("fingerprint", select.error_fingerprint.clone()),
        ("filter", select.filter.clone()),
    ];
    let mut words: Vec<String> = fields
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| format!("{name} {text}"))
        .collect();
    if select.all && words.is_empty() && select.ids.is_empty() {
        words.push("all there are".to_owned());
    }
    words
}

/// What would be changed, and some of it.
async fn dry(desk: &Desk, changed: &Changed, verb: &str) -> Outcome {
    let Changed { matched, changed: count, .. } = changed;
    let sample: Vec<String> = changed.sample.iter().map(ToString::to_string).collect();
    if desk.form() != Form::Table {
        desk.done(&json!({"matched": matched, "changed": count, "sample": sample}), "")?;
        return done();
    }
    output::line(&format!("{count} of {matched} found would change ({verb})"));
    for id in changed.sample.iter().take(SAMPLES) {
        if let Some(job) = desk.admin.job(*id).await? {
            let state = super::state(job.state());
            output::line(&output::one_line(&format!("  {id}  {state}  {}  {}", job.queue, job.kind)));
        }
    }
    if *count > SAMPLES as u64 {
        output::line(&format!("  and {} more", grouped(count - SAMPLES as u64)));
    }
    done()
}

/// Shows how far a change is until it has ended. Whoever interrupts this leaves the change running.
async fn follow(desk: &Desk, id: JobId) -> Outcome {
    let watched = async {
        loop {
            let Some(view) = operations::one(desk, id).await? else { break Ok::<_, Error>(None) };
            let share = view.changed.saturating_mul(20).checked_div(view.matched).unwrap_or(0).min(20);
            let bar = "#".repeat(usize::try_from(share).unwrap_or(0));
            let (changed, matched) = (grouped(view.changed), grouped(view.matched));
            output::progress(&format!("[{bar:<20}] {changed} of {matched}"));
            if view.finished_at_ms > 0 {
                break Ok(Some(view));
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    let ended = tokio::select! {
        ended = watched => ended?,
        _ = tokio::signal::ctrl_c() => {
            output::progress("");
            output::note(&format!("It goes on. See: windlass admin operations show {id}"));
            output::note(&format!("End it: windlass admin operations stop {id}"));
            return done();
        }
    };
    output::progress("");
    let Some(view) = ended else { return done() };
    output::line(&format!("{} of {} found changed", grouped(view.changed), grouped(view.matched)));
    if view.stopped_why.is_empty() {
        return done();
    }
    Err(Failure::new(Exit::Partly, format!("it ended early: {}", view.stopped_why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_may_be_off_by_a_tenth() {
        assert!(check(100, 110).is_ok() && check(100, 90).is_ok() && check(5, 5).is_ok());
        assert_eq!(check(100, 111).unwrap_err().exit(), Exit::Conflict);
        assert!(check(5, 6).is_err() && check(0, 1).is_err());
    }

    #[test]
    fn a_share_is_a_number_up_to_one() {
        let read = |text| permille(text).ok();
        assert_eq!([read("0.3"), read("1"), read("0.25"), read("0.001")], [300, 1_000, 250, 1].map(Some));
        for wrong in ["0", "1.1", "30%", "-0.3", "0.0001", "", "x", "0.x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
