//! Queues, limits, schedules and workers over HTTP, and events as they happen.

use crate::harness::http::{self, Events};
use crate::harness::{Broker, complete, job, stream};
use serde_json::json;
use windlass_proto::v1::JobSpec;

#[test]
fn a_queue_is_paused_resumed_purged_and_set_under_its_version() {
    let broker = Broker::with_test_clock();
    broker.http("POST", "/v1/jobs", r#"{"kind":"k","queue":"a/b"}"#);
    let path = "/v1/queues/a%2Fb";
    let verb = |verb: &str, body: &str| broker.http("POST", &format!("{path}/{verb}"), body);
    assert_eq!(verb("pause", r#"{"why":"smtp is down","until":"2030-01-02T00:00:00Z"}"#).status, 200);
    let queue = broker.http("GET", path, "").json();
    assert_eq!((queue["paused"].clone(), queue["paused_why"].clone()), (json!(true), json!("smtp is down")));
    let overview = broker.http("GET", "/v1/overview", "").json();
    let mut problems = overview["problems"].as_array().unwrap().iter();
    assert!(problems.any(|problem| problem["code"] == "paused"), "{overview}");
    assert_eq!(
        (overview["totals"]["ready"].clone(), overview["queues"][0]["name"].clone()),
        (json!(1), json!("a/b"))
    );
    assert_eq!(verb("resume", "{}").json()["paused"], false);
    assert_eq!(verb("resume", "").status, 200);
    assert_eq!(verb("purge", r#"{"q":"kind:other"}"#).json()["changed"], 0);
    assert_eq!(verb("purge", "{}").json()["changed"], 1);

    let set = broker.http("PUT", path, r#"{"policy":{"max_attempts":3,"backoff":{"base":"2s"}}}"#);
    assert_eq!((set.status, set.header("etag")), (200, "\"1\""), "{}", set.text());
    let queue = broker.http("GET", path, "");
    assert_eq!(
        (queue.header("etag"), queue.json()["policy"]["backoff"]["base_ms"].clone()),
        ("\"1\"", json!(2_000))
    );
    let put = |tag: &str| http::ask(&broker.http_addr(), "PUT", path, &[("If-Match", tag)], b"{}").status;
    assert_eq!((put("\"7\""), put("\"x\""), put("\"1\"")), (412, 412, 200));
    let fault = broker.http("PUT", path, r#"{"policy":{"max_attempts":0}}"#).json();
    assert_eq!(fault["errors"][0]["pointer"], "/policy/max_attempts");
    assert_eq!(broker.http("PUT", path, r#"{"polcy":{}}"#).status, 400);
    assert_eq!(broker.http("DELETE", path, "").status, 204);
    assert_eq!(broker.http("GET", "/v1/queues/nobody", "").status, 404);
}

#[test]
fn limits_and_schedules_are_resources() {
    let broker = Broker::start();
    let set = broker.http("PUT", "/v1/limits/stripe", r#"{"rate":10,"per":"1m","concurrency":4}"#);
    assert_eq!(set.status, 200, "{}", set.text());
    let limit = broker.http("GET", "/v1/limits/stripe", "").json();
    assert_eq!((limit["limit"]["per_ms"].clone(), limit["version"].clone()), (json!(60_000), json!(1)));
    let schedule =
        json!({"cron": "30 2 * * *", "tz": "Europe/Berlin", "job": {"kind": "k", "payload": {"n": 1}}});
    let set = broker.http("PUT", "/v1/schedules/nightly", &schedule.to_string());
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!(
        broker.http("PUT", "/v1/schedules/x", r#"{"cron":"61 * * * *","job":{"kind":"k"}}"#).status,
        400
    );
    let ran = broker.http("POST", "/v1/schedules/nightly/run", "");
    assert_eq!((ran.status, ran.json()["state"].clone()), (201, json!("ready")), "{}", ran.text());
    let id = ran.json()["id"].as_str().unwrap().to_owned();
    let made = broker.http("GET", &format!("/v1/jobs/{id}"), "").json();
    assert_eq!((made["payload"].clone(), made["schedule"].clone()), (json!({"n": 1}), json!("nightly")));
    assert_eq!(broker.http("POST", "/v1/schedules/nightly/pause", "").json()["version"], 2);
    let shown = broker.http("GET", "/v1/schedules/nightly", "").json();
    assert_eq!(shown["schedule"]["paused"], true);
    broker.http("POST", "/v1/schedules/nightly/resume", "");
    let next = broker.http("GET", "/v1/schedules/next?cron=0%209%20*%20*%20MON&zone=UTC&n=3", "").json();
    assert_eq!(next["next"].as_array().unwrap().len(), 3);
    assert!(next["description"].as_str().unwrap().contains("09:00"), "{next}");
    assert_eq!(broker.http("GET", "/v1/schedules/next?cron=x", "").status, 400);
    let names: Vec<String> = broker.http("GET", "/v1/config", "").json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["limit/stripe", "schedule/nightly"]);
    for path in ["/v1/limits/stripe", "/v1/schedules/nightly"] {
        assert_eq!(broker.http("DELETE", path, "").status, 204);
        assert_eq!(broker.http("GET", path, "").status, 404);
    }
}

#[test]
fn workers_are_listed_and_told() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    peer.open_stream(stream("q", 3));
    // What a connection says is decided in order.
    peer.server();
    let workers = broker.http("GET", "/v1/workers", "").json();
    let workers = workers["items"].as_array().unwrap();
    assert_eq!((workers.len(), workers[0]["slots"].clone()), (1, json!(3)));
    let id = workers[0]["id"].as_str().unwrap();
    let told = broker.http("POST", &format!("/v1/workers/{id}/quiet"), r#"{"reason":"deploy"}"#);
    assert_eq!((told.status, told.json()["changed"].clone()), (200, json!(1)));
    assert_eq!(broker.http("GET", "/v1/workers", "").json()["items"][0]["phase"], "quiet");
    let nobody = "/v1/workers/018f0000-0000-7000-8000-000000000000/stop";
    assert_eq!(broker.http("POST", nobody, "").status, 404);
    assert_eq!(broker.http("GET", "/v1/stats", "").json()["draining"], false);
}

#[test]
fn events_are_told_as_they_happen_and_again_from_where_a_client_was() {
    let broker = Broker::start();
    let addr = broker.http_addr();
    let mut events =
        Events::open(&addr, "/v1/events?q=queue:q&names=job.enqueued,job.completed&snapshot=3600", &[]);
    let glance = events.next().unwrap();
    assert_eq!((glance.name.as_str(), glance.id.as_str()), ("snapshot", ""));
    assert!(glance.data["server"]["version"].is_string());
    let mut peer = broker.peer();
    peer.enqueue(JobSpec { queue: "elsewhere".to_owned(), ..job("k") });
    peer.enqueue(JobSpec { queue: "q".to_owned(), ..job("k") });
    let enqueued = events.next().unwrap();
    assert_eq!((enqueued.name.as_str(), enqueued.data["queue"].as_str()), ("job.enqueued", Some("q")));
    assert_eq!(enqueued.data["seq"], enqueued.id);
    let work = peer.fetch("q");
    peer.settle(&work, complete("1"));
    let completed = events.next().unwrap();
    assert_eq!(completed.data["state"], "completed");
    let last = [("Last-Event-ID", enqueued.id.as_str())];
    let mut again = Events::open(&addr, "/v1/events?q=queue:q&names=job.enqueued,job.completed", &last);
    assert_eq!(again.next().unwrap(), completed);
    assert_eq!(broker.http("GET", "/v1/events?names=job.nothing", "").status, 400);
    assert_eq!(broker.http("GET", "/v1/events?q=age:1h", "").status, 400);
}

#[test]
fn a_broker_that_goes_down_ends_its_streams() {
    let mut broker = Broker::start();
    let mut events = Events::open(&broker.http_addr(), "/v1/events", &[]);
    assert_eq!(broker.terminate(), 0);
    assert_eq!(events.next(), None);
}
