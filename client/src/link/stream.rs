//! Streams of jobs: opened once by a worker, opened again after every cut.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use windlass_proto::v1::signal::Type as Order;
use windlass_proto::v1::{Deliver, Fetch, Work, client_frame::Request};

use super::leases::Extend;
use super::request::Rules;
use super::state::State;
use crate::error::{Error, Result};
use crate::lease::Held;

/// A stream as this side sees it.
#[derive(Debug)]
pub(super) struct Stream {
    /// What the worker knows it by.
    name: StreamName,
    /// Id of the Fetch that opened it last; a new one at each opening, so that ids keep rising.
    id: u64,
    fetch: Fetch,
    to: mpsc::UnboundedSender<Incoming>,
    /// It is not to be opened, for now or for ever.
    rests: bool,
    /// The broker has ended it, or did not take it; it is opened again then.
    reopen_at: Option<Instant>,
}

/// Names a stream as long as the link lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamName(u64);

/// What comes out of a stream. The broker bounds it: it never delivers more than the slots allow.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A job to run.
    Work(Box<Work>, Arc<Held>),
    /// The broker does not take the stream, and never will.
    Refused(Error),
    /// A word to the worker as a whole.
    Order(Order),
}

impl State {
    /// Opens a stream, now or as soon as there is a connection.
    pub(super) fn open_stream(
        &mut self,
        fetch: Fetch,
    ) -> Result<(StreamName, mpsc::UnboundedReceiver<Incoming>)> {
        let id = self.take_id();
        let (to, from) = mpsc::unbounded_channel();
        if self.is_online() {
            self.push_once(id, Request::Fetch(fetch.clone()))?;
        }
        let name = StreamName(id);
        self.streams.push(Stream { name, id, fetch, to, rests: false, reopen_at: None });
        Ok((name, from))
    }

    /// Opens all streams on a new connection.
    pub(super) fn open_streams(&mut self, now: Instant) {
        for stream in &mut self.streams {
            stream.reopen_at = Some(now);
        }
        self.reopen_streams(now);
    }

    /// Opens the streams that are due.
    pub(super) fn reopen_streams(&mut self, now: Instant) {
        if !self.is_online() {
            return;
        }
        for at in 0..self.streams.len() {
            let stream = &self.streams[at];
            if stream.rests || stream.reopen_at.is_none_or(|due| due > now) {
                continue;
            }
            let fetch = stream.fetch.clone();
            let id = self.take_id();
            // It was encoded once, when it was opened, so it fits into a frame.
            if self.push_once(id, Request::Fetch(fetch)).is_ok() {
                self.streams[at].id = id;
                self.streams[at].reopen_at = None;
            }
        }
    }

    /// Lets the stream rest: it is not opened any more. Returns the request that closes it, unless the broker
    /// does not have it open.
    pub(super) fn close_stream(&mut self, name: StreamName, now: Instant) -> Option<Fetch> {
        let is_online = self.is_online();
        let stream = self.streams.iter_mut().find(|stream| stream.name == name)?;
        stream.rests = true;
        let was_open = stream.reopen_at.replace(now).is_none();
        (is_online && was_open).then(|| Fetch { stream: stream.id, close: true, ..Fetch::default() })
    }

    /// The stream is over on this side: what still comes for it is given back.
    pub(super) fn drop_stream(&mut self, name: StreamName) {
        self.streams.retain(|stream| stream.name != name);
    }

    /// Lets no more jobs come, or lets them come again. What runs goes on.
    pub(super) fn set_quiet(&mut self, name: StreamName, quiet: bool, now: Instant) {
        if quiet {
            let closing = self.close_stream(name, now);
            // Its answer says nothing new, and a cut closes the stream just as well.
            if let Some(fetch) = closing
                && let Ok((id, open)) = self.push(Request::Fetch(fetch), Rules::HERE, now)
            {
                self.open.insert(id, open);
            }
        } else if let Some(stream) = self.streams.iter_mut().find(|stream| stream.name == name) {
            stream.rests = false;
            self.reopen_streams(now);
        }
    }

    pub(super) fn has_stream(&self, id: u64) -> bool {
        self.streams.iter().any(|stream| stream.id == id)
    }

    /// Jobs have come for a stream. Those that nobody takes are given back.
    pub(super) fn deliver(&mut self, id: u64, deliver: Deliver, now: Instant) -> Result<()> {
        for work in deliver.jobs {
            let held = self.leases.add(&work, Extend::ByUs, now)?;
            let stream = self.streams.iter().find(|stream| stream.id == id);
            let taken = stream.is_some_and(|stream| {
                stream.to.send(Incoming::Work(Box::new(work), Arc::clone(&held))).is_ok()
            });
            if !taken {
                self.release(&held, "nobody waits for it any more");
            }
        }
        if deliver.end
            && let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id)
        {
            stream.reopen_at = Some(now + REOPEN_AFTER);
        }
        Ok(())
    }

    /// The broker did not open the stream.
    pub(super) fn refuse_stream(&mut self, id: u64, error: Error, now: Instant) {
        let Some(at) = self.streams.iter().position(|stream| stream.id == id) else {
            return;
        };
        if error.is_retryable() {
            self.streams[at].reopen_at = Some(now + error.retry_after().unwrap_or(REOPEN_AFTER));
            return;
        }
        // A receiver that is gone needs no error.
        let _gone = self.streams.swap_remove(at).to.send(Incoming::Refused(error));
    }

    /// Passes a word of the broker to every worker.
    pub(super) fn order(&self, order: Order) {
        for stream in &self.streams {
            let _gone = stream.to.send(Incoming::Order(order));
        }
    }
}

const REOPEN_AFTER: Duration = Duration::from_secs(1);
