//! Streams: who waits for jobs, with how much room, in which order they are served.

use super::sources::Sources;
use crate::command::Batch;
use crate::frame::Work;
use crate::ids::{ConnId, Ms, NameId, Request, SessionId};
use crate::ledger::names::Names;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A stream is named by the request that opened it.
pub(crate) type StreamKey = Request;

/// Stands for "any kind" among the kinds of the waiting streams.
pub(crate) const ANY_KIND: NameId = 0;

/// Kinds up to which a waiting stream is found by each of them.
const KINDS_INDEXED_MAX: usize = 16;

/// Streams of which one is drawn by lot.
const DRAWN_FROM: usize = 128;

/// Names up to which the jobs of a frame share their texts.
const TEXTS_SHARED: usize = 8;

/// An open Fetch.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) session: SessionId,
    pub(crate) namespace: NameId,
    pub(crate) sources: Sources,
    /// Kinds; empty = any.
    pub(crate) kinds: Vec<NameId>,
    pub(crate) slots: u32,
    /// Cost of the jobs it delivered and that still run.
    pub(crate) held: u32,
    pub(crate) lease_ms: Option<u64>,
    /// A long poll: how many jobs it may still get, and until when it waits.
    pub(crate) poll: Option<(u32, Ms)>,
    /// It collects jobs.
    pub(crate) batch: Option<Batch>,
    /// When the first job of a batch will have waited long enough; 0 = there is none.
    pub(crate) linger_at: Ms,
    /// Where it stands among the waiting; 0 = it does not wait.
    pub(crate) ticket: u64,
    /// Jobs leased in this turn.
    pub(crate) works: Vec<Work>,
    pub(crate) works_bytes: usize,
    /// Names of these jobs as text.
    pub(crate) texts: Texts,
}

impl Stream {
    /// The jobs leased in this turn, for a frame of their own.
    pub(crate) fn take(&mut self) -> Vec<Work> {
        self.works_bytes = 0;
        self.texts = Texts::default();
        core::mem::take(&mut self.works)
    }

    /// A job of this cost fits. A stream that holds nothing takes a job of any cost.
    pub(crate) fn has_room(&self, cost: u32) -> bool {
        match self.poll {
            Some((left, _)) => left > 0,
            None => self.slots > 0 && (self.held == 0 || self.held.saturating_add(cost) <= self.slots),
        }
    }
}

/// Texts that the jobs of one frame share: most are of one queue and a few kinds.
#[derive(Debug, Default)]
pub(crate) struct Texts(Vec<(NameId, Arc<str>)>);

impl Texts {
    pub(crate) fn get(&mut self, names: &Names, id: NameId) -> Arc<str> {
        if let Some((_, text)) = self.0.iter().find(|&&(known, _)| known == id) {
            return text.clone();
        }
        let text: Arc<str> = names.text(id).into();
        if self.0.len() < TEXTS_SHARED {
            self.0.push((id, text.clone()));
        }
        text
    }
}

/// All streams, and the waiting ones by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) open: BTreeMap<StreamKey, Stream>,
    waiting: BTreeMap<(NameId, NameId), BTreeSet<(u64, StreamKey)>>,
    ticket: u64,
    /// How many were opened that draw by weight.
    pub(crate) weighted: u64,
}

impl Streams {
    /// Puts the stream behind all that wait: longest idle first is round robin.
    pub(crate) fn wait(&mut self, key: StreamKey) {
        let Some(stream) = self.open.get_mut(&key) else { return };
        if stream.ticket == self.ticket && stream.ticket > 0 {
            // It was the last to come, so it stands behind all already.
            return;
        }
        self.ticket += 1;
        let old = core::mem::replace(&mut stream.ticket, self.ticket);
        for place in places(stream) {
            let set = self.waiting.entry(place).or_default();
            if old > 0 {
                set.remove(&(old, key));
            }
            set.insert((self.ticket, key));
        }
    }

    /// Takes the stream out of the waiting.
    pub(crate) fn unwait(&mut self, key: StreamKey) {
        let Some(stream) = self.open.get_mut(&key) else { return };
        let old = core::mem::take(&mut stream.ticket);
        if old == 0 {
            return;
        }
        for place in places(stream) {
            if let Some(set) = self.waiting.get_mut(&place) {
                set.remove(&(old, key));
                if set.is_empty() {
                    self.waiting.remove(&place);
                }
            }
        }
    }

    /// The streams that wait for a job of this queue and kind, longest idle first, after `ticket`.
    pub(crate) fn next_waiting(&self, queue: NameId, kind: NameId, ticket: u64) -> Option<(u64, StreamKey)> {
        let after = |kind| {
            let set = self.waiting.get(&(queue, kind))?;
            set.range((ticket + 1, Request { conn: 0, id: 0 })..).next().copied()
        };
        match (after(kind), after(ANY_KIND)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// One of the streams that wait for a job of this queue and kind, drawn by lot; of many one of those that
    /// have waited longest.
    pub(crate) fn draw_waiting(&self, queue: NameId, kind: NameId, lot: u64) -> Option<StreamKey> {
        let sets = [kind, ANY_KIND].map(|kind| self.waiting.get(&(queue, kind)));
        let number = |set: &Option<&BTreeSet<_>>| set.map_or(0, |set| set.len().min(DRAWN_FROM));
        let [one, other] = [number(&sets[0]), number(&sets[1])];
        let place = usize::try_from((u128::from(lot) * (one + other) as u128) >> 64).ok()?;
        let (set, place) = if place < one { (sets[0], place) } else { (sets[1], place - one) };
        set?.iter().nth(place).map(|&(_, key)| key)
    }

    /// The stream stands among the waiting, or nowhere, as its ticket says.
    pub(crate) fn is_indexed(&self, key: StreamKey) -> bool {
        let Some(stream) = self.open.get(&key) else { return false };
        places(stream).iter().all(|place| {
            let set = self.waiting.get(place);
            let stands = set.is_some_and(|set| set.contains(&(stream.ticket, key)));
            let strays = set.is_some_and(|set| set.iter().any(|&(at, of)| of == key && at != stream.ticket));
            stands == (stream.ticket > 0) && !strays
        })
    }

    /// The streams of one connection.
    pub(crate) fn of_conn(&self, conn: ConnId) -> impl Iterator<Item = &Stream> {
        self.open.range(Request { conn, id: 0 }..=Request { conn, id: u64::MAX }).map(|(_, stream)| stream)
    }

    /// How many streams wait for some job of this queue.
    pub(crate) fn waiting_on(&self, queue: NameId) -> usize {
        let keys: BTreeSet<StreamKey> = self
            .waiting
            .range((queue, 0)..=(queue, NameId::MAX))
            .flat_map(|(_, set)| set.iter().map(|&(_, key)| key))
            .collect();
        keys.len()
    }
}

/// A stream of many kinds waits as one of any kind: it is asked in vain more often, but does not
/// enter and leave hundreds of sets with each job.
fn places(stream: &Stream) -> Vec<(NameId, NameId)> {
    let any = [ANY_KIND];
    let few = (1..=KINDS_INDEXED_MAX).contains(&stream.kinds.len());
    let kinds: &[NameId] = if few { &stream.kinds } else { &any };
    stream.sources.queues().iter().flat_map(|&queue| kinds.iter().map(move |&kind| (queue, kind))).collect()
}
