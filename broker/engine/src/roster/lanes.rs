//! Lanes: in which order the ready jobs of one queue leave.
//!
//! Levels are strict, except that every 16th pick takes the oldest head of any level, so that
//! starvation is bounded. Inside a level, lanes (one per kind and key) share by start-time fair
//! queueing (Goyal, Vin and Cheng, SIGCOMM 1996): a lane's turn moves on by the cost of what it
//! got, and the lane with the earliest turn is next, of several the one with the older job; with
//! equal costs that is round robin. Inside a lane the order is by seq.

use super::seqs::Seqs;
use crate::ids::{NameId, Seq};
use crate::limits::FAIR_EVERY;
use alloc::collections::{BTreeMap, BTreeSet};

const LEVELS: usize = 10;

/// The ready jobs of one queue.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    levels: [Level; LEVELS],
    picks: u64,
}

#[derive(Debug, Default)]
struct Level {
    /// The turn served last: where a lane that was empty joins.
    clock: u64,
    rings: BTreeMap<NameId, Ring>,
}

/// The lanes of one kind.
#[derive(Debug, Default)]
struct Ring {
    order: BTreeSet<(u64, NameId)>,
    lanes: BTreeMap<NameId, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    turn: u64,
    jobs: Seqs,
}

/// Where a ready job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) level: u8,
    pub(crate) kind: NameId,
    pub(crate) key: NameId,
    pub(crate) seq: Seq,
}

impl Lanes {
    pub(crate) fn insert(&mut self, spot: Spot) {
        let level = &mut self.levels[usize::from(spot.level)];
        let ring = level.rings.entry(spot.kind).or_default();
        let lane = ring.lanes.entry(spot.key).or_default();
        if lane.jobs.is_empty() {
            // Beside lanes of its kind it waits for one turn of theirs, however far the level is.
            let front = ring.order.first().map_or(u64::MAX, |&(turn, _)| turn);
            lane.turn = front.min(level.clock) + 1;
            ring.order.insert((lane.turn, spot.key));
        }
        lane.jobs.insert(spot.seq);
    }

    pub(crate) fn remove(&mut self, spot: Spot) {
        let level = &mut self.levels[usize::from(spot.level)];
        let Some(ring) = level.rings.get_mut(&spot.kind) else { return };
        let Some(lane) = ring.lanes.get_mut(&spot.key) else { return };
        lane.jobs.remove(spot.seq);
        if lane.jobs.is_empty() {
            ring.order.remove(&(lane.turn, spot.key));
            ring.lanes.remove(&spot.key);
        }
        if ring.lanes.is_empty() {
            level.rings.remove(&spot.kind);
        }
    }

    pub(crate) fn contains(&self, spot: Spot) -> bool {
        let ring = self.levels[usize::from(spot.level)].rings.get(&spot.kind);
        ring.and_then(|ring| ring.lanes.get(&spot.key)).is_some_and(|lane| lane.jobs.contains(spot.seq))
    }

    /// How many jobs there are in all lanes.
    pub(crate) fn len(&self) -> usize {
        let rings = self.levels.iter().flat_map(|level| level.rings.values());
        rings.flat_map(|ring| ring.lanes.values()).map(|lane| lane.jobs.len()).sum()
    }

    /// The next job for somebody who can run `kinds` (none named = any).
    pub(crate) fn pick(&self, kinds: &[NameId]) -> Option<Spot> {
        if self.picks % FAIR_EVERY == FAIR_EVERY - 1 { self.oldest(kinds) } else { self.first(kinds) }
    }

    /// The picked job leaves for good: its lane pays for it.
    pub(crate) fn charge(&mut self, spot: Spot, cost: u32) {
        self.picks += 1;
        let level = &mut self.levels[usize::from(spot.level)];
        let Some(ring) = level.rings.get_mut(&spot.kind) else { return };
        let Some(lane) = ring.lanes.get_mut(&spot.key) else { return };
        ring.order.remove(&(lane.turn, spot.key));
        level.clock = level.clock.max(lane.turn);
        lane.turn += u64::from(cost);
        ring.order.insert((lane.turn, spot.key));
    }

    pub(crate) fn has(&self, kind: NameId) -> bool {
        self.filled().any(|(_, level)| level.rings.contains_key(&kind))
    }

