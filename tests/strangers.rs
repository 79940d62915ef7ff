//! Who has not said yet who he is, on either port: he gets little memory, little time, and nobody else's
//! place.

use crate::harness::{Broker, Peer, eventually, http, raise_open_files};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use windlass_client::Client;

/// More than the places of strangers, and less than a process's open files.
const CROWD: usize = 300;

fn connect(addr: &str) -> TcpStream {
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// Reads until the broker has closed the connection.
fn last_words(mut socket: TcpStream) -> String {
    let mut said = Vec::new();
    let _closed_or_reset = socket.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_says_nothing_keeps_nobody_from_either_port() {
    raise_open_files();
    let broker = Broker::start();
    let gateway = broker.http_addr();
    let crowd: Vec<TcpStream> =
        (0..CROWD).flat_map(|_| [connect(broker.addr()), connect(&gateway)]).collect();
    let client =
        Client::builder().connect_timeout(Duration::from_secs(60)).connect(broker.addr()).await.unwrap();
    client.enqueue(windlass_client::NewJob::new("k")).await.unwrap();
    assert_eq!(broker.http("GET", "/livez", "").status, 200);
    drop(crowd);
}

#[test]
fn whoever_asks_over_http_at_a_byte_a_second_is_cut() {
    let broker = Broker::start();
    let gateway = broker.http_addr();
    let says_nothing = connect(&gateway);
    let half = connect(&gateway);
    (&half).write_all(b"GET /livez HTTP/1.1\r\nHost: ").unwrap();
    let mut trickles = connect(&gateway);
    let mut head = b"GET /livez HTTP/1.1\r\n".to_vec();
    head.resize(1_000, b'x');
    let mut bytes = head.iter();
    eventually("the one that trickles is cut", || {
        let byte = bytes.next().expect("it is cut before a thousand bytes have trickled");
        std::thread::sleep(Duration::from_millis(100));
        trickles.write_all(&[*byte]).err()
    });
    last_words(half);
    last_words(says_nothing);
    // Whoever was answered and has nothing more to ask, too.
    let idle = connect(&gateway);
    (&idle).write_all(format!("GET /livez HTTP/1.1\r\nHost: {gateway}\r\n\r\n").as_bytes()).unwrap();
    assert!(last_words(idle).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_head_or_a_list_without_end_is_refused() {
    let broker = Broker::start();
    let gateway = broker.http_addr();
    let before = broker.rss_bytes();
    let asks = |request: &[u8]| {
        let mut socket = connect(&gateway);
        let _it_may_have_enough = socket.write_all(request);
        last_words(socket)
    };
    let headers: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let many = asks(format!("GET /livez HTTP/1.1\r\nHost: {gateway}\r\n{headers}\r\n").as_bytes());
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let long = asks(
        format!("GET /livez HTTP/1.1\r\nHost: {gateway}\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).as_bytes(),
    );
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 431"), "{long}");

    // Short on the wire, long in memory.
    let list = format!("{{\"jobs\":[{}0]}}", "0,".repeat(8 << 20));
    let reply = broker.http("POST", "/v1/jobs", &list);
    assert!(reply.status == 400 && reply.text().contains("more than 10000"), "{}", reply.text());
    let lines = [("content-type", "application/x-ndjson")];
    let reply = http::ask(&gateway, "POST", "/v1/jobs", &lines, "x\n".repeat(8 << 20).as_bytes());
    assert_eq!(reply.status, 413, "{}", reply.text());
    let conf = format!("{{\"why\":[{}0]}}", "0,".repeat(8 << 20));
    let reply = broker.http("PUT", "/v1/queues/q", &conf);
    assert_eq!(reply.status, 413, "{}", reply.text());
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes for bodies of 16 MiB");
}

#[test]
fn a_first_word_that_is_long_is_not_waited_for() {
    let broker = Broker::start();
    let mut peer = Peer::mute(broker.addr());
    let mut frame = 5_000_u32.to_be_bytes().to_vec();
    frame.resize(4 + 4_096, 8);
    peer.send(&frame);
    let refusal = crate::harness::body!(peer.answer(0), Error);
    assert!(refusal.message.contains("4096"), "{refusal:?}");
    peer.is_closed();
}
