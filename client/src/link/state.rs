//! Everything that the link knows, changed only under one lock and without waiting.
//!
//! ```text
//!              Welcome
//!   Offline ────────────▶ Online          requests are taken in both; Online sends them
//!      ▲                    │
//!      └────────────────────┘ the connection breaks
//!   any ──▶ Ended           the client is closed or dropped: everything open fails
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use windlass_proto::frame::LENGTH_BYTES;
use windlass_proto::limits::{FRAME_BYTES_DEFAULT, FRAME_BYTES_MAX, JOBS_PER_FRAME_MAX};
use windlass_proto::v1::{Beat, Bye, ClientFrame, Touch, Welcome, client_frame::Request};

use super::hear::Heard;
use super::leases::Leases;
use super::outbox::Outbox;
use super::request::{AfterACut, Open, Rules, Waiter};
use super::settings::Settings;
use super::settle::Settles;
use super::stream::Stream;
use crate::connection::HELLO_ID;
use crate::error::{Error, ErrorKind, Result};

/// The state of a link.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Arc<Settings>,
    phase: Phase,
    /// Nothing new is taken; what is open is brought to its end.
    pub(super) closing: bool,
    /// Bye has been said: the connection will close, and no other is wanted.
    pub(super) parting: bool,
    /// The broker does not want this client: it said so at the last try to connect.
    refusal: Option<Error>,
    /// Where the broker told us to go.
    pub(super) moved_to: Option<String>,
    pub(super) welcome: Arc<Welcome>,
    next_id: u64,
    pub(super) outbox: Outbox,
    pub(super) open: HashMap<u64, Open>,
    /// Requests that the broker was too busy for, and when to send them again.
    pub(super) later: Vec<(Instant, u64)>,
    pub(super) streams: Vec<Stream>,
    pub(super) leases: Leases,
    pub(super) settles: Settles,
    /// When the last byte came.
    pub(super) heard: Instant,
    /// The broker has answered what was sent at this instant.
    pub(super) signed: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Offline,
    Online,
    Ended,
}

