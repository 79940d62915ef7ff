//! Tokens on the wire: who is let in, what each may see, what becomes of whoever is there already, and that
//! no secret is in a log.

mod routes;

use crate::harness::{
    Broker, Peer, body, complete, eventually, hello, http, job, raise_open_files, stream, windlass,
};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{
    Cancel, Change, Code, Enqueue, Error, Hello, JobSpec, Query, Rows, Selector, Watch,
};

/// A broker that asks for tokens, and the file in which they stand.
struct Gate {
    broker: Broker,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

/// What the log says of a file that was read again, and of one that was not.
const READ: &str = " read anew";
const NOT_READ: &str = "not read anew";

/// The tokens that are there from the start.
const TOKENS: &[(&str, &str)] = &[
    ("admin", "--role admin --namespace *"),
    ("shop", "--role producer --queue shop-* --queue mail"),
    ("worker", "--role worker --queue mail"),
    ("viewer", "--role viewer"),
    ("open", "--role viewer --payloads"),
    ("eyes", "--role viewer --queue mail --payloads"),
    ("ops", "--role operator"),
    ("other", "--role producer --role viewer --role operator --namespace other --payloads"),
];

fn token(file: &Path, line: &str) -> String {
    let mut words: Vec<&str> = vec!["token"];
    words.extend(line.split(' '));
    let file = file.display().to_string();
    words.extend(["--file", &file]);
    windlass(&words).ok().out.trim().to_owned()
}

impl Gate {
    fn new() -> (Self, impl Fn(&str) -> String) {
        Self::with(&[])
    }

    fn with(flags: &[&str]) -> (Self, impl Fn(&str) -> String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.toml");
        let made = |(name, what): &(&'static str, &'static str)| {
            (*name, token(&file, &format!("new {name} {what}")))
        };
        let texts: Vec<(&str, String)> = TOKENS.iter().map(made).collect();
        let path = file.display().to_string();
        let broker = Broker::with(&[&["--tokens", &path, "--log-level", "trace"], flags].concat());
        let text = move |name: &str| texts.iter().find(|(known, _)| *known == name).unwrap().1.clone();
        (Self { broker, file, _dir: dir }, text)
    }

    fn open(&self, token: &str) -> Peer {
        Peer::with(self.broker.addr(), as_whom(token))
    }

    /// What somebody hears who is not let in.
    fn refused(&self, hello: Hello) -> Error {
        body!(Peer::mute(self.broker.addr()).ask(Request::Hello(hello)), Error)
    }

    /// The broker reads the file again.
    fn reload(&mut self, said: &str) {
        let before = self.log().matches(said).count();
        self.broker.program().signal(Signal::HUP);
        eventually("the file is read", || (self.log().matches(said).count() > before).then_some(()));
    }

    fn log(&mut self) -> String {
        self.broker.program().stderr()
    }

