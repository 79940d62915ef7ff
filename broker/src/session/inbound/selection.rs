//! Selectors: what of a job decides whether a verb means it.

use crate::session::filter::{filter, fingerprint};
use crate::session::form::{
    Checked, at, inside, invalid, job_id, known, optional_name, session_id, text, unsupported,
};
use windlass_engine::command::Select;
use windlass_engine::filter::{Clause, NumberColumn, Pattern, States, Test, TextColumn};
use windlass_engine::ledger::job::State;
use windlass_engine::{JobId, SessionId};
use windlass_proto::limits::{TAG_BYTES_MAX, TEXT_BYTES_MAX};
use windlass_proto::v1;

/// What a selector says. Which of it a verb takes is the verb's to check.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) select: Select,
    /// The kind, for nouns that are no jobs.
    pub(super) kind: String,
    /// The session, for what is about sessions.
    pub(super) session: Option<SessionId>,
    /// The fields that are set.
    asked: Vec<&'static str>,
}

impl Selection {
    /// Nothing is selected: a forgotten field must not mean everything.
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Refuses selection by anything but these fields.
    pub(super) fn only(&self, fields: &[&str]) -> Checked<()> {
        match self.asked.iter().find(|field| !fields.contains(field)) {
            Some(field) => Err(inside("select", unsupported(field))),
            None => Ok(()),
        }
    }
}

/// Checks a selector; absent, it is empty. `now_ms` is what ages are counted from.
pub(super) fn selection(select: Option<v1::Selector>, now_ms: u64) -> Checked<Selection> {
    match select {
        Some(select) => taken(select, now_ms).map_err(|fault| inside("select", fault)),
        None => Ok(Selection::default()),
    }
}

fn taken(select: v1::Selector, now_ms: u64) -> Checked<Selection> {
    let v1::Selector {
        ids,
        queue,
        kind,
        key,
        tags,
        states,
        error_fingerprint,
        group,
        dedup_key,
        schedule,
        session,
        created_after_at_ms,
        created_before_at_ms,
        finished_after_at_ms,
        finished_before_at_ms,
        all,
        filter: condition,
    } = select;
    let created = (created_after_at_ms, created_before_at_ms);
    let finished = (finished_after_at_ms, finished_before_at_ms);
    let asked = [
        ("ids", !ids.is_empty()),
        ("queue", !queue.is_empty()),
        ("kind", !kind.is_empty()),
        ("key", !key.is_empty()),
        ("tags", !tags.is_empty()),
        ("dedup_key", !dedup_key.is_empty()),
        ("schedule", !schedule.is_empty()),
        ("states", !states.is_empty()),
        ("error_fingerprint", !error_fingerprint.is_empty()),
        ("group", !group.is_empty()),
        ("session", !session.is_empty()),
        ("created_after_at_ms", created.0 > 0),
        ("created_before_at_ms", created.1 > 0),
        ("finished_after_at_ms", finished.0 > 0),
        ("finished_before_at_ms", finished.1 > 0),
        ("all", all),
        ("filter", !condition.trim().is_empty()),
    ];
    let mut tests = Vec::new();
    let kind = optional_name(kind, "kind")?;
    let texts = [
        (TextColumn::Kind, kind.clone()),
        (TextColumn::Key, text(key, TEXT_BYTES_MAX, "key")?),
        (TextColumn::Dedup, text(dedup_key, TEXT_BYTES_MAX, "dedup_key")?),
        (TextColumn::Schedule, optional_name(schedule, "schedule")?),
    ];
    let given = texts.into_iter().filter(|(_, text)| !text.is_empty());
    tests.extend(given.map(|(column, text)| Test::Text(column, Pattern::Is(text))));
    tests.extend(tagged(tags)?);
    if !error_fingerprint.is_empty() {
        tests.push(failed_so(&error_fingerprint)?);
    }
    let session = if session.is_empty() { None } else { Some(session_id(&session, "session")?) };
    tests.extend(session.map(Test::Session));
    tests.extend(within(NumberColumn::Created, created, "created_before_at_ms")?);
    tests.extend(within(NumberColumn::Finished, finished, "finished_before_at_ms")?);
    let mut select = Select {
        ids: if ids.is_empty() { None } else { Some(self::ids(&ids)?) },
        queue: optional_name(queue, "queue")?,
        states: self::states(&states)?,
        group: if group.is_empty() { None } else { Some(job_id(&group, "group")?) },
        filter: filter(&condition, now_ms)?,
    };
    select.filter.clauses.extend(tests.into_iter().map(|test| Clause { is_negated: false, any: vec![test] }));
    let asked = asked.iter().filter(|(_, is_set)| *is_set).map(|(field, _)| *field).collect();
    Ok(Selection { select: indexed(select), kind, session, asked })
}

