//! Lanes: in which order the ready jobs of one queue leave.
//!
//! Levels are strict, except that every 16th pick is of the level with the oldest job, so that
//! starvation is bounded. Inside a level, lanes share by start-time fair queueing (Goyal, Vin and
//! Cheng, SIGCOMM 1996): a lane's turn moves on by the cost of what it got over its weight, and the
//! lane with the earliest turn is next, of several the one with the older job; with equal costs and
//! weights that is round robin. Inside a lane the order is by seq.
//!
//! Lanes of one kind and one gate form a ring. What bounds all of them blocks the ring as a whole;
//! what bounds one key parks its lane. A pick looks at neither, so it costs the same however many
//! lanes wait for a limit.

use super::seqs::Seqs;
use crate::ids::{NameId, Seq};
use crate::limits::FAIR_EVERY;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

const LEVELS: usize = 10;

/// How far a lane of weight 1 moves on for a job of cost 1.
const STEP: u64 = 1 << 20;

/// The ready jobs of one queue.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    levels: [Level; LEVELS],
    picks: u64,
    /// Every so many picks serve the oldest; 0 = [`FAIR_EVERY`].
    fair_every: u64,
}

#[derive(Debug, Default)]
struct Level {
    /// The turn served last: where a lane that was empty joins.
    clock: u64,
    kinds: BTreeMap<NameId, Rings>,
}

/// The rings of one kind. Most jobs have no gate; their ring stands apart, where it is found at once.
#[derive(Debug, Default)]
struct Rings {
    plain: Ring,
    gated: BTreeMap<NameId, Ring>,
}

/// The lanes of one kind and gate.
#[derive(Debug, Default)]
struct Ring {
    order: BTreeSet<(u64, NameId)>,
    lanes: BTreeMap<NameId, Lane>,
    /// Jobs in lanes that are not parked.
    open: usize,
    is_blocked: bool,
}

#[derive(Debug, Default)]
struct Lane {
    turn: u64,
    jobs: Seqs,
    /// What is left over of its last step, so that a weight that does not divide it loses nothing.
    rest: u32,
    is_parked: bool,
}

/// One ring of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RingAt {
    pub(crate) level: u8,
    pub(crate) kind: NameId,
    pub(crate) gate: NameId,
}

/// Where a ready job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) ring: RingAt,
    pub(crate) key: NameId,
    pub(crate) seq: Seq,
}

/// What somebody can run: kinds (none named = any), and gates whose labels he has.
#[derive(Clone, Copy)]
pub(crate) struct Taste<'a> {
    pub(crate) kinds: &'a [NameId],
    pub(crate) passes: &'a dyn Fn(NameId) -> bool,
}

impl Lanes {
    pub(crate) fn insert(&mut self, spot: Spot) {
        let level = &mut self.levels[usize::from(spot.ring.level)];
        let rings = level.kinds.entry(spot.ring.kind).or_default();
        let ring = rings.entry(spot.ring.gate);
        let lane = ring.lanes.entry(spot.key).or_default();
        if lane.jobs.is_empty() {
            // Beside lanes of its kind it waits for one turn of theirs, however far the level is.
            let front = ring.order.first().map_or(u64::MAX, |&(turn, _)| turn);
            lane.turn = front.min(level.clock) + STEP;
            ring.order.insert((lane.turn, spot.key));
        }
        if lane.jobs.insert(spot.seq) && !lane.is_parked {
            ring.open += 1;
        }
    }

    pub(crate) fn remove(&mut self, spot: Spot) {
        let level = &mut self.levels[usize::from(spot.ring.level)];
        let Some(rings) = level.kinds.get_mut(&spot.ring.kind) else { return };
        let Some(ring) = rings.get_mut(spot.ring.gate) else { return };
        let Some(lane) = ring.lanes.get_mut(&spot.key) else { return };
        if lane.jobs.remove(spot.seq) && !lane.is_parked {
            ring.open -= 1;
        }
        if lane.jobs.is_empty() {
            ring.order.remove(&(lane.turn, spot.key));
            ring.lanes.remove(&spot.key);
        }
        if ring.lanes.is_empty() {
            rings.remove(spot.ring.gate);
            if rings.is_empty() {
                level.kinds.remove(&spot.ring.kind);
            }
        }
    }

