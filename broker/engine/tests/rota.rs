//! Schedules in random histories: whatever happens, each tick is one job, or is left out and counted.

use crate::almanac;
use crate::dice::Dice;
use crate::fold::Store;
use crate::model::{each, seeds};
use crate::world::{DAWN, World};
use std::collections::BTreeSet;
use windlass_engine::command::{Command, JobSpec, Put, Scope, SetResource, Target};
use windlass_engine::fact::{Fact, ResourceBody};
use windlass_engine::ids::Ms;
use windlass_engine::schedule::{Calendar, CatchUp, Overlap, Schedule, TickOf};

/// A random schedule, without its job.
pub(crate) fn schedule(dice: &mut Dice, calendar: Calendar) -> Schedule {
    let overlaps =
        [Overlap::Skip, Overlap::BufferOne, Overlap::BufferAll, Overlap::CancelRunning, Overlap::Allow];
    Schedule {
        calendar,
        overlap: dice.of(&overlaps).unwrap_or_default(),
        catch_up: dice.of(&[CatchUp::Last, CatchUp::None, CatchUp::All]).unwrap_or_default(),
        catch_up_window_ms: 1_000 + dice.roll(200_000),
        catch_up_max: 1 + dice.roll(5) as u32,
        max_runs: if dice.one_in(6) { 1 + dice.roll(9) } else { 0 },
        paused: dice.one_in(6),
        pause_after_failures: if dice.one_in(2) { 1 + dice.roll(3) as u32 } else { 0 },
        ..Schedule::default()
    }
}

/// A tick that somebody names himself.
pub(crate) fn tick_of(dice: &mut Dice) -> TickOf {
    let schedule = if dice.one_in(2) { "often" } else { "hourly" };
    TickOf { schedule: schedule.into(), at: DAWN + 1_000 * dice.roll(200) }
}

/// A broker with one schedule, and somebody who works.
struct Shift {
    world: World,
    dice: Dice,
    schedule: Schedule,
    since: Ms,
    workers: usize,
}

impl Shift {
    fn new(seed: u64) -> Self {
        let (mut world, mut dice) = (World::new(), Dice::new(seed));
        world.joins = dice.one_in(2);
        world.store = dice.one_in(2).then(|| Store::new(seed));
        let every_ms = 1_000 + dice.roll(20_000);
        let calendar = Calendar { every_ms, anchor_at: dice.roll(9_000), ..Calendar::default() };
        let job = JobSpec { queue: "mail".into(), kind: "send".into(), ..JobSpec::default() };
        let jitter_ms = if dice.one_in(3) { dice.roll(9_000) } else { 0 };
        let random = schedule(&mut dice, calendar);
        let schedule =
            Schedule { job, jitter_ms, max_runs: 0, paused: false, pause_after_failures: 0, ..random };
        let since = world.now;
        let mut shift = Self { world, dice, schedule, since, workers: 0 };
        let body = ResourceBody::Schedule(Box::new(shift.schedule.clone()));
        let target = Target::Schedule("s".into());
        let set = vec![SetResource { target, if_version: 0, body, scope: Scope::default() }];
        let conn = shift.worker();
        let request = shift.world.request(conn, crate::world::Asked::default());
        shift.world.turn(vec![(request, Command::Put(Put { set, ..Put::default() }))]);
        shift
    }

    fn say(&mut self, conn: u64, words: &str) {
        let (command, asked) = self.world.command(conn, words);
        let request = self.world.request(conn, asked);
        self.world.turn(vec![(request, command)]);
    }

    /// The worker's connection; a new one after a restart.
    fn worker(&mut self) -> u64 {
        if let Some(conn) = self.world.conns.values().next() {
            return *conn;
        }
        self.workers += 1;
        let conn = self.world.connect(&format!("w{}", self.workers));
        self.say(conn, "hello ttl=1h");
        conn
    }

    fn step(&mut self) {
        let conn = self.worker();
        match self.dice.roll(10) {
            0..4 => drop(self.world.pass(self.world.now + self.dice.roll(30_000))),
            4 => {
                let late = self.dice.roll(200_000);
                drop(self.world.pass(self.world.now + 1));
                self.world.now += late;
                self.world.turn(Vec::new());
            }
            5 => {
                self.world.now += self.dice.roll(200_000);
                let in_order = self.dice.one_in(2);
                self.world.restart(in_order);
            }
            6 | 7 => self.say(conn, "fetch once=2"),
            _ => self.settle(conn),
        }
        drop(self.world.pass(self.world.now));
    }

    fn settle(&mut self, conn: u64) {
        let session = self.world.attached[&conn];
        let jobs = self.world.engine.ledger().jobs.iter();
        let mine = jobs.filter(|job| job.lease.as_ref().is_some_and(|lease| lease.session == session));
        let ticks: Vec<Ms> = mine.map(|job| job.tick()).collect();
        let how = if self.dice.one_in(3) { "fail fatal" } else { "complete" };
        if let Some(tick) = self.dice.of(&ticks) {
            self.say(conn, &format!("settle s@{}ms {how}", tick - DAWN));
        }
    }

    fn check(&self) {
        let ledger = self.world.engine.ledger();
        let progress = &ledger.schedules.values().next().expect("it was set").progress;
        let had = almanac::ticks(&self.schedule.calendar, self.since, progress.cursor).count() as u64;
        let counted = progress.runs + progress.skipped + progress.waiting.len() as u64;
        assert_eq!(
            counted, had,
            "ticks that were neither run nor left out: {progress:?} {:?}",
            self.schedule
        );
        let next = almanac::ticks(&self.schedule.calendar, progress.cursor, progress.next).next();
        assert_eq!(next, Some(progress.next), "the next tick is the first after the last");
        assert!(progress.next + self.schedule.jitter_ms >= self.world.now, "a tick was slept through");
        let facts = self.world.journal.iter().flat_map(|(_, facts)| facts);
        let enqueued = facts.filter_map(|fact| match fact {
            Fact::Enqueued { job, .. } => Some(job.id),
            _ => None,
        });
        let ids: Vec<_> = enqueued.collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "a tick became a job twice");
        assert_eq!(ids.len() as u64, progress.runs);
        let open = ledger.jobs.iter().filter(|job| !job.state.is_final()).count();
        assert!(open <= 1 || self.schedule.overlap == Overlap::Allow, "{open} jobs at a time");
    }
}

#[test]
fn every_tick_is_one_job_or_left_out_and_counted() {
    let runs = each(seeds(4_000_000, 80), |seed| {
        let mut shift = Shift::new(seed);
        for _ in 0..100 {
            shift.step();
            shift.check();
        }
        if shift.world.store.is_none() {
            shift.world.compare_with_replay();
        }
        shift.world.engine.ledger().schedules.values().map(|row| row.progress.runs).sum::<u64>()
    });
    assert!(runs.iter().sum::<u64>() > 1_000, "hardly anything ticked");
}
