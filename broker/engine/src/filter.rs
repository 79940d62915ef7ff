//! Filters: a condition over one job, typed. The session floor reads the text of the filter language;
//! here it is only judged.

use crate::fact::DeadReason;
use crate::fingerprint::fingerprint;
use crate::ids::{JobId, SessionId};
use crate::ledger::Ledger;
use crate::ledger::job::{Job, State};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct States(u16);

impl States {
    /// Every state there is.
    pub const ALL: Self = Self((1 << State::COUNT) - 1);

    /// The states that both sets hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The set holds this state.
    #[must_use]
    pub fn contains(self, state: State) -> bool {
        self.0 >> state.index() & 1 == 1
    }
}

impl Default for States {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<State> for States {
    fn from_iter<T: IntoIterator<Item = State>>(states: T) -> Self {
        Self(states.into_iter().fold(0, |set, state| set | 1 << state.index()))
    }
}

/// A condition: all of its clauses hold. Without clauses it always does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The clauses.
    pub clauses: Vec<Clause>,
}

/// Any of its tests holds; negated: none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// The clause holds when no test does.
    pub is_negated: bool,
    /// The tests.
    pub any: Vec<Test>,
}

/// A question to one column of a job. Of what a job does not have the answer is no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// It is in one of these states.
    State(States),
    /// Its id begins so; at most 16 bytes.
    Id(Vec<u8>),
    /// A text is like this.
    Text(TextColumn, Pattern),
    /// It has a tag like this.
    Tag(Pattern),
    /// The class or the masked message of its last failure is like this.
    Error(Pattern),
    /// Its last failure has this fingerprint.
    Fingerprint(u64),
    /// A number or an instant lies within these bounds, both included.
    Number(NumberColumn, u64, u64),
    /// It is dead for this reason.
    Reason(DeadReason),
    /// This session runs it.
    Session(SessionId),
    /// It counts into this group.
    Group(JobId),
}

/// A column that holds a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextColumn {
    /// The name of its queue.
    Queue,
    /// The name of its kind.
    Kind,
    /// Its lane.
    Key,
    /// The dedup key that it holds.
    Dedup,
    /// The schedule that made it.
    Schedule,
}

/// A column that holds a number; instants and durations are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberColumn {
    /// Attempts counted so far.
    Attempt,
    /// Leases so far.
    Deliveries,
    /// Workers lost with it.
    Crashes,
    /// Times it was snoozed.
    Snoozes,
    /// 0..9.
    Priority,
    /// Bytes of its payload.
    Size,
    /// When it was enqueued.
    Created,
    /// When it will run; only of one that waits for its time.
    RunAt,
    /// When it ended.
    Finished,
    /// When its lease began.
    Leased,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// It is this.
    Is(String),
    /// It is like this, where `*` stands for anything.
    Like(String),
    /// It holds this, whatever the case of its ASCII letters.
    Holds(String),
}

impl Filter {
    /// The condition holds for the job.
    #[must_use]
    pub fn holds(&self, ledger: &Ledger, job: &Job) -> bool {
        self.clauses
            .iter()
            .all(|clause| clause.any.iter().any(|test| test.holds(ledger, job)) != clause.is_negated)
    }

    /// Adds a clause of one test.
    #[must_use]
    pub fn with(mut self, test: Test) -> Self {
        self.clauses.push(Clause { is_negated: false, any: [test].into() });
        self
    }

    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        let tests = self.clauses.iter().flat_map(|clause| &clause.any);
        tests.map(|test| 24 + test.text_bytes()).sum::<usize>() + 16 * self.clauses.len()
    }
}