    fn http(&self, token: &str, method: &str, path: &str, body: &str) -> http::Reply {
        let bearer = format!("Bearer {token}");
        http::ask(&self.broker.http_addr(), method, path, &[("Authorization", &bearer)], body.as_bytes())
    }
}

fn as_whom(token: &str) -> Hello {
    Hello { token: token.to_owned(), ..hello() }
}

fn at(queue: &str) -> JobSpec {
    JobSpec { queue: queue.into(), payload: "secret-of-a-job".into(), ..job("k") }
}

fn ask(what: What) -> Request {
    Request::Query(Query { what: what.into(), ..Query::default() })
}

fn all(what: What) -> Request {
    let select = Some(Selector { all: true, ..Selector::default() });
    Request::Query(Query { what: what.into(), select, ..Query::default() })
}

fn one(what: What, id: &[u8]) -> Request {
    let select = Some(Selector { ids: vec![id.to_vec().into()], ..Selector::default() });
    Request::Query(Query { what: what.into(), select, ..Query::default() })
}

fn rows(peer: &mut Peer, request: Request) -> Rows {
    body!(peer.ask(request), Rows)
}

fn code(peer: &mut Peer, request: Request) -> Code {
    match peer.ask(request) {
        Body::Error(error) => error.code(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn who_shows_no_token_or_a_wrong_one_is_not_let_in_and_waits_longer_each_time() {
    let (gate, text) = Gate::new();
    let error = gate.refused(hello());
    assert_eq!((error.code(), error.field.as_str()), (Code::Unauthenticated, "token"));
    let wrong = format!("{}x", text("admin"));
    let told: Vec<u64> = (0..4).map(|_| gate.refused(as_whom(&wrong)).retry_after_ms).collect();
    assert!(told.is_sorted() && told[0] > 0 && told[3] >= 4 * told[0], "{told:?}");
    // Nobody is locked out for it, but waits, too.
    let began = Instant::now();
    gate.open(&text("admin"));
    assert!(began.elapsed().as_millis() >= 300, "{:?} after {told:?}", began.elapsed());
}

#[test]
fn a_token_that_nobody_checks_is_refused() {
    let broker = Broker::start();
    let mut peer = Peer::mute(broker.addr());
    let error = body!(peer.ask(Request::Hello(as_whom("wl_ci_x"))), Error);
    assert_eq!((error.code(), error.field.as_str()), (Code::Unsupported, "token"));
    assert!(error.message.contains("--tokens"), "{error:?}");
    let bearer = [("Authorization", "Bearer wl_ci_x")];
    assert_eq!(http::ask(&broker.http_addr(), "GET", "/v1/jobs", &bearer, b"").status, 501);
}

#[test]
fn each_role_does_its_own_and_the_audit_names_it() {
    let (gate, text) = Gate::new();
    let (mut shop, mut worker, mut ops) =
        (gate.open(&text("shop")), gate.open(&text("worker")), gate.open(&text("ops")));
    let id = shop.enqueue(at("mail"));
    assert_eq!(code(&mut shop, all(What::Jobs)), Code::Denied);
    assert_eq!(rows(&mut shop, one(What::Job, &id)).jobs[0].payload, "secret-of-a-job");
    let bills = Request::Enqueue(Enqueue { jobs: vec![at("bills")], ..Enqueue::default() });
    assert_eq!(code(&mut shop, bills), Code::Denied);
    assert_eq!(code(&mut worker, Request::Fetch(stream("bills", 1))), Code::Denied);
    let work = worker.fetch("mail");
    assert_eq!(work.payload, "secret-of-a-job");
    worker.settle(&work, complete("42"));
    let to = Some(To::Delete(windlass_proto::v1::Delete {}));
    let select = Some(Selector { ids: vec![id], ..Selector::default() });
    let change = Request::Change(Change { select, to, ..Change::default() });
    assert_eq!(code(&mut worker, change.clone()), Code::Denied);
    body!(ops.ask(change), Changed);
    let audit = rows(&mut ops, ask(What::Audit)).audits;
    assert_eq!((audit[0].by.as_str(), audit[0].verb.as_str()), ("ops", "delete"));
    let sessions = rows(&mut ops, ask(What::Sessions)).sessions;
    let mut names: Vec<&str> = sessions.iter().map(|session| session.token.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>(),
        ["ops", "shop", "worker"]
    );
}

#[test]
fn of_another_namespace_and_of_another_queue_nothing_is_seen_or_changed() {
    let (gate, text) = Gate::new();
    let mut shop = gate.open(&text("shop"));
    let (mail, goods) = (shop.enqueue(at("mail")), shop.enqueue(at("shop-goods")));
    assert_eq!(gate.refused(as_whom(&text("other"))).code(), Code::Denied);
    let within = Hello { namespace: "other".into(), ..as_whom(&text("other")) };
    let mut other = Peer::with(gate.broker.addr(), within);
    other.enqueue(at("mail"));
    for what in [What::Job, What::Explain, What::Logs] {
        assert_eq!(code(&mut other, one(what, &mail)), Code::NotFound, "{what:?}");
    }
    assert_eq!(rows(&mut other, all(What::Jobs)).jobs.len(), 1);
    for what in [What::Queues, What::Scale, What::Kinds, What::Sessions] {
        let rows = rows(&mut other, ask(what));
        let counts = [rows.queues.len(), rows.scales.len(), rows.kinds.len(), rows.sessions.len()];
        assert_eq!(counts.iter().sum::<usize>(), 1, "{what:?}");
    }
    assert_eq!(rows(&mut other, ask(What::Tokens)).tokens.len(), 2);
    let select = Some(Selector { all: true, ..Selector::default() });
    let to = Some(To::Cancel(Cancel::default()));
    let cancel = Request::Change(Change { select, to, ..Change::default() });
    assert_eq!(body!(other.ask(cancel), Changed).changed, 1);
    let mut viewer = gate.open(&text("viewer"));
    assert_eq!(rows(&mut viewer, ask(What::Audit)).audits.len(), 0);
    // A token for one queue sees that one.
    let mut eyes = gate.open(&text("eyes"));
    let jobs = rows(&mut eyes, all(What::Jobs)).jobs;
    assert_eq!(jobs.iter().map(|job| &job.id[..]).collect::<Vec<_>>(), [&mail[..]]);
    let queues = rows(&mut eyes, ask(What::Queues));
    assert_eq!((queues.queues.len(), queues.queues[0].name.as_str(), queues.total), (1, "mail", 1));
    assert_eq!(code(&mut eyes, one(What::Job, &goods)), Code::NotFound);
    assert_eq!(code(&mut eyes, ask(What::Kinds)), Code::Denied);
    let watch = eyes.say(Request::Watch(Watch::default()));
    rows(&mut eyes, ask(What::Queues));
    let (first, second) = (at("shop-goods"), at("mail"));
    shop.enqueue(first);
    let seen = shop.enqueue(second);
    let event = eventually("an event", || match eyes.hear_answer() {
        Some((id, Body::Event(event))) if id == watch => Some(event),
        _ => None,
    });
    assert_eq!(event.job, seen);
    // It sees who draws from its queue, and the overview is of that one.
    let mut worker = gate.open(&text("worker"));
    let drawing = worker.open_stream(stream("mail", 1));
    worker.delivery(drawing);
    let sessions = rows(&mut gate.open(&text("eyes")), ask(What::Sessions)).sessions;
    assert_eq!(sessions.iter().map(|session| session.token.as_str()).collect::<Vec<_>>(), ["worker"]);
    let overview = gate.http(&text("eyes"), "GET", "/v1/overview", "").json();
    assert_eq!(
        (overview["workers"].as_u64(), overview["totals"]["enqueued_total"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(overview["queues"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_jobs_carry_is_seen_by_whom_may_see_it_and_that_is_noted() {
    let (mut gate, text) = Gate::new();
    let id = gate.open(&text("shop")).enqueue(at("mail"));
    let hidden = rows(&mut gate.open(&text("viewer")), one(What::Job, &id)).jobs.remove(0);
    assert!(hidden.bodies_hidden && hidden.payload.is_empty() && hidden.payload_bytes == 15);
    assert!(!gate.log().contains("payloads were read"));
    let open = rows(&mut gate.open(&text("open")), one(What::Job, &id)).jobs.remove(0);
    assert!(!open.bodies_hidden && open.payload == "secret-of-a-job");
    let log = eventually("it is noted", || Some(gate.log()).filter(|log| log.contains("payloads were read")));
    let line = log.lines().find(|line| line.contains("payloads were read")).unwrap();
    let uuid = uuid::Uuid::from_slice(&id).unwrap().to_string();
    assert!(line.contains("open") && line.contains(&uuid), "{line}");
    assert!(!log.contains("secret-of-a-job"));
}

#[test]
fn a_token_is_rotated_while_both_secrets_are_good_and_revoked_for_whoever_is_there() {
    let (mut gate, text) = Gate::new();
    let old = text("viewer");
    let mut before = gate.open(&old);
    let new = token(&gate.file, "rotate viewer --overlap 1h");
    assert_eq!(gate.refused(as_whom(&new)).code(), Code::Unauthenticated);
    gate.reload(READ);
    // The end of the former secret has moved, so its sessions begin anew; both are good.
    assert!(is_cut(&mut before));
    let (mut of_old, mut of_new) = (gate.open(&old), gate.open(&new));
    let mut bystander = gate.open(&text("open"));
    token(&gate.file, "rotate viewer --overlap 0s --yes");
    gate.reload(READ);
    assert!(is_cut(&mut of_old) && is_cut(&mut of_new));
    assert_eq!(gate.refused(as_whom(&old)).code(), Code::Unauthenticated);
    token(&gate.file, "revoke ops --yes");
    gate.reload(READ);
    rows(&mut bystander, ask(What::Server));
    assert_eq!(gate.refused(as_whom(&text("ops"))).code(), Code::Unauthenticated);
}

/// The broker says that the token is not good any more, and closes the connection.
fn is_cut(peer: &mut Peer) -> bool {
    let said = eventually("the last word", || match peer.hear_answer() {
        Some((0, Body::Error(error))) => Some(error.code()),
        Some(_) => None,
        None => Some(Code::Unspecified),
    });
    said == Code::Unauthenticated && peer.hear_answer().is_none()
}

#[test]
fn a_faulty_file_is_told_with_its_line_and_nothing_changes() {
    let (mut gate, text) = Gate::new();
    let mut viewer = gate.open(&text("viewer"));
    let good = std::fs::read_to_string(&gate.file).unwrap();
    std::fs::write(&gate.file, format!("{good}\n[token.new]\nrolls = [\"admin\"]\n")).unwrap();
    gate.reload(NOT_READ);
    let log = gate.log();
    let line = log.lines().find(|line| line.contains(NOT_READ)).unwrap();
    assert!(line.contains("rolls") && line.contains("tokens.toml:"), "{line}");
    rows(&mut viewer, ask(What::Server));
    gate.open(&text("viewer"));
    // A broker does not start on such a file, nor on one that others can read.
    assert_eq!(gate.broker.terminate(), 0);
    assert_eq!(gate.broker.try_restart(), Err(2));
    std::fs::write(&gate.file, good).unwrap();
    std::fs::set_permissions(&gate.file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(gate.broker.try_restart(), Err(2));
    assert!(gate.log().contains("chmod 600"));
    std::fs::set_permissions(&gate.file, std::fs::Permissions::from_mode(0o600)).unwrap();
    gate.broker.restart();
}

#[test]
fn the_end_of_a_token_is_the_end_of_its_session() {
    let (mut gate, text) = Gate::new();
    let path = gate.file.clone();
    let soon = token(&path, "new brief --role viewer --expires 12s");
    gate.reload(READ);
    let mut brief = gate.open(&soon);
    let mut watching = gate.open(&soon);
    watching.say(Request::Watch(Watch::default()));
    let events = std::thread::spawn({
        let (addr, bearer) = (gate.broker.http_addr(), format!("Bearer {soon}"));
        // It ends when the stream does.
        move || http::ask(&addr, "GET", "/v1/events", &[("Authorization", &bearer)], b"").status
    });
    assert!(is_cut(&mut brief) && is_cut(&mut watching));
    assert_eq!(events.join().unwrap(), 200);
    let error = gate.refused(as_whom(&soon));
    assert!(error.code() == Code::Unauthenticated && error.message.contains("expired"), "{error:?}");
    assert_eq!(gate.http(&soon, "GET", "/v1/queues", "").status, 401);
    gate.open(&text("viewer"));
}

#[test]
fn over_http_the_token_stands_in_authorization() {
    let (gate, text) = Gate::new();
    let none = gate.broker.http("GET", "/v1/jobs", "");
    assert_eq!((none.status, none.header("www-authenticate")), (401, "Bearer realm=\"windlass\""));
    assert_eq!(none.json()["code"], "UNAUTHENTICATED");
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(gate.broker.http("GET", path, "").status, 200, "{path}");
    }
    let denied = gate.http(&text("viewer"), "POST", "/enqueue", r#"{"kind":"k"}"#);
    assert_eq!((denied.status, denied.json()["code"].clone()), (403, "DENIED".into()));
    let made =
        gate.http(&text("shop"), "POST", "/v1/jobs", r#"{"kind":"k","queue":"mail","payload":{"a":1}}"#);
    assert_eq!(made.status, 201);
    let path = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    let job = |name: &str| gate.http(&text(name), "GET", &path, "");
    assert_eq!(job("open").json()["payload"]["a"], 1);
    let hidden = job("viewer").json();
    assert!(
        hidden["bodies_hidden"] == true && hidden["payload"].is_null() || hidden["payload"] == "",
        "{hidden}"
    );
    assert_eq!(job("other").status, 403);
    assert_eq!(gate.http(&text("viewer"), "GET", "/metrics", "").status, 403);
    assert_eq!(gate.http(&text("admin"), "GET", "/metrics", "").status, 200);
    let tokens = gate.http(&text("viewer"), "GET", "/v1/tokens", "").json();
    let names = tokens["items"].as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap());
    assert!(names.clone().any(|name| name == "viewer") && !names.clone().any(|name| name == "other"));
    assert!(!tokens.to_string().contains("hash"));
}

#[test]
fn the_command_line_takes_its_token_from_a_file_or_the_environment() {
    let (gate, text) = Gate::new();
    let file = gate.file.with_file_name("viewer.token");
    std::fs::write(&file, format!("{}\n", text("viewer"))).unwrap();
    let file = file.display().to_string();
    let run = |words: &[&str]| windlass(&[&["admin", "--addr", gate.broker.addr()], words].concat());
    assert_eq!(run(&["queues"]).code, 4);
    run(&["queues", "--token-file", &file]).ok();
    assert_eq!(run(&["queues", "pause", "mail", "--token-file", &file]).code, 4);
    let tokens = run(&["tokens", "-o", "json", "--token-file", &file]).ok().json();
    assert!(tokens.as_array().unwrap().iter().any(|token| token["name"] == "viewer"), "{tokens}");
}

#[test]
fn a_browser_shows_its_token_once_and_a_link_is_good_once() {
    let (mut gate, text) = Gate::new();
    let addr = gate.broker.http_addr();
    let ask = |method: &str, path: &str, cookie: &str, body: &str| {
        let cookie = format!("a=b; {}", cookie.split(';').next().unwrap());
        http::ask(
            &addr,
            method,
            path,
            &[("Cookie", &cookie), ("Sec-Fetch-Site", "same-origin")],
            body.as_bytes(),
        )
    };
    let asked = ask("GET", "/v1/session", "", "").json();
    assert_eq!((asked["tokens"].clone(), asked["token"].clone()), (true.into(), serde_json::Value::Null));
    assert_eq!(ask("POST", "/v1/session", "", r#"{"token":"wl_viewer_x"}"#).status, 401);
    // Of a stranger no more is read than a token takes.
    let long = format!(r#"{{"token":"wl_viewer_{}"}}"#, "x".repeat(8 << 10));
    assert_eq!(ask("POST", "/v1/session", "", &long).status, 413);
    let login = ask("POST", "/v1/session", "", &format!(r#"{{"token":"{}"}}"#, text("viewer")));
    assert_eq!((login.status, login.json()["token"].clone()), (200, "viewer".into()));
    let cookie = login.header("set-cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains(&text("viewer")[12..]), "{cookie}");
    assert_eq!(ask("GET", "/v1/session", &cookie, "").json()["token"], "viewer");
    assert_eq!(ask("GET", "/v1/queues", &cookie, "").status, 200);
    assert_eq!(ask("POST", "/v1/queues/mail/pause", &cookie, "{}").status, 403);
    // Another site's page cannot log somebody in, or out.
    let foreign = [("Cookie", cookie.as_str()), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(http::ask(&addr, "DELETE", "/v1/session", &foreign, b"").status, 403);
    assert_eq!(ask("DELETE", "/v1/session", &cookie, "").status, 204);
    assert_eq!(ask("GET", "/v1/queues", &cookie, "").status, 401);
    // A link from the command line.
    let file = gate.file.with_file_name("ops.token");
    std::fs::write(&file, text("ops")).unwrap();
    let (url, file) = (format!("http://{addr}"), file.display().to_string());
    let told = windlass(&["admin", "login", "--url", &url, "--token-file", &file]).ok();
    let code = told.out.trim().split_once("/#login=").unwrap().1.to_owned();
    let follow = || ask("POST", "/v1/session", "", &format!(r#"{{"code":"{code}"}}"#));
    let login = follow();
    assert_eq!((login.status, login.json()["token"].clone()), (200, "ops".into()));
    assert_eq!(follow().status, 401);
    assert_eq!(windlass(&["admin", "login", "--url", &url]).code, 2);
    // Whose token is revoked is logged out with it.
    let cookie = login.header("set-cookie").to_owned();
    assert_eq!(ask("GET", "/v1/queues", &cookie, "").status, 200);
    token(&gate.file, "revoke ops --yes");
    gate.reload(READ);
    assert_eq!(ask("GET", "/v1/queues", &cookie, "").status, 401);
}

#[test]
fn no_secret_is_ever_in_the_log_or_in_the_data() {
    let (mut gate, text) = Gate::new();
    let secrets: Vec<String> = TOKENS.iter().map(|(name, _)| text(name)).collect();
    for secret in &secrets {
        let mut peer = Peer::mute(gate.broker.addr());
        peer.ask(Request::Hello(Hello { namespace: "other".into(), ..as_whom(secret) }));
        gate.http(secret, "GET", "/v1/overview", "");
        gate.http(secret, "POST", "/v1/jobs", r#"{"kind":"k","queue":"mail"}"#);
        gate.refused(as_whom(&format!("{secret}-wrong")));
    }
    gate.reload(READ);
    assert_eq!(gate.broker.terminate(), 0);
    let mut all = gate.log().into_bytes();
    read_all(&gate.broker.data(), &mut all);
    assert!(gate.log().contains("DEBUG") && all.len() > 1 << 20);
    for secret in secrets {
        let secret = secret.splitn(3, '_').nth(2).unwrap();
        let secret = &secret.as_bytes()[..20];
        assert!(!all.windows(secret.len()).any(|window| window == secret), "a secret is there");
    }
}

fn read_all(path: &Path, all: &mut Vec<u8>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            read_all(&entry.unwrap().path(), all);
        }
    } else {
        all.extend(std::fs::read(path).unwrap());
    }
}

#[test]
fn nobody_logs_others_out_or_takes_their_idempotency_keys() {
    let (gate, text) = Gate::new();
    let addr = gate.broker.http_addr();
    let login = |name: &str| {
        let body = format!(r#"{{"token":"{}"}}"#, text(name));
        let told =
            http::ask(&addr, "POST", "/v1/session", &[("Sec-Fetch-Site", "same-origin")], body.as_bytes());
        told.header("set-cookie").split(';').next().unwrap().to_owned()
    };
    let status = |cookie: &str| http::ask(&addr, "GET", "/v1/queues", &[("Cookie", cookie)], b"").status;
    let admin = login("admin");
    let first = login("viewer");
    for _ in 0..64 {
        login("viewer");
    }
    assert_eq!((status(&first), status(&admin)), (401, 200));

    let enqueue = |name: &str, payload: u32| {
        let headers =
            [("Authorization", format!("Bearer {}", text(name))), ("Idempotency-Key", "order-17".into())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let body = format!(r#"{{"kind":"k","queue":"mail","payload":{payload}}}"#);
        let told = http::ask(&addr, "POST", "/v1/jobs", &headers, body.as_bytes());
        (told.status, told.json()["id"].clone())
    };
    let (taken, rightful) = (enqueue("admin", 1), enqueue("shop", 2));
    assert_eq!((taken.0, rightful.0), (201, 201));
    assert_ne!(taken.1, rightful.1);
    assert_eq!(enqueue("shop", 2).1, rightful.1);
}

#[test]
fn who_has_shown_no_token_keeps_nobody_from_the_gateway_whatever_it_asks() {
    raise_open_files();
    let (gate, text) = Gate::new();
    let addr = gate.broker.http_addr();
    let asks = format!("GET /livez HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let crowd: Vec<_> = (0..300)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(&addr).unwrap();
            socket.write_all(asks.as_bytes()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            socket.read_exact(&mut [0; 12]).unwrap();
            socket
        })
        .collect();
    let bearer = format!("Bearer {}", text("viewer"));
    assert_eq!(http::ask(&addr, "GET", "/v1/queues", &[("Authorization", &bearer)], b"").status, 200);
    let cut = |mut socket: &std::net::TcpStream| {
        socket.set_nonblocking(true).unwrap();
        let mut rest = [0; 4_096];
        loop {
            match socket.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    };
    assert!(crowd.iter().any(cut), "somebody gave up the place");
}
