//! Watches: who wants to hear of what, the last events, and how far each watcher has heard them.
//!
//! A *wide* watch hears of jobs by what they are: it reads along the ring of the last events, and
//! falls behind there when its peer does not read. A *narrow* one, and an Enqueue that waits, names
//! its jobs: it is found through them, and costs nothing for any other job.

use crate::event::{Event, EventJob, EventName, text};
use crate::filter::States;
use crate::frame::EnqueuedOne;
use crate::ids::{ConnId, JobId, Ms, NameId, Request};
use crate::limits::{EVENTS_LINGER_MS, EVENTS_PER_TURN, EVENTS_RING_BYTES};
use crate::reach::Reach;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A watch is named by the request that opened it.
pub(crate) type WatchKey = Request;

/// What a watch wants to hear, or a sink.
#[derive(Debug)]
pub(crate) struct Interest {
    pub(crate) namespace: NameId,
    /// Bits of event names; 0 = all.
    pub(crate) names: u64,
    /// Empty = all.
    pub(crate) ids: BTreeSet<JobId>,
    /// "" = all.
    pub(crate) queue: String,
    /// "" = all.
    pub(crate) kind: String,
    /// "" = all.
    pub(crate) key: String,
    pub(crate) states: States,
    /// Only of these queues, and then of nothing that is of none.
    pub(crate) within: Reach,
}

impl Default for Interest {
    fn default() -> Self {
        let (queue, kind, key) = Default::default();
        let (ids, within) = Default::default();
        Self { namespace: 0, names: 0, ids, queue, kind, key, states: States::ALL, within }
    }
}

impl Interest {
    pub(crate) fn takes(&self, event: &Event) -> bool {
        let is_about = match (&event.job, &event.queue) {
            (Some(job), _) => self.takes_job(job),
            (None, Some(queue)) => self.takes_queue(queue.text()),
            (None, None) => self.is_open(),
        };
        (event.namespace == 0 || self.namespace == event.namespace)
            && self.takes_name(event.name)
            && is_about
            && self.is_within(event)
    }

    fn is_within(&self, event: &Event) -> bool {
        let queue = event.job.as_ref().map_or(event.queue.as_ref(), |job| job.queue.as_ref());
        self.within.is_all() || queue.is_some_and(|queue| self.within.covers(queue.text()))
    }

    /// It selects whole queues, and this one.
    fn takes_queue(&self, queue: &str) -> bool {
        let is_of_jobs = !self.ids.is_empty() || !self.kind.is_empty() || !self.key.is_empty();
        !is_of_jobs && self.states == States::ALL && (self.queue.is_empty() || self.queue == queue)
    }

    pub(crate) fn takes_name(&self, name: EventName) -> bool {
        self.names == 0 || self.names & name.bit() > 0
    }

    /// It selects no jobs, so it hears of the broker, too.
    fn is_open(&self) -> bool {
        let texts = [&self.queue, &self.kind, &self.key];
        self.ids.is_empty() && self.states == States::ALL && texts.iter().all(|text| text.is_empty())
    }

    fn takes_job(&self, job: &EventJob) -> bool {
        let is = |wanted: &str, found| wanted.is_empty() || wanted == text(found);
        (self.ids.is_empty() || self.ids.contains(&job.id))
            && is(&self.queue, job.queue.as_ref())
            && is(&self.kind, job.kind.as_ref())
            && is(&self.key, job.key.as_ref())
            && (self.states == States::ALL || job.state.is_some_and(|state| self.states.contains(state)))
    }
}

/// An open Watch.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) interest: Interest,
    pub(crate) with_result: bool,
    pub(crate) with_stream: bool,
    /// Jobs whose output so far it is still to see.
    pub(crate) tails: BTreeSet<JobId>,
    /// Events were dropped that it should have heard.
    pub(crate) lagged: bool,
    /// A wide watch: the number of the first event it has not looked at. 0 = it is narrow.
    pub(crate) next: u64,
    /// It ends when its jobs have; these have not.
    pub(crate) until: Option<BTreeSet<JobId>>,
    /// Jobs that have ended, which its peer was not told yet.
    pub(crate) owed: BTreeSet<JobId>,
}

