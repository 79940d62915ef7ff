//! Depend: whoever waits for a job hears how it ended. In the turn of that end, as long as there are few;
//! of many some in each turn, until the last one knows, also over a restart.

use crate::engine::{Engine, Ties, Turn};
use crate::fact::{Counts, DeadReason, Fact};
use crate::flow::{DepPolicy, EdgeState, Fallout, News, place};
use crate::ids::{Ms, Seq};
use crate::ledger::job::State;

impl Engine {
    /// A fact has changed a job that is tied to others, or that somebody may wait for.
    pub(crate) fn follow_flow(&mut self, seq: Seq, before: State, ties: &Ties, turn: &mut Turn) {
        let after = self.ledger.jobs.get(seq).map(|job| job.state);
        let is_over = after.is_none_or(State::is_final);
        if !before.is_final() && is_over && self.roster.flows.has_dependents(seq) {
            // What is removed before its end is as good as cancelled.
            let news = News::Ended(after.unwrap_or(State::Cancelled));
            self.roster.flows.news.push_back((seq, news));
        }
        if ties.after {
            self.roster.flows.follow(&self.ledger, seq);
            if after.is_none() {
                let pieces = self.ledger.afters.range((seq, 0)..=(seq, u16::MAX));
                for piece in 0..u16::try_from(pieces.count()).expect("what a job waits for is bounded") {
                    self.decide(turn, Fact::AfterRemoved { waiter: seq, piece });
                }
            }
        }
        if ties.group > 0 {
            self.follow_member(seq, ties.group, before, after);
        }
        // What else happens to a group, like letting go of its payload, does not end it.
        if ties.is_group && after != Some(before) {
            self.look_at_group(seq);
        }
    }

    /// What this turn's ends mean for others, and then what it still owes to those of earlier turns.
    pub(crate) fn flow(&mut self, now: Ms, turn: &mut Turn) {
        if self.roster.flows.is_quiet() && self.ledger.fallouts.is_empty() {
            return;
        }
        self.roster.flows.renew();
        loop {
            if let Some((of, news)) = self.roster.flows.news.pop_front() {
                self.tell_dependents(of, news, now, turn);
            } else if let Some((group, body)) = self.roster.flows.counted.pop_first() {
                self.conclude_group(group, body, now, turn);
            } else if self.roster.flows.budget > 0
                && let Some((&of, row)) = self.ledger.fallouts.first_key_value()
            {
                let fallout = row.fallout;
                if self.tell_some(of, fallout, now, turn) {
                    let next = fallout.again.map(|(state, until)| Fallout::new(News::Ended(state), until));
                    self.decide(
                        turn,
                        match next {
                            Some(fallout) => Fact::FalloutSet { of, fallout },
                            None => Fact::FalloutRemoved { of },
                        },
                    );
                }
            } else {
                return;
            }
        }
    }

    fn tell_dependents(&mut self, of: Seq, news: News, now: Ms, turn: &mut Turn) {
        let until = self.ledger.seq_next;
        // Those who are still to hear of an earlier end, or that all is called off, hear of that; those who
        // came since, of this end.
        if let Some(row) = self.ledger.fallouts.get(&of) {
            if let News::Ended(state) = news {
                let fallout = Fallout { again: Some((state, until)), ..row.fallout };
                self.decide(turn, Fact::FalloutSet { of, fallout });
            }
            return;
        }
        let fallout = Fallout::new(news, until);
        if !self.tell_some(of, fallout, now, turn) {
            self.decide(turn, Fact::FalloutSet { of, fallout });
        }
    }

    /// Tells as many as this turn may; true = all know.
    fn tell_some(&mut self, of: Seq, fallout: Fallout, now: Ms, turn: &mut Turn) -> bool {
        while let Some((waiter, number)) = self.roster.flows.dependent(of, fallout.until) {
            let Some(left) = self.roster.flows.budget.checked_sub(1) else { return false };
            self.roster.flows.budget = left;
            match fallout.news {
                News::Ended(state) => self.tell_waiter(waiter, number, state, now, turn),
                News::Cancel => self.cancel_with_dependents(waiter, "", 0, now, turn),
            }
        }
        true
    }

    fn tell_waiter(&mut self, waiter: Seq, number: u16, end: State, now: Ms, turn: &mut Turn) {
        let (piece, at) = place(number);
        let row = self.ledger.afters.get(&(waiter, piece));
        let Some(edge) = row.and_then(|row| row.piece.edges.get(at)) else { return };
        let state = edge.on.judge(end);
        let place = u16::try_from(at).expect("a place in a piece");
        self.decide(turn, Fact::AfterEnded { waiter, piece, place, state });
        let is_bad = state == EdgeState::Failed;
        if is_bad || !self.roster.flows.waits(waiter) {
            self.weigh(waiter, is_bad, now, turn);
        }
    }

    /// What becomes of a job by what it has learnt of those it waits for; `is_bad` = one of them ended
    /// otherwise than asked.
    pub(super) fn weigh(&mut self, waiter: Seq, is_bad: bool, now: Ms, turn: &mut Turn) {
        let tally = self.ledger.tally(waiter);
        let state = self.ledger.jobs.get(waiter).map(|job| job.state);
        if !matches!(state, Some(State::Held | State::Blocked)) {
            return;
        }
        match tally.policy {
            DepPolicy::AllOrCancel if is_bad => self.cancel(waiter, "", 0, now, turn),
            DepPolicy::AllOrHold if is_bad => self.decide(turn, Fact::Held { seq: waiter, until: 0 }),
            DepPolicy::Any if tally.is_hopeless() => self.give_up(waiter, now, turn),
            DepPolicy::AllOrCancel | DepPolicy::AllOrHold | DepPolicy::AllOrRun | DepPolicy::Any => {
                self.unblock(waiter, now, turn);
            }
        }
    }

    /// Nothing that it waited for has ended as asked.
    pub(super) fn give_up(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let end = self.end(job, State::Dead, now);
        let (reason, counts) = (DeadReason::Dependency, Counts::Nothing);
        self.decide(turn, Fact::Died { seq, end, reason, counts, settled: false, note: None, error: 0 });
    }

    /// Cancels a job, and all that waits for it, whatever they ask for.
    pub(super) fn cancel_with_dependents(
        &mut self,
        seq: Seq,
        why: &str,
        grace_ms: u64,
        now: Ms,
        turn: &mut Turn,
    ) {
        if self.roster.flows.has_dependents(seq) {
            self.roster.flows.news.push_back((seq, News::Cancel));
        }
        self.cancel(seq, why, grace_ms, now, turn);
    }
}
