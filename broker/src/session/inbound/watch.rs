//! Watch: whose events, which of them, from when on and until when.

use super::{Rules, selection};
use crate::session::form::{Checked, at, invalid, too_large, unset};
use windlass_engine::command::Watch;
use windlass_engine::event::EventName;
use windlass_proto::limits::EVENT_NAMES_MAX;
use windlass_proto::v1;

/// Events may be of jobs that are gone, so they are chosen by what an event itself holds.
const FIELDS: &[&str] = &["ids", "queue", "kind", "key", "states", "all"];

/// Checks a Watch.
pub(super) fn watch(watch: v1::Watch, rules: Rules) -> Checked<Watch> {
    let v1::Watch { stream, select, names, from_seq, until_finished, with_result, with_stream, close } =
        watch;
    if stream > 0 {
        unset(&[
            ("select", select.is_some()),
            ("names", !names.is_empty()),
            ("from_seq", from_seq > 0),
            ("until_finished", until_finished),
            ("with_result", with_result),
            ("with_stream", with_stream),
        ])?;
        return Ok(Watch { stream, ..Watch::default() });
    }
    if close {
        return Err(invalid("stream", "close names the stream to close"));
    }
    if names.len() > EVENT_NAMES_MAX {
        return Err(too_large("names", format!("at most {EVENT_NAMES_MAX} names of events")));
    }
    let names: Checked<Vec<EventName>> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let unknown = || at("names", index, invalid("", "no event is called so"));
            EventName::find(name).ok_or_else(unknown)
        })
        .collect();
    let (kind, key) =
        select.as_ref().map(|select| (select.kind.clone(), select.key.clone())).unwrap_or_default();
    let select = selection::selection(select, rules.now_ms)?;
    select.only(if until_finished { &["ids"] } else { FIELDS })?;
    unset(&[("from_seq", until_finished && from_seq > 0)])?;
    let windlass_engine::command::Select { ids, queue, states, group: _, filter: _ } = select.select;
    let ids = ids.unwrap_or_default();
    Ok(Watch {
        stream: 0,
        names: names?,
        ids,
        queue,
        kind,
        key,
        states,
        from_seq,
        until_finished,
        with_result,
        with_stream,
    })
}