impl Test {
    fn holds(&self, ledger: &Ledger, job: &Job) -> bool {
        match self {
            Self::State(states) => states.contains(job.state),
            Self::Id(prefix) => job.id.0.starts_with(prefix),
            Self::Text(column, pattern) => pattern.holds(column.of(ledger, job)),
            Self::Tag(pattern) => {
                let terms = ledger.names.terms(job.terms);
                terms.is_some_and(|terms| terms.tags.iter().any(|tag| pattern.holds(tag)))
            }
            Self::Error(pattern) => {
                let error = ledger.names.error(job.error);
                error.is_some_and(|(kind, shape)| pattern.holds(shape) || pattern.holds(kind))
            }
            Self::Fingerprint(wanted) => {
                let error = ledger.names.error(job.error);
                error.is_some_and(|(kind, shape)| fingerprint(kind, shape) == *wanted)
            }
            Self::Number(column, least, most) => {
                column.of(job).is_some_and(|number| (*least..=*most).contains(&number))
            }
            Self::Reason(reason) => job.ended.as_ref().is_some_and(|ended| ended.reason == Some(*reason)),
            Self::Group(group) => {
                let of = job.plan.as_ref().and_then(|plan| ledger.groups.get(&plan.group));
                of.is_some_and(|row| row.group.id == *group)
            }
            Self::Session(session) => job.lease.as_ref().is_some_and(|lease| lease.session == *session),
        }
    }

    fn text_bytes(&self) -> usize {
        match self {
            Self::Id(prefix) => prefix.len(),
            Self::Text(_, Pattern::Is(text) | Pattern::Like(text) | Pattern::Holds(text))
            | Self::Tag(Pattern::Is(text) | Pattern::Like(text) | Pattern::Holds(text))
            | Self::Error(Pattern::Is(text) | Pattern::Like(text) | Pattern::Holds(text)) => text.len(),
            Self::Fingerprint(_)
            | Self::State(_)
            | Self::Number(..)
            | Self::Reason(_)
            | Self::Group(_)
            | Self::Session(_) => 0,
        }
    }
}

impl TextColumn {
    fn of<'a>(self, ledger: &'a Ledger, job: &Job) -> &'a str {
        ledger.names.text(match self {
            Self::Queue => job.queue,
            Self::Kind => job.kind,
            Self::Key => job.key,
            Self::Schedule => job.schedule(),
            Self::Dedup => return ledger.claims.get(&job.seq).map_or("", |row| &row.claim.key),
        })
    }
}

impl NumberColumn {
    fn of(self, job: &Job) -> Option<u64> {
        Some(match self {
            Self::Attempt => job.attempt.into(),
            Self::Deliveries => job.deliveries.into(),
            Self::Crashes => job.crashes.into(),
            Self::Snoozes => job.snoozes.into(),
            Self::Priority => job.level.into(),
            Self::Size => job.payload_len.into(),
            Self::Created => job.created_at,
            Self::RunAt => (job.state == State::Scheduled).then_some(job.run_at)?,
            Self::Finished => job.ended.as_ref()?.end.at,
            Self::Leased => job.lease.as_ref()?.leased_at,
        })
    }
}

impl Pattern {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(wanted) => text == wanted,
            Self::Like(pattern) => is_like(text.as_bytes(), pattern.as_bytes()),
            Self::Holds(part) => {
                let (text, part) = (text.as_bytes(), part.as_bytes());
                part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
            }
        }
    }
}

/// Compares with a pattern in which `*` stands for anything; it goes back to the last star only, so
/// that no pattern takes more than text times pattern.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut in_pattern) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(letter) if *letter == text[at] => {
                at += 1;
                in_pattern += 1;
            }
            Some(_) | None => {
                let Some((star_at, from)) = star else { return false };
                star = Some((star_at, from + 1));
                in_pattern = star_at + 1;
                at = from + 1;
            }
        }
    }
    pattern[in_pattern..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let like = |text: &str, pattern: &str| is_like(text.as_bytes(), pattern.as_bytes());
        assert!(like("email.send", "email.*") && like("email.", "email.*") && like("", "*"));
        assert!(like("a.b.c", "a*c") && like("abcabc", "*abc") && like("xay", "*a*") && like("ab", "a**b"));
        assert!(!like("email", "email.*") && !like("ab", "a*c") && !like("a", "") && !like("", "a"));
    }

    #[test]
    fn a_part_is_found_whatever_its_case() {
        let holds = |text: &str, part: &str| Pattern::Holds(part.into()).holds(text);
        assert!(holds("Connection Timeout", "timeout") && holds("x", "") && holds("äÖ", "Ö"));
        assert!(!holds("time", "timeout") && !holds("", "a"));
    }
}
