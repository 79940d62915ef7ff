//! The link to the broker: one session over one connection at a time, which comes back by itself.
//!
//! Callers and the connection meet in [`Shared`]: callers put requests into its state and wait for their
//! answers; one task owns the socket, takes what is queued and brings what is answered. Nothing is locked
//! while anybody waits.
//!
//! ```text
//!   callers ──▶ state: outbox, open requests, leases, streams ◀──▶ drive: connect, speak, listen, tend
//! ```

mod backoff;
mod drive;
mod guard;
mod hear;
mod leases;
mod outbox;
mod request;
mod settings;
mod settle;
mod shared;
mod silence;
mod state;
mod stream;
mod window;

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::task::AbortOnDropHandle;
use windlass_proto::v1::{Welcome, client_frame::Request, server_frame::Body};

use crate::error::{Error, Result};

pub(crate) use backoff::pause;
pub(crate) use guard::LeaseGuard;
pub(crate) use request::{Answer, Reply, Rules};
pub(crate) use settings::Settings;
pub(crate) use settle::Who;
pub(crate) use shared::{Identity, Shared};
pub(crate) use stream::{Incoming, StreamName};

/// A link, which lives as long as this value: when it is dropped, the connection closes.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Link {
    /// Connects, and keeps trying as long as the settings say.
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        let shared = Arc::new(Shared::new(settings));
        let first = drive::connect_first(&shared).await?;
        let task = tokio::spawn(drive::drive(Arc::clone(&shared), first));
        Ok(Self { shared, task: Mutex::new(Some(AbortOnDropHandle::new(task))) })
    }

    pub(crate) fn settings(&self) -> &Settings {
        self.shared.settings()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn welcome(&self) -> Arc<Welcome> {
        self.shared.welcome()
    }

    /// Hands a request over; returns as soon as it is queued.
    pub(crate) async fn submit(&self, request: Request, rules: Rules) -> Result<Answer> {
        self.shared.submit(request, rules).await
    }

    /// Sends any request that does not touch what the link keeps books of.
    pub(crate) async fn call_any(&self, request: Request) -> Result<Body> {
        match request {
            Request::Hello(_)
            | Request::Fetch(_)
            | Request::Settle(_)
            | Request::Watch(_)
            | Request::Bye(_) => Err(Error::invalid("this verb changes the session, which the client keeps")),
            request @ (Request::Enqueue(_)
            | Request::Touch(_)
            | Request::Change(_)
            | Request::Query(_)
            | Request::Put(_)
            | Request::AdvanceClock(_)) => self.submit(request, Rules::ONCE).await?.body().await,
        }
    }

    /// Brings everything to its end, says Bye and closes the connection.
    pub(crate) async fn close(&self) {
        self.shared.part().await;
        drop(self.task.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.end();
    }
}
