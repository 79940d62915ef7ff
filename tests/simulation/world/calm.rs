//! The end of a history, in which everything must come to its end; and what a test does in a world
//! in which nothing goes wrong.

use super::{CALM_MS, World};
use crate::simulation::actor::Link;
use crate::simulation::history::Asked;
use crate::simulation::process::Process;
use crate::simulation::wire::Wire;
use windlass_broker::door::{Door, Notice};
use windlass_broker::store::simulated::{SimJournal, SimLeaves};
use windlass_engine::command::Query;
use windlass_engine::engine::Pressure;
use windlass_engine::frame::Body;
use windlass_engine::part::Slot;
use windlass_engine::{Command, Frame};

impl World {
    /// From here on nothing bad happens; everything must come to its end.
    pub(super) fn calm_down(&mut self) {
        self.scene.is_calm = true;
        if self.is_armed {
            self.crash();
        }
        if self.process.is_none() {
            self.start();
        }
        if let Some(process) = &self.process {
            process.door.notify(Notice::Disk(Pressure::default()));
        }
        self.hang_up_all();
        // What was put off while the clock was ahead is not waited for.
        self.set_clock(self.history.latest.saturating_sub(self.scene.now).cast_signed());
        let until = self.scene.now + CALM_MS;
        while !(self.history.is_over() && self.actors.iter().all(|actor| actor.is_done())) {
            assert!(self.scene.now < until, "not everything came to its end: {}", self.what_is_left());
            for place in 0..self.actors.len() {
                self.settle_down(place);
            }
            self.pump();
            self.advance(500);
        }
        self.pump();
        for actor in &mut self.actors {
            let mut open = actor.link().wire.iter().flat_map(Wire::unanswered);
            let forgotten = open.find(|command| !matches!(command, Command::Fetch(_)));
            assert!(forgotten.is_none(), "nobody answers {forgotten:?}");
        }
    }

    /// An actor connects if it must, acts, and hears all there is.
    pub(super) fn settle_down(&mut self, place: usize) {
        let Some(process) = &self.process else { return };
        let (actor, scene) = (&mut self.actors[place], &mut self.scene);
        while let Some(frame) = actor.link().wire.as_mut().and_then(Wire::hear) {
            actor.hear(frame, scene);
        }
        if actor.link().wire.is_some() {
            actor.act(scene);
        } else {
            actor.connect(&process.door, scene);
        }
        if let Some(wire) = &mut actor.link().wire {
            wire.carry(usize::MAX);
        }
    }

    /// Everything that waits is done, but for time.
    pub fn pump(&mut self) {
        self.commit_all();
        while let Some(process) = &mut self.process
            && process.fold().expect("nothing fails any more")
        {}
        self.collect();
        self.audit();
    }

    /// Everything that was said so far is decided, and durable.
    pub fn commit_all(&mut self) {
        self.round();
        self.write();
        self.write();
        self.collect();
    }

    /// What operators are allowed to have asked for.
    pub fn asked(&mut self) -> &mut Asked {
        &mut self.history.asked
    }

    fn process(&mut self) -> &mut Process<SimJournal, SimLeaves> {
        self.process.as_mut().expect("the broker is up")
    }

    /// Folds all there is: whatever fold is under way, and one that begins after it.
    pub fn fold_all(&mut self) {
        while self.fold_slice() {}
        self.want_fold(true);
        let until = self.folds() + 1;
        while self.folds() < until {
            self.fold_slice();
        }
        self.want_fold(false);
        self.pump();
    }

    /// Folds that this run of the broker has ended.
    pub fn folds(&mut self) -> u64 {
        self.process().folds
    }

    /// Begins a fold with the next round, or lets none begin.
    pub fn want_fold(&mut self, wanted: bool) {
        self.process().want_fold(wanted).expect("nothing fails in a quiet world");
        self.history.read();
        self.collect();
    }

    /// A round, its commit, and one slice of a fold. False = there was none.
    pub fn fold_slice(&mut self) -> bool {
        self.commit_all();
        self.process().fold().expect("nothing fails in a quiet world")
    }

    /// The first batch that the journal still holds.
    pub fn first_batch(&self) -> u64 {
        self.disk.open_journal().1.first_batch
    }

    fn what_is_left(&self) -> String {
        let jobs = self.history.jobs.iter();
        let left: Vec<_> = jobs
            .filter(|(_, life)| life.removed.is_none() && !life.state.is_final())
            .map(|(seq, _)| self.history.head(*seq))
            .take(3)
            .collect();
        let done: Vec<bool> = self.actors.iter().map(|actor| actor.is_done()).collect();
        format!("actors done {done:?}, jobs {left:?}")
    }

    /// What an operator sees of every job that is there, with all its bytes, and that a restart keeps.
    pub fn inspect(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for namespace in ["default", "other"] {
            let queries = self.scene.ids.iter().map(|&id| Command::Query(Query::Job(id))).collect();
            let mut wire = self.newcomer(namespace);
            let frames = self.converse(&mut wire, queries);
            seen.extend(frames.iter().filter_map(|frame| match &frame.body {
                Body::Rows(rows) => {
                    let mut jobs = rows.jobs.clone();
                    // Progress and note of a run are written at a distance; those of the last second may be lost.
                    for job in jobs.iter_mut().filter(|job| job.lease.is_some()) {
                        (job.progress, job.note) = (0, Slot::Empty);
                    }
                    Some(format!("{jobs:?}"))
                }
                _ => None,
            }));
        }
        seen
    }

    /// A new connection that has said Hello.
    pub fn newcomer(&mut self, namespace: &'static str) -> Wire {
        let process = self.process.as_ref().expect("the broker is up");
        let mut link = Link::new("newcomer".into(), namespace, 0);
        link.hello(&process.door, None, &mut self.scene);
        link.wire.expect("just opened")
    }

    /// Where connections come in.
    pub fn door(&self) -> &Door {
        &self.process.as_ref().expect("the broker is up").door
    }

    /// How many frames have come for a connection.
    pub fn hear_of(&self, wire: &mut Wire) -> usize {
        wire.collect(&self.history);
        std::iter::from_fn(|| wire.hear()).count()
    }

    /// Asks, and waits for the answers.
    pub fn converse(&mut self, wire: &mut Wire, commands: Vec<Command>) -> Vec<Frame> {
        for command in commands {
            wire.ask(command);
        }
        wire.carry(usize::MAX);
        let mut frames = Vec::new();
        while wire.unanswered().next().is_some() {
            self.pump();
            wire.collect(&self.history);
            frames.extend(std::iter::from_fn(|| wire.hear()));
        }
        frames
    }
}
