//! What the broker writes into its log: never what jobs carry, never a secret, and never a control
//! character that somebody else has sent, however much is logged.

use crate::harness::{Broker, Peer, body, complete, encode, fail, hello, http, job, result_of, windlass};
use std::io::Write;
use std::net::TcpStream;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::{Enqueue, Hello, JobSpec, Settle};

/// Stands in everything that must not be logged.
const MARK: &str = "Kl4mmeraffe";
/// Everything that the broker itself logs.
const ALL: [&str; 2] = ["--log-level", "warn,windlass_broker=trace,windlass_engine=trace"];
/// Colours, the beginning of another line, and a terminal's title.
const EVIL: &str = "\u{1b}[31mred\u{1b}[0m\r\nERROR forged\u{7}\u{9b}2J";

fn log(broker: &Broker) -> String {
    std::fs::read_to_string(broker.home().join("broker-1.err")).unwrap()
}

#[test]
fn neither_what_jobs_carry_nor_a_secret_is_logged() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tokens.toml");
    let made = windlass(&["token", "new", "all", "--role", "admin", "--file", file.to_str().unwrap()]).ok();
    let token = made.out.split_whitespace().find(|word| word.starts_with("wl_")).unwrap().to_owned();
    let secret = token.rsplit('_').next().unwrap();
    let broker = Broker::with(&[&ALL[..], &["--tokens", file.to_str().unwrap()]].concat());
    let mut peer = Peer::with(broker.addr(), Hello { token: token.clone(), ..hello() });
    let spec =
        || JobSpec { payload: MARK.into(), headers: [("h".to_owned(), MARK.into())].into(), ..job("k") };
    for how in [complete(MARK), fail(MARK)] {
        peer.enqueue(spec());
        let work = peer.fetch("q");
        let settle = Settle { results: vec![result_of(&work, how)] };
        body!(peer.ask(Request::Settle(settle)), Settled);
    }
    // Refused in every way that there is.
    peer.refused(Request::Enqueue(Enqueue {
        jobs: vec![JobSpec { kind: String::new(), ..spec() }],
        ..Enqueue::default()
    }));
    let mut wrong = Peer::mute(broker.addr());
    wrong.send(&encode(1, Request::Hello(Hello { token: format!("{token}{MARK}"), ..hello() })));
    wrong.is_closed();
    let mut garbage = Peer::mute(broker.addr());
    garbage.say_bytes(format!("\u{12}\u{7f}{MARK}").as_bytes());
    garbage.is_closed();
    let bearer = format!("Bearer {token}");
    for (authorization, body) in
        [(bearer.as_str(), MARK), (&format!("{bearer}{MARK}"), "{}"), (&bearer, "{}")]
    {
        let headers =
            [("authorization", authorization), ("x-mine", MARK), ("content-type", "application/json")];
        http::ask(&broker.http_addr(), "POST", &format!("/v1/jobs?reason={MARK}"), &headers, body.as_bytes());
    }
    peer.enqueue(spec());
    drop(peer);
    let log = log(&broker);
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "there is something to look at");
    for secret in [MARK, secret] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}

#[test]
fn what_others_send_cannot_forge_a_line_or_steer_a_terminal() {
    let broker = Broker::with(&ALL);
    // Texts are refused as such; whatever the broker says of them in its log stays in its line.
    for field in ["client", "host", "namespace", "token"] {
        let mut greeting = hello();
        match field {
            "client" => greeting.client = EVIL.into(),
            "host" => greeting.host = EVIL.into(),
            "namespace" => greeting.namespace = EVIL.into(),
            _ => greeting.token = EVIL.into(),
        }
        let mut peer = Peer::mute(broker.addr());
        peer.send(&encode(1, Request::Hello(greeting)));
        peer.is_closed();
    }
    let mut peer = broker.peer();
    peer.refused(Request::Enqueue(Enqueue { jobs: vec![job(EVIL)], ..Enqueue::default() }));
    peer.enqueue(job("k"));
    let work = peer.fetch("q");
    let settle = Settle { results: vec![result_of(&work, fail(EVIL))] };
    body!(peer.ask(Request::Settle(settle)), Settled);
    let mut socket = TcpStream::connect(broker.http_addr()).unwrap();
    socket.write_all(format!("GET /{EVIL} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n").as_bytes()).unwrap();
    broker.http("GET", "/v1/queues/%1b%5b31m%0d%0aERROR%20forged", "");
    drop(peer);
    let log = log(&broker);
    let evil = log.chars().find(|&sign| sign.is_control() && sign != '\n');
    assert_eq!(evil, None, "{log}");
    assert!(!log.lines().any(|line| line.starts_with("ERROR")), "{log}");
}
