//! Where the broker is: `host:port`, or one URL that carries everything a client needs.

use crate::error::{Error, Result};

/// The port that a broker listens on unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 7520;

const SCHEME: &str = "windlass://";
const TLS_SCHEME: &str = "windlass+tls://";

/// The parts of an address; what it leaves out is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host_port: String,
    pub(crate) token: String,
    pub(crate) namespace: String,
    /// It says that TLS is spoken there.
    pub(crate) is_encrypted: bool,
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]:port`, `windlass://[token@]host[:port][/namespace]`, or the same
    /// with `windlass+tls://`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let encrypted = text.strip_prefix(TLS_SCHEME);
        let rest = match encrypted.or_else(|| text.strip_prefix(SCHEME)) {
            Some(rest) => rest,
            None if text.contains("://") => {
                return Err(bad(text, "the scheme is windlass:// or windlass+tls://"));
            }
            None => text,
        };
        let (authority, namespace) = rest.split_once('/').unwrap_or((rest, ""));
        let (token, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
        if namespace.contains(['/', '?', '#']) {
            return Err(bad(text, "after the host comes one namespace and nothing else"));
        }
        Ok(Self {
            host_port: with_port(text, host_port)?,
            token: token.to_owned(),
            namespace: namespace.to_owned(),
            is_encrypted: encrypted.is_some(),
        })
    }
}

fn with_port(text: &str, host_port: &str) -> Result<String> {
    // An IPv6 address has colons of its own; only one behind the bracket, or the only one, is a port's.
    let after_host = host_port.rfind(']').map_or(host_port, |at| &host_port[at + 1..]);
    let bare_v6 = !host_port.starts_with('[') && host_port.matches(':').count() > 1;
    if bare_v6 {
        return Err(bad(text, "an IPv6 address stands in brackets"));
    }
    let (host, port) = match after_host.rfind(':') {
        Some(_) => host_port.rsplit_once(':').unwrap_or((host_port, "")),
        None => return non_empty(text, host_port).map(|host| format!("{host}:{DEFAULT_PORT}")),
    };
    non_empty(text, host)?;
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(host_port.to_owned()),
        Ok(_) | Err(_) => Err(bad(text, "the port is a number from 1 to 65535")),
    }
}

/// TLS without anybody to trust would be no TLS.
pub(crate) fn lacks_authority() -> Error {
    Error::invalid(
        "TLS needs tls_ca, the file of the authority that the broker's certificate is of \
         (for one that the system trusts, its bundle, like /etc/ssl/certs/ca-certificates.crt)",
    )
}

fn non_empty<'a>(text: &str, host: &'a str) -> Result<&'a str> {
    if host.is_empty() { Err(bad(text, "the host is missing")) } else { Ok(host) }
}

fn bad(text: &str, why: &str) -> Error {
    // The text may hold a token, which must not end up in a log.
    let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    Error::invalid(format!("{shown:?} is not an address: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> String {
        Address::parse(text).unwrap().host_port
    }

    #[test]
    fn a_port_is_added_where_there_is_none() {
        assert_eq!(host("127.0.0.1:7520"), "127.0.0.1:7520");
        assert_eq!(host("broker"), "broker:7520");
        assert_eq!(host("[::1]"), "[::1]:7520");
        assert_eq!(host("windlass://[::1]:99/x"), "[::1]:99");
    }

    #[test]
    fn a_url_carries_token_and_namespace() {
        let address = Address::parse("windlass://s3cret@broker:1/shop").unwrap();
        assert_eq!(address.token, "s3cret");
        assert_eq!(address.namespace, "shop");
        assert_eq!(address.host_port, "broker:1");
        assert!(!address.is_encrypted);
        let address = Address::parse("windlass+tls://s3cret@broker/shop").unwrap();
        assert_eq!((address.host_port.as_str(), address.is_encrypted), ("broker:7520", true));
    }

    #[test]
    fn nonsense_is_refused_without_showing_the_token() {
        for text in ["", ":7520", "http://x", "::1", "a:0", "a:b", "windlass://h/a/b"] {
            assert!(Address::parse(text).is_err(), "{text:?} was taken");
        }
        let error = Address::parse("windlass://s3cret@broker:none").unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }
}
