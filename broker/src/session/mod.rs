//! One client from Hello to goodbye: what its frames mean, and how the engine's answers are said.
//!
//! It is separate because it is the only floor that knows both languages, the wire's and the engine's.
//! It does no IO: bytes, frames and the time are arguments, so every pair of state and frame can be
//! tested as a value.
//!
//! ```text
//!              Hello               Welcome             Cut
//! greeting ───────────► opening ────────────► open ───────────► closed
//!     ▲                   │  │                 │                  ▲
//!     └─ no such session ─┘  └─ refused ───────┴─ broken frame ───┘
//! ```
//!
//! Requests may follow Hello at once; they are read when it is decided. Only the words before a Hello
//! are refused here.

mod confine;
mod cursor;
mod filter;
mod form;
mod hello;
mod inbound;
mod outbound;
mod passive;
mod rights;
mod stranger;
#[cfg(test)]
mod tests;
mod tokens;
mod window;
mod words;

pub use confine::FINGERPRINT;

use crate::door;
use crate::limits::{JOB_QUERY_BYTES, OUTSTANDING_MAX};
use crate::tokens::{Speaker, Tokens};
use bytes::BytesMut;
use inbound::Rules;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use tokio_util::codec::Decoder;
use windlass_engine::command::{self, Refusal};
use windlass_engine::frame::{Body, Welcome};
use windlass_engine::{Command, Frame};
use windlass_proto::frame::{BrokerCodec, FrameError, Inbound};
use windlass_proto::limits::{
    FRAME_BYTES_DEFAULT, FRAME_BYTES_MAX, HELLO_BYTES_MAX, PAYLOAD_BYTES_DEFAULT, PAYLOAD_BYTES_MAX,
    STRANGER_BYTES_MAX,
};
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body as Words;
use windlass_proto::v1::{self, ClientFrame, Closed, Code, Error};
use window::{Open, Window};

/// When a client for which there was no place may try again.
const NO_PLACE_RETRY_MS: u64 = 1_000;

/// The feature of a broker that has a test clock.
const TEST_CLOCK: &str = "test_clock";

/// What the broker grants to every client.
#[derive(Clone)]
pub struct Terms {
    frame_bytes_max: usize,
    payload_bytes_max: usize,
    outstanding_max: u32,
    secret_key: [u8; 32],
    /// What this broker can do beyond version 1 of the protocol.
    features: Vec<&'static str>,
    /// Who may speak; None = anybody.
    tokens: Option<Arc<Tokens>>,
}

/// A command for the driver: its request, what is asked, and the memory it takes.
pub type Asked = (u64, Command, usize);

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// The engine decides it.
    Ask(Asked),
    /// It is answered at once, from what this floor knows by itself.
    Answer(u64, Box<Words>),
    /// It is refused at once, under its id. That says nothing about stored state, so it waits for no
    /// batch.
    Refuse(u64, Error),
    /// The client breaks the protocol: this is the last that it hears.
    Close(u64, Error),
}

/// The code of a refusal, as it is counted.
#[must_use]
pub fn code_word(error: &Error) -> &'static str {
    let name = error.code().as_str_name();
    name.strip_prefix("CODE_").unwrap_or(name)
}

/// One frame of the engine as the client hears it.
pub struct Said {
    /// The id of the request and the message. None = the conversation ended with it.
    pub words: Option<(u64, Words)>,
    /// The frame's weight in the outbox.
    pub weight: usize,
}

/// The client's end of a conversation with the engine.
pub struct Session {
    terms: Arc<Terms>,
    state: State,
    codec: BrokerCodec,
    window: Window,
    /// Who speaks: known from the start, or from Hello on.
    speaker: Speaker,
    /// It has to say who it is in Hello.
    is_asked: bool,
    /// The address that it speaks from.
    peer: Option<IpAddr>,
    /// The namespace, of somebody with a token.
    namespace: String,
    /// Durable, and on the way to the client.
    released: VecDeque<Frame>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said yet.
    Greeting,
    /// The Hello of this id is with the engine.
    Opening(u64),
    /// The client was welcomed.
    Open,
    /// Nothing more is said or heard.
    Closed,
}

