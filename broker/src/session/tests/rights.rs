//! Every verb, noun and mutation of the schema against every role, and what a token confines.

use super::*;
use crate::tokens::file::{Entry, File, Glob, Name};
use crate::tokens::secret::{Hash, fresh};
use crate::tokens::{Role, Tokens};
use std::collections::BTreeMap;
use windlass_engine::command::{Query as EngineQuery, Select};
use windlass_proto::v1::change::To;
use windlass_proto::v1::enqueue::Wait;
use windlass_proto::v1::{
    AdvanceClock, Cancel, Change, JobTouch, JobView, LogView, Move, Patch, Put, Resource, Retry,
    Rows as Page, RunAt, Selector, Tell, TokenView, Touch, Watch, resource, signal,
};

/// Which of the roles may, by their first letters. A line that the schema has and this table has not fails
/// the test, and the other way round.
const TABLE: &str = "
    hello           PWVOA
    bye             PWVOA
    enqueue         P...A
    fetch           .W..A
    settle          .W..A
    touch           .W..A
    put             ....A
    put pause       ...OA
    put prune       ....A
    advance_clock   ....A
    watch           ..VOA
    watch ids       P.VOA
    watch close     P.VOA
    change retry    ...OA
    change cancel   ...OA
    change delete   ...OA
    change run_at   ...OA
    change move     ...OA
    change patch    ...OA
    change bury     ...OA
    change confirm  ...OA
    change tell     ...OA
    change stop     ...OA
    query UNSPECIFIED ..VOA
    query JOBS      ..VOA
    query JOBS ids  P.VOA
    query JOB       P.VOA
    query EXPLAIN   P.VOA
    query ERRORS    ..VOA
    query QUEUES    ..VOA
    query KEYS      ..VOA
    query KINDS     ..VOA
    query LIMITS    ..VOA
    query SCHEDULES ..VOA
    query SESSIONS  ..VOA
    query SERIES    ..VOA
    query SCALE     ..VOA
    query SERVER    ..VOA
    query CONFIG    ..VOA
    query EXPORT    ....A
    query AUDIT     ..VOA
    query OPERATIONS ..VOA
    query LOGS      ..VOA
    query TOKENS    ..VOA
";

/// A broker that asks for tokens, and the texts of those it has.
struct Gate {
    terms: Terms,
    texts: BTreeMap<String, String>,
    _dir: tempfile::TempDir,
}

