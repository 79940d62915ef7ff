//! Tell: an operator's word to sessions. The broker keeps to it itself, whatever the worker makes of it:
//! who was told to take no more jobs gets none.

use crate::command::{Code, Refusal, Tell};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::Fact;
use crate::frame::{Body, Frame, Signal};
use crate::ids::{ConnId, Ms, Request, SessionId};
use crate::ledger::tables::SessionRow;
use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX};
use crate::order::{Order, Told};
use crate::roster::Timer;
use crate::verbs::change::SAMPLE_MAX;
use alloc::string::String;
use alloc::vec::Vec;

impl Engine {
    /// Tells all sessions that are meant, in order of their ids; the asker's own is none of them.
    pub(crate) fn tell_sessions(&mut self, asker: Asker, tell: &Tell, turn: &mut Turn) {
        let is_meant = |(id, row): &(&SessionId, &SessionRow)| {
            **id != asker.session
                && row.session.namespace == asker.namespace
                && tell.session.is_none_or(|session| session == **id)
                && tell.labels.iter().all(|label| row.session.labels.contains(label))
        };
        let meant: Vec<SessionId> = self.ledger.sessions.iter().filter(is_meant).map(|(id, _)| *id).collect();
        let matched = meant.len() as u64;
        let wanted = if tell.max == 0 { matched } else { tell.max.min(matched) };
        let sample = meant.iter().take(SAMPLE_MAX).map(|id| id.0).collect();
        if !tell.dry_run {
            for (place, id) in (0..wanted).zip(meant) {
                let share = u128::from(tell.within_ms) * u128::from(place) / u128::from(wanted);
                let after = u64::try_from(share).unwrap_or(tell.within_ms);
                self.tell_one(id, tell.order, asker.now.saturating_add(after), asker.now, turn);
            }
        }
        if !tell.dry_run {
            self.audit_tell(asker, tell, wanted, turn);
        }
        turn.say(asker.from, Body::Changed { matched, changed: wanted, sample, operation: None });
    }

    /// A session is told something, now or later. Of a word that changes nothing there is no fact.
    fn tell_one(&mut self, id: SessionId, order: Order, at: Ms, now: Ms, turn: &mut Turn) {
        let Some(row) = self.ledger.sessions.get(&id) else { return };
        let before = row.due;
        if at > now || before.is_some() || row.told.after(order) != row.told {
            self.decide(turn, Fact::Told { id, order, at, now });
        }
        if let Some(due) = before {
            self.roster.timers.remove(due.at, Timer::Tell(id));
        }
        if at > now {
            self.roster.timers.insert(at, Timer::Tell(id));
        } else {
            self.pass_on(id, order, turn);
        }
    }

    /// What a session was to be told later, it hears now.
    pub(crate) fn tell_due(&mut self, id: SessionId, now: Ms, turn: &mut Turn) {
        if let Some(due) = self.ledger.sessions.get(&id).and_then(|row| row.due) {
            self.tell_one(id, due.order, now, now, turn);
        }
    }

    /// The session hears it, and its streams go by it.
    fn pass_on(&mut self, id: SessionId, order: Order, turn: &mut Turn) {
        let Some(presence) = self.roster.sessions.get_mut(&id) else { return };
        for &conn in &presence.conns {
            turn.frames.push(Frame::push(conn, Body::Signal(Signal::Order(order))));
        }
        let told = self.ledger.sessions.get(&id).map_or(Told::Run, |row| row.told);
        let was_quiet = core::mem::replace(&mut presence.quiet, told != Told::Run);
        if presence.quiet && !was_quiet {
            self.quieten(id);
        } else if was_quiet && !presence.quiet {
            self.roster.wake_session(id);
        }
    }

    /// Its streams wait for nothing, and it empties itself for nobody.
    fn quieten(&mut self, id: SessionId) {
        let Some(presence) = self.roster.sessions.get(&id) else { return };
        let (empties_for, conns) = (presence.empties_for, presence.conns.clone());
        let keys: Vec<Request> = conns.into_iter().flat_map(|conn| self.streams_of(conn)).collect();
        for key in keys {
            self.roster.streams.unwait(key);
        }
        if let Some((queue, _)) = empties_for {
            self.roster.release(queue);
        }
    }

    /// Who comes back hears again what stands.
    pub(crate) fn tell_again(&self, conn: ConnId, id: SessionId, turn: &mut Turn) {
        if let Some(order) = self.ledger.sessions.get(&id).and_then(|row| row.told.again()) {
            turn.frames.push(Frame::push(conn, Body::Signal(Signal::Order(order))));
        }
    }

    /// The session has these labels from now on; jobs that need them look for it again.
    pub(crate) fn relabel(&mut self, id: SessionId, labels: Vec<(String, String)>, turn: &mut Turn) {
        if self.ledger.sessions.get(&id).is_some_and(|row| row.session.labels != labels) {
            self.decide(turn, Fact::Relabelled { id, labels });
            self.roster.wake_session(id);
        }
    }
}

/// A session's labels are few and short: its row is one small record of the store.
pub(crate) fn check_labels(labels: &[(String, String)], field: &str) -> Result<(), Refusal> {
    let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    if labels.len() > LABELS_MAX || bytes > LABEL_BYTES_MAX {
        let message = "a session has at most 32 labels of 2048 bytes together";
        return Err(Refusal::new(Code::TooLarge, field, message));
    }
    Ok(())
}
