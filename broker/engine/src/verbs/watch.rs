//! Watch: tells what happens as it happens. Checking and subscribing are one step.

use crate::blob::Blob;
use crate::command::{Code, Refusal, Watch as Asked};
use crate::engine::{Asker, Engine, Turn};
use crate::event::{Event, EventJob, EventName};
use crate::fact::{Counts, DeadReason, Fact, Note};
use crate::frame::{Body, Frame};
use crate::ids::{ConnId, JobId, NameId, Request, Seq, SessionId};
use crate::ledger::job::{Job, State};
use crate::ledger::names::Name;
use crate::limits::{
    DELIVER_BYTES_MAX, EVENT_NOTE_BYTES_MAX, EVENTS_PER_WATCH, OUTPUT_IDS_MAX, STREAMS_MAX, WATCHED_IDS_MAX,
    WIDE_WATCHES_MAX,
};
use crate::part::Slot;
use crate::reach::Reach;
use crate::roster::watches::{Interest, Watch, WatchKey};
use crate::sink;
use crate::verbs::outcome::clipped;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Something that is not about a single job, before it has a number.
pub(crate) struct News {
    pub(crate) name: EventName,
    /// 0 = all of them.
    pub(crate) namespace: NameId,
    pub(crate) queue: Option<Arc<Name>>,
    pub(crate) subject: String,
    /// For people.
    pub(crate) note: String,
}

impl Engine {
    pub(crate) fn watch(&mut self, asker: Asker, asked: Asked, turn: &mut Turn) {
        if asked.stream > 0 {
            let key = Request { conn: asker.from.conn, id: asked.stream };
            if !self.roster.watches.open.contains_key(&key) {
                let message = "this connection has no such stream";
                return turn.refuse(asker.from, Refusal::new(Code::NotFound, "stream", message));
            }
            self.end_watch(key, turn);
            return turn.say(asker.from, Body::Closed);
        }
        match self.admit_watch(asker.from.conn, &asked) {
            Ok(()) => self.open_watch(asker, asked),
            Err(refusal) => turn.refuse(asker.from, refusal),
        }
    }

    fn admit_watch(&self, conn: ConnId, asked: &Asked) -> Result<(), Refusal> {
        let watches = &self.roster.watches;
        let exhausted = |field: &str, message: String| Err(Refusal::new(Code::Exhausted, field, message));
        if asked.until_finished && asked.ids.is_empty() {
            let message = "name the jobs whose end is waited for";
            return Err(Refusal::new(Code::Invalid, "select.ids", message));
        }
        if asked.with_stream && (!asked.is_narrow() || asked.ids.len() > OUTPUT_IDS_MAX) {
            let message = format!("name the jobs whose output is watched, at most {OUTPUT_IDS_MAX}");
            return Err(Refusal::new(Code::Invalid, "with_stream", message));
        }
        if watches.of_conn(conn).len() >= STREAMS_MAX {
            return exhausted("stream", format!("a connection has at most {STREAMS_MAX} watches"));
        }
        if !asked.is_narrow() && watches.wide.len() >= WIDE_WATCHES_MAX {
            return exhausted("stream", format!("there are {WIDE_WATCHES_MAX} watches already"));
        }
        if watches.named() + asked.ids.len() > WATCHED_IDS_MAX {
            return exhausted("select.ids", format!("{WATCHED_IDS_MAX} jobs are watched already"));
        }
        Ok(())
    }