/// With all of these tags.
fn tagged(tags: Vec<String>) -> Checked<Vec<Test>> {
    let test = |(index, tag)| match text(tag, TAG_BYTES_MAX, "") {
        Ok(tag) => Ok(Test::Tag(Pattern::Is(tag))),
        Err(fault) => Err(at("tags", index, fault)),
    };
    tags.into_iter().enumerate().map(test).collect()
}

/// Whose last failure has this fingerprint.
fn failed_so(text: &str) -> Checked<Test> {
    let wrong = || invalid("error_fingerprint", "a fingerprint is 16 hex digits");
    fingerprint(text).map(Test::Fingerprint).ok_or_else(wrong)
}

/// A span of time: at or after the first instant, before the second; 0 is no bound.
fn within(column: NumberColumn, (after, before): (u64, u64), field: &str) -> Checked<Option<Test>> {
    if before > 0 && before <= after {
        return Err(invalid(field, "no instant is before this one and after the other"));
    }
    let last = if before > 0 { before - 1 } else { u64::MAX };
    Ok((after > 0 || before > 0).then_some(Test::Number(column, after, last)))
}

/// Moves what an index answers out of the condition: states, a single queue, a single group.
fn indexed(mut select: Select) -> Select {
    let clauses = std::mem::take(&mut select.filter.clauses);
    for clause in clauses {
        if clause.is_negated {
            select.filter.clauses.push(clause);
            continue;
        }
        let states = |state: &State| clause.any.iter().any(|test| implied(test).contains(*state));
        select.states = select.states.and(State::ALL.into_iter().filter(states).collect());
        match &clause.any[..] {
            [Test::Text(TextColumn::Queue, Pattern::Is(queue))] if select.queue.is_empty() => {
                select.queue.clone_from(queue);
            }
            [Test::Group(group)] if select.group.is_none() => select.group = Some(*group),
            tests if tests.iter().all(|test| matches!(test, Test::State(_))) => {}
            _ => select.filter.clauses.push(clause),
        }
    }
    select
}

/// The states in which a job can pass a test.
fn implied(test: &Test) -> States {
    match test {
        Test::State(states) => *states,
        Test::Reason(_) => States::from_iter([State::Dead]),
        Test::Session(_) | Test::Number(NumberColumn::Leased, ..) => States::from_iter([State::Leased]),
        Test::Number(NumberColumn::RunAt, ..) => States::from_iter([State::Scheduled]),
        Test::Number(NumberColumn::Finished, ..) => {
            State::ALL.into_iter().filter(|state| state.is_final()).collect()
        }
        Test::Id(_)
        | Test::Tag(_)
        | Test::Error(_)
        | Test::Fingerprint(_)
        | Test::Group(_)
        | Test::Text(..)
        | Test::Number(..) => States::ALL,
    }
}

fn ids(ids: &[bytes::Bytes]) -> Checked<Vec<JobId>> {
    let checked =
        |(index, id): (usize, &bytes::Bytes)| job_id(id, "").map_err(|fault| at("ids", index, fault));
    ids.iter().enumerate().map(checked).collect()
}

fn states(states: &[i32]) -> Checked<States> {
    if states.is_empty() {
        return Ok(States::ALL);
    }
    let checked =
        |(index, state): (usize, &i32)| state_of(*state).map_err(|fault| at("states", index, fault));
    states.iter().enumerate().map(checked).collect()
}

pub(super) fn state_of(state: i32) -> Checked<State> {
    Ok(match known(state, "")? {
        v1::State::Unspecified => return Err(invalid("", "no state")),
        v1::State::Held => State::Held,
        v1::State::Scheduled => State::Scheduled,
        v1::State::Blocked => State::Blocked,
        v1::State::Ready => State::Ready,
        v1::State::Leased => State::Leased,
        v1::State::Completed => State::Completed,
        v1::State::Dead => State::Dead,
        v1::State::Cancelled => State::Cancelled,
        v1::State::Expired => State::Expired,
    })
}
