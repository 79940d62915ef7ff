//! Whether the broker is still there: silence counts only while somebody waits, and while we listen.

use std::time::Duration;

use tokio::time::Instant;

/// What to do about the silence of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Ask for a sign of life, and give one.
    Beat,
    /// Take the connection for dead.
    Dead,
}

/// Measures silence on one connection.
#[derive(Debug)]
pub(super) struct Silence {
    /// Silence before this instant does not count.
    counts_from: Instant,
    looked: Instant,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self { counts_from: now, looked: now }
    }

    /// Judges the time since the last byte was `heard`. `busy`: somebody would be harmed by silence;
    /// `every`: the time between beats.
    pub(super) fn judge(&mut self, heard: Instant, busy: bool, every: Duration, now: Instant) -> Verdict {
        // The process was stopped, or its loop blocked: bytes may lie unread in the socket.
        let was_away = now.duration_since(self.looked) > every / 2;
        self.looked = now;
        if was_away {
            self.counts_from = now;
        }
        let silent = now.duration_since(heard.max(self.counts_from));
        if !busy {
            // A connection that rests for long is dropped by routers, and by the broker after ten minutes.
            let keep_alive = now.duration_since(heard) >= KEEP_ALIVE;
            self.counts_from = now;
            return if keep_alive { Verdict::Beat } else { Verdict::Fine };
        }
        if silent >= every * 2 {
            Verdict::Dead
        } else if silent >= every {
            Verdict::Beat
        } else {
            Verdict::Fine
        }
    }
}

const KEEP_ALIVE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);
    const LOOK: Duration = Duration::from_millis(100);

    /// What each look says while the broker is silent for `time`.
    fn verdicts(busy: bool, time: Duration) -> Vec<(Duration, Verdict)> {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let mut seen: Vec<(Duration, Verdict)> = Vec::new();
        let mut passed = LOOK;
        while passed <= time {
            let verdict = silence.judge(start, busy, EVERY, start + passed);
            if seen.last().is_none_or(|(_, last)| *last != verdict) {
                seen.push((passed, verdict));
            }
            passed += LOOK;
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_is_asked_and_then_given_up() {
        assert_eq!(
            verdicts(true, EVERY * 2),
            [(LOOK, Verdict::Fine), (EVERY, Verdict::Beat), (EVERY * 2, Verdict::Dead)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_only_kept_alive() {
        assert_eq!(verdicts(false, KEEP_ALIVE + EVERY), [(LOOK, Verdict::Fine), (KEEP_ALIVE, Verdict::Beat)]);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_listened_does_not_count() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert_eq!(silence.judge(start, true, EVERY, start + EVERY * 10), Verdict::Fine);
        let soon = start + EVERY * 10 + LOOK;
        assert_eq!(silence.judge(start, true, EVERY, soon), Verdict::Fine);
    }
}