    fn open_watch(&mut self, asker: Asker, asked: Asked) {
        let (key, namespace, is_narrow) = (asker.from, asker.namespace, asked.is_narrow());
        let ids: BTreeSet<JobId> = asked.ids.into_iter().collect();
        let mut watch =
            Watch { with_result: asked.with_result, with_stream: asked.with_stream, ..Watch::default() };
        if asked.until_finished {
            let has_ended = |&id: &JobId| self.asked_for(asker, id).map_or(true, |job| job.state.is_final());
            let (owed, open) = ids.iter().copied().partition(has_ended);
            watch.owed = owed;
            watch.until = Some(open);
        }
        watch.interest = Interest {
            namespace,
            names: asked.names.iter().fold(0, |names, name| names | name.bit()),
            ids,
            queue: asked.queue,
            kind: asked.kind,
            key: asked.key,
            states: asked.states,
            within: self.roster.reaches.get(&key.conn).cloned().unwrap_or_default(),
        };
        if asked.with_stream {
            let has_output =
                |id: &JobId| self.find(namespace, *id).is_some_and(|job| self.has_output(job.seq));
            watch.tails = watch.interest.ids.iter().copied().filter(has_output).collect();
        }
        let watches = &mut self.roster.watches;
        if is_narrow {
            for &id in &watch.interest.ids {
                watches.name_job(namespace, id, key);
            }
            if !watch.owed.is_empty() || !watch.tails.is_empty() {
                watches.behind.insert(key);
            }
        }
        watches.open.insert(key, watch);
        if !is_narrow {
            watches.widen(key, asked.from_seq);
            self.look_out();
        }
    }

    /// Ends a watch with its last frame.
    pub(crate) fn end_watch(&mut self, key: WatchKey, turn: &mut Turn) {
        self.roster.watches.remove(key, self.now);
        turn.frames.push(Frame::answer(key, Body::Event { event: None, data: Slot::Empty, lagged: false }));
    }

    // ------------------------------------------------------------------ what happens

    /// Tells whoever wants to hear it what a fact means for its job, which is still there.
    pub(crate) fn tell(&mut self, seq: Seq, fact: &Fact, turn: &mut Turn) {
        if self.roster.watches.is_hooked {
            self.follow_delivery(seq, fact);
        }
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let direct = self.roster.watches.of_job(job.namespace, job.id);
        // A death may be an event of two names, and either is wanted.
        let is_wanted = |name: EventName| {
            self.has_ears_for(name) || name == EventName::JobDead && self.has_ears_for(EventName::JobPoison)
        };
        let Some(name) = event_of(fact).filter(|&name| is_wanted(name) || !direct.is_empty()) else { return };
        let note = self.event_note(fact);
        let result = if let Fact::Completed { result, .. } = fact { result.clone() } else { Blob::default() };
        if let Fact::Died { reason: DeadReason::Poison, .. } = fact {
            self.announce(name, seq, note.clone(), &result, turn);
            return self.announce(EventName::JobPoison, seq, note, &result, turn);
        }
        self.announce(name, seq, note, &result, turn);
    }

    /// Tells how far a run is.
    pub(crate) fn tell_progress(&mut self, seq: Seq, turn: &mut Turn) {
        if !self.roster.watches.is_on() {
            return;
        }
        let Some(told) = self.run_of(seq).map(|run| &run.told) else { return };
        let percent = told.progress.map(|done| match (done / 10, done % 10) {
            (whole, 0) => format!("{whole} %"),
            (whole, rest) => format!("{whole}.{rest} %"),
        });
        let words = [percent.as_deref(), told.note.as_deref()];
        let note: Vec<&str> = words.into_iter().flatten().filter(|words| !words.is_empty()).collect();
        let note = clipped(note.join(": "), EVENT_NOTE_BYTES_MAX);
        self.announce(EventName::JobProgress, seq, note, &Blob::default(), turn);
    }

    fn announce(&mut self, name: EventName, seq: Seq, note: String, result: &Blob, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let (namespace, id) = (job.namespace, job.id);
        let direct = self.roster.watches.of_job(namespace, id);
        if !self.has_ears_for(name) && direct.is_empty() {
            return;
        }
        let event = self.event(name, Some(seq), note, namespace);
        self.roster.watches.keep(&event);
        self.tell_wide(&event, result, turn);
        self.hook(&event);
        for key in direct {
            if self.roster.watches.open.contains_key(&key) {
                self.tell_narrow(key, &event, result, turn);
            } else {
                self.tell_waiting(key, &event, turn);
            }
        }
    }

