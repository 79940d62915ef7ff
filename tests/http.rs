//! The gateway's plain forms, its guards and its health, over a real socket.

use crate::harness::{Broker, complete, http};
use serde_json::json;

#[test]
fn a_job_is_enqueued_with_one_small_object_and_its_result_is_read_by_its_id() {
    let broker = Broker::start();
    let answer =
        broker.http("POST", "/enqueue", r#"{"type":"add","payload":{"a":1},"retries":2,"queue":"q"}"#);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json()["message"], format!("job {id} is enqueued"));
    let pending = broker.http("GET", &format!("/results/{id}"), "");
    assert_eq!((pending.status, pending.header("retry-after")), (202, "1"));

    let mut peer = broker.peer();
    let work = peer.fetch("q");
    assert_eq!((&work.payload[..], work.kind.as_str(), work.max_attempts), (&b"{\"a\":1}"[..], "add", 3));
    peer.settle(&work, complete("[1,2]"));
    let done = broker.http("GET", &format!("/results/{id}"), "");
    assert_eq!((done.status, done.json()), (200, json!([1, 2])));
    let unknown = broker.http("GET", "/results/018f0000-0000-7000-8000-000000000000", "");
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("NOT_FOUND")));
}

#[test]
fn a_sentence_is_enough_for_whoever_asks_for_text() {
    let broker = Broker::start();
    let accept = [("Accept", "text/plain")];
    let answer = http::ask(&broker.http_addr(), "POST", "/enqueue", &accept, br#"{"kind":"k"}"#);
    assert_eq!(answer.status, 202);
    assert!(
        answer.text().starts_with("job ") && answer.text().ends_with(" is enqueued\n"),
        "{}",
        answer.text()
    );
}

#[test]
fn what_was_acknowledged_over_http_survives_a_kill() {
    let mut broker = Broker::start();
    let answer = broker.http("POST", "/enqueue", r#"{"kind":"k"}"#);
    assert_eq!(answer.status, 202);
    broker.kill();
    broker.restart();
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(broker.http("GET", &format!("/results/{id}"), "").status, 202);
}

#[test]
fn every_refusal_is_a_problem_with_its_code_and_its_field() {
    let broker = Broker::start();
    for (body, status, code, pointer) in [
        (r#"{"kind":"k","payloda":1}"#, 400, "INVALID", "/payloda"),
        (r#"{"kind":"k","retries":"two"}"#, 400, "INVALID", "/retries"),
        (r#"{"kind":"a b\u0000"}"#, 400, "INVALID", "/kind"),
        (r#"{"kind":"k","priority":10}"#, 400, "INVALID", "/priority"),
        ("{", 400, "INVALID", ""),
    ] {
        let answer = broker.http("POST", "/enqueue", body);
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (status, Some(code)),
            "{}",
            answer.text()
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["errors"][0]["pointer"].as_str().unwrap_or_default(), pointer, "{body}");
    }
    let large = format!(r#"{{"kind":"k","payload":"{}"}}"#, "x".repeat(1 << 20));
    let answer = broker.http("POST", "/enqueue", &large);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("TOO_LARGE")));
    assert_eq!(broker.http("GET", "/nowhere", "").status, 404);
    assert_eq!(broker.http("DELETE", "/enqueue", "").status, 405);
}

#[test]
fn a_page_of_somebody_elses_can_neither_rebind_its_name_nor_forge_a_request() {
    let broker = Broker::with(&["--http-host", "jobs.example.com"]);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        http::ask(&broker.http_addr(), method, path, headers, br#"{"kind":"k"}"#).status
    };
    assert_eq!(ask("GET", "/livez", &[("Host", "evil.example")]), 421);
    assert_eq!(ask("GET", "/livez", &[("Host", "jobs.example.com:7521")]), 200);
    assert_eq!(ask("POST", "/enqueue", &[("Origin", "https://evil.example")]), 403);
    assert_eq!(ask("POST", "/enqueue", &[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(ask("POST", "/enqueue", &[("Sec-Fetch-Site", "same-origin")]), 202);
}

#[test]
fn health_is_told_and_so_is_what_the_gateway_can_do() {
    let broker = Broker::start();
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = broker.http("GET", path, "");
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")), "{path}");
    }
    let api = broker.http("GET", "/openapi.json", "").json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(api["paths"]["/enqueue"]["post"].is_object());
}

/// The description of the API is committed. After a change of a route write it anew, and look at the
/// difference: `WINDLASS_WRITE_OPENAPI=1 cargo test -p windlass-tests --test main http::the_committed`.
#[test]
fn the_committed_description_of_the_api_is_that_of_the_broker() {
    let broker = Broker::start();
    let served =
        serde_json::to_string_pretty(&broker.http("GET", "/openapi.json", "").json()).unwrap() + "\n";
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("WINDLASS_WRITE_OPENAPI").is_some() {
        std::fs::write(&page, &served).unwrap();
    }
    let committed = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(committed == served, "docs/openapi.json is not what the broker serves; write it anew");
}

#[test]
fn every_answer_has_a_name_and_text_is_packed_for_whoever_can_unpack_it() {
    let broker = Broker::start();
    let addr = broker.http_addr();
    let named = http::ask(&addr, "GET", "/livez", &[("Request-Id", "mine-1")], b"");
    assert_eq!((named.header("request-id"), named.header("x-content-type-options")), ("mine-1", "nosniff"));
    let other = http::ask(&addr, "GET", "/livez", &[], b"");
    assert!(!other.header("request-id").is_empty());
    let packed = http::ask(&addr, "GET", "/openapi.json", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!((packed.header("content-encoding"), &packed.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
}

#[test]
fn systemd_hears_that_the_broker_is_ready_lives_and_goes() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let heard = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    heard.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    let mut broker = Broker::with_env(&[], &env);
    let next = || {
        let mut text = [0; 1_024];
        let length = heard.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    assert!(next().contains("READY=1"));
    for _ in 0..2 {
        let said = next();
        assert!(said.contains("WATCHDOG=1") && said.contains("STATUS=0 jobs"), "{said}");
    }
    broker.program().signal(rustix::process::Signal::TERM);
    while !next().contains("STOPPING=1") {}
    assert_eq!(broker.program().wait(), 0);
}
