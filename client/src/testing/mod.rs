//! For tests of programs that use Windlass: the real broker, on a clock that the test advances.
//!
//! [`TestBroker`] starts the program `windlass` with a temporary directory and a free port, so that what a
//! test sees is what will happen: the same engine, no mock. Its clock stands still, and goes from one
//! deadline to the next when it is told to, so a week of retries takes milliseconds.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//! use windlass_client::testing::TestBroker;
//! use windlass_client::{Client, Error, Job, JobContext, JobError, proto::State};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Welcome {
//!     to: String,
//! }
//!
//! impl Job for Welcome {
//!     const KIND: &'static str = "welcome";
//! }
//!
//! // The program under test: a producer and a handler.
//! async fn sign_up(client: &Client, to: &str) -> Result<windlass_client::JobId, Error> {
//!     Ok(client.enqueue(Welcome { to: to.to_owned() }).delay(Duration::from_secs(86_400)).await?.id)
//! }
//!
//! async fn welcome(_job: Welcome, ctx: JobContext) -> Result<(), JobError> {
//!     if ctx.attempt() == 1 { Err("no connection to smtp".into()) } else { Ok(()) }
//! }
//!
//! // #[tokio::test]
//! async fn a_new_user_is_welcomed_on_the_next_day() -> Result<(), Error> {
//!     let broker = TestBroker::start().await?;
//!     let id = sign_up(broker.client(), "ada@example.com").await?;
//!     assert_eq!(broker.enqueued::<Welcome>().await?, [Welcome { to: "ada@example.com".into() }]);
//!
//!     let worker = || broker.client().worker().handle(welcome);
//!     broker.run_ready(worker()).await?;
//!     broker.assert_state(id, State::Scheduled).await;
//!
//!     let stats = broker.run_for(Duration::from_secs(2 * 86_400), worker()).await?;
//!     assert_eq!((stats.failed(), stats.done()), (1, 1));
//!     broker.assert_state(id, State::Completed).await;
//!     Ok(())
//! }
//! ```

mod program;

use std::path::PathBuf;
use std::time::Duration;

use windlass_proto::v1::{JobView, Policy, Selector, State};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::Job;
use crate::stats::WorkerStats;
use crate::worker::{Worker, WorkerHandle};
use program::Program;

/// How long each step in time waits for running handlers, in real time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a worker may take to ask for jobs.
const START: Duration = Duration::from_secs(30);
/// Between two looks at whether it has.
const POLL: Duration = Duration::from_millis(2);
/// How long jobs are kept after their end, on the test's clock: a hundred years.
const KEEP_MS: u64 = 36_525 * 86_400_000;
/// States of a job that has yet to run.
const WAITING: [State; 4] = [State::Held, State::Scheduled, State::Blocked, State::Ready];

/// A broker of the test's own, with a client. Its data are gone with it.
///
/// What ends is kept for a century and not for an hour, by the policy of the namespace, so that a test can
/// look at it after a long time has passed; all else is as in any broker.
#[derive(Debug)]
pub struct TestBroker {
    // Dropped in this order, so that the client does not look for a broker that has gone.
    client: Client,
    program: Program,
    patience: Duration,
}

/// Settings of a [`TestBroker`], made by [`TestBroker::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "nothing starts until start"]
pub struct TestBrokerBuilder {
    program: Option<PathBuf>,
    instant: Option<String>,
    patience: Option<Duration>,
}

impl TestBroker {
    /// Starts a broker whose clock stands at the present moment.
    ///
    /// # Errors
    /// See [`TestBrokerBuilder::start`].
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Starts from the defaults.
    pub fn builder() -> TestBrokerBuilder {
        TestBrokerBuilder::default()
    }

    /// A client of this broker, for the code under test.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the broker listens, for programs that connect by themselves.
    #[must_use]
    pub fn addr(&self) -> &str {
        self.program.addr()
    }

    /// The same broker with another patience, see [`TestBrokerBuilder::patience`].
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Lets time pass: delays, retries, expiries, visibility timeouts and schedules happen in their order,
    /// each at its own time. Workers that run meanwhile get their jobs at those times, and time waits for
    /// their handlers. Answers with the broker's clock in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`Admin::advance_clock`](crate::Admin::advance_clock).
    pub async fn advance(&self, time: Duration) -> Result<u64> {
        self.client.admin().advance_clock(time, self.patience).await
    }

    /// The jobs of this type that have been enqueued and have yet to run or to be retried, in their order,
    /// whatever their queue.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a payload of this kind is no `J`.
    pub async fn enqueued<J: Job>(&self) -> Result<Vec<J>> {
        let jobs = self.waiting(Selector { kind: J::KIND.to_owned(), ..Selector::default() }).await?;
        let parsed = jobs.iter().map(|job| serde_json::from_slice(&job.payload));
        parsed.collect::<Result<_, _>>().map_err(|error| {
            Error::invalid(format!("a payload of kind {} is another type: {error}", J::KIND))
        })
    }