    /// Tells a piece of output to whoever watches it now. One who does not read misses it.
    pub(crate) fn tell_output(&mut self, seq: Seq, piece: &Blob, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let (namespace, id) = (job.namespace, job.id);
        let wants = |key: &Request| {
            let watch = self.roster.watches.open.get(key);
            // Whoever is still to be told the tail finds the piece there.
            watch.is_some_and(|watch| watch.with_stream && !watch.tails.contains(&id))
        };
        let keys: Vec<Request> =
            self.roster.watches.of_job(namespace, id).into_iter().filter(wants).collect();
        for key in keys {
            let is_choked = self.roster.choked.contains(&key.conn);
            let event = self.output_event(seq, namespace);
            let Some(watch) = self.roster.watches.open.get_mut(&key) else { continue };
            if !watch.interest.takes(&event) {
            } else if is_choked {
                watch.lagged = true;
            } else {
                turn.frames.push(told(key, watch, &event, Slot::of(piece)));
            }
        }
    }

    fn has_output(&self, seq: Seq) -> bool {
        self.run_of(seq).is_some_and(|run| run.told.has_output())
    }

    /// Output is nobody's but who watches it: it is not among the last events.
    fn output_event(&mut self, seq: Seq, namespace: NameId) -> Arc<Event> {
        let number = self.roster.watches.skip_number();
        self.numbered(number, EventName::JobOutput, Some(seq), String::new(), namespace)
    }

    /// Tells what became of a session.
    pub(crate) fn tell_session(&mut self, id: SessionId, name: EventName, turn: &mut Turn) {
        let Some(row) = self.ledger.sessions.get(&id).filter(|_| self.has_ears_for(name)) else { return };
        // After a crash of the broker its own session is lost, too, and that is no alert.
        let is_own = row.session.client == sink::CLIENT;
        let name = if is_own && name == EventName::SessionLost { EventName::SessionClosed } else { name };
        let namespace = row.session.namespace;
        let note = format!("{} ({id})", self.worker(id));
        let (queue, subject) = (None, format!("session/{id}"));
        self.publish(News { name, namespace, queue, subject, note }, turn);
    }

    /// Tells what became of a schedule.
    pub(crate) fn tell_schedule(&mut self, id: NameId, name: EventName, note: String, turn: &mut Turn) {
        let (namespace, queue) = (self.namespace_of(id), None);
        let subject = format!("schedule/{}", self.ledger.names.text(id));
        self.publish(News { name, namespace, queue, subject, note }, turn);
    }

    /// Tells what is not about a single job.
    pub(crate) fn publish(&mut self, news: News, turn: &mut Turn) {
        if !self.has_ears_for(news.name) {
            return;
        }
        let News { name, namespace, queue, subject, note } = news;
        let event = self.event(name, None, clipped(note, EVENT_NOTE_BYTES_MAX), namespace);
        let event = Arc::new(Event { queue, subject, ..Arc::unwrap_or_clone(event) });
        self.roster.watches.keep(&event);
        self.tell_wide(&event, &Blob::default(), turn);
        self.hook(&event);
    }

    /// Somebody listens to more than single jobs, or did so lately.
    pub(crate) fn has_ears(&self) -> bool {
        self.roster.watches.has_ring() || self.roster.watches.is_hooked
    }

    /// Somebody who listens may want to hear this.
    fn has_ears_for(&self, name: EventName) -> bool {
        self.roster.watches.has_ring() || self.roster.sinks.wanted & name.bit() > 0
    }

    fn event(&mut self, name: EventName, seq: Option<Seq>, note: String, namespace: NameId) -> Arc<Event> {
        let number = self.roster.watches.take_number();
        self.numbered(number, name, seq, note, namespace)
    }