    pub(crate) fn contains(&self, spot: Spot) -> bool {
        self.lane(spot.ring, spot.key).is_some_and(|lane| lane.jobs.contains(spot.seq))
    }

    /// How many jobs there are in all lanes.
    pub(crate) fn len(&self) -> usize {
        let rings = self.levels.iter().flat_map(Level::rings).map(|(_, _, ring)| ring);
        rings.flat_map(|ring| ring.lanes.values()).map(|lane| lane.jobs.len()).sum()
    }

    /// The next job for somebody of this taste, of what is not blocked. `oldest` knows the level of the
    /// oldest job; otherwise it is that of the oldest of those whose turn it is.
    pub(crate) fn pick(&self, taste: Taste<'_>, oldest: impl FnOnce() -> Option<u8>) -> Option<Spot> {
        if !self.is_turn_of_oldest() {
            return self.first(taste);
        }
        let level = oldest().or_else(|| self.oldest_front(taste))?;
        self.first_of(usize::from(level), taste)
    }

    /// Somebody of this taste may take the job at this spot.
    pub(crate) fn is_open(&self, spot: Spot, taste: Taste<'_>) -> bool {
        let RingAt { kind, gate, .. } = spot.ring;
        let is_asked = taste.kinds.is_empty() || taste.kinds.contains(&kind);
        let lane =
            self.ring(spot.ring).filter(|ring| !ring.is_blocked).and_then(|ring| ring.lanes.get(&spot.key));
        let is_there = lane.is_some_and(|lane| !lane.is_parked && lane.jobs.contains(spot.seq));
        is_asked && is_there && (gate == 0 || (taste.passes)(gate))
    }

    /// Every so many picks serve the oldest job of any level; 0 = as often as by default.
    pub(crate) fn serve_oldest_every(&mut self, picks: u32) {
        self.fair_every = picks.into();
    }

    fn is_turn_of_oldest(&self) -> bool {
        let every = if self.fair_every == 0 { FAIR_EVERY } else { self.fair_every };
        self.picks % every == every - 1
    }

    /// The first job of a lane, if nothing keeps the lane.
    pub(crate) fn beside(&self, spot: Spot) -> Option<Spot> {
        let ring = self.ring(spot.ring)?;
        let lane = ring.lanes.get(&spot.key).filter(|lane| !lane.is_parked && !ring.is_blocked)?;
        Some(Spot { seq: lane.first()?, ..spot })
    }

    /// The picked job leaves for good: its lane pays for it.
    pub(crate) fn charge(&mut self, spot: Spot, cost: u32, weight: u32) {
        self.picks += 1;
        let level = &mut self.levels[usize::from(spot.ring.level)];
        let rings = level.kinds.get_mut(&spot.ring.kind);
        let Some(ring) = rings.and_then(|rings| rings.get_mut(spot.ring.gate)) else { return };
        let Some(lane) = ring.lanes.get_mut(&spot.key) else { return };
        ring.order.remove(&(lane.turn, spot.key));
        level.clock = level.clock.max(lane.turn);
        let (weight, step) = (u64::from(weight.max(1)), u64::from(cost) * STEP + u64::from(lane.rest));
        lane.turn += (step / weight).max(1);
        lane.rest = u32::try_from(step % weight).unwrap_or(0);
        ring.order.insert((lane.turn, spot.key));
    }

    // ------------------------------------------------------------------ what waits for a limit

    /// No lane of the ring is picked until it is unblocked.
    pub(crate) fn block(&mut self, at: RingAt) {
        if let Some(ring) = self.ring_mut(at) {
            ring.is_blocked = true;
        }
    }

    pub(crate) fn unblock(&mut self, at: RingAt) {
        if let Some(ring) = self.ring_mut(at) {
            ring.is_blocked = false;
        }
    }

    /// The lane is not picked until it is unparked.
    pub(crate) fn park(&mut self, at: RingAt, key: NameId) {
        let Some(ring) = self.ring_mut(at) else { return };
        let Some(lane) = ring.lanes.get_mut(&key) else { return };
        if !core::mem::replace(&mut lane.is_parked, true) {
            ring.open -= lane.jobs.len();
        }
        ring.order.remove(&(lane.turn, key));
    }

