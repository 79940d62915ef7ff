//! Words of operators: which jobs, and what becomes of them.

use super::{Words, bytes_of, spec::policy_words, states_of};
use crate::world::DAWN;
use windlass_engine::command::{Change, Mutation, Pace, Patch, Select};
use windlass_engine::filter::{Filter, NumberColumn, Pattern, Test, TextColumn};
use windlass_engine::ids::{JobId, OperationId};

/// `retry a b`, `delete state=dead max=5`, `move all to=bills`; paced with `per_second`, `stop` and `spread`.
pub(super) fn change_words(verb: &str, words: &mut Words<'_>) -> Change {
    let to = match verb {
        "cancel" => Mutation::Cancel {
            why: words.text("why", "enough"),
            grace_ms: words.ms("grace").unwrap_or(0),
            dependents: words.flag("dependents"),
        },
        "retry" => Mutation::Retry {
            reset_attempts: words.flag("reset"),
            spread_ms: words.ms("spread").unwrap_or(0),
        },
        "delete" => Mutation::Delete,
        "bury" => Mutation::Bury,
        "move" => Mutation::Move(words.text("to", "")),
        "patch" => Mutation::Patch(Box::new(Patch {
            payload: words.number("payload").map(|bytes| vec![b'q'; bytes as usize].into()),
            policy: policy_words(words),
            key: words.values.remove("rekey").map(Into::into),
            add_tags: words.list("tag", ""),
            remove_tags: words.list("untag", ""),
        })),
        "confirm" => Mutation::Confirm,
        _ => Mutation::RunAt(words.ms("at").map_or(0, |ms| ms.saturating_add(DAWN))),
    };
    let dry_run = words.flag("dry");
    let max = words.number("max").unwrap_or(0).into();
    let per_second = words.number("per_second").unwrap_or(0);
    let pace = Pace { per_second, stop_failure_permille: words.number("stop").unwrap_or(0) };
    let operation = words.values.remove("id").map(|id| OperationId(bytes_of(id)));
    let reason = words.text("reason", "");
    let is_open = words.flag("all") || !words.values.is_empty();
    let select = select_words(words);
    assert!(is_open || select.ids.is_some(), "a change of everything says so");
    Change { select, to, dry_run, max, pace, operation, reason, target: "some".into() }
}

/// `queue=mail state=dead,ready kind=send key=anna attempt=1..3`, and ids.
pub(super) fn select_words(words: &mut Words<'_>) -> Select {
    let states = words.list("state", "");
    let text = |column, value: String| Test::Text(column, Pattern::Like(value));
    let mut filter = Filter::default();
    for (name, column) in
        [("kind", TextColumn::Kind), ("key", TextColumn::Key), ("made_by", TextColumn::Schedule)]
    {
        let value = words.text(name, "");
        if !value.is_empty() {
            filter = filter.with(text(column, value));
        }
    }
    if let Some((least, most)) = words.values.remove("attempt").and_then(|range| range.split_once("..")) {
        let [least, most] = [least, most].map(|number| number.parse().expect("a number"));
        filter = filter.with(Test::Number(NumberColumn::Attempt, least, most));
    }
    let error = words.text("error", "");
    if !error.is_empty() {
        filter = filter.with(Test::Error(Pattern::Holds(error)));
    }
    Select {
        ids: Some(words.ids()).filter(|ids| !ids.is_empty()),
        queue: words.text("queue", ""),
        states: states_of(&states),
        group: words.values.remove("in").map(|group| JobId(bytes_of(group))),
        filter,
    }
}
