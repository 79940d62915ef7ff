//! A connection: one socket, one session, one task.
//!
//! ```text
//! socket ─ bytes ─► session ─ commands ─► line ─► driver
//! socket ◄─ bytes ─ session ◄── frames ── outbox ◄──┘
//! ```
//!
//! One task does both directions, so that the rules between them (an answer makes room for a request, a
//! peer that does not read is not read) need no lock and no message. It is written as one poll over all
//! that can happen: a wake-up is the dearest thing on this path, and each one serves every direction.

use super::patience::{Overdue, Patience, TICK};
use super::{Clock, NetOptions};
use crate::door::{Door, Line};
use crate::limits::{CONNECTION_INBOX_BYTES, INBOX_BYTES, OUTBOX_CHOKE_BYTES};
use crate::session::{self, Asked, Session, Terms, Verdict};
use crate::strangers::Stranger;
use crate::tls::Wire;
use bytes::{Buf, BytesMut};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes read at a time from a peer that sends little, and from one that sends much.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes that are encoded ahead of the socket.
const LEAVING_BYTES: usize = 256 << 10;
/// Time for a peer to read our last words before its unread bytes turn the close into a reset.
const LINGER: Duration = Duration::from_secs(1);

/// Who has just come in.
pub(super) struct Guest {
    pub(super) wire: Wire,
    /// When it was accepted.
    pub(super) since: Instant,
    /// Its place until it is welcomed.
    pub(super) stranger: Stranger,
}

/// A socket, plain or under TLS, with its session and its line to the driver.
pub(super) struct Connection {
    wire: Wire,
    /// Its place among those that are not known yet.
    stranger: Option<Stranger>,
    door: Door,
    line: Line,
    session: Session,
    options: Arc<NetOptions>,
    clock: Clock,
    patience: Patience,
    /// Read, and not yet a whole frame, or not yet looked at.
    arrived: BytesMut,
    /// There may be whole frames in `arrived` that there was no room for.
    is_behind: bool,
    read_bytes: usize,
    /// Commands of one look at `arrived`; here to keep its memory.
    asked: Vec<Asked>,
    /// Encoded, and not yet written.
    leaving: BytesMut,
    /// Weight of the frames in `leaving`.
    leaving_weight: usize,
    /// The buffers may hold memory.
    is_warm: bool,
    /// Something moved since the last look at the clock.
    was_busy: bool,
    is_stopping: bool,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The peer closed it, or it broke.
    Gone,
    /// The peer gets no more of our patience.
    Overdue(Overdue),
    /// The peer has too much unread.
    Overfed,
    /// Too many peers have too much of a frame unfinished.
    Crowded,
    /// It has said nothing for a while, and others want to.
    Displaced,
    /// All is said.
    Said,
}

impl Connection {
    /// A connection that has just been accepted.
    pub(super) fn new(
        Guest { wire, since, stranger }: Guest,
        door: &Door,
        terms: Arc<Terms>,
        options: Arc<NetOptions>,
        clock: Clock,
    ) -> Self {
        let peer = wire.socket().peer_addr().ok().map(|peer| peer.ip());
        Self {
            wire,
            stranger: Some(stranger),
            line: door.open(),
            door: door.clone(),
            session: Session::new(terms, peer),
            options,
            clock,
            patience: Patience::since(since),
            arrived: BytesMut::new(),
            is_behind: false,
            read_bytes: READ_BYTES_MIN,
            asked: Vec::new(),
            leaving: BytesMut::new(),
            leaving_weight: 0,
            is_warm: false,
            was_busy: false,
            is_stopping: false,
        }
    }

