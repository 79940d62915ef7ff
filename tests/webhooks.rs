//! Webhooks: what goes wrong reaches an address outside, signed, and no crash loses it.

use crate::harness::{Broker, Peer, body, complete, eventually, fail, hold_port, job, stream, windlass};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::resource::What;
use windlass_proto::v1::{
    AdvanceClock, Code, Enqueue, JobSpec, Limit, Put, Query, QueueConf, Resource, Schedule, Sink,
    query::What as Noun,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One request as it came.
#[derive(Clone)]
struct Post {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Post {
    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn id(&self) -> String {
        self.headers["webhook-id"].clone()
    }
}

/// An HTTP server that answers with these heads, one after the other, and with the last of them from then
/// on.
pub(crate) struct Receiver {
    url: String,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Receiver {
    pub(crate) fn answering(heads: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
        let (heads, said) = (heads.iter().map(|&head| head.to_owned()).collect::<Vec<_>>(), posts.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut reader = BufReader::new(socket.unwrap());
                let Some(post) = read(&mut reader) else { continue };
                let count = {
                    let mut posts = said.lock().unwrap();
                    posts.push(post);
                    posts.len()
                };
                let head = &heads[(count - 1).min(heads.len() - 1)];
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _gone = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { url, posts }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// Waits until so many have come.
    fn wait_for(&self, count: usize) -> Vec<Post> {
        eventually("deliveries arrive", || Some(self.posts()).filter(|posts| posts.len() >= count))
    }

    /// Waits for an event of this type.
    fn wait_for_type(&self, name: &str) -> Value {
        let name = format!("windlass.{name}.v1");
        let found = || self.posts().iter().map(Post::event).find(|event| event["type"] == name.as_str());
        eventually(&name, found)
    }
}

fn read(reader: &mut impl BufRead) -> Option<Post> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        // The delivery was given up before it began.
        return None;
    }
    assert!(line.starts_with("POST /hook "), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(Post { headers, body })
}

fn put(peer: &mut Peer, name: &str, what: What) {
    let set = vec![Resource { name: name.into(), if_version: 0, what: Some(what) }];
    assert_eq!(body!(peer.ask(Request::Put(Put { set, ..Put::default() })), Stored).results.len(), 1);
}

fn hook(peer: &mut Peer, url: &str, names: &[&str]) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    put(peer, "sink/ops", What::Sink(Sink { url: url.into(), secret: SECRET.into(), names, select: None }));
}

/// Deliveries are tried again at once.
fn hurry(peer: &mut Peer) {
    let backoff = windlass_proto::v1::Backoff { base_ms: 1, max_ms: 10, ..Default::default() };
    // However long a receiver is away.
    let max_attempts = Some(10_000);
    let policy = windlass_proto::v1::Policy { backoff: Some(backoff), max_attempts, ..Default::default() };
    put(peer, "queue/_webhooks", What::Queue(QueueConf { policy: Some(policy), ..QueueConf::default() }));
}

/// A job that is dead after one failure.
fn kill_one(peer: &mut Peer) {
    let policy = windlass_proto::v1::Policy { max_attempts: Some(1), ..Default::default() };
    peer.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let work = peer.fetch("q");
    peer.settle(&work, fail("it \"broke\""));
}

/// What docs/ALERTS.md tells receivers to do.
fn verify(post: &Post, secret: &str) -> bool {
    let page = include_str!("../docs/ALERTS.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (recipe, _) = rest.split_once("```").unwrap();
    let headers = serde_json::to_string(&post.headers).unwrap();
    let script = format!(
        "{recipe}\nimport json, sys\nverify(sys.argv[1], json.loads(sys.argv[2]), sys.stdin.buffer.read())\n"
    );
    let mut python = Command::new("python3")
        .args(["-c", &script, secret, &headers])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&post.body).unwrap();
    python.wait().unwrap().success()
}

#[test]
fn a_dead_job_is_told_signed_and_tried_again_after_an_error() {
    let broker = Broker::start();
    let receiver = Receiver::answering(&["500 Oops", "204 Fine"]);
    let mut peer = broker.peer();
    hurry(&mut peer);
    hook(&mut peer, &receiver.url, &["job.dead"]);
    kill_one(&mut peer);
    let posts = receiver.wait_for(2);
    assert_eq!(posts[0].id(), posts[1].id(), "the same delivery");
    assert_eq!(posts[0].body, posts[1].body);
    assert_eq!(posts[0].headers["content-type"], "application/cloudevents+json; charset=utf-8");
    let event = posts[1].event();
    assert_eq!(event["type"], "windlass.job.dead.v1");
    assert_eq!((&event["data"]["queue"], &event["data"]["note"]), (&"q".into(), &"it \"broke\"".into()));
    assert!(verify(&posts[1], SECRET));
    assert!(!verify(&posts[1], "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    let changed = Post { body: b"{}".to_vec(), ..posts[1].clone() };
    assert!(!verify(&changed, SECRET));
}

#[test]
fn who_is_gone_is_paused_and_redirects_are_not_followed() {
    let broker = Broker::start();
    let other = Receiver::answering(&["200 OK"]);
    let receiver =
        Receiver::answering(&[&format!("302 Found\r\nLocation: {}", other.url), "410 Gone", "200 OK"]);
    let mut peer = broker.peer();
    hurry(&mut peer);
    hook(&mut peer, &receiver.url, &["job.dead"]);
    kill_one(&mut peer);
    receiver.wait_for(2);
    let limits = Query { what: Noun::Limits.into(), name: "pause:sink/ops".into(), ..Query::default() };
    eventually("it is paused", || peer.rows(limits.clone()).limits.pop());
    assert_eq!(receiver.posts().len(), 2);
    assert_eq!(other.posts().len(), 0);
    assert_eq!(windlass(&["admin", "--addr", broker.addr(), "webhook", "resume", "ops"]).code, 0);
    let posts = receiver.wait_for(3);
    assert_eq!(posts[0].id(), posts[2].id());
}

#[test]
fn a_crash_between_event_and_delivery_loses_none() {
    let mut broker = Broker::start();
    // Nobody is there yet: everything is refused.
    let (_nobody, addr) = hold_port();
    let mut peer = broker.peer();
    hurry(&mut peer);
    hook(&mut peer, &format!("http://{addr}/hook"), &["job.dead"]);
    for _ in 0..5 {
        kill_one(&mut peer);
    }
    broker.kill();
    broker.restart();
    let receiver = Receiver::answering(&["200 OK"]);
    hook(&mut broker.peer(), &receiver.url, &["job.dead"]);
    let five = || {
        let posts = receiver.posts();
        let jobs: std::collections::BTreeSet<String> =
            posts.iter().map(|post| post.event()["subject"].to_string()).collect();
        (jobs.len() == 5).then_some(posts)
    };
    let posts = eventually("all five", five);
    // A double has the id of the first.
    let mut ids = BTreeMap::new();
    for post in &posts {
        let subject = post.event()["subject"].to_string();
        assert_eq!(ids.entry(subject).or_insert_with(|| post.id()), &post.id());
    }
}

#[test]
fn what_goes_wrong_arrives() {
    let broker = Broker::start();
    let receiver = Receiver::answering(&["200 OK"]);
    let mut peer = broker.peer();
    hook(&mut peer, &receiver.url, &[]);
    put(&mut peer, "queue/late", What::Queue(QueueConf { slo_ms: 1, ..QueueConf::default() }));
    peer.enqueue(JobSpec { queue: "late".into(), ..job("k") });
    let limit =
        Limit { queue: "q".into(), breaker_failure_permille: 1, breaker_min_samples: 1, ..Limit::default() };
    put(&mut peer, "limit/fragile", What::Limit(limit));
    kill_one(&mut peer);
    receiver.wait_for_type("job.dead");
    assert_eq!(receiver.wait_for_type("breaker.open")["subject"], "limit/fragile");
    let mut worker = broker.peer();
    peer.enqueue(JobSpec { queue: "held".into(), ..job("k") });
    let held = worker.open_stream(stream("held", 1));
    worker.delivery(held);
    drop(worker);
    assert!(receiver.wait_for_type("worker.lost")["subject"].as_str().unwrap().starts_with("session/"));
    assert_eq!(receiver.wait_for_type("queue.slo_missed")["subject"], "queue/late");
    let work = peer.fetch("late");
    peer.settle(&work, complete(""));
    receiver.wait_for_type("queue.slo_met");
}

#[test]
fn who_waits_too_long_or_kills_his_workers_is_told() {
    let broker = Broker::with_test_clock();
    let receiver = Receiver::answering(&["200 OK"]);
    let mut peer = broker.peer();
    hook(
        &mut peer,
        &receiver.url,
        &["queue.no_worker", "queue.worker_back", "job.poison", "schedule.paused"],
    );
    let mut advance = |by_ms| {
        let advance = AdvanceClock { by_ms, ..AdvanceClock::default() };
        body!(peer.ask(Request::AdvanceClock(advance)), ClockAdvanced);
    };
    let mut other = broker.peer();
    other.enqueue(JobSpec { queue: "unheard".into(), ..job("k") });
    advance(60_000);
    assert_eq!(receiver.wait_for_type("queue.no_worker")["subject"], "queue/unheard");
    let mut worker = broker.peer();
    let taken = worker.open_stream(stream("unheard", 1));
    worker.delivery(taken);
    advance(60_000);
    receiver.wait_for_type("queue.worker_back");

    let policy = windlass_proto::v1::Policy { max_crashes: Some(1), ..Default::default() };
    other.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let mut mortal = broker.peer();
    let stream = mortal.open_stream(stream("q", 1));
    mortal.delivery(stream);
    drop(mortal);
    eventually("the broker has noticed", || {
        other.sessions().iter().any(|session| session.connections == 0).then_some(())
    });
    advance(60_000);
    let event = receiver.wait_for_type("job.poison");
    assert_eq!((&event["data"]["queue"], &event["data"]["state"]), (&"q".into(), &"dead".into()));

    let policy = windlass_proto::v1::Policy { max_attempts: Some(1), ..Default::default() };
    let job = JobSpec { queue: "ticks".into(), kind: "k".into(), policy: Some(policy), ..JobSpec::default() };
    let every = Schedule { every_ms: 1_000, pause_after_failures: 1, job: Some(job), ..Schedule::default() };
    put(&mut other, "schedule/often", What::Schedule(every));
    advance(2_000);
    let work = other.fetch("ticks");
    other.settle(&work, fail("no"));
    assert_eq!(receiver.wait_for_type("schedule.paused")["subject"], "schedule/often");
}

#[test]
fn a_low_disk_is_told_and_its_deliveries_are_made_all_the_same() {
    let mut broker = Broker::start();
    let receiver = Receiver::answering(&["200 OK"]);
    hook(&mut broker.peer(), &receiver.url, &["disk.low"]);
    broker.kill();
    let disk = rustix::fs::statvfs(broker.home()).unwrap();
    let low = disk.f_bavail * disk.f_frsize / 4 * 5;
    broker.restart_with(&["--disk-low-bytes", &low.to_string()]);
    receiver.wait_for_type("disk.low");
    let error =
        broker.peer().refused(Request::Enqueue(Enqueue { jobs: vec![job("k")], ..Enqueue::default() }));
    assert_eq!(error.code(), Code::Exhausted);
}

#[test]
fn a_webhook_is_added_tested_rotated_and_removed_by_the_command_line() {
    let broker = Broker::start();
    let receiver = Receiver::answering(&["200 OK"]);
    let run = |words: &[&str]| {
        let fixed = ["admin", "--addr", broker.addr(), "--output", "json", "--yes", "webhook"];
        let answer = windlass(&[&fixed[..], words].concat());
        (answer.code, serde_json::from_str::<Value>(&answer.out).unwrap_or_default())
    };
    let (code, added) = run(&["add", "ops", &receiver.url]);
    assert_eq!(code, 0);
    let secret = added["secret"].as_str().unwrap().to_owned();
    assert_eq!(run(&["test", "ops"]).0, 0);
    let posts = receiver.wait_for(1);
    assert_eq!(posts[0].event()["type"], "windlass.webhook.test.v1");
    assert!(verify(&posts[0], &secret));
    let listed = run(&["list"]).1;
    assert_eq!(listed[0]["name"], "ops");
    assert!(!listed.to_string().contains(&secret));
    let is_done = || (run(&["deliveries", "ops"]).1[0]["state"] == "completed").then_some(());
    eventually("the delivery is settled", is_done);
    let rotated = run(&["rotate", "ops"]).1["secret"].as_str().unwrap().to_owned();
    assert_ne!(rotated, secret);
    assert_eq!(run(&["test", "ops"]).0, 0);
    let post = receiver.wait_for(2).remove(1);
    assert!(verify(&post, &secret) && verify(&post, &rotated), "both sign for a while");
    assert_eq!(run(&["remove", "ops"]).0, 0);
    assert_eq!(run(&["test", "ops"]).0, 6);
}

#[test]
fn nobody_forges_an_alert_and_a_bad_sink_is_refused() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let forged = JobSpec { queue: "_webhooks".into(), kind: "webhook".into(), key: "ops".into(), ..job("") };
    let enqueue = Enqueue { jobs: vec![forged], ..Enqueue::default() };
    let error = body!(peer.ask(Request::Enqueue(enqueue)), Error);
    assert_eq!((error.code(), error.field.as_str()), (Code::Invalid, "jobs[0].queue"));
    for (url, secret, names, field) in [
        ("ftp://here", SECRET, "", "set[0].sink.url"),
        ("http://here", "short", "", "set[0].sink.secret"),
        ("http://here", "", "", "set[0].sink.secret"),
        ("http://here", SECRET, "job.nothing", "set[0].sink.names[0]"),
    ] {
        let names = names.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let sink = Sink { url: url.into(), secret: secret.into(), names, select: None };
        let set = vec![Resource { name: "sink/ops".into(), if_version: 0, what: Some(What::Sink(sink)) }];
        let error = body!(peer.ask(Request::Put(Put { set, ..Put::default() })), Error);
        assert_eq!((error.code(), error.field.as_str()), (Code::Invalid, field));
    }
}

#[test]
fn a_webhook_is_set_tried_and_removed_over_http() {
    let broker = Broker::start();
    let receiver = Receiver::answering(&["204 No Content"]);
    let sink = format!(r#"{{"url":"{}","names":["job.dead"]}}"#, receiver.url());
    let set = broker.http("PUT", "/v1/webhooks/ops", &sink);
    assert_eq!(set.status, 200, "{}", set.text());
    let secret = set.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    // It is shown once, and a second Put keeps it.
    assert_eq!(broker.http("PUT", "/v1/webhooks/ops", &sink).json()["secret"], Value::Null);
    let listed = broker.http("GET", "/v1/webhooks", "").json();
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["names"][0]),
        (&"ops".into(), &"job.dead".into())
    );
    assert!(!listed.to_string().contains(&secret));

    let tried = broker.http("POST", "/v1/webhooks/ops/test", "");
    assert_eq!(tried.status, 202, "{}", tried.text());
    assert_eq!(receiver.wait_for(1)[0].event()["type"], "windlass.webhook.test.v1");
    eventually("the delivery is shown as done", || {
        let shown = broker.http("GET", "/v1/webhooks/ops/deliveries", "").json()["items"][0].clone();
        (shown["id"] == tried.json()["job"] && shown["state"] == "completed").then_some(())
    });
    let rotated = broker.http("POST", "/v1/webhooks/ops/rotate", r#"{"reason":"it leaked"}"#);
    assert_ne!(rotated.json()["secret"], secret.as_str());
    assert_eq!(broker.http("POST", "/v1/webhooks/ops/resume", "").status, 204);

    assert_eq!(broker.http("PUT", "/v1/webhooks/x", r#"{"url":"gopher://x"}"#).status, 400);
    assert_eq!(broker.http("DELETE", "/v1/webhooks/ops", "").status, 204);
    for (method, path) in
        [("GET", "/v1/webhooks/ops"), ("POST", "/v1/webhooks/ops/test"), ("POST", "/v1/webhooks/ops/rotate")]
    {
        assert_eq!(broker.http(method, path, "").status, 404, "{method} {path}");
    }
}
