//! Retries: a limit may let them be only a share of what starts. A retry that would be too much is set
//! aside, so that first attempts pass it, until enough of those have started; one a second passes in any
//! case, so that what is left over at the end of an outage runs, too.

use crate::ids::{Ms, NameId, Seq};
use alloc::collections::BTreeSet;

/// A retry may start so long after the last one, whatever the share.
pub(crate) const ONE_EVERY_MS: Ms = 1_000;
/// Retries that first attempts save up at most.
const SAVED_MAX: u64 = 100;
/// A bucket whose last retry is so long ago says no more than a new one.
const FORGOTTEN_AFTER_MS: Ms = 60_000;

/// What one bucket of a limit knows of retries.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// Saved up by first attempts, a thousandth of each for every unit of the share.
    saved: u64,
    last_at: Ms,
    /// Those that were turned away, by age; some may not wait any more.
    aside: BTreeSet<(Seq, NameId)>,
    /// Where its timer stands; 0 = nowhere.
    pub(crate) timer_at: Ms,
}

impl Retries {
    /// How many retries may start now.
    pub(crate) fn room(&self, permille: u32, now: Ms) -> u64 {
        let saved = match price(permille) {
            0 => SAVED_MAX,
            price => self.saved / price,
        };
        saved.max(u64::from(now >= self.last_at.saturating_add(ONE_EVERY_MS)))
    }

    /// When the next one may start, whatever the share.
    pub(crate) fn next_at(&self) -> Ms {
        self.last_at.saturating_add(ONE_EVERY_MS)
    }

    /// Something starts.
    pub(crate) fn started(&mut self, permille: u32, is_retry: bool, now: Ms) {
        let price = price(permille);
        if is_retry {
            self.saved = self.saved.saturating_sub(price);
            self.last_at = now;
        } else {
            self.saved = (self.saved + u64::from(permille)).min(price * SAVED_MAX);
        }
    }

    /// Keeps a retry of this queue back.
    pub(crate) fn set_aside(&mut self, seq: Seq, queue: NameId) {
        self.aside.insert((seq, queue));
    }

    /// The oldest of those kept back, which is no more.
    pub(crate) fn take(&mut self) -> Option<(Seq, NameId)> {
        self.aside.pop_first()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.aside.is_empty()
    }

    pub(crate) fn is_idle(&self, now: Ms) -> bool {
        self.aside.is_empty() && now >= self.last_at.saturating_add(FORGOTTEN_AFTER_MS)
    }

    pub(crate) fn shift(&mut self, moved: impl Fn(Ms) -> Ms) {
        self.last_at = moved(self.last_at);
        self.timer_at = moved(self.timer_at);
    }
}

/// What a retry costs of what first attempts save up: with a share of a fifth, four of them pay for one.
fn price(permille: u32) -> u64 {
    u64::from(1_000 - permille.min(1_000))
}
