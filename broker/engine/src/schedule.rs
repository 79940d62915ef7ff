//! Schedules: a job that is enqueued again and again, and what makes a tick of it the same tick whatever
//! crashes. Which instants a cron expression means is worked out outside.

use crate::command::{JobSpec, Wishes};
use crate::ids::{JobId, Ms, NameId};
use crate::policy::mix;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A job that is enqueued again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When.
    pub calendar: Calendar,
    /// Each tick is late by a time up to this; always the same for the same tick.
    pub jitter_ms: Ms,
    /// What is enqueued; its id is that of the tick.
    pub job: JobSpec,
    /// What happens when the last job has not ended.
    pub overlap: Overlap,
    /// What happens with ticks that nobody saw to in time.
    pub catch_up: CatchUp,
    /// Ticks older than this are never made up for.
    pub catch_up_window_ms: Ms,
    /// Most ticks that are made up for at once.
    pub catch_up_max: u32,
    /// It ends after so many jobs; 0 = never.
    pub max_runs: u64,
    /// No ticks while this is set.
    pub paused: bool,
    /// It pauses itself after so many dead jobs in a row; 0 = never.
    pub pause_after_failures: u32,
}

/// The instants of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// A cron expression; "" = a fixed interval.
    pub cron: String,
    /// The time zone of the expression; "" for an interval.
    pub tz: String,
    /// The interval; 0 = by expression.
    pub every_ms: Ms,
    /// An instant that the interval is counted from.
    pub anchor_at: Ms,
    /// None before this.
    pub start_at: Ms,
    /// None after this; 0 = no end.
    pub end_at: Ms,
}

/// What happens with a tick when the last job has not ended. The order is the stored format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// One waits for the end, further ones are left out.
    BufferOne,
    /// It waits for the end, behind those that wait already.
    BufferAll,
    /// The last job is cancelled; the tick waits for its end.
    CancelRunning,
    /// The jobs run side by side.
    Allow,
}

/// What happens with ticks that nobody saw to in time. The order is the stored format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatchUp {
    /// One job stands for all of them.
    #[default]
    Last,
    /// They are left out.
    None,
    /// Each is made up for.
    All,
}

/// Which tick a job stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickOf {
    /// Name of the schedule.
    pub schedule: String,
    /// The tick.
    pub at: Ms,
}

/// How far a schedule has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Every tick up to here is dealt with.
    pub cursor: Ms,
    /// The next tick; 0 = none.
    pub next: Ms,
    /// The last tick that made a job; 0 = none yet.
    pub last_at: Ms,
    /// The job of that tick.
    pub last_job: JobId,
    /// Its place in the broker's order; 0 = it was gone already, or the schedule did not make it.
    pub last_seq: u64,
    /// Jobs it made, ever.
    pub runs: u64,
    /// Ticks it left out, ever.
    pub skipped: u64,
    /// Dead jobs in a row.
    pub failures: u32,
    /// Ticks that wait for the end of the last job, oldest first.
    pub waiting: Vec<Ms>,
}

impl Progress {
    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        96 + 8 * self.waiting.len()
    }
}

/// A question to whoever can read calendars: the ticks of a while, and the one after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickWanted {
    /// The schedule.
    pub schedule: NameId,
    /// Its instants.
    pub calendar: Calendar,
    /// Ticks later than this.
    pub after: Ms,
    /// And not later than this.
    pub until: Ms,
    /// Only the last so many of them.
    pub most: usize,
}

/// The answer to [`TickWanted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The schedule.
    pub schedule: NameId,
    /// The end of the while that was asked about.
    pub until: Ms,
    /// Its last ticks, oldest first.
    pub due: Vec<Ms>,
    /// How many more it had, as far as they were counted.
    pub left_out: u64,
    /// The first tick after it; 0 = none.
    pub next: Ms,
}

impl Schedule {
    /// By how much this tick of the schedule of this name is late.
    #[must_use]
    pub(crate) fn jitter(&self, name: &str, tick: Ms) -> Ms {
        let entropy = mix(hash(name.as_bytes(), 1), tick);
        let span = u128::from(self.jitter_ms) + 1;
        u64::try_from((u128::from(entropy) * span) >> 64).unwrap_or(0)
    }

    /// About how many bytes it takes when stored; never less.
    #[must_use]
    pub fn weight(&self) -> usize {
        let JobSpec { queue, kind, key, payload, headers, wishes, .. } = &self.job;
        let texts = [&self.calendar.cron, &self.calendar.tz, queue, kind, key];
        let texts = 512 + payload.len() + headers.len() + texts.iter().map(|text| text.len()).sum::<usize>();
        let Some(wishes) = wishes else { return texts };
        let Wishes { terms, gate, dedup, .. } = &**wishes;
        let list = terms.policy.backoff.as_ref().map_or(0, |backoff| 8 * backoff.list_ms.len());
        let labels = gate.need_labels.iter().map(|(key, value)| 16 + key.len() + value.len());
        let names = terms.tags.iter().chain(&gate.limits).map(|text| 8 + text.len());
        let dedup = dedup.as_ref().map_or(0, |dedup| dedup.key.len());
        texts + list + dedup + names.chain(labels).sum::<usize>()
    }

    /// How many ticks that nobody saw to in time are made up for at most.
    pub(crate) fn made_up(&self) -> usize {
        match self.catch_up {
            CatchUp::Last => 1,
            CatchUp::None => 0,
            CatchUp::All => self.catch_up_max as usize,
        }
    }
}

/// The id of the job of a tick: a UUID (version 8) of the instant and a hash of who and when, so that it
/// is the same for whoever makes it, after a crash and after a restored backup too.
#[must_use]
pub fn tick_id(namespace: &str, schedule: &str, at: Ms) -> JobId {
    let whose = hash(schedule.as_bytes(), hash(namespace.as_bytes(), 0));
    let (high, low) = (mix(whose, at), mix(at, !whose));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(at << 16 | high >> 48).to_be_bytes());
    id[8..].copy_from_slice(&low.to_be_bytes());
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    JobId(id)
}

fn hash(text: &[u8], seed: u64) -> u64 {
    let words = text.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words.fold(mix(seed, text.len() as u64), mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::ToString as _;

    #[test]
    fn the_id_of_a_tick_never_changes() {
        // It is stored outside, and a restored backup must not make the tick a second time.
        let id = tick_id("default", "nightly", 1_800_000_000_000);
        assert_eq!(id.to_string(), "01a3185c-5000-8d57-b14a-8606e8ec9853");
    }

    #[test]
    fn ticks_and_schedules_have_ids_of_their_own_that_sort_by_time() {
        let names: Vec<String> = (0..300).map(|number| format!("s{number}")).collect();
        let ids: Vec<JobId> =
            (1..300).flat_map(|at| names.iter().map(move |name| tick_id("n", name, at * 1_000))).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(tick_id("a", "b", 1_000) != tick_id("ab", "", 1_000));
        assert!(tick_id("a", "b", 1_000) < tick_id("a", "b", 1_001));
        assert!(ids.iter().all(|id| id.0[6] >> 4 == 8 && id.0[8] >> 6 == 2));
    }

    #[test]
    fn jitter_is_the_same_for_the_same_tick_and_within_its_bound() {
        let schedule = Schedule { jitter_ms: 10, ..Schedule::default() };
        let late: BTreeSet<Ms> = (0..1_000).map(|tick| schedule.jitter("s", tick)).collect();
        assert_eq!(late, (0..=10).collect());
        assert_eq!(schedule.jitter("s", 7), schedule.jitter("s", 7));
        assert_eq!(Schedule::default().jitter("s", 7), 0);
    }
}
