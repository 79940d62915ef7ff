//! An authority for development: makes certificates and their keys, as text.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// How long certificates are good; browsers take none for longer.
const LEAF_DAYS: i64 = 825;
/// How long the authority is.
const AUTHORITY_DAYS: i64 = 3_650;

/// A certificate and its key, in PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// The authority, and one certificate of it for each side.
pub(super) struct Made {
    pub(super) authority: Pair,
    pub(super) server: Pair,
    pub(super) client: Pair,
    /// The day on which server and client end.
    pub(super) until: String,
}

/// Makes all of it, the server's certificate for these names.
///
/// # Errors
/// If a name can stand in no certificate.
pub(super) fn make(names: Vec<String>, now: Timestamp) -> Result<Made, Error> {
    let key = KeyPair::generate()?;
    // Of two authorities with one name nobody could say which one a certificate is of.
    let title = format!("Windlass development authority {:08x}", uuid::Uuid::new_v4().as_fields().0);
    let mut params = named(CertificateParams::new(Vec::new())?, &title, now, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?.pem();
    let authority = Pair { certificate, key: key.serialize_pem() };
    let issuer = Issuer::new(params, key);
    let leaf = |names: Vec<String>, name: &str, usage: ExtendedKeyUsagePurpose| {
        let mut params = named(CertificateParams::new(names)?, name, now, LEAF_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok::<_, Error>(Pair { certificate, key: key.serialize_pem() })
    };
    let server = leaf(names, "windlass broker", ExtendedKeyUsagePurpose::ServerAuth)?;
    let client = leaf(Vec::new(), "windlass client", ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok(Made { authority, server, client, until: day(now, LEAF_DAYS).to_string() })
}

fn named(mut params: CertificateParams, name: &str, now: Timestamp, days: i64) -> CertificateParams {
    let date = |days| {
        let day = day(now, days);
        date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
    };
    params.distinguished_name.push(DnType::CommonName, name);
    // A day back, for machines whose clocks are behind.
    (params.not_before, params.not_after) = (date(-1), date(days));
    params
}

fn day(now: Timestamp, days: i64) -> jiff::civil::Date {
    let today = now.to_zoned(TimeZone::UTC).date();
    today.saturating_add(days.days())
}
