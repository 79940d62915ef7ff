//! Sets of jobs in order of seq, as bits: a place costs little where neighbours are in the set too,
//! and jobs that were enqueued together mostly are.

use crate::ids::Seq;
use alloc::collections::BTreeMap;
use core::ops::Bound;

/// Seqs of one word.
const WORD: u64 = 64;

/// A set of seqs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seqs {
    /// Bit n of word w stands for seq 64 w + n; no word is 0.
    words: BTreeMap<u64, u64>,
    len: usize,
}

impl Seqs {
    /// Adds a seq; false = it was there.
    pub(crate) fn insert(&mut self, seq: Seq) -> bool {
        let word = self.words.entry(seq / WORD).or_default();
        let is_new = *word & bit(seq) == 0;
        *word |= bit(seq);
        self.len += usize::from(is_new);
        is_new
    }

    /// Takes a seq out; false = it was not there.
    pub(crate) fn remove(&mut self, seq: Seq) -> bool {
        let Some(word) = self.words.get_mut(&(seq / WORD)) else { return false };
        let was_there = *word & bit(seq) != 0;
        *word &= !bit(seq);
        if *word == 0 {
            self.words.remove(&(seq / WORD));
        }
        self.len -= usize::from(was_there);
        was_there
    }

    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.words.get(&(seq / WORD)).is_some_and(|word| word & bit(seq) != 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<Seq> {
        self.words.first_key_value().map(|(&at, &word)| lowest(at, word))
    }

    /// The seqs after one, or all, in rising order.
    pub(crate) fn after(&self, after: Option<Seq>) -> impl Iterator<Item = Seq> + '_ {
        let from = after.map_or(Bound::Unbounded, |seq| Bound::Included(seq / WORD));
        let words = self.words.range((from, Bound::Unbounded));
        words
            .flat_map(|(&at, &word)| Bits { at, word })
            .filter(move |&seq| after.is_none_or(|after| seq > after))
    }

    /// The seqs before one, or all, in falling order.
    pub(crate) fn before(&self, before: Option<Seq>) -> impl Iterator<Item = Seq> + '_ {
        let to = before.map_or(Bound::Unbounded, |seq| Bound::Included(seq / WORD));
        let words = self.words.range((Bound::Unbounded, to)).rev();
        words
            .flat_map(|(&at, &word)| Bits { at, word }.rev())
            .filter(move |&seq| before.is_none_or(|before| seq < before))
    }
}

fn bit(seq: Seq) -> u64 {
    1 << (seq % WORD)
}

fn lowest(at: u64, word: u64) -> Seq {
    at * WORD + u64::from(word.trailing_zeros())
}

/// The seqs of one word.
struct Bits {
    at: u64,
    word: u64,
}

impl Iterator for Bits {
    type Item = Seq;

    fn next(&mut self) -> Option<Seq> {
        (self.word != 0).then(|| {
            let seq = lowest(self.at, self.word);
            self.word &= !bit(seq);
            seq
        })
    }
}

impl DoubleEndedIterator for Bits {
    fn next_back(&mut self) -> Option<Seq> {
        (self.word != 0).then(|| {
            let seq = self.at * WORD + u64::from(self.word.ilog2());
            self.word &= !bit(seq);
            seq
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::mix;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn it_is_a_set_in_order_from_both_ends() {
        let (mut seqs, mut model) = (Seqs::default(), BTreeSet::new());
        for step in 0..20_000 {
            let random = mix(7, step);
            let seq = random % 300 + (random >> 40) % 3 * 1_000_000_000;
            if random >> 32 & 1 == 0 {
                assert_eq!(seqs.insert(seq), model.insert(seq));
            } else {
                assert_eq!(seqs.remove(seq), model.remove(&seq));
            }
            assert_eq!((seqs.len(), seqs.first()), (model.len(), model.first().copied()));
            assert_eq!(seqs.contains(seq), model.contains(&seq));
            if step % 50 == 0 {
                let after: Vec<Seq> = seqs.after(Some(seq)).collect();
                assert_eq!(after, model.range(seq + 1..).copied().collect::<Vec<_>>());
                let before: Vec<Seq> = seqs.before(Some(seq)).collect();
                assert_eq!(before, model.range(..seq).rev().copied().collect::<Vec<_>>());
                assert!(seqs.after(None).eq(model.iter().copied()));
                assert!(seqs.before(None).eq(model.iter().rev().copied()));
            }
        }
        for seq in model {
            assert!(seqs.remove(seq));
        }
        assert!(seqs.is_empty() && seqs.words.is_empty());
    }

    #[test]
    fn the_ends_of_the_numbers_are_seqs_too() {
        let mut seqs = Seqs::default();
        for seq in [0, 63, 64, u64::MAX - 64, u64::MAX] {
            assert!(seqs.insert(seq));
        }
        assert!(seqs.after(Some(u64::MAX)).next().is_none());
        assert_eq!(seqs.before(None).next(), Some(u64::MAX));
        assert_eq!(seqs.first(), Some(0));
    }
}
