//! A session with a real engine behind it: what a request comes to in the end, and what it leaves.

use super::*;
use windlass_engine::engine::Start;
use windlass_engine::{Engine, Turn};

/// Both, in one place.
pub(super) struct Desk {
    session: Session,
    engine: Engine,
    batch: u64,
    last_id: u64,
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
        engine.start(Start { now: NOW, minutes: 1 }, &mut Turn::new(1));
        let mut desk = Self { session: session(terms()), engine, batch: 1, last_id: 0 };
        let outcome = desk.ask(Request::Hello(Hello::default()));
        assert!(matches!(outcome, Outcome::Taken(_)), "{outcome:?}");
        desk
    }

    /// Asks, and lets the turn end. Of a refused request nothing may be left, here or there.
    pub(super) fn ask(&mut self, request: Request) -> Outcome {
        self.last_id += 1;
        let id = self.last_id;
        let shown = format!("{request:?}");
        let command = match ask(&mut self.session, id, request) {
            Verdict::Refuse(_, error) => return Outcome::Refused(error),
            Verdict::Close(_, error) => panic!("{shown} closes the connection: {error:?}"),
            Verdict::Ask((_, command, _)) => command,
        };
        let before = self.state();
        self.batch += 1;
        let mut turn = Turn::new(self.batch);
        self.engine.apply(NOW, To { conn: 1, id }, command, &mut turn);
        let refused = turn.frames.iter().any(|frame| matches!(frame.body, Body::Error(_)));
        if refused {
            assert_eq!((turn.frames.len(), turn.facts.len()), (1, 0), "{shown} was refused: {turn:?}");
            assert!(self.state() == before, "{shown} was refused, and left something");
        }
        self.engine.tick(NOW, &mut turn);
        self.session.take(turn.frames);
        let frames = said(&mut self.session);
        if !refused {
            return Outcome::Taken(frames);
        }
        let error = frames.into_iter().find_map(|frame| match frame.body {
            Some(Words::Error(error)) => Some(error),
            Some(_) | None => None,
        });
        Outcome::Refused(error.expect("it was said"))
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
