//! Every request that a welcomed peer can have refused: one Error with code, message and field, nothing
//! stored, and the connection goes on.

use crate::harness::{Broker, fresh_id, job, stream};
use bytes::Bytes;
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::fetch::{Batch, Source};
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::{
    Backoff, Beat, Cancel, Change, Code, Delete, Enqueue, Fetch, Hello, JobSpec, JobTouch, Limit, LogLine,
    Move, Patch, Policy, Put, Query, QueueConf, Resource, Result as Outcome, Retry, RunAt, Selector, Settle,
    Sink, Stop, Tell, Token, Touch,
};

type Case = (Request, Code, &'static str);

const YEARS_11: u64 = 11 * 366 * 86_400_000;
const DAYS_8: u64 = 8 * 86_400_000;

#[test]
fn what_is_refused_is_refused_at_its_field_and_leaves_no_trace() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let before = peer.server();
    for cases in [malformed_jobs(), fetches(), settles_and_touches(), changes()] {
        check(&mut peer, cases);
    }
    for cases in [queries(), puts(), lists_over_their_bounds()] {
        check(&mut peer, cases);
    }
    let after = peer.server();
    assert_eq!((after.jobs, after.sessions), (0, 1));
    assert_eq!(after.facts_total, before.facts_total, "a refused request decides nothing");
    assert_eq!(peer.rows(Query { what: What::Queues.into(), ..Query::default() }).queues, []);
}

fn check(peer: &mut crate::harness::Peer, cases: Vec<Case>) {
    for (request, code, field) in cases {
        let told: String = format!("{request:?}").chars().take(300).collect();
        let refusal = peer.refused(request);
        assert_eq!((refusal.code(), refusal.field.as_str()), (code, field), "{told}: {}", refusal.message);
        assert!(!refusal.message.is_empty() && refusal.message.len() <= 1_024, "{told}: {refusal:?}");
    }
}

fn enqueue(spoil: impl FnOnce(&mut JobSpec)) -> Request {
    let mut spoiled = job("k");
    spoil(&mut spoiled);
    Request::Enqueue(Enqueue { jobs: vec![job("k"), spoiled], ..Enqueue::default() })
}

fn with_policy(policy: Policy) -> Request {
    enqueue(|job| job.policy = Some(policy))
}

fn with_backoff(backoff: Backoff) -> Request {
    with_policy(Policy { backoff: Some(backoff), ..Policy::default() })
}

fn malformed_jobs() -> Vec<Case> {
    let twice = job("k");
    let big = Bytes::from(vec![b'x'; (1 << 20) + 1]);
    let long = "x".repeat(201);
    let invalid = [
        (Request::Enqueue(Enqueue::default()), "jobs"),
        (Request::Enqueue(Enqueue { jobs: vec![job("k")], wait: 9, ..Enqueue::default() }), "wait"),
        (Request::Enqueue(Enqueue { jobs: vec![twice.clone(), twice], ..Enqueue::default() }), "jobs[1].id"),
        (enqueue(|job| job.kind = "send email".into()), "jobs[1].kind"),
        (enqueue(|job| job.kind.clone_from(&long)), "jobs[1].kind"),
        (enqueue(|job| job.queue = "zoë".into()), "jobs[1].queue"),
        (enqueue(|job| job.queue.clone_from(&long)), "jobs[1].queue"),
        (enqueue(|job| job.key = "a\nb".into()), "jobs[1].key"),
        (enqueue(|job| job.key.clone_from(&long)), "jobs[1].key"),
        (enqueue(|job| job.id = Bytes::from_static(&[1; 15])), "jobs[1].id"),
        (enqueue(|job| job.id = Bytes::from_static(&[0; 16])), "jobs[1].id"),
        (enqueue(|job| job.content_type = "a\tb".into()), "jobs[1].content_type"),
        (enqueue(|job| job.content_encoding.clone_from(&long)), "jobs[1].content_encoding"),
        (enqueue(|job| drop(job.headers.insert("a b".into(), String::new()))), "jobs[1].headers"),
        (enqueue(|job| job.tags = vec!["a".into(), "x".repeat(101)]), "jobs[1].tags[1]"),
        (enqueue(|job| (job.run_at_ms, job.delay_ms) = (1, 1)), "jobs[1].delay_ms"),
        (enqueue(|job| job.delay_ms = YEARS_11), "jobs[1].delay_ms"),
        (enqueue(|job| job.run_at_ms = u64::MAX), "jobs[1].run_at_ms"),
        (enqueue(|job| job.weight = 1_001), "jobs[1].weight"),
        (enqueue(|job| job.limits = vec!["a b".into()]), "jobs[1].limits[0]"),
        (enqueue(|job| job.dep_policy = 99), "jobs[1].dep_policy"),
        (with_policy(Policy { priority: Some(10), ..Policy::default() }), "jobs[1].policy.priority"),
        (with_policy(Policy { max_attempts: Some(0), ..Policy::default() }), "jobs[1].policy.max_attempts"),
        (with_policy(Policy { max_crashes: Some(0), ..Policy::default() }), "jobs[1].policy.max_crashes"),
        (with_policy(Policy { cost: Some(1_001), ..Policy::default() }), "jobs[1].policy.cost"),
        (with_policy(Policy { lease_ms: Some(DAYS_8), ..Policy::default() }), "jobs[1].policy.lease_ms"),
        (
            with_policy(Policy { timeout_ms: Some(u64::MAX), ..Policy::default() }),
            "jobs[1].policy.timeout_ms",
        ),
        (with_policy(Policy { stall_ms: Some(u64::MAX), ..Policy::default() }), "jobs[1].policy.stall_ms"),
        (with_policy(Policy { ordering: Some(9), ..Policy::default() }), "jobs[1].policy.ordering"),
        (with_backoff(Backoff { shape: 3, ..Backoff::default() }), "jobs[1].policy.backoff.list_ms"),
        (with_backoff(Backoff { shape: 9, ..Backoff::default() }), "jobs[1].policy.backoff.shape"),
        (with_backoff(Backoff { base_ms: DAYS_8, ..Backoff::default() }), "jobs[1].policy.backoff.base_ms"),
    ];
    let too_large = [
        (enqueue(|job| job.payload = big), "jobs[1].payload"),
        (enqueue(|job| drop(job.headers.insert("a".into(), "x".repeat(4_097)))), "jobs[1].headers"),
    ];
    both(invalid, Code::Invalid, too_large, Code::TooLarge)
}

