//! Enqueue with a wait: its answer comes when its jobs have ended, or when its time is over.

use crate::engine::{Asker, Engine, Turn};
use crate::event::Event;
use crate::frame::{Body, EnqueuedOne};
use crate::ids::{ConnId, JobId, Ms, Request};
use crate::ledger::job::State;
use crate::limits::DELIVER_BYTES_MAX;
use crate::roster::Timer;
use crate::roster::watches::Wait;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Engine {
    /// Jobs were stored, and whoever sent them waits for their end.
    pub(crate) fn wait(&mut self, asker: Asker, ones: Vec<EnqueuedOne>, wait_ms: Ms, turn: &mut Turn) {
        let (namespace, key) = (asker.namespace, asker.from);
        let is_open = |id| self.find(namespace, id).is_some_and(|job| !job.state.is_final());
        let stored = ones.iter().enumerate().filter(|(_, one)| one.what.is_ok() && is_open(one.id));
        let mut open: BTreeMap<JobId, Vec<usize>> = BTreeMap::new();
        for (place, one) in stored {
            open.entry(one.id).or_default().push(place);
        }
        let until = asker.now.saturating_add(wait_ms);
        let is_over = open.is_empty();
        for &id in open.keys() {
            self.roster.watches.name_job(namespace, id, key);
        }
        self.roster.watches.waits.insert(key, Wait { namespace, ones, open, until });
        self.roster.timers.insert(until, Timer::Wait(key));
        if is_over {
            self.answer_wait(key, turn);
        }
    }

    /// Something happened to a job that an Enqueue waits for.
    pub(crate) fn tell_waiting(&mut self, key: Request, event: &Arc<Event>, turn: &mut Turn) {
        let watches = &mut self.roster.watches;
        let Some(wait) = watches.waits.get_mut(&key) else { return };
        let Some(job) = event.job.as_ref().filter(|job| job.state.is_none_or(State::is_final)) else {
            return;
        };
        let Some(places) = wait.open.remove(&job.id) else { return };
        for place in places {
            if let (Ok(stored), Some(state)) = (&mut wait.ones[place].what, job.state) {
                stored.state = state;
            }
        }
        let (namespace, is_over) = (wait.namespace, wait.open.is_empty());
        watches.unname_job(namespace, job.id, key);
        if is_over {
            self.answer_wait(key, turn);
        }
    }

    /// Answers with how the jobs stand now. Of one that is gone it is known how it ended.
    pub(crate) fn answer_wait(&mut self, key: Request, turn: &mut Turn) {
        let Some(Wait { namespace, mut ones, until, .. }) = self.roster.watches.end_wait(key) else { return };
        self.roster.timers.remove(until, Timer::Wait(key));
        let mut bytes = 0;
        for one in &mut ones {
            let Ok(stored) = &mut one.what else { continue };
            let Some(job) = self.find(namespace, one.id) else { continue };
            stored.state = job.state;
            let len = job.result_len();
            // The answer is one frame, whatever came of its jobs.
            if bytes == 0 || bytes + len <= DELIVER_BYTES_MAX {
                bytes += len;
                one.result = job.result();
            }
        }
        turn.say(key, Body::Enqueued(ones));
    }

    /// Nobody will hear the answers of this connection.
    pub(crate) fn drop_waits(&mut self, conn: ConnId) {
        for key in self.roster.watches.waits_of(conn) {
            if let Some(wait) = self.roster.watches.end_wait(key) {
                self.roster.timers.remove(wait.until, Timer::Wait(key));
            }
        }
    }
}
