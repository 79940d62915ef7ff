//! The file in which tokens stand: TOML, readable by its owner only, read whole or not at all.

use super::role::Role;
use super::secret::{Hash, is_name};
use crate::limits::{TOKENS_FILE_BYTES_MAX, TOKENS_MAX};
use crate::secret_file;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use windlass_proto::limits::{TOKEN_LIST_MAX, is_name as is_queue};

/// What is wrong with a file of tokens.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("cannot {what} the tokens in {}: {source}", path.display())]
    Io {
        /// Which of it.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("{} can be read by others than its owner; chmod 600 it", .0.display())]
    Open(PathBuf),
    /// It does not say what tokens there are.
    #[error("{}{}: {message}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Malformed {
        /// Where.
        path: PathBuf,
        /// In which line, counted from 1.
        line: Option<usize>,
        /// What is wrong there.
        message: String,
    },
}

/// The tokens of a file, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// A table each.
    #[serde(default)]
    pub token: BTreeMap<Name, Entry>,
}

/// A token as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// SHA-256 of its secret.
    pub hash: Hash,
    /// That of the secret before it, while both are good.
    pub former_hash: Option<Hash>,
    /// Until when.
    pub former_until: Option<Moment>,
    /// What it is for.
    pub roles: Vec<Role>,
    /// In which queues; absent: in all.
    #[serde(default = "everywhere")]
    pub queues: Vec<Glob>,
    /// In which namespaces; absent: in `default`.
    #[serde(default = "at_home")]
    pub namespaces: Vec<Glob>,
    /// Not good from then on; absent: no end.
    pub expires: Option<Moment>,
    /// It may see what jobs carry: payloads, results, headers, logs.
    #[serde(default)]
    pub payloads: bool,
}

/// The name of a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(pub String);

/// A name, or the beginning of names with a `*` behind it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Glob(pub String);

/// An instant, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(pub u64);

fn everywhere() -> Vec<Glob> {
    vec![Glob("*".to_owned())]
}

fn at_home() -> Vec<Glob> {
    vec![Glob("default".to_owned())]
}

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_name(&text) { Ok(Self(text)) } else { Err("the name of a token is 1 to 64 of a-z, 0-9 and -") }
    }
}

impl TryFrom<String> for Glob {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let start = text.strip_suffix('*').unwrap_or(&text);
        if is_queue(start) || text == "*" {
            Ok(Self(text))
        } else {
            Err("a queue or a namespace is a name, or the beginning of names and a * at the end")
        }
    }
}

impl TryFrom<String> for Moment {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let at: Option<jiff::Timestamp> = text.parse().ok();
        let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok()).filter(|&at| at > 0);
        at.map(Self).ok_or("an instant is written like 2027-01-01T00:00:00Z")
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        at.map_or(Ok(()), |at| at.fmt(f))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl File {
    /// Reads a file, which has to be its owner's alone.
    ///
    /// # Errors
    /// With the line at fault, and why.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { what: "read", path: path.into(), source };
        let mut file = std::fs::File::open(path).map_err(failed)?;
        // Of the file that is open, so that nobody swaps it in between.
        if secret_file::check(path, &file).is_err() {
            return Err(FileError::Open(path.into()));
        }
        let (mut text, most) = (String::new(), TOKENS_FILE_BYTES_MAX);
        (&mut file).take(most + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > most {
            return Err(malformed(path, None, format!("a file of tokens has at most {most} bytes")));
        }
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let file: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            malformed(path, line, error.message().to_owned())
        })?;
        if file.token.len() > TOKENS_MAX {
            return Err(malformed(path, None, format!("at most {TOKENS_MAX} tokens")));
        }
        for (name, entry) in &file.token {
            if let Err(message) = entry.check() {
                let line = text.find(&format!("[token.{}]", name.0)).map(|at| line_of(text, at));
                return Err(malformed(path, line, format!("{}: {message}", name.0)));
            }
        }
        Ok(file)
    }

    /// Keeps others from changing the file until what is returned is dropped.
    ///
    /// # Errors
    /// When its folder is not there.
    pub fn lock(path: &Path) -> Result<std::fs::File, FileError> {
        let failed = |source| FileError::Io { what: "lock", path: path.into(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = std::fs::File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| failed(error.into()))?;
        Ok(folder)
    }

    /// Writes a file anew, for its owner only; who reads it meanwhile sees the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let failed = |source| FileError::Io { what: "write", path: path.into(), source };
        // A link stays one: what it leads to is replaced.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let mut beside = target.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| file.write_all(self.to_string().as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&beside, &target));
        if written.is_err() {
            let _nothing_may_be_there = std::fs::remove_file(&beside);
        }
        written.map_err(failed)
    }
}