fn fetch(spoil: impl FnOnce(&mut Fetch)) -> Request {
    let mut spoiled = stream("q", 1);
    spoil(&mut spoiled);
    Request::Fetch(spoiled)
}

fn fetches() -> Vec<Case> {
    let source = |queue: &str| Source { queue: queue.into(), weight: 0 };
    let invalid = [
        (fetch(|fetch| fetch.sources.clear()), "sources"),
        (fetch(|fetch| fetch.sources = vec![source("a b")]), "sources[0].queue"),
        (fetch(|fetch| fetch.sources[0].weight = 1_001), "sources[0].weight"),
        (fetch(|fetch| fetch.batch = Some(Batch { max: 9_999, ..Batch::default() })), "batch.max"),
        (fetch(|fetch| fetch.kinds = vec!["k".into(), String::new()]), "kinds[1]"),
        (fetch(|fetch| fetch.slots = 0), "slots"),
        (fetch(|fetch| fetch.slots = 10_001), "slots"),
        (fetch(|fetch| fetch.once = 10_001), "once"),
        (fetch(|fetch| (fetch.once, fetch.wait_ms) = (1, 600_001)), "wait_ms"),
        (fetch(|fetch| fetch.lease_ms = DAYS_8), "lease_ms"),
    ];
    let mut cases = all(invalid, Code::Invalid);
    let change = |close| Request::Fetch(Fetch { stream: 77, slots: 1, close, ..Fetch::default() });
    cases.extend([(change(false), Code::NotFound, "stream"), (change(true), Code::NotFound, "stream")]);
    cases
}

fn settles_and_touches() -> Vec<Case> {
    let touch = |spoil: fn(&mut JobTouch)| {
        let mut touch = JobTouch { id: fresh_id(), fence: 1, ..JobTouch::default() };
        spoil(&mut touch);
        Request::Touch(Touch { beat: Some(Beat::default()), jobs: vec![touch] })
    };
    let beat = Beat { phase: 9, ..Beat::default() };
    let invalid = [
        (Request::Settle(Settle::default()), "results"),
        (Request::Touch(Touch { beat: Some(beat), jobs: Vec::new() }), "beat.phase"),
        (touch(|touch| touch.id = Bytes::new()), "jobs[0].id"),
        (touch(|touch| touch.extend_ms = Some(DAYS_8)), "jobs[0].extend_ms"),
        (touch(|touch| touch.progress_permille = Some(1_001)), "jobs[0].progress_permille"),
        (
            touch(|touch| touch.logs = vec![LogLine { level: 8, ..LogLine::default() }]),
            "jobs[0].logs[0].level",
        ),
        (Request::Hello(Hello::default()), ""),
        (Request::Touch(Touch::default()), ""),
    ];
    let too_large = [
        (touch(|touch| touch.logs = vec![LogLine::default(); 101]), "jobs[0].logs"),
        (touch(|touch| touch.checkpoint = Some(vec![0; 65_537].into())), "jobs[0].checkpoint"),
        (touch(|touch| touch.stream = vec![0; 65_537].into()), "jobs[0].stream"),
    ];
    both(invalid, Code::Invalid, too_large, Code::TooLarge)
}

