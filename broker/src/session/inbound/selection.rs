//! Selectors, down to the fields that some verb of this broker understands.

use crate::session::form::{Checked, at, inside, invalid, job_id, known, optional_name, text, unset};
use windlass_engine::JobId;
use windlass_engine::ledger::job::State;
use windlass_proto::limits::TEXT_BYTES_MAX;
use windlass_proto::v1;

/// What a selector says. Which of it a verb takes is the verb's to check.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) ids: Vec<JobId>,
    pub(super) queue: String,
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) states: Vec<State>,
    pub(super) all: bool,
}

impl Selection {
    /// Nothing is selected: a forgotten field must not mean everything.
    pub(super) fn is_empty(&self) -> bool {
        let Self { ids, queue, kind, key, states, all } = self;
        let texts = queue.is_empty() && kind.is_empty() && key.is_empty();
        texts && ids.is_empty() && states.is_empty() && !all
    }

    /// Refuses selection by anything but ids.
    pub(super) fn only_ids(&self) -> Checked<()> {
        let Self { ids: _, queue, kind, key, states, all } = self;
        unset(&[
            ("select.queue", !queue.is_empty()),
            ("select.kind", !kind.is_empty()),
            ("select.key", !key.is_empty()),
            ("select.states", !states.is_empty()),
            ("select.all", *all),
        ])
    }

    /// Refuses selection by anything but a queue; all of them is fine.
    pub(super) fn only_queue(&self) -> Checked<()> {
        let Self { ids, queue: _, kind, key, states, all: _ } = self;
        unset(&[
            ("select.ids", !ids.is_empty()),
            ("select.kind", !kind.is_empty()),
            ("select.key", !key.is_empty()),
            ("select.states", !states.is_empty()),
        ])
    }
}

/// Checks a selector; absent, it is empty.
pub(super) fn selection(select: Option<v1::Selector>) -> Checked<Selection> {
    match select {
        Some(select) => taken(select).map_err(|fault| inside("select", fault)),
        None => Ok(Selection::default()),
    }
}

fn taken(select: v1::Selector) -> Checked<Selection> {
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
        filter,
    } = select;
    unset(&[
        ("tags", !tags.is_empty()),
        ("error_fingerprint", !error_fingerprint.is_empty()),
        ("group", !group.is_empty()),
        ("dedup_key", !dedup_key.is_empty()),
        ("schedule", !schedule.is_empty()),
        ("session", !session.is_empty()),
        ("created_after_at_ms", created_after_at_ms > 0),
        ("created_before_at_ms", created_before_at_ms > 0),
        ("finished_after_at_ms", finished_after_at_ms > 0),
        ("finished_before_at_ms", finished_before_at_ms > 0),
        ("filter", !filter.is_empty()),
    ])?;
    let ids: Checked<Vec<JobId>> = ids
        .iter()
        .enumerate()
        .map(|(index, id)| job_id(id, "").map_err(|fault| at("ids", index, fault)))
        .collect();
    let states: Checked<Vec<State>> = states
        .into_iter()
        .enumerate()
        .map(|(index, state)| self::state(state).map_err(|fault| at("states", index, fault)))
        .collect();
    let mut states = states?;
    states.sort_unstable();
    states.dedup();
    Ok(Selection {
        ids: ids?,
        queue: optional_name(queue, "queue")?,
        kind: optional_name(kind, "kind")?,
        key: text(key, TEXT_BYTES_MAX, "key")?,
        states,
        all,
    })
}

fn state(state: i32) -> Checked<State> {
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
