//! The test clock: time stands still until a client advances it, and then goes from one deadline to
//! the next, so that all that is due happens in its order and at its own time.
//!
//! It moves between two turns in which nobody asked anything, so what came before an advance is decided
//! before it.

use super::core::Core;
use crate::clock::Clock;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use windlass_engine::command::AdvanceClock;
use windlass_engine::frame::Body;
use windlass_engine::ids::Ms;
use windlass_engine::ledger::job::State;
use windlass_engine::{Command, ConnId, Frame, Request, Turn};

/// A clock that the driver moves.
pub(super) struct TestClock {
    clock: Clock,
    /// Under way is the first.
    advances: VecDeque<Advance>,
}

struct Advance {
    request: Request,
    asked: AdvanceClock,
    /// Where it ends; known when it begins.
    end: Option<Ms>,
    /// Workers have been waited for at this time since then.
    waits_since: Option<Instant>,
}

impl TestClock {
    /// None over the clock of the machine, which nobody advances.
    pub(super) fn over(clock: Clock) -> Option<Self> {
        clock.is_test().then(|| Self { clock, advances: VecDeque::new() })
    }

    /// What time it is.
    pub(super) fn now_ms(&self) -> Ms {
        self.clock.now_ms()
    }

    /// Takes out of a turn's commands what is meant for the clock.
    pub(super) fn take(&mut self, commands: &mut Vec<(Request, Command)>) {
        commands.retain(|&(request, ref command)| {
            let &Command::AdvanceClock(asked) = command else { return true };
            self.advances.push_back(Advance { request, asked, end: None, waits_since: None });
            false
        });
    }

    /// These connections are gone, and with them whoever would read the answers.
    pub(super) fn forget(&mut self, closed: &[ConnId]) {
        self.advances.retain(|advance| !closed.contains(&advance.request.conn));
    }

    /// How long the driver may wait for commands; zero = there is something to do.
    pub(super) fn wait(&self, core: &Core, look_up: Duration) -> Duration {
        let now = self.clock.now_ms();
        let Some(advance) = self.advances.front() else {
            return if is_idle(core, now) { look_up } else { Duration::ZERO };
        };
        match advance.waits_since {
            Some(since) => advance.patience().saturating_sub(since.elapsed()).min(look_up),
            None => Duration::ZERO,
        }
    }

    /// One step in time, if all that the present asks for is done.
    pub(super) fn step(&mut self, core: &Core) {
        let now = self.clock.now_ms();
        let Some(advance) = self.advances.front_mut() else { return };
        let end = advance.begin(now);
        if end > now && advance.may_leave(core, now) {
            advance.waits_since = None;
            self.clock.set(core.next_deadline().unwrap_or(end).clamp(now, end));
        }
    }

    /// At the end of a turn: answers the advance that has arrived.
    pub(super) fn answer(&mut self, core: &Core, turn: &mut Turn) {
        let now = self.clock.now_ms();
        let Some(advance) = self.advances.front_mut() else { return };
        if advance.begin(now) <= now && advance.may_leave(core, now) {
            turn.frames.push(Frame::answer(advance.request, Body::ClockAdvanced { now }));
            self.advances.pop_front();
        }
    }
}

impl Advance {
    fn patience(&self) -> Duration {
        Duration::from_millis(self.asked.patience_ms)
    }

    /// Where it ends. An instant that has come meanwhile is where the clock stands.
    fn begin(&mut self, now: Ms) -> Ms {
        let AdvanceClock { by_ms, to_at, .. } = self.asked;
        let asked = if to_at > 0 { to_at.max(now) } else { now.saturating_add(by_ms) };
        *self.end.get_or_insert(asked)
    }

    /// Nothing more is to be done at this time, and workers had their chance to settle.
    fn may_leave(&mut self, core: &Core, now: Ms) -> bool {
        if !is_idle(core, now) {
            return false;
        }
        let is_patient = self.asked.patience_ms > 0 && core.engine().count_of(State::Leased) > 0;
        !is_patient || self.waits_since.get_or_insert_with(Instant::now).elapsed() >= self.patience()
    }
}

/// All that is due by now is decided.
fn is_idle(core: &Core, now: Ms) -> bool {
    core.next_deadline().is_none_or(|at| at > now)
}