    fn numbered(
        &self,
        number: u64,
        name: EventName,
        seq: Option<Seq>,
        note: String,
        namespace: NameId,
    ) -> Arc<Event> {
        let names = &self.ledger.names;
        let job = seq.and_then(|seq| self.ledger.jobs.get(seq)).map(|job| EventJob {
            id: job.id,
            seq: job.seq,
            state: (name != EventName::JobRemoved).then_some(job.state),
            delivery: job.deliveries,
            queue: names.shared(job.queue),
            kind: names.shared(job.kind),
            key: names.shared(job.key),
        });
        let (queue, subject) = (None, String::new());
        Arc::new(Event { number, at: self.now, name, namespace, job, queue, subject, note })
    }

    fn event_note(&self, fact: &Fact) -> String {
        let of_note = |note: &Option<alloc::boxed::Box<Note>>| {
            note.as_ref().map(|note| note.message.clone()).unwrap_or_default()
        };
        let text = if let Fact::Leased { lease, .. } = fact {
            self.worker(lease.session)
        } else if let Fact::Returned { note, .. } | Fact::Died { note, .. } | Fact::Cancelled { note, .. } =
            fact
        {
            of_note(note)
        } else {
            String::new()
        };
        clipped(text, EVENT_NOTE_BYTES_MAX)
    }

    fn tell_wide(&mut self, event: &Arc<Event>, result: &Blob, turn: &mut Turn) {
        let keys: Vec<WatchKey> = self.roster.watches.wide.iter().copied().collect();
        for key in keys {
            let is_choked = self.roster.choked.contains(&key.conn);
            let watches = &mut self.roster.watches;
            let is_at_end = watches.open.get(&key).is_some_and(|watch| watch.next == event.number);
            if !is_at_end || is_choked || !watches.spend() {
                watches.behind.insert(key);
                continue;
            }
            let Some(watch) = watches.open.get_mut(&key) else { continue };
            watch.next = event.number + 1;
            if watch.interest.takes(event) {
                let data = if watch.with_result { Slot::of(result) } else { Slot::Empty };
                turn.frames.push(told(key, watch, event, data));
            }
        }
    }

    /// A watch of named jobs hears it at once. One whose peer does not read hears later how its jobs
    /// ended, if that is what it waits for.
    fn tell_narrow(&mut self, key: WatchKey, event: &Arc<Event>, result: &Blob, turn: &mut Turn) {
        let is_choked = self.roster.choked.contains(&key.conn);
        let Some(watch) = self.roster.watches.open.get_mut(&key) else { return };
        let Some(job) = &event.job else { return };
        if watch.until.as_ref().is_some_and(|until| !until.contains(&job.id)) {
            return;
        }
        let has_ended = job.state.is_none_or(State::is_final);
        let is_awaited = has_ended && watch.until.as_mut().is_some_and(|until| until.remove(&job.id));
        if !watch.interest.takes(event) {
        } else if !is_choked {
            let data = if watch.with_result { Slot::of(result) } else { Slot::Empty };
            turn.frames.push(told(key, watch, event, data));
        } else if is_awaited {
            watch.owed.insert(job.id);
        } else {
            watch.lagged = true;
        }
        self.end_if_done(key, turn);
    }

    /// A watch that has heard how all its jobs ended is over.
    fn end_if_done(&mut self, key: WatchKey, turn: &mut Turn) {
        let watch = self.roster.watches.open.get(&key);
        let is_done =
            |watch: &Watch| watch.owed.is_empty() && watch.until.as_ref().is_some_and(BTreeSet::is_empty);
        if watch.is_some_and(is_done) {
            self.end_watch(key, turn);
        }
    }

    // ------------------------------------------------------------------ what was before

    /// Watches that are behind hear the next of what they missed, unless they still do not read.
    pub(crate) fn catch_up(&mut self, turn: &mut Turn) {
        for key in core::mem::take(&mut self.roster.watches.behind) {
            if self.roster.choked.contains(&key.conn) {
                continue;
            }
            if self.roster.watches.wide.contains(&key) {
                self.read_on(key, turn);
            } else {
                self.pay(key, turn);
            }
        }
    }

