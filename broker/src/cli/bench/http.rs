//! Jobs acknowledged over HTTP: connections kept alive, each with one `POST /enqueue` at a time.
//!
//! The load shares the processors with the broker, so it writes and reads no more of HTTP than it must.

use super::args::HttpArgs;
use super::broker::Target;
use super::meter::Meter;
use super::report::Report;
use super::tally::Tally;
use super::throughput::conclude;
use super::timed::{self, Tasks, unbroken};
use super::{NAME, Problem};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What answers are looked for.
const ACCEPTED: &[u8] = b"HTTP/1.1 202";
const FULL: &[u8] = b"HTTP/1.1 429";
const HEAD_END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length: ";
/// Longest answer.
const ANSWER_BYTES: usize = 4 << 10;
/// Pause after a refusal.
const PAUSE: Duration = Duration::from_millis(10);

/// `windlass bench http`.
pub(super) async fn run(args: &HttpArgs) -> Result<(), Problem> {
    let target = Target::open(args.elsewhere.addr.as_deref(), &args.common).await?;
    let meter = Meter::open(&target).await?;
    let gateway = if target.own.is_some() { target.http.clone() } else { args.gateway.clone() };
    let tally = Rc::new(Tally::new());
    let mut tasks = Tasks::new();
    let request: Rc<[u8]> = request(&gateway, args.common.payload).into();
    for _ in 0..args.connections {
        let socket = unbroken(&mut tasks, TcpStream::connect(gateway.clone())).await?;
        let socket = socket.map_err(|error| Problem::own("cannot connect to the gateway", &error))?;
        socket.set_nodelay(true).map_err(|error| Problem::own("cannot set up a connection", &error))?;
        tasks.spawn_local(call(socket, Rc::clone(&request), Rc::clone(&tally)));
    }
    let stretch = timed::stretch(&mut tasks, &tally, &meter, args.elsewhere.seconds).await?;
    tasks.shutdown().await;
    let parameters = vec![
        ("connections", args.connections.into()),
        ("payload", args.common.payload.into()),
        ("seconds", args.elsewhere.seconds.into()),
    ];
    let mut report = Report::timed("http", parameters, &stretch);
    report.requests_refused = Some(tally.refused());
    report.disk_bytes_per_job(&target, tally.done());
    conclude(target, meter).await?;
    Ok(report.print(&args.common.output.open())?)
}

/// The request that all connections send.
fn request(gateway: &str, payload: u32) -> Vec<u8> {
    let padding = "x".repeat((payload as usize).saturating_sub(2));
    let body = format!("{{\"kind\":\"{NAME}\",\"queue\":\"{NAME}\",\"payload\":\"{padding}\"}}");
    let length = body.len();
    format!(
        "POST /enqueue HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Asks again each time it has been answered.
async fn call(mut socket: TcpStream, request: Rc<[u8]>, tally: Rc<Tally>) -> Result<(), Problem> {
    let broke = |error: std::io::Error| Problem::own("a connection to the gateway broke", &error);
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    loop {
        let asked_at = tally.now();
        socket.write_all(&request).await.map_err(broke)?;
        answer.clear();
        while !is_whole(&answer) {
            if answer.len() >= ANSWER_BYTES || socket.read_buf(&mut answer).await.map_err(broke)? == 0 {
                let said = String::from_utf8_lossy(&answer).into_owned();
                return Err(Problem::Own(format!("the gateway gave no answer, or a strange one: {said:?}")));
            }
        }
        if answer.starts_with(ACCEPTED) {
            tally.record(asked_at, tally.now(), 1);
            tally.add_done(1);
        } else if answer.starts_with(FULL) {
            tally.add_refused();
            tokio::time::sleep(PAUSE).await;
        } else {
            return Err(Problem::Own(format!("the gateway said {:?}", String::from_utf8_lossy(&answer))));
        }
    }
}

/// Head and body are there.
fn is_whole(answer: &[u8]) -> bool {
    let find = |what: &[u8]| answer.windows(what.len()).position(|bytes| bytes == what);
    let (Some(end), Some(length)) = (find(HEAD_END), find(LENGTH)) else { return false };
    let digits = answer[length + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    answer.len() >= end + HEAD_END.len() + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_there() {
        let whole = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}";
        assert!(is_whole(whole));
        assert!((0..whole.len()).all(|length| !is_whole(&whole[..length])));
    }
}
