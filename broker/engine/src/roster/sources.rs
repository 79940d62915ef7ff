//! Sources: the queues that a stream draws from, in strict order or by weight.
//!
//! By weight it is smooth weighted round robin as start-time fair queueing has it: a source's turn moves
//! on by its share's inverse with each pick, and the one with the earliest turn is next. One that had
//! nothing when its turn came stands beside the one that was picked instead: it loses no turn, and saves
//! none up.

use crate::ids::NameId;
use alloc::vec::Vec;

/// How far a source of weight 1 moves on with a pick.
const STEP: u64 = 1 << 24;

/// The queues of one stream.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The one to be asked first stands first.
    queues: Vec<NameId>,
    /// By weight: the turn and the weight of each; empty = in strict order.
    shares: Vec<(u64, u32)>,
}

impl Sources {
    pub(crate) fn strict(queues: Vec<NameId>) -> Self {
        Self { queues, shares: Vec::new() }
    }

    /// `opened` counts such streams: the first picks of many short ones are shared by weight, too.
    pub(crate) fn weighted(weighted: &[(NameId, u32)], opened: u64) -> Self {
        let total: u64 = weighted.iter().map(|&(_, weight)| u64::from(weight)).sum();
        let spread = u128::from(opened.wrapping_mul(0x9e37_79b9_7f4a_7c15)) * u128::from(total);
        let mut place = u64::try_from(spread >> 64).unwrap_or(0);
        let mut is_placed = false;
        let mut turns: Vec<(u64, NameId, u32)> = Vec::with_capacity(weighted.len());
        for &(queue, weight) in weighted {
            let is_first = !is_placed && place < u64::from(weight);
            place = place.saturating_sub(u64::from(weight));
            is_placed |= is_first;
            turns.push((if is_first { 0 } else { STEP / u64::from(weight) / 2 }, queue, weight));
        }
        turns.sort_by_key(|&(turn, ..)| turn);
        Self {
            queues: turns.iter().map(|&(_, queue, _)| queue).collect(),
            shares: turns.iter().map(|&(turn, _, weight)| (turn, weight)).collect(),
        }
    }

    /// They take turns by weight.
    pub(crate) fn are_weighted(&self) -> bool {
        !self.shares.is_empty()
    }

    /// The queues, the one to be asked first first.
    pub(crate) fn queues(&self) -> &[NameId] {
        &self.queues
    }

    pub(crate) fn contains(&self, queue: NameId) -> bool {
        self.queues.contains(&queue)
    }

    /// A job of this queue was picked.
    pub(crate) fn charge(&mut self, queue: NameId) {
        if let Some(place) = self.queues.iter().position(|&known| known == queue) {
            self.picked(place);
        }
    }

    /// A job of the queue at this place was picked; those before it had none.
    pub(crate) fn picked(&mut self, place: usize) {
        let Some(&(turn, weight)) = self.shares.get(place) else { return };
        for (skipped, _) in &mut self.shares[..place] {
            *skipped = turn;
        }
        let next = turn + STEP / u64::from(weight);
        let behind = place + self.shares[place..].partition_point(|&(other, _)| other <= next) - 1;
        self.shares[place].0 = next;
        self.shares[place..=behind].rotate_left(1);
        self.queues[place..=behind].rotate_left(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::mix;
    use std::vec::Vec;

    /// Picks from the first source in order that has something.
    fn pick(sources: &mut Sources, has: impl Fn(NameId) -> bool) -> Option<NameId> {
        let place = sources.queues().iter().position(|&queue| has(queue))?;
        let queue = sources.queues()[place];
        sources.picked(place);
        Some(queue)
    }

    #[test]
    fn strict_order_never_changes() {
        let mut sources = Sources::strict([3, 1, 2].into());
        assert_eq!(pick(&mut sources, |queue| queue != 3), Some(1));
        assert_eq!(sources.queues(), [3, 1, 2]);
    }

    #[test]
    fn weights_share_the_picks_smoothly() {
        let mut sources = Sources::weighted(&[(1, 5), (2, 1), (3, 1)], 0);
        let picks: Vec<_> = (0..14).filter_map(|_| pick(&mut sources, |_| true)).collect();
        assert_eq!(picks, [1, 1, 1, 2, 3, 1, 1, 1, 1, 1, 2, 3, 1, 1]);
    }

    #[test]
    fn the_first_picks_of_short_streams_are_shared_by_weight() {
        let firsts: Vec<NameId> =
            (0..1_000).map(|opened| Sources::weighted(&[(1, 3), (2, 1)], opened).queues()[0]).collect();
        let ones = firsts.iter().filter(|&&queue| queue == 1).count();
        assert!((740..=760).contains(&ones), "{ones} of 1,000");
    }

    #[test]
    fn over_any_window_busy_sources_get_their_shares_but_for_a_constant() {
        for seed in 0..200 {
            let roll = |step: u64, sides: u64| mix(seed, step) % sides;
            let count = 2 + roll(0, 63);
            let small = |number: u64| u32::try_from(number).unwrap();
            let weight = |n: u64| small(1 + roll(100 + n, if n.is_multiple_of(3) { 1_000 } else { 9 }));
            let weights: Vec<(NameId, u32)> = (0..count).map(|n| (small(n + 1), weight(n))).collect();
            let mut sources = Sources::weighted(&weights, seed);
            // The first two never run dry; the others come and go.
            let (one, two) = (weights[0], weights[1]);
            // How far the first is ahead of the second, in picks over weight, times both weights.
            let (mut lead, mut least, mut most) = (0i64, 0i64, 0i64);
            for step in 0..2_000u64 {
                let has = |queue: NameId| queue <= 2 || roll(step / 7 * 1_000 + u64::from(queue), 3) == 0;
                let picked = pick(&mut sources, has).expect("two are always busy");
                lead += i64::from(two.1) * i64::from(picked == one.0);
                lead -= i64::from(one.1) * i64::from(picked == two.0);
                (least, most) = (least.min(lead), most.max(lead));
            }
            let bound = i64::from(one.1 + two.1) + 1;
            assert!(most - least <= bound, "seed {seed}: {} over {bound}", most - least);
        }
    }

    #[test]
    fn who_was_empty_has_saved_nothing_up() {
        for seed in 0..200 {
            let weights = [(1, 1 + (mix(seed, 1) % 9) as u32), (2, 1 + (mix(seed, 2) % 9) as u32)];
            let mut sources = Sources::weighted(&weights, seed);
            (0..1_000).for_each(|_| assert_eq!(pick(&mut sources, |queue| queue == 1), Some(1)));
            let run = (0..100).take_while(|_| pick(&mut sources, |_| true) == Some(2)).count();
            let fair = weights[1].1.div_ceil(weights[0].1) + 1;
            assert!(run <= fair as usize, "seed {seed}: {run} in a row, {weights:?}");
        }
    }
}
