//! Dedup keys: who holds one, and who waits for whom.

use crate::ids::{NameId, Seq};
use crate::ledger::tables::{Claim, Until};
use crate::roster::{Timer, Timers};
use alloc::collections::BTreeMap;
use alloc::string::String;

/// The claims, found by key and by who waits.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    holders: BTreeMap<(NameId, String), Seq>,
    /// Who waits, and for which holder.
    waiters: BTreeMap<Seq, Seq>,
}

impl Claims {
    /// Who holds the key.
    pub(crate) fn holder(&self, scope: NameId, key: &str) -> Option<Seq> {
        if self.holders.is_empty() {
            return None;
        }
        self.holders.get(&(scope, key.into())).copied()
    }

    /// For whose end the job waits.
    pub(crate) fn holder_before(&self, waiter: Seq) -> Option<Seq> {
        self.waiters.get(&waiter).copied()
    }

    pub(crate) fn leave(&mut self, holder: Seq, claim: &Claim, timers: &mut Timers) {
        self.holders.remove(&(claim.scope, claim.key.clone()));
        if let Some((waiter, _)) = claim.next {
            self.waiters.remove(&waiter);
        }
        if let Until::At(at) = claim.until {
            timers.remove(at, Timer::Unclaim(holder));
        }
    }

    pub(crate) fn join(&mut self, holder: Seq, claim: &Claim, timers: &mut Timers) {
        self.holders.insert((claim.scope, claim.key.clone()), holder);
        if let Some((waiter, _)) = claim.next {
            self.waiters.insert(waiter, holder);
        }
        if let Until::At(at) = claim.until {
            timers.insert(at, Timer::Unclaim(holder));
        }
    }

    /// How many keys are taken, and how many jobs wait for one.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.holders.len(), self.waiters.len())
    }
}