impl Terms {
    /// The terms of a broker with this key for the secrets of its sessions.
    #[must_use]
    pub fn new(secret_key: [u8; 32]) -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_DEFAULT,
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
            outstanding_max: OUTSTANDING_MAX,
            secret_key,
            features: Vec::new(),
            tokens: None,
        }
    }

    /// Tells clients that the clock is theirs to advance.
    #[must_use]
    pub fn with_test_clock(mut self) -> Self {
        self.features.push(TEST_CLOCK);
        self
    }

    /// Asks everybody for a token.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Option<Arc<Tokens>>) -> Self {
        self.tokens = tokens;
        self
    }

    /// Who may speak; None = anybody.
    #[must_use]
    pub fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.tokens.as_ref()
    }

    /// Most open requests of one connection.
    #[must_use]
    pub fn outstanding_max(&self) -> u32 {
        self.outstanding_max
    }

    /// Longest request, in bytes.
    #[must_use]
    pub fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    /// Bounds frames and payloads. A payload must fit into a frame with what goes with it, so either
    /// bound may come out tighter than asked for.
    #[must_use]
    pub fn with_bytes_max(mut self, frame: usize, payload: usize) -> Self {
        let beside = FRAME_BYTES_MAX - PAYLOAD_BYTES_MAX;
        self.frame_bytes_max = frame.clamp(HELLO_BYTES_MAX + beside, FRAME_BYTES_MAX);
        self.payload_bytes_max = payload.min(self.frame_bytes_max - beside);
        self
    }

    /// Bounds the open requests of one connection.
    #[must_use]
    pub fn with_outstanding_max(mut self, most: u32) -> Self {
        self.outstanding_max = most.max(1);
        self
    }
}

impl Session {
    /// A conversation that has not begun, with somebody at this address.
    #[must_use]
    pub fn new(terms: Arc<Terms>, peer: Option<IpAddr>) -> Self {
        Self { peer, ..Self::with(terms, Speaker::Unknown) }
    }

    /// A conversation that has not begun, with somebody who is known already.
    #[must_use]
    pub fn with(terms: Arc<Terms>, speaker: Speaker) -> Self {
        Self {
            is_asked: matches!(speaker, Speaker::Unknown),
            speaker,
            peer: None,
            namespace: String::new(),
            state: State::Greeting,
            codec: BrokerCodec::new(STRANGER_BYTES_MAX),
            window: Window::new(terms.outstanding_max),
            released: VecDeque::new(),
            terms,
        }
    }

    /// The client has yet to say Hello.
    #[must_use]
    pub fn awaits_hello(&self) -> bool {
        self.state == State::Greeting
    }

    /// The client was welcomed.
    #[must_use]
    pub fn is_welcome(&self) -> bool {
        self.state == State::Open
    }

