//! What every actor has: a connection that comes and goes, and a session that outlives it.

use super::scene::Scene;
use super::wire::Wire;
use windlass_broker::door::Door;
use windlass_engine::command::Hello;
use windlass_engine::ids::Ms;
use windlass_engine::{Command, Frame, JobId, SessionId};

/// Somebody who talks to the broker.
pub trait Actor {
    /// The actor's connection and session.
    fn link(&mut self) -> &mut Link;

    /// Opens a connection, and says again what may have been lost.
    fn connect(&mut self, door: &Door, scene: &mut Scene);

    /// Does something, on an open connection.
    fn act(&mut self, scene: &mut Scene);

    /// Hears a frame.
    fn hear(&mut self, frame: Frame, scene: &mut Scene);

    /// The connection is gone.
    fn lost(&mut self) {}

    /// Says that it is alive, if it should by now; when it should again.
    fn beat(&mut self, _now: Ms) -> Option<Ms> {
        None
    }

    /// Whether it still wants something of the broker.
    fn is_done(&self) -> bool;
}

/// A connection, and the session it belongs to.
pub struct Link {
    /// The connection, while there is one.
    pub wire: Option<Wire>,
    /// The session, once there is one.
    pub session: Option<SessionId>,
    /// The namespace of the session.
    pub namespace: &'static str,
    /// Who it is.
    pub name: String,
    /// The time to live it asks for.
    pub ttl_ms: u64,
}

impl Link {
    /// Nobody knows it yet.
    pub fn new(name: String, namespace: &'static str, ttl_ms: u64) -> Self {
        Self { wire: None, session: None, namespace, name, ttl_ms }
    }

    /// Opens a connection and says Hello. `running` = it resumes its session, and runs these.
    pub fn hello(&mut self, door: &Door, running: Option<Vec<(JobId, u64)>>, scene: &mut Scene) {
        let hello = Hello {
            namespace: self.namespace.into(),
            client: "simulated/1".into(),
            host: self.name.clone(),
            pid: 7,
            labels: Vec::new(),
            session_ttl_ms: self.ttl_ms,
            resume: self.session.filter(|_| running.is_some()),
            running,
            fresh: SessionId(scene.random.bytes16()),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        };
        let mut wire = Wire::open(door);
        wire.ask(Command::Hello(Box::new(hello)));
        self.wire = Some(wire);
    }

    /// Sends a command, if there is a connection.
    pub fn ask(&mut self, command: Command) -> Option<u64> {
        self.wire.as_mut().map(|wire| wire.ask(command))
    }
}