    pub(crate) fn unpark(&mut self, at: RingAt, key: NameId) {
        let Some(ring) = self.ring_mut(at) else { return };
        let Some(lane) = ring.lanes.get_mut(&key) else { return };
        if core::mem::take(&mut lane.is_parked) {
            ring.open += lane.jobs.len();
            // While it waited the others went on; it does not get what it missed all at once.
            let front = ring.order.first().map_or(lane.turn, |&(turn, _)| turn);
            lane.turn = lane.turn.max(front);
            ring.order.insert((lane.turn, key));
        }
    }

    /// Every ring that is blocked (None) and lane that is parked.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (RingAt, Option<NameId>)> + '_ {
        self.filled().flat_map(|(level, filled)| {
            filled.rings().flat_map(move |(kind, gate, ring)| {
                let at = RingAt { level: number(level), kind, gate };
                let whole = ring.is_blocked.then_some((at, None));
                let parked = ring.lanes.iter().filter(|(_, lane)| lane.is_parked);
                whole.into_iter().chain(parked.map(move |(&key, _)| (at, Some(key))))
            })
        })
    }

    // ------------------------------------------------------------------ looking

    /// The kind has a job that is not blocked.
    pub(crate) fn has(&self, kind: NameId) -> bool {
        self.filled().any(|(_, level)| level.of_kind(kind).any(|(_, _, ring)| ring.is_open()))
    }

    /// There is any job.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled().next().is_some()
    }

    /// The kinds that have a ready job.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = NameId> + '_ {
        self.levels.iter().flat_map(|level| level.kinds.keys().copied())
    }

    /// Jobs before this one in its lane, other lanes of its level, lanes of higher levels.
    pub(crate) fn ahead(&self, spot: Spot) -> (usize, usize, usize) {
        let before =
            self.lane(spot.ring, spot.key).map_or(0, |lane| lane.jobs.before(Some(spot.seq)).count());
        let lanes = |level: &Level| level.rings().map(|(_, _, ring)| ring.lanes.len()).sum::<usize>();
        let own = usize::from(spot.ring.level);
        let higher = self.levels[own + 1..].iter().map(lanes).sum();
        (before, lanes(&self.levels[own]).saturating_sub(1), higher)
    }

    /// The next job of each ring for somebody of this taste, and how many the ring has that nothing keeps.
    pub(crate) fn open_rings<'a>(&'a self, taste: Taste<'a>) -> impl Iterator<Item = (Spot, usize)> + 'a {
        self.filled().flat_map(move |(number, level)| {
            level
                .rings_for(taste)
                .filter_map(move |(at, ring)| Some((ring.front(at.0, at.1)?.spot(number), ring.open)))
        })
    }

    /// The next lanes for somebody of this taste in the order of their turns, a few, with how many jobs each
    /// has.
    pub(crate) fn next_lanes(&self, taste: Taste<'_>, most: usize) -> Vec<(Spot, usize)> {
        let mut found = Vec::new();
        for (number, level) in self.filled().rev() {
            let mut fronts: Vec<(Front, usize)> = level
                .rings_for(taste)
                .flat_map(|(at, ring)| {
                    let lanes = ring.order.iter().take(most);
                    lanes.filter_map(move |&(turn, key)| {
                        let jobs = ring.lanes.get(&key)?.jobs.len();
                        Some((Front::of(at, (turn, key), ring)?, jobs))
                    })
                })
                .collect();
            fronts.sort_unstable_by_key(|(front, _)| (front.turn, front.seq));
            found.extend(fronts.into_iter().map(|(front, jobs)| (front.spot(number), jobs)));
        }
        found.truncate(most);
        let oldest = found.iter().min_by_key(|(spot, _)| spot.seq).map(|(spot, _)| spot.ring.level);
        if self.is_turn_of_oldest() {
            found.sort_by_key(|(spot, _)| Some(spot.ring.level) != oldest);
        }
        found
    }

    /// How many lanes a ring has.
    pub(crate) fn lanes_of(&self, at: RingAt) -> usize {
        self.ring(at).map_or(0, |ring| ring.lanes.len())
    }

    fn lane(&self, at: RingAt, key: NameId) -> Option<&Lane> {
        self.ring(at)?.lanes.get(&key)
    }

    fn ring(&self, at: RingAt) -> Option<&Ring> {
        self.levels[usize::from(at.level)].kinds.get(&at.kind)?.get(at.gate)
    }

    fn ring_mut(&mut self, at: RingAt) -> Option<&mut Ring> {
        self.levels[usize::from(at.level)].kinds.get_mut(&at.kind)?.get_mut(at.gate)
    }

    fn filled(&self) -> impl DoubleEndedIterator<Item = (usize, &Level)> {
        self.levels.iter().enumerate().filter(|(_, level)| !level.kinds.is_empty())
    }

    fn first(&self, taste: Taste<'_>) -> Option<Spot> {
        self.filled().rev().find_map(|(number, _)| self.first_of(number, taste))
    }

    fn first_of(&self, level: usize, taste: Taste<'_>) -> Option<Spot> {
        let first = self.levels[level].front(taste, |front| (front.turn, front.seq));
        first.map(|front| front.spot(level))
    }

    fn oldest_front(&self, taste: Taste<'_>) -> Option<u8> {
        let fronts =
            self.filled().filter_map(|(at, level)| Some((level.front(taste, |front| front.seq)?.seq, at)));
        fronts.min().map(|(_, level)| number(level))
    }
}

