//! What a capital asks of the broker: counted first, then done.

use super::super::Desk;
use super::screen::Tab;
use crate::cli::failure::Failure;
use crate::cli::output::{count as count_of, grouped};
use serde_json::Value;
use windlass_client::JobId;
use windlass_client::proto::change::To;
use windlass_client::proto::{Cancel, Change, Delete, Retry, Selector, State};

/// For the audit.
const REASON: &str = "windlass admin top";

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    /// A change of jobs, and its word.
    Change(Box<(Selector, To)>, &'static str),
    /// Queues are paused, or run again.
    Pause(Vec<String>, bool),
    /// Schedules are paused, or run again.
    Schedule(Vec<String>, bool),
    /// Schedules run once, now.
    Run(Vec<String>),
}

impl Deed {
    /// What a capital means on a tab, for these rows.
    pub(super) fn of(capital: char, tab: Tab, names: Vec<String>, row: Option<&Value>) -> Option<Self> {
        let is_paused = row.is_some_and(|row| row["paused"] == Value::Bool(true));
        match (tab, capital) {
            (Tab::Jobs, _) => {
                let ids = names.iter().filter_map(|id| id.parse::<JobId>().ok());
                let select = Selector { ids: ids.map(JobId::to_bytes).collect(), ..Selector::default() };
                Self::change(capital, select)
            }
            (Tab::Errors, 'R') => {
                // A change chooses by one fingerprint.
                let fingerprint = names.into_iter().next()?;
                let states = vec![State::Dead.into()];
                let select = Selector { states, error_fingerprint: fingerprint, ..Selector::default() };
                Self::change('R', select)
            }
            (Tab::Queues, 'P') => Some(Self::Pause(names, !is_paused)),
            (Tab::Schedules, 'P') => Some(Self::Schedule(names, !is_paused)),
            (Tab::Schedules, 'R') => Some(Self::Run(names)),
            (Tab::Overview | Tab::Queues | Tab::Workers | Tab::Errors | Tab::Schedules, _) => None,
        }
    }

    /// The same for all jobs that a filter lets through.
    pub(super) fn of_all(capital: char, filter: &str) -> Option<Self> {
        let all = filter.is_empty();
        Self::change(capital, Selector { filter: filter.to_owned(), all, ..Selector::default() })
    }

    fn change(capital: char, select: Selector) -> Option<Self> {
        let (to, word) = match capital {
            'R' => (To::Retry(Retry::default()), "Retry"),
            'C' => (To::Cancel(Cancel { why: "an operator".to_owned(), ..Cancel::default() }), "Cancel"),
            'D' => (To::Delete(Delete {}), "Delete"),
            _ => return None,
        };
        Some(Self::Change(Box::new((select, to)), word))
    }
}

/// The question, with how many it is about.
pub(super) async fn ask(desk: &Desk, deed: &Deed) -> Result<String, Failure> {
    let what = match deed {
        Deed::Change(what, word) => {
            let found = desk.admin.change(change(what, true)).await?.changed;
            format!("{word} {}", count_of(found, "job"))
        }
        Deed::Pause(names, true) => format!("Pause {}", names.join(", ")),
        Deed::Pause(names, false) => format!("Resume {}", names.join(", ")),
        Deed::Schedule(names, true) => format!("Pause the schedule(s) {}", names.join(", ")),
        Deed::Schedule(names, false) => format!("Resume the schedule(s) {}", names.join(", ")),
        Deed::Run(names) => format!("Run {} once, now", names.join(", ")),
    };
    Ok(format!("{what} on {}? y = yes", desk.place()))
}

/// Does it, and says what came of it.
pub(super) async fn perform(desk: &Desk, deed: &Deed) -> Result<String, Failure> {
    match deed {
        Deed::Change(what, word) => {
            let changed = desk.admin.change(change(what, false)).await?;
            Ok(format!("{word}: {} of {} found changed", grouped(changed.changed), grouped(changed.matched)))
        }
        Deed::Pause(names, is_paused) => {
            for name in names {
                match is_paused {
                    true => desk.admin.pause(name, REASON).await?,
                    false => desk.admin.resume(name).await?,
                }
            }
            Ok(format!("{} {}", names.join(", "), if *is_paused { "paused" } else { "run" }))
        }
        Deed::Schedule(names, is_paused) => {
            for name in names {
                desk.admin.pause_schedule(name, *is_paused).await?;
            }
            Ok(format!("{} {}", names.join(", "), if *is_paused { "paused" } else { "run" }))
        }
        Deed::Run(names) => {
            for name in names {
                desk.admin.run_ticks(name, &[crate::clock::wall_ms()]).await?;
            }
            Ok(format!("{} run", names.join(", ")))
        }
    }
}

fn change((select, to): &(Selector, To), dry_run: bool) -> Change {
    Change {
        select: Some(select.clone()),
        to: Some(to.clone()),
        dry_run,
        reason: REASON.to_owned(),
        ..Change::default()
    }
}
