//! Fetch: opens, changes and closes streams and long polls.

use crate::command::{Batch, Code, Fetch, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::frame::{Body, Frame};
use crate::ids::{NameId, Request};
use crate::ledger::names::Name;
use crate::limits::{
    BATCH_JOBS_MAX, FETCH_KINDS_MAX, LEASE_MS_MAX, SLOTS_MAX, SOURCES_MAX, STREAMS_MAX, WAIT_MS_MAX,
};
use crate::roster::Timer;
use crate::roster::sources::Sources;
use crate::roster::stream::{Stream, StreamKey, Texts};
use alloc::format;
use alloc::vec::Vec;

impl Engine {
    pub(crate) fn fetch(&mut self, asker: Asker, fetch: Fetch, turn: &mut Turn) {
        let outcome = if fetch.stream == 0 {
            self.check(asker, &fetch).map(|()| self.open_stream(asker, fetch, turn))
        } else {
            self.change_stream(asker, &fetch, turn)
        };
        if let Err(refusal) = outcome {
            turn.refuse(asker.from, refusal);
        }
    }

    fn check(&self, asker: Asker, fetch: &Fetch) -> Result<(), Refusal> {
        let invalid =
            |field: &str, message: alloc::string::String| Err(Refusal::new(Code::Invalid, field, message));
        if fetch.queues.is_empty() || fetch.queues.len() > SOURCES_MAX {
            return invalid("sources", format!("a Fetch names 1 to {SOURCES_MAX} queues"));
        }
        if fetch.kinds.len() > FETCH_KINDS_MAX {
            return invalid("kinds", format!("a Fetch names at most {FETCH_KINDS_MAX} kinds"));
        }
        if fetch.once > SLOTS_MAX || fetch.slots > SLOTS_MAX {
            return invalid("slots", format!("a Fetch asks for at most {SLOTS_MAX} slots"));
        }
        if fetch.once == 0 && fetch.slots == 0 {
            return invalid("slots", "a stream needs at least one slot".into());
        }
        if fetch.wait_ms > WAIT_MS_MAX {
            return invalid("wait_ms", format!("a long poll waits at most {WAIT_MS_MAX} ms"));
        }
        if fetch.lease_ms.is_some_and(|lease_ms| lease_ms > LEASE_MS_MAX) {
            return invalid("lease_ms", format!("a visibility timeout is at most {LEASE_MS_MAX} ms"));
        }
        if let Some(Batch { min, max, linger_ms, .. }) = fetch.batch {
            let most = BATCH_JOBS_MAX.min(if fetch.once > 0 { fetch.once } else { fetch.slots });
            if max == 0 || max > most {
                return invalid("batch.max", format!("a batch of this Fetch has at most {most} jobs"));
            }
            if min == 0 || min > max {
                return invalid("batch.min", "a batch waits for 1 to `max` jobs".into());
            }
            if linger_ms > WAIT_MS_MAX {
                return invalid("batch.linger_ms", format!("a batch waits at most {WAIT_MS_MAX} ms"));
            }
        }
        let exhausted = |field: &str| Err(Refusal::new(Code::Exhausted, field, "too many names or streams"));
        let streams = self.roster.sessions.get(&asker.session).map_or(0, |presence| presence.streams);
        if streams >= STREAMS_MAX || self.roster.streams.open.contains_key(&asker.from) {
            return exhausted("stream");
        }
        let queues = fetch.queues.iter().map(|name| Name::Queue(asker.namespace, name.clone()));
        let kinds = fetch.kinds.iter().map(|name| Name::Kind(asker.namespace, name.clone()));
        self.ledger.names.has_room(queues.chain(kinds)).or_else(exhausted)
    }

    fn open_stream(&mut self, asker: Asker, fetch: Fetch, turn: &mut Turn) {
        let namespace = asker.namespace;
        let mut weighted: Vec<(NameId, u32)> = Vec::new();
        for (place, name) in fetch.queues.into_iter().enumerate() {
            let queue = self.intern(turn, Name::Queue(namespace, name));
            if weighted.iter().all(|&(known, _)| known != queue) {
                weighted.push((queue, fetch.weights.get(place).map_or(1, |weight| (*weight).max(1))));
            }
        }
        let queues: Vec<NameId> = weighted.iter().map(|&(queue, _)| queue).collect();
        let mut kinds: Vec<NameId> =
            fetch.kinds.into_iter().map(|name| self.intern(turn, Name::Kind(namespace, name))).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let key: StreamKey = asker.from;
        // Even without a wait the poll looks once, at the end of this turn.
        let poll = (fetch.once > 0).then(|| (fetch.once, asker.now.saturating_add(fetch.wait_ms.max(1))));
        let held = if poll.is_some() { 0 } else { self.adopt_leases(asker, key, &queues, &kinds) };
        let sources = if fetch.weights.is_empty() {
            Sources::strict(queues)
        } else {
            self.roster.streams.weighted += 1;
            Sources::weighted(&weighted, self.roster.streams.weighted)
        };
        let stream = Stream {
            session: asker.session,
            namespace,
            sources,
            kinds,
            slots: fetch.slots,
            held,
            lease_ms: fetch.lease_ms,
            poll,
            batch: fetch.batch,
            linger_at: 0,
            ticket: 0,
            works: Vec::new(),
            works_bytes: 0,
            texts: Texts::default(),
        };
        self.roster.number_stream(&stream, true);
        self.roster.streams.open.insert(key, stream);
        if let Some(presence) = self.roster.sessions.get_mut(&asker.session) {
            presence.streams += 1;
        }
        if let Some((_, until)) = poll {
            self.roster.timers.insert(until, Timer::Poll(key));
        }
        self.roster.hungry.insert(key);
        self.roster.rearm(asker.session);
    }

    /// After a resume the session's leases belong to no stream; the next one that fetches such
    /// jobs takes their slots.
    fn adopt_leases(&mut self, asker: Asker, key: StreamKey, queues: &[NameId], kinds: &[NameId]) -> u32 {
        let Some(presence) = self.roster.sessions.get_mut(&asker.session) else { return 0 };
        let mut held = 0u32;
        for (&seq, mark) in presence.leases.iter_mut().filter(|(_, mark)| mark.stream.is_none()) {
            let fetched = self.ledger.jobs.get(seq).is_some_and(|job| {
                queues.contains(&job.queue) && (kinds.is_empty() || kinds.contains(&job.kind))
            });
            if fetched {
                mark.stream = Some(key);
                held = held.saturating_add(mark.cost);
            }
        }
        held
    }

    fn change_stream(&mut self, asker: Asker, fetch: &Fetch, turn: &mut Turn) -> Result<(), Refusal> {
        let key = Request { conn: asker.from.conn, id: fetch.stream };
        let Some(stream) = self.roster.streams.open.get_mut(&key) else {
            return Err(Refusal::new(Code::NotFound, "stream", "this connection has no such stream"));
        };
        if fetch.close {
            self.end_stream(key, turn);
        } else if fetch.slots == 0 || fetch.slots > SLOTS_MAX || stream.poll.is_some() {
            let message = format!("a stream's slots change to 1..{SLOTS_MAX}");
            return Err(Refusal::new(Code::Invalid, "slots", message));
        } else {
            for queue in stream.sources.queues() {
                if let Some(index) = self.roster.queues.get_mut(queue) {
                    index.slots = index.slots + u64::from(fetch.slots) - u64::from(stream.slots);
                }
            }
            stream.slots = fetch.slots;
            self.roster.hungry.insert(key);
        }
        turn.say(asker.from, Body::Closed);
        Ok(())
    }

    /// Ends a stream with its last frame.
    pub(crate) fn end_stream(&mut self, key: StreamKey, turn: &mut Turn) {
        let works = match self.roster.streams.open.get_mut(&key) {
            Some(stream) => stream.take(),
            None => return,
        };
        self.drop_stream(key);
        turn.frames.push(Frame::answer(key, Body::Deliver { works, end: true }));
    }

    /// Forgets a stream; what it delivered stays leased to its session.
    pub(crate) fn drop_stream(&mut self, key: StreamKey) {
        self.roster.streams.unwait(key);
        let Some(stream) = self.roster.streams.open.remove(&key) else { return };
        self.roster.number_stream(&stream, false);
        self.roster.hungry.remove(&key);
        if let Some((_, until)) = stream.poll {
            self.roster.timers.remove(until, Timer::Poll(key));
        }
        if stream.linger_at > 0 {
            self.roster.timers.remove(stream.linger_at, Timer::Linger(key));
        }
        let Some(presence) = self.roster.sessions.get_mut(&stream.session) else { return };
        presence.streams -= 1;
        for mark in presence.leases.values_mut().filter(|mark| mark.stream == Some(key)) {
            mark.stream = None;
        }
        if let Some((queue, _)) = presence.empties_for.filter(|&(_, by)| by == key) {
            self.roster.release(queue);
        }
    }
}
