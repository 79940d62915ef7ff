//! A selector in words, for the audit: in the filter language, so that it can be asked again.

use super::selection::state_of;
use std::fmt::Write as _;
use windlass_proto::v1::Selector;

/// Ids that are written out.
const IDS_MAX: usize = 8;

/// The words; "all" for everything.
pub(super) fn words(select: &Selector) -> String {
    let Selector {
        ids,
        queue,
        kind,
        key,
        tags,
        states,
        error_fingerprint,
        group: _,
        dedup_key,
        schedule: _,
        session,
        created_after_at_ms,
        created_before_at_ms,
        finished_after_at_ms,
        finished_before_at_ms,
        all: _,
        filter,
    } = select;
    let mut terms = Vec::new();
    let mut term = |column: &str, values: Vec<String>| {
        if !values.is_empty() {
            terms.push(format!("{column}:{}", values.join(",")));
        }
    };
    let text = |text: &String| if text.is_empty() { Vec::new() } else { vec![quoted(text)] };
    term("id", ids.iter().take(IDS_MAX).map(|id| hex(id)).collect());
    term("queue", text(queue));
    term("state", states.iter().filter_map(|state| Some(state_of(*state).ok()?.name().into())).collect());
    term("kind", text(kind));
    term("key", text(key));
    term("dedup", text(dedup_key));
    tags.iter().for_each(|tag| term("tag", vec![quoted(tag)]));
    term("fingerprint", text(error_fingerprint));
    term("session", if session.is_empty() { Vec::new() } else { vec![hex(session)] });
    term("created", span(*created_after_at_ms, *created_before_at_ms));
    term("finished", span(*finished_after_at_ms, *finished_before_at_ms));
    if !filter.trim().is_empty() {
        terms.push(filter.trim().to_owned());
    }
    if ids.len() > IDS_MAX {
        terms.push(format!("and {} more ids", ids.len() - IDS_MAX));
    }
    if terms.is_empty() { "all".to_owned() } else { terms.join(" ") }
}

/// A value that reads back as it is.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| !letter.is_whitespace() && !matches!(letter, ',' | '"' | '*' | '\\');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// At or after the first instant, before the second; 0 is no bound.
fn span(after: u64, before: u64) -> Vec<String> {
    match (after, before) {
        (0, 0) => Vec::new(),
        (after, 0) => vec![format!(">={}", instant(after))],
        (0, before) => vec![format!("<{}", instant(before))],
        (after, before) => vec![format!("{}..{}", instant(after), instant(before - 1))],
    }
}

fn instant(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| format!("{at_ms} ms"), |at| at.to_string())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _written = write!(text, "{dash}{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::inbound::selection::selection;
    use bytes::Bytes;
    use windlass_proto::v1::State;

    const NOW: u64 = 1_795_608_000_000;

    #[test]
    fn the_words_mean_the_same_jobs() {
        let one = |spoil: fn(&mut Selector)| {
            let mut select = Selector::default();
            spoil(&mut select);
            select
        };
        let cases = [
            one(|select| select.queue = "mail".into()),
            one(|select| select.key = "a, \"b\" *\\".into()),
            one(|select| select.states = vec![State::Dead.into(), State::Ready.into()]),
            one(|select| select.tags = vec!["a".into(), "b c".into()]),
            one(|select| select.session = Bytes::from_static(&[7; 16])),
            one(|select| select.error_fingerprint = "b80ef8e0096d299b".into()),
            one(|select| (select.created_after_at_ms, select.created_before_at_ms) = (NOW - 7, NOW)),
            one(|select| select.finished_after_at_ms = NOW),
            one(|select| select.finished_before_at_ms = NOW),
            Selector {
                queue: "mail".into(),
                kind: "send".into(),
                dedup_key: "d".into(),
                states: vec![State::Dead.into()],
                filter: "attempt:>3 -tag:x".into(),
                ..Selector::default()
            },
        ];
        for select in cases {
            let said = words(&select);
            let again = Selector { filter: said.clone(), ..Selector::default() };
            let sort = |select: Selector| {
                let mut select = selection(Some(select), NOW).unwrap().select;
                select.filter.clauses.sort_by_key(|clause| format!("{clause:?}"));
                select
            };
            assert_eq!(sort(again), sort(select), "{said}");
        }
        assert_eq!(words(&Selector { all: true, ..Selector::default() }), "all");
        let many = Selector { ids: vec![Bytes::from_static(&[1; 16]); 10], ..Selector::default() };
        assert!(words(&many).ends_with("010101 and 2 more ids"), "{}", words(&many));
    }
}
