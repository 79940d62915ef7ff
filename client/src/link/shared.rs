//! Where callers and the connection meet: the state behind its lock, and the bells around it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::signal::Type as Order;
use windlass_proto::v1::{self, Fetch, Hello, JobTouch, Signal, State as JobState, Touch, Touched, Welcome};
use windlass_proto::v1::{ServerFrame, server_frame::Body};

use super::guard::LeaseGuard;
use super::hear::{Answered, Heard, What};
use super::request::{Answer, Open, Reply, Rules, Waiter, units_of};
use super::settings::Settings;
use super::settle::Who;
use super::silence::{Silence, Verdict};
use super::state::State;
use super::stream::{Incoming, StreamName};
use super::window::Window;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Held;

/// What callers, the connection and the beat thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Arc<Settings>,
    state: Mutex<State>,
    /// Rung when there is something to send.
    to_send: Notify,
    /// Rung when nothing is open any more and the link is closing.
    idle: Notify,
    /// Rung when a visibility timeout has to be moved sooner than was known.
    sooner: Notify,
    window: Window,
    identity: watch::Sender<Option<Identity>>,
    /// When the task of the link ran last, in milliseconds since `started`.
    ticked: AtomicU64,
    started: std::time::Instant,
}

/// What proves a session, so that further connections can attach to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Where the main connection goes.
    pub(crate) broker: String,
    pub(crate) session: Bytes,
    pub(crate) secret: Bytes,
    pub(crate) ttl: Duration,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        Self {
            state: Mutex::new(State::new(Arc::clone(&settings), Instant::now())),
            to_send: Notify::new(),
            idle: Notify::new(),
            sooner: Notify::new(),
            window: Window::new(settings.window),
            identity: watch::Sender::new(None),
            ticked: AtomicU64::new(0),
            started: std::time::Instant::now(),
            settings,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn welcome(&self) -> Arc<Welcome> {
        Arc::clone(&self.lock().welcome)
    }

    /// The session, as it changes.
    pub(crate) fn identity(&self) -> watch::Receiver<Option<Identity>> {
        self.identity.subscribe()
    }

    /// Hands a request over; returns as soon as it is queued.
    pub(crate) async fn submit(&self, request: Request, rules: Rules) -> Result<Answer> {
        let units = self.window.take(units_of(&request), self.settings.give_up_after).await?;
        let (to, receiver) = oneshot::channel();
        let taken = self.lock().ask(request, rules, Waiter::Caller(to), units);
        if let Err(error) = taken {
            self.window.give_back(units as usize);
            return Err(error);
        }
        self.to_send.notify_one();
        Ok(Answer { receiver })
    }

    /// Queues the outcome of a run. Nobody waits for it but `who`.
    pub(crate) fn settle(&self, result: v1::Result, who: Who) {
        self.lock().settle(result, who);
        self.to_send.notify_one();
    }

    /// Settles and waits for the answer, as long as any request may take.
    pub(crate) async fn settle_and_wait(&self, result: v1::Result) -> Result<JobState> {
        let (to, answer) = oneshot::channel();
        self.settle(result, Who::Caller(to));
        match tokio::time::timeout(self.settings.give_up_after, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(Error::closed())),
            Err(_) => Err(Error::new(ErrorKind::OutcomeUnknown, "it is still being sent")),
        }
    }

    /// Gives a job back, uncounted, without waiting.
    pub(crate) fn give_back(&self, held: &Held, reason: &str) {
        if !held.is_lost() {
            self.lock().release(held, reason);
            self.to_send.notify_one();
        }
    }

    /// Says something about one run.
    pub(crate) async fn touch(&self, touch: JobTouch) -> Result<()> {
        let request = Touch { beat: None, jobs: vec![touch.clone()] };
        let asked = Instant::now();
        let answer = self.submit(Request::Touch(request), Rules::RESEND).await?.body().await?;
        let Body::Touched(answer) = answer else {
            return Err(Error::wrong_answer("Touched"));
        };
        self.touched(&[touch], asked, &answer)
    }

    /// Takes in what the touch that was sent at `asked` has told, on whatever connection.
    pub(crate) fn touched(&self, touches: &[JobTouch], asked: Instant, answer: &Touched) -> Result<()> {
        self.lock().touched(touches, asked, answer)
    }

    /// Takes in a signal about a job that came on another connection of the session. What concerns the
    /// session as a whole comes on the main one, too.
    pub(crate) fn job_signal(&self, signal: Signal) {
        if matches!(signal.r#type(), Order::Cancel | Order::LeaseLost) {
            self.lock().signal(signal);
        }
    }

    /// Visibility timeouts that have to be moved now, and when the next ones are due.
    pub(crate) fn extensions(&self) -> (Vec<JobTouch>, Option<Instant>) {
        self.lock().leases.extensions(Instant::now())
    }

    /// Waits for a lease that is due sooner than [`Shared::extensions`] has said.
    pub(crate) async fn sooner_extension(&self) {
        self.sooner.notified().await;
    }

    pub(crate) fn open_stream(
        &self,
        fetch: Fetch,
    ) -> Result<(StreamName, mpsc::UnboundedReceiver<Incoming>)> {
        let opened = self.lock().open_stream(fetch);
        self.to_send.notify_one();
        opened
    }

    /// Closes a stream; afterwards nothing more comes out of it.
    pub(crate) async fn close_stream(&self, name: StreamName) {
        let closing = self.lock().close_stream(name, Instant::now());
        if let Some(fetch) = closing
            && let Ok(answer) = self.submit(Request::Fetch(fetch), Rules::HERE).await
        {
            // Without an answer the connection is gone, and with it the stream.
            let _closed = answer.await;
        }
        self.lock().drop_stream(name);
    }

    pub(crate) fn set_quiet(&self, name: StreamName, quiet: bool) {
        self.lock().set_quiet(name, quiet, Instant::now());
        self.to_send.notify_one();
    }

    /// Leases whose runs have not ended.
    pub(crate) fn unsettled(&self) -> Vec<Arc<Held>> {
        self.lock().leases.unsettled()
    }

    /// Asks all runs to stop, because this side ends.
    pub(crate) fn stop_all(&self, reason: &str) {
        self.lock().leases.stop_all(reason);
    }

    /// How late the link's own task is: a sign that a handler blocks its loop.
    pub(crate) fn lag(&self) -> Duration {
        let idle = self.since_start().saturating_sub(self.ticked.load(Ordering::Relaxed));
        Duration::from_millis(idle).saturating_sub(TICK_IDLE)
    }

    /// Waits until everything is answered, then ends the session.
    pub(super) async fn part(&self) {
        self.lock().closing = true;
        let idle = async {
            loop {
                let rung = self.idle.notified();
                if self.lock().is_idle() {
                    return;
                }
                rung.await;
            }
        };
        // What is unanswered by then has been given up by its callers, too.
        let _answered = tokio::time::timeout(self.settings.give_up_after, idle).await;
        let (to, answer) = oneshot::channel();
        if self.lock().say_bye(Waiter::Caller(to)) {
            self.to_send.notify_one();
            // The broker closes the connection after its answer, if there is still a broker.
            let _closed = tokio::time::timeout(BYE_WAIT, answer).await;
        }
    }

    /// Fails everything that is open: there will be no connection any more.
    pub(super) fn end(&self) {
        let ended = self.lock().end();
        self.window.close();
        self.give_up(ended);
        self.idle.notify_waiters();
    }

    /// Where to connect next, and what to say there.
    pub(super) fn next_hello(&self) -> (String, Hello) {
        let mut state = self.lock();
        let to = state.moved_to.take().unwrap_or_else(|| self.settings.host_port.clone());
        let mut hello = self.settings.hello();
        if !state.welcome.session.is_empty() {
            hello.resume_session = state.welcome.session.clone();
            hello.resume_secret = state.welcome.secret.clone();
            hello.running = Some(state.leases.running());
        }
        (to, hello)
    }

    pub(super) fn come_online(&self, broker: String, welcome: Welcome) {
        self.window.fit(self.settings.window, welcome.max_outstanding);
        let (session, secret) = (welcome.session.clone(), welcome.secret.clone());
        let mut state = self.lock();
        let failed = state.come_online(Arc::new(welcome), Instant::now());
        let identity = Identity { broker, session, secret, ttl: state.session_ttl() };
        drop(state);
        self.give_up(failed);
        // Other connections stay attached as long as the session is the same.
        self.identity.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(&identity);
            *known = Some(identity);
            is_new
        });
        self.to_send.notify_one();
    }

    pub(super) fn go_offline(&self, why: &Error) {
        let failed = self.lock().go_offline(why);
        self.give_up(failed);
    }

    pub(super) fn be_refused(&self, error: &Error) {
        let failed = self.lock().be_refused(error);
        self.give_up(failed);
    }

    pub(super) fn is_parting(&self) -> bool {
        self.lock().parting
    }

    /// All that can go out now; waits for something.
    pub(super) async fn next_bytes(&self) -> Bytes {
        loop {
            if let Some(bytes) = self.lock().take_bytes(Instant::now()) {
                return bytes;
            }
            self.to_send.notified().await;
            // Others that are ready to ask may do so first: their requests join the same write.
            tokio::task::yield_now().await;
        }
    }

    /// Takes in frames; answers whether the connection is to end.
    pub(super) fn hear(self: &Arc<Self>, frames: &mut Vec<ServerFrame>) -> Result<bool> {
        let now = Instant::now();
        let mut heard = Heard::default();
        let mut end = Ok(());
        let (is_idle, has_bytes, is_sooner) = {
            let mut state = self.lock();
            state.heard = now;
            for frame in frames.drain(..) {
                end = state.hear(frame, &mut heard, now);
                if end.is_err() {
                    break;
                }
            }
            (state.closing && state.is_idle(), state.has_bytes(), state.leases.is_sooner())
        };
        // Waking callers, and dropping what they no longer want, may need the lock again.
        let mut units = 0;
        for answered in heard.answers {
            units += answered.units as usize;
            self.pass_on(answered);
        }
        self.window.give_back(units);
        if is_sooner {
            self.sooner.notify_one();
        }
        if is_idle {
            self.idle.notify_waiters();
        }
        if has_bytes {
            self.to_send.notify_one();
        }
        end.map(|()| heard.leave)
    }

    /// Looks after time; answers how long until the next look, or that the broker is silent.
    pub(super) fn tick(&self, silence: &mut Silence) -> Result<Duration> {
        self.ticked.store(self.since_start(), Ordering::Relaxed);
        let now = Instant::now();
        let mut state = self.lock();
        let failed = state.expire(now);
        state.reopen_streams(now);
        let busy = state.is_busy();
        let every = state.beat_every();
        let verdict = silence.judge(state.heard, busy, every, now);
        if verdict == Verdict::Beat {
            state.beat(now);
        }
        let has_bytes = state.has_bytes();
        let is_idle = state.closing && state.is_idle();
        drop(state);
        self.give_up(failed);
        if has_bytes {
            self.to_send.notify_one();
        }
        if is_idle {
            self.idle.notify_waiters();
        }
        if verdict == Verdict::Dead {
            return Err(Error::unreachable(format!("the broker said nothing for {:?}", every * 2)));
        }
        Ok(if busy { TICK.min(every / 4) } else { TICK_IDLE })
    }

    /// The same while there is no connection, where only patience can run out.
    pub(super) fn tick_offline(&self) -> Duration {
        self.ticked.store(self.since_start(), Ordering::Relaxed);
        let mut state = self.lock();
        let failed = state.expire(Instant::now());
        let is_idle = state.closing && state.is_idle();
        drop(state);
        self.give_up(failed);
        if is_idle {
            self.idle.notify_waiters();
        }
        TICK
    }

    /// Hands an answer to whoever waits for it. A lease that nobody takes goes back by itself.
    fn pass_on(self: &Arc<Self>, answered: Answered) {
        let answer = match answered.what {
            What::Enqueued(enqueued) => Ok(Reply::Enqueued(enqueued)),
            What::Other(body) => Ok(Reply::Other(body)),
            What::Failed(error) => Err(error),
            What::Work(jobs) => {
                let guard = |held| LeaseGuard::new(held, Arc::clone(self));
                Ok(Reply::Work(jobs.into_iter().map(|(work, held)| (work, guard(held))).collect()))
            }
        };
        let _unwanted = answered.to.send(answer);
    }

    fn give_up(&self, failed: Vec<(Open, Error)>) {
        for (open, error) in failed {
            self.window.give_back(open.units as usize);
            match open.waiter {
                Waiter::Caller(to) => drop(to.send(Err(error))),
                Waiter::Settle(sent) => State::abandon_sent(sent, &error),
                Waiter::Nobody => {}
            }
        }
    }

    fn since_start(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often time is looked after while something is open; more often if beats are very frequent.
const TICK: Duration = Duration::from_millis(100);
/// The same while nothing is.
const TICK_IDLE: Duration = Duration::from_millis(500);
/// How long the broker may take to answer Bye.
const BYE_WAIT: Duration = Duration::from_secs(2);
