//! Tokens: who may speak to the broker. They stand in a file of their own and never in the ledger: so none
//! is in a snapshot or an export, whoever has changed the broker's configuration has not changed who may,
//! and nobody can lock himself out.
//!
//! What a token allows is applied by `session/`; here it is only found out who somebody is.

mod failures;
pub mod file;
mod role;
pub mod secret;

pub use role::{Role, Roles};

use failures::Failures;
use file::{File, FileError, Glob};
use secret::{Hash, is_name, split};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use windlass_engine::Reach;

/// How often it is looked whether a token has expired.
const WATCH: Duration = Duration::from_secs(1);

/// Who speaks in a conversation.
#[derive(Clone, Debug, Default)]
pub enum Speaker {
    /// Whoever says so in its Hello.
    #[default]
    Unknown,
    /// Somebody whose token was looked at.
    Token(Arc<Grant>),
    /// The broker itself, or anybody where no token is asked for.
    Broker,
}

impl Speaker {
    /// What the speaker's token allows; None = everything is allowed.
    #[must_use]
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Self::Token(grant) => Some(grant),
            Self::Unknown | Self::Broker => None,
        }
    }
}

/// What a token allows, to whoever has shown one of its secrets.
#[derive(Debug)]
pub struct Grant {
    name: String,
    rights: Rights,
    /// Not good from then on; 0 = no end.
    until_ms: u64,
    /// Cancelled when it is not good any more.
    end: CancellationToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rights {
    roles: Roles,
    queues: Reach,
    namespaces: Reach,
    payloads: bool,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It showed no token.
    Nothing,
    /// What it showed is none, or not of this broker, or not any more.
    Wrong,
    /// The token was good until a while ago.
    Expired,
}

impl Stranger {
    /// What it is told.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Nothing => "this broker asks for a token; `windlass token new` makes one",
            Self::Wrong => "the token is not one of this broker's, or not any more",
            Self::Expired => "the token has expired; `windlass token new` makes another",
        }
    }
}

/// A token as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub roles: Roles,
    /// In which queues.
    pub queues: Vec<String>,
    /// In which namespaces.
    pub namespaces: Vec<String>,
    /// Not good from then on; 0 = no end.
    pub expires_at_ms: u64,
    /// When it was last shown to this run of the broker; 0 = never.
    pub used_at_ms: u64,
    /// It may see what jobs carry.
    pub payloads: bool,
}

/// The tokens of a broker, as the file last said.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    book: Mutex<BTreeMap<String, Known>>,
    failures: Mutex<Failures>,
}

/// A token with its secrets.
#[derive(Debug)]
struct Known {
    rights: Rights,
    expires_at_ms: u64,
    secrets: Vec<(Hash, Arc<Grant>)>,
    used_at_ms: AtomicU64,
}

