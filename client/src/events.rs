//! Events: a Watch on a connection of its own, so that who reads slowly slows nobody else. After a cut it
//! goes on where it was.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};
use windlass_proto::v1::{Beat, ClientFrame, Event, Selector, ServerFrame, Touch, Watch};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use crate::connection::{Connection, HELLO_ID};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Settings, pause};

/// What happens at the broker, event by event; made by [`Admin::watch`](crate::Admin::watch).
///
/// The connection stays alive as long as somebody asks for the next event every few minutes.
#[derive(Debug)]
#[must_use = "events come when they are asked for"]
pub struct Events {
    settings: Settings,
    watch: Watch,
    connection: Option<Connection>,
    next_id: u64,
    /// The broker has said something then.
    heard: Instant,
    at_end: bool,
}

impl Events {
    pub(crate) async fn open(settings: Settings, watch: Watch) -> Result<Self> {
        let heard = Instant::now();
        let mut events =
            Self { settings, watch, connection: None, next_id: HELLO_ID + 1, heard, at_end: false };
        events.connect().await?;
        Ok(events)
    }

    /// The next event; `None` when the watch is at its end, which only one with `until_finished` has.
    /// Safe to cancel.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if the broker does not take the watch;
    /// [`ErrorKind::Unreachable`] if it cannot be reached for as long as the client gives up after.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        while !self.at_end {
            let Some(frame) = self.hear().await? else { continue };
            match frame.body {
                Some(Body::Event(event)) if event.end => self.at_end = true,
                Some(Body::Event(event)) => {
                    self.note(&event);
                    return Ok(Some(event));
                }
                Some(Body::Error(refusal)) => return Err(refusal.into()),
                // The answer to a beat, or a word to workers.
                Some(_) | None => {}
            }
        }
        Ok(None)
    }

    /// What has to be asked for after a cut.
    fn note(&mut self, event: &Event) {
        if !self.watch.until_finished {
            self.watch.from_seq = event.seq + 1;
        } else if let Some(select) = self.watch.select.as_mut().filter(|_| is_end(event)) {
            select.ids.retain(|id| *id != event.job);
        }
    }

    /// The next frame; `None` if the connection had to be made anew, or only time has passed.
    async fn hear(&mut self) -> Result<Option<ServerFrame>> {
        let Some(connection) = &mut self.connection else {
            self.connect().await?;
            return Ok(None);
        };
        match timeout(BEAT, connection.recv()).await {
            Ok(Ok(Some(frame))) => {
                self.heard = Instant::now();
                Ok(Some(frame))
            }
            Ok(Ok(None) | Err(_)) => {
                self.connection = None;
                Ok(None)
            }
            Err(_) => {
                let is_dead = self.heard.elapsed() > 3 * BEAT;
                if is_dead || self.beat().await.is_err() {
                    self.connection = None;
                }
                Ok(None)
            }
        }
    }

    async fn beat(&mut self) -> Result<()> {
        let touch = Touch { beat: Some(Beat::default()), jobs: Vec::new() };
        self.say(Request::Touch(touch)).await
    }

    async fn say(&mut self, request: Request) -> Result<()> {
        let Some(connection) = &mut self.connection else { return Err(Error::closed()) };
        connection.send(&ClientFrame { id: self.next_id, request: Some(request) })?;
        self.next_id += 1;
        connection.flush().await
    }

    async fn connect(&mut self) -> Result<()> {
        if self.watch.until_finished && self.watch.select.as_ref().is_none_or(|select| select.ids.is_empty())
        {
            self.at_end = true;
            return Ok(());
        }
        let until = Instant::now() + self.settings.give_up_after;
        let mut tries = 0;
        loop {
            let Settings { host_port, tls, .. } = &self.settings;
            let opened = Connection::open_within(host_port, self.settings.hello(), tls.as_ref(), BEAT).await;
            let error = match opened {
                Ok((connection, _)) => {
                    self.connection = Some(connection);
                    self.next_id = HELLO_ID + 1;
                    self.heard = Instant::now();
                    match self.say(Request::Watch(self.watch.clone())).await {
                        Ok(()) => return Ok(()),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let slept = timeout_at(until, tokio::time::sleep(pause(tries))).await;
            if !error.is_retryable() || slept.is_err() {
                return Err(error);
            }
            tries += 1;
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Its id.
    pub id: crate::JobId,
    /// How: a final state; `Unspecified` if it is not kept any more and nobody knows.
    pub state: crate::proto::State,
    /// What its handler returned, if it completed and the result is kept.
    pub result: Bytes,
}

impl Ended {
    /// Whether it completed.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.state == crate::proto::State::Completed
    }

    /// The result as a value.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is no such JSON, or there is none.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.result).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("the result is not of this type: {error}"))
        })
    }
}

/// The watch that waits for the end of jobs, with their results.
pub(crate) fn until_ended(ids: Vec<Bytes>) -> Watch {
    let select = Some(Selector { ids, ..Selector::default() });
    Watch { select, until_finished: true, with_result: true, ..Watch::default() }
}

/// An event that tells how a job ended.
pub(crate) fn is_end(event: &Event) -> bool {
    use crate::proto::State;
    matches!(event.state(), State::Completed | State::Dead | State::Cancelled | State::Expired)
        || event.name == "job.removed"
}

/// How often a sign of life is sent while nothing comes.
const BEAT: Duration = Duration::from_secs(5);
