//! Batches: jobs are collected by counting them where they wait, and are leased when the batch goes out.

use super::dispatch::{Fed, Suspect, deliver};
use crate::command::Batch;
use crate::engine::{Engine, Turn};
use crate::ids::{Ms, NameId, Seq};
use crate::limits::SLOTS_MAX;
use crate::roster::Timer;
use crate::roster::lanes::{Spot, Taste};
use crate::roster::stream::StreamKey;
use alloc::vec::Vec;

/// Lanes looked at for a batch of one key before the first of them has waited long enough.
const LANES_LOOKED_AT: usize = 64;

/// Whether a batch may go out.
pub(crate) enum Due {
    /// Now. If nothing fits, not before then.
    Now(Option<Ms>),
    /// The same, from the first of these lanes that has a job that fits; the first of each queue.
    Lanes(Vec<(NameId, Spot)>, Option<Ms>),
    /// Not before then, unless more jobs come.
    At(Ms),
    /// There is nothing.
    Never,
}

impl Engine {
    /// Leases a batch to the stream, if it is time for one.
    pub(super) fn feed_batch(
        &mut self,
        key: StreamKey,
        batch: Batch,
        now: Ms,
        looks: &mut usize,
        turn: &mut Turn,
    ) -> Option<Fed> {
        self.set_linger(key, 0);
        if self.is_shut(key) || !self.roster.streams.open.get(&key)?.has_room(1) {
            return None;
        }
        loop {
            let due = self.due(key, batch, now);
            // A suspect runs alone, so it is a batch of its own and waits for nobody.
            if !matches!(due, Due::Now(_))
                && let Some(seq) = self.pick_alone(key, now)
            {
                return self.grant(key, seq, now, turn).map(|bytes| Fed { jobs: 1, bytes });
            }
            let lanes = match due {
                Due::Now(at) => {
                    self.set_linger(key, at.unwrap_or(0));
                    [None].into()
                }
                Due::Lanes(lanes, at) => {
                    self.set_linger(key, at.unwrap_or(0));
                    lanes.into_iter().map(Some).collect::<Vec<_>>()
                }
                Due::At(at) => {
                    self.set_linger(key, at);
                    return None;
                }
                Due::Never => return None,
            };
            let before = *looks;
            let fed = lanes.into_iter().find_map(|lane| self.collect(key, batch, lane, now, (looks, turn)));
            if fed.is_some() {
                // What is left over begins to wait for its own batch.
                self.roster.hungry.insert(key);
            }
            // A limit that keeps one lane may let another one start.
            if fed.is_some() || *looks == before || *looks == 0 {
                return fed;
            }
        }
    }

    /// Leases the jobs of a batch that is due.
    fn collect(
        &mut self,
        key: StreamKey,
        batch: Batch,
        lane: Option<(NameId, Spot)>,
        now: Ms,
        (looks, turn): (&mut usize, &mut Turn),
    ) -> Option<Fed> {
        let mut fed = Fed { jobs: 0, bytes: 0 };
        while fed.jobs < batch.max as usize {
            let picked = match lane {
                Some((queue, spot)) => self.pick_beside(key, queue, spot, now, looks),
                None => self.pick(key, now, looks),
            };
            let Some(bytes) = picked.and_then(|seq| self.grant(key, seq, now, turn)) else { break };
            fed = Fed { jobs: fed.jobs + 1, bytes: fed.bytes + bytes };
            // A frame that is full has left already.
            if self.roster.streams.open.get(&key).is_none_or(|stream| stream.works.is_empty()) {
                break;
            }
        }
        let stream = self.roster.streams.open.get_mut(&key)?;
        match &mut stream.poll {
            // It ends with this batch.
            Some((left, _)) if fed.jobs > 0 => *left = 0,
            Some(_) => {}
            None if stream.works.is_empty() => {}
            None => turn.frames.push(deliver(key, stream.take())),
        }
        (fed.jobs > 0).then_some(fed)
    }

    /// The wait of a long poll is over: one that collects takes what there is, and ends with this turn.
    pub(crate) fn end_poll(&mut self, key: StreamKey, turn: &mut Turn) {
        match self.roster.streams.open.get_mut(&key).and_then(|stream| stream.batch.as_mut()) {
            Some(batch) => {
                batch.linger_ms = 0;
                self.roster.hungry.insert(key);
                self.roster.over.insert(key);
            }
            None => self.end_stream(key, turn),
        }
    }

