//! TLS of the broker's two ports: one certificate for both, read again when the operator asks for it.
//!
//! It is separate because neither port's language has to do with it. Version 1.3 only, by rustls with
//! ring. Where an authority for clients is named, both ports demand a certificate of its making.
//!
//! ```text
//!   socket ─ Tls::accept ─ Wire ─ net or http
//! ```

mod files;
#[cfg(test)]
mod tests;
mod wire;

pub use files::{Files, TlsError};
pub use wire::Wire;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Which of the two languages is spoken on a connection. A client that says by ALPN that it came for
/// the other one is turned away, so that neither port can be made to read what was meant for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The protocol's.
    Net,
    /// The gateway's.
    Http,
}

impl Port {
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Net => windlass_proto::ALPN,
            Self::Http => b"http/1.1",
        }
    }
}

/// What the ports present and demand. Clones share it, so a reload reaches all of them; connections
/// that stand keep what they began with.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    files: Files,
    current: RwLock<Current>,
}

struct Current {
    net: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one of them cannot be read, is no PEM of the right kind, or does not fit the others; or if
    /// others than its owner may read the key.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let current = RwLock::new(read(&files)?);
        Ok(Self { inner: Arc::new(Inner { files, current }) })
    }

    /// Reads the files anew, for connections from now on.
    ///
    /// # Errors
    /// As [`Tls::load`]; what was read before stays in force then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = read(&self.inner.files)?;
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    fn acceptor(&self, port: Port) -> TlsAcceptor {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
        let config = match port {
            Port::Net => &current.net,
            Port::Http => &current.http,
        };
        TlsAcceptor::from(Arc::clone(config))
    }

    /// Shakes hands on a connection that was just accepted.
    ///
    /// # Errors
    /// If the peer speaks no TLS 1.3, has no certificate where one is demanded, or is not done by
    /// `until`.
    pub async fn accept(&self, socket: TcpStream, port: Port, until: Instant) -> io::Result<Wire> {
        let handshake = Box::pin(self.acceptor(port).accept(socket));
        match tokio::time::timeout_at(until, handshake).await {
            Ok(shaken) => shaken.map(Wire::encrypted),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake was not finished in time")),
        }
    }
}

/// The socket as it is where there is no TLS, or after the handshake.
///
/// # Errors
/// As [`Tls::accept`].
pub async fn welcome(tls: Option<&Tls>, socket: TcpStream, port: Port, until: Instant) -> io::Result<Wire> {
    match tls {
        Some(tls) => tls.accept(socket, port, until).await,
        None => Ok(Wire::Plain(socket)),
    }
}

/// Time for a handshake over HTTP; the protocol's port counts it into the time for a Hello.
pub const HANDSHAKE: Duration = Duration::from_secs(crate::limits::HANDSHAKE_SECONDS);

fn read(files: &Files) -> Result<Current, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = files.chain()?;
    let key = files.key()?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has the suites of TLS 1.3");
    let builder = match files.client_authority()? {
        Some((roots, file)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::unfit(file, &error))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut net = builder
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::unfit(files.certificate_file(), &error))?;
    // A client that comes back shows its certificate again: what was withdrawn is withdrawn at once.
    net.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    net.send_tls13_tickets = 0;
    let mut http = net.clone();
    net.alpn_protocols = vec![Port::Net.alpn().to_vec()];
    http.alpn_protocols = vec![Port::Http.alpn().to_vec()];
    Ok(Current { net: Arc::new(net), http: Arc::new(http) })
}
