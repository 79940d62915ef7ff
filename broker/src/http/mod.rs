//! The HTTP gateway: curl, browsers and Prometheus meet the broker here.
//!
//! It is separate because it speaks another language than the protocol's sockets, JSON. What a
//! request comes to is a message of the protocol, checked and decided like any other: there is no
//! rule about jobs on this floor.
//!
//! ```text
//!   guard ─► routes ─► json ─► local ─► door
//! ```

mod bearer;
mod body;
mod call;
mod etag;
mod guard;
mod idempotency;
mod intake;
mod login;
mod openapi;
mod page;
mod path;
mod pour;
mod problem;
mod routes;
mod server;
mod span;
mod stall;
mod terms;
mod ui;
mod written;

pub use server::serve;

use self::login::Logins;
use crate::local::Locals;
use crate::metrics::{Meters, Shown};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use utoipa_axum::router::OpenApiRouter;
use windlass_proto::v1::SessionView;

use crate::limits::HTTP_BODY_BYTES_MAX;

/// Name that the gateway's own sessions are listed under.
pub const CLIENT: &str = "gateway";

/// What all requests share.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    locals: Locals,
    /// Names under which browsers may reach the gateway, besides those of this machine.
    hosts: Vec<String>,
    /// Cancelled when the broker goes down: streams end then.
    farewell: CancellationToken,
    meters: Meters,
    /// The queues that have metrics of their own.
    shown: Arc<Shown>,
    since_ms: u64,
    requests: AtomicU64,
    intake: Arc<intake::Intake>,
    logins: Logins,
}

impl Gateway {
    /// A gateway to this engine, on this address, that also answers to these names.
    #[must_use]
    pub fn new(locals: Locals, meters: Meters, address: SocketAddr, mut hosts: Vec<String>) -> Self {
        hosts.push(address.ip().to_string());
        let (farewell, shown) = (CancellationToken::new(), Arc::default());
        let (since_ms, requests, logins) = (locals.now_ms(), AtomicU64::new(0), Logins::default());
        let intake = Arc::default();
        let inner = Inner { locals, hosts, farewell, meters, shown, since_ms, requests, intake, logins };
        Self { inner: Arc::new(inner) }
    }

    /// From now on `/readyz` says that there is nothing more to come here for, and streams end.
    pub fn drain(&self) {
        self.inner.farewell.cancel();
    }

    fn is_draining(&self) -> bool {
        self.inner.farewell.is_cancelled()
    }

    /// A name for a request that brings none: of this start, and counted.
    fn request_id(&self) -> HeaderValue {
        let number = self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:x}-{number:x}", self.inner.since_ms);
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("0"))
    }

    /// Waits until the broker goes down.
    async fn drained(&self) {
        self.inner.farewell.cancelled().await;
    }

    /// The session is a conversation of the gateway's own, which is of no interest to anybody.
    fn is_own(&self, session: &SessionView) -> bool {
        session.pid == std::process::id() && session.client == CLIENT && session.leases == 0
    }

    fn intake(&self) -> Arc<intake::Intake> {
        Arc::clone(&self.inner.intake)
    }

    fn locals(&self) -> &Locals {
        &self.inner.locals
    }

    fn logins(&self) -> &Logins {
        &self.inner.logins
    }

    fn meters(&self) -> &Meters {
        &self.inner.meters
    }

    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.inner.shown)
    }

    fn hosts(&self) -> &[String] {
        &self.inner.hosts
    }
}

/// All routes, with what stands before them; [`serve`] is what puts them behind a socket.
pub fn router(gateway: Gateway) -> Router {
    let (routes, api) = OpenApiRouter::new().merge(routes::all()).split_for_parts();
    let api = Arc::new(openapi::complete(api));
    routes
        .route("/openapi.json", axum::routing::get(move || async move { axum::Json(Value::clone(&api)) }))
        .merge(ui::routes())
        .fallback(ui::page_or_problem)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(CompressionLayer::new())
        .layer(DefaultBodyLimit::max(HTTP_BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(gateway.clone(), intake::measured))
        .layer(CsrfLayer::new())
        .layer(axum::middleware::from_fn_with_state(gateway.clone(), guard::known_host))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .with_state(gateway)
}

/// The status of an answer that a listening client should retry elsewhere.
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