    /// The kinds that have a ready job.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = NameId> + '_ {
        self.levels.iter().flat_map(|level| level.rings.keys().copied())
    }

    fn filled(&self) -> impl DoubleEndedIterator<Item = (usize, &Level)> {
        self.levels.iter().enumerate().filter(|(_, level)| !level.rings.is_empty())
    }

    fn first(&self, kinds: &[NameId]) -> Option<Spot> {
        self.filled().rev().find_map(|(number, level)| {
            level.fronts(kinds).min_by_key(|&(turn, .., seq)| (turn, seq)).map(|front| spot(number, front))
        })
    }

    fn oldest(&self, kinds: &[NameId]) -> Option<Spot> {
        self.filled()
            .flat_map(|(number, level)| level.fronts(kinds).map(move |front| spot(number, front)))
            .min_by_key(|spot| spot.seq)
    }
}

type Front = (u64, NameId, NameId, Seq);

impl Level {
    /// The lane at the head of each ring, with its first job.
    fn fronts<'a>(&'a self, kinds: &'a [NameId]) -> impl Iterator<Item = Front> + 'a {
        let any = kinds.is_empty().then(|| self.rings.iter().map(|(&kind, ring)| (kind, ring)));
        let named = kinds.iter().filter_map(|&kind| Some((kind, self.rings.get(&kind)?)));
        any.into_iter().flatten().chain(named).filter_map(|(kind, ring)| {
            let &(turn, key) = ring.order.first()?;
            let seq = ring.lanes.get(&key)?.jobs.first()?;
            Some((turn, kind, key, seq))
        })
    }
}

fn spot(level: usize, (_, kind, key, seq): Front) -> Spot {
    Spot { level: u8::try_from(level).expect("there are ten levels"), kind, key, seq }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn drain(lanes: &mut Lanes, count: usize) -> Vec<Seq> {
        (0..count)
            .filter_map(|_| {
                let spot = lanes.pick(&[])?;
                lanes.charge(spot, 1);
                lanes.remove(spot);
                Some(spot.seq)
            })
            .collect()
    }

    #[test]
    fn keys_take_turns_and_a_lane_keeps_its_order() {
        let mut lanes = Lanes::default();
        for seq in 1..=6 {
            lanes.insert(Spot { level: 4, kind: 1, key: if seq <= 4 { 10 } else { 20 }, seq });
        }
        assert_eq!(drain(&mut lanes, 9), [1, 5, 2, 6, 3, 4]);
    }

    #[test]
    fn a_high_level_goes_first_but_every_sixteenth_pick_serves_the_oldest() {
        let mut lanes = Lanes::default();
        lanes.insert(Spot { level: 0, kind: 1, key: 0, seq: 1 });
        for seq in 2..=40 {
            lanes.insert(Spot { level: 9, kind: 1, key: 0, seq });
        }
        let order = drain(&mut lanes, 40);
        assert_eq!(order.iter().position(|&seq| seq == 1), Some(15));
    }

    #[test]
    fn kinds_that_nobody_asks_for_block_nobody() {
        let mut lanes = Lanes::default();
        lanes.insert(Spot { level: 4, kind: 1, key: 0, seq: 1 });
        lanes.insert(Spot { level: 4, kind: 2, key: 0, seq: 2 });
        assert_eq!(lanes.pick(&[2]).map(|spot| spot.seq), Some(2));
        assert_eq!(lanes.pick(&[3]), None);
    }

    #[test]
    fn a_new_key_waits_for_one_turn_only_beside_a_busy_kind() {
        let mut lanes = Lanes::default();
        // Workers of kind 1 are fast.
        for seq in 1..=2_000 {
            lanes.insert(Spot { level: 4, kind: 1, key: 10, seq });
        }
        // Key 20 of kind 2 has a long backlog; its workers have served one job so far.
        for seq in 2_001..=3_000 {
            lanes.insert(Spot { level: 4, kind: 2, key: 20, seq });
        }
        let serve = |lanes: &mut Lanes, kind: NameId| {
            let spot = lanes.pick(&[kind]).unwrap();
            lanes.charge(spot, 1);
            lanes.remove(spot);
            spot.key
        };
        serve(&mut lanes, 2);
        for _ in 0..1_900 {
            serve(&mut lanes, 1);
        }
        // Somebody else's single job of kind 2.
        lanes.insert(Spot { level: 4, kind: 2, key: 30, seq: 3_001 });
        let waited = (0..999).position(|_| serve(&mut lanes, 2) == 30);
        assert!(waited.is_some_and(|waited| waited <= 16), "it waited for {waited:?} jobs of the other key");
    }
}