    /// Serves the peer until either side ends it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let end = self.serve(&stop).await;
        let conn = self.line.conn();
        match end {
            End::Gone | End::Said => tracing::debug!(conn, %end, "connection closed"),
            End::Overdue(_) | End::Overfed | End::Crowded | End::Displaced => {
                tracing::info!(conn, %end, "connection cut")
            }
        }
        let Self { wire, line, .. } = self;
        // The driver hears of it before the peer has taken our last words.
        drop(line);
        if matches!(end, End::Said) {
            linger(wire).await;
        }
    }

    async fn serve(&mut self, stop: &CancellationToken) -> End {
        let outbox = Arc::clone(self.line.outbox());
        // Each of these keeps its place in its queue from one wake-up to the next.
        let mut released = pin!(outbox.frames());
        let mut stopped = pin!(stop.cancelled());
        let displaced = self.stranger.as_ref().map(Stranger::displaced).unwrap_or_default();
        let mut displaced = pin!(displaced.cancelled());
        let mut alarm = pin!(tokio::time::sleep(TICK));
        let mut is_armed = true;
        let mut revoked = pin!(None);
        poll_fn(|cx| {
            if !self.is_stopping && stopped.as_mut().poll(cx).is_ready() {
                self.is_stopping = true;
                self.patience.for_farewell();
            }
            if self.stranger.is_some() && displaced.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Displaced);
            }
            loop {
                let mut is_idle = true;
                if self.session.is_open() && revoked.is_none() {
                    revoked.set(self.session.token_ends());
                }
                if let Some(ended) = revoked.as_mut().as_pin_mut()
                    && !self.session.is_closed()
                    && ended.poll(cx).is_ready()
                {
                    let verdict = self.session.revoke();
                    self.take(verdict);
                }
                if let Poll::Ready(frames) = released.as_mut().poll(cx) {
                    released.set(outbox.frames());
                    self.session.take(frames);
                    is_idle = false;
                }
                match self.both_ways(cx) {
                    Err(end) => return Poll::Ready(end),
                    Ok(has_moved) => is_idle &= !has_moved,
                }
                if !is_idle {
                    self.is_warm = true;
                    self.was_busy = true;
                    continue;
                }
                if !self.is_warm && !self.patience.waits() {
                    return Poll::Pending;
                }
                if !is_armed {
                    alarm.as_mut().reset(Instant::now() + TICK);
                    is_armed = true;
                }
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                is_armed = false;
                if let Some(end) = self.look_up(cx) {
                    return Poll::Ready(end);
                }
            }
        })
        .await
    }

    /// Moves what can be moved. False = nothing can, and whoever could change that will wake us.
    fn both_ways(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.is_overfed() {
            return Err(End::Overfed);
        }
        let has_spoken = self.speak(cx)?;
        let has_heard = self.hear(cx)?;
        Ok(has_spoken || has_heard)
    }

    /// The peer has more unread than one peer may, or more than a little while all have too much.
    fn is_overfed(&self) -> bool {
        let queued = self.line.outbox().queued_bytes();
        queued > self.options.outbox_bytes_max
            || queued > OUTBOX_CHOKE_BYTES && self.door.outgoing_bytes() > self.options.outboxes_bytes_max
    }

    // ------------------------------------------------------------------ in

    /// There is room for what the peer might ask.
    fn may_read(&self) -> bool {
        self.session.has_room()
            && self.leaving.len() < LEAVING_BYTES
            && self.line.outbox().queued_bytes() <= OUTBOX_CHOKE_BYTES
            && self.line.waiting_bytes() <= CONNECTION_INBOX_BYTES
            && self.door.waiting_bytes() <= INBOX_BYTES
            && !self.door.is_deaf()
    }

    fn hear(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.is_stopping || self.session.is_closed() {
            return Ok(false);
        }
        let may_read = self.may_read();
        self.patience.for_reading(!may_read);
        if !may_read {
            return Ok(false);
        }
        if self.is_behind {
            self.understand();
            return Ok(true);
        }
        self.patience.for_frame(!self.arrived.is_empty());
        if self.arrived.len() > READ_BYTES_MAX && self.door.arrived_bytes() > self.options.arrived_bytes_max {
            return Err(End::Crowded);
        }
        // Asked first, so that only a connection with something to say costs a buffer.
        if self.wire.poll_read_ready(cx).is_pending() {
            return Ok(false);
        }
        self.arrived.reserve(self.read_bytes);
        let read = pin!(self.wire.read_buf(&mut self.arrived)).poll(cx);
        match read {
            Poll::Ready(Ok(0) | Err(_)) => Err(End::Gone),
            Poll::Ready(Ok(bytes)) => {
                self.adapt(bytes);
                self.understand();
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// Reads more at a time from a peer that sends more.
    fn adapt(&mut self, bytes: usize) {
        if bytes >= self.read_bytes {
            self.read_bytes = (4 * self.read_bytes).min(READ_BYTES_MAX);
        } else if bytes < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
    }

    /// Looks at all that arrived; its commands go to the driver together.
    fn understand(&mut self) {
        let now_ms = (self.clock)();
        self.is_behind = false;
        while !self.arrived.is_empty() {
            if !self.session.has_room() || self.leaving.len() >= LEAVING_BYTES {
                self.is_behind = true;
                break;
            }
            let Some(verdict) = self.session.read(&mut self.arrived, now_ms) else { break };
            self.patience.frame_came();
            self.take(verdict);
        }
        self.line.arrived(self.arrived.len());
        let is_half = !self.arrived.is_empty() && !self.is_behind;
        self.patience.for_frame(is_half);
        self.patience.for_hello(self.session.awaits_hello());
        if !self.asked.is_empty() {
            self.line.send(self.asked.drain(..));
        } else if self.session.is_open() && self.patience.half_sign_is_due() {
            self.line.sign();
        }
    }

    fn take(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Ask(asked) => self.asked.push(asked),
            Verdict::Answer(id, words) => self.session.write(id, *words, &mut self.leaving),
            Verdict::Refuse(id, error) => {
                self.line.turn_away(session::code_word(&error));
                session::write_error(id, error, &mut self.leaving);
            }
            Verdict::Close(id, error) => {
                tracing::debug!(conn = self.line.conn(), error = error.message, "the conversation is ended");
                self.line.turn_away(session::code_word(&error));
                session::write_error(id, error, &mut self.leaving);
                self.arrived.clear();
            }
        }
    }

    // ------------------------------------------------------------------ out

    fn speak(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut has_moved = false;
        loop {
            // Frames are encoded when those before them are written, so that their weight is given
            // back as the peer reads.
            if self.leaving_weight == 0 && self.session.has_words() {
                self.leaving_weight = self.session.speak((self.clock)(), LEAVING_BYTES, &mut self.leaving);
                self.patience.for_hello(self.session.awaits_hello());
                if self.session.is_welcome() {
                    self.stranger = None;
                }
            }
            if self.leaving.is_empty() {
                // Under TLS, what was written may still wait for the socket to take it.
                match Pin::new(&mut self.wire).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.patience.for_room(false),
                    Poll::Ready(Err(_)) => return Err(End::Gone),
                    Poll::Pending => {
                        self.patience.for_room(true);
                        return Ok(has_moved);
                    }
                }
                self.was_written();
                if self.session.has_words() {
                    continue;
                }
                let is_over = self.is_stopping && self.line.outbox().queued_bytes() == 0;
                return if is_over || self.session.is_closed() { Err(End::Said) } else { Ok(has_moved) };
            }
            match Pin::new(&mut self.wire).poll_write(cx, &self.leaving) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Gone),
                Poll::Ready(Ok(bytes)) => {
                    self.leaving.advance(bytes);
                    self.patience.room_came();
                    has_moved = true;
                }
                Poll::Pending => {
                    self.patience.for_room(true);
                    return Ok(has_moved);
                }
            }
        }
    }

    /// All that was encoded is written.
    fn was_written(&mut self) {
        if self.leaving.capacity() > 2 * LEAVING_BYTES {
            self.leaving = BytesMut::new();
        }
        let weight = std::mem::take(&mut self.leaving_weight);
        if weight > 0 && self.line.outbox().written(weight) {
            self.line.send([session::unchoke()]);
        }
    }

    // ------------------------------------------------------------------ time

    /// Looks at the deadlines, a few times a second while there are any.
    fn look_up(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.session.is_open() && self.patience.deaf_sign_is_due() && !has_hung_up(self.wire.socket(), cx)
        {
            // It is the broker that does not listen; the session must not end for it.
            self.line.sign();
        }
        if !std::mem::take(&mut self.was_busy) {
            self.cool_down();
        }
        self.patience.overdue(&self.options).map(End::Overdue)
    }

    /// Gives the memory of empty buffers back: most connections are idle most of the time.
    fn cool_down(&mut self) {
        self.is_warm = false;
        for buffer in [&mut self.arrived, &mut self.leaving] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }
}