    /// The engine knows the client, or is about to: its silence is watched.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            State::Opening(_) | State::Open => true,
            State::Greeting | State::Closed => false,
        }
    }

    /// One more request may come; without room the broker does not read on. While a Hello is decided
    /// there is none: how large the next frame may be, and whether it may come at all, depends on it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match self.state {
            State::Greeting | State::Open => self.window.has_room(),
            State::Opening(_) | State::Closed => false,
        }
    }

    /// Nothing more is said; what was said before may still be on its way.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Takes the next request off the bytes that arrived. None = it is not whole yet.
    pub fn read(&mut self, arrived: &mut BytesMut, now_ms: u64) -> Option<Verdict> {
        if self.awaits_hello() {
            match stranger::look(arrived, &self.terms) {
                stranger::Beginning::Unclear => return None,
                stranger::Beginning::Unproven => return Some(self.close(0, hello::unproven())),
                stranger::Beginning::AtMost(bytes) => self.codec.set_limit(bytes),
            }
        }
        match self.codec.decode(arrived) {
            Ok(inbound) => inbound.map(|inbound| self.receive(inbound, now_ms)),
            Err(fault) => Some(self.broken(&fault)),
        }
    }

    /// Decides what becomes of a request.
    pub fn receive(&mut self, inbound: Inbound, now_ms: u64) -> Verdict {
        let id = match &inbound {
            Inbound::Request { frame, .. } => frame.id,
            Inbound::Refused(refusal) => refusal.id,
        };
        if id == 0 {
            return self.close(0, invalid("the id of a request is not 0"));
        }
        if self.window.holds(id) {
            return self.close(0, invalid("the id belongs to a request that is not answered yet"));
        }
        match inbound {
            Inbound::Refused(refusal) => {
                let fault = Error {
                    code: refusal.code.into(),
                    message: refusal.message,
                    retry_after_ms: 0,
                    field: refusal.field,
                };
                if self.awaits_hello() { self.close(id, fault) } else { Verdict::Refuse(id, fault) }
            }
            Inbound::Request { frame: ClientFrame { id, request }, bytes } => match self.state {
                State::Greeting => self.greet(id, request, bytes, now_ms),
                State::Opening(_) | State::Open => self.ask(id, request, bytes, now_ms),
                State::Closed => self.close(id, invalid("the conversation is over")),
            },
        }
    }

    fn greet(&mut self, id: u64, request: Option<Request>, bytes: usize, now_ms: u64) -> Verdict {
        let Some(Request::Hello(hello)) = request else {
            let message = "the first request of a connection is Hello".to_owned();
            return self.close(id, outbound::plain(Code::Unauthenticated, message));
        };
        if self.is_asked
            && let Err(fault) = self.identify(&hello.token, now_ms)
        {
            return self.close(id, fault);
        }
        match hello::hello(hello, &self.terms, self.speaker.grant()) {
            Ok(hello) => {
                if self.speaker.grant().is_some() {
                    self.namespace.clone_from(&hello.namespace);
                }
                self.state = State::Opening(id);
                self.window.open(id, Open::default());
                Verdict::Ask((id, Command::Hello(Box::new(hello)), bytes))
            }
            // Who has lost the secret may still begin anew.
            Err(fault) if fault.code() == Code::Unauthenticated => Verdict::Refuse(id, fault),
            Err(fault) => self.close(id, fault),
        }
    }

    fn ask(&mut self, id: u64, request: Option<Request>, bytes: usize, now_ms: u64) -> Verdict {
        let rules = Rules { payload_bytes_max: self.terms.payload_bytes_max, now_ms };
        let translated = match (request, self.speaker.grant()) {
            (Some(request), None) => inbound::command(request, rules),
            (Some(_), Some(grant)) if grant.is_over() => return self.close(0, tokens::gone()),
            (Some(request), Some(grant)) => match self.known_here(grant, &request) {
                Ok(Some(words)) => return Verdict::Answer(id, Box::new(words)),
                Ok(None) => tokens::allowed(grant, request, rules),
                Err(fault) => Err(fault),
            },
            (None, _) => Err(form::unsupported("")),
        };
        match translated {
            Ok((command, open)) => {
                self.window.open(id, open);
                let bytes = if shows_bodies(&command) { bytes.max(JOB_QUERY_BYTES) } else { bytes };
                Verdict::Ask((id, command, bytes))
            }
            Err(fault) => Verdict::Refuse(id, outbound::error(fault)),
        }
    }

    fn broken(&mut self, fault: &FrameError) -> Verdict {
        let (id, code) = match fault {
            FrameError::TooLong { .. } => (0, Code::TooLarge),
            // The id of an open request would make this the answer to that one.
            FrameError::Undecodable { id, .. } if !self.window.holds(*id) => (*id, Code::Invalid),
            FrameError::Undecodable { .. } | FrameError::CutShort | FrameError::Io(_) => (0, Code::Invalid),
        };
        self.close(id, outbound::plain(code, fault.to_string()))
    }

    fn close(&mut self, id: u64, fault: Error) -> Verdict {
        self.end();
        Verdict::Close(id, fault)
    }

    /// What is wrong with the form of a request, said by nobody in particular.
    ///
    /// # Errors
    /// As the request would be refused before the engine is asked.
    pub fn check(terms: &Arc<Terms>, speaker: Speaker, inbound: Inbound, now_ms: u64) -> Result<(), Error> {
        let mut session = Self::with(Arc::clone(terms), speaker);
        session.state = State::Open;
        match session.receive(inbound, now_ms) {
            Verdict::Ask(_) | Verdict::Answer(..) => Ok(()),
            Verdict::Refuse(_, error) | Verdict::Close(_, error) => Err(error),
        }
    }

    /// Takes frames that may leave.
    pub fn take(&mut self, frames: Vec<Frame>) {
        if self.is_closed() {
            return;
        }
        if self.released.is_empty() {
            self.released = frames.into();
        } else {
            self.released.extend(frames);
        }
    }

    /// Frames are waiting to be said.
    #[must_use]
    pub fn has_words(&self) -> bool {
        !self.released.is_empty()
    }

    /// Says what waits, until about `bytes` of it stand in `dst`. Returns the weight of the frames
    /// that were said.
    pub fn speak(&mut self, now_ms: u64, bytes: usize, dst: &mut BytesMut) -> usize {
        let mut weight = 0;
        while dst.len() < bytes
            && let Some(said) = self.say_one(now_ms)
        {
            weight += said.weight;
            if let Some((id, words)) = said.words {
                outbound::write(id, words, self.terms.frame_bytes_max, dst);
            }
        }
        weight
    }

    /// Writes the answer of a [`Verdict`] that does not ask the engine.
    pub fn write(&self, id: u64, words: Words, dst: &mut BytesMut) {
        outbound::write(id, words, self.terms.frame_bytes_max, dst);
    }

    /// Says one of the frames that wait, as a message.
    pub fn say_one(&mut self, now_ms: u64) -> Option<Said> {
        let frame = self.released.pop_front()?;
        let weight = door::weight(&frame);
        Some(Said { words: self.words(frame, now_ms), weight })
    }

    /// None = the frame is the end of the conversation.
    fn words(&mut self, frame: Frame, now_ms: u64) -> Option<(u64, Words)> {
        let Frame { to, last, body } = frame;
        let open = if last { self.window.close(to.id) } else { Open::default() };
        let words = match body {
            Body::Cut => {
                self.end();
                return None;
            }
            Body::Welcome(welcome) => Words::Welcome(self.welcome(*welcome)),
            Body::Error(refusal) if self.state == State::Opening(to.id) => {
                Words::Error(self.unwelcome(refusal))
            }
            Body::Error(refusal) => Words::Error(outbound::error(refusal)),
            Body::Enqueued(ones) => Words::Enqueued(outbound::enqueued(ones)),
            Body::Deliver { works, end } => Words::Deliver(outbound::deliver(works, end, now_ms)),
            Body::Settled(ones) => Words::Settled(outbound::settled(&ones, open.faults)),
            Body::Touched(ones) => Words::Touched(outbound::touched(&ones)),
            Body::Changed { matched, changed, sample, operation } => {
                Words::Changed(outbound::changed(matched, changed, &sample, operation))
            }
            Body::Rows(rows) => Words::Rows(self.shown(outbound::rows(*rows))),
            Body::Stored(ones) => Words::Stored(outbound::stored(ones)),
            Body::Event { event, data, lagged } => {
                Words::Event(outbound::event(event.as_deref(), data, lagged))
            }
            Body::Closed => Words::Closed(Closed {}),
            Body::ClockAdvanced { now } => Words::ClockAdvanced(v1::ClockAdvanced { at_ms: now }),
            Body::Signal(signal) => Words::Signal(outbound::signal(signal)),
        };
        Some((to.id, words))
    }

    fn welcome(&mut self, welcome: Welcome) -> v1::Welcome {
        self.state = State::Open;
        self.codec.set_limit(self.terms.frame_bytes_max);
        hello::welcome(welcome, &self.terms)
    }

    /// A Hello was refused by the engine. If only the session to attach to is gone, the client may say
    /// Hello again; anything else ends the connection.
    fn unwelcome(&mut self, refusal: Refusal) -> Error {
        if refusal.code == command::Code::NotFound {
            self.state = State::Greeting;
        } else {
            self.end();
        }
        outbound::error(refusal)
    }

    fn end(&mut self) {
        self.state = State::Closed;
        self.released.clear();
    }
}