    /// The jobs of a queue that have yet to run or to be retried, in their order, with payload and headers.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn enqueued_in(&self, queue: &str) -> Result<Vec<JobView>> {
        self.waiting(Selector { queue: queue.to_owned(), ..Selector::default() }).await
    }

    /// Runs with this worker all that can run now, and what that brings about, until nothing is left; then
    /// stops it gracefully. Time stands still.
    ///
    /// # Errors
    /// Those of [`Worker::run_until`], and
    /// [`ErrorKind::OutcomeUnknown`] if a handler runs on past the patience.
    pub async fn run_ready(&self, worker: Worker) -> Result<WorkerStats> {
        self.run_for(Duration::ZERO, worker).await
    }

    /// Lets time pass while this worker runs, as [`TestBroker::advance`] does, then stops it gracefully.
    ///
    /// # Errors
    /// As [`TestBroker::run_ready`].
    pub async fn run_for(&self, time: Duration, worker: Worker) -> Result<WorkerStats> {
        let handle = self.working(worker).await?;
        let stats = handle.stats();
        self.advance(time).await?;
        let is_running = stats.running() > 0;
        handle.stop().await?;
        if is_running {
            let message = format!("a handler runs on after {:?}", self.patience);
            return Err(Error::new(ErrorKind::OutcomeUnknown, message));
        }
        Ok(stats)
    }

    /// Where a job stands; `None` if it is not kept (any more).
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn state(&self, id: JobId) -> Result<Option<State>> {
        Ok(self.client.admin().job(id).await?.map(|job| job.state()))
    }

    /// Fails the test unless the job is in this state.
    ///
    /// # Panics
    /// If it is not; the message shows how its attempts ended.
    pub async fn assert_state(&self, id: JobId, state: State) {
        let job = match self.client.admin().job(id).await {
            Ok(Some(job)) => job,
            Ok(None) => panic!("job {id} should be {state:?}, but there is no such job"),
            Err(error) => panic!("job {id} should be {state:?}, but {error}"),
        };
        let ends: Vec<String> = job
            .history
            .iter()
            .map(|attempt| format!("{}. {:?} {}", attempt.attempt, attempt.outcome(), attempt.message))
            .collect();
        assert!(job.state() == state, "job {id} should be {state:?}, but is {:?}: {ends:?}", job.state());
    }

    /// Ends the broker in order and waits for it; dropping the value ends it, too, but does not wait.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if it did not end well.
    pub async fn stop(self) -> Result<()> {
        self.client.close().await;
        self.program.stop().await
    }

    async fn waiting(&self, select: Selector) -> Result<Vec<JobView>> {
        let states = WAITING.iter().map(|&state| state.into()).collect();
        let mut jobs = self.client.admin().jobs(Selector { states, ..select }).fields(["payload", "headers"]);
        let mut found = Vec::new();
        while let Some(job) = jobs.next().await? {
            found.push(job);
        }
        Ok(found)
    }

    /// Starts a worker and waits until it has asked for jobs: from then on whatever can run is leased.
    async fn working(&self, worker: Worker) -> Result<WorkerHandle> {
        let before = self.streams().await?;
        let mut handle = worker.start();
        let asked = async {
            while self.streams().await? <= before {
                tokio::time::sleep(POLL).await;
            }
            Ok::<_, Error>(())
        };
        tokio::select! {
            ended = handle.wait() => {
                ended?;
                return Err(Error::closed());
            }
            asked = tokio::time::timeout(START, asked) => match asked {
                Ok(asked) => asked?,
                Err(_) => return Err(Error::unreachable("the worker did not ask for jobs")),
            },
        }
        Ok(handle)
    }

    async fn streams(&self) -> Result<u64> {
        let sessions = self.client.admin().workers().await?;
        Ok(sessions.iter().map(|session| u64::from(session.streams)).sum())
    }
}

impl TestBrokerBuilder {
    /// The program; default `$WINDLASS_BIN`, or `windlass` in the target directory of the test, or in the
    /// `PATH`.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Where the clock begins, like `2030-01-01T00:00:00Z`; default the present moment.
    pub fn at(mut self, instant: impl Into<String>) -> Self {
        self.instant = Some(instant.into());
        self
    }

    /// How long each step in time waits for running handlers, in real time, 60 s at most; default 10 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Starts the broker and connects to it.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the program is not there or ends at once;
    /// what it says about that is on stderr.
    pub async fn start(self) -> Result<TestBroker> {
        let program = Program::start(self.program, self.instant.as_deref().unwrap_or("now")).await?;
        let client = Client::builder().name("rust/testing").connect(program.addr()).await?;
        let policy = Policy { keep_done_ms: Some(KEEP_MS), keep_dead_ms: Some(KEEP_MS), ..Policy::default() };
        client.admin().set_namespace_policy(policy, 0).await?;
        Ok(TestBroker { client, program, patience: self.patience.unwrap_or(PATIENCE) })
    }
}