/// The lane at the head of a ring, with its first job.
#[derive(Clone, Copy, Debug)]
struct Front {
    turn: u64,
    kind: NameId,
    gate: NameId,
    key: NameId,
    seq: Seq,
}

impl Lane {
    fn first(&self) -> Option<Seq> {
        if planted!(Overtaken) { self.jobs.before(None).next() } else { self.jobs.first() }
    }
}

impl Front {
    fn of((kind, gate): (NameId, NameId), (turn, key): (u64, NameId), ring: &Ring) -> Option<Self> {
        Some(Self { turn, kind, gate, key, seq: ring.lanes.get(&key)?.first()? })
    }

    fn spot(self, level: usize) -> Spot {
        let ring = RingAt { level: number(level), kind: self.kind, gate: self.gate };
        Spot { ring, key: self.key, seq: self.seq }
    }
}

impl Ring {
    fn is_open(&self) -> bool {
        !self.is_blocked && !self.order.is_empty()
    }

    /// The lane whose turn it is, unless the ring is blocked.
    fn front(&self, kind: NameId, gate: NameId) -> Option<Front> {
        let &(turn, key) = self.order.first().filter(|_| !self.is_blocked)?;
        let seq = self.lanes.get(&key)?.first()?;
        Some(Front { turn, kind, gate, key, seq })
    }
}

impl Rings {
    fn get(&self, gate: NameId) -> Option<&Ring> {
        if gate == 0 { Some(&self.plain) } else { self.gated.get(&gate) }
    }

    fn get_mut(&mut self, gate: NameId) -> Option<&mut Ring> {
        if gate == 0 { Some(&mut self.plain) } else { self.gated.get_mut(&gate) }
    }

    fn entry(&mut self, gate: NameId) -> &mut Ring {
        if gate == 0 { &mut self.plain } else { self.gated.entry(gate).or_default() }
    }

    /// The last lane of the ring is gone, and what blocked it is forgotten.
    fn remove(&mut self, gate: NameId) {
        if gate == 0 {
            self.plain = Ring::default();
        } else {
            self.gated.remove(&gate);
        }
    }

    fn is_empty(&self) -> bool {
        self.plain.lanes.is_empty() && self.gated.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (NameId, &Ring)> {
        let plain = (!self.plain.lanes.is_empty()).then_some((0, &self.plain));
        plain.into_iter().chain(self.gated.iter().map(|(&gate, ring)| (gate, ring)))
    }
}

impl Level {
    /// Every ring, with its kind and gate.
    fn rings(&self) -> impl Iterator<Item = (NameId, NameId, &Ring)> {
        self.kinds.iter().flat_map(|(&kind, rings)| rings.iter().map(move |(gate, ring)| (kind, gate, ring)))
    }

    fn of_kind(&self, kind: NameId) -> impl Iterator<Item = (NameId, NameId, &Ring)> {
        let rings = self.kinds.get(&kind).into_iter().flat_map(Rings::iter);
        rings.map(move |(gate, ring)| (kind, gate, ring))
    }

