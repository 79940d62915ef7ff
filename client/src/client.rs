//! The client: one connection to a broker that comes back by itself, shared by all its clones.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use windlass_proto::v1::{Welcome, client_frame::Request, server_frame::Body};

use crate::address::{self, Address};
use crate::admin::Admin;
use crate::error::Result;
use crate::events::{self, Ended, Events};
use crate::fetch::FetchOnce;
use crate::id::JobId;
use crate::job::NewJob;
use crate::limits::WINDOW_MAX;
use crate::link::{Link, Settings};
use crate::metrics::Metrics;
use crate::producer::{self, Enqueue, Enqueued, Many};
use crate::tls::Tls;
use crate::worker::Worker;

/// A client of one broker and one namespace. Cheap to clone; clones share the connection.
///
/// Requests are pipelined: whatever many tasks ask at the same time goes out in few writes. When the
/// connection breaks, the client comes back with growing pauses, resumes its session, and sends what was
/// not answered again where that is safe. When the last clone is dropped, the connection closes and
/// unanswered requests are given up; [`Client::close`] waits for them.
#[derive(Debug, Clone)]
pub struct Client {
    link: Arc<Link>,
}

/// Settings of a [`Client`], made by [`Client::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens until connect"]
pub struct ClientBuilder {
    settings: Settings,
}

impl Client {
    /// Connects with the defaults of [`Client::builder`].
    ///
    /// `addr` is `host`, `host:port`, or `windlass://[token@]host[:port][/namespace]`; the port is 7520
    /// unless given. `windlass+tls://` speaks TLS, see [`ClientBuilder::tls_ca`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), windlass_client::Error> {
    /// let client = windlass_client::Client::connect("127.0.0.1:7520").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`ClientBuilder::connect`].
    pub async fn connect(addr: &str) -> Result<Self> {
        Self::builder().connect(addr).await
    }

    /// Starts from the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder { settings: Settings::default() }
    }

    /// Enqueues a job: a value of a [`Job`](crate::Job) type, or a [`NewJob`]. Awaiting the result means
    /// that the job is on the broker's disk; options may be set before.
    ///
    /// A cut of the connection neither loses the job nor doubles it. When the broker cannot be reached for
    /// [`give_up_after`](ClientBuilder::give_up_after), the error is `Unreachable` if the job was certainly
    /// not taken and `OutcomeUnknown` if it may have been.
    ///
    /// ```no_run
    /// # use windlass_client::{Client, NewJob, Error};
    /// # use std::time::Duration;
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let job = NewJob::new("email.send").payload("{}").queue("mail");
    /// let enqueued = client.enqueue(job).delay(Duration::from_secs(60)).priority(7).await?;
    /// println!("{} is number {}", enqueued.id, enqueued.seq);
    /// # Ok(()) }
    /// ```
    pub fn enqueue(&self, job: impl Into<NewJob>) -> Enqueue<'_> {
        Enqueue::new(&self.link, job.into())
    }

    /// Enqueues all jobs or none of them, in one frame and one write to the broker's disk.
    ///
    /// # Errors
    /// As [`Client::enqueue`]; [`Error::field`](crate::Error::field) names the job at fault. At most
    /// `Welcome.max_batch` jobs (10,000) and `Welcome.max_frame` bytes (4 MiB by default).
    pub async fn enqueue_many<J: Into<NewJob>>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Enqueued>> {
        let jobs = jobs.into_iter().map(Into::into).collect();
        producer::enqueue_many(&self.link, jobs, Many::AllOrNone).await?.into_iter().collect()
    }

    /// Enqueues the valid jobs though others are refused; one result for each, in their order.
    ///
    /// # Errors
    /// The outer error is of the frame as a whole, as with [`Client::enqueue_many`].
    pub async fn enqueue_partial<J: Into<NewJob>>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Result<Enqueued>>> {
        let jobs = jobs.into_iter().map(Into::into).collect();
        producer::enqueue_many(&self.link, jobs, Many::Partial).await
    }

    /// A worker with this client's settings. It has a connection and a session of its own, so that its
    /// leases end with it and not with the client.
    pub fn worker(&self) -> Worker {
        Worker::new(self.link.settings().clone())
    }

    /// Asks once for jobs of these queues, for simple programs and tests; a [`Worker`] is the better way to
    /// run many. Earlier queues are drawn from first.
    pub fn fetch_once<Q: Into<String>>(&self, queues: impl IntoIterator<Item = Q>) -> FetchOnce<'_> {
        FetchOnce::new(&self.link, queues.into_iter().map(Into::into).collect())
    }

    /// Reading and changing jobs, queues and configuration.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.link))
    }

    /// What this client, its clones and its workers have done so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.link.settings().metrics.clone()
    }

    /// What the broker said when the present connection, or the last one, was made.
    #[must_use]
    pub fn welcome(&self) -> Arc<Welcome> {
        self.link.welcome()
    }

    /// Waits until all of these jobs have ended or are not kept any more; how each ended, in the order of their
    /// ends. Checking and waiting are one step, so no end is missed.
    ///
    /// # Errors
    /// See [`Events::next`](crate::Events::next).
    pub async fn wait(&self, jobs: impl IntoIterator<Item = JobId>) -> Result<Vec<Ended>> {
        let ids = jobs.into_iter().map(|id| id.to_bytes()).collect();
        let mut events = Events::open(self.link.settings().clone(), events::until_ended(ids)).await?;
        let mut ended = Vec::new();
        while let Some(event) = events.next().await? {
            if events::is_end(&event) {
                let (id, state) = (JobId::from_slice(&event.job)?, event.state());
                ended.push(Ended { id, state, result: event.data });
            }
        }
        Ok(ended)
    }

    /// Sends any request and waits for its answer: the way to what has no method here yet.
    ///
    /// It is sent once; a cut before the answer is `OutcomeUnknown`. Hello, Bye, streams (a Fetch without
    /// `once`, a Watch) and Settle have their own ways and are refused as `Invalid`.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn call(&self, request: Request) -> Result<Body> {
        self.link.call_any(request).await
    }

    /// Waits until everything that was asked is answered or given up, ends the session and closes the
    /// connection. Other clones get `Closed` from then on. Leases that are still held go back, uncounted.
    pub async fn close(self) {
        self.link.close().await;
    }
}

