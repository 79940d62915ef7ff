//! The listener of the gateway: lets connections in, as many as there is room for, until the broker
//! stops; then each finishes the request at hand.

use super::bearer::{Peer, Unknown};
use super::stall::Stalling;
use super::{Gateway, router};
use crate::limits::{
    HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_SECONDS, HTTP_HEADERS_MAX, STRANGER_MOMENT,
    STRANGERS_MAX,
};
use crate::strangers::Strangers;
use crate::tls::{self, HANDSHAKE, Port, Tls};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time for requests at hand once the broker stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves the gateway until `stop`, under TLS if there is some.
pub async fn serve(listener: TcpListener, gateway: Gateway, tls: Option<Tls>, stop: CancellationToken) {
    let routes = router(gateway);
    let room = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HTTP_HEAD_SECONDS))
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .max_headers(HTTP_HEADERS_MAX);
    let mut strangers = Strangers::new(STRANGERS_MAX, STRANGER_MOMENT);
    let accept = async {
        loop {
            let stranger = strangers.place().await;
            // The kernel keeps those for whom there is no room yet.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let (socket, ip) = accept(&listener).await;
            let peer = Peer { ip, is_encrypted: tls.is_some() };
            let (server, routes, tls) = (server.clone(), routes.clone(), tls.clone());
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let displaced = stranger.displaced();
                let converse = async {
                    let until = Instant::now() + HANDSHAKE;
                    match tls::welcome(tls.as_ref(), socket, Port::Http, until).await {
                        Ok(wire) => {
                            let wire = TokioIo::new(Stalling::new(wire));
                            let connection =
                                server.serve_connection(wire, service(routes, peer, Unknown::new(stranger)));
                            if let Err(error) = watcher.watch(connection).await {
                                tracing::debug!(%error, "an HTTP connection broke");
                            }
                        }
                        Err(error) => tracing::info!(%error, "no TLS with an HTTP client"),
                    }
                };
                // Only of whom nobody knows who it is others may need the place.
                displaced.run_until_cancelled(Box::pin(converse)).await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::debug!("HTTP connections were cut, which had not ended by themselves");
    }
}

/// The routes, for a connection from this address, which is a stranger's until it is known who asks.
fn service(
    routes: Router,
    peer: Peer,
    unknown: Unknown,
) -> TowerToHyperService<
    impl tower::Service<hyper::Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone,
> {
    TowerToHyperService::new(routes.map_request(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(unknown.clone());
        request
    }))
}

async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                if socket.set_nodelay(true).is_ok() {
                    return (socket, peer.ip());
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no HTTP connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
