//! The worker's signs of life, from a thread of their own.
//!
//! A handler that computes for a minute may block the loop that runs it, and with it everything that lives
//! there. So this thread has its own loop and its own connection, which attaches to the worker's session: as
//! long as the process lives, so do its leases. It also moves the visibility timeouts of leases that have
//! one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_proto::v1::beat::Phase;
use windlass_proto::v1::signal::Type as Order;
use windlass_proto::v1::{Beat, Bye, ClientFrame, JobTouch, ServerFrame, Touch};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use crate::connection::{Connection, HELLO_ID};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Identity, Shared};
use crate::millis;
use crate::stats::WorkerStats;

/// The beating thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Beats {
    stop: CancellationToken,
    phase: Arc<AtomicI32>,
}

impl Beats {
    pub(super) fn start(shared: Arc<Shared>, stats: WorkerStats, slots: u32) -> Result<Self> {
        let beats =
            Self { stop: CancellationToken::new(), phase: Arc::new(AtomicI32::new(Phase::Running.into())) };
        let pulse =
            Pulse { identity: shared.identity(), shared, stats, slots, phase: Arc::clone(&beats.phase) };
        let stop = beats.stop.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io)?;
        let run =
            move || runtime.block_on(stop.run_until_cancelled(pulse.beat())).map(|never| match never {});
        std::thread::Builder::new().name("windlass-beat".to_owned()).spawn(run).map_err(Error::io)?;
        Ok(beats)
    }

    /// What the broker and its operators are told from the next beat on.
    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase.into(), Ordering::Relaxed);
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the thread works with.
struct Pulse {
    shared: Arc<Shared>,
    identity: watch::Receiver<Option<Identity>>,
    stats: WorkerStats,
    slots: u32,
    phase: Arc<AtomicI32>,
}

/// A connection that is attached to the session.
struct Attached {
    connection: Connection,
    next_id: u64,
    /// What is unanswered, by the id of the request: when it was sent, and the runs that were touched.
    open: HashMap<u64, (Instant, Vec<JobTouch>)>,
    heard: Instant,
}

impl Pulse {
    async fn beat(mut self) -> Infallible {
        loop {
            let Some(identity) = self.identity.borrow_and_update().clone() else {
                self.next_identity().await;
                continue;
            };
            let end = match self.attach(&identity).await {
                Ok(mut attached) => self.keep_beating(&identity, &mut attached).await,
                Err(error) => Err(error),
            };
            match end {
                // There is another session now.
                Ok(()) => {}
                // Nothing can be done for this session here; the main connection will find a new one.
                Err(error) if matches!(error.kind(), ErrorKind::Refused(_)) && !error.is_retryable() => {
                    tracing::debug!(%error, "the session does not take the beating connection");
                    self.next_identity().await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the beating connection broke");
                    tokio::time::sleep(REATTACH_AFTER).await;
                }
            }
        }
    }

    /// Waits for another session, and for a while at most: the broker may have changed its mind.
    async fn next_identity(&mut self) {
        let changed = tokio::time::timeout(RETRY_REFUSED_AFTER, self.identity.changed()).await;
        if let Ok(Err(_gone)) = changed {
            // The link is gone; the thread is about to be told to stop.
            tokio::time::sleep(RETRY_REFUSED_AFTER).await;
        }
    }

    async fn attach(&self, identity: &Identity) -> Result<Attached> {
        let settings = self.shared.settings();
        let mut hello = settings.hello();
        hello.resume_session = identity.session.clone();
        hello.resume_secret = identity.secret.clone();
        let (mut connection, welcome) =
            Connection::open_within(&identity.broker, hello, settings.tls.as_ref(), identity.ttl).await?;
        if welcome.session != identity.session {
            // A session that nobody asked for; it would look like a worker without jobs.
            let bye = Request::Bye(Bye::default());
            connection.send(&ClientFrame { id: HELLO_ID + 1, request: Some(bye) })?;
            connection.flush().await?;
            return Err(Error::refused_with(crate::proto::Code::NotFound, "the session is unknown"));
        }
        Ok(Attached { connection, next_id: HELLO_ID + 1, open: HashMap::new(), heard: Instant::now() })
    }

    /// Beats until the session changes (`Ok`) or the connection breaks.
    async fn keep_beating(&mut self, identity: &Identity, attached: &mut Attached) -> Result<()> {
        let every = identity.ttl / 3;
        let mut next_beat = Instant::now();
        loop {
            let now = Instant::now();
            let beat = (now >= next_beat).then(|| self.sign());
            if beat.is_some() {
                // The one before was not answered.
                if now.duration_since(attached.heard) > every * 3 / 2 {
                    return Err(Error::unreachable("the broker does not answer beats"));
                }
                next_beat = now + every;
            }
            let (touches, next_touch) = self.shared.extensions();
            attached.touch(beat, touches).await?;
            let wake = next_touch.map_or(next_beat, |touch| touch.min(next_beat));
            tokio::select! {
                () = tokio::time::sleep_until(wake) => {}
                () = self.shared.sooner_extension() => {}
                frame = attached.connection.recv() => self.hear(frame?, attached)?,
                _ = self.identity.changed() => return Ok(()),
            }
        }
    }

    fn sign(&self) -> Beat {
        Beat {
            phase: self.phase.load(Ordering::Relaxed),
            busy: u32::try_from(self.stats.running()).unwrap_or(u32::MAX),
            slots: self.slots,
            rss_bytes: resident_bytes(),
            loop_lag_ms: millis::of(self.shared.lag()),
            ..Beat::default()
        }
    }

    fn hear(&self, frame: Option<ServerFrame>, attached: &mut Attached) -> Result<()> {
        let Some(frame) = frame else {
            return Err(Error::unreachable("the broker closed the beating connection"));
        };
        attached.heard = Instant::now();
        match frame.body {
            Some(Body::Touched(answer)) => {
                let Some((asked, touches)) = attached.open.remove(&frame.id) else { return Ok(()) };
                if let Err(lost) = self.shared.touched(&touches, asked, &answer) {
                    tracing::warn!(%lost, "a visibility timeout could not be moved");
                }
            }
            Some(Body::Signal(signal)) if signal.r#type() == Order::Goaway => {
                return Err(Error::unreachable("the broker asked us to reconnect"));
            }
            Some(Body::Signal(signal)) => self.shared.job_signal(signal),
            Some(Body::Error(refusal)) if frame.id == 0 => return Err(refusal.into()),
            Some(Body::Error(refusal)) => {
                attached.open.remove(&frame.id);
                tracing::warn!(error = %Error::from(refusal), "a beat was refused");
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

impl Attached {
    async fn touch(&mut self, beat: Option<Beat>, jobs: Vec<JobTouch>) -> Result<()> {
        if beat.is_none() && jobs.is_empty() {
            return Ok(());
        }
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id, (Instant::now(), jobs.clone()));
        self.connection.send(&ClientFrame { id, request: Some(Request::Touch(Touch { beat, jobs })) })?;
        self.connection.flush().await
    }
}

/// Memory of this process; 0 where the system does not tell it this way.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// The session lives for seconds without this connection, so there is no hurry, and no crowd either.
const REATTACH_AFTER: Duration = Duration::from_millis(500);
/// A refusal may have been of the moment.
const RETRY_REFUSED_AFTER: Duration = Duration::from_secs(5);
