//! How long a connection is waited for.
//!
//! It is separate because it replaces timers: instants are noted as things happen, and one coarse
//! alarm per connection, set only while there is something to wait for, looks at all of them.

use super::NetOptions;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How often deadlines are looked at.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Pause between signs for bytes that are no whole frame yet.
const HALF_SIGN: Duration = Duration::from_millis(500);
/// Pause between signs while the broker itself does not read.
const DEAF_SIGN: Duration = Duration::from_secs(1);

/// Since when something is waited for; None = it is not.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// A Hello.
    hello: Option<Instant>,
    /// The rest of a frame.
    frame: Option<Instant>,
    /// The peer, to take the next byte.
    room: Option<Instant>,
    /// The broker, to read on.
    reading: Option<Instant>,
    /// The last of our frames to leave, since the broker stops.
    farewell: Option<Instant>,
    /// When the session got its last sign from here.
    sign: Option<Instant>,
}

/// What a peer did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It did not say Hello.
    Hello,
    /// It did not finish a frame.
    Frame,
    /// It did not read.
    Room,
    /// It did not read what was left when the broker stopped.
    Farewell,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "no Hello came in time",
            Self::Frame => "a frame was not finished in time",
            Self::Room => "the peer does not read",
            Self::Farewell => "the broker stops, and the peer does not read",
        })
    }
}

impl Patience {
    /// A Hello is awaited since then.
    pub(super) fn since(began: Instant) -> Self {
        Self { hello: Some(began), ..Self::default() }
    }

    /// A Hello is awaited, or no longer.
    pub(super) fn for_hello(&mut self, is_awaited: bool) {
        note(&mut self.hello, is_awaited);
    }

    /// The rest of a frame is awaited, or no longer.
    pub(super) fn for_frame(&mut self, is_awaited: bool) {
        note(&mut self.frame, is_awaited);
    }

    /// A whole frame came: the next one has its own time.
    pub(super) fn frame_came(&mut self) {
        self.frame = None;
    }

    /// The peer is to take bytes, or there are none.
    pub(super) fn for_room(&mut self, is_awaited: bool) {
        note(&mut self.room, is_awaited);
    }

    /// The peer took some.
    pub(super) fn room_came(&mut self) {
        self.room = None;
    }

    /// The broker does not read, or reads. The peer cannot finish its frame in the meantime.
    pub(super) fn for_reading(&mut self, is_awaited: bool) {
        note(&mut self.reading, is_awaited);
        if is_awaited {
            self.frame = None;
        }
    }

    /// The broker stops.
    pub(super) fn for_farewell(&mut self) {
        note(&mut self.farewell, true);
    }

    /// Bytes came that are no whole frame. True = the session should get a sign.
    pub(super) fn half_sign_is_due(&mut self) -> bool {
        self.sign_is_due(HALF_SIGN)
    }

    /// True = the broker is not reading, and the session should get a sign for it.
    pub(super) fn deaf_sign_is_due(&mut self) -> bool {
        self.reading.is_some() && self.sign_is_due(DEAF_SIGN)
    }

    fn sign_is_due(&mut self, pause: Duration) -> bool {
        let now = Instant::now();
        let is_due = self.sign.is_none_or(|last| now.duration_since(last) >= pause);
        if is_due {
            self.sign = Some(now);
        }
        is_due
    }

    /// Something is waited for, so the alarm must be set.
    pub(super) fn waits(&self) -> bool {
        let Self { hello, frame, room, reading, farewell, sign: _ } = self;
        [hello, frame, room, reading, farewell].into_iter().any(Option::is_some)
    }

    /// What was waited for too long.
    pub(super) fn overdue(&self, options: &NetOptions) -> Option<Overdue> {
        let now = Instant::now();
        let is_over =
            |since: Option<Instant>, most| since.is_some_and(|since| now.duration_since(since) >= most);
        [
            (self.farewell, options.farewell, Overdue::Farewell),
            (self.hello, options.handshake, Overdue::Hello),
            (self.frame, options.half_frame, Overdue::Frame),
            (self.room, options.write_stall, Overdue::Room),
        ]
        .into_iter()
        .find_map(|(since, most, what)| is_over(since, most).then_some(what))
    }
}

/// Begins to wait, goes on waiting, or stops.
fn note(since: &mut Option<Instant>, is_awaited: bool) {
    if !is_awaited {
        *since = None;
    } else if since.is_none() {
        *since = Some(Instant::now());
    }
}
