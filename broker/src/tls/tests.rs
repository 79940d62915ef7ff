//! Files that will not do are named, with what to do; what was in force stays so.

use super::{Files, Tls};
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A certificate that signs itself, and its key.
fn files() -> (TempDir, Files) {
    let home = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let path = |name: &str| home.path().join(name);
    write(&path("c.pem"), &certificate.pem(), 0o644);
    write(&path("k.pem"), &key.serialize_pem(), 0o600);
    let files = Files { certificate: path("c.pem"), key: path("k.pem"), client_authority: None };
    (home, files)
}

fn fault(files: &Files) -> String {
    Tls::load(files.clone()).err().expect("it is refused").to_string()
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let (_home, files) = files();
    assert!(Tls::load(files.clone()).is_ok());
    for mode in [0o640, 0o604, 0o660, 0o666] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        let fault = fault(&files);
        assert!(fault.contains("k.pem") && fault.contains("chmod 600"), "{fault}");
    }
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Tls::load(files).is_ok());
}

#[test]
fn what_is_no_pem_or_does_not_fit_is_named() {
    let (home, files) = files();
    let (_other_home, other) = self::files();
    let nowhere = home.path().join("nowhere");
    assert!(fault(&Files { certificate: nowhere.clone(), ..files.clone() }).contains("nowhere"));
    assert!(fault(&Files { key: nowhere, ..files.clone() }).contains("nowhere"));
    assert!(
        fault(&Files { certificate: files.key.clone(), ..files.clone() }).contains("no certificate in it")
    );
    let open = home.path().join("c2.pem");
    fs::copy(&files.certificate, &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(fault(&Files { key: open, ..files.clone() }).contains("no private key in it"));
    assert!(fault(&Files { key: other.key, ..files.clone() }).contains("c.pem"), "a key of another one");
    let empty = home.path().join("empty");
    write(&empty, "", 0o644);
    let fault = fault(&Files { client_authority: Some(empty), ..files });
    assert!(fault.contains("empty") && fault.contains("no certificate in it"), "{fault}");
}

#[test]
fn a_fault_says_nothing_of_the_key() {
    let (_home, files) = files();
    let key = fs::read_to_string(&files.key).unwrap();
    let secret = key.lines().nth(1).unwrap().to_owned();
    write(&files.key, &key.replace("-----END", "-----ENDS"), 0o600);
    let fault = fault(&files);
    assert!(fault.contains("not whole PEM") && !fault.contains(&secret[..16]), "{fault}");
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let (_home, files) = files();
    let tls = Tls::load(files.clone()).unwrap();
    let before = tls.inner.current.read().unwrap().net.clone();
    let whole = fs::read(&files.certificate).unwrap();
    fs::write(&files.certificate, "nothing").unwrap();
    assert!(tls.reload().is_err());
    assert!(std::sync::Arc::ptr_eq(&before, &tls.inner.current.read().unwrap().net));
    fs::write(&files.certificate, whole).unwrap();
    tls.reload().unwrap();
    assert!(!std::sync::Arc::ptr_eq(&before, &tls.inner.current.read().unwrap().net));
}
