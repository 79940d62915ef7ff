//! A client inside the process: requests and answers as messages, through the same session and the
//! same door as those of a socket, so that there is no second way into the engine.
//!
//! The gateway talks to the engine with it. One [`Local`] is one connection: its requests are decided
//! in order, and all of them share its window.

mod pool;

pub use pool::Locals;

use crate::door::{Door, Line};
use crate::limits::{CONNECTION_INBOX_BYTES, INBOX_BYTES, LOCAL_PATIENCE, LOCAL_SIGN, LOCAL_STREAM_WORDS};
pub use crate::session::FINGERPRINT;
use crate::session::{Session, Terms, Verdict, code_word, unchoke};
use crate::tokens::Speaker;
use bytes::Bytes;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use windlass_proto::frame::Inbound;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{ClientFrame, Code, Error, Fetch, Hello, Watch};

/// The broker's clock in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Pause before the driver's inbox is looked at again while it is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// One conversation with the engine. Dropping it is the hang-up.
pub struct Local {
    shared: Arc<Shared>,
    /// Id and secret of the session.
    credentials: (Bytes, Bytes),
    _end: DropGuard,
}

/// The answers to a request that has many. Dropping it closes the stream.
pub struct Stream {
    shared: Arc<Shared>,
    id: u64,
    said: mpsc::Receiver<Body>,
    close: fn(u64) -> Request,
}

struct Shared {
    door: Door,
    line: Line,
    clock: Clock,
    frame_bytes_max: usize,
    /// Requests that may be open at once.
    room: Semaphore,
    talk: Mutex<Talk>,
}

struct Talk {
    session: Session,
    last_id: u64,
    open: HashMap<u64, Listener>,
    signals: Option<mpsc::UnboundedSender<Body>>,
}

enum Listener {
    Once(oneshot::Sender<Body>),
    Many(mpsc::Sender<Body>),
    /// It did not keep up, and hears nothing more.
    Overrun,
}

impl Local {
    /// Says Hello for this speaker. `signs` = the session lives until this is dropped; otherwise it lives from request
    /// to request, as that of a silent socket.
    ///
    /// # Errors
    /// What the engine has against the Hello.
    pub async fn open(
        door: &Door,
        terms: Arc<Terms>,
        clock: Clock,
        speaker: Speaker,
        hello: Hello,
        signs: bool,
    ) -> Result<Self, Error> {
        let (most, frame_bytes_max) = (terms.outstanding_max() as usize, terms.frame_bytes_max());
        let session = Session::with(terms, speaker);
        let token_ends = session.token_ends();
        let talk = Talk { session, last_id: 0, open: HashMap::new(), signals: None };
        let shared = Arc::new(Shared {
            door: door.clone(),
            line: door.open(),
            clock,
            frame_bytes_max,
            // The window counts what has no answer yet; one place is left for what closes a stream.
            room: Semaphore::new(most.saturating_sub(1).max(1)),
            talk: Mutex::new(talk),
        });
        let end = CancellationToken::new();
        tokio::spawn(listen(Arc::clone(&shared), end.clone(), token_ends, signs));
        let mut local = Self { shared, credentials: Default::default(), _end: end.drop_guard() };
        let body = local.ask(Request::Hello(hello)).await?;
        let Body::Welcome(welcome) = body else { return Err(unexpected(&body)) };
        tracing::debug!(session = ?welcome.session, "a session of the broker's own began");
        local.credentials = (welcome.session, welcome.secret);
        Ok(local)
    }

    /// Asks and waits for the one answer.
    ///
    /// # Errors
    /// A refusal, `EXHAUSTED` when the broker takes nothing for a while, `INTERNAL` when the
    /// conversation has ended.
    pub async fn ask(&self, request: Request) -> Result<Body, Error> {
        let _place = self.shared.place().await?;
        let (said, answer) = oneshot::channel();
        self.shared.say(request, Listener::Once(said))?;
        match answer.await {
            Ok(Body::Error(error)) => Err(error),
            Ok(body) => Ok(body),
            Err(_ended) => Err(ended()),
        }
    }

    /// Subscribes to events.
    ///
    /// # Errors
    /// As [`Local::ask`]; what is wrong with the Watch itself is the stream's first word.
    pub async fn watch(&self, watch: Watch) -> Result<Stream, Error> {
        let close = |stream| Request::Watch(Watch { stream, close: true, ..Watch::default() });
        self.stream(Request::Watch(watch), close).await
    }

    /// Asks for jobs.
    ///
    /// # Errors
    /// As [`Local::watch`].
    pub async fn fetch(&self, fetch: Fetch) -> Result<Stream, Error> {
        let close = |stream| Request::Fetch(Fetch { stream, close: true, ..Fetch::default() });
        self.stream(Request::Fetch(fetch), close).await
    }

    /// What the broker says unasked: the signals of this session, from now on.
    #[must_use]
    pub fn signals(&self) -> mpsc::UnboundedReceiver<Body> {
        let (heard, signals) = mpsc::unbounded_channel();
        self.shared.talk().signals = Some(heard);
        signals
    }

    /// Id and secret of the session, with which somebody may come back to it.
    #[must_use]
    pub fn credentials(&self) -> (Bytes, Bytes) {
        self.credentials.clone()
    }

    /// The conversation is over; whoever wants to go on opens another.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.talk().session.is_closed()
    }

    async fn stream(&self, request: Request, close: fn(u64) -> Request) -> Result<Stream, Error> {
        let _place = self.shared.place().await?;
        let (heard, said) = mpsc::channel(LOCAL_STREAM_WORDS);
        let id = self.shared.say(request, Listener::Many(heard))?;
        Ok(Stream { shared: Arc::clone(&self.shared), id, said, close })
    }
}

