//! `windlass admin doctor`: what is wrong with a broker that runs, in sentences.

use super::super::failure::Outcome;
use super::super::findings::{self, Finding};
use super::Desk;
use super::survey::Survey;

/// Runs the command; the exit code is 1 if anything is wrong.
pub(super) async fn run(desk: &Desk) -> Outcome {
    let survey = Survey::take(desk).await?;
    let mut found = survey.findings(desk.has_test_clock());
    if found.is_empty() {
        let text = format!(
            "nothing is wrong with {}: {} queues, {} workers",
            desk.place(),
            survey.queues.len(),
            survey.workers.len()
        );
        found.push(Finding::ok("all.well", text));
    }
    findings::tell(&desk.out, &found)
}
