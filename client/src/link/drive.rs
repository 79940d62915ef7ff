//! The task that owns the socket: it connects, speaks, listens and looks after time, and starts again when
//! the connection breaks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use windlass_proto::v1::Code;

use super::backoff;
use super::shared::Shared;
use super::silence::Silence;
use crate::connection::{Connection, Receiver, Sender};
use crate::error::{Error, ErrorKind, Result};

/// The first connection: tries as long as the settings allow, unless the broker refuses for good.
pub(super) async fn connect_first(shared: &Shared) -> Result<Connection> {
    let until = Instant::now() + shared.settings().connect_timeout;
    for tries in 0.. {
        let error = match connect(shared).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let pause = backoff::pause(tries);
        if !error.is_retryable() || Instant::now() + pause > until {
            return Err(error.context("connecting"));
        }
        tokio::time::sleep(pause).await;
    }
    Err(Error::unreachable("connecting"))
}

/// Runs until the link is closed; dropping the future closes the connection and fails what is open.
pub(super) async fn drive(shared: Arc<Shared>, first: Connection) {
    let _ending = Ending(Arc::clone(&shared));
    let mut next = Some(first);
    let mut tries = 0;
    loop {
        let connection = match next.take() {
            Some(connection) => connection,
            None => connect_again(&shared, &mut tries).await,
        };
        let since = Instant::now();
        let why = converse(connection, &shared).await;
        shared.go_offline(&why);
        if shared.is_parting() {
            return;
        }
        tracing::warn!(%why, "the connection to the broker broke");
        // A broker that welcomes and drops us at once must not be hammered.
        tries = if since.elapsed() > SETTLED { 0 } else { tries.saturating_add(1) };
    }
}

/// Tries until the broker welcomes us, while requests that have waited too long are given up.
async fn connect_again(shared: &Shared, tries: &mut u32) -> Connection {
    tokio::select! {
        connection = keep_trying(shared, tries) => connection,
        never = wait_offline(shared) => match never {},
    }
}

async fn keep_trying(shared: &Shared, tries: &mut u32) -> Connection {
    loop {
        // At once at first: the session does not outlive its last connection for long.
        if let Some(failed) = tries.checked_sub(1) {
            tokio::time::sleep(backoff::pause(failed)).await;
        }
        *tries = tries.saturating_add(1);
        let error = match connect(shared).await {
            Ok(connection) => {
                tracing::info!("connected to the broker again");
                return connection;
            }
            Err(error) => error,
        };
        if error.is_retryable() {
            tracing::debug!(%error, tries, "the broker cannot be reached yet");
        } else {
            // Time does not help against a refusal, so callers learn of it at once.
            tracing::error!(%error, "the broker refuses this client");
            shared.be_refused(&error);
        }
    }
}

async fn wait_offline(shared: &Shared) -> Infallible {
    loop {
        tokio::time::sleep(shared.tick_offline()).await;
    }
}

/// One try: resumes the session if there is one, else begins a new one.
async fn connect(shared: &Shared) -> Result<Connection> {
    let (broker, mut hello) = shared.next_hello();
    let tls = shared.settings().tls.as_ref();
    let resumes = !hello.resume_session.is_empty();
    let mut opened = Connection::open_within(&broker, hello.clone(), tls, OPEN_TIMEOUT).await;
    if let Err(refused) = &opened
        && resumes
        && is_unknown_session(refused)
    {
        tracing::warn!(%refused, "the session could not be resumed; a new one begins");
        hello.resume_session.clear();
        hello.resume_secret.clear();
        hello.running = None;
        opened = Connection::open_within(&broker, hello, tls, OPEN_TIMEOUT).await;
    }
    let (connection, welcome) = opened?;
    shared.come_online(broker, welcome);
    Ok(connection)
}

fn is_unknown_session(error: &Error) -> bool {
    // A refused token is refused for a new session, too.
    matches!(error.kind(), ErrorKind::Refused(Code::Unauthenticated | Code::NotFound))
        && error.field() != "token"
}

/// Uses a connection until it ends; returns why it did.
async fn converse(connection: Connection, shared: &Arc<Shared>) -> Error {
    let (sender, receiver) = connection.split();
    tokio::select! {
        why = speak(sender, shared) => why,
        why = listen(receiver, shared) => why,
        why = tend(shared) => why,
    }
}

async fn speak(mut sender: Sender, shared: &Shared) -> Error {
    loop {
        let bytes = shared.next_bytes().await;
        if let Err(error) = sender.write(&bytes).await {
            return error;
        }
    }
}

async fn listen(mut receiver: Receiver, shared: &Arc<Shared>) -> Error {
    let mut frames = Vec::new();
    loop {
        match receiver.fill().await {
            Ok(0) => return Error::unreachable("the broker closed the connection"),
            Ok(_) => {}
            Err(error) => return error,
        }
        // Decoded before the lock is taken, so that callers do not wait for it.
        let broken = loop {
            match receiver.try_recv() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        match shared.hear(&mut frames) {
            Ok(true) => return Error::unreachable("the broker asked us to reconnect"),
            Ok(false) => {}
            Err(error) => return error,
        }
        if let Some(error) = broken {
            return error;
        }
    }
}

async fn tend(shared: &Shared) -> Error {
    let mut silence = Silence::new(Instant::now());
    loop {
        match shared.tick(&mut silence) {
            Ok(next) => tokio::time::sleep(next).await,
            Err(error) => return error,
        }
    }
}

/// However the task ends, nobody waits for ever.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// How long one try to connect may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that has lived this long was a good one.
const SETTLED: Duration = Duration::from_secs(1);
