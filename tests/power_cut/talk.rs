//! One conversation with a broker over real files: commands in, answers out, everything pumped by
//! hand. Whoever looks at what a power cut left speaks so: a thousand starts of the program take longer.

use crate::simulation::process::{Process, Setup, Tape};
use crate::simulation::random::Random;
use crate::store_model::open_store;
use std::path::Path;
use windlass_broker::door::{Line, weight};
use windlass_broker::driver::core::CoreOptions;
use windlass_broker::store::StoreError;
use windlass_broker::store::directory::Directory;
use windlass_broker::store::journal::DiskJournal;
use windlass_broker::store::sled_leaves::SledLeaves;
use windlass_engine::command::Hello;
use windlass_engine::{Command, Engine, Frame, SessionId};

/// Small segments, so that a short life uses many.
pub const SEGMENT_BYTES: u64 = 65_536;

/// A broker on disk and one client of it.
pub struct Talk {
    process: Process<DiskJournal, SledLeaves>,
    line: Line,
    next_id: u64,
    now: u64,
    _directory: Directory,
}

impl Talk {
    /// Starts a broker over what lies in `data`, and says Hello. `seed` makes the session.
    pub fn start(data: &Path, now: u64, seed: u64) -> Result<Self, StoreError> {
        let (directory, opened) = open_store(data, SEGMENT_BYTES)?;
        let core = CoreOptions { unfolded_bytes_max: 8 << 20, cache_bytes_max: 30_000, jobs_max: 100_000 };
        let setup = Setup { now, seed, core, leaves_per_slice: 4 };
        let process = Process::start(opened, &setup, &Tape::default())?;
        let line = process.door.open();
        let mut talk = Self { process, line, next_id: 0, now, _directory: directory };
        talk.ask(Command::Hello(Box::new(Hello {
            namespace: "default".into(),
            client: "talk/1".into(),
            host: String::new(),
            pid: 1,
            labels: Vec::new(),
            session_ttl_ms: 0,
            resume: None,
            running: None,
            fresh: SessionId(Random::new(seed).bytes16()),
            token: String::new(),
            reach: windlass_engine::Reach::default(),
        })))?;
        Ok(talk)
    }

    /// The rules and what they hold.
    pub fn engine(&self) -> &Engine {
        self.process.engine()
    }

    /// Asks, and waits for the last frame of the answer; a fold goes on meanwhile.
    pub fn ask(&mut self, command: Command) -> Result<Vec<Frame>, StoreError> {
        self.next_id += 1;
        self.line.send([(self.next_id, command, 100)]);
        let mut heard = Vec::new();
        loop {
            self.now += 1;
            self.process.round(self.now)?;
            self.process.pump()?;
            self.process.fold()?;
            for frame in self.line.outbox().try_frames() {
                let _unchoked = self.line.outbox().written(weight(&frame));
                let is_answer = frame.to.id == self.next_id;
                let is_last = is_answer && frame.last;
                heard.extend(is_answer.then_some(frame));
                if is_last {
                    return Ok(heard);
                }
            }
        }
    }

    /// Folds all there is.
    pub fn fold_all(&mut self) -> Result<(), StoreError> {
        self.process.want_fold(true)?;
        let until = self.process.folds + 2;
        while self.process.folds < until {
            self.now += 1;
            self.process.round(self.now)?;
            self.process.pump()?;
            self.process.fold()?;
        }
        self.process.want_fold(false)
    }

    /// Stops in order.
    pub fn stop(self) -> Result<(), StoreError> {
        self.process.stop(self.now)?.close()
    }
}