/// An Enqueue that is answered when its jobs have ended.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) namespace: NameId,
    /// The answer, so far.
    pub(crate) ones: Vec<EnqueuedOne>,
    /// These have not ended; with their places in the answer.
    pub(crate) open: BTreeMap<JobId, Vec<usize>>,
    /// Answered then at the latest.
    pub(crate) until: Ms,
}

/// All watches and waits, and the ring of the last events.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    pub(crate) open: BTreeMap<WatchKey, Watch>,
    pub(crate) waits: BTreeMap<Request, Wait>,
    pub(crate) wide: BTreeSet<WatchKey>,
    by_job: BTreeMap<(NameId, JobId), BTreeSet<Request>>,
    /// Watches that have something to hear of what was before.
    pub(crate) behind: BTreeSet<WatchKey>,
    /// Number of the next event.
    pub(crate) next: u64,
    ring: Option<Ring>,
    /// Events that may still be told in this turn as they happen.
    budget: usize,
    named: usize,
    /// There are sinks.
    pub(crate) is_hooked: bool,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// All events from this number on are here.
    first: u64,
    /// When nobody reads along any more: given up then.
    until: Option<Ms>,
}

impl Watches {
    /// The numbers of a run begin with its epoch, so that they never repeat.
    pub(crate) fn start(&mut self, epoch: u32) {
        self.next = (u64::from(epoch) << 40) + 1;
        self.budget = EVENTS_PER_TURN;
    }

    /// Somebody wants to hear of something. The one check that a job costs when nobody does.
    pub(crate) fn is_on(&self) -> bool {
        self.ring.is_some() || self.is_hooked || !self.by_job.is_empty()
    }

    /// Who has named this job.
    pub(crate) fn of_job(&self, namespace: NameId, id: JobId) -> Vec<Request> {
        let found = self.by_job.get(&(namespace, id));
        found.map(|keys| keys.iter().copied().collect()).unwrap_or_default()
    }

    /// Jobs named by narrow watches and waits.
    pub(crate) fn named(&self) -> usize {
        self.named
    }

    pub(crate) fn name_job(&mut self, namespace: NameId, id: JobId, key: Request) {
        self.named += usize::from(self.by_job.entry((namespace, id)).or_default().insert(key));
    }

    pub(crate) fn unname_job(&mut self, namespace: NameId, id: JobId, key: Request) {
        let Some(keys) = self.by_job.get_mut(&(namespace, id)) else { return };
        self.named -= usize::from(keys.remove(&key));
        if keys.is_empty() {
            self.by_job.remove(&(namespace, id));
        }
    }

    /// A wide watch reads along from this number on; 0 = only what is new.
    pub(crate) fn widen(&mut self, key: WatchKey, from: u64) {
        let next = self.next;
        let fresh = || Ring { events: VecDeque::new(), bytes: 0, first: next, until: None };
        self.ring.get_or_insert_with(fresh).until = None;
        self.wide.insert(key);
        if let Some(watch) = self.open.get_mut(&key) {
            watch.next = if from == 0 { self.next } else { from.min(self.next) };
            if watch.next < self.next {
                self.behind.insert(key);
            }
        }
    }

    /// Forgets a watch.
    pub(crate) fn remove(&mut self, key: WatchKey, now: Ms) {
        let Some(watch) = self.open.remove(&key) else { return };
        self.behind.remove(&key);
        if self.wide.remove(&key) {
            if let Some(ring) = self.ring.as_mut().filter(|_| self.wide.is_empty()) {
                ring.until = Some(now.saturating_add(EVENTS_LINGER_MS));
            }
        } else {
            for &id in &watch.interest.ids {
                self.unname_job(watch.interest.namespace, id, key);
            }
        }
    }

    /// Forgets a wait, and gives back what it was to be answered.
    pub(crate) fn end_wait(&mut self, key: Request) -> Option<Wait> {
        let wait = self.waits.remove(&key)?;
        for &id in wait.open.keys() {
            self.unname_job(wait.namespace, id, key);
        }
        Some(wait)
    }

