//! A producer: one connection that keeps as many requests unanswered as it may.

use super::credit::Credit;
use super::payload::Payloads;
use super::tally::Tally;
use super::{NAME, Problem};
use std::rc::Rc;
use std::time::Duration;
use windlass_client::proto::{ClientFrame, Code, Enqueue, Hello, JobSpec, Policy, ServerFrame};
use windlass_client::proto::{client_frame::Request, server_frame::Body};
use windlass_client::{Connection, Receiver, Sender};

/// Bytes that are written before more frames are made.
const WRITE_BYTES: usize = 64 * 1024;
/// Pause after a refusal that does not name one.
const PAUSE: Duration = Duration::from_millis(10);

/// What a producer does.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Requests unanswered at a time.
    pub(super) in_flight: u32,
    /// Jobs of a request.
    pub(super) batch: u32,
    /// Bytes of a payload.
    pub(super) payload: u32,
    /// The jobs' own `keep_done_ms`.
    pub(super) keep_done_ms: Option<u64>,
    /// Record the time from request to answer.
    pub(super) is_timed: bool,
}

/// One connection and its open requests.
#[derive(Debug)]
pub(super) struct Producer {
    sender: Sender,
    receiver: Receiver,
    request: Reused,
    /// Open requests, by their id modulo the length: when they were sent, and how many jobs they hold.
    open: Vec<Option<(u64, u64)>>,
    is_timed: bool,
    unanswered: u32,
    pause: Option<Duration>,
    tally: Rc<Tally>,
    credit: Rc<Credit>,
}

impl Producer {
    /// Connects.
    pub(super) async fn open(
        addr: &str,
        load: &Load,
        tally: Rc<Tally>,
        credit: Rc<Credit>,
    ) -> Result<Self, Problem> {
        let (connection, welcome) = Connection::open(addr, hello()).await?;
        let (sender, receiver) = connection.split();
        let in_flight = load.in_flight.min(welcome.max_outstanding.max(1));
        Ok(Self {
            sender,
            receiver,
            request: Reused::new(load),
            open: vec![None; in_flight as usize],
            is_timed: load.is_timed,
            unanswered: 0,
            pause: None,
            tally,
            credit,
        })
    }

    /// Sends as long as there is credit; ends when there will be none and all is answered.
    pub(super) async fn run(mut self) -> Result<(), Problem> {
        loop {
            self.fill().await?;
            if self.unanswered == 0 {
                if self.credit.is_over() {
                    return Ok(());
                }
                self.credit.more().await;
                continue;
            }
            let frame = tokio::select! {
                biased;
                frame = self.receiver.recv() => frame?,
                () = self.credit.more() => continue,
            };
            self.hear(frame)?;
            while let Some(frame) = self.receiver.try_recv()? {
                self.hear(Some(frame))?;
            }
            if let Some(pause) = self.pause.take() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Sends what window and credit allow.
    async fn fill(&mut self) -> Result<(), Problem> {
        let now = self.tally.now();
        let slots = self.open.len() as u64;
        loop {
            // An id is never used twice, so the slot of a straggler stops the line until it is answered.
            let slot = usize::try_from(self.request.next_id() % slots).unwrap_or(0);
            if self.open[slot].is_some() {
                break;
            }
            let jobs = self.credit.take(self.request.batch());
            if jobs == 0 {
                break;
            }
            self.sender.send(self.request.with(jobs, now))?;
            self.open[slot] = Some((now, jobs));
            self.unanswered += 1;
            if self.sender.queued() >= WRITE_BYTES {
                self.sender.flush().await?;
            }
        }
        Ok(self.sender.flush().await?)
    }

    fn hear(&mut self, frame: Option<ServerFrame>) -> Result<(), Problem> {
        let Some(ServerFrame { id, body }) = frame else { return Err(cut()) };
        let slot = usize::try_from(id % self.open.len() as u64).unwrap_or(0);
        match body {
            Some(Body::Enqueued(_)) => {
                let Some((sent, jobs)) = self.open[slot].take() else { return Err(unasked()) };
                self.unanswered -= 1;
                if self.is_timed {
                    self.tally.add_done(jobs);
                    self.tally.record(sent, self.tally.now(), jobs);
                }
            }
            Some(Body::Error(error)) if id != 0 && is_busy(error.code) => {
                let Some((_, jobs)) = self.open[slot].take() else { return Err(unasked()) };
                self.unanswered -= 1;
                self.credit.give(jobs);
                self.tally.add_refused();
                let asked = Duration::from_millis(error.retry_after_ms);
                self.pause = Some(asked.max(PAUSE));
            }
            Some(Body::Error(error)) => return Err(refusal(error)),
            Some(Body::Signal(_)) => {}
            other => return Err(Problem::Own(format!("an unexpected answer to Enqueue: {other:?}"))),
        }
        Ok(())
    }
}

/// A request that is made once and sent many times, with other ids and payloads each time.
#[derive(Debug)]
pub(super) struct Reused {
    frame: ClientFrame,
    specs: Vec<JobSpec>,
    payloads: Payloads,
    batch: u64,
}

impl Reused {
    /// The first request of a connection after Hello.
    pub(super) fn new(load: &Load) -> Self {
        let policy = load.keep_done_ms.map(|keep| Policy { keep_done_ms: Some(keep), ..Policy::default() });
        let spec = JobSpec { queue: NAME.into(), kind: NAME.into(), policy, ..JobSpec::default() };
        let enqueue = Enqueue { jobs: vec![spec; load.batch as usize], ..Enqueue::default() };
        Self {
            frame: ClientFrame { id: 1, request: Some(Request::Enqueue(enqueue)) },
            specs: Vec::new(),
            payloads: Payloads::new(load.payload as usize),
            batch: load.batch.into(),
        }
    }

    /// Most jobs of a request.
    fn batch(&self) -> u64 {
        self.batch
    }

    /// The id that the next request will have.
    fn next_id(&self) -> u64 {
        self.frame.id + 1
    }

    /// A request of so many new jobs, all stamped alike.
    pub(super) fn with(&mut self, jobs: u64, stamp: u64) -> &ClientFrame {
        self.frame.id += 1;
        if let Some(Request::Enqueue(enqueue)) = &mut self.frame.request {
            // The last request may be smaller; what it leaves out is kept for none, and may as well go.
            enqueue.jobs.append(&mut self.specs);
            let wanted = usize::try_from(jobs).unwrap_or(usize::MAX).min(enqueue.jobs.len());
            self.specs = enqueue.jobs.split_off(wanted);
            for spec in &mut enqueue.jobs {
                (spec.id, spec.payload) = self.payloads.next(stamp);
            }
        }
        &self.frame
    }
}

/// How every connection of a benchmark introduces itself. It never beats; the long time to live makes
/// up for quiet spells.
pub(super) fn hello() -> Hello {
    Hello {
        client: concat!("windlass-bench/", env!("CARGO_PKG_VERSION")).into(),
        session_ttl_ms: 3_600_000,
        ..Hello::default()
    }
}

/// The broker has no room at the moment.
fn is_busy(code: i32) -> bool {
    code == i32::from(Code::Exhausted)
}

/// The broker closed the connection.
pub(super) fn cut() -> Problem {
    Problem::Own("the broker closed a connection".into())
}

/// A refusal that no waiting helps against.
pub(super) fn refusal(error: windlass_client::proto::Error) -> Problem {
    Problem::Client(error.into())
}

fn unasked() -> Problem {
    Problem::Own("the broker answered a request that was not open".into())
}
