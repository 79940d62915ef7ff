//! `windlass admin tail`: what happens at the broker, a line each.

use super::super::failure::{Failure, Outcome};
use super::super::output::{self, Form, Ink, instant};
use super::{Desk, done, state};
use clap::Args;
use serde_json::{Value, json};
use windlass_client::JobId;
use windlass_client::proto::{Event, Selector, State, Watch};

#[derive(Args)]
pub(super) struct TailArgs {
    /// Only jobs of this queue
    #[arg(long, short, default_value = "")]
    queue: String,
    /// Only jobs of this kind
    #[arg(long, short, default_value = "")]
    kind: String,
    /// Only jobs of this key
    #[arg(long, default_value = "")]
    key: String,
    /// Only these events, like job.dead; may be repeated
    #[arg(long, short)]
    event: Vec<String>,
    /// Begin with this event, as far as it is still kept
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// End after so many events
    #[arg(long, short = 'n', value_name = "COUNT")]
    count: Option<u64>,
}

/// Prints events until it is interrupted.
pub(super) async fn run(desk: &Desk, args: &TailArgs) -> Outcome {
    let select = Selector {
        queue: args.queue.clone(),
        kind: args.kind.clone(),
        key: args.key.clone(),
        ..Selector::default()
    };
    let select = (select != Selector::default()).then_some(select);
    let watch = Watch { select, names: args.event.clone(), from_seq: args.from, ..Watch::default() };
    let mut events = desk.admin.watch(watch).await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0
        && let Some(event) = events.next().await?
    {
        // In JSON the event itself says so.
        let is_said = matches!(desk.form(), Form::Json | Form::Jsonl) || desk.is_quiet();
        if event.lagged && !is_said {
            output::complain("events before this one were dropped");
        }
        print(desk, &event)?;
        left -= 1;
    }
    done()
}

fn print(desk: &Desk, event: &Event) -> Result<(), Failure> {
    let id = JobId::from_slice(&event.job).map(|id| id.to_string()).unwrap_or_default();
    let at = instant(event.at_ms);
    let is_known = event.state() != State::Unspecified;
    let row = json!({
        "seq": event.seq.to_string(),
        "at": at,
        "event": event.name,
        "job": id,
        "queue": event.queue,
        "kind": event.kind,
        "key": event.key,
        "state": is_known.then(|| state(event.state())),
        "note": event.note,
        "lagged": event.lagged,
    });
    let at = if let Value::String(at) = at { at } else { String::new() };
    let words = [at.as_str(), &event.name, &id, &event.queue, &event.kind, &event.note];
    let words = words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>();
    let text = output::one_line(&words.join("  "));
    if desk.is_for_people() {
        output::line(&ink(&event.name).paint(&text, desk.out().has_colour));
        return Ok(());
    }
    desk.item(&row, &text)
}

/// What went wrong stands out, and what went well.
fn ink(event: &str) -> Ink {
    match event.rsplit('.').next().unwrap_or_default() {
        "dead" | "lost" => Ink::Red,
        "failed" | "missed" | "cancelled" | "expired" | "paused" => Ink::Yellow,
        "completed" => Ink::Green,
        _ => Ink::Plain,
    }
}
