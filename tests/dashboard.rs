//! The dashboard's files over a real socket: a browser gets the page at every address inside it, a
//! program gets a problem.

use crate::harness::{Broker, http};

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml");

#[test]
fn a_browser_gets_the_page_at_every_address_inside_the_dashboard_and_a_program_a_problem() {
    let broker = Broker::start();
    let addr = broker.http_addr();
    let page = http::ask(&addr, "GET", "/", &[BROWSER], b"");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    for path in ["/queues/mail", "/jobs?q=state%3Adead", "/settings/audit"] {
        let inside = http::ask(&addr, "GET", path, &[BROWSER], b"");
        assert_eq!((inside.status, inside.text()), (200, page.text()), "{path}");
    }
    for (method, path, headers) in [
        ("GET", "/queues/mail", &[][..]),
        ("GET", "/v1/nothing", &[BROWSER][..]),
        ("POST", "/queues", &[BROWSER][..]),
    ] {
        let problem = http::ask(&addr, method, path, headers, b"");
        assert_eq!((problem.status, problem.json()["code"].as_str()), (404, Some("NOT_FOUND")), "{path}");
    }
}

#[test]
fn the_files_are_packed_for_who_takes_that_and_are_sent_once() {
    let broker = Broker::start();
    let addr = broker.http_addr();
    for path in ["/", "/app.js", "/app.css", "/icon.svg"] {
        let file = http::ask(&addr, "GET", path, &[], b"");
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
        let again = http::ask(&addr, "GET", path, &[("If-None-Match", file.header("etag"))], b"");
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    let packed = http::ask(&addr, "GET", "/app.js", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
    assert!(packed.body.len() < 80 << 10, "{} bytes", packed.body.len());
}
