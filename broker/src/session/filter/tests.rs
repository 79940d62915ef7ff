//! The filter language: what is read as what, and what is said of mistakes.

use super::*;
use windlass_engine::filter::{NumberColumn, Pattern, States, Test, TextColumn};
use windlass_engine::ledger::job::State;

/// 2026-11-25T12:00:00Z.
const NOW: u64 = 1_795_608_000_000;
const HOUR: u64 = 3_600_000;

fn tests_of(text: &str) -> Vec<(bool, Vec<Test>)> {
    let filter = filter(text, NOW).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    filter.clauses.into_iter().map(|clause| (clause.is_negated, clause.any)).collect()
}

fn one(text: &str) -> Test {
    let mut clauses = tests_of(text);
    assert_eq!((clauses.len(), clauses[0].1.len()), (1, 1), "{text}");
    clauses.remove(0).1.remove(0)
}

#[test]
fn terms_are_and_commas_are_or_and_a_dash_is_not() {
    let state = |state| Test::State(States::from_iter([state]));
    let is = |text: &str| Test::Text(TextColumn::Queue, Pattern::Is(text.into()));
    assert_eq!(
        tests_of("  state:dead,cancelled   -queue:mail,\"a, \\\"b\\\"\"  "),
        [
            (false, vec![state(State::Dead), state(State::Cancelled)]),
            (true, vec![is("mail"), is("a, \"b\"")]),
        ]
    );
    assert_eq!(tests_of(""), []);
    assert_eq!(one("key:\"\""), Test::Text(TextColumn::Key, Pattern::Is(String::new())));
}

#[test]
fn stars_work_in_names_unless_they_are_quoted() {
    assert_eq!(one("kind:email.*"), Test::Text(TextColumn::Kind, Pattern::Like("email.*".into())));
    assert_eq!(one("kind:\"email.*\""), Test::Text(TextColumn::Kind, Pattern::Is("email.*".into())));
}

#[test]
fn numbers_have_ranges() {
    let attempt = |least, most| Test::Number(NumberColumn::Attempt, least, most);
    assert_eq!(one("attempt:3"), attempt(3, 3));
    assert_eq!(one("attempt:>3"), attempt(4, u64::MAX));
    assert_eq!(one("attempt:>=3"), attempt(3, u64::MAX));
    assert_eq!(one("attempt:<3"), attempt(0, 2));
    assert_eq!(one("attempt:<=3"), attempt(0, 3));
    assert_eq!(one("attempt:2..4"), attempt(2, 4));
    assert_eq!((one("attempt:<0"), one(&format!("attempt:>{}", u64::MAX))), (attempt(1, 0), attempt(1, 0)));
}

#[test]
fn ages_and_instants_are_counted_from_now() {
    let created = |least, most| Test::Number(NumberColumn::Created, least, most);
    assert_eq!(one("age:>1h"), created(0, NOW - HOUR - 1));
    assert_eq!(one("age:<1h30m"), created(NOW - HOUR * 3 / 2 + 1, NOW));
    assert_eq!(one("age:1h..2h"), created(NOW - 2 * HOUR, NOW - HOUR));
    assert_eq!(one("created:>-1h"), created(NOW - HOUR + 1, u64::MAX));
    assert_eq!(one("created:2026-11-25T12:00:00Z"), created(NOW, NOW));
    assert_eq!(one("created:2026-11-25T12:00"), created(NOW, NOW));
    assert_eq!(one("created:2026-11-25"), created(NOW - 12 * HOUR, NOW + 12 * HOUR - 1));
    assert_eq!(one("created:<2026-11-25"), created(0, NOW - 12 * HOUR - 1));
    assert_eq!(one("run_at:<=+1h"), Test::Number(NumberColumn::RunAt, 0, NOW + HOUR));
}

#[test]
fn errors_are_found_by_a_part_or_by_their_fingerprint() {
    assert_eq!(one("error:timeout"), Test::Error(Pattern::Holds("timeout".into())));
    assert_eq!(one("error:\"no user\""), Test::Error(Pattern::Holds("no user".into())));
    assert_eq!(one("fingerprint:b80ef8e0096d299b"), Test::Fingerprint(0xb80e_f8e0_096d_299b));
}

#[test]
fn ids_may_be_cut_short() {
    assert_eq!(one("id:018f-A0"), Test::Id(vec![0x01, 0x8f, 0xa0]));
}

#[test]
fn a_mistake_is_told_with_its_column_and_what_was_expected() {
    for (text, told) in [
        ("dead", "\"dead\" is no term; write `column:value`"),
        ("colour:red", "\"colour\" is no column; where column is one of state, queue"),
        ("state:lost", "`state`: \"lost\" is not one of held, scheduled"),
        ("reason:bad", "`reason`: \"bad\" is not one of failed"),
        ("attempt:many", "`attempt`: \"many\" is not a number"),
        ("attempt:1..", "`attempt`: \"1..\" is not a number"),
        ("age:soon", "`age`: \"soon\" is not a duration"),
        ("created:yesterday", "`created`: \"yesterday\" is not an instant"),
        ("id:xyz", "`id`: \"xyz\" is not an id"),
        ("id:123", "`id`: \"123\" is not an id"),
        ("fingerprint:12", "`fingerprint`: \"12\" is not a fingerprint"),
        ("session:12", "`session`: \"12\" is not the id of a session"),
        ("queue:", "`queue`: a value is missing"),
        ("queue:a,", "`queue`: a value is missing"),
        ("queue:\"a", "`queue`: a quote is not closed"),
        ("queue:\"a\"b", "`queue`: a quoted value ends"),
        ("-", "\"\" is no term"),
    ] {
        let fault = filter(text, NOW).unwrap_err();
        assert_eq!((fault.code.name(), fault.field.as_str()), ("INVALID", "filter"), "{text}");
        assert!(fault.message.contains(told), "{text}: {}", fault.message);
    }
    assert!(filter(&"attempt:1 ".repeat(VALUES_MAX), NOW).is_ok());
    assert!(filter(&"attempt:1 ".repeat(VALUES_MAX + 1), NOW).unwrap_err().message.contains("64 values"));
    assert!(filter(&"a".repeat(FILTER_BYTES_MAX + 1), NOW).unwrap_err().message.contains("bytes"));
}
