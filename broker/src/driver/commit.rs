//! Commit: the slot between the driver and the journal thread, and that thread.
//!
//! While batch N syncs, all turns that end meanwhile join batch N+1, which waits in the slot. The
//! driver takes it out for the length of a turn, so its number cannot change under a turn's facts.

use crate::door::Outbox;
use crate::failpoint;
use crate::limits::BATCH_BYTES;
use crate::metrics::Commits;
use crate::store::StoreError;
use crate::store::record;
use crate::store::seam::{Journal, JournalStats, Record};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use windlass_engine::{Fact, Frame};

/// How often the journal's figures are renewed.
const PUBLISH: Duration = Duration::from_millis(50);

/// Facts of one commit, and the frames that leave when it is durable.
#[derive(Default)]
pub struct Batch {
    /// Its number.
    pub number: u64,
    /// Decisions, in order.
    pub facts: Vec<Fact>,
    /// Frames by connection.
    pub outgoing: Vec<(Arc<Outbox>, Vec<Frame>)>,
    weight: usize,
}

impl Batch {
    /// Nothing was decided in it yet: all batches before are complete.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.facts.is_empty()
    }

    /// A turn's facts join the batch.
    pub fn absorb(&mut self, facts: &mut Vec<Fact>) {
        self.weight += facts.iter().map(Fact::weight).sum::<usize>();
        self.facts.append(facts);
    }

    fn release(self) {
        for (outbox, mut frames) in self.outgoing {
            outbox.release(&mut frames);
        }
    }
}

/// Shared by the driver, the journal thread and the fold thread.
#[derive(Default)]
pub struct Commit {
    state: Mutex<State>,
    /// The journal thread waits here for work, alone.
    work: Condvar,
    /// Others wait here for the journal thread.
    written: Condvar,
}

#[derive(Default)]
struct State {
    /// The last batch with facts that the journal thread took.
    taken: u64,
    /// The last batch that is durable, its frames released.
    durable: u64,
    /// Waits for the journal thread.
    waiting: Option<Batch>,
    /// The journal thread is writing.
    is_busy: bool,
    recycle: Option<u64>,
    /// Who reads the journal; nothing of it is recycled meanwhile.
    holds: usize,
    /// What a fold freed is not recycled yet, and the figures of the journal do not show it.
    is_recycling: bool,
    is_closed: bool,
    stats: JournalStats,
    meters: Commits,
    /// Who waits for the journal thread; waking nobody costs a system call too.
    waiters: usize,
}

/// Somebody reads the journal.
pub struct Hold {
    commit: Arc<Commit>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.commit.lock().holds -= 1;
        self.commit.work.notify_one();
    }
}

/// What the journal thread has in hand.
pub struct Work {
    batch: Batch,
    recycle: Option<u64>,
}

impl State {
    fn take(&mut self) -> Option<Work> {
        let recycle = if self.holds == 0 { self.recycle.take() } else { None };
        if self.waiting.is_none() && recycle.is_none() {
            return None;
        }
        let batch = self.waiting.take().unwrap_or_default();
        if !batch.facts.is_empty() {
            self.taken = batch.number;
        }
        self.is_busy = true;
        Some(Work { batch, recycle })
    }
}

impl Commit {
    /// A commit that goes on after `last_batch`.
    #[must_use]
    pub fn new(last_batch: u64) -> Self {
        let state = State { taken: last_batch, durable: last_batch, ..State::default() };
        Self { state: Mutex::new(state), work: Condvar::new(), written: Condvar::new() }
    }

    /// Takes the waiting batch into the driver's hands for a turn, or begins the next one. Waits
    /// while the waiting one is full.
    pub fn begin(&self) -> Batch {
        let mut state = self.lock();
        while state.waiting.as_ref().is_some_and(|batch| batch.weight >= BATCH_BYTES) {
            state = self.wait_written(state);
        }
        match state.waiting.take() {
            Some(batch) => batch,
            None => Batch { number: state.taken + 1, ..Batch::default() },
        }
    }

    /// Puts the batch back after a turn. Frames that depend on nothing undurable leave at once.
    pub fn end(&self, batch: Batch) {
        let mut state = self.lock();
        if batch.facts.is_empty() && !state.is_busy {
            drop(state);
            batch.release();
            return;
        }
        if batch.facts.is_empty() && batch.outgoing.is_empty() {
            return;
        }
        state.waiting = Some(batch);
        // A busy journal thread looks for more by itself.
        let is_idle = !state.is_busy;
        drop(state);
        if is_idle {
            self.work.notify_one();
        }
    }

    /// Waits until a batch is durable. False = the commit was closed before.
    pub fn wait_durable(&self, batch: u64) -> bool {
        let mut state = self.lock();
        while state.durable < batch {
            if state.is_closed && state.waiting.is_none() && !state.is_busy {
                return false;
            }
            state = self.wait_written(state);
        }
        true
    }

