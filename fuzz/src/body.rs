//! Bodies of HTTP requests, through the routes of a gateway with a broker in memory behind it.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;
use tower::ServiceExt;
use windlass_broker::clock::Clock;
use windlass_broker::door::Door;
use windlass_broker::driver::Driver;
use windlass_broker::driver::commit::Commit;
use windlass_broker::driver::core::{Core, CoreOptions};
use windlass_broker::http::{self, Gateway};
use windlass_broker::local::Locals;
use windlass_broker::metrics::Meters;
use windlass_broker::session::Terms;
use windlass_broker::store::seam::{Journal, Leaves, Record};
use windlass_broker::store::{record, simulated::SimDisk};
use windlass_engine::{Start, Turn};

/// Longest time that an answer may take; a fuzzer runs on busy machines.
const PATIENCE: Duration = Duration::from_secs(60);
const JOB: &str = "/v1/jobs/0190f5c2-7b1e-7c33-8d1c-000000000001";

/// What the first byte of an input stands for: method, path below a job or as it stands, media type.
const ROUTES: [(&str, &str, &str); 23] = [
    ("POST", "/v1/jobs", "application/json"),
    ("POST", "/v1/jobs", "application/x-ndjson"),
    ("POST", "/enqueue", "application/json"),
    ("POST", "/v1/operations", "application/json"),
    ("PUT", "/v1/queues/mail", "application/json"),
    ("PUT", "/v1/limits/gpu", "application/json"),
    ("PUT", "/v1/schedules/nightly", "application/json"),
    ("PUT", "/v1/webhooks/hook", "application/json"),
    ("POST", "/v1/queues/mail/pause", "application/json"),
    ("POST", "/v1/queues/mail/purge", "application/json"),
    ("POST", "/retry", "application/json"),
    ("POST", "/cancel", "application/json"),
    ("POST", "/move", "application/json"),
    ("POST", "/bury", "application/json"),
    ("PATCH", "", "application/json"),
    ("POST", "/v1/leases", "application/json"),
    ("POST", "/v1/leases/x/beat", "application/json"),
    ("POST", "/v1/leases/x/complete", "application/json"),
    ("POST", "/v1/leases/x/fail", "application/json"),
    ("POST", "/v1/leases/x/release", "application/json"),
    ("POST", "/v1/jobs", "application/x-www-form-urlencoded"),
    ("POST", "/v1/jobs", "text/plain"),
    ("POST", "/v1/schedules/nightly/run", "application/json"),
];

/// A body, to the route of its first byte: an answer comes, and it is not that the broker has a bug.
pub fn body(data: &[u8]) {
    static RIG: LazyLock<Rig> = LazyLock::new(Rig::start);
    let Some((&route, body)) = data.split_first() else { return };
    let (method, path, essence) = ROUTES[usize::from(route) % ROUTES.len()];
    let path = match path {
        // What is done there cannot be rehearsed; in this broker nobody waits for it.
        "/enqueue" => path.to_owned(),
        _ if path.starts_with("/v1/leases") => path.to_owned(),
        _ if path.starts_with("/v1") => format!("{path}?dry_run=1"),
        _ => format!("{JOB}{path}?dry_run=1"),
    };
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).expect("a method"))
        .uri(&path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, essence)
        .body(Body::from(body.to_vec()))
        .expect("a request");
    let answer = RIG.runtime.block_on(async {
        let answer = tokio::time::timeout(PATIENCE, RIG.routes.clone().oneshot(request)).await;
        answer.unwrap_or_else(|_| panic!("{method} {path} is not answered"))
    });
    let status = answer.expect("routes do not fail").status().as_u16();
    assert!(status != 500, "{method} {path}: a bug");
}

struct Rig {
    runtime: Runtime,
    routes: Router,
}

impl Rig {
    /// A broker that forgets: nothing of it is on disk.
    fn start() -> Self {
        let disk = SimDisk::new();
        let ((mut journal, recovered), leaves) = (disk.open_journal(), disk.open_leaves());
        let options = CoreOptions { jobs_max: 100, ..CoreOptions::default() };
        let (mut core, _) =
            Core::recover(&mut journal, recovered, leaves.reader(), 1, options).expect("an empty disk opens");
        let clock = windlass_broker::clock::wall_ms;
        let mut turn = Turn::new(1);
        core.start(Start { now: clock(), minutes: 1 }, &mut turn).expect("nothing fails in memory");
        let first = record::encode_facts(&turn.facts);
        journal.append(Record { batch: 1, format: record::FORMAT, body: &first }).expect("memory takes it");
        let (door, commit) = (Door::default(), Arc::new(Commit::new(1)));
        // What would be folded is let go: nobody reads it.
        let (slices, to_fold) = sync_channel(4);
        std::mem::forget(to_fold);
        let meters = Meters::default();
        let driver =
            Driver::new(core, door.clone(), Arc::clone(&commit), slices, Arc::default(), Clock::default());
        let driver = driver.with_meters(meters.clone());
        std::thread::spawn(move || driver.run());
        std::thread::spawn(move || commit.run(&mut journal));
        let locals = Locals::new(door, Terms::new([7; 32]), Arc::new(clock), http::CLIENT);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let routes = http::router(Gateway::new(locals, meters, address, Vec::new()));
        Self { runtime, routes }
    }
}
