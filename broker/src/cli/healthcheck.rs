//! `windlass healthcheck`: one question over HTTP, for container images in which nothing else can ask it.

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::OutputArgs;
use super::trust::TlsArgs;
use clap::Args;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Ask a broker over HTTP whether it is ready.
#[derive(Args)]
#[command(after_help = "Examples:\n  windlass healthcheck\n  \
    windlass healthcheck --url http://broker:7521/livez --timeout 2s\n  \
    windlass healthcheck --url https://localhost:7521/readyz --tls-ca ca.pem\n\n\
    Exit codes: 0 ready, 1 not ready, 3 nobody answers, 7 no answer in time")]
pub(super) struct HealthcheckArgs {
    /// What to ask
    #[arg(long, env = "WINDLASS_HEALTHCHECK_URL", default_value = "http://127.0.0.1:7521/readyz")]
    url: String,
    /// How long to wait
    #[arg(long, value_parser = super::enqueue::duration, default_value = "3s", value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 64 << 10;

/// Asks.
pub(super) fn run(args: &HealthcheckArgs) -> Outcome {
    let Asked { host, path, is_encrypted } = parts(&args.url)?;
    let tls = match args.tls.here()? {
        Some(tls) if is_encrypted => Some(tls.config()?),
        None if is_encrypted => return Err(Failure::usage("https:// needs --tls-ca")),
        Some(_) | None => None,
    };
    let began = Instant::now();
    let answer = ask(&host, &path, args.timeout, tls).map_err(|error| {
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

/// What an address says.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// With its port.
    host: String,
    path: String,
    is_encrypted: bool,
}

fn parts(url: &str) -> Result<Asked, Failure> {
    let encrypted = url.strip_prefix("https://");
    let rest = encrypted.or_else(|| url.strip_prefix("http://"));
    let rest =
        rest.ok_or_else(|| Failure::usage(format!("{url:?} does not begin with http:// or https://")))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || host.contains(char::is_whitespace) || path.contains(char::is_whitespace) {
        return Err(Failure::usage(format!("{url:?} is no address")));
    }
    let port = if encrypted.is_some() { 443 } else { 80 };
    let after = host.rfind(']').map_or(host, |at| &host[at + 1..]);
    let host = if after.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
    Ok(Asked { host, path: format!("/{path}"), is_encrypted: encrypted.is_some() })
}

fn ask(host: &str, path: &str, timeout: Duration, tls: Option<ClientConfig>) -> std::io::Result<Vec<u8>> {
    let timeout = timeout.max(Duration::from_millis(1));
    let mut failed = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for addr in host.to_socket_addrs()? {
        let stream = match TcpStream::connect_timeout(&addr, timeout) {
            Ok(stream) => stream,
            Err(error) => {
                failed = error;
                continue;
            }
        };
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let Some(tls) = tls else { return exchange(stream, host, path) };
        let name = windlass_client::Tls::server_name(host).map_err(std::io::Error::other)?;
        let session = ClientConnection::new(Arc::new(tls), name).map_err(std::io::Error::other)?;
        return exchange(StreamOwned::new(session, stream), host, path);
    }
    Err(failed)
}

fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let agent = concat!("windlass/", env!("CARGO_PKG_VERSION"));
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    Ok(answer)
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
        let pair = |host: &str, path: &str| {
            Some(Asked { host: host.to_owned(), path: path.to_owned(), is_encrypted: false })
        };
        assert_eq!(told("http://h:7521/readyz"), pair("h:7521", "/readyz"));
        assert_eq!(told("http://[::1]"), pair("[::1]:80", "/"));
        let encrypted = told("https://h/readyz").unwrap();
        assert!(encrypted.is_encrypted && encrypted.host == "h:443");
        for wrong in ["ftp://h/", "h:1/readyz", "http://", "http://a b/"] {
            assert_eq!(told(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        assert_eq!(read(b"HTTP/1.1 503 No\r\na: b\r\n\r\nfull"), Some((503, "full".into())));
        assert_eq!(read(b"SSH-2.0-x\r\n"), None);
    }
}
