//! Who may speak to the gateway: requests under a name that is its own.

use super::Gateway;
use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use windlass_proto::v1::Code;

/// What names a request in logs, of the client's making or of ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Longest one that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Refuses requests under a name that is not ours: a page of somebody else's may make a browser resolve
/// its own name to this machine, and its requests then carry that name. And puts on each answer what all
/// of them carry.
pub(super) async fn known_host(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let asked = request.headers().get(&REQUEST_ID).filter(|id| id.len() <= REQUEST_ID_BYTES_MAX);
    let id = asked.cloned().unwrap_or_else(|| gateway.request_id());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or(host).unwrap_or_default();
    let mut response = if is_known(host, gateway.hosts()) {
        next.run(request).await
    } else {
        let message = format!(
            "{} is not a name of this broker; start it with --http-host to allow it",
            if host.is_empty() { "a request without a Host" } else { host }
        );
        Problem::new(Code::Denied, message).with_status(StatusCode::MISDIRECTED_REQUEST).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

fn is_known(host: &str, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_and_those_allowed_are_known() {
        let hosts = ["jobs.example.com".to_owned(), "10.0.0.7".to_owned()];
        for known in [
            "localhost:7521",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:7521",
            "JOBS.example.com:443",
            "10.0.0.7:1",
        ] {
            assert!(is_known(known, &hosts), "{known}");
        }
        for unknown in ["", "evil.example", "localhost.evil.example:7521", "10.0.0.8", "[::2]"] {
            assert!(!is_known(unknown, &hosts), "{unknown}");
        }
    }
}