impl State {
    pub(super) fn new(settings: Arc<Settings>, now: Instant) -> Self {
        Self {
            settings,
            phase: Phase::Offline,
            closing: false,
            parting: false,
            refusal: None,
            moved_to: None,
            welcome: Arc::default(),
            next_id: HELLO_ID + 1,
            outbox: Outbox::default(),
            open: HashMap::new(),
            later: Vec::new(),
            streams: Vec::new(),
            leases: Leases::default(),
            settles: Settles::default(),
            heard: now,
            signed: now,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.phase == Phase::Online
    }

    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether nothing is on its way any more.
    pub(super) fn is_idle(&self) -> bool {
        self.settles.is_empty() && !self.open.values().any(|open| !matches!(open.waiter, Waiter::Nobody))
    }

    /// Whether silence of the broker would harm anybody.
    pub(super) fn is_busy(&self) -> bool {
        !self.open.is_empty() || !self.streams.is_empty() || !self.leases.is_empty()
    }

    /// Takes a request of a caller; it is sent as soon as that is possible.
    pub(super) fn ask(&mut self, request: Request, rules: Rules, waiter: Waiter, units: u32) -> Result<()> {
        self.admit()?;
        let (id, mut open) = self.push(request, rules, Instant::now())?;
        open.units = units;
        open.waiter = waiter;
        self.open.insert(id, open);
        Ok(())
    }

    /// Encodes a request into the outbox. The caller enters it among the open ones.
    pub(super) fn push(&mut self, request: Request, rules: Rules, now: Instant) -> Result<(u64, Open)> {
        let id = self.take_id();
        let frame = ClientFrame { id, request: Some(request) };
        let place = self.outbox.push(&frame, self.frame_max())?;
        let until = now.checked_add(self.settings.give_up_after.saturating_add(rules.longer_by));
        let waiter = Waiter::Nobody;
        let open = Open {
            place,
            rules,
            units: 0,
            since: now,
            until,
            cut: false,
            refusals: 0,
            refused: None,
            waiter,
        };
        Ok((id, open))
    }

    /// Queues a frame whose id is known already, and which is never sent again.
    pub(super) fn push_once(&mut self, id: u64, request: Request) -> Result<()> {
        let frame = ClientFrame { id, request: Some(request) };
        self.outbox.push_once(&frame, self.frame_max())
    }

    pub(super) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Says that this side lives, unless it has just said so; the answer shows that the other one does.
    pub(super) fn beat(&mut self, now: Instant) {
        let waiting = self.open.values().any(|open| matches!(open.waiter, Waiter::Nobody));
        if waiting || !self.is_online() {
            return;
        }
        let touch = Touch { beat: Some(Beat::default()), jobs: Vec::new() };
        if let Ok((id, mut open)) = self.push(Request::Touch(touch), Rules::HERE, now) {
            open.until = None;
            self.open.insert(id, open);
        }
    }

    /// All bytes that can go out now.
    pub(super) fn take_bytes(&mut self, now: Instant) -> Option<Bytes> {
        if self.settles.is_ready() {
            self.send_settles(now);
        }
        self.outbox.take()
    }

    pub(super) fn has_bytes(&self) -> bool {
        self.settles.is_ready() || !self.outbox.is_empty()
    }

    /// A new connection has been welcomed: what stands is settled first, then all that is open goes out.
    pub(super) fn come_online(&mut self, welcome: Arc<Welcome>, now: Instant) -> Vec<(Open, Error)> {
        if self.welcome.session == welcome.session {
            self.leases.keep(&welcome.leases_kept);
        } else {
            self.leases.lose_all("the broker has ended the session");
        }
        self.welcome = welcome;
        self.refusal = None;
        self.heard = now;
        self.signed = now;
        self.phase = Phase::Online;
        self.outbox.start_over();
        self.later.clear();
        let failed = self.send_open_again(now);
        self.open_streams(now);
        failed
    }

    /// Queues every open request once more, in the old order; returns those for which that is not safe.
    fn send_open_again(&mut self, now: Instant) -> Vec<(Open, Error)> {
        let mut ids: Vec<u64> = self.open.keys().copied().collect();
        ids.sort_unstable();
        let mut failed = Vec::new();
        for id in ids {
            let Some(open) = self.open.get(&id) else { continue };
            match self.obstacle(open, now) {
                None => self.send_again(id),
                Some(error) if matches!(open.waiter, Waiter::Settle(_)) => {
                    self.fail(id, error, &mut Heard::default());
                }
                Some(error) => failed.extend(self.finish(id).map(|open| (open, error))),
            }
        }
        failed
    }

    /// Why an open request must not be sent on a new connection.
    fn obstacle(&self, open: &Open, now: Instant) -> Option<Error> {
        let window = Duration::from_millis(self.welcome.idempotency_window_ms);
        // A settle carries a fence, which is good for ever; a job id is remembered for a while only.
        let is_settle = matches!(open.waiter, Waiter::Settle(_));
        let too_late = open.cut && !is_settle && !window.is_zero() && now.duration_since(open.since) > window;
        if too_late {
            return Some(Error::new(
                ErrorKind::OutcomeUnknown,
                "the broker may not know the job's id any more",
            ));
        }
        // A broker that came back with other limits would close the connection over it, again and again.
        let too_large = open.place.len() > self.frame_max() + LENGTH_BYTES;
        too_large.then(|| Error::invalid("the broker came back with a smaller limit for frames"))
    }

    fn send_again(&mut self, id: u64) {
        if let Some(open) = self.open.get_mut(&id) {
            self.outbox.again(&mut open.place);
            open.refused = None;
        }
    }

    /// The connection is gone. Returns the requests that must not be sent again.
    pub(super) fn go_offline(&mut self, why: &Error) -> Vec<(Open, Error)> {
        if self.phase == Phase::Online {
            self.phase = Phase::Offline;
        }
        let mut over = Vec::new();
        for (id, open) in &mut self.open {
            // What was refused, and waits to be sent again, has had no effect.
            let in_doubt = self.outbox.has_left(&open.place) && open.refused.is_none();
            open.cut |= in_doubt;
            match open.rules.after_a_cut {
                AfterACut::Again => {}
                AfterACut::OnlyIfUnsent if !in_doubt => {}
                AfterACut::OnlyIfUnsent | AfterACut::Never => over.push(*id),
            }
        }
        let unknown = || {
            let text = format!("the connection broke before the answer came: {}", why.message());
            Error::new(ErrorKind::OutcomeUnknown, text)
        };
        over.into_iter().filter_map(|id| Some((self.finish(id)?, unknown()))).collect()
    }

    /// The broker refused the session itself. Returns everything open: it would be refused, too.
    pub(super) fn be_refused(&mut self, error: &Error) -> Vec<(Open, Error)> {
        self.refusal = Some(error.clone());
        let callers = |(id, open): (&u64, &Open)| matches!(open.waiter, Waiter::Caller(_)).then_some(*id);
        let ids: Vec<u64> = self.open.iter().filter_map(callers).collect();
        let errors = |open: Open| {
            let error = if open.cut { unanswered() } else { error.clone() };
            (open, error)
        };
        ids.into_iter().filter_map(|id| self.finish(id).map(errors)).collect()
    }

    /// The link ends. Returns everything open.
    pub(super) fn end(&mut self) -> Vec<(Open, Error)> {
        self.phase = Phase::Ended;
        self.abandon_settles();
        self.streams.clear();
        self.leases.stop_all("the connection was closed");
        let ids: Vec<u64> = self.open.keys().copied().collect();
        let mut ended = Vec::new();
        for id in ids {
            let left = self.open.get(&id).is_some_and(|open| self.outbox.has_left(&open.place));
            ended.extend(self.finish(id).map(|open| {
                let error = if left || open.cut { unanswered() } else { Error::closed() };
                (open, error)
            }));
        }
        ended
    }

    /// Gives up what has waited too long, and sends again what was refused for a while.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(Open, Error)> {
        let over = |(id, open): (&u64, &Open)| open.until.filter(|until| *until <= now).map(|_| *id);
        let ids: Vec<u64> = self.open.iter().filter_map(over).collect();
        let mut failed = Vec::new();
        for id in ids {
            let left = self.open.get(&id).is_some_and(|open| self.outbox.has_left(&open.place));
            failed.extend(self.finish(id).map(|mut open| {
                let error = match open.refused.take() {
                    Some(refusal) if !open.cut => refusal,
                    Some(_) | None if open.cut || left => unanswered(),
                    Some(_) | None => Error::unreachable("nothing was sent in the time that was given"),
                };
                (open, error)
            }));
        }
        self.send_later_ones(now);
        self.leases.lapse(self.signed + self.session_ttl(), now);
        failed
    }