/// The peer has closed its direction, though bytes of it may still be unread.
fn has_hung_up(socket: &TcpStream, cx: &mut Context<'_>) -> bool {
    match pin!(socket.ready(Interest::READABLE)).poll(cx) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

/// Closes our direction and lets the peer read its last frames: were the socket closed with bytes
/// unread, the kernel would answer with a reset, and the peer would lose them.
async fn linger(mut wire: Wire) {
    let until_closed = async {
        let mut ignored = vec![0; READ_BYTES_MIN];
        wire.shutdown().await?;
        while wire.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _either_way_it_is_closed = tokio::time::timeout(LINGER, until_closed).await;
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the peer is gone"),
            Self::Overdue(what) => what.fmt(f),
            Self::Overfed => f.write_str("the peer has too much unread"),
            Self::Crowded => f.write_str("too many large frames are unfinished"),
            Self::Displaced => f.write_str("it said nothing yet, and others want to"),
            Self::Said => f.write_str("all is said"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_peer_that_hung_up_is_known_without_reading_what_it_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        peer.write_all(b"unread").await.unwrap();
        socket.readable().await.unwrap();
        assert!(!poll_fn(|cx| Poll::Ready(has_hung_up(&socket, cx))).await);
        drop(peer);
        while !poll_fn(|cx| Poll::Ready(has_hung_up(&socket, cx))).await {
            tokio::task::yield_now().await;
        }
    }
}