impl Gate {
    fn new(entries: impl IntoIterator<Item = (&'static str, Entry)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.toml");
        let (mut file, mut texts) = (File::default(), BTreeMap::new());
        for (name, entry) in entries {
            let (text, hash) = fresh(name);
            texts.insert(name.to_owned(), text);
            file.token.insert(Name(name.to_owned()), Entry { hash, ..entry });
        }
        file.write(&path).unwrap();
        let tokens = Some(Arc::new(Tokens::open(path).unwrap()));
        Self { terms: terms().with_tokens(tokens).with_test_clock(), texts, _dir: dir }
    }

    /// A token for each role.
    fn of_roles() -> Self {
        Self::new(Role::ALL.map(|role| (role.name(), entry(&[role], &["*"]))))
    }

    fn hello(&self, name: &str) -> Hello {
        Hello { token: self.texts[name].clone(), ..Hello::default() }
    }

    fn open(&self, name: &str) -> Session {
        let mut session = session(self.terms.clone());
        assert!(matches!(ask(&mut session, 1, Request::Hello(self.hello(name))), Verdict::Ask(_)));
        session.take(vec![answer(1, welcome())]);
        said(&mut session);
        session
    }
}

fn entry(roles: &[Role], queues: &[&str]) -> Entry {
    Entry {
        hash: Hash::of(""),
        former_hash: None,
        former_until: None,
        roles: roles.to_vec(),
        queues: queues.iter().map(|queue| Glob((*queue).into())).collect(),
        namespaces: vec![Glob("default".into())],
        expires: None,
        payloads: false,
    }
}

fn id() -> Bytes {
    Bytes::from_static(&[1; 16])
}

fn ids() -> Selector {
    Selector { ids: vec![id()], ..Selector::default() }
}

fn all() -> Selector {
    Selector { all: true, ..Selector::default() }
}

fn to(to: To) -> Request {
    let is_stop = matches!(to, To::Stop(_));
    let (select, operation) = if is_stop { (None, id()) } else { (Some(all()), Bytes::new()) };
    Request::Change(Change { select, operation, to: Some(to), ..Change::default() })
}

fn mutation(word: &str) -> To {
    match word {
        "retry" => To::Retry(Retry::default()),
        "cancel" => To::Cancel(Cancel::default()),
        "delete" => To::Delete(v1::Delete {}),
        "run_at" => To::RunAt(RunAt::default()),
        "move" => To::Move(Move { queue: "mail".into() }),
        "patch" => To::Patch(Patch { key: Some("k".into()), ..Patch::default() }),
        "bury" => To::Bury(v1::Bury {}),
        "confirm" => To::Confirm(v1::Confirm {}),
        "tell" => To::Tell(Tell { r#type: signal::Type::Quiet.into(), ..Tell::default() }),
        "stop" => To::Stop(v1::Stop {}),
        other => panic!("what is {other} of a Change, and whose is it?"),
    }
}

fn query(what: What, select: Option<Selector>) -> Request {
    Request::Query(Query { what: what.into(), select, ..Query::default() })
}

fn put(names: &[&str]) -> Put {
    let set = names.iter().map(|name| {
        let what = if name.starts_with("limit/") {
            resource::What::Limit(v1::Limit { concurrency: Some(0), ..v1::Limit::default() })
        } else {
            resource::What::Queue(v1::QueueConf::default())
        };
        Resource { name: (*name).into(), if_version: 0, what: Some(what) }
    });
    Put { set: set.collect(), ..Put::default() }
}

/// The request that a line of the table means.
fn request(line: &str) -> Request {
    let watch = |select| Request::Watch(Watch { select, ..Watch::default() });
    match line.split_once(' ').unwrap_or((line, "")) {
        ("hello", "") => Request::Hello(Hello::default()),
        ("bye", "") => Request::Bye(Bye::default()),
        ("enqueue", "") => enqueue(vec![job("k")]),
        ("fetch", "") => long_poll(),
        ("settle", "") => {
            let how = Some(result::How::Complete(Complete::default()));
            let result = v1::Result { id: id(), fence: 1, how, ..v1::Result::default() };
            Request::Settle(Settle { results: vec![result] })
        }
        ("touch", "") => {
            let touch = JobTouch { id: id(), fence: 1, ..JobTouch::default() };
            Request::Touch(Touch { jobs: vec![touch], ..Touch::default() })
        }
        ("put", "") => Request::Put(put(&["queue/mail", "limit/pause:queue/mail"])),
        ("put", "pause") => {
            let remove = vec!["limit/pause:queue/bills".into()];
            Request::Put(Put { remove, ..put(&["limit/pause:queue/mail"]) })
        }
        ("put", "prune") => Request::Put(Put { prune: true, ..put(&["limit/pause:queue/mail"]) }),
        ("advance_clock", "") => Request::AdvanceClock(AdvanceClock { by_ms: 1, ..AdvanceClock::default() }),
        ("watch", "") => watch(None),
        ("watch", "ids") => watch(Some(ids())),
        ("watch", "close") => Request::Watch(Watch { stream: 7, close: true, ..Watch::default() }),
        ("change", word) => to(mutation(word)),
        ("query", noun) => {
            let (noun, by) = noun.split_once(' ').unwrap_or((noun, ""));
            let what = What::from_str_name(&format!("WHAT_{noun}")).unwrap();
            let by_id = matches!(what, What::Job | What::Explain | What::Logs) || by == "ids";
            let select = if by_id { Some(ids()) } else { (what == What::Jobs).then(all) };
            query(what, select)
        }
        _ => panic!("{line}?"),
    }
}

/// The words of a oneof of the schema.
fn words_of(message: &str, oneof: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let schema = protox::compile(["v1/windlass.proto"], [folder]).unwrap();
    let pool = protox::prost_reflect::DescriptorPool::from_file_descriptor_set(schema).unwrap();
    let message = pool.get_message_by_name(&format!("windlass.v1.{message}")).unwrap();
    let oneof = message.oneofs().find(|found| found.name() == oneof).unwrap();
    oneof.fields().map(|field| field.name().to_owned()).collect()
}

#[test]
fn every_verb_noun_and_mutation_is_of_certain_roles() {
    let lines = TABLE.lines().filter_map(|line| line.trim().rsplit_once(' '));
    let table: BTreeMap<&str, &str> = lines.map(|(line, roles)| (line.trim(), roles)).collect();
    for verb in
        words_of("ClientFrame", "request").iter().filter(|verb| !["change", "query"].contains(&&***verb))
    {
        assert!(table.contains_key(verb.as_str()), "whose is {verb}?");
    }
    for word in words_of("Change", "to") {
        assert!(table.contains_key(format!("change {word}").as_str()), "whose is Change.{word}?");
    }
    for what in (0..).map_while(|what| What::try_from(what).ok()) {
        let noun = what.as_str_name().strip_prefix("WHAT_").unwrap();
        assert!(table.contains_key(format!("query {noun}").as_str()), "whose is Query {noun}?");
    }
    let gate = Gate::of_roles();
    for (line, roles) in table {
        for role in Role::ALL {
            let letter = role.name()[..1].to_uppercase();
            let mut session = gate.open(role.name());
            let verdict = ask(&mut session, 2, request(line));
            let denied = matches!(&verdict, Verdict::Refuse(_, error) if error.code() == Code::Denied);
            // Logs, and a snapshot, are beyond every token that may not see what jobs carry.
            let may = roles.contains(&letter) && !["query LOGS", "query EXPORT"].contains(&line);
            assert_eq!(!denied, may, "{line} as {}: {verdict:?}", role.name());
            let passes = matches!(&verdict, Verdict::Ask(_) | Verdict::Answer(..));
            let unheard = ["hello", "query UNSPECIFIED", "query KEYS"].contains(&line);
            assert_eq!(passes, may && !unheard, "{line} as {}: {verdict:?}", role.name());
        }
    }
}

#[test]
fn without_a_good_token_nobody_comes_in() {
    let gate = Gate::of_roles();
    let mut expired = entry(&[Role::Admin], &["*"]);
    expired.expires = Some(crate::tokens::file::Moment(NOW));
    let late = Gate::new([("late", expired)]);
    let wrong = [String::new(), "wl_admin_x".into(), fresh("admin").0, late.texts["late"].clone()];
    for token in wrong {
        for terms in [&gate.terms, &late.terms] {
            let mut session = session(terms.clone());
            let hello = Hello { token: token.clone(), ..Hello::default() };
            let (id, code, field) = closed(ask(&mut session, 1, Request::Hello(hello)));
            assert_eq!((id, code, field.as_str()), (1, Code::Unauthenticated, "token"));
            assert!(session.is_closed());
        }
    }
    let other = Hello { namespace: "shop".into(), ..gate.hello("admin") };
    let verdict = ask(&mut session(gate.terms.clone()), 1, Request::Hello(other));
    assert_eq!(closed(verdict), (1, Code::Denied, "namespace".into()));
}

#[test]
fn a_second_hello_has_to_show_its_token_again() {
    let gate = Gate::of_roles();
    let mut session = session(gate.terms.clone());
    let unknown =
        Hello { resume_session: id(), resume_secret: Bytes::from_static(&[1; 32]), ..gate.hello("admin") };
    assert_eq!(refused(ask(&mut session, 1, Request::Hello(unknown))).1, Code::Unauthenticated);
    assert_eq!(closed(ask(&mut session, 2, Request::Hello(Hello::default()))).1, Code::Unauthenticated);
}

#[test]
fn the_engine_knows_whose_session_it_is() {
    let gate = Gate::new([("ci", entry(&[Role::Producer], &["mail-*"]))]);
    let command = asked(ask(&mut session(gate.terms.clone()), 1, Request::Hello(gate.hello("ci"))));
    let Command::Hello(hello) = command else { panic!("{command:?}") };
    assert_eq!(hello.token, "ci");
    assert!(hello.reach.covers("mail-eu") && !hello.reach.covers("bills"));
}

/// A token that is everything, for some queues only.
fn confined() -> Session {
    Gate::new([("all", entry(&Role::ALL, &["mail", "mail-*"]))]).open("all")
}

#[test]
fn what_names_a_queue_beyond_the_tokens_reach_is_refused_at_its_field() {
    let queue = |name: &str| Selector { queue: name.into(), ..Selector::default() };
    let of = |queue: &str| JobSpec { queue: queue.into(), ..job("k") };
    let fetch = |queues: &[&str]| {
        let sources = queues.iter().map(|queue| source(queue)).collect();
        Request::Fetch(Fetch { sources, slots: 1, ..Fetch::default() })
    };
    let change =
        |select, to| Request::Change(Change { select: Some(select), to: Some(to), ..Change::default() });
    let named = |what: What| Query { what: what.into(), name: "bills".into(), ..Query::default() };
    let dedup = Some(v1::Dedup { key: "k".into(), whole_namespace: true, ..v1::Dedup::default() });
    let tick = [("schedule", "nightly"), ("schedule-tick-ms", "60000")];
    let tick = tick.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let dependents = To::Cancel(Cancel { dependents: true, ..Cancel::default() });
    let cases = [
        ("jobs[1].queue", enqueue(vec![of("mail"), of("bills")])),
        ("jobs[0].queue", enqueue(vec![of("")])),
        ("jobs[0].dedup.whole_namespace", enqueue(vec![JobSpec { dedup, ..of("mail") }])),
        ("jobs[0].headers", enqueue(vec![JobSpec { headers: tick, ..of("mail") }])),
        ("sources[1].queue", fetch(&["mail", "_webhooks"])),
        ("select.queue", change(queue("bills"), mutation("retry"))),
        ("move.queue", change(all(), To::Move(Move { queue: "bills".into() }))),
        ("cancel.dependents", change(ids(), dependents)),
        ("", to(mutation("tell"))),
        ("", to(mutation("stop"))),
        ("name", Request::Query(named(What::Queues))),
        ("name", Request::Query(named(What::Scale))),
        ("select.queue", query(What::Jobs, Some(queue("bills")))),
        ("select.queue", query(What::Series, Some(queue("bills")))),
        ("", query(What::Series, None)),
        ("select.queue", Request::Watch(Watch { select: Some(queue("bills")), ..Watch::default() })),
        ("", Request::Put(put(&["queue/mail"]))),
        ("", Request::Put(put(&["limit/pause:queue/mail", "limit/pause:queue/bills"]))),
        ("", request("advance_clock")),
    ];
    let nouns = [
        What::Kinds,
        What::Limits,
        What::Schedules,
        What::Errors,
        What::Config,
        What::Operations,
        What::Audit,
        What::Tokens,
    ];
    let cases = cases.into_iter().chain(nouns.map(|what| ("", query(what, None))));
    for (field, request) in cases {
        let shown = format!("{request:?}");
        let verdict = refused(ask(&mut confined(), 2, request));
        assert_eq!(verdict, (2, Code::Denied, field.to_owned()), "{shown}");
    }
    for request in [
        enqueue(vec![of("mail"), of("mail-eu")]),
        fetch(&["mail", "mail-eu"]),
        change(queue("mail"), mutation("retry")),
        to(mutation("move")),
        Request::Put(put(&["limit/pause:queue/mail"])),
        query(What::Series, Some(all())),
        query(What::Queues, None),
        query(What::Server, None),
        query(What::Sessions, None),
    ] {
        asked(ask(&mut confined(), 2, request));
    }
}

#[test]
fn a_selector_means_jobs_of_the_tokens_queues_only() {
    let condition = |select: &Select| format!("{:?}", select.filter.clauses);
    for select in [all(), ids(), Selector { kind: "k".into(), ..Selector::default() }] {
        let request = query(What::Jobs, Some(select.clone()));
        let Command::Query(EngineQuery::Jobs(jobs)) = asked(ask(&mut confined(), 2, request)) else {
            panic!()
        };
        assert!(condition(&jobs.select).contains("mail-*"), "{jobs:?}");
        let change = Change { select: Some(select), to: Some(mutation("retry")), ..Change::default() };
        let Command::Change(change) = asked(ask(&mut confined(), 2, Request::Change(change))) else {
            panic!()
        };
        assert!(condition(&change.select).contains("mail-*"), "{change:?}");
    }
}

#[test]
fn a_job_that_follows_into_another_queue_is_a_refused_spawn() {
    let spawn = vec![JobSpec { queue: "bills".into(), ..job("k") }];
    let how = Some(result::How::Complete(Complete::default()));
    let result = v1::Result { id: id(), fence: 1, how, spawn, ..v1::Result::default() };
    let settle = Request::Settle(Settle { results: vec![result] });
    let Command::Settle(results) = asked(ask(&mut confined(), 2, settle)) else { panic!() };
    let refusal = results[0].spawn.as_ref().unwrap().as_ref().as_ref().unwrap_err();
    assert_eq!((refusal.code, refusal.field.as_str()), (EngineCode::Denied, "spawn[0].queue"));
}

#[test]
fn one_bad_job_does_not_keep_the_others_of_a_partial_enqueue() {
    let jobs = vec![JobSpec { queue: "mail".into(), ..job("k") }, job("k")];
    let request = Request::Enqueue(Enqueue { jobs, partial: true, wait: Wait::Accepted.into(), wait_ms: 0 });
    let Command::Enqueue(enqueue) = asked(ask(&mut confined(), 2, request)) else { panic!() };
    assert!(enqueue.jobs[0].is_ok());
    assert_eq!(enqueue.jobs[1].as_ref().unwrap_err().field, "jobs[1].queue");
}

#[test]
fn what_jobs_carry_is_hidden_but_from_whom_may_see_it() {
    let open = Entry { payloads: true, ..entry(&[Role::Viewer], &["*"]) };
    let gate = Gate::new([("hidden", entry(&[Role::Viewer], &["*"])), ("open", open)]);
    let headers = [("a".into(), "b".into()), (FINGERPRINT.into(), "f".into())];
    let job = JobView {
        id: id(),
        payload: id(),
        result: id(),
        headers: headers.into(),
        payload_bytes: 16,
        ..JobView::default()
    };
    let rows = Page { jobs: vec![job.clone()], logs: vec![LogView::default()], ..Page::default() };
    let shown = |name: &str| gate.open(name).shown(rows.clone()).jobs.remove(0);
    assert_eq!(shown("open"), job);
    let hidden = shown("hidden");
    assert!(hidden.bodies_hidden && hidden.payload.is_empty() && hidden.result.is_empty());
    assert_eq!(hidden.headers.keys().collect::<Vec<_>>(), [FINGERPRINT]);
    assert_eq!(hidden.payload_bytes, 16);
    let logs = || query(What::Logs, Some(ids()));
    assert_eq!(refused(ask(&mut gate.open("hidden"), 2, logs())).1, Code::Denied);
    asked(ask(&mut gate.open("open"), 2, logs()));
    let select = Some(ids());
    let watch = |with_result| {
        Request::Watch(Watch {
            select: select.clone(),
            with_result,
            with_stream: !with_result,
            ..Watch::default()
        })
    };
    for (field, request) in [("with_result", watch(true)), ("with_stream", watch(false))] {
        let verdict = refused(ask(&mut gate.open("hidden"), 2, request.clone()));
        assert_eq!(verdict, (2, Code::Denied, field.to_owned()));
        asked(ask(&mut gate.open("open"), 2, request));
    }
}

#[test]
fn tokens_are_shown_without_their_hashes() {
    let gate = Gate::of_roles();
    let verdict = ask(&mut gate.open("viewer"), 2, query(What::Tokens, None));
    let Verdict::Answer(2, words) = verdict else { panic!("{verdict:?}") };
    let Words::Rows(Page { tokens, .. }) = *words else { panic!() };
    let names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["admin", "operator", "producer", "viewer", "worker"]);
    let viewer = TokenView { last_used_at_ms: 0, ..tokens[3].clone() };
    assert_eq!(tokens[3].last_used_at_ms, NOW);
    let expected = TokenView {
        name: "viewer".into(),
        roles: vec!["viewer".into()],
        queues: vec!["*".into()],
        namespaces: vec!["default".into()],
        ..TokenView::default()
    };
    assert_eq!(viewer, expected);
}

#[test]
fn a_token_that_has_ended_ends_its_conversation() {
    let mut session = Gate::of_roles().open("viewer");
    let (id, code, _) = closed(session.revoke());
    assert_eq!((id, code), (0, Code::Unauthenticated));
    assert!(session.is_closed());
}

#[test]
fn nobody_but_an_admin_moves_jobs_to_where_deliveries_wait() {
    let moved = || to(To::Move(Move { queue: "_webhooks".into() }));
    let verdict = refused(ask(&mut Gate::of_roles().open("operator"), 2, moved()));
    assert_eq!(verdict, (2, Code::Denied, "move.queue".to_owned()));
    asked(ask(&mut Gate::of_roles().open("admin"), 2, moved()));
}