/// Writes a refusal that does not come from the engine.
pub fn write_error(id: u64, error: Error, dst: &mut BytesMut) {
    outbound::write(id, Words::Error(error), FRAME_BYTES_MAX, dst);
}

/// What a connection hears for which there is no place.
#[must_use]
pub fn no_place() -> Error {
    let error = outbound::plain(Code::Exhausted, "the broker has no place for another connection".to_owned());
    Error { retry_after_ms: NO_PLACE_RETRY_MS, ..error }
}

/// The peer has read enough: its streams get jobs again.
#[must_use]
pub fn unchoke() -> Asked {
    (0, Command::Unchoke, 0)
}

/// The answer may be as long as payloads and results are.
fn shows_bodies(command: &Command) -> bool {
    let Command::Query(query) = command else { return false };
    match query {
        command::Query::Job(_) | command::Query::Logs { .. } | command::Query::Export { .. } => true,
        command::Query::Jobs(query) => query.fields != command::Fields::NONE,
        command::Query::Queues { .. }
        | command::Query::Kinds { .. }
        | command::Query::Scale { .. }
        | command::Query::Series(_)
        | command::Query::Sessions { .. }
        | command::Query::Errors { .. }
        | command::Query::Config { .. }
        | command::Query::Operations { .. }
        | command::Query::Limits { .. }
        | command::Query::Audit { .. }
        | command::Query::Schedules { .. }
        | command::Query::Explain(_)
        | command::Query::Server => false,
    }
}

fn invalid(message: &str) -> Error {
    outbound::plain(Code::Invalid, message.to_owned())
}
