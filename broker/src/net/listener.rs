//! The listener: lets connections in, as many as there is room for, until the broker stops.

use super::connection::{Connection, Guest};
use super::{Clock, NetOptions};
use crate::door::Door;
use crate::limits::{KEEPALIVE, STRANGER_MOMENT, UNACKNOWLEDGED};
use crate::session;
use crate::strangers::{Stranger, Strangers};
use crate::tls::{self, Port, Wire};
use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after a failed accept. Too many open files is the usual reason, and does not end sooner for
/// being asked again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections that the kernel completes before they are accepted.
const BACKLOG: u32 = 1_024;

/// Binds an address. Connections inherit what finds peers that vanished without a word, even where no
/// session watches them: signs of life while nothing is said, and a time for what was said to arrive.
///
/// # Errors
/// When the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    let options = SockRef::from(&socket);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(2);
    options.set_tcp_keepalive(&keepalive)?;
    options.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves connections until `stop`; then each writes what is queued for it, and when all are closed
/// this returns.
pub async fn serve(
    listener: TcpListener,
    door: Door,
    options: NetOptions,
    clock: Clock,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(options.connections_max));
    let options = Arc::new(options);
    let terms = Arc::new(options.terms.clone());
    let open = TaskTracker::new();
    let mut strangers = Strangers::new(options.strangers_max, STRANGER_MOMENT);
    let accept = async {
        loop {
            let stranger = strangers.place().await;
            let (socket, peer) = accept(&listener).await;
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                tracing::debug!("a connection was refused: there are too many");
                if options.tls.is_none() {
                    refuse(socket);
                }
                continue;
            };
            let (door, terms, options) = (door.clone(), Arc::clone(&terms), Arc::clone(&options));
            let (clock, stop) = (Arc::clone(&clock), stop.child_token());
            // Who has shown wrong tokens is served later.
            let delay = terms.tokens().map_or(Duration::ZERO, |tokens| tokens.delay(peer, clock()));
            open.spawn(async move {
                if delay > Duration::ZERO && !is_its_turn(delay, &stranger, &stop).await {
                    return;
                }
                let since = Instant::now();
                if let Some(wire) = shake_hands(socket, &options, (since, &stranger), &stop).await {
                    let guest = Guest { wire, since, stranger };
                    Connection::new(guest, &door, terms, options, clock).run(stop).await;
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Waits for so long; false if nothing more is to come of it.
async fn is_its_turn(delay: Duration, stranger: &Stranger, stop: &CancellationToken) -> bool {
    let displaced = stranger.displaced();
    tokio::select! {
        () = tokio::time::sleep(delay) => true,
        () = displaced.cancelled() => false,
        () = stop.cancelled() => false,
    }
}

/// The connection once its handshake is done, where there is one; `None` if nothing came of it.
async fn shake_hands(
    socket: TcpStream,
    options: &NetOptions,
    (since, stranger): (Instant, &Stranger),
    stop: &CancellationToken,
) -> Option<Wire> {
    if options.tls.is_none() {
        return Some(Wire::Plain(socket));
    }
    let (until, displaced) = (since + options.handshake, stranger.displaced());
    let shaken = tokio::select! {
        shaken = tls::welcome(options.tls.as_ref(), socket, Port::Net, until) => shaken,
        () = stop.cancelled() => return None,
        () = displaced.cancelled() => return None,
    };
    shaken.inspect_err(|error| tracing::info!(%error, "no TLS with a client")).ok()
}

/// Tells a peer that there is no place for it, as far as that costs no waiting: one that is gone
/// already, or whose own words crossed ours, sees only that the connection was closed; so does one that
/// would first have to shake hands.
fn refuse(socket: TcpStream) {
    let mut words = BytesMut::new();
    session::write_error(0, session::no_place(), &mut words);
    let _unheard = socket.into_std().and_then(|mut socket| socket.write(&words));
}

/// The next connection; failures are waited out.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    let mut pause = ACCEPT_PAUSE;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Frames leave in whole batches; the kernel has nothing to collect.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%error, "a connection was gone before it began");
                    continue;
                }
                return (socket, peer.ip());
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}