    /// A wide watch reads on in the ring. What is not there any more, it has lost.
    fn read_on(&mut self, key: WatchKey, turn: &mut Turn) {
        let watches = &self.roster.watches;
        let Some(next) = watches.open.get(&key).map(|watch| watch.next) else { return };
        let (first, end) = (watches.first(), watches.next);
        let events = watches.kept_from(next, EVENTS_PER_WATCH);
        let mut is_over = events.len() < EVENTS_PER_WATCH;
        let mut bytes = 0;
        for event in &events {
            let result = self.result_of(event);
            let Some(watch) = self.roster.watches.open.get_mut(&key) else { return };
            watch.lagged |= watch.next < first;
            watch.next = event.number + 1;
            if watch.interest.takes(event) {
                let (slot, len) = if watch.with_result { result } else { (Slot::Empty, 0) };
                bytes += len;
                turn.frames.push(told(key, watch, event, slot));
            }
            if bytes > DELIVER_BYTES_MAX {
                is_over = false;
                break;
            }
        }
        let Some(watch) = self.roster.watches.open.get_mut(&key) else { return };
        watch.lagged |= watch.next < first;
        if is_over {
            watch.next = end;
        } else {
            self.roster.watches.behind.insert(key);
        }
    }

    /// A watch of named jobs hears how they ended.
    fn pay(&mut self, key: WatchKey, turn: &mut Turn) {
        let (mut bytes, mut count) = (self.pay_tails(key, turn), 0);
        while let Some(watch) = self.roster.watches.open.get_mut(&key)
            && let Some(id) = watch.owed.pop_first()
        {
            let namespace = watch.interest.namespace;
            let within = watch.interest.within.clone();
            let event = self.ended_event(namespace, id, &within);
            let (slot, len) = self.result_of(&event);
            let Some(watch) = self.roster.watches.open.get_mut(&key) else { return };
            if watch.interest.takes_name(event.name) {
                let (slot, len) = if watch.with_result { (slot, len) } else { (Slot::Empty, 0) };
                bytes += len;
                turn.frames.push(told(key, watch, &event, slot));
            }
            count += 1;
            if (bytes > DELIVER_BYTES_MAX || count >= EVENTS_PER_WATCH) && !watch.owed.is_empty() {
                self.roster.watches.behind.insert(key);
                return;
            }
        }
        self.end_if_done(key, turn);
    }

    /// A watch that has just been opened sees the end of what its jobs have put out so far. Its bytes.
    fn pay_tails(&mut self, key: WatchKey, turn: &mut Turn) -> usize {
        let mut bytes = 0;
        while let Some(watch) = self.roster.watches.open.get_mut(&key)
            && let Some(id) = watch.tails.pop_first()
        {
            let namespace = watch.interest.namespace;
            let Some(seq) = self.find(namespace, id).map(|job| job.seq) else { continue };
            let Some(tail) = self.run_of(seq).map(|run| run.told.tail()) else { continue };
            let event = self.output_event(seq, namespace);
            let Some(watch) = self.roster.watches.open.get_mut(&key) else { continue };
            if watch.interest.takes(&event) && !tail.is_empty() {
                bytes += tail.len();
                turn.frames.push(told(key, watch, &event, Slot::Bytes(tail)));
            }
        }
        bytes
    }

    /// How a job that has ended stands now: it may be gone, or run again. To whoever may not see it, it is
    /// gone.
    fn ended_event(&mut self, namespace: NameId, id: JobId, within: &Reach) -> Arc<Event> {
        let is_theirs = |job: &&Job| within.covers(self.ledger.names.text(job.queue));
        let Some(job) = self.find(namespace, id).filter(is_theirs) else {
            let (number, at, name) = (self.roster.watches.skip_number(), self.now, EventName::JobRemoved);
            let job = EventJob { id, seq: 0, state: None, delivery: 0, queue: None, kind: None, key: None };
            let (job, queue) = (Some(job), None);
            let (subject, note) = (String::new(), String::new());
            return Arc::new(Event { number, at, name, namespace, job, queue, subject, note });
        };
        let (seq, name) = (job.seq, EventName::of_end(job.state).unwrap_or(EventName::JobRetried));
        let number = self.roster.watches.skip_number();
        let event = self.event(name, Some(seq), String::new(), namespace);
        Arc::new(Event { number, ..Arc::unwrap_or_clone(event) })
    }