impl Entry {
    /// What contradicts itself in it.
    fn check(&self) -> Result<(), String> {
        if self.roles.is_empty() {
            return Err("a token has a role: producer, worker, viewer, operator or admin".into());
        }
        for (field, count) in [("queues", self.queues.len()), ("namespaces", self.namespaces.len())] {
            if count == 0 || count > TOKEN_LIST_MAX {
                return Err(format!(
                    "{field} is a list of 1 to {TOKEN_LIST_MAX} names; \"*\" stands for all"
                ));
            }
        }
        match (self.former_hash.is_some(), self.former_until.is_some()) {
            (true, false) => Err("former_hash is good until former_until; say when".into()),
            (false, true) => Err("former_until says until when former_hash is good; there is none".into()),
            (true, true) | (false, false) => Ok(()),
        }
    }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "# The tokens of a Windlass broker; see docs/OPERATIONS.md. No secret stands here.")?;
        self.token.iter().try_for_each(|(name, entry)| write!(f, "\n[token.{}]\n{entry}", name.0))
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let listed = |names: Vec<&str>| format!("[\"{}\"]", names.join("\", \""));
        let globs = |globs: &[Glob]| listed(globs.iter().map(|glob| glob.0.as_str()).collect());
        writeln!(f, "hash = \"{}\"", self.hash)?;
        if let (Some(hash), Some(until)) = (self.former_hash, self.former_until) {
            writeln!(f, "former_hash = \"{hash}\"\nformer_until = \"{until}\"")?;
        }
        writeln!(f, "roles = {}", listed(self.roles.iter().map(|role| role.name()).collect()))?;
        writeln!(f, "queues = {}\nnamespaces = {}", globs(&self.queues), globs(&self.namespaces))?;
        if let Some(expires) = self.expires {
            writeln!(f, "expires = \"{expires}\"")?;
        }
        if self.payloads { writeln!(f, "payloads = true") } else { Ok(()) }
    }
}

fn malformed(path: &Path, line: Option<usize>, message: String) -> FileError {
    FileError::Malformed { path: path.into(), line, message: message.trim().replace('\n', " ") }
}

/// The line in which a byte stands, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::secret::fresh;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn entry() -> Entry {
        Entry {
            hash: fresh("x").1,
            former_hash: Some(fresh("x").1),
            former_until: Some(Moment(1_900_000_000_000)),
            roles: vec![Role::Producer, Role::Viewer],
            queues: vec![Glob("mail-*".into()), Glob("bills".into())],
            namespaces: at_home(),
            expires: Some(Moment(1_900_000_000_001)),
            payloads: true,
        }
    }

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("t"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_read_as_it_is_written_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.toml");
        let file = File { token: [(Name("ci".into()), entry())].into() };
        file.write(&path).unwrap();
        file.write(&path).unwrap();
        assert_eq!(File::read(&path).unwrap(), file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(File::read(&path), Err(FileError::Open(_))));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let hash = "0".repeat(64);
        let token = |rest: &str| format!("\n[token.ci]\nhash = \"{hash}\"\n{rest}\n");
        assert_eq!(parse(&token("roles = [\"viewer\"]")).unwrap().token.len(), 1);
        for (text, line, word) in [
            (token("roles = [\"viewer\"]\nqueue = [\"a\"]"), "t:5", "queue"),
            (token("roles = [\"reader\"]"), "t:4", "reader"),
            (token("roles = []"), "t:2", "role"),
            (token("roles = [\"viewer\"]\nqueues = [\"a*b\"]"), "t:5", "*"),
            (token("roles = [\"viewer\"]\nqueues = []"), "t:2", "queues"),
            (token("roles = [\"viewer\"]\nexpires = \"soon\""), "t:5", "2027-01-01"),
            (token("roles = [\"viewer\"]\nformer_until = \"2027-01-01T00:00:00Z\""), "t:2", "former_hash"),
            ("[token.CI]\nhash = \"\"\nroles = []".into(), "t", "a-z"),
            ("[token.ci]\nhash = \"12\"\nroles = [\"viewer\"]".into(), "t:2", "64 hex"),
            ("[token.ci]\nroles = [\"viewer\"]".into(), "t:1", "hash"),
            ("[[token]]".into(), "t:1", "map"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(line) && error.contains(word), "{text}\n{error}");
        }
    }
}
