//! Touch: beats, and leases with a visibility timeout that are to last longer.

use crate::command::{Beat, JobTouch, Touch};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::Fact;
use crate::frame::{Body, SettleCode, TouchedOne};
use crate::limits::LEASE_MS_MAX;
use crate::verbs::settle::lease_code;
use crate::verbs::tell::check_labels;

impl Engine {
    pub(crate) fn touch(&mut self, asker: Asker, touch: Touch, turn: &mut Turn) {
        let labels = touch.beat.as_ref().map_or(&[][..], |beat| &beat.labels[..]);
        if let Err(refusal) = check_labels(labels, "beat.labels") {
            return turn.refuse(asker.from, refusal);
        }
        if let Some(mut beat) = touch.beat {
            let labels = core::mem::take(&mut beat.labels);
            if !labels.is_empty() {
                self.relabel(asker.session, labels, turn);
            }
            self.take_beat(asker, beat);
        }
        let answers = touch.jobs.iter().map(|job| self.touch_one(asker, job, turn)).collect();
        turn.say(asker.from, Body::Touched(answers));
    }

    fn take_beat(&mut self, asker: Asker, beat: Beat) {
        if let Some(presence) = self.roster.sessions.get_mut(&asker.session) {
            presence.beat = Some(beat);
        }
    }

    fn touch_one(&mut self, asker: Asker, touch: &JobTouch, turn: &mut Turn) -> TouchedOne {
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
            let ends_at = asker.now.saturating_add(extend_ms.clamp(1, LEASE_MS_MAX));
            self.decide(turn, Fact::Extended { seq, ends_at });
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
        TouchedOne { code, cancel, reason, ends_in_ms }
    }
}
