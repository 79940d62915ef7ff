//! Operations: what a Change does to each job, and the record of one that was given an id.

use crate::blob::Blob;
use crate::command::Select;
use crate::ids::{Ms, NameId, Seq};
use crate::policy::Policy;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a Change does to a job. The order is the stored format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mutation {
    /// An ended (or waiting) job runs again.
    Retry {
        /// Forget the attempts made so far.
        reset_attempts: bool,
        /// Spread the jobs evenly over this time; 0 = all at once.
        spread_ms: u64,
    },
    /// Not to run, or to stop.
    Cancel {
        /// Told to the worker.
        why: String,
        /// Time a running job has to stop.
        grace_ms: u64,
        /// Who waits for it is cancelled, too.
        dependents: bool,
    },
    /// Gone at once, whatever its state.
    Delete,
    /// A waiting job runs at this time; 0 = now.
    RunAt(Ms),
    /// A waiting job goes to this queue.
    Move(String),
    /// A waiting job is described anew.
    Patch(Box<Patch>),
    /// A waiting job is dead.
    Bury,
    /// A held job waits no longer for anybody's word.
    Confirm,
}

/// What is described anew of a job; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Its payload.
    pub payload: Option<Blob>,
    /// Fields set here replace those of its own policy.
    pub policy: Policy,
    /// Its key; "" = none.
    pub key: Option<String>,
    /// Tags it gets.
    pub add_tags: Vec<String>,
    /// Tags it loses.
    pub remove_tags: Vec<String>,
}

/// How fast a change goes, and when it gives up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Jobs changed in a second at most; 0 = any number.
    pub per_second: u32,
    /// Ends when this share of the changed jobs has failed again; 0 = never.
    pub stop_failure_permille: u32,
}

/// A change that was given an id: under way, or what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Whose jobs.
    pub namespace: NameId,
    /// Which of them.
    pub select: Select,
    /// What it does to each.
    pub to: Mutation,
    /// How fast.
    pub pace: Pace,
    /// Most jobs to change; 0 = all.
    pub max: u64,
    /// Why; for people.
    pub reason: String,
    /// Name of the token that it came with; "" = none.
    pub by: String,
    /// Jobs that matched when it began.
    pub matched: u64,
    /// Jobs it was to change then.
    pub wanted: u64,
    /// Jobs it has changed.
    pub changed: u64,
    /// The last job it looked at.
    pub cursor: Seq,
    /// Jobs from here on came later than the change.
    pub until: Seq,
    /// When it began.
    pub started_at: Ms,
    /// When it ended; 0 = it has not.
    pub finished_at: Ms,
    /// Why it ended early; "" = it did not.
    pub stopped_why: String,
}

impl Mutation {
    /// The word on every floor.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retry",
            Self::Cancel { .. } => "cancel",
            Self::Delete => "delete",
            Self::RunAt(_) => "run_at",
            Self::Move(_) => "move",
            Self::Patch(_) => "patch",
            Self::Bury => "bury",
            Self::Confirm => "confirm",
        }
    }

    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + 8).sum::<usize>();
        match self {
            Self::Cancel { why: text, .. } | Self::Move(text) => text.len(),
            Self::Patch(patch) => {
                let key = patch.key.as_ref().map_or(0, String::len);
                let backoff = patch.policy.backoff.as_ref().map_or(0, |backoff| 8 * backoff.list_ms.len());
                256 + self.payload_bytes()
                    + key
                    + backoff
                    + texts(&patch.add_tags)
                    + texts(&patch.remove_tags)
            }
            Self::Retry { .. } | Self::Delete | Self::RunAt(_) | Self::Bury | Self::Confirm => 0,
        }
    }

    /// Bytes of a payload that every changed job gets.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Patch(patch) => patch.payload.as_ref().map_or(0, |payload| payload.len()),
            Self::Retry { .. }
            | Self::Cancel { .. }
            | Self::Delete
            | Self::RunAt(_)
            | Self::Move(_)
            | Self::Bury
            | Self::Confirm => 0,
        }
    }
}

impl Operation {
    /// It has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.finished_at == 0
    }

    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        400 + 16 * self.select.ids.as_ref().map_or(0, Vec::len)
            + self.select.queue.len()
            + self.select.filter.weight()
            + self.to.weight()
            + self.reason.len()
    }
}
