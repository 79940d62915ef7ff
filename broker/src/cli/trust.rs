//! Whom the command line trusts over TLS, and what it shows of itself.

use super::failure::Failure;
use std::path::PathBuf;
use windlass_client::Tls;

/// The files of TLS.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct TlsArgs {
    /// Speak TLS; the broker's certificate has to be of the authority in this PEM file [env:
    /// WINDLASS_TLS_CA=] [default: that of the context]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Broker")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show, where the broker demands one [env: WINDLASS_TLS_CLIENT_CERT=]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Broker")]
    tls_cert: Option<PathBuf>,
    /// Its key [env: WINDLASS_TLS_CLIENT_KEY=]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Broker")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// What these flags say and, where they do not, the environment.
    ///
    /// # Errors
    /// If something is missing that belongs to the rest.
    pub(super) fn settle(&self, env: impl Fn(&str) -> Option<String>) -> Result<Option<Tls>, Failure> {
        let of = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| env(name).map(PathBuf::from));
        let ca = of(&self.tls_ca, "WINDLASS_TLS_CA");
        let identity = match (
            of(&self.tls_cert, "WINDLASS_TLS_CLIENT_CERT"),
            of(&self.tls_key, "WINDLASS_TLS_CLIENT_KEY"),
        ) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(Failure::usage("--tls-cert is there, but its --tls-key is not")),
            (None, Some(_)) => return Err(Failure::usage("--tls-key is there, but its --tls-cert is not")),
        };
        match (ca, identity) {
            (Some(ca), identity) => Ok(Some(Tls { ca, identity })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Failure::usage(
                "--tls-cert is there, but --tls-ca is not: whose certificate the broker shows has to be known",
            )),
        }
    }

    /// The same, with the environment of this process.
    ///
    /// # Errors
    /// As [`TlsArgs::settle`].
    pub(super) fn here(&self) -> Result<Option<Tls>, Failure> {
        self.settle(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_environment_and_halves_are_refused() {
        let args = |ca: Option<&str>, cert: Option<&str>, key: Option<&str>| TlsArgs {
            tls_ca: ca.map(PathBuf::from),
            tls_cert: cert.map(PathBuf::from),
            tls_key: key.map(PathBuf::from),
        };
        let none = |_: &str| None;
        let env = |name: &str| (name == "WINDLASS_TLS_CA").then(|| "env.pem".to_owned());
        let ca = |args: &TlsArgs| args.settle(env).unwrap().unwrap().ca;
        assert_eq!(ca(&args(None, None, None)), PathBuf::from("env.pem"));
        assert_eq!(ca(&args(Some("flag.pem"), None, None)), PathBuf::from("flag.pem"));
        assert!(args(None, None, None).settle(none).unwrap().is_none());
        let whole = args(Some("a"), Some("c"), Some("k")).settle(none).unwrap().unwrap();
        assert_eq!(whole.identity, Some(("c".into(), "k".into())));
        for half in
            [args(Some("a"), Some("c"), None), args(None, Some("c"), Some("k")), args(None, None, Some("k"))]
        {
            assert!(half.settle(none).is_err());
        }
    }
}
