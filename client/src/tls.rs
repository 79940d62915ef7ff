//! TLS to the broker: whose certificates are trusted, and what this client shows of itself.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use windlass_proto::ALPN;
use windlass_proto::v1::Code;

use crate::error::{Error, Result};

/// The files that TLS to a broker needs, in PEM. They are read at each connection, so renewed ones are
/// taken up by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authority that the broker's certificate has to be of.
    pub ca: PathBuf,
    /// Certificate and key of this client, where the broker demands one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// The settings of rustls that these files come to: version 1.3, names checked.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a file cannot be read or does not fit.
    pub fn config(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| unfit(&self.ca, &error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has the suites of TLS 1.3")
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unfit(key, &error))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| unfit(certificate, &error))
    }

    /// The name that the certificate of a broker at `host:port` has to be for.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if none could be.
    pub fn server_name(host_port: &str) -> Result<ServerName<'static>> {
        let host = host_port.rsplit_once(':').map_or(host_port, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(host.clone())
            .map_err(|_| Error::invalid(format!("{host:?} is no name that a certificate could be for")))
    }

    /// Shakes hands with the broker of this address, whose certificate must be for its host.
    pub(crate) async fn connect(&self, host_port: &str, socket: TcpStream) -> Result<TlsStream<TcpStream>> {
        let mut config = self.config()?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = Self::server_name(host_port)?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, socket);
        handshake.await.map_err(|error| failed(error).context(host_port))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::invalid(format!("{}: there is no certificate in it", path.display()))),
        Err(error) => Err(unfit(path, &error)),
    }
}

fn unfit(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {error}", path.display()))
}

/// A failure of the connection. One of TLS does not pass by itself: trying again is in vain until
/// somebody has changed a file.
pub(crate) fn failed(error: io::Error) -> Error {
    let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Error::io(error);
    };
    if let rustls::Error::AlertReceived(AlertDescription::CertificateRequired) = fault {
        return Error::refused_with(Code::Unauthenticated, "the broker demands a certificate of its clients");
    }
    if let rustls::Error::AlertReceived(alert) = fault {
        let message = format!("TLS ended with the broker's alert {alert:?}");
        return Error::refused_with(Code::Unauthenticated, message);
    }
    if let rustls::Error::InvalidMessage(_) = fault {
        return Error::protocol("the broker there does not speak TLS");
    }
    if let rustls::Error::InvalidCertificate(fault) = fault {
        return Error::protocol(format!("the broker's certificate is not to be trusted: {fault}"));
    }
    Error::protocol(format!("TLS: {fault}"))
}

/// The half of a connection that is read, plain or under TLS.
#[derive(Debug)]
pub(crate) enum Incoming {
    Plain(OwnedReadHalf),
    Encrypted(ReadHalf<TlsStream<TcpStream>>),
}

/// The half that is written.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Plain(OwnedWriteHalf),
    Encrypted(WriteHalf<TlsStream<TcpStream>>),
}

/// Connects, shakes hands where TLS is spoken, and parts the directions.
pub(crate) async fn open(host_port: &str, tls: Option<&Tls>) -> Result<(Incoming, Outgoing)> {
    let socket = TcpStream::connect(host_port)
        .await
        .map_err(|error| Error::unreachable(format!("{host_port}: {error}")))?;
    // Frames leave in whole batches already; waiting for more would only add latency.
    socket.set_nodelay(true).map_err(Error::io)?;
    let Some(tls) = tls else {
        let (read, write) = socket.into_split();
        return Ok((Incoming::Plain(read), Outgoing::Plain(write)));
    };
    let (read, write) = tokio::io::split(tls.connect(host_port, socket).await?);
    Ok((Incoming::Encrypted(read), Outgoing::Encrypted(write)))
}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_read(cx, buf),
            Self::Encrypted(half) => Pin::new(half).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_write(cx, buf),
            Self::Encrypted(half) => Pin::new(half).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_flush(cx),
            Self::Encrypted(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_shutdown(cx),
            Self::Encrypted(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_the_host_without_its_port() {
        let name = |host_port| Tls::server_name(host_port).map(|name| name.to_str().into_owned());
        assert_eq!(name("broker.example:7520").unwrap(), "broker.example");
        assert_eq!(name("127.0.0.1:1").unwrap(), "127.0.0.1");
        assert_eq!(name("[::1]:1").unwrap(), "::1");
        assert!(name("not a name:1").is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Tls { ca: "/nowhere/ca.pem".into(), identity: None }.config().unwrap_err();
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
        assert!(!error.is_retryable());
    }
}
