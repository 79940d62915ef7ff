//! Every field of the schema that this broker does not act on, and what it says to it. Whoever makes
//! one of them work deletes its line here.

use super::*;
use windlass_proto::v1::{
    Change, Put, QueueConf, Resource, Retry, RunAt, Selector, Token, Watch, change::To, fetch, resource,
};

fn check(cases: impl IntoIterator<Item = (&'static str, Request)>) {
    for (field, request) in cases {
        let mut session = open(terms());
        let shown = format!("{request:?}");
        let refused = refused(ask(&mut session, 2, request));
        assert_eq!(refused, (2, Code::Unsupported, field.to_owned()), "{shown}");
    }
}

fn id() -> Bytes {
    Bytes::from_static(&[1; 16])
}

#[test]
fn of_a_fetch() {
    let change = Fetch { stream: 9, slots: 1, ..Fetch::default() };
    check([
        ("sources", Request::Fetch(Fetch { sources: vec![source("a")], ..change.clone() })),
        ("kinds", Request::Fetch(Fetch { kinds: vec!["k".into()], ..change.clone() })),
        ("once", Request::Fetch(Fetch { once: 1, ..change.clone() })),
        ("wait_ms", Request::Fetch(Fetch { wait_ms: 1, ..change.clone() })),
        ("lease_ms", Request::Fetch(Fetch { lease_ms: 1, ..change.clone() })),
        ("batch", Request::Fetch(Fetch { batch: Some(fetch::Batch::default()), ..change })),
    ]);
}

fn selectors() -> Vec<(&'static str, Selector)> {
    Vec::new()
}

#[test]
fn of_a_change() {
    let to = |to| Change { to: Some(to), ..Change::default() };
    let by_id = Selector { ids: vec![id(), id()], ..Selector::default() };
    let retry = Change { select: Some(by_id), ..to(To::Retry(Retry::default())) };
    let by = |select| Request::Change(Change { select: Some(select), ..retry.clone() });
    check(selectors().into_iter().map(|(field, select)| (field, by(select))));
    let far = Change {
        select: Some(Selector { ids: vec![id()], ..Selector::default() }),
        ..to(To::RunAt(RunAt { run_at_ms: u64::MAX }))
    };
    assert_eq!(refused(ask(&mut open(terms()), 2, Request::Change(far))).2, "run_at.run_at_ms");
}

#[test]
fn of_a_query() {
    let all = Some(Selector { all: true, ..Selector::default() });
    let query = |what: What| Query { what: what.into(), select: all.clone(), ..Query::default() };
    let by = |what, select| Request::Query(Query { select: Some(select), ..query(what) });
    let nouns = [
        What::Jobs,
        What::Job,
        What::Explain,
        What::Logs,
        What::Limits,
        What::Schedules,
        What::Queues,
        What::Sessions,
        What::Server,
        What::Operations,
        What::Audit,
        What::Errors,
        What::Config,
        What::Kinds,
        What::Scale,
        What::Series,
        What::Export,
    ];
    check(
        nouns
            .into_iter()
            .filter(|what| *what != What::Jobs)
            .map(|what| ("fields", Request::Query(Query { fields: vec!["payload".into()], ..query(what) }))),
    );
    check(
        nouns
            .into_iter()
            .filter(|what| *what != What::Series)
            .map(|what| ("step_ms", Request::Query(Query { step_ms: 1, ..query(what) }))),
    );
    check(nouns.into_iter().flat_map(|what| {
        selectors().into_iter().map(move |(field, select)| (field, by(what, select))).collect::<Vec<_>>()
    }));
    let ids = Selector { ids: vec![id()], ..Selector::default() };
    let two = Selector { ids: vec![id(), id()], ..Selector::default() };
    let name = "n".to_owned();
    check([
        ("select.ids", by(What::Job, two)),
        ("select.ids", by(What::Queues, ids.clone())),
        ("select.ids", by(What::Sessions, ids.clone())),
        ("select.ids", by(What::Server, ids)),
        ("select.queue", by(What::Sessions, Selector { queue: "a".into(), ..Selector::default() })),
        ("select.kind", by(What::Queues, Selector { kind: "a".into(), ..Selector::default() })),
        ("name", Request::Query(Query { name: name.clone(), ..query(What::Jobs) })),
        ("name", Request::Query(Query { name: name.clone(), ..query(What::Sessions) })),
        ("name", Request::Query(Query { name, ..query(What::Server) })),
        ("newest_first", Request::Query(Query { newest_first: true, ..query(What::Queues) })),
        ("newest_first", Request::Query(Query { newest_first: true, ..query(What::Sessions) })),
        ("cursor", Request::Query(Query { cursor: id(), ..query(What::Server) })),
    ]);
    let others = (1..=19).filter_map(|what| What::try_from(what).ok()).filter(|what| !nouns.contains(what));
    check(others.map(|what| ("what", Request::Query(query(what)))));
}

#[test]
fn of_a_put() {
    let set = |name: &str, what| {
        let resource = Resource { name: name.into(), if_version: 0, what: Some(what) };
        Request::Put(Put { set: vec![resource], ..Put::default() })
    };
    let queue = |field, spoil: fn(&mut QueueConf)| {
        let mut conf = QueueConf::default();
        spoil(&mut conf);
        (field, set("queue/mail", resource::What::Queue(conf)))
    };
    check([
        queue("set[0].queue.max_jobs", |conf| conf.max_jobs = 1),
        queue("set[0].queue.max_bytes", |conf| conf.max_bytes = 1),
        queue("set[0].queue.max_payload", |conf| conf.max_payload = 1),
        queue("set[0].queue.overflow", |conf| conf.overflow = 2),
        ("set[0].token", set("token/ci", resource::What::Token(Token::default()))),
        ("remove[0]", Request::Put(Put { remove: vec!["token/ci".into()], ..Put::default() })),
    ]);
}

#[test]
fn of_a_watch() {
    let ids = || Selector { ids: vec![id()], ..Selector::default() };
    let of = |select| Request::Watch(Watch { select: Some(select), ..Watch::default() });
    let until = |select| Watch { select: Some(select), until_finished: true, ..Watch::default() };
    check(selectors().into_iter().map(|(field, select)| (field, of(select))));
    check([
        ("select.filter", of(Selector { filter: "kind:a".into(), ..Selector::default() })),
        ("select.group", of(Selector { group: id(), ..Selector::default() })),
        ("select.tags", of(Selector { tags: vec!["a".into()], ..Selector::default() })),
        ("select.session", of(Selector { session: id(), ..Selector::default() })),
        ("select.queue", Request::Watch(until(Selector { queue: "a".into(), ..ids() }))),
        ("from_seq", Request::Watch(Watch { from_seq: 1, ..until(ids()) })),
        ("select", Request::Watch(Watch { stream: 9, select: Some(ids()), ..Watch::default() })),
        ("names", Request::Watch(Watch { stream: 9, names: vec!["job.dead".into()], ..Watch::default() })),
    ]);
}