impl Stream {
    /// The next word; `None` when the stream or the conversation has ended, or when more than
    /// [`LOCAL_STREAM_WORDS`] were waiting: whoever does not keep up asks again from where he was.
    pub async fn next(&mut self) -> Option<Body> {
        self.said.recv().await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let is_open = self.shared.talk().open.remove(&self.id).is_some();
        if is_open {
            let (unheard, _) = oneshot::channel();
            let _over_already = self.shared.say((self.close)(self.id), Listener::Once(unheard));
        }
    }
}

impl Shared {
    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room in the window and in the driver's inbox.
    async fn place(&self) -> Result<SemaphorePermit<'_>, Error> {
        let waited = tokio::time::timeout(LOCAL_PATIENCE, self.room.acquire()).await;
        let place = waited.map_err(|_| crowded())?.map_err(|_| ended())?;
        let deadline = Instant::now() + LOCAL_PATIENCE;
        while self.is_full() {
            if Instant::now() >= deadline {
                return Err(crowded());
            }
            tokio::time::sleep(FULL_PAUSE).await;
        }
        Ok(place)
    }

    fn is_full(&self) -> bool {
        self.line.waiting_bytes() > CONNECTION_INBOX_BYTES
            || self.door.waiting_bytes() > INBOX_BYTES
            || self.door.is_deaf()
    }

    /// Hands a request to the session, and what it makes of it to the driver.
    fn say(&self, request: Request, listener: Listener) -> Result<u64, Error> {
        let mut talk = self.talk();
        talk.last_id += 1;
        let id = talk.last_id;
        let inbound = Inbound::of(ClientFrame { id, request: Some(request) }, self.frame_bytes_max);
        match talk.session.receive(inbound, (self.clock)()) {
            Verdict::Ask(asked) => {
                talk.open.insert(id, listener);
                self.line.send([asked]);
                Ok(id)
            }
            Verdict::Answer(_, body) => {
                talk.open.insert(id, listener);
                talk.pass_on(id, *body);
                Ok(id)
            }
            Verdict::Refuse(_, error) | Verdict::Close(_, error) => {
                self.line.turn_away(code_word(&error));
                Err(error)
            }
        }
    }

    /// Hands frames that may leave to whoever asked. False = that was the last of them.
    fn hear(&self, frames: Vec<windlass_engine::Frame>) -> bool {
        let now_ms = (self.clock)();
        let mut weight = 0;
        let mut talk = self.talk();
        talk.session.take(frames);
        while let Some(said) = talk.session.say_one(now_ms) {
            weight += said.weight;
            if let Some((id, body)) = said.words {
                talk.pass_on(id, body);
            }
        }
        let is_over = talk.session.is_closed();
        if is_over {
            talk.open.clear();
        }
        drop(talk);
        if self.line.outbox().written(weight) {
            self.line.send([unchoke()]);
        }
        !is_over
    }
}

impl Talk {
    /// The token is not good any more: nobody hears anything more.
    fn revoke(&mut self) {
        let _nobody_reads_it = self.session.revoke();
        self.open.clear();
    }

    fn pass_on(&mut self, id: u64, body: Body) {
        if id == 0 {
            if let Some(signals) = &self.signals {
                let _nobody_listens = signals.send(body);
            }
            return;
        }
        let is_last = match &body {
            Body::Event(event) => event.end,
            Body::Deliver(deliver) => deliver.end,
            Body::Signal(_) => false,
            Body::Welcome(_)
            | Body::Enqueued(_)
            | Body::Settled(_)
            | Body::Touched(_)
            | Body::Changed(_)
            | Body::Rows(_)
            | Body::Stored(_)
            | Body::Closed(_)
            | Body::Error(_)
            | Body::ClockAdvanced(_) => true,
        };
        match self.open.get(&id) {
            Some(Listener::Many(heard)) => {
                let is_heard = heard.try_send(body).is_ok();
                if is_last {
                    self.open.remove(&id);
                } else if !is_heard {
                    self.open.insert(id, Listener::Overrun);
                }
            }
            Some(Listener::Once(_)) => {
                if let Some(Listener::Once(said)) = self.open.remove(&id) {
                    let _nobody_listens = said.send(body);
                }
            }
            Some(Listener::Overrun) | None => {}
        }
    }
}

/// Passes answers on until the conversation is over or nobody holds it.
async fn listen(
    shared: Arc<Shared>,
    end: CancellationToken,
    token_ends: Option<WaitForCancellationFutureOwned>,
    signs: bool,
) {
    let outbox = Arc::clone(shared.line.outbox());
    let mut sign = tokio::time::interval(LOCAL_SIGN);
    let mut revoked = pin!(async {
        match token_ends {
            Some(ended) => ended.await,
            None => std::future::pending().await,
        }
    });
    loop {
        tokio::select! {
            frames = outbox.frames() => {
                if !shared.hear(frames) {
                    return;
                }
            }
            _ = sign.tick(), if signs => shared.line.sign(),
            () = end.cancelled() => return,
            () = &mut revoked => return shared.talk().revoke(),
        }
    }
}

fn crowded() -> Error {
    Error {
        code: Code::Exhausted.into(),
        message: "the broker has more to do than it can take in; try again in a moment".to_owned(),
        retry_after_ms: 1_000,
        field: String::new(),
    }
}

fn ended() -> Error {
    Error {
        code: Code::Draining.into(),
        message: "the broker has ended this conversation; try again in a moment".to_owned(),
        retry_after_ms: 1_000,
        field: String::new(),
    }
}

/// An answer that does not belong to its request.
pub fn unexpected(body: &Body) -> Error {
    Error {
        code: Code::Internal.into(),
        message: format!("the engine gave an answer of another verb: {body:?}").chars().take(200).collect(),
        ..Error::default()
    }
}