impl ClientBuilder {
    /// Tenant to work in; a name; default `default`, or what the address says.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.settings.namespace = namespace.into();
        self
    }

    /// Secret of a token, where the broker asks for one; default none, or what the address says.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.token = token.into();
        self
    }

    /// Name and version of the program, shown to operators; at most 200 bytes; default
    /// `rust/` and the version of this crate.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.client = name.into();
        self
    }

    /// Adds a label of the session, for operators and for jobs that ask for it; at most 32, name and value
    /// at most 200 bytes.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.labels.insert(name.into(), value.into());
        self
    }

    /// How long the broker keeps the session and its leases after the last sign of life, 1 s to 1 h;
    /// default 15 s. The client beats three times as often.
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.settings.session_ttl = ttl;
        self
    }

    /// How long [`ClientBuilder::connect`] keeps trying; default 5 s. Zero tries once.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How long a request is tried, through cuts, restarts and refusals of an overloaded broker, before it
    /// fails; default 30 s. An Enqueue is in any case not sent again after `Welcome.idempotency_window_ms`.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.settings.give_up_after = time;
        self
    }

    /// Most requests that may be unanswered at once, 1 to 100,000; default 4,096, and never more than the
    /// broker allows. A request of more than 16 KiB counts as several, which bounds the memory. Further
    /// requests wait for their turn.
    pub fn window(mut self, requests: u32) -> Self {
        self.settings.window = requests.clamp(1, WINDOW_MAX);
        self
    }

    /// Speaks TLS 1.3 with the broker, whose certificate must be for the host of the address and of the
    /// authority in the PEM file `ca`. For a certificate that the system trusts, give the system's bundle,
    /// like `/etc/ssl/certs/ca-certificates.crt`. An address with `windlass+tls://` demands this setting.
    /// The file is read at each connection.
    pub fn tls_ca(mut self, ca: impl Into<PathBuf>) -> Self {
        self.settings.tls.get_or_insert_default().ca = ca.into();
        self
    }

    /// Shows the broker a certificate, in PEM, with its key, where it demands one; beside
    /// [`ClientBuilder::tls_ca`]. The files are read at each connection.
    pub fn tls_identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.settings.tls.get_or_insert_default().identity = Some((certificate.into(), key.into()));
        self
    }

    /// All of it at once, or none.
    pub fn tls(mut self, tls: Option<Tls>) -> Self {
        self.settings.tls = tls;
        self
    }

    /// Connects, waiting for a broker that is just starting.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a bad address,
    /// [`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable) if nobody answered within the timeout,
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) at once if the broker does not want this client.
    pub async fn connect(mut self, addr: &str) -> Result<Client> {
        let address = Address::parse(addr)?;
        self.settings.host_port = address.host_port;
        let lacks_authority = self.settings.tls.as_ref().is_none_or(|tls| tls.ca.as_os_str().is_empty());
        if lacks_authority && (address.is_encrypted || self.settings.tls.is_some()) {
            return Err(address::lacks_authority());
        }
        if self.settings.token.is_empty() {
            self.settings.token = address.token;
        }
        if self.settings.namespace.is_empty() {
            self.settings.namespace = address.namespace;
        }
        Ok(Client { link: Arc::new(Link::open(self.settings).await?) })
    }
}
