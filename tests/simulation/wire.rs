//! A client's connection: what it has sent and the broker has not got, what the broker has said and
//! it has not heard, and how both are lost in part when the connection breaks.

use super::history::History;
use super::promises;
use super::random::Random;
use std::collections::{BTreeMap, VecDeque};
use windlass_broker::door::{Door, Line, weight};
use windlass_engine::frame::Body;
use windlass_engine::{Command, Frame, SessionId};

/// One end of a connection, and the way to the other.
pub struct Wire {
    line: Line,
    outgoing: VecDeque<(u64, Command)>,
    arriving: VecDeque<Frame>,
    /// The session it belongs to, once the broker has said so.
    session: Option<SessionId>,
    /// Requests without their last frame.
    open: BTreeMap<u64, Command>,
    next_id: u64,
}

impl Wire {
    /// A new connection.
    pub fn open(door: &Door) -> Self {
        Self {
            line: door.open(),
            outgoing: VecDeque::new(),
            arriving: VecDeque::new(),
            session: None,
            open: BTreeMap::new(),
            next_id: 1,
        }
    }

    /// Sends a command; it may take its time.
    pub fn ask(&mut self, command: Command) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id, command.clone());
        self.outgoing.push_back((id, command));
        id
    }

    /// The network carries some commands to the broker's door.
    pub fn carry(&mut self, most: usize) {
        let most = most.min(self.outgoing.len());
        self.line.send(self.outgoing.drain(..most).map(|(id, command)| (id, command, 100)));
    }

    /// The network takes what the broker has said: from now on the client may hear it any time, so
    /// it must be true. Returns a fingerprint of it.
    pub fn collect(&mut self, history: &History) -> u64 {
        let mut print = 0u64;
        for frame in self.line.outbox().try_frames() {
            if self.line.outbox().written(weight(&frame)) {
                self.outgoing.push_back((0, Command::Unchoke));
            }
            let id = frame.to.id;
            assert!(id == 0 || self.open.contains_key(&id), "an answer to nothing: {frame:?}");
            if let Body::Welcome(welcome) = &frame.body {
                self.session = Some(welcome.session);
            }
            promises::check(history, self.session, self.open.get(&id), &frame);
            print = print.wrapping_mul(31) + id + weight(&frame) as u64;
            if frame.last {
                self.open.remove(&id);
            }
            self.arriving.push_back(frame);
        }
        print
    }

    /// What the client hears next.
    pub fn hear(&mut self) -> Option<Frame> {
        self.arriving.pop_front()
    }

    /// Requests that are not answered yet.
    pub fn unanswered(&self) -> impl Iterator<Item = &Command> {
        self.open.values()
    }

    /// The connection breaks: some of what is on its way still arrives, at either end. Who keeps
    /// the line keeps the broker from noticing.
    pub fn cut(mut self, random: &mut Random) -> (Vec<Frame>, Line) {
        let sent = random.place(self.outgoing.len() + 1);
        self.carry(sent);
        let heard = random.place(self.arriving.len() + 1);
        (self.arriving.drain(..heard).collect(), self.line)
    }
}
