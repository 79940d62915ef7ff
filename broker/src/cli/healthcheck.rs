//! `windlass healthcheck`: one question over HTTP, for container images in which nothing else can ask it.

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::OutputArgs;
use clap::Args;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Ask a broker over HTTP whether it is ready.
#[derive(Args)]
#[command(after_help = "Examples:\n  windlass healthcheck\n  \
    windlass healthcheck --url http://broker:7521/livez --timeout 2s\n\n\
    Exit codes: 0 ready, 1 not ready, 3 nobody answers, 7 no answer in time")]
pub(super) struct HealthcheckArgs {
    /// What to ask
    #[arg(long, env = "WINDLASS_HEALTHCHECK_URL", default_value = "http://127.0.0.1:7521/readyz")]
    url: String,
    /// How long to wait
    #[arg(long, value_parser = super::enqueue::duration, default_value = "3s", value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 64 << 10;

/// Asks.
pub(super) fn run(args: &HealthcheckArgs) -> Outcome {
    let (host, path) = parts(&args.url)?;
    let began = Instant::now();
    let answer = ask(&host, &path, args.timeout).map_err(|error| {
        let is_late = [std::io::ErrorKind::TimedOut, std::io::ErrorKind::WouldBlock].contains(&error.kind());
        let exit = if is_late { Exit::TimedOut } else { Exit::Unreachable };
        Failure::new(exit, format!("{} does not answer: {error}", args.url))
    })?;
    let (status, body) = read(&answer)
        .ok_or_else(|| Failure::failed(format!("{} answers something that is not HTTP", args.url)))?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if !(200..300).contains(&status) {
        let why = body.lines().next().unwrap_or_default();
        return Err(Failure::failed(format!("{} answers {status}: {why}", args.url)));
    }
    let value = json!({"url": args.url, "status": status, "took_ms": took_ms});
    args.output.open().done(&value, &format!("ready ({status}, {took_ms} ms)"))?;
    Ok(Exit::Ok)
}

/// The host with its port, and the path.
fn parts(url: &str) -> Result<(String, String), Failure> {
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| Failure::usage(format!("{url:?} does not begin with http://")))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || host.contains(char::is_whitespace) || path.contains(char::is_whitespace) {
        return Err(Failure::usage(format!("{url:?} is no address")));
    }
    let after = host.rfind(']').map_or(host, |at| &host[at + 1..]);
    let host = if after.contains(':') { host.to_owned() } else { format!("{host}:80") };
    Ok((host, format!("/{path}")))
}

fn ask(host: &str, path: &str, timeout: Duration) -> std::io::Result<Vec<u8>> {
    let timeout = timeout.max(Duration::from_millis(1));
    let mut failed = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for addr in host.to_socket_addrs()? {
        let mut stream = match TcpStream::connect_timeout(&addr, timeout) {
            Ok(stream) => stream,
            Err(error) => {
                failed = error;
                continue;
            }
        };
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let agent = concat!("windlass/", env!("CARGO_PKG_VERSION"));
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
        return Ok(answer);
    }
    Err(failed)
}

/// The status and the body of an answer.
fn read(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let mut words = text.lines().next()?.split(' ');
    let status = words.next()?.starts_with("HTTP/1.").then(|| words.next())??.parse().ok()?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let told = |url| parts(url).ok();
        let pair = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(told("http://h:7521/readyz"), pair("h:7521", "/readyz"));
        assert_eq!(told("http://[::1]"), pair("[::1]:80", "/"));
        for wrong in ["https://h/", "h:1/readyz", "http://", "http://a b/"] {
            assert_eq!(told(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        assert_eq!(read(b"HTTP/1.1 503 No\r\na: b\r\n\r\nfull"), Some((503, "full".into())));
        assert_eq!(read(b"SSH-2.0-x\r\n"), None);
    }
}
