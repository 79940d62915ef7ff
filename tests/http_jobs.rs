//! Jobs over HTTP: made, listed, looked at, changed.

use crate::harness::{Broker, complete, eventually, fail, http};
use serde_json::{Value, json};

fn made(broker: &Broker, body: &Value) -> Value {
    let answer = broker.http("POST", "/v1/jobs", &body.to_string());
    assert!(answer.status < 300, "{}", answer.text());
    answer.json()
}

fn id_of(broker: &Broker, body: &Value) -> String {
    made(broker, body)["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_job_is_made_with_all_that_the_protocol_knows_of_it() {
    let broker = Broker::start();
    let first = id_of(&broker, &json!({"kind": "a", "payload": {"n": 1}}));
    let body = json!({
        "kind": "b", "payload": [1, "x"], "queue": "mail", "key": "k", "tags": ["t"], "headers": {"h": "v"},
        "priority": 7, "max_attempts": 3, "after": [{"job": first, "on": "finish"}], "dep_policy": "all_or_run",
        "dedup": {"key": "d"}, "expires_at": "2099-01-01T00:00:00Z",
    });
    let answer = broker.http("POST", "/v1/jobs", &body.to_string());
    assert_eq!((answer.status, answer.json()["state"].as_str()), (201, Some("blocked")), "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/v1/jobs/{id}"));

    let shown = broker.http("GET", &format!("/v1/jobs/{id}"), "");
    let job = shown.json();
    for (field, expected) in [
        ("payload", json!([1, "x"])),
        ("queue", json!("mail")),
        ("tags", json!(["t"])),
        ("headers", json!({"h": "v"})),
        ("priority", json!(7)),
        ("max_attempts", json!(3)),
        ("waits_for", json!([first])),
        ("dedup_key", json!("d")),
        ("expires_at", json!("2099-01-01T00:00:00.000Z")),
        ("content_type", json!("application/json")),
    ] {
        assert_eq!(job[field], expected, "{field}");
    }
    let known = [("If-None-Match", shown.header("etag"))];
    let again = http::ask(&broker.http_addr(), "GET", &format!("/v1/jobs/{id}"), &known, b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let duplicate = broker.http("POST", "/v1/jobs", &body.to_string());
    assert_eq!((duplicate.status, duplicate.json()["outcome"].as_str()), (200, Some("duplicate")));

    let later = made(&broker, &json!({"kind": "c", "delay": "1h"}));
    assert_eq!(later["state"], "scheduled");
    let bytes = id_of(&broker, &json!({"kind": "c", "payload_base64": "/wA="}));
    assert_eq!(broker.http("GET", &format!("/v1/jobs/{bytes}"), "").json()["payload"], "ff00");
}

#[test]
fn many_jobs_come_in_one_write_or_a_line_each() {
    let broker = Broker::start();
    let body = json!({"jobs": [{"kind": "a"}, {"kind": "b", "after": [{"index": 1}]}]});
    let results = made(&broker, &body)["results"].clone();
    assert_eq!(
        (results[0]["state"].as_str(), results[1]["state"].as_str()),
        (Some("ready"), Some("blocked"))
    );

    let none = broker.http("POST", "/v1/jobs", r#"{"jobs":[{"kind":"a"},{"kind":"b","priority":11}]}"#);
    assert_eq!((none.status, none.json()["errors"][0]["pointer"].as_str()), (400, Some("/jobs/1/priority")));
    let some = made(&broker, &json!({"jobs": [{"kind": "a"}, {"kind": "", "payload": 1}], "partial": true}));
    assert_eq!(some["results"][1]["outcome"], "rejected");
    assert_eq!(some["results"][1]["error"]["code"], "INVALID");

    let lines = "{\"kind\":\"l\"}\n\n{\"kind\":1}\n{\"kind\":\"l\"}\n";
    let content = [("Content-Type", "application/x-ndjson")];
    let answer = http::ask(&broker.http_addr(), "POST", "/v1/jobs", &content, lines.as_bytes());
    let outcomes: Vec<String> = answer.json()["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((answer.status, outcomes.join(" ")), (201, "created rejected created".to_owned()));
}

#[test]
fn a_key_makes_a_request_that_may_be_sent_again_over_a_restart() {
    let mut broker = Broker::start();
    let send = |broker: &Broker, body: &str| {
        http::ask(&broker.http_addr(), "POST", "/v1/jobs", &[("Idempotency-Key", "order-7")], body.as_bytes())
    };
    let first = send(&broker, r#"{"kind":"k","payload":1}"#);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    broker.kill();
    broker.restart();
    let again = send(&broker, r#"{"kind":"k","payload":1}"#);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    assert_eq!(send(&broker, r#"{"kind":"k","payload":2}"#).status, 422);
    assert_eq!(broker.http("GET", "/v1/jobs", "").json()["total"], 1);
}

#[test]
fn a_rehearsal_changes_nothing() {
    let broker = Broker::start();
    let answer = broker.http("POST", "/v1/jobs?dry_run=1", r#"{"kind":"k"}"#);
    assert_eq!((answer.status, answer.json()["outcome"].as_str()), (200, Some("valid")));
    assert_eq!(broker.http("POST", "/v1/jobs?dry_run=1", r#"{"kind":"a b"}"#).status, 400);
    assert_eq!(broker.http("GET", "/v1/jobs", "").json()["total"], 0);
    let id = id_of(&broker, &json!({"kind": "k"}));
    for (method, path, body) in [
        ("DELETE", format!("/v1/jobs/{id}?dry_run=1"), ""),
        ("POST", format!("/v1/jobs/{id}/cancel?dry_run=1"), "{}"),
        ("POST", "/v1/operations?dry_run=1".to_owned(), r#"{"action":"delete","all":true}"#),
        ("POST", "/v1/queues/default/purge?dry_run=1".to_owned(), "{}"),
        ("POST", "/v1/queues/default/pause?dry_run=1".to_owned(), "{}"),
        ("PUT", "/v1/limits/l?dry_run=1".to_owned(), r#"{"rate":1}"#),
    ] {
        let answer = broker.http(method, &path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }
    assert_eq!(broker.http("GET", &format!("/v1/jobs/{id}"), "").json()["state"], "ready");
    assert_eq!(broker.http("GET", "/v1/limits", "").json()["items"], json!([]));
}

#[test]
fn lists_are_filtered_and_turned_page_by_page() {
    let broker = Broker::start();
    let jobs: Vec<Value> = (0..5).map(|n| json!({"kind": "k", "queue": "q", "payload": n})).collect();
    made(&broker, &json!({"jobs": jobs}));
    made(&broker, &json!({"kind": "other"}));
    let page = broker.http("GET", "/v1/jobs?q=queue:q&limit=2&sort=-created_at&fields=payload", "");
    let items = page.json()["items"].clone();
    assert_eq!((items[0]["payload"].clone(), items[1]["payload"].clone()), (json!(4), json!(3)));
    let link = page.header("link").to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    assert!(next.ends_with(&format!("cursor={cursor}")) && next.contains("limit=2"), "{link}");
    let second = broker.http("GET", next, "").json();
    assert_eq!(second["items"][0]["payload"], 2);

    let total = broker.http("GET", "/v1/jobs?queue=q&state=ready,dead", "").json();
    assert_eq!((total["total"].clone(), total["total_exact"].clone()), (json!(5), json!(true)));
    let lines = http::ask(&broker.http_addr(), "GET", "/v1/jobs", &[("Accept", "application/x-ndjson")], b"");
    assert_eq!(lines.text().lines().count(), 6);
    for q in ["", "?q=queue:q", "?q=kind:k"] {
        let counts = broker.http("GET", &format!("/v1/jobs/counts{q}"), "").json();
        assert_eq!(counts["ready"], if q.is_empty() { 6 } else { 5 }, "{q}");
    }
    for wrong in ["q=stat:dead", "state=ded", "cursor=x", "limit=0", "limit=1001", "sort=key", "filter=x"] {
        assert_eq!(broker.http("GET", &format!("/v1/jobs?{wrong}"), "").status, 400, "{wrong}");
    }
}

#[test]
fn a_result_is_waited_for_and_a_job_that_waits_says_why() {
    let broker = Broker::start();
    let id = id_of(&broker, &json!({"kind": "k", "queue": "q"}));
    let why = broker.http("GET", &format!("/v1/jobs/{id}/explain"), "").json();
    assert_eq!(why["reasons"][0]["code"], "no_worker");
    let addr = broker.http_addr();
    let path = format!("/v1/jobs/{id}/result");
    assert_eq!(broker.http("GET", &path, "").status, 202);
    let waiting = std::thread::spawn({
        let (addr, path) = (addr.clone(), path.clone());
        move || http::ask(&addr, "GET", &path, &[("Prefer", "wait=60")], b"")
    });
    let mut peer = broker.peer();
    let work = peer.fetch("q");
    peer.settle(&work, complete(r#"{"ok":true}"#));
    let answer = waiting.join().unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({"ok": true})));
    assert_eq!(answer.header("preference-applied"), "wait=60");

    let dead = id_of(&broker, &json!({"kind": "k", "queue": "q", "max_attempts": 1}));
    let work = peer.fetch("q");
    peer.settle(&work, fail("no such host"));
    assert_eq!(broker.http("GET", &format!("/v1/jobs/{dead}/result"), "").status, 410);
    let groups = broker.http("GET", "/v1/errors?window=1h&q=queue:q", "").json();
    assert_eq!(
        (groups["items"][0]["message"].as_str(), groups["items"][0]["dead"].as_u64()),
        (Some("no such host"), Some(1))
    );
    assert_eq!(broker.http("GET", "/v1/errors?q=queue:other", "").json()["items"], json!([]));
}

#[test]
fn a_verb_changes_a_job_or_says_that_it_does_not_fit() {
    let broker = Broker::start();
    let id = id_of(&broker, &json!({"kind": "k", "queue": "q", "delay": "1h"}));
    let verb = |verb: &str, body: &str| broker.http("POST", &format!("/v1/jobs/{id}/{verb}"), body);
    let state = || broker.http("GET", &format!("/v1/jobs/{id}"), "").json()["state"].clone();
    assert_eq!(verb("run-now", r#"{"reason":"now"}"#).json()["changed"], 1);
    assert_eq!(state(), "ready");
    assert_eq!(verb("confirm", "{}").status, 409);
    let patched = broker.http("PATCH", &format!("/v1/jobs/{id}"), r#"{"payload":{"x":2},"priority":9}"#);
    assert_eq!(patched.json()["changed"], 1, "{}", patched.text());
    let job = broker.http("GET", &format!("/v1/jobs/{id}"), "").json();
    assert_eq!((job["payload"].clone(), job["priority"].clone()), (json!({"x": 2}), json!(9)));
    verb("move", r#"{"queue":"other"}"#);
    verb("bury", "{}");
    assert_eq!(state(), "dead");
    verb("retry", r#"{"reset_attempts":true}"#);
    assert_eq!(verb("cancel", "").json()["changed"], 1);
    assert_eq!(state(), "cancelled");
    assert_eq!(verb("retry", r#"{"reset":true}"#).status, 400);
    assert_eq!(broker.http("DELETE", &format!("/v1/jobs/{id}"), "").status, 200);
    assert_eq!(verb("retry", "{}").status, 404);
    let audit = broker.http("GET", "/v1/audit", "").json();
    let verbs: Vec<&str> =
        audit["items"].as_array().unwrap().iter().map(|row| row["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["delete", "cancel", "retry", "bury", "move", "patch", "run_at"]);
}

#[test]
fn all_jobs_that_match_are_changed_if_they_are_as_many_as_expected() {
    let broker = Broker::start();
    let jobs: Vec<Value> = (0..20).map(|_| json!({"kind": "k", "queue": "q"})).collect();
    made(&broker, &json!({"jobs": jobs}));
    let start = |body: Value| broker.http("POST", "/v1/operations", &body.to_string());
    let seen = start(json!({"action": "bury", "q": "queue:q", "dry_run": true})).json();
    assert_eq!((seen["matched"].clone(), seen["sample"].as_array().unwrap().len()), (json!(20), 10));
    assert_eq!(start(json!({"action": "bury", "q": "queue:q", "expect": 19})).status, 409);
    let done = start(json!({"action": "bury", "q": "queue:q", "expect": 20}));
    assert_eq!((done.status, done.json()["changed"].clone()), (200, json!(20)));
    let paced = start(json!({"action": "retry", "q": "state:dead", "per_second": 1, "reason": "slowly"}));
    assert_eq!(paced.status, 202, "{}", paced.text());
    let path = paced.header("location").to_owned();
    assert_eq!(broker.http("GET", &path, "").json()["reason"], "slowly");
    assert_eq!(broker.http("DELETE", &path, "").status, 200);
    eventually("the operation ends", || {
        broker.http("GET", &path, "").json()["finished_at"].as_str().map(str::to_owned)
    });
    assert_eq!(start(json!({"action": "bury", "q": ""})).status, 400);
    assert_eq!(start(json!({"action": "bury", "all": true, "grace_ms": 1})).status, 400);
}