fn change_of(select: Selector, to: To) -> Change {
    Change { select: Some(select), to: Some(to), ..Change::default() }
}

fn changes() -> Vec<Case> {
    let one = || Selector { ids: vec![fresh_id()], ..Selector::default() };
    let to = |to: To| Request::Change(change_of(one(), to));
    let delete = |select: Selector| Request::Change(change_of(select, To::Delete(Delete {})));
    let retry = change_of(Selector { all: true, ..Selector::default() }, To::Retry(Retry::default()));
    let wary = Change { stop_failure_permille: 1, ..change_of(one(), To::Delete(Delete {})) };
    let high = Policy { priority: Some(10), ..Policy::default() };
    let grace = Cancel { grace_ms: 3_600_001, ..Cancel::default() };
    let invalid = [
        (delete(Selector::default()), "select"),
        (Request::Change(Change { select: Some(one()), ..Change::default() }), "to"),
        (delete(Selector { ids: vec![fresh_id(), Bytes::from_static(b"x")], ..one() }), "select.ids[1]"),
        (delete(Selector { states: vec![99], ..one() }), "select.states[0]"),
        (delete(Selector { queue: "a b".into(), ..one() }), "select.queue"),
        (to(To::RunAt(RunAt { run_at_ms: u64::MAX })), "run_at.run_at_ms"),
        (to(To::Cancel(grace)), "cancel.grace_ms"),
        (delete(Selector { filter: " ".into(), ..Selector::default() }), "select"),
        (delete(Selector { filter: "state:lost".into(), ..Selector::default() }), "select.filter"),
        (to(To::Retry(Retry { spread_ms: u64::MAX, ..Retry::default() })), "retry.spread_ms"),
        (to(To::Move(Move { queue: "a b".into() })), "move.queue"),
        (to(To::Patch(Patch::default())), "patch"),
        (
            to(To::Patch(Patch { add_tags: vec!["a".into(), "b\n".into()], ..Patch::default() })),
            "patch.add_tags[1]",
        ),
        (to(To::Patch(Patch { policy: Some(high), ..Patch::default() })), "patch.policy.priority"),
        (to(To::Stop(Stop {})), "operation"),
        (to(To::Tell(Tell::default())), "tell.type"),
        (Request::Change(Change { per_second: 1, ..retry.clone() }), "operation"),
        (Request::Change(Change { operation: Bytes::from_static(b"x"), ..retry.clone() }), "operation"),
        (Request::Change(Change { stop_failure_permille: 1_001, ..retry }), "stop_failure_permille"),
        (Request::Change(wary), "stop_failure_permille"),
    ];
    let mut cases = all(invalid, Code::Invalid);
    let unknown = Change { operation: fresh_id(), to: Some(To::Stop(Stop {})), ..Change::default() };
    cases.push((Request::Change(unknown), Code::NotFound, "operation"));
    cases
}

fn queries() -> Vec<Case> {
    let query = |what: What, spoil: fn(&mut Query)| {
        let select = Some(Selector { all: true, ..Selector::default() });
        let mut query = Query { what: what.into(), select, ..Query::default() };
        spoil(&mut query);
        Request::Query(query)
    };
    let missing = |query: &mut Query| {
        query.select = Some(Selector { ids: vec![fresh_id()], ..Selector::default() });
    };
    let invalid = [
        (query(What::Unspecified, |_| ()), "what"),
        (query(What::Jobs, |query| query.what = 99), "what"),
        (query(What::Jobs, |query| query.limit = 1_001), "limit"),
        (query(What::Jobs, |query| query.cursor = Bytes::from_static(b"mine")), "cursor"),
        (query(What::Jobs, |query| query.select = None), "select"),
        (query(What::Jobs, |query| query.select.as_mut().unwrap().filter = "x".into()), "select.filter"),
        (query(What::Jobs, |query| query.select.as_mut().unwrap().session = "x".into()), "select.session"),
        (query(What::Jobs, |query| query.fields = vec!["payload".into(), "x".into()]), "fields[1]"),
        (query(What::Job, |query| query.select = None), "select.ids"),
        (query(What::Queues, |query| query.name = "a b".into()), "name"),
    ];
    let unsupported = [
        (query(What::Keys, |_| ()), "what"),
        (query(What::Tokens, |_| ()), "what"),
        (query(What::Jobs, |query| query.window_ms = 1), "window_ms"),
    ];
    let mut cases = both(invalid, Code::Invalid, unsupported, Code::Unsupported);
    cases.push((query(What::Job, missing), Code::NotFound, "select.ids"));
    cases
}

