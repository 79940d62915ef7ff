//! Everything that happens because time passed.

use crate::engine::{Engine, Turn};
use crate::fact::Fact;
use crate::ids::{Ms, NameId, Seq, SessionId};
use crate::ledger::job::State;
use crate::limits::TIMERS_PER_TICK;
use crate::roster::Timer;

/// Kept jobs removed for one queue before other timers get their turn.
const REMOVALS_PER_TIMER: usize = 256;

impl Engine {
    pub(crate) fn fire(&mut self, now: Ms, turn: &mut Turn) {
        let mut left = TIMERS_PER_TICK;
        while left > 0
            && let Some(timer) = self.roster.timers.pop(now)
        {
            left -= 1;
            match timer {
                Timer::Due(seq) => {
                    if self.ledger.jobs.get(seq).is_some_and(|job| job.state == State::Scheduled) {
                        self.decide(turn, Fact::Readied { seq });
                    }
                }
                Timer::Expire(seq) => self.expire(seq, now, turn),
                Timer::LeaseEnd(seq) => self.expire_lease(seq, now, turn),
                Timer::Revoke(seq) => self.revoke(seq, now, turn),
                Timer::Bucket(id) => self.roster.open_bucket(id),
                Timer::Retries(id) => left = left.saturating_sub(self.end_retries(id, now)),
                Timer::LimitEnd(limit) => self.end_limit(limit, turn),
                Timer::Session(id) => left = left.saturating_sub(self.judge(id, now, turn)),
                Timer::Poll(key) => self.end_poll(key, turn),
                Timer::Linger(key) => self.end_linger(key),
                Timer::Retain(queue) => left = left.saturating_sub(self.retain(queue, now, turn)),
                Timer::Remove(seq) => self.remove(seq, now, turn),
                Timer::Operation(id) => left = left.saturating_sub(self.operate(id, now, turn)),
                Timer::Wait(key) => self.answer_wait(key, turn),
                Timer::Hold(seq) => self.end_hold(seq, now, turn),
                Timer::Tell(id) => self.tell_due(id, now, turn),
                Timer::Unclaim(holder) => self.end_window(holder, turn),
                Timer::TimeUp(seq) => self.time_up(seq, now, turn),
                Timer::Stall(seq) => self.stall(seq, now, turn),
                Timer::Flush(seq) => self.write_report(seq, now, turn),
                Timer::Touched(key) => self.answer_touch(key, turn),
                Timer::Schedule(schedule) => self.attend(schedule, now, turn),
                Timer::Look => self.look(),
            }
        }
    }

    /// The job was not started in time, whether or not there is a worker.
    fn expire(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let end = self.end(job, State::Expired, now);
        self.decide(turn, Fact::Expired { seq, end });
    }

    /// A session's timer fired: it is lost unless a sign came meanwhile. Tells how many leases were
    /// lost with it.
    fn judge(&mut self, id: SessionId, now: Ms, turn: &mut Turn) -> usize {
        let ignores_silence = self.roster.ignores_silence;
        let Some(presence) = self.roster.sessions.get_mut(&id) else { return 0 };
        presence.timer_at = 0;
        if presence.deadline(ignores_silence) <= now {
            let bound = presence.bound;
            self.lose_session(id, now, turn);
            bound
        } else {
            self.roster.rearm(id);
            0
        }
    }

    /// Removes the completed jobs of a queue whose time is over, and tells how many.
    fn retain(&mut self, queue: NameId, now: Ms, turn: &mut Turn) -> usize {
        for removed in 0..REMOVALS_PER_TIMER {
            let first = self.roster.queues.get(&queue).and_then(|index| index.kept.first().copied());
            match first {
                Some((at, seq)) if at <= now => self.remove(seq, now, turn),
                Some((at, _)) => {
                    self.roster.timers.insert(at, Timer::Retain(queue));
                    return removed;
                }
                None => return removed,
            }
        }
        self.roster.timers.insert(now, Timer::Retain(queue));
        REMOVALS_PER_TIMER
    }
}
