//! A session with a real engine behind it: what a request comes to in the end, and what it leaves.

use super::*;
use windlass_engine::engine::Start;
use windlass_engine::part::Slot;
use windlass_engine::{Engine, Turn};

/// Both, in one place.
pub(super) struct Desk {
    session: Session,
    engine: Engine,
    batch: u64,
    conn: u64,
    last_id: u64,
    now: u64,
    /// Only now and then everything is compared.
    pub(super) is_brief: bool,
}

/// What a request came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was refused, here or by the engine.
    Refused(Error),
    /// It was taken; what the engine said in its turn.
    Taken(Vec<ServerFrame>),
}

impl Desk {
    /// A session behind its Welcome.
    pub(super) fn new() -> Self {
        let mut engine = Engine::new(7);
        engine.set_jobs_max(300);
        engine.start(Start { now: NOW, minutes: 1 }, &mut Turn::new(1));
        let session = session(terms());
        let mut desk = Self { session, engine, batch: 1, conn: 0, last_id: 0, now: NOW, is_brief: false };
        desk.greet();
        desk
    }

    /// Another connection, with a session of its own.
    fn greet(&mut self) {
        self.session = session(terms());
        self.conn += 1;
        self.last_id = 0;
        let outcome = self.ask(Request::Hello(Hello::default()));
        assert!(matches!(outcome, Outcome::Taken(_)), "{outcome:?}");
    }

    /// Asks, and lets the turn end. Of a refused request nothing may be left, here or there.
    pub(super) fn ask(&mut self, request: Request) -> Outcome {
        self.last_id += 1;
        let shown = if self.is_brief { String::new() } else { format!("{request:?}") };
        let frame = ClientFrame { id: self.last_id, request: Some(request) };
        let verdict = self.session.receive(Inbound::Request { frame, bytes: 100 }, self.now);
        self.decide(verdict, &shown)
    }

    /// Asks with the bytes of a verb's message.
    pub(super) fn ask_bytes(&mut self, verb: u32, message: &[u8]) -> Outcome {
        self.last_id += 1;
        let mut frame = BytesMut::new();
        prost::encoding::uint64::encode(1, &self.last_id, &mut frame);
        prost::encoding::bytes::encode(verb, &message.to_vec(), &mut frame);
        let length = u32::try_from(frame.len()).expect("it is short");
        let mut arrived = BytesMut::from(&length.to_be_bytes()[..]);
        arrived.extend_from_slice(&frame);
        let verdict = self.session.read(&mut arrived, self.now).expect("the frame is whole");
        self.decide(verdict, "")
    }

    fn decide(&mut self, verdict: Verdict, shown: &str) -> Outcome {
        let (id, command) = match verdict {
            Verdict::Refuse(_, error) => return Outcome::Refused(error),
            Verdict::Close(_, error) => {
                assert!(self.is_brief, "{shown} closes the connection: {error:?}");
                self.hang_up();
                return Outcome::Refused(error);
            }
            Verdict::Ask((id, command, _)) => (id, command),
            Verdict::Answer(..) => panic!("nothing is known here without tokens"),
        };
        let is_compared = !self.is_brief || self.batch.is_multiple_of(64);
        self.batch += 1;
        let mut turn = Turn::new(self.batch);
        // A sign of life is what every request is, refused or not.
        self.engine.apply(self.now, To { conn: self.conn, id: 0 }, Command::Sign, &mut turn);
        let before = if is_compared { (self.state(), format!("{command:?}")) } else { Default::default() };
        let (before, shown) = (before.0, if shown.is_empty() { &before.1 } else { shown });
        let to = To { conn: self.conn, id };
        self.engine.apply(self.now, to, command, &mut turn);
        let refused = turn.frames.iter().any(|frame| matches!(frame.body, Body::Error(_)));
        if refused {
            assert_eq!((turn.frames.len(), turn.facts.len()), (1, 0), "{shown} was refused: {turn:?}");
            let is_same = !is_compared || self.state() == before;
            assert!(is_same, "{shown} was refused, and left something");
        }
        self.engine.tick(self.now, &mut turn);
        let frames = self.hear(turn);
        if !refused {
            return Outcome::Taken(frames);
        }
        let error = frames.into_iter().find_map(|frame| match frame.body {
            Some(Words::Error(error)) if frame.id == id => Some(error),
            Some(_) | None => None,
        });
        Outcome::Refused(error.expect("it was said"))
    }

    /// Time passes, tick by tick.
    pub(super) fn pass(&mut self, by_ms: u64) {
        let until = self.now + by_ms;
        while let Some(at) = self.engine.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.batch += 1;
            let mut turn = Turn::new(self.batch);
            self.engine.tick(self.now, &mut turn);
            self.hear(turn);
        }
        self.now = until;
    }

    fn hear(&mut self, turn: Turn) -> Vec<ServerFrame> {
        let mine = turn.frames.into_iter().filter(|frame| frame.to.conn == self.conn);
        let mut mine: Vec<Frame> = mine.collect();
        for frame in &mut mine {
            // There is no store that knows the bytes.
            frame.slots_mut().for_each(|slot| *slot = Slot::Empty);
            frame.row_slots_mut().for_each(|slot| *slot = Slot::Empty);
        }
        self.session.take(mine);
        let frames = said(&mut self.session);
        if self.session.is_closed() {
            self.hang_up();
        }
        frames
    }

    /// The connection is over; the next one begins.
    fn hang_up(&mut self) {
        self.batch += 1;
        let mut turn = Turn::new(self.batch);
        self.engine.apply(self.now, To { conn: self.conn, id: 0 }, Command::Hangup, &mut turn);
        self.greet();
    }

    /// The last id that was asked under.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Everything that the engine knows, stored or not.
    fn state(&self) -> String {
        format!("{:?}", self.engine)
    }

    /// Whether all that is derived agrees with the ledger.
    pub(super) fn audit(&self) {
        self.engine.audit().expect("the engine agrees with itself");
    }
}
