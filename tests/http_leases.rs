//! Workers that speak HTTP only.

use crate::harness::{Broker, Program, eventually, http};
use serde_json::{Value, json};
use windlass_proto::v1::AdvanceClock;
use windlass_proto::v1::client_frame::Request;

fn enqueue(broker: &Broker, body: &str) -> String {
    broker.http("POST", "/v1/jobs", body).json()["id"].as_str().unwrap().to_owned()
}

fn take(broker: &Broker, body: &Value) -> Value {
    let answer = broker.http("POST", "/v1/leases", &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"].clone()
}

fn tell(broker: &Broker, lease: &Value, verb: &str, body: &str) -> http::Reply {
    broker.http("POST", &format!("/v1/leases/{}/{verb}", lease["lease"].as_str().unwrap()), body)
}

#[test]
fn a_job_is_taken_kept_alive_and_completed() {
    let mut broker = Broker::start();
    let id = enqueue(&broker, r#"{"kind":"k","payload":{"n":1}}"#);
    // Another lease of the session, which is not settled, keeps it for who asks again.
    enqueue(&broker, r#"{"kind":"k"}"#);
    let items = take(&broker, &json!({"worker": "sh", "lease": "10m", "max": 2}));
    let lease = &items[0];
    assert_eq!((lease["id"].clone(), lease["payload"].clone()), (json!(id), json!({"n": 1})));
    assert_eq!(take(&broker, &json!({})), json!([]));
    let beaten = tell(&broker, lease, "beat", r#"{"progress_permille":500,"note":"half","logs":["line"]}"#);
    assert_eq!((beaten.status, beaten.json()["cancel"].clone()), (200, json!(false)), "{}", beaten.text());
    let job = broker.http("GET", &format!("/v1/jobs/{id}"), "").json();
    assert_eq!((job["progress_permille"].clone(), job["note"].clone()), (json!(500), json!("half")));
    let logs = broker.http("GET", &format!("/v1/jobs/{id}/logs"), "").json();
    assert_eq!(logs["items"][0]["text"], "line");

    // The lease is its own proof: it is good after a crash of the broker, too.
    broker.kill();
    broker.restart();
    let done = tell(&broker, lease, "complete", r#"{"result":[1]}"#);
    assert_eq!((done.status, done.json()["state"].clone()), (200, json!("completed")), "{}", done.text());
    assert_eq!(broker.http("GET", &format!("/results/{id}"), "").json(), json!([1]));
    let again = tell(&broker, lease, "complete", r#"{"result":[1]}"#);
    assert_eq!((again.status, again.json()["code"].clone()), (200, json!("already_settled")));
    assert_eq!(tell(&broker, lease, "beat", "{}").status, 409);
}

#[test]
fn a_run_that_fails_or_gives_back_is_told_so_and_a_forged_lease_is_none() {
    let broker = Broker::start();
    let id = enqueue(&broker, r#"{"kind":"k","queue":"q"}"#);
    let state = || broker.http("GET", &format!("/v1/jobs/{id}"), "").json()["state"].clone();
    let draw = json!({"queues": ["q"], "kinds": ["k"]});
    let items = take(&broker, &draw);
    assert_eq!(tell(&broker, &items[0], "release", "{}").json()["state"], "ready");
    let items = take(&broker, &draw);
    assert_eq!(items[0]["attempt"], 1);
    let failed = tell(&broker, &items[0], "fail", r#"{"message":"no","fatal":true}"#);
    assert_eq!(failed.json()["state"], "dead");
    assert_eq!(state(), "dead");
    let text = items[0]["lease"].as_str().unwrap();
    let forged = json!({"lease": format!("AAAA{}", &text[4..])});
    assert_eq!(tell(&broker, &forged, "complete", "{}").status, 404);
    assert_eq!(tell(&broker, &json!({"lease": "x"}), "beat", "{}").status, 404);
}

#[test]
fn a_worker_waits_for_a_job_and_one_that_dies_is_noticed() {
    let broker = Broker::with_test_clock();
    let addr = broker.http_addr();
    let waiting = std::thread::spawn({
        let addr = addr.clone();
        move || http::ask(&addr, "POST", "/v1/leases", &[("Prefer", "wait=60")], b"{}").json()
    });
    eventually("the worker waits", || {
        let workers = broker.http("GET", "/v1/workers", "").json();
        workers["items"].as_array().unwrap().iter().find(|worker| worker["streams"] == 1).cloned()
    });
    let id = enqueue(&broker, r#"{"kind":"k"}"#);
    let items = waiting.join().unwrap()["items"].clone();
    assert_eq!(items[0]["id"], json!(id));
    // Nothing more is heard of it, and its lease was for 30 s.
    broker.peer().ask(Request::AdvanceClock(AdvanceClock { by_ms: 31_000, ..AdvanceClock::default() }));
    let job = broker.http("GET", &format!("/v1/jobs/{id}"), "").json();
    assert_eq!(
        (job["state"].clone(), job["history"][0]["outcome"].clone()),
        (json!("ready"), json!("expired"))
    );
    assert_eq!(tell(&broker, &items[0], "complete", "{}").status, 409);
}

/// The worker of docs/HTTP.md, run as it stands there.
#[test]
fn the_worker_in_bash_runs_jobs_and_tells_what_fails() {
    let broker = Broker::start();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/HTTP.md");
    let page = std::fs::read_to_string(page).unwrap();
    let script = page.split("```bash\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(script.lines().count() <= 70);
    let path = broker.home().join("worker.sh");
    std::fs::write(&path, script).unwrap();
    let mut bash = std::process::Command::new("bash");
    bash.arg(&path).arg("q").env("WINDLASS_URL", format!("http://{}", broker.http_addr()));
    let mut worker = Program::start(&mut bash, broker.home(), "worker");

    let payload = r#"a \"quoted\" payload_base64":"word"#;
    let done = enqueue(&broker, &json!({"kind": "shout", "queue": "q", "payload": payload}).to_string());
    let dead = enqueue(&broker, r#"{"kind":"unheard","queue":"q","max_attempts":1}"#);
    let shown = |id: &str| broker.http("GET", &format!("/v1/jobs/{id}"), "").json();
    let ended = |id: &str| {
        eventually("the job ends", || Some(shown(id)).filter(|job| job["finished_at"].is_string()))
    };
    assert_eq!(ended(&done)["result"], json!(payload.to_uppercase()));
    let dead = ended(&dead);
    assert_eq!(
        (dead["state"].clone(), dead["history"][0]["message"].clone()),
        (json!("dead"), json!("nobody here runs unheard"))
    );
    worker.kill();
}

#[test]
fn what_is_leased_lies_in_the_bounds_of_the_description() {
    let broker = Broker::start();
    for (body, pointer) in [
        (r#"{"max":0}"#, "/max"),
        (r#"{"max":10001}"#, "/max"),
        (r#"{"lease_ms":0}"#, "/lease_ms"),
        (r#"{"lease_ms":604800001}"#, "/lease_ms"),
        (r#"{"lease":"8d"}"#, "/lease"),
    ] {
        let refused = broker.http("POST", "/v1/leases", body);
        let at = refused.json()["errors"][0]["pointer"].clone();
        assert_eq!((refused.status, at.as_str()), (400, Some(pointer)), "{}", refused.text());
    }
}