    /// Of the lanes at the heads of the rings that somebody of this taste may pick from, the least.
    fn front<K: Ord>(&self, taste: Taste<'_>, order: impl Fn(&Front) -> K) -> Option<Front> {
        let mut least: Option<(K, Front)> = None;
        let mut look = |kind: NameId, rings: &Rings| {
            for (gate, ring) in rings.iter() {
                let Some(front) = ring.front(kind, gate).filter(|_| gate == 0 || (taste.passes)(gate)) else {
                    continue;
                };
                let rank = order(&front);
                if least.as_ref().is_none_or(|(least, _)| rank < *least) {
                    least = Some((rank, front));
                }
            }
        };
        if taste.kinds.is_empty() {
            self.kinds.iter().for_each(|(&kind, rings)| look(kind, rings));
        }
        for kind in taste.kinds {
            self.kinds.get(kind).into_iter().for_each(|rings| look(*kind, rings));
        }
        least.map(|(_, front)| front)
    }

    /// The rings that somebody of this taste may pick from.
    fn rings_for<'a>(&'a self, taste: Taste<'a>) -> impl Iterator<Item = ((NameId, NameId), &'a Ring)> + 'a {
        let any = taste.kinds.is_empty().then(|| self.rings());
        let named = taste.kinds.iter().flat_map(|&kind| self.of_kind(kind));
        any.into_iter().flatten().chain(named).filter_map(move |(kind, gate, ring)| {
            let is_open = !ring.is_blocked && (gate == 0 || (taste.passes)(gate));
            is_open.then_some(((kind, gate), ring))
        })
    }
}

fn number(level: usize) -> u8 {
    u8::try_from(level).expect("there are ten levels")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Taste<'static> = Taste { kinds: &[], passes: &|_| true };

    fn of(kinds: &[NameId]) -> Taste<'_> {
        Taste { kinds, ..ANY }
    }

    fn spot(level: u8, kind: NameId, key: NameId, seq: Seq) -> Spot {
        Spot { ring: RingAt { level, kind, gate: 0 }, key, seq }
    }

    fn drain(lanes: &mut Lanes, count: usize) -> Vec<Seq> {
        (0..count)
            .filter_map(|_| {
                let spot = lanes.pick(ANY, || None)?;
                lanes.charge(spot, 1, 1);
                lanes.remove(spot);
                Some(spot.seq)
            })
            .collect()
    }

    #[test]
    fn keys_take_turns_and_a_lane_keeps_its_order() {
        let mut lanes = Lanes::default();
        for seq in 1..=6 {
            lanes.insert(spot(4, 1, if seq <= 4 { 10 } else { 20 }, seq));
        }
        assert_eq!(drain(&mut lanes, 9), [1, 5, 2, 6, 3, 4]);
    }

    #[test]
    fn a_high_level_goes_first_but_every_sixteenth_pick_serves_the_oldest() {
        let mut lanes = Lanes::default();
        lanes.insert(spot(0, 1, 0, 1));
        for seq in 2..=40 {
            lanes.insert(spot(9, 1, 0, seq));
        }
        let order = drain(&mut lanes, 40);
        assert_eq!(order.iter().position(|&seq| seq == 1), Some(15));
    }

    #[test]
    fn kinds_that_nobody_asks_for_block_nobody() {
        let mut lanes = Lanes::default();
        lanes.insert(spot(4, 1, 0, 1));
        lanes.insert(spot(4, 2, 0, 2));
        assert_eq!(lanes.pick(of(&[2]), || None).map(|spot| spot.seq), Some(2));
        assert_eq!(lanes.pick(of(&[3]), || None), None);
    }

    #[test]
    fn a_new_key_waits_for_one_turn_only_beside_a_busy_kind() {
        let mut lanes = Lanes::default();
        // Workers of kind 1 are fast.
        for seq in 1..=2_000 {
            lanes.insert(spot(4, 1, 10, seq));
        }
        // Key 20 of kind 2 has a long backlog; its workers have served one job so far.
        for seq in 2_001..=3_000 {
            lanes.insert(spot(4, 2, 20, seq));
        }
        let serve = |lanes: &mut Lanes, kind: NameId| {
            let spot = lanes.pick(of(&[kind]), || None).unwrap();
            lanes.charge(spot, 1, 1);
            lanes.remove(spot);
            spot.key
        };
        serve(&mut lanes, 2);
        for _ in 0..1_900 {
            serve(&mut lanes, 1);
        }
        // Somebody else's single job of kind 2.
        lanes.insert(spot(4, 2, 30, 3_001));
        let waited = (0..999).position(|_| serve(&mut lanes, 2) == 30);
        assert!(waited.is_some_and(|waited| waited <= 16), "it waited for {waited:?} jobs of the other key");
    }
}
