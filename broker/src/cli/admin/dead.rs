//! `windlass admin dead`: jobs that have given up, seen, grouped, run again, removed.

use super::super::failure::Outcome;
use super::bulk::{self, Chosen};
use super::change::{self, RedriveArgs};
use super::errors::{self, ErrorsArgs};
use super::jobs::{self, ListArgs};
use super::{Desk, done};
use clap::Subcommand;
use windlass_client::proto::change::To;
use windlass_client::proto::{Delete, Selector, State};

#[derive(Subcommand)]
pub(super) enum Dead {
    /// Dead jobs
    List(ListArgs),
    /// What they died of, in groups that look alike
    Groups(ErrorsArgs),
    /// Run them again, attempts counted from 0; the same as `redrive`
    Retry(Box<RedriveArgs>),
    /// Remove them
    Delete {
        #[command(flatten)]
        which: Chosen,
    },
}

impl Dead {
    pub(super) fn is_a_look(&self) -> bool {
        match self {
            Self::List(_) | Self::Groups(_) => true,
            Self::Retry(_) | Self::Delete { .. } => false,
        }
    }
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, what: &Dead) -> Outcome {
    let dead = || vec![State::Dead.into()];
    match what {
        Dead::List(args) => {
            let select = Selector { states: dead(), ..args.which.selector() };
            jobs::list(desk, args, select).await
        }
        Dead::Groups(args) => {
            let groups = errors::groups(desk, args).await?;
            let rows: Vec<_> = groups.iter().filter(|group| group.dead > 0).map(errors::row).collect();
            desk.rows(&errors::COLUMNS, &rows)?;
            if let Some(first) = rows.first().and_then(|row| row["fingerprint"].as_str()) {
                desk.hint(&format!("next: windlass admin dead retry --fingerprint {first}"));
            }
            done()
        }
        Dead::Retry(args) => change::redrive(desk, args).await,
        Dead::Delete { which } => {
            let select = Selector { states: dead(), ..which.selector()? };
            bulk::make(desk, which, select, To::Delete(Delete {})).await
        }
    }
}