fn puts() -> Vec<Case> {
    let set = |name: &str, what: Content| {
        let good = Resource {
            name: "queue/good".into(),
            what: Some(Content::Queue(QueueConf::default())),
            ..Resource::default()
        };
        let resource = Resource { name: name.into(), what: Some(what), ..Resource::default() };
        Request::Put(Put { set: vec![good, resource], ..Put::default() })
    };
    let pause = |limit: Limit| set("limit/pause:queue/mail", Content::Limit(limit));
    let empty = Resource { name: "queue/q".into(), ..Resource::default() };
    let other = Limit { queue: "other".into(), concurrency: Some(0), ..Limit::default() };
    let conf = |conf: QueueConf| set("queue/q", Content::Queue(conf));
    let invalid = [
        (Request::Put(Put { set: vec![empty], ..Put::default() }), "set[0].what"),
        (set("queue/a b", Content::Queue(QueueConf::default())), "set[1].name"),
        (set("mail", Content::Queue(QueueConf::default())), "set[1].name"),
        (set("kind/k", Content::Queue(QueueConf::default())), "set[1].name"),
        (
            set("kind/k", Content::Kind(Policy { priority: Some(10), ..Policy::default() })),
            "set[1].kind.priority",
        ),
        (conf(QueueConf { overflow: 9, ..QueueConf::default() }), "set[1].queue.overflow"),
        (conf(QueueConf { dispatch: 9, ..QueueConf::default() }), "set[1].queue.dispatch"),
        (pause(other), "set[1].limit.queue"),
        (pause(Limit::default()), "set[1].limit.concurrency"),
        (pause(Limit { concurrency: Some(5), ..Limit::default() }), "set[1].limit.concurrency"),
        (set("limit/stripe", Content::Limit(Limit::default())), "set[1].limit"),
        (set("sink/s", Content::Sink(Sink::default())), "set[1].sink.url"),
        (Request::Put(Put { remove: vec!["queue/a".into(), "x y".into()], ..Put::default() }), "remove[1]"),
    ];
    let unsupported = [
        (set("token/s", Content::Token(Token::default())), "set[1].token"),
        (conf(QueueConf { max_jobs: 1, ..QueueConf::default() }), "set[1].queue.max_jobs"),
    ];
    let mut cases = both(invalid, Code::Invalid, unsupported, Code::Unsupported);
    let newer =
        Resource { name: "queue/q".into(), if_version: 3, what: Some(Content::Queue(QueueConf::default())) };
    let put = Request::Put(Put { set: vec![newer], ..Put::default() });
    cases.push((put, Code::VersionConflict, "set[0].if_version"));
    cases
}

fn lists_over_their_bounds() -> Vec<Case> {
    let jobs = vec![JobSpec { kind: "k".into(), ..JobSpec::default() }; 10_001];
    let results = vec![Outcome { id: fresh_id(), ..Outcome::default() }; 10_001];
    let touches = vec![JobTouch { id: fresh_id(), ..JobTouch::default() }; 10_001];
    let many = Selector { ids: vec![fresh_id(); 10_001], ..Selector::default() };
    let headers = (0..65).map(|number| (format!("h{number}"), String::new()));
    let too_large = [
        (Request::Enqueue(Enqueue { jobs, ..Enqueue::default() }), "jobs"),
        (Request::Settle(Settle { results }), "results"),
        (Request::Touch(Touch { beat: None, jobs: touches }), "jobs"),
        (Request::Change(change_of(many, To::Delete(Delete {}))), "select.ids"),
        (enqueue(|job| job.headers = headers.collect()), "jobs[1].headers"),
        (enqueue(|job| job.tags = vec!["t".into(); 17]), "jobs[1].tags"),
        (fetch(|fetch| fetch.sources = vec![fetch.sources[0].clone(); 65]), "sources"),
        (fetch(|fetch| fetch.kinds = vec!["k".into(); 257]), "kinds"),
        (Request::Put(Put { remove: vec!["queue/q".into(); 1_001], ..Put::default() }), "remove"),
    ];
    all(too_large, Code::TooLarge)
}

fn all(cases: impl IntoIterator<Item = (Request, &'static str)>, code: Code) -> Vec<Case> {
    cases.into_iter().map(|(request, field)| (request, code, field)).collect()
}

fn both(
    some: impl IntoIterator<Item = (Request, &'static str)>,
    code: Code,
    others: impl IntoIterator<Item = (Request, &'static str)>,
    other_code: Code,
) -> Vec<Case> {
    let mut cases = all(some, code);
    cases.extend(all(others, other_code));
    cases
}