impl Grant {
    /// Name of the token.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.rights.roles
    }

    /// In which queues.
    #[must_use]
    pub fn queues(&self) -> &Reach {
        &self.rights.queues
    }

    /// In which namespaces.
    #[must_use]
    pub fn namespaces(&self) -> &Reach {
        &self.rights.namespaces
    }

    /// It may look at jobs that it does not know.
    #[must_use]
    pub fn looks(&self) -> bool {
        self.rights.roles.meets(Roles::of(&[Role::Viewer, Role::Operator, Role::Admin]))
    }

    /// It may see what jobs carry. Who can only ask by ids asks for what it has sent.
    #[must_use]
    pub fn shows_bodies(&self) -> bool {
        self.rights.payloads || !self.looks()
    }

    /// It is not good any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Waits until it is not good any more.
    pub fn ended(&self) -> WaitForCancellationFutureOwned {
        self.end.clone().cancelled_owned()
    }
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let book = known(&File::read(&path)?, &BTreeMap::new());
        Ok(Self { path, book: Mutex::new(book), failures: Mutex::default() })
    }

    /// Who has this token.
    ///
    /// # Errors
    /// When nobody has, and why.
    pub fn admit(&self, text: &str, now_ms: u64) -> Result<Arc<Grant>, Stranger> {
        if text.is_empty() {
            return Err(Stranger::Nothing);
        }
        let (name, secret) = split(text).ok_or(Stranger::Wrong)?;
        let hash = Hash::of(secret);
        let book = self.book();
        let known = book.get(name);
        // Where there is no such token as much is compared as where there is.
        let secrets = known.map_or(&[][..], |known| &known.secrets);
        let mut found = None;
        for place in 0..2 {
            let (kept, grant) =
                secrets.get(place).map_or((&Hash::NOBODYS, None), |(kept, grant)| (kept, Some(grant)));
            if hash.is(kept) {
                found = grant;
            }
        }
        let grant = found.ok_or(Stranger::Wrong)?;
        if grant.is_over() || grant.until_ms > 0 && grant.until_ms <= now_ms {
            return Err(Stranger::Expired);
        }
        if let Some(known) = known {
            known.used_at_ms.store(now_ms, Ordering::Relaxed);
        }
        Ok(Arc::clone(grant))
    }

    /// Notes that an address has shown a wrong token. Returns how much later it is served from now on.
    pub fn failed(&self, peer: IpAddr, text: &str, now_ms: u64) -> Duration {
        let mut failures = self.failures();
        let times = failures.failed(peer, now_ms);
        // Of a stranger's text only what can be a name is told, and of many failures a few.
        let named = split(text).map(|(name, _)| name).filter(|name| is_name(name)).unwrap_or_default();
        if times.is_power_of_two() {
            tracing::warn!(%peer, token = named, times, "a wrong token, or none");
        }
        failures.delay(peer, now_ms)
    }

    /// How much later an address is served because it has shown wrong tokens.
    #[must_use]
    pub fn delay(&self, peer: IpAddr, now_ms: u64) -> Duration {
        self.failures().delay(peer, now_ms)
    }

    /// All tokens that reach this namespace.
    #[must_use]
    pub fn shown(&self, namespace: &str) -> Vec<Shown> {
        let book = self.book();
        let here = book.iter().filter(|(_, known)| known.rights.namespaces.covers(namespace));
        here.map(|(name, known)| Shown {
            name: name.clone(),
            roles: known.rights.roles,
            queues: known.rights.queues.patterns(),
            namespaces: known.rights.namespaces.patterns(),
            expires_at_ms: known.expires_at_ms,
            used_at_ms: known.used_at_ms.load(Ordering::Relaxed),
            payloads: known.rights.payloads,
        })
        .collect()
    }

    /// Reads the file again. Whoever came with what is not in it any more, or allows something else now, is
    /// sent away, and may come back.
    ///
    /// # Errors
    /// With what is wrong with the file; the tokens stay as they were.
    pub fn reload(&self) -> Result<(), FileError> {
        let file = File::read(&self.path)?;
        let mut book = self.book();
        let read = known(&file, &book);
        for (_, grant) in book.values().flat_map(|known| &known.secrets) {
            let kept = read.get(&grant.name).into_iter().flat_map(|known| &known.secrets);
            if !kept.into_iter().any(|(_, kept)| Arc::ptr_eq(kept, grant)) {
                grant.end.cancel();
            }
        }
        *book = read;
        Ok(())
    }

    /// Ends what is not good any more.
    pub fn expire(&self, now_ms: u64) {
        for (_, grant) in self.book().values().flat_map(|known| &known.secrets) {
            if grant.until_ms > 0 && grant.until_ms <= now_ms && !grant.is_over() {
                tracing::info!(token = grant.name, "a secret of a token has expired");
                grant.end.cancel();
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tokens of a file. A secret that allows what it did before keeps its grant, and with it its sessions.
fn known(file: &File, before: &BTreeMap<String, Known>) -> BTreeMap<String, Known> {
    let reach = |globs: &[Glob]| Reach::of(globs.iter().map(|glob| glob.0.clone()).collect());
    let each = file.token.iter().map(|(name, entry)| {
        let name = name.0.clone();
        let rights = Rights {
            roles: Roles::of(&entry.roles),
            queues: reach(&entry.queues),
            namespaces: reach(&entry.namespaces),
            payloads: entry.payloads,
        };
        let before = before.get(&name);
        let expires_at_ms = entry.expires.map_or(0, |at| at.0);
        let former = entry.former_hash.zip(entry.former_until).map(|(hash, until)| {
            (hash, if expires_at_ms > 0 { until.0.min(expires_at_ms) } else { until.0 })
        });
        let secrets = [Some((entry.hash, expires_at_ms)), former].into_iter().flatten();
        let grant = |(hash, until_ms): (Hash, u64)| {
            let is_same = |kept: &&(Hash, Arc<Grant>)| {
                kept.0 == hash && kept.1.rights == rights && kept.1.until_ms == until_ms
            };
            let kept = before.and_then(|known| known.secrets.iter().find(is_same));
            let fresh = || Grant {
                name: name.clone(),
                rights: rights.clone(),
                until_ms,
                end: CancellationToken::new(),
            };
            (hash, kept.map_or_else(|| Arc::new(fresh()), |(_, grant)| Arc::clone(grant)))
        };
        let secrets = secrets.map(grant).collect();
        let used_at_ms = before.map_or(0, |known| known.used_at_ms.load(Ordering::Relaxed)).into();
        (name.clone(), Known { rights: rights.clone(), expires_at_ms, secrets, used_at_ms })
    });
    each.collect()
}

/// Ends what has expired, until `stop`.
pub async fn watch(tokens: Arc<Tokens>, clock: Arc<dyn Fn() -> u64 + Send + Sync>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(WATCH);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => tokens.expire(clock()),
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests;
