//! Link.
use crate::error::Result;
use crate::lease::Held;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use windlass_proto::v1::{self, JobTouch, State, Welcome, Work};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    settings: Settings,
}
#[derive(Debug)]
pub(crate) struct Shared {}
#[derive(Debug)]
pub(crate) struct Answer;
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) host_port: String,
    pub(crate) token: String,
    pub(crate) namespace: String,
    pub(crate) client: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) session_ttl: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) give_up_after: Duration,
    pub(crate) window: u32,
}
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    resend: bool,
}
impl Rules {
    pub(crate) const RESEND: Self = Self { resend: true };
    pub(crate) const ONCE: Self = Self { resend: false };
    pub(crate) fn longer_by(self, _by: Duration) -> Self {
        self
    }
}
impl Link {
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        todo!()
    }
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
    pub(crate) fn welcome(&self) -> Arc<Welcome> {
        todo!()
    }
    pub(crate) async fn submit(&self, request: Request, rules: Rules) -> Result<Answer> {
        todo!()
    }
    pub(crate) async fn call_any(&self, request: Request) -> Result<Body> {
        todo!()
    }
    pub(crate) async fn close(&self) {
        todo!()
    }
}
impl Shared {
    pub(crate) fn held(&self, work: &Work) -> Arc<Held> {
        todo!()
    }
    pub(crate) async fn settle_and_wait(&self, result: v1::Result) -> Result<State> {
        todo!()
    }
    pub(crate) async fn touch(&self, touch: JobTouch) -> Result<()> {
        todo!()
    }
    pub(crate) fn give_back(&self, held: &Held, reason: &str) {
        todo!()
    }
}
impl Future for Answer {
    type Output = Result<Body>;
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