    /// Where the result lies that an event tells of, if it is still there, and its length.
    fn result_of(&self, event: &Event) -> (Slot, usize) {
        let Some(job) = event.job.as_ref().filter(|_| event.name == EventName::JobCompleted) else {
            return (Slot::Empty, 0);
        };
        let found = self.ledger.jobs.get(job.seq).filter(|found| found.deliveries == job.delivery);
        found.map_or((Slot::Empty, 0), |found| (found.result(), found.result_len()))
    }
}

fn told(to: WatchKey, watch: &mut Watch, event: &Arc<Event>, data: Slot) -> Frame {
    let lagged = core::mem::take(&mut watch.lagged);
    Frame { to, last: false, body: Body::Event { event: Some(event.clone()), data, lagged } }
}

/// What a fact about a job is called; None = it is of no interest.
fn event_of(fact: &Fact) -> Option<EventName> {
    Some(match fact {
        Fact::Enqueued { .. } => EventName::JobEnqueued,
        Fact::Readied { .. } => EventName::JobReady,
        Fact::Leased { .. } => EventName::JobStarted,
        Fact::CancelAsked { .. } | Fact::Overran { .. } => EventName::JobCancelling,
        Fact::Completed { .. } => EventName::JobCompleted,
        Fact::Returned { counts, .. } => match counts {
            Counts::Attempt => EventName::JobFailed,
            Counts::Crash => EventName::JobLost,
            Counts::Snooze => EventName::JobSnoozed,
            Counts::Nothing => EventName::JobReleased,
        },
        Fact::Died { .. } | Fact::Buried { .. } => EventName::JobDead,
        Fact::Cancelled { .. } => EventName::JobCancelled,
        Fact::Retried { .. } => EventName::JobRetried,
        Fact::Rescheduled { .. } => EventName::JobRescheduled,
        Fact::Reshaped { .. }
        | Fact::Blocked { .. }
        | Fact::Held { .. }
        | Fact::Freed { .. }
        | Fact::Replaced { .. }
        | Fact::Appended { .. } => EventName::JobChanged,
        Fact::Expired { .. } => EventName::JobExpired,
        Fact::Removed { .. } => EventName::JobRemoved,
        Fact::Extended { .. }
        | Fact::Reported { .. }
        | Fact::Emptied { .. }
        | Fact::Started { .. }
        | Fact::Stopped
        | Fact::Named { .. }
        | Fact::NameDropped { .. }
        | Fact::ResourceSet { .. }
        | Fact::ResourceRemoved { .. }
        | Fact::SessionOpened { .. }
        | Fact::SessionClosed { .. }
        | Fact::OperationStarted { .. }
        | Fact::OperationMoved { .. }
        | Fact::OperationEnded { .. }
        | Fact::OperationRemoved { .. }
        | Fact::FailuresCounted { .. }
        | Fact::FailuresDropped { .. }
        | Fact::Claimed { .. }
        | Fact::Unclaimed { .. }
        | Fact::Told { .. }
        | Fact::Relabelled { .. }
        | Fact::Audited { .. }
        | Fact::AuditDropped { .. }
        | Fact::AfterSet { .. }
        | Fact::AfterEnded { .. }
        | Fact::AfterRemoved { .. }
        | Fact::GroupSet { .. }
        | Fact::GroupRemoved { .. }
        | Fact::FalloutSet { .. }
        | Fact::FalloutRemoved { .. }
        | Fact::Ticked { .. }
        | Fact::ScheduleDropped { .. }
        | Fact::Counted { .. } => return None,
    })
}
