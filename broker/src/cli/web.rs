//! One question over HTTP and its answer, for commands that ask the gateway.

use super::failure::Failure;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 64 << 10;

/// A plain look.
pub(super) const GET: (&str, &str) = ("GET", "");

/// What an address says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// With its port.
    pub(super) host: String,
    pub(super) path: String,
    pub(super) is_encrypted: bool,
}

/// Takes an address apart.
///
/// # Errors
/// If it is none.
pub(super) fn parts(url: &str) -> Result<Asked, Failure> {
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

/// Asks with this method, and headers besides the usual ones, each a line; waits for the answer.
///
/// # Errors
/// If nobody answers in time.
pub(super) fn ask(
    asked: &Asked,
    (method, headers): (&str, &str),
    timeout: Duration,
    tls: Option<ClientConfig>,
) -> std::io::Result<Vec<u8>> {
    let Asked { host, path, is_encrypted: _ } = asked;
    let agent = concat!("windlass/", env!("CARGO_PKG_VERSION"));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{headers}Connection: close\r\n\r\n"
    );
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
        let Some(tls) = tls else { return exchange(stream, &head) };
        let name = windlass_client::Tls::server_name(host).map_err(std::io::Error::other)?;
        let session = ClientConnection::new(Arc::new(tls), name).map_err(std::io::Error::other)?;
        return exchange(StreamOwned::new(session, stream), &head);
    }
    Err(failed)
}

fn exchange(mut stream: impl Read + Write, head: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(head.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The status and the body of an answer.
pub(super) fn read(answer: &[u8]) -> Option<(u16, String)> {
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
