//! Contexts: names for brokers, in a file of the user's, so that nobody types addresses.

use super::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use windlass_client::Tls;

/// The file as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Contexts {
    /// The one that is meant when nothing else is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    /// The one before it, for `use -`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) context: BTreeMap<String, Context>,
}

/// One broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    /// Where it listens.
    pub(super) addr: String,
    /// The namespace of the jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    /// Speak TLS, and trust this authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls_ca: Option<PathBuf>,
    /// Certificate to show there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls_key: Option<PathBuf>,
    /// The file with the token that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    /// Mistakes are dear here: what loses something asks for the number, and nothing is measured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) protected: bool,
}

impl Context {
    /// The files of TLS, where it is spoken.
    pub(super) fn tls(&self) -> Option<Tls> {
        let identity = self.tls_cert.clone().zip(self.tls_key.clone());
        self.tls_ca.clone().map(|ca| Tls { ca, identity })
    }
}

impl Contexts {
    /// Reads the file; without one there are no contexts.
    pub(super) fn load() -> Result<Self, Failure> {
        let Some(path) = path() else { return Ok(Self::default()) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        };
        toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: {}", path.display(), error.to_string().trim())))
    }

    /// Writes the file anew, for its owner only; who reads it meanwhile sees the old one or the new one.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let Some(path) = path() else {
            return Err(Failure::usage(
                "there is no home directory to keep contexts in; set XDG_CONFIG_HOME",
            ));
        };
        let text = toml::to_string(self).expect("names and addresses are TOML");
        let write = || {
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder)?;
            let new = folder.join(format!(".contexts.{}.new", std::process::id()));
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&new)?.write_all(text.as_bytes())?;
            std::fs::rename(&new, &path)
        };
        write().map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
    }

    /// The one of a name.
    pub(super) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.context.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.context.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "there are none".into() } else { known.join(", ") };
            Failure::not_found(format!("there is no context {name}; known: {known}"))
                .next("`windlass admin context add NAME ADDR` makes one")
        })
    }
}

/// Where contexts are kept.
pub(super) fn path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(config.join("windlass").join("contexts.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_is_written() {
        let text = "current = \"prod\"\n\n[context.prod]\naddr = \"b:1\"\nprotected = true\n";
        let read: Contexts = toml::from_str(text).unwrap();
        assert!(read.context["prod"].protected);
        assert_eq!(toml::to_string(&read).unwrap(), text);
        assert!(toml::from_str::<Contexts>("[context.a]\nadr = \"x\"").is_err());
    }
}
