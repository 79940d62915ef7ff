//! What handlers say, as naive as can be: the last checkpoint is what the next run gets.

use crate::dice::Dice;
use crate::reference::Model;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::command::{JobTouch, Telling};
use windlass_engine::frame::{Body, Frame};
use windlass_engine::ids::{ConnId, JobId, Ms, Request};
use windlass_engine::ledger::job::State;

/// What waits at most to be written.
const WAIT: Ms = 200;

/// What is known of what was said.
#[derive(Default)]
pub(crate) struct Said {
    /// By job: bytes of the last checkpoint, and when it is written at the latest.
    checkpoints: BTreeMap<JobId, (usize, Ms)>,
    /// Touches that are not answered yet, and when they are at the latest.
    touches: BTreeMap<Request, Ms>,
}

/// Something to say.
pub(crate) fn random(dice: &mut Dice) -> Option<Box<Telling>> {
    let lines = if dice.one_in(2) { dice.roll(90) as u16 } else { 0 };
    let telling = Telling {
        progress: dice.one_in(2).then(|| dice.roll(1_000) as u16),
        note: dice.one_in(3).then(|| "n".repeat(dice.roll(9) as usize)),
        lines,
        logs: vec![b'l'; 20 * usize::from(lines)],
        checkpoint: dice.one_in(2).then(|| vec![b'c'; dice.roll(30) as usize].into()),
        output: vec![b'o'; dice.roll(40_000) as usize].into(),
    };
    (!dice.one_in(3)).then(|| Box::new(telling))
}

impl Said {
    /// A run that stands was touched; `is_answered` = at once.
    pub(crate) fn touched(&mut self, from: Request, touch: &JobTouch, is_answered: bool, now: Ms) {
        let Some(checkpoint) = touch.telling.as_ref().and_then(|telling| telling.checkpoint.as_ref()) else {
            return assert!(is_answered, "nothing is waited for: {touch:?}");
        };
        let until = if is_answered { now } else { now + WAIT };
        self.checkpoints.insert(touch.id, (checkpoint.len(), until));
        if !is_answered {
            self.touches.insert(from, until);
        }
    }

    /// A lease was settled with this for the next run.
    pub(crate) fn settled(&mut self, id: JobId, bytes: usize, now: Ms) {
        self.checkpoints.insert(id, (bytes, now));
    }

    pub(crate) fn waits(&self, request: Request) -> bool {
        self.touches.contains_key(&request)
    }

    /// A turn is over.
    pub(crate) fn check(&mut self, world: &World, model: &Model, frames: &[Frame]) {
        for frame in frames.iter().filter(|frame| matches!(frame.body, Body::Touched(_))) {
            self.touches.remove(&frame.to);
        }
        let open: BTreeSet<ConnId> = world.conns.values().copied().collect();
        self.touches.retain(|request, _| open.contains(&request.conn));
        let late = self.touches.iter().find(|(_, until)| **until <= world.now);
        assert!(late.is_none(), "nobody answers the touch {late:?}");
        self.checkpoints.retain(|id, _| model.jobs.iter().any(|job| job.spec.id == *id));
        for job in &model.jobs {
            let stored = world.engine.ledger().jobs.get(job.seq).map_or(0, |job| job.checkpoint_len());
            let Some(&(bytes, until)) = self.checkpoints.get(&job.spec.id) else {
                assert_eq!(stored, 0, "nobody stored anything: {job:?}");
                continue;
            };
            if job.state == State::Completed {
                assert_eq!(stored, 0, "of no use any more: {job:?}");
                self.checkpoints.remove(&job.spec.id);
            } else if job.lease.is_none() || until <= world.now {
                assert_eq!(stored, bytes, "what was said last: {job:?}");
            }
        }
    }

    /// The broker ends: what was not written yet, and not answered, is lost.
    pub(crate) fn restart(&mut self, world: &World) {
        self.touches.clear();
        for job in world.engine.ledger().jobs.iter() {
            let Some((bytes, until)) = self.checkpoints.get_mut(&job.id) else { continue };
            *bytes = job.checkpoint_len();
            *until = 0;
        }
    }
}
