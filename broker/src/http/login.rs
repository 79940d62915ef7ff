//! Browsers that have logged in: an opaque id in a cookie stands for a token that was shown once.
//!
//! Nothing of a token is kept: what stands here is what it allows, under the hash of a random id, until it
//! ends or the browser logs out. A restart forgets all of it.

use crate::limits::{LINK_MS, LOGIN_MS, LOGINS_MAX, LOGINS_OF_TOKEN_MAX};
use crate::tokens::{Grant, secret};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Logins {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In browsers.
    open: Table,
    /// In links that nobody has followed yet.
    links: Table,
}

/// By the hashes of what proves them.
type Table = HashMap<blake3::Hash, Login>;

#[derive(Clone, Debug)]
struct Login {
    grant: Arc<Grant>,
    until_ms: u64,
}

impl Login {
    fn is_good(&self, now_ms: u64) -> bool {
        self.until_ms > now_ms && !self.grant.is_over()
    }
}

impl Logins {
    /// Somebody has shown a token. The id that stands for it from now on.
    pub(super) fn begin(&self, grant: Arc<Grant>, now_ms: u64) -> String {
        add(&mut self.inner().open, grant, now_ms, LOGIN_MS)
    }

    /// A code with which somebody may log in once, within a minute.
    pub(super) fn link(&self, grant: Arc<Grant>, now_ms: u64) -> String {
        add(&mut self.inner().links, grant, now_ms, LINK_MS)
    }

    /// Whom an id stands for.
    pub(super) fn find(&self, id: &str, now_ms: u64) -> Option<Arc<Grant>> {
        let inner = self.inner();
        let login = inner.open.get(&blake3::hash(id.as_bytes()))?;
        login.is_good(now_ms).then(|| Arc::clone(&login.grant))
    }

    /// Whom a code stands for; it stands for nobody a second time.
    pub(super) fn follow(&self, code: &str, now_ms: u64) -> Option<Arc<Grant>> {
        let login = self.inner().links.remove(&blake3::hash(code.as_bytes()))?;
        login.is_good(now_ms).then_some(login.grant)
    }

    /// The browser has logged out.
    pub(super) fn end(&self, id: &str) {
        self.inner().open.remove(&blake3::hash(id.as_bytes()));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds one, in the place of what is over or else of what ends first, before all of its own token.
fn add(table: &mut Table, grant: Arc<Grant>, now_ms: u64, for_ms: u64) -> String {
    table.retain(|_, login| login.is_good(now_ms));
    let of_token = |login: &Login| login.grant.name() == grant.name();
    let is_full = table.len() >= LOGINS_MAX;
    if table.values().filter(|login| of_token(login)).count() >= LOGINS_OF_TOKEN_MAX || is_full {
        let own = table.iter().filter(|(_, login)| of_token(login));
        let first = own.min_by_key(|(_, login)| login.until_ms);
        let first = first.or_else(|| table.iter().min_by_key(|(_, login)| login.until_ms));
        if let Some(first) = first.map(|(&first, _)| first) {
            table.remove(&first);
        }
    }
    let id = URL_SAFE_NO_PAD.encode(secret::random());
    table.insert(blake3::hash(id.as_bytes()), Login { grant, until_ms: now_ms.saturating_add(for_ms) });
    id
}
