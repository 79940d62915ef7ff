//! Touch: beats, leases with a visibility timeout that are to last longer, and what handlers say.

use crate::command::{Beat, Code, JobTouch, Refusal, Touch};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::Fact;
use crate::frame::{Body, SettleCode, TouchedOne};
use crate::ids::{ConnId, Ms, Request};
use crate::limits::LEASE_MS_MAX;
use crate::roster::Timer;
use crate::verbs::settle::lease_code;
use crate::verbs::tell::check_labels;
use alloc::format;
use alloc::vec::Vec;

impl Engine {
    pub(crate) fn touch(&mut self, asker: Asker, touch: Touch, turn: &mut Turn) {
        let labels = touch.beat.as_ref().map_or(&[][..], |beat| &beat.labels[..]);
        if let Err(refusal) = check_labels(labels, "beat.labels").and(self.admit_checkpoints(&touch)) {
            return turn.refuse(asker.from, refusal);
        }
        if let Some(mut beat) = touch.beat {
            let labels = core::mem::take(&mut beat.labels);
            if !labels.is_empty() {
                self.relabel(asker.session, labels, turn);
            }
            self.take_beat(asker, beat);
        }
        let mut until = asker.now;
        let answers: Vec<TouchedOne> =
            touch.jobs.into_iter().map(|job| self.touch_one(asker, job, &mut until, turn)).collect();
        if until > asker.now {
            // What was said to be taken is on disk, checkpoints too.
            self.roster.timers.insert(until, Timer::Touched(asker.from));
            self.roster.touches.insert(asker.from, (until, answers));
        } else {
            turn.say(asker.from, Body::Touched(answers));
        }
    }

    fn take_beat(&mut self, asker: Asker, beat: Beat) {
        if let Some(presence) = self.roster.sessions.get_mut(&asker.session) {
            presence.beat = Some(beat);
        }
    }

    /// On a disk that is nearly full nothing is promised for a next run.
    fn admit_checkpoints(&self, touch: &Touch) -> Result<(), Refusal> {
        if !self.pressure.small_results {
            return Ok(());
        }
        let saves = |job: &JobTouch| job.telling.as_ref().is_some_and(|told| told.checkpoint.is_some());
        match touch.jobs.iter().position(saves) {
            Some(index) => {
                let field = format!("jobs[{index}].checkpoint");
                let message = "the disk has no room for checkpoints now";
                Err(Refusal::new(Code::Exhausted, &field, message).retry_after(1_000))
            }
            None => Ok(()),
        }
    }

    /// The checkpoints of a Touch are written.
    pub(crate) fn answer_touch(&mut self, key: Request, turn: &mut Turn) {
        let Some((until, answers)) = self.roster.touches.remove(&key) else { return };
        self.roster.timers.remove(until, Timer::Touched(key));
        if self.roster.conns.contains_key(&key.conn) {
            turn.say(key, Body::Touched(answers));
        }
    }

    /// These connections of the asker's session are about to close: what it has said is written, and they
    /// are told so.
    pub(crate) fn answer_touches(&mut self, asker: Asker, conns: &[ConnId], turn: &mut Turn) {
        let range = |conn| Request { conn, id: 0 }..=Request { conn, id: u64::MAX };
        let touches = &self.roster.touches;
        let keys = conns.iter().flat_map(|&conn| touches.range(range(conn)).map(|(&key, _)| key));
        let keys: Vec<Request> = keys.collect();
        if keys.is_empty() {
            return;
        }
        for seq in self.leases(asker.session) {
            self.write_report(seq, asker.now, turn);
        }
        keys.into_iter().for_each(|key| self.answer_touch(key, turn));
    }

    fn touch_one(&mut self, asker: Asker, touch: JobTouch, until: &mut Ms, turn: &mut Turn) -> TouchedOne {
        let refused = |code| TouchedOne { code, cancel: false, reason: "", ends_in_ms: 0 };
        let Some(job) = self.find(asker.namespace, touch.id) else { return refused(SettleCode::UnknownJob) };
        let code = lease_code(job, asker.session, touch.fence);
        let Some(lease) = job.lease.as_ref().filter(|_| code == SettleCode::Settled) else {
            return refused(code);
        };
        let (seq, cancel, reason) = (job.seq, lease.revoke_at > 0, lease.stop_reason());
        if let Some(extend_ms) = touch.extend_ms
            && lease.ends_at > 0
        {
            let now = asker.now;
            let ends_at = now.saturating_add(extend_ms.clamp(1, LEASE_MS_MAX));
            self.decide(turn, Fact::Extended { seq, now, ends_at });
        }
        let presence = self.roster.sessions.get_mut(&asker.session);
        let mut ends_in_ms = 0;
        if let Some(mark) = presence.and_then(|presence| presence.leases.get_mut(&seq)) {
            if let Some(run) = &mut mark.run {
                run.touched(asker.now);
            }
            if mark.ends_at > 0 {
                ends_in_ms = mark.ends_at.saturating_sub(asker.now).max(1);
            }
        }
        if let Some(telling) = touch.telling {
            let written_at = self.hear(seq, *telling, asker.now, turn);
            *until = written_at.unwrap_or(0).max(*until);
        }
        TouchedOne { code, cancel, reason, ends_in_ms }
    }
}
