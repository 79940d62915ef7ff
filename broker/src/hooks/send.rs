//! One delivery over HTTP: to an address that may be reached, within a time, without following anybody.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;

/// Time for one delivery, from the name's look-up to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read; they are shown with a failure.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Characters of an answer that are shown.
const ANSWER_SHOWN: usize = 200;

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The receiver has it (2xx).
    Received(u16),
    /// The receiver wants no more of them (410).
    Gone,
    /// It may go better another time.
    Failed(String),
}

/// Sends deliveries.
#[derive(Clone)]
pub(super) struct Sender {
    client: Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>,
    reaches_everything: bool,
}

impl Sender {
    /// A sender; `reaches_everything` = also link-local addresses, where clouds keep their secrets.
    pub(super) fn new(reaches_everything: bool) -> Self {
        let mut http = HttpConnector::new_with_resolver(Guarded { reaches_everything });
        http.enforce_http(false);
        http.set_connect_timeout(Some(TIMEOUT));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("the provider has the usual versions of TLS")
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self { client: Client::builder(TokioExecutor::new()).build(https), reaches_everything }
    }

    /// Posts a body with these headers.
    pub(super) async fn post(&self, url: &str, headers: &[(&str, String)], body: Bytes) -> Sent {
        match tokio::time::timeout(TIMEOUT, self.try_post(url, headers, body)).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(message)) => Sent::Failed(message),
            Err(_) => Sent::Failed(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }

    async fn try_post(&self, url: &str, headers: &[(&str, String)], body: Bytes) -> Result<Sent, String> {
        let uri = address(url, self.reaches_everything)?;
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header(header::USER_AGENT, concat!("windlass/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|error| with_causes(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Sent::Received(status.as_u16()));
        }
        if status == StatusCode::GONE {
            return Ok(Sent::Gone);
        }
        let shown = match Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).chars().take(ANSWER_SHOWN).collect(),
            Err(_too_long_or_broken) => String::new(),
        };
        let why = if status.is_redirection() { "; redirects are not followed" } else { "" };
        Ok(Sent::Failed(format!("answered {status}{why} {shown}").trim_end().to_owned()))
    }
}

/// The address of a sink, if it may be reached.
///
/// # Errors
/// What is wrong with it.
pub(super) fn address(url: &str, reaches_everything: bool) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the address of a sink begins with http:// or https://".to_owned());
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("the address has no host")?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("an address with a name and a password in it would end up in logs".to_owned());
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
    if !reaches_everything && literal.is_ok_and(is_forbidden) {
        return Err(forbidden(host));
    }
    Ok(uri)
}

fn forbidden(host: &str) -> String {
    format!("{host} is a link-local or metadata address, which deliveries do not go to")
}

/// Nobody outside has such an address; on a cloud's machines the secrets of the machine are there.
fn is_forbidden(ip: IpAddr) -> bool {
    /// Where one cloud has its metadata.
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == METADATA_V6
        }
    }
}

/// Looks names up, and passes on only the addresses that may be reached: a name may point anywhere.
#[derive(Clone)]
struct Guarded {
    reaches_everything: bool,
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reaches_everything = self.reaches_everything;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|addr| reaches_everything || !is_forbidden(addr.ip())).collect();
            if allowed.is_empty() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, forbidden(name.as_str())));
            }
            Ok(allowed.into_iter())
        })
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_outside_of_this_machines_cloud() {
        for good in
            ["http://127.0.0.1:9/x", "https://hooks.example.com/a?b=c", "http://[::1]:80/", "http://10.0.0.1"]
        {
            assert!(address(good, false).is_ok(), "{good}");
        }
        for bad in [
            "ftp://example.com",
            "/path",
            "http://u:p@example.com/",
            "http://169.254.169.254/latest",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://0.0.0.0/",
        ] {
            assert!(address(bad, false).is_err(), "{bad}");
        }
        assert!(address("http://169.254.1.1/", true).is_ok());
    }
}
