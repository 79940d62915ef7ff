//! What goes wrong: connections, disks, clocks; and how time goes by.

use super::{AWAY_MS, World};
use crate::simulation::swarm::Dial;
use windlass_broker::door::Notice;
use windlass_engine::engine::Pressure;
use windlass_engine::ids::Ms;

/// Somebody sets the clock by so much at most.
const JUMP_MS_MAX: u64 = 60 * 60_000;

/// What goes wrong, and how often.
const TROUBLES: [(Dial, u64); 8] = [
    (Dial::Cut, 10),
    (Dial::Disk, 3),
    (Dial::Pressure, 3),
    (Dial::Crash, 5),
    (Dial::Stop, 1),
    (Dial::Stall, 2),
    (Dial::Jump, 2),
    (Dial::Leap, 4),
];

impl World {
    /// Something goes wrong, of what this history has.
    pub(super) fn trouble(&mut self) {
        if !self.scene.random.chance(self.scene.swarm.roughness) {
            return;
        }
        let share = |(dial, weight): (Dial, u64)| weight * self.scene.swarm.dial(dial);
        let most: u64 = TROUBLES.iter().map(|(_, weight)| weight * 100).sum();
        let all: u64 = TROUBLES.into_iter().map(share).sum();
        let mut roll = self.scene.random.below(all.max(most));
        let trouble = TROUBLES.into_iter().find(|&(dial, weight)| {
            let share = weight * self.scene.swarm.dial(dial);
            let is_it = roll < share;
            roll = roll.saturating_sub(share);
            is_it
        });
        match trouble.map(|(dial, _)| dial) {
            Some(Dial::Cut) => self.break_a_connection(),
            Some(Dial::Disk) => self.break_the_disk(),
            Some(Dial::Pressure) => self.fill_the_disk(),
            Some(Dial::Crash) => self.crash(),
            Some(Dial::Stop) => self.stop(),
            Some(Dial::Stall) => self.stall(),
            Some(Dial::Jump) => self.jump(),
            Some(_) => self.advance(60_000),
            None => {}
        }
    }

    fn break_a_connection(&mut self) {
        let place = self.scene.random.place(self.actors.len());
        self.hang_up(place);
        // A line that nobody holds any more is noticed at last.
        if self.orphans.len() > 3 || self.scene.random.chance(20) {
            self.orphans.clear();
        }
    }

    fn hang_up(&mut self, place: usize) {
        let (actor, scene) = (&mut self.actors[place], &mut self.scene);
        let Some(wire) = actor.link().wire.take() else { return };
        let (heard, line) = wire.cut(&mut scene.random);
        for frame in heard {
            actor.hear(frame, scene);
        }
        actor.link().wire = None;
        actor.lost();
        if scene.happens(Dial::HalfOpen, 30) && self.process.is_some() {
            self.orphans.push(line);
        }
    }

    pub(super) fn hang_up_all(&mut self) {
        for place in 0..self.actors.len() {
            self.hang_up(place);
        }
        self.orphans.clear();
    }

    /// The disk is about to fail.
    fn break_the_disk(&mut self) {
        let nth = 1 + self.scene.random.below(4);
        match self.scene.random.below(3) {
            0 => self.disk.fail_append(nth),
            1 => self.disk.fail_write(nth),
            _ => self.disk.fail_sync(nth),
        }
        self.is_armed = true;
    }

    /// The disk is low, or has room again.
    fn fill_the_disk(&mut self) {
        let random = &mut self.scene.random;
        let pressure = Pressure {
            no_enqueue: random.chance(30),
            small_results: random.chance(30),
            no_leases: random.chance(20),
            ..Pressure::default()
        };
        if let Some(process) = &self.process {
            process.door.notify(Notice::Disk(pressure));
        }
    }

    /// The whole process stands still, and does not hear that its clients live.
    fn stall(&mut self) {
        let away_ms = self.scene.random.between(100, 40_000);
        self.scene.now += away_ms;
        if away_ms > AWAY_MS {
            self.shift(away_ms.cast_signed());
        }
        self.round();
    }

    /// Somebody sets the clock.
    fn jump(&mut self) {
        let most = *self.scene.random.pick(&[10_000, 300_000, JUMP_MS_MAX]);
        let by_ms = self.scene.random.below(2 * most).cast_signed() - most.cast_signed();
        self.set_clock(by_ms);
    }

    pub(super) fn set_clock(&mut self, by_ms: i64) {
        self.history.clock_set(by_ms);
        self.scene.now = self.scene.now.saturating_add_signed(by_ms);
        self.shift(by_ms);
        self.round();
    }

    fn shift(&mut self, by_ms: i64) {
        if let Some(process) = &mut self.process {
            process.shift(by_ms);
            self.presence.shift(by_ms);
        }
    }

    // ------------------------------------------------------------------ time

    pub(super) fn advance_a_little(&mut self) {
        let by_ms = match self.scene.random.below(10) {
            0..=6 => self.scene.random.below(100),
            7 | 8 => self.scene.random.below(2_000),
            _ => self.scene.random.below(10_000),
        };
        self.advance(by_ms);
    }

    /// Time goes by, while everybody who is there says so, and the broker's loop goes round.
    pub(super) fn advance(&mut self, by_ms: u64) {
        let until = self.scene.now + by_ms;
        loop {
            let beats = self.actors.iter_mut().filter_map(|actor| actor.beat(self.scene.now));
            let beat_at = beats.min().unwrap_or(Ms::MAX);
            let Some(process) = &self.process else { return };
            let due = process.deadline().unwrap_or(Ms::MAX).max(self.scene.now);
            let next = due.min(beat_at).min(until);
            self.scene.now = self.scene.now.max(next);
            for actor in &mut self.actors {
                actor.beat(self.scene.now);
            }
            self.round();
            if self.scene.random.chance(70) {
                self.write();
                self.collect();
            }
            if next >= until {
                return;
            }
        }
    }
}