    pub(crate) fn of_conn(&self, conn: ConnId) -> Vec<WatchKey> {
        self.open.range(Self::conn(conn)).map(|(&key, _)| key).collect()
    }

    pub(crate) fn waits_of(&self, conn: ConnId) -> Vec<Request> {
        self.waits.range(Self::conn(conn)).map(|(&key, _)| key).collect()
    }

    fn conn(conn: ConnId) -> core::ops::RangeInclusive<Request> {
        Request { conn, id: 0 }..=Request { conn, id: u64::MAX }
    }

    /// The number of an event that goes into the ring.
    pub(crate) fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The number of an event that does not: who has read along to here need not look for it there.
    pub(crate) fn skip_number(&mut self) -> u64 {
        let number = self.take_number();
        for key in &self.wide {
            if let Some(watch) = self.open.get_mut(key).filter(|watch| watch.next == number) {
                watch.next = self.next;
            }
        }
        number
    }

    /// The last events are kept, for whoever comes back.
    pub(crate) fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// The last events keep this one, too, and forget the oldest when they are too many.
    pub(crate) fn keep(&mut self, event: &Arc<Event>) {
        let Some(ring) = &mut self.ring else { return };
        ring.bytes += event.weight();
        ring.events.push_back(event.clone());
        while ring.bytes > EVENTS_RING_BYTES
            && let Some(oldest) = ring.events.pop_front()
        {
            ring.bytes -= oldest.weight();
            ring.first = oldest.number + 1;
        }
    }

    /// Number of the oldest event from which on all are kept.
    pub(crate) fn first(&self) -> u64 {
        self.ring.as_ref().map_or(self.next, |ring| ring.first)
    }

    /// The first kept events from this number on, at most so many.
    pub(crate) fn kept_from(&self, number: u64, most: usize) -> Vec<Arc<Event>> {
        let Some(ring) = &self.ring else { return Vec::new() };
        let start = ring.events.partition_point(|event| event.number < number);
        ring.events.range(start..).take(most).cloned().collect()
    }

    /// One more event may be told as it happens; beyond that watchers hear it in the next turn.
    pub(crate) fn spend(&mut self) -> bool {
        let may = self.budget > 0;
        self.budget -= usize::from(may);
        may
    }

    /// A turn is over.
    pub(crate) fn renew(&mut self, now: Ms) {
        self.budget = EVENTS_PER_TURN;
        if self.ring.as_ref().and_then(|ring| ring.until).is_some_and(|until| until <= now) {
            self.ring = None;
        }
    }

    /// The clock was set.
    pub(crate) fn shift(&mut self, moved: impl Fn(Ms) -> Ms) {
        if let Some(until) = self.ring.as_mut().and_then(|ring| ring.until.as_mut()) {
            *until = moved(*until);
        }
    }

    /// Whether the indexes agree with the watches.
    pub(crate) fn audit(&self) -> Result<(), &'static str> {
        let mut named = BTreeSet::new();
        for (&key, watch) in &self.open {
            if (watch.next > 0) != self.wide.contains(&key) {
                return Err("a watch is wide, or it is not");
            }
            if watch.next > 0 && watch.next < self.next && !self.behind.contains(&key) && self.ring.is_none()
            {
                return Err("a wide watch without a ring");
            }
            if watch.next == 0 {
                named.extend(watch.interest.ids.iter().map(|&id| (watch.interest.namespace, id, key)));
            }
            if watch.until.as_ref().is_some_and(BTreeSet::is_empty) && watch.owed.is_empty() {
                return Err("a watch that should have ended");
            }
        }
        for (&key, wait) in &self.waits {
            if wait.open.is_empty() {
                return Err("a wait that should have been answered");
            }
            named.extend(wait.open.keys().map(|&id| (wait.namespace, id, key)));
        }
        let indexed =
            self.by_job.iter().flat_map(|(&(of, id), keys)| keys.iter().map(move |&key| (of, id, key)));
        let indexed: BTreeSet<_> = indexed.collect();
        if indexed != named || named.len() != self.named {
            return Err("the index of named jobs differs");
        }
        if !self.behind.iter().all(|key| self.open.contains_key(key)) {
            return Err("nobody is behind");
        }
        Ok(())
    }
}
