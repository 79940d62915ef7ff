//! The files of certificates and keys, and what can be wrong with them.

use crate::secret_file;
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file that is read: hundreds of certificates.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where certificates and keys lie, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The broker's certificate, and those between it and an authority that clients know.
    pub certificate: PathBuf,
    /// Its key, readable for its owner only.
    pub key: PathBuf,
    /// The authority that the certificates of clients have to be of; `None`: clients need none.
    pub client_authority: Option<PathBuf>,
}

/// A file that will not do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct TlsError {
    file: PathBuf,
    fault: String,
}

impl TlsError {
    fn new(file: &Path, fault: impl Into<String>) -> Self {
        Self { file: file.into(), fault: fault.into() }
    }

    /// What it holds does not fit.
    pub(super) fn unfit(file: &Path, error: &dyn fmt::Display) -> Self {
        Self::new(file, error.to_string())
    }
}

impl Files {
    pub(super) fn certificate_file(&self) -> &Path {
        &self.certificate
    }

    /// The broker's certificate and those behind it.
    pub(super) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.certificate)
    }

    /// The broker's key.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let mut file = open(&self.key)?;
        secret_file::check(&self.key, &file).map_err(|fault| TlsError::new(&self.key, fault))?;
        let bytes = read(&self.key, &mut file)?;
        PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|error| TlsError::new(&self.key, said(&error, "private key")))
    }

    /// The authority that clients' certificates have to be of, and the file it is from.
    pub(super) fn client_authority(&self) -> Result<Option<(RootCertStore, &Path)>, TlsError> {
        let Some(file) = &self.client_authority else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| TlsError::unfit(file, &error))?;
        }
        Ok(Some((roots, file)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path, &mut open(path)?)?;
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(TlsError::new(path, said(&PemError::NoItemsFound, "certificate")))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::new(path, said(&error, "certificate"))),
    }
}

fn open(path: &Path) -> Result<File, TlsError> {
    File::open(path).map_err(|error| TlsError::new(path, error.to_string()))
}

fn read(path: &Path, file: &mut File) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read: io::Result<usize> = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| TlsError::new(path, error.to_string()))
}

/// The fault in words; never a line of the file, which may hold a key.
fn said(error: &PemError, wanted: &str) -> String {
    match error {
        PemError::NoItemsFound => format!("there is no {wanted} in it; PEM is expected"),
        PemError::Io(error) => error.to_string(),
        PemError::MissingSectionEnd { .. }
        | PemError::IllegalSectionStart { .. }
        | PemError::Base64Decode(_)
        | PemError::SectionTooLarge
        | _ => "it is not whole PEM".to_owned(),
    }
}
