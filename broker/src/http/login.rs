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
    /// How many there ever were: many begin within a millisecond, and the first of them is the oldest.
    begun: u64,
}

/// By the hashes of what proves them.
type Table = HashMap<blake3::Hash, Login>;

#[derive(Clone, Debug)]
struct Login {
    grant: Arc<Grant>,
    until_ms: u64,
    /// Its place among all in the order in which they began.
    nth: u64,
}

impl Login {
    fn is_good(&self, now_ms: u64) -> bool {
        self.until_ms > now_ms && !self.grant.is_over()
    }
}

impl Logins {
    /// Somebody has shown a token. The id that stands for it from now on.
    pub(super) fn begin(&self, grant: Arc<Grant>, now_ms: u64) -> String {
        let inner = &mut *self.inner();
        let login = inner.next(grant, now_ms, LOGIN_MS);
        add(&mut inner.open, login, now_ms)
    }

    /// A code with which somebody may log in once, within a minute.
    pub(super) fn link(&self, grant: Arc<Grant>, now_ms: u64) -> String {
        let inner = &mut *self.inner();
        let login = inner.next(grant, now_ms, LINK_MS);
        add(&mut inner.links, login, now_ms)
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

impl Inner {
    fn next(&mut self, grant: Arc<Grant>, now_ms: u64, for_ms: u64) -> Login {
        self.begun += 1;
        Login { grant, until_ms: now_ms.saturating_add(for_ms), nth: self.begun }
    }
}

/// Adds one, in the place of what is over or else of the oldest, before all of its own token.
fn add(table: &mut Table, login: Login, now_ms: u64) -> String {
    table.retain(|_, login| login.is_good(now_ms));
    let of_token = |other: &Login| other.grant.name() == login.grant.name();
    let is_full = table.len() >= LOGINS_MAX;
    if table.values().filter(|other| of_token(other)).count() >= LOGINS_OF_TOKEN_MAX || is_full {
        let first = table.iter().min_by_key(|(_, other)| (!of_token(other), other.nth));
        if let Some(first) = first.map(|(&first, _)| first) {
            table.remove(&first);
        }
    }
    let id = URL_SAFE_NO_PAD.encode(secret::random());
    table.insert(blake3::hash(id.as_bytes()), login);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leaves_first_even_if_all_began_within_a_millisecond() {
        let (logins, grant) = (Logins::default(), Arc::new(Grant::of("viewer")));
        let ids: Vec<_> = (0..LOGINS_OF_TOKEN_MAX + 1).map(|_| logins.begin(Arc::clone(&grant), 7)).collect();
        let gone: Vec<_> = (0..ids.len()).filter(|&at| logins.find(&ids[at], 7).is_none()).collect();
        assert_eq!(gone, [0]);
    }
}
