//! Every refusal, verb by verb: a request that is malformed, contradictory or out of bounds, the field at
//! fault, and nothing left of it, in the session or in the engine.

use super::desk::{Desk, Outcome};
use super::*;
use windlass_proto::limits::{ATTEMPTS_MAX, DELAY_MS_MAX};
use windlass_proto::v1::signal::Type;
use windlass_proto::v1::{
    self, Backoff, Beat, Cancel, Change, Dedup, Delete, Fail, JobTouch, Limit, Patch, Policy, Put, QueueConf,
    Release, Resource, Retry, RunAt, Selector, Stop, Tell, Touch, Watch, change::To, dedup, fetch::Batch,
    resource,
};

type Case = (&'static str, Request);

/// Each is refused as INVALID, at this field, and leaves nothing.
fn invalid(cases: impl IntoIterator<Item = Case>) {
    refused_as(Code::Invalid, cases);
}

fn refused_as(code: Code, cases: impl IntoIterator<Item = Case>) {
    let mut desk = Desk::new();
    for (field, request) in cases {
        let shown = format!("{request:?}");
        match desk.ask(request) {
            Outcome::Refused(error) => {
                assert_eq!((error.code(), &*error.field), (code, field), "{shown}: {}", error.message);
                assert!(!error.message.is_empty(), "{shown}");
            }
            Outcome::Taken(frames) => panic!("{shown} was taken: {frames:?}"),
        }
    }
    desk.audit();
}

fn id(byte: u8) -> Bytes {
    Bytes::from(vec![byte; 16])
}

fn one_job(spoil: impl FnOnce(&mut JobSpec)) -> Request {
    let mut spec = job("k");
    spoil(&mut spec);
    enqueue(vec![spec])
}

#[test]
fn of_a_job() {
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let twice = || JobSpec { id: id(7), ..job("k") };
    invalid([
        ("jobs", enqueue(Vec::new())),
        ("jobs[0].kind", enqueue(vec![job("")])),
        ("jobs[0].kind", enqueue(vec![job("a b")])),
        ("jobs[0].kind", enqueue(vec![job(&"k".repeat(201))])),
        ("jobs[1].kind", enqueue(vec![job("k"), job("")])),
        ("jobs[1].id", enqueue(vec![twice(), twice()])),
        ("jobs[0].id", one_job(|job| job.id = id(0))),
        ("jobs[0].id", one_job(|job| job.id = Bytes::from_static(b"short"))),
        ("jobs[0].queue", one_job(|job| job.queue = "a b".into())),
        ("jobs[0].key", one_job(|job| job.key = "x".repeat(201))),
        ("jobs[0].key", one_job(|job| job.key = "a\nb".into())),
        ("jobs[0].tags[1]", one_job(|job| job.tags = vec!["a".into(), "t".repeat(101)])),
        ("jobs[0].limits[0]", one_job(|job| job.limits = vec!["a b".into()])),
        ("jobs[0].need_labels", one_job(|job| job.need_labels = [("a\n".into(), String::new())].into())),
        ("jobs[0].content_type", one_job(|job| job.content_type = "a\n".into())),
        ("jobs[0].delay_ms", one_job(|job| (job.delay_ms, job.run_at_ms) = (1, 1))),
        ("jobs[0].delay_ms", one_job(|job| job.delay_ms = DELAY_MS_MAX + 1)),
        ("jobs[0].run_at_ms", one_job(|job| job.run_at_ms = u64::MAX)),
        ("jobs[0].expires_at_ms", one_job(|job| (job.run_at_ms, job.expires_at_ms) = (NOW + 9, NOW + 9))),
        ("jobs[0].weight", one_job(|job| job.weight = 1_001)),
        ("jobs[0].dep_policy", one_job(|job| job.dep_policy = 9)),
        ("jobs[0].hold_ttl_ms", one_job(|job| job.hold_ttl_ms = 1)),
        ("jobs[0].hold_ttl_ms", one_job(|job| (job.hold, job.hold_ttl_ms) = (true, DELAY_MS_MAX + 1))),
        ("jobs[0].run_on_hold_timeout", one_job(|job| job.run_on_hold_timeout = true)),
        ("wait", Request::Enqueue(Enqueue { wait: 9, jobs: vec![job("k")], ..Enqueue::default() })),
        ("wait_ms", Request::Enqueue(Enqueue { wait_ms: 1, jobs: vec![job("k")], ..Enqueue::default() })),
    ]);
    refused_as(
        Code::TooLarge,
        [
            ("jobs[0].payload", one_job(|job| job.payload = Bytes::from(vec![0; PAYLOAD_BYTES_DEFAULT + 1]))),
            ("jobs[0].tags", one_job(|job| job.tags = many(17))),
            ("jobs[0].limits", one_job(|job| job.limits = many(9))),
            (
                "jobs[0].need_labels",
                one_job(|job| job.need_labels = many(33).into_iter().map(|n| (n, String::new())).collect()),
            ),
        ],
    );
}

#[test]
fn of_a_dedup() {
    let with = |spoil: fn(&mut Dedup)| {
        let mut dedup = Dedup { key: "k".into(), ..Dedup::default() };
        spoil(&mut dedup);
        one_job(|job| job.dedup = Some(dedup))
    };
    invalid([
        ("jobs[0].dedup.key", with(|dedup| dedup.key.clear())),
        ("jobs[0].dedup.key", with(|dedup| dedup.key = "a\n".into())),
        ("jobs[0].dedup.until", with(|dedup| dedup.until = 9)),
        ("jobs[0].dedup.on_conflict", with(|dedup| dedup.on_conflict = 9)),
        ("jobs[0].dedup.window_ms", with(|dedup| dedup.until = dedup::Until::Window.into())),
        ("jobs[0].dedup.window_ms", with(|dedup| dedup.window_ms = 5)),
        (
            "jobs[0].dedup.on_conflict",
            with(|dedup| {
                dedup.until = dedup::Until::Start.into();
                dedup.on_conflict = dedup::OnConflict::RunAfter.into();
            }),
        ),
    ]);
}

#[test]
fn of_a_policy_wherever_it_stands() {
    let set = |name: &str, what| {
        let resource = Resource { name: name.into(), if_version: 0, what: Some(what) };
        Request::Put(Put { set: vec![resource], ..Put::default() })
    };
    let bad = || Policy { max_attempts: Some(ATTEMPTS_MAX + 1), ..Policy::default() };
    let queue = || QueueConf { policy: Some(bad()), ..QueueConf::default() };
    let patch = || To::Patch(Patch { policy: Some(bad()), ..Patch::default() });
    let backoff = Backoff { base_ms: 10, max_ms: 9, ..Backoff::default() };
    let shrinking = Policy { backoff: Some(backoff), ..Policy::default() };
    invalid([
        ("jobs[0].policy.max_attempts", one_job(|job| job.policy = Some(bad()))),
        ("jobs[0].policy.backoff.max_ms", one_job(|job| job.policy = Some(shrinking))),
        ("set[0].kind.max_attempts", set("kind/k", resource::What::Kind(bad()))),
        ("set[0].namespace.max_attempts", set("namespace", resource::What::Namespace(bad()))),
        ("set[0].queue.policy.max_attempts", set("queue/q", resource::What::Queue(queue()))),
        ("patch.policy.max_attempts", change(everything(), patch())),
    ]);
}

#[test]
fn of_a_fetch() {
    let fetch = Fetch { sources: vec![source("a")], slots: 1, ..Fetch::default() };
    let open = |spoil: fn(&mut Fetch)| {
        let mut fetch = fetch.clone();
        spoil(&mut fetch);
        Request::Fetch(fetch)
    };
    invalid([
        ("sources", open(|fetch| fetch.sources.clear())),
        ("sources[0].queue", open(|fetch| fetch.sources = vec![source("")])),
        ("sources[0].weight", open(|fetch| fetch.sources[0].weight = 1_001)),
        ("batch.linger_ms", open(|fetch| fetch.batch = Some(Batch { min: 2, ..Batch::default() }))),
        (
            "batch.linger_ms",
            open(|fetch| fetch.batch = Some(Batch { linger_ms: 600_001, ..Batch::default() })),
        ),
        ("batch.max", open(|fetch| fetch.batch = Some(Batch { max: 9_999, ..Batch::default() }))),
        (
            "batch.min",
            open(|fetch| {
                fetch.slots = 9;
                fetch.batch = Some(Batch { min: 3, max: 2, linger_ms: 1, ..Batch::default() });
            }),
        ),
        ("kinds[0]", open(|fetch| fetch.kinds = vec!["a b".into()])),
        ("slots", open(|fetch| fetch.slots = 0)),
        ("slots", open(|fetch| fetch.slots = 10_001)),
        ("slots", Request::Fetch(Fetch { stream: 1, ..Fetch::default() })),
        ("once", open(|fetch| fetch.once = 10_001)),
        ("wait_ms", open(|fetch| fetch.wait_ms = 1)),
        ("wait_ms", open(|fetch| (fetch.once, fetch.wait_ms) = (1, 600_001))),
        ("lease_ms", open(|fetch| fetch.lease_ms = u64::MAX)),
        ("stream", open(|fetch| fetch.close = true)),
    ]);
    refused_as(
        Code::NotFound,
        [("stream", Request::Fetch(Fetch { stream: 99, slots: 1, ..Fetch::default() }))],
    );
}

#[test]
fn of_settle_and_touch_as_a_whole() {
    let touch = |beat, jobs| Request::Touch(Touch { beat, jobs });
    let far = JobTouch { id: id(1), fence: 1, extend_ms: Some(u64::MAX), ..JobTouch::default() };
    let bad_label = [("a\n".to_owned(), String::new())].into();
    let phase = Some(Beat { phase: 9, ..Beat::default() });
    invalid([
        ("results", Request::Settle(Settle::default())),
        ("", touch(None, Vec::new())),
        ("beat.phase", touch(phase, Vec::new())),
        ("beat.labels", touch(Some(Beat { labels: bad_label, ..Beat::default() }), Vec::new())),
        ("jobs[0].id", touch(None, vec![JobTouch::default()])),
        ("jobs[0].extend_ms", touch(None, vec![far])),
        ("", Request::Hello(Hello::default())),
    ]);
    let many: std::collections::BTreeMap<_, _> = (0..33).map(|n| (n.to_string(), String::new())).collect();
    let long = (0..11).map(|n| (n.to_string(), "x".repeat(200))).collect();
    refused_as(
        Code::TooLarge,
        [
            ("beat.labels", touch(Some(Beat { labels: many, ..Beat::default() }), Vec::new())),
            ("beat.labels", touch(Some(Beat { labels: long, ..Beat::default() }), Vec::new())),
        ],
    );
}

fn everything() -> Selector {
    Selector { all: true, ..Selector::default() }
}

fn change(select: Selector, to: To) -> Request {
    Request::Change(Change { select: Some(select), to: Some(to), ..Change::default() })
}

#[test]
fn of_a_selector() {
    let by = |spoil: fn(&mut Selector)| {
        let mut select = Selector::default();
        spoil(&mut select);
        change(select, To::Delete(Delete {}))
    };
    invalid([
        ("select", Request::Change(Change { to: Some(To::Delete(Delete {})), ..Change::default() })),
        ("select", by(|_| {})),
        ("select.ids[0]", by(|select| select.ids = vec![Bytes::new()])),
        ("select.queue", by(|select| select.queue = "a b".into())),
        ("select.kind", by(|select| select.kind = "a b".into())),
        ("select.key", by(|select| select.key = "a\n".into())),
        ("select.tags[0]", by(|select| select.tags = vec!["t".repeat(101)])),
        ("select.dedup_key", by(|select| select.dedup_key = "a\n".into())),
        ("select.states[1]", by(|select| select.states = vec![1, 99])),
        ("select.states[0]", by(|select| select.states = vec![0])),
        ("select.error_fingerprint", by(|select| select.error_fingerprint = "12".into())),
        ("select.session", by(|select| select.session = Bytes::from_static(b"x"))),
        ("select.filter", by(|select| select.filter = "colour:red".into())),
        (
            "select.created_before_at_ms",
            by(|select| (select.created_after_at_ms, select.created_before_at_ms) = (9, 9)),
        ),
        (
            "select.finished_before_at_ms",
            by(|select| (select.finished_after_at_ms, select.finished_before_at_ms) = (9, 8)),
        ),
    ]);
}

#[test]
fn of_a_change() {
    let with = |to: To, spoil: fn(&mut Change)| {
        let mut change = Change { select: Some(everything()), to: Some(to), ..Change::default() };
        spoil(&mut change);
        Request::Change(change)
    };
    let retry = || To::Retry(Retry::default());
    let stop = || To::Stop(Stop {});
    let patch = |patch| change(everything(), To::Patch(patch));
    let far = RunAt { run_at_ms: u64::MAX };
    let long_grace = Cancel { grace_ms: 3_600_001, ..Cancel::default() };
    let tagged =
        Patch { add_tags: vec!["a".into()], remove_tags: vec!["b".into(), "a".into()], ..Patch::default() };
    invalid([
        ("to", with(retry(), |change| change.to = None)),
        ("operation", with(retry(), |change| change.operation = Bytes::from_static(b"x"))),
        ("operation", with(retry(), |change| change.per_second = 1)),
        ("operation", with(retry(), |change| change.stop_failure_permille = 1)),
        ("operation", with(To::Retry(Retry { spread_ms: 1, ..Retry::default() }), |_| {})),
        ("stop_failure_permille", with(retry(), |change| change.stop_failure_permille = 1_001)),
        ("stop_failure_permille", with(To::Delete(Delete {}), |change| change.stop_failure_permille = 1)),
        ("retry.spread_ms", with(To::Retry(Retry { spread_ms: u64::MAX, ..Retry::default() }), |_| {})),
        ("cancel.grace_ms", with(To::Cancel(long_grace), |_| {})),
        ("run_at.run_at_ms", with(To::RunAt(far), |_| {})),
        ("move.queue", with(To::Move(v1::Move::default()), |_| {})),
        ("patch", patch(Patch::default())),
        ("patch.key", patch(Patch { key: Some("a\n".into()), ..Patch::default() })),
        ("patch.add_tags[0]", patch(Patch { add_tags: vec!["t".repeat(101)], ..Patch::default() })),
        ("patch.remove_tags[1]", patch(tagged)),
        ("operation", with(stop(), |change| change.select = None)),
    ]);
    let stop = |spoil: fn(&mut Change)| {
        let mut change = Change { operation: id(9), to: Some(To::Stop(Stop {})), ..Change::default() };
        spoil(&mut change);
        Request::Change(change)
    };
    invalid([
        ("select", stop(|change| change.select = Some(everything()))),
        ("max", stop(|change| change.max = 1)),
        ("dry_run", stop(|change| change.dry_run = true)),
        ("per_second", stop(|change| change.per_second = 1)),
        ("stop_failure_permille", stop(|change| change.stop_failure_permille = 1)),
    ]);
    refused_as(Code::NotFound, [("operation", stop(|_| {}))]);
    let large = Patch { payload: Some(vec![0; PAYLOAD_BYTES_DEFAULT + 1].into()), ..Patch::default() };
    refused_as(Code::TooLarge, [("patch.payload", patch(large))]);
}

#[test]
fn of_a_word_to_sessions() {
    let tell = |select: Option<Selector>, tell: Tell| {
        Request::Change(Change { select, to: Some(To::Tell(tell)), ..Change::default() })
    };
    let quiet = || Tell { r#type: Type::Quiet.into(), ..Tell::default() };
    let all = || Some(everything());
    let with = |spoil: fn(&mut Change)| {
        let mut change = Change { select: all(), to: Some(To::Tell(quiet())), ..Change::default() };
        spoil(&mut change);
        Request::Change(change)
    };
    let bad_label = [("a\n".to_owned(), String::new())].into();
    invalid([
        ("select", tell(None, quiet())),
        ("select", tell(Some(Selector::default()), quiet())),
        ("select.session", tell(Some(Selector { session: "x".into(), ..Selector::default() }), quiet())),
        ("tell.type", tell(all(), Tell::default())),
        ("tell.type", tell(all(), Tell { r#type: 99, ..Tell::default() })),
        ("tell.type", tell(all(), Tell { r#type: Type::Cancel.into(), ..Tell::default() })),
        ("tell.type", tell(all(), Tell { r#type: Type::Goaway.into(), ..Tell::default() })),
        ("tell.within_ms", tell(all(), Tell { within_ms: 86_400_001, ..quiet() })),
        ("tell.labels", tell(all(), Tell { labels: bad_label, ..quiet() })),
        ("operation", with(|change| change.operation = Bytes::from(vec![9; 16]))),
        ("per_second", with(|change| change.per_second = 1)),
        ("stop_failure_permille", with(|change| change.stop_failure_permille = 1)),
    ]);
    let by_queue = Selector { queue: "q".into(), ..Selector::default() };
    let by_id = Selector { ids: vec![id(1)], ..Selector::default() };
    refused_as(
        Code::Unsupported,
        [("select.queue", tell(Some(by_queue), quiet())), ("select.ids", tell(Some(by_id), quiet()))],
    );
}

#[test]
fn of_a_query() {
    let query = |what: i32| Query { what, ..Query::default() };
    let queues = What::Queues.into();
    let by_id = |what: What, select| Request::Query(Query { select: Some(select), ..query(what.into()) });
    let two_names = Query {
        name: "a".into(),
        select: Some(Selector { queue: "b".into(), ..Selector::default() }),
        ..query(queues)
    };
    let unknown_field = Query {
        fields: vec!["payload".into(), "x".into()],
        select: Some(everything()),
        ..query(What::Jobs.into())
    };
    let unknown = || Selector { ids: vec![id(9)], ..Selector::default() };
    invalid([
        ("what", Request::Query(query(0))),
        ("what", Request::Query(query(99))),
        ("select", Request::Query(query(What::Jobs.into()))),
        ("select.ids", Request::Query(query(What::Job.into()))),
        ("select.ids", Request::Query(query(What::Explain.into()))),
        ("limit", Request::Query(Query { limit: 1_001, ..query(queues) })),
        ("cursor", Request::Query(Query { cursor: Bytes::from_static(b"x"), ..query(queues) })),
        ("cursor", Request::Query(Query { cursor: Bytes::from_static(b"x"), ..query(What::Audit.into()) })),
        ("name", Request::Query(Query { name: "a b".into(), ..query(queues) })),
        ("name", Request::Query(two_names)),
        ("fields[1]", Request::Query(unknown_field)),
    ]);
    refused_as(
        Code::NotFound,
        [("select.ids", by_id(What::Job, unknown())), ("select.ids", by_id(What::Explain, unknown()))],
    );
}

#[test]
fn of_a_watch() {
    let watch = |spoil: fn(&mut Watch)| {
        let mut watch = Watch::default();
        spoil(&mut watch);
        Request::Watch(watch)
    };
    invalid([
        ("names[0]", watch(|watch| watch.names = vec!["job.lost_and_found".into()])),
        ("stream", watch(|watch| watch.close = true)),
        ("select.ids", watch(|watch| watch.until_finished = true)),
        (
            "select.ids[0]",
            watch(|watch| {
                watch.select = Some(Selector { ids: vec![Bytes::new()], ..Selector::default() });
            }),
        ),
    ]);
    refused_as(Code::NotFound, [("stream", watch(|watch| watch.stream = 9))]);
    refused_as(Code::TooLarge, [("names", watch(|watch| watch.names = vec!["job.dead".into(); 65]))]);
}

#[test]
fn of_a_put() {
    let put = |name: &str, what| {
        let resource = Resource { name: name.into(), if_version: 0, what };
        Request::Put(Put { set: vec![resource], ..Put::default() })
    };
    let conf = || Some(resource::What::Queue(QueueConf::default()));
    let limit = |name: &str, spoil: fn(&mut Limit)| {
        let mut limit = Limit { concurrency: Some(1), ..Limit::default() };
        spoil(&mut limit);
        put(name, Some(resource::What::Limit(limit)))
    };
    let of = |name: &str| Resource { name: name.into(), if_version: 0, what: conf() };
    let twice = Put { set: vec![of("queue/a"), of("queue/a")], ..Put::default() };
    let both =
        Put { set: vec![of("queue/a")], remove: vec!["kind/a".into(), "queue/a".into()], ..Put::default() };
    invalid([
        ("set[0].name", put("queue/", conf())),
        ("set[0].name", put("kind/mail", conf())),
        ("set[0].name", put("cheese/mail", conf())),
        ("set[0].name", put("a b", conf())),
        ("set[0].what", put("queue/mail", None)),
        ("set[1].name", Request::Put(twice)),
        ("remove[1]", Request::Put(both)),
        ("remove[0]", Request::Put(Put { remove: vec!["cheese/a".into()], ..Put::default() })),
        ("set[0].limit", limit("limit/l", |limit| limit.concurrency = None)),
        ("set[0].limit.concurrency", limit("limit/pause:queue/a", |_| {})),
        ("set[0].limit.per_ms", limit("limit/l", |limit| limit.per_ms = 1)),
        ("set[0].limit.burst", limit("limit/l", |limit| limit.burst = 1)),
        ("set[0].limit.per_key", limit("limit/l", |limit| (limit.per_key, limit.key) = (true, "a".into()))),
        ("set[0].limit.until_at_ms", limit("limit/l", |limit| limit.until_at_ms = 1)),
        ("set[0].limit.breaker_probes", limit("limit/l", |limit| limit.breaker_probes = 1)),
    ]);
    let newer = Resource { if_version: 3, ..of("queue/a") };
    let stale = Request::Put(Put { set: vec![of("queue/b"), newer], ..Put::default() });
    refused_as(Code::VersionConflict, [("set[1].if_version", stale)]);
}

/// A fault in one result keeps none of the others from being settled, and leaves nothing of its own.
#[test]
fn of_one_result() {
    let mut desk = Desk::new();
    let result = |how: Option<result::How>| v1::Result { id: id(1), fence: 1, how, ..v1::Result::default() };
    let release = |spoil: fn(&mut Release)| {
        let mut release = Release::default();
        spoil(&mut release);
        result(Some(result::How::Release(release)))
    };
    let large = Complete { result: vec![0; PAYLOAD_BYTES_DEFAULT + 1].into(), ..Complete::default() };
    let cases = [
        ("id", v1::Result { id: Bytes::new(), ..result(Some(result::How::Fail(Fail::default()))) }),
        ("how", result(None)),
        ("complete.result", result(Some(result::How::Complete(large)))),
        ("release.throttle_limit", release(|release| release.throttle_ms = 1)),
        ("release.throttle_limit", release(|release| release.throttle_limit = "a b".into())),
        ("release.throttle_key", release(|release| release.throttle_key = "k".into())),
        ("release.throttle_ms", release(|release| release.throttle_limit = "l".into())),
    ];
    for (field, broken) in cases {
        let good = result(Some(result::How::Fail(Fail::default())));
        let shown = format!("{broken:?}");
        let results = vec![good.clone(), broken, good];
        let Outcome::Taken(frames) = desk.ask(Request::Settle(Settle { results })) else { panic!("{shown}") };
        let Some(Words::Settled(settled)) = &frames[0].body else { panic!("{frames:?}") };
        let one = &settled.results[1];
        let told = one.error.as_ref().map(|error| error.field.clone());
        assert_eq!((one.code, told), (0, Some(format!("results[1].{field}"))), "{shown}");
        assert!(settled.results.iter().step_by(2).all(|one| one.error.is_none()), "{settled:?}");
    }
    assert_eq!(desk.last_id(), 8);
}
