//! Conversations that requests share: one a namespace, opened when it is first asked for.

use super::{Clock, Local, Stream};
use crate::door::Door;
use crate::limits::LOCALS_MAX;
use crate::session::{Session, Terms};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use windlass_proto::frame::Inbound;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{ClientFrame, Error, Hello, Watch};

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
    open: RwLock<HashMap<String, Arc<Local>>>,
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

    /// Asks within a namespace.
    ///
    /// # Errors
    /// As [`Local::ask`].
    pub async fn ask(&self, namespace: &str, request: Request) -> Result<Body, Error> {
        self.shared(namespace).await?.ask(request).await
    }

    /// Checks a request as far as its form tells, without asking the engine.
    ///
    /// # Errors
    /// What its form breaks.
    pub fn check(&self, request: Request) -> Result<(), Error> {
        let Inner { terms, clock, .. } = &*self.inner;
        let inbound = Inbound::of(ClientFrame { id: 1, request: Some(request) }, terms.frame_bytes_max());
        Session::check(terms, inbound, clock())
    }

    /// Watches from a conversation of its own, so that a slow listener holds up nobody.
    ///
    /// # Errors
    /// As [`Local::watch`].
    pub async fn watch(&self, namespace: &str, watch: Watch) -> Result<(Local, Stream), Error> {
        let local = self.own(namespace, true).await?;
        let stream = local.watch(watch).await?;
        Ok((local, stream))
    }

    /// A conversation that is not shared. With `signs` it lives until it is dropped.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub async fn own(&self, namespace: &str, signs: bool) -> Result<Local, Error> {
        let hello = Hello {
            namespace: namespace.to_owned(),
            client: self.inner.client.clone(),
            pid: std::process::id(),
            ..Hello::default()
        };
        self.hello(hello, signs).await
    }

    /// A conversation in the name of somebody else, which lives until it is dropped.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub async fn visit(&self, hello: Hello) -> Result<Local, Error> {
        self.hello(hello, true).await
    }

    async fn hello(&self, hello: Hello, signs: bool) -> Result<Local, Error> {
        let Inner { door, terms, clock, .. } = &*self.inner;
        Local::open(door, Arc::clone(terms), Arc::clone(clock), hello, signs).await
    }

    async fn shared(&self, namespace: &str) -> Result<Arc<Local>, Error> {
        if let Some(local) = self.known(namespace) {
            return Ok(local);
        }
        let _one_at_a_time = self.inner.opening.lock().await;
        if let Some(local) = self.known(namespace) {
            return Ok(local);
        }
        let local = Arc::new(self.own(namespace, true).await?);
        let mut open = self.inner.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= LOCALS_MAX {
            // Those in use hold a second reference; the others open again when they are asked for.
            open.retain(|_, local| Arc::strong_count(local) > 1);
        }
        open.insert(namespace.to_owned(), Arc::clone(&local));
        Ok(local)
    }

    fn known(&self, namespace: &str) -> Option<Arc<Local>> {
        let open = self.inner.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(namespace).filter(|local| !local.is_over()).cloned()
    }
}