    /// The first job of a batch has waited long enough.
    pub(crate) fn end_linger(&mut self, key: StreamKey) {
        if let Some(stream) = self.roster.streams.open.get_mut(&key) {
            stream.linger_at = 0;
            self.roster.hungry.insert(key);
        }
    }

    /// When the first job will have waited long enough; 0 = there is none.
    fn set_linger(&mut self, key: StreamKey, at: Ms) {
        let Some(stream) = self.roster.streams.open.get_mut(&key) else { return };
        let old = core::mem::replace(&mut stream.linger_at, at);
        if old > 0 {
            self.roster.timers.remove(old, Timer::Linger(key));
        }
        if at > 0 {
            self.roster.timers.insert(at, Timer::Linger(key));
        }
    }

    /// The next suspect for the stream, if its session is empty.
    fn pick_alone(&mut self, key: StreamKey, now: Ms) -> Option<Seq> {
        let stream = self.roster.streams.open.get(&key)?;
        let (session, queues) = (stream.session, stream.sources.queues().to_vec());
        for queue in queues {
            match self.pick_suspect(key, session, queue, now) {
                Suspect::Taken(seq) => {
                    self.roster.streams.open.get_mut(&key)?.sources.charge(queue);
                    return Some(seq);
                }
                Suspect::Awaited => return None,
                Suspect::None => {}
            }
        }
        None
    }

    /// The next job of the lane of that spot.
    fn pick_beside(
        &mut self,
        key: StreamKey,
        queue: NameId,
        spot: Spot,
        now: Ms,
        looks: &mut usize,
    ) -> Option<Seq> {
        let seq = self.pick_from(key, queue, Some(spot), now, looks)?;
        self.roster.streams.open.get_mut(&key)?.sources.charge(queue);
        Some(seq)
    }

    /// Whether enough jobs are there, or the first of them has waited long enough.
    pub(crate) fn due(&self, key: StreamKey, batch: Batch, now: Ms) -> Due {
        let Some(stream) = self.roster.streams.open.get(&key) else { return Due::Never };
        let room = match stream.poll {
            Some((left, _)) => left,
            None if stream.held == 0 => SLOTS_MAX,
            None => stream.slots - stream.held.min(stream.slots),
        };
        let least = batch.min.min(batch.max) as usize;
        let passes = |gate| self.passes(stream.session, gate);
        let taste = Taste { kinds: &stream.kinds, passes: &passes };
        let ready_since = |seq| self.ledger.jobs.get(seq).map_or(now, |job| job.run_at.max(job.created_at));
        let late_at = |seq| match ready_since(seq) {
            // The clock was set back: nobody knows how long the job has waited, and it waits no longer.
            since if since > now => now,
            since => since.saturating_add(batch.linger_ms),
        };
        let (mut there, mut is_late, mut lanes) = (0, false, Vec::new());
        // The earliest of those that have not waited long enough.
        let mut next_at = None::<Ms>;
        let mut wait = |late_at: Ms| next_at = Some(next_at.map_or(late_at, |at| at.min(late_at)));
        for &queue in stream.sources.queues() {
            let Some(index) = self.roster.queues.get(&queue) else { continue };
            if batch.same_key {
                for (spot, jobs) in index.lanes.next_lanes(taste, LANES_LOOKED_AT) {
                    let late_at = late_at(spot.seq);
                    if jobs >= least && room as usize >= least || late_at <= now {
                        lanes.push((queue, spot));
                        break;
                    }
                    wait(late_at);
                }
            } else {
                for (spot, jobs) in index.lanes.open_rings(taste) {
                    let late_at = late_at(spot.seq);
                    if late_at <= now {
                        is_late = true;
                    } else {
                        wait(late_at);
                    }
                    there += jobs;
                }
            }
        }
        match next_at {
            at if !lanes.is_empty() => Due::Lanes(lanes, at),
            at if is_late || there >= least && room as usize >= least => Due::Now(at),
            Some(at) => Due::At(at),
            None => Due::Never,
        }
    }
}