    /// The journal before this batch is needed no more.
    pub fn recycle(&self, from: u64) {
        let mut state = self.lock();
        state.recycle = Some(from);
        state.is_recycling = true;
        drop(state);
        self.work.notify_one();
    }

    /// Keeps the journal as it is and grows, until the returned value is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Hold {
        self.lock().holds += 1;
        Hold { commit: self.clone() }
    }

    /// What commits took, since the start.
    pub fn meters(&self) -> Commits {
        self.lock().meters
    }

    /// Figures of the journal, not older than its last commit by more than a moment.
    pub fn stats(&self) -> JournalStats {
        self.lock().stats
    }

    /// Segments of journal that may be replayed, the current one included; `None` while what a fold
    /// freed is still among them.
    pub fn segments(&self) -> Option<usize> {
        let state = self.lock();
        (!state.is_recycling).then_some(state.stats.segments)
    }

    /// The last batch that is durable.
    pub fn durable(&self) -> u64 {
        self.lock().durable
    }

    /// Ends the journal thread once everything is written.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.work.notify_one();
        self.written.notify_all();
    }

    /// The journal thread: takes what waits, makes it durable, lets its frames go.
    ///
    /// # Errors
    /// The first error of the journal. The process must end then: nothing of the batch was said.
    pub fn run<J: Journal>(&self, journal: &mut J) -> Result<(), StoreError> {
        self.publish(journal.stats());
        let mut published = Instant::now();
        loop {
            let work = match self.take() {
                Some(work) => work,
                None => {
                    journal.confirm()?;
                    let Some(work) = self.next() else { break };
                    work
                }
            };
            self.write(work, journal)?;
            // Figures cost more than a small commit does.
            if published.elapsed() > PUBLISH {
                self.publish(journal.stats());
                published = Instant::now();
            }
        }
        self.written.notify_all();
        Ok(())
    }

    /// What waits for the journal thread, taken out of the slot; None = nothing.
    pub fn take(&self) -> Option<Work> {
        self.lock().take()
    }

    /// Makes a batch durable, lets its frames go, and frees the journal behind a fold.
    ///
    /// # Errors
    /// The first error of the journal. The process must end then: nothing of the batch was said.
    pub fn write<J: Journal>(&self, work: Work, journal: &mut J) -> Result<(), StoreError> {
        let Work { mut batch, recycle } = work;
        if windlass_engine::planted!(SpokenEarly) {
            Batch { outgoing: std::mem::take(&mut batch.outgoing), ..Batch::default() }.release();
        }
        let number = batch.number;
        let has_facts = !batch.facts.is_empty();
        let (facts, began) = (batch.facts.len() as u64, Instant::now());
        if has_facts {
            failpoint::reach("before_write");
            let body = record::encode_facts(&batch.facts);
            let appended = journal.append(Record { batch: number, format: record::FORMAT, body: &body });
            if !windlass_engine::planted!(ErrorSwallowed) {
                appended?;
            }
        }
        let took = began.elapsed();
        if has_facts {
            failpoint::reach("after_sync_before_ack");
        }
        if failpoint::ENABLED && batch.facts.iter().any(|fact| matches!(fact, Fact::Leased { .. })) {
            failpoint::reach("after_lease_before_send");
        }
        batch.release();
        let mut recycled = None;
        if let Some(from) = recycle {
            failpoint::reach("before_recycle");
            journal.recycle(from)?;
            failpoint::reach("after_recycle");
            recycled = Some(journal.stats());
        }
        let mut state = self.lock();
        if let Some(stats) = recycled {
            state.stats = stats;
            // Another fold may have freed more meanwhile.
            state.is_recycling = state.recycle.is_some();
        }
        if has_facts {
            state.durable = number;
            state.meters.took_us.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            state.meters.facts.observe(facts);
        }
        state.is_busy = false;
        let has_waiters = state.waiters > 0;
        drop(state);
        if has_waiters {
            self.written.notify_all();
        }
        Ok(())
    }

    /// What the journal thread does next; None = closed and nothing left.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            let work = state.take();
            if work.is_some() || state.is_closed {
                return work;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells the figures of the journal to whoever asks.
    pub fn publish(&self, stats: JournalStats) {
        self.lock().stats = stats;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_written<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiters += 1;
        let mut state = self.written.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiters -= 1;
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::simulated::SimDisk;

    #[test]
    fn the_journal_is_not_called_long_while_what_a_fold_freed_is_still_in_it() {
        let (mut journal, _) = SimDisk::new().open_journal();
        let commit = Commit::new(0);
        commit.publish(JournalStats { segments: 9, ..JournalStats::default() });
        assert_eq!(commit.segments(), Some(9));
        commit.recycle(1);
        assert_eq!(commit.segments(), None);
        let work = commit.take().expect("there is something to recycle");
        commit.recycle(2);
        commit.write(work, &mut journal).unwrap();
        assert_eq!(commit.segments(), None, "the second is still to come");
        let work = commit.take().expect("there is something to recycle");
        commit.write(work, &mut journal).unwrap();
        assert_eq!(commit.segments(), Some(journal.stats().segments));
    }
}