    fn send_later_ones(&mut self, now: Instant) {
        if !self.is_online() {
            return;
        }
        let due = self.later.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>();
        for (_, id) in due {
            self.send_again(id);
        }
    }

    /// Queues the end of the session, if there is a connection to say it on.
    pub(super) fn say_bye(&mut self, waiter: Waiter) -> bool {
        if !self.is_online() {
            return false;
        }
        self.parting = true;
        let Ok((id, mut open)) = self.push(Request::Bye(Bye::default()), Rules::HERE, Instant::now()) else {
            return false;
        };
        open.waiter = waiter;
        self.open.insert(id, open);
        true
    }

    /// Takes a request off the books.
    pub(super) fn finish(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        self.outbox.forget(&open.place);
        Some(open)
    }

    fn admit(&self) -> Result<()> {
        if self.closing || self.has_ended() {
            return Err(Error::closed());
        }
        match &self.refusal {
            Some(refusal) if !self.is_online() => Err(refusal.clone()),
            Some(_) | None => Ok(()),
        }
    }

    /// The largest frame that the broker takes, as far as it is known.
    pub(super) fn frame_max(&self) -> usize {
        match usize::try_from(self.welcome.max_frame) {
            Ok(0) | Err(_) => FRAME_BYTES_DEFAULT,
            Ok(bytes) => bytes.min(FRAME_BYTES_MAX),
        }
    }

    /// Most outcomes in one frame.
    pub(super) fn results_max(&self) -> usize {
        match usize::try_from(self.welcome.max_batch) {
            Ok(0) | Err(_) => JOBS_PER_FRAME_MAX,
            Ok(results) => results.min(JOBS_PER_FRAME_MAX),
        }
    }

    /// How often to beat: three times in the life of a session without.
    pub(super) fn beat_every(&self) -> Duration {
        self.session_ttl() / 3
    }

    /// How long the session lives after its last sign of life.
    pub(super) fn session_ttl(&self) -> Duration {
        match self.welcome.session_ttl_ms {
            0 => self.settings.session_ttl,
            ttl => Duration::from_millis(ttl),
        }
    }
}

fn unanswered() -> Error {
    Error::new(ErrorKind::OutcomeUnknown, "it was sent, but no answer came")
}
