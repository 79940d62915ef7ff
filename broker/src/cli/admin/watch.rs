//! `--watch`: the same look again and again, a screen for people, lines of JSON for programs.

use super::super::failure::{Failure, Outcome};
use super::super::output::{self, Form};
use super::{Desk, What, perform};
use std::time::Duration;

/// Shorter than this is no look but a load.
const SHORTEST: Duration = Duration::from_millis(100);

/// Looks until it is interrupted.
pub(super) async fn run(desk: Desk, what: &What, every: Duration) -> Outcome {
    if !what.is_a_look() {
        return Err(Failure::usage(
            "--watch is for commands that only look, and `tail` and `logs --follow` go on by themselves",
        ));
    }
    let is_screen = desk.is_for_people();
    let desk = if is_screen || desk.form() != Form::Table { desk } else { desk.with_form(Form::Jsonl) };
    loop {
        if is_screen {
            // Home and clear: what was on the screen before stays above.
            output::line("\x1b[H\x1b[2J\x1b[3J");
        }
        let now_ms = desk.admin.stats().await?.server_at_ms;
        perform(&desk.clone().at(now_ms), what).await?;
        tokio::time::sleep(every.max(SHORTEST)).await;
    }
}
