//! Conversations that requests share: one a namespace and token, opened when it is first asked for.

use super::{Clock, Local, Stream};
use crate::door::Door;
use crate::limits::LOCALS_MAX;
use crate::session::{Session, Terms};
use crate::tokens::{Grant, Speaker, Tokens};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use windlass_proto::frame::Inbound;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{ClientFrame, Error, Hello, Watch};

/// The namespace, and the name of the token; "" = of nobody in particular.
type Key = (String, String);

/// A conversation of whoever has this token.
#[derive(Clone)]
struct Shared {
    grant: Option<Arc<Grant>>,
    local: Arc<Local>,
}

impl Shared {
    /// It can be gone on with by this speaker: it is not over, and was begun with the same rights.
    fn is_of(&self, speaker: &Speaker) -> bool {
        let is_same = match (&self.grant, speaker.grant()) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_same && !self.local.is_over()
    }
}

/// The engine as the gateway sees it.
#[derive(Clone)]
pub struct Locals {
    inner: Arc<Inner>,
}

struct Inner {
    door: Door,
    terms: Arc<Terms>,
    clock: Clock,
    /// Name that these sessions are listed under.
    client: String,
    open: RwLock<HashMap<Key, Shared>>,
    /// Held while one is opened, so that a burst of requests opens one and not many.
    opening: tokio::sync::Mutex<()>,
}

impl Locals {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(door: Door, terms: Terms, clock: Clock, client: &str) -> Self {
        let inner = Inner {
            door,
            terms: Arc::new(terms),
            clock,
            client: client.to_owned(),
            open: RwLock::default(),
            opening: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The broker's clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.inner.clock)()
    }

    /// Who may speak; None = anybody.
    #[must_use]
    pub fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.inner.terms.tokens()
    }

    /// Asks within a namespace.
    ///
    /// # Errors
    /// As [`Local::ask`].
    pub async fn ask(&self, speaker: &Speaker, namespace: &str, request: Request) -> Result<Body, Error> {
        self.shared(speaker, namespace).await?.ask(request).await
    }

    /// Checks a request as far as its form tells, without asking the engine.
    ///
    /// # Errors
    /// What its form breaks, or is not allowed.
    pub fn check(&self, speaker: &Speaker, request: Request) -> Result<(), Error> {
        let Inner { terms, clock, .. } = &*self.inner;
        let inbound = Inbound::of(ClientFrame { id: 1, request: Some(request) }, terms.frame_bytes_max());
        Session::check(terms, speaker.clone(), inbound, clock())
    }

    /// Watches from a conversation of its own, so that a slow listener holds up nobody.
    ///
    /// # Errors
    /// As [`Local::watch`].
    pub async fn watch(
        &self,
        speaker: &Speaker,
        namespace: &str,
        watch: Watch,
    ) -> Result<(Local, Stream), Error> {
        let local = self.own(speaker, namespace, true).await?;
        let stream = local.watch(watch).await?;
        Ok((local, stream))
    }

    /// A conversation that is not shared. With `signs` it lives until it is dropped.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub async fn own(&self, speaker: &Speaker, namespace: &str, signs: bool) -> Result<Local, Error> {
        let hello = Hello {
            namespace: namespace.to_owned(),
            client: self.inner.client.clone(),
            pid: std::process::id(),
            ..Hello::default()
        };
        self.hello(speaker, hello, signs).await
    }

    /// A conversation in the name of somebody else, which lives until it is dropped.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub async fn visit(&self, speaker: &Speaker, hello: Hello) -> Result<Local, Error> {
        self.hello(speaker, hello, true).await
    }

    async fn hello(&self, speaker: &Speaker, hello: Hello, signs: bool) -> Result<Local, Error> {
        let Inner { door, terms, clock, .. } = &*self.inner;
        Local::open(door, Arc::clone(terms), Arc::clone(clock), speaker.clone(), hello, signs).await
    }

    async fn shared(&self, speaker: &Speaker, namespace: &str) -> Result<Arc<Local>, Error> {
        let name = speaker.grant().map_or("", |grant| grant.name());
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(local) = self.known(&key, speaker) {
            return Ok(local);
        }
        let _one_at_a_time = self.inner.opening.lock().await;
        if let Some(local) = self.known(&key, speaker) {
            return Ok(local);
        }
        let local = Arc::new(self.own(speaker, namespace, true).await?);
        let mut open = self.inner.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= LOCALS_MAX {
            // Those in use hold a second reference; the others open again when they are asked for.
            open.retain(|_, shared| Arc::strong_count(&shared.local) > 1);
        }
        let shared = Shared { grant: speaker.grant().cloned(), local: Arc::clone(&local) };
        open.insert(key, shared);
        Ok(local)
    }

    fn known(&self, key: &Key, speaker: &Speaker) -> Option<Arc<Local>> {
        let open = self.inner.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(key).filter(|shared| shared.is_of(speaker)).map(|shared| Arc::clone(&shared.local))
    }
}
