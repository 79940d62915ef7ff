//! Audit: whether everything derived agrees with the ledger. For tests and simulations: it reads
//! all there is, so no broker calls it while it serves.

use crate::engine::Engine;
use crate::ids::{NameId, OperationId, Seq};
use crate::ledger::job::{Job, State};
use crate::ledger::tables::Until;
use crate::limits::AUDITS_MAX;
use crate::order::Told;
use crate::roster::lanes::Taste;
use crate::roster::limits::{BucketId, Waiter};
use crate::roster::stream::{Stream, StreamKey};
use crate::roster::{LeaseMark, Presence, Timer};
use crate::verbs::batch::Due;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

type Verdict = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl Engine {
    /// Compares every index, timer and counter with the ledger, between two turns.
    ///
    /// # Errors
    /// The first disagreement, in words.
    pub fn audit(&self) -> Result<(), String> {
        for job in self.ledger.jobs.iter() {
            self.audit_job(job)?;
        }
        self.audit_queues()?;
        self.audit_numbers()?;
        self.audit_sessions()?;
        self.audit_streams()?;
        self.audit_limits()?;
        self.audit_timers()?;
        self.audit_watches()?;
        self.audit_names()?;
        self.audit_failures()?;
        let running = self.ledger.operations.iter().filter(|(_, row)| row.operation.is_running());
        for (id, _) in running {
            ensure(self.is_operation_awake(*id), || format!("change {id:?} does not go on"))?;
        }
        self.audit_claims()?;
        let audits = self.ledger.audits.len();
        ensure(audits <= AUDITS_MAX, || format!("{audits} entries of the audit"))?;
        self.audit_runs()?;
        self.roster.flows.audit(&self.ledger).map_err(String::from)?;
        self.audit_groups()?;
        self.audit_schedules()?;
        self.audit_sinks()?;
        ensure(self.roster.tally.is_empty(), || "totals were raised and not counted".into())?;
        if self.next_deadline() == Some(0) { Ok(()) } else { self.audit_waiting() }
    }

    fn audit_job(&self, job: &Job) -> Verdict {
        let (seq, what) = (job.seq, |what: &str| format!("job {} (seq {}): {what}", job.id, job.seq));
        let Some(queue) = self.roster.queues.get(&job.queue) else { return Err(what("no queue index")) };
        let timed = |at, timer| self.roster.timers.contains(at, timer);
        ensure(queue.states[job.state.index()].contains(seq), || what("not indexed by its state"))?;
        ensure(job.lease.is_some() == (job.state == State::Leased), || what("lease and state differ"))?;
        ensure(job.ended.is_some() == job.state.is_final(), || what("end and state differ"))?;
        ensure(job.fence > 0 || job.deliveries == 0, || what("delivered without a fence"))?;
        let expires_at = job.expires_at();
        ensure(expires_at == 0 || timed(expires_at, Timer::Expire(seq)), || what("nothing expires it"))?;
        match job.state {
            State::Scheduled => ensure(timed(job.run_at, Timer::Due(seq)), || what("nothing makes it ready")),
            State::Ready => ensure(queue.is_queued(job), || what("ready, but in no lane")),
            State::Leased => {
                let mark = self.mark(job).ok_or_else(|| what("its session does not know it"))?;
                ensure(mark.ends_at == 0 || timed(mark.ends_at, Timer::LeaseEnd(seq)), || {
                    what("no timeout")
                })?;
                ensure(mark.revoke_at == 0 || timed(mark.revoke_at, Timer::Revoke(seq)), || {
                    what("no revoke")
                })?;
                let run = mark.run.as_deref().cloned().unwrap_or_default();
                let ends = run.timeout_at == 0 || timed(run.timeout_at, Timer::TimeUp(seq));
                ensure(ends, || what("its run has no end"))?;
                let is_watched = run.stall_at == 0 || timed(run.stall_timer_at, Timer::Stall(seq));
                ensure(is_watched && run.stall_timer_at <= run.stall_at, || what("nobody sees it stall"))
            }
            State::Completed | State::Dead | State::Cancelled | State::Expired => {
                let Some(ended) = &job.ended else { return Ok(()) };
                let at = ended.end.remove_at;
                let kept = if ended.end.countable {
                    queue.kept.contains(&(at, seq))
                } else {
                    timed(at, Timer::Remove(seq))
                };
                ensure(kept, || what("nothing removes it"))
            }
            State::Held => {
                let until = job.hold_until();
                ensure(until == 0 || timed(until, Timer::Hold(seq)), || what("nothing ends its hold"))
            }
            State::Blocked => {
                let waits = self.waits_for_others(seq);
                ensure(waits, || what("blocked by nobody"))
            }
        }
    }

    /// Every dedup key is found, has a holder that knows, and nobody waits for one that is free.
    fn audit_claims(&self) -> Verdict {
        let mut waiters = 0;
        for (&holder, row) in &self.ledger.claims {
            let claim = &row.claim;
            let what = |what: &str| format!("key {:?} of seq {holder}: {what}", claim.key);
            ensure(self.roster.claims.holder(claim.scope, &claim.key) == Some(holder), || what("not found"))?;
            let job = self.ledger.jobs.get(holder);
            let knows = |job: &Job| job.plan.as_ref().is_some_and(|plan| plan.dedup);
            ensure(job.is_none_or(knows), || what("its holder does not know"))?;
            let stands = match claim.until {
                Until::Finish => job.is_some_and(|job| !job.state.is_final()),
                Until::Start => job.is_some_and(Job::is_unstarted),
                Until::At(at) => self.roster.timers.contains(at, Timer::Unclaim(holder)),
            };
            ensure(stands, || what("it should be free"))?;
            let Some((next, _)) = claim.next else { continue };
            waiters += 1;
            let waits = self.ledger.jobs.get(next).is_some_and(|job| !job.state.is_final() && knows(job));
            ensure(waits, || what("nobody waits for it"))?;
            ensure(job.is_some_and(|job| !job.state.is_final()), || what("waited for in vain"))?;
        }
        let known = (self.ledger.claims.len(), waiters);
        ensure(self.roster.claims.len() == known, || {
            format!("{known:?} claims, {:?}", self.roster.claims.len())
        })
    }

    /// The open members of a group are counted as such, and a group whose members have ended has ended.
    fn audit_groups(&self) -> Verdict {
        for (&seq, row) in &self.ledger.groups {
            let what = |what: &str| format!("group {} (seq {seq}): {what}, {:?}", row.group.id, row.group);
            let members = self.roster.flows.members(seq);
            let states = members.into_iter().flat_map(|set| set.after(None));
            let states = states.filter_map(|member| Some(self.ledger.jobs.get(member)?.state));
            let mut counts = [0u64; State::COUNT];
            states.for_each(|state| counts[state.index()] += 1);
            let ended = State::ALL.into_iter().filter(|state| state.is_final());
            let known = row.group.completed + row.group.failed();
            ensure(ended.map(|state| counts[state.index()]).sum::<u64>() <= known, || {
                what("miscounts ends")
            })?;
            let open = State::ALL.into_iter().filter(|state| !state.is_final());
            let open: u64 = open.map(|state| counts[state.index()]).sum();
            ensure(open == row.group.open(), || what("miscounts its open members"))?;
            let job = self.ledger.jobs.get(seq);
            ensure(job.is_some() || members.is_some(), || what("nobody is left"))?;
            let waits = job.is_some_and(|job| job.state == State::Blocked);
            let may_wait = open > 0 || self.roster.flows.waits(seq);
            ensure(!waits || may_wait, || what("waits for nobody"))?;
        }
        let orphan = self.ledger.jobs.iter().find(|job| {
            let of = job.plan.as_ref().map_or(0, |plan| if plan.is_group { job.seq } else { plan.group });
            of > 0 && !self.ledger.groups.contains_key(&of)
        });
        ensure(orphan.is_none(), || format!("a group without counters: {orphan:?}"))
    }

    fn mark(&self, job: &Job) -> Option<&LeaseMark> {
        self.roster.sessions.get(&job.lease.as_ref()?.session)?.leases.get(&job.seq)
    }

    /// What runs have said adds up, is written some time, and every Touch is answered.
    fn audit_runs(&self) -> Verdict {
        let marks = self.roster.sessions.values().flat_map(|presence| &presence.leases);
        let mut bytes = 0;
        for (seq, run) in marks.filter_map(|(&seq, mark)| Some((seq, mark.run.as_ref()?))) {
            bytes += run.told.weight();
            let at = run.told.flush_at;
            let timed = at == 0 || self.roster.timers.contains(at, Timer::Flush(seq));
            ensure(timed, || format!("nobody writes what the run of {seq} said"))?;
        }
        let sum = self.roster.runs_bytes;
        ensure(bytes == sum, || format!("runs have said {bytes} bytes, not {sum}"))?;
        ensure(self.roster.ended_runs.is_empty(), || "a run ended and was not written".into())?;
        let timed =
            |(key, (at, _)): (&StreamKey, &(u64, _))| self.roster.timers.contains(*at, Timer::Touched(*key));
        ensure(self.roster.touches.iter().all(timed), || "a Touch has no answer".into())
    }

    fn audit_queues(&self) -> Verdict {
        let mut jobs = 0;
        for (id, queue) in &self.roster.queues {
            jobs += queue.states.iter().map(crate::roster::seqs::Seqs::len).sum::<usize>();
            let ready = queue.states[State::Ready.index()].len();
            ensure(queue.queued() == ready, || {
                format!("queue {id}: {ready} ready, {} in lanes", queue.queued())
            })?;
            if let Some(kept) = queue.kept_bytes.as_ref().filter(|kept| kept.is_complete()) {
                let ended = self.ledger.jobs.iter().filter(|job| job.queue == *id && job.state.is_final());
                kept.audit(ended).map_err(|error| format!("queue {id}: {error}"))?;
            }
            let is_light =
                queue.kept_bytes.as_ref().is_none_or(|kept| kept.is_complete() && kept.over().is_none());
            ensure(is_light || self.roster.heavy.contains(id), || {
                format!("queue {id}: keeps too many bytes")
            })?;
            if let Some(session) = queue.reserved {
                let by = self.roster.sessions.get(&session).and_then(|presence| presence.empties_for);
                ensure(by.is_some_and(|(of, _)| of == *id), || {
                    format!("queue {id} is reserved by {session}, which does not know")
                })?;
            }
        }
        ensure(jobs == self.ledger.jobs.len(), || {
            format!("{} jobs, {jobs} in the queues", self.ledger.jobs.len())
        })
    }

    /// Kinds know their jobs by state, kinds and queues the streams that draw from them.
    fn audit_numbers(&self) -> Verdict {
        let mut kinds: BTreeMap<NameId, ([u32; State::COUNT], u32)> = BTreeMap::new();
        let mut queues: BTreeMap<NameId, (u32, u64)> = BTreeMap::new();
        for job in self.ledger.jobs.iter() {
            kinds.entry(job.kind).or_default().0[job.state.index()] += 1;
        }
        for stream in self.roster.streams.open.values() {
            let any = [stream.namespace];
            let named: &[NameId] = if stream.kinds.is_empty() { &any } else { &stream.kinds };
            named.iter().for_each(|kind| kinds.entry(*kind).or_default().1 += 1);
            for queue in stream.sources.queues() {
                let (streams, slots) = queues.entry(*queue).or_default();
                (*streams, *slots) = (*streams + 1, *slots + u64::from(stream.slots));
            }
        }
        for row in self.roster.kinds.iter() {
            let (states, streams) = kinds.remove(&row.kind).unwrap_or_default();
            ensure(states == row.states && streams == row.streams, || {
                format!("kind {}: {states:?} and {streams} streams, not {row:?}", row.kind)
            })?;
        }
        ensure(kinds.is_empty(), || format!("kinds that nobody counts: {kinds:?}"))?;
        for (id, index) in &self.roster.queues {
            let number = queues.get(id).copied().unwrap_or_default();
            let known = (index.streams, index.slots);
            ensure(number == known, || format!("queue {id}: streams and slots {number:?}, not {known:?}"))?;
        }
        Ok(())
    }

    fn audit_sessions(&self) -> Verdict {
        ensure(self.roster.sessions.keys().eq(self.ledger.sessions.keys()), || "sessions differ".into())?;
        for (conn, id) in &self.roster.conns {
            let known = self.roster.sessions.get(id).is_some_and(|presence| presence.conns.contains(conn));
            ensure(known, || format!("connection {conn} belongs to no session"))?;
        }
        for (id, presence) in &self.roster.sessions {
            let what = |what: &str| format!("session {id}: {what}");
            let timed = self.roster.timers.contains(presence.timer_at, Timer::Session(*id));
            ensure(timed, || what("no timer"))?;
            // The end of its last timed lease moves the timer anyway.
            let waits = presence.bound == 0 && !presence.leases.is_empty();
            ensure(waits || presence.timer_at <= presence.deadline(self.roster.ignores_silence), || {
                what("its timer is too late")
            })?;
            let row = self.ledger.sessions.get(id);
            let told = row.is_some_and(|row| presence.quiet == (row.told != Told::Run));
            ensure(told, || what("it does not do as it was told"))?;
            let due = row.and_then(|row| row.due);
            let timed = due.is_none_or(|due| self.roster.timers.contains(due.at, Timer::Tell(*id)));
            ensure(timed, || what("nothing tells it"))?;
            let attached = |conn| self.roster.conns.get(conn) == Some(id);
            ensure(presence.conns.iter().all(attached), || what("a connection is not attached"))?;
            let held = |seq: &Seq| {
                let lease = self.ledger.jobs.get(*seq).and_then(|job| job.lease.as_ref());
                lease.is_some_and(|lease| lease.session == *id)
            };
            ensure(presence.leases.keys().all(held), || what("it holds a job that it does not lease"))?;
            ensure(!presence.alone || presence.leases.len() == 1, || what("a suspect has company"))?;
            self.audit_reservation(presence).map_err(|error| what(&error))?;
        }
        Ok(())
    }

    fn audit_reservation(&self, presence: &Presence) -> Verdict {
        let Some((queue, by)) = presence.empties_for else { return Ok(()) };
        ensure(self.roster.streams.open.contains_key(&by), || {
            "it empties itself for a closed stream".into()
        })?;
        let reserved = self.roster.queues.get(&queue).is_some_and(|index| index.reserved.is_some());
        ensure(reserved, || "it empties itself for nobody".into())?;
        let waits = self.roster.queues.get(&queue).is_some_and(|index| !index.suspects.is_empty());
        ensure(waits, || "it empties itself for a suspect that is gone".into())
    }

    fn audit_streams(&self) -> Verdict {
        let mut streams: BTreeMap<_, usize> = BTreeMap::new();
        for (key, stream) in &self.roster.streams.open {
            let what = |what: &str| format!("stream {key:?}: {what}");
            *streams.entry(stream.session).or_default() += 1;
            ensure(self.roster.conns.get(&key.conn) == Some(&stream.session), || what("of nobody"))?;
            let Some(presence) = self.roster.sessions.get(&stream.session) else { continue };
            let held = presence
                .leases
                .values()
                .filter(|mark| mark.stream == Some(*key))
                .fold(0u32, |sum, mark| sum.saturating_add(mark.cost));
            ensure(stream.held == held, || what("its slots do not add up"))?;
            ensure(stream.works.is_empty(), || what("leased jobs were not sent"))?;
            ensure(self.roster.streams.is_indexed(*key), || what("not indexed as it waits"))?;
            if let Some((_, until)) = stream.poll {
                ensure(self.roster.timers.contains(until, Timer::Poll(*key)), || what("no end"))?;
            }
        }
        for (id, presence) in &self.roster.sessions {
            let open = streams.get(id).copied().unwrap_or(0);
            ensure(presence.streams == open, || format!("session {id}: miscounts its streams"))?;
            let bound =
                |mark: &LeaseMark| mark.stream.is_none_or(|key| self.roster.streams.open.contains_key(&key));
            ensure(presence.leases.values().all(bound), || {
                format!("session {id}: a lease of a lost stream")
            })?;
        }
        Ok(())
    }

    fn audit_failures(&self) -> Verdict {
        let mut dead: BTreeMap<NameId, u64> = BTreeMap::new();
        for job in self.ledger.jobs.iter().filter(|job| job.error > 0) {
            *dead.entry(job.error).or_default() += u64::from(job.state == State::Dead);
            let counted = self.ledger.failures.contains_key(&job.error);
            ensure(counted, || format!("job {}: nobody counts how it failed", job.id))?;
        }
        dead.retain(|_, count| *count > 0);
        let orphan = self.ledger.failures.keys().find(|id| self.ledger.names.error(**id).is_none());
        ensure(orphan.is_none(), || format!("failures without a name: {orphan:?}"))?;
        ensure(self.roster.failures.is_empty(), || "failures were raised and not counted".into())?;
        ensure(dead == self.roster.dead_of, || format!("dead {dead:?}, not {:?}", self.roster.dead_of))
    }

    fn is_operation_awake(&self, id: OperationId) -> bool {
        let is_running = self.ledger.operations.get(&id).is_some_and(|row| row.operation.is_running());
        is_running && self.roster.operations.is_awake(id, &self.roster.timers)
    }

    fn audit_watches(&self) -> Verdict {
        self.roster.watches.audit().map_err(String::from)?;
        for (key, wait) in &self.roster.watches.waits {
            let timed = self.roster.timers.contains(wait.until, Timer::Wait(*key));
            ensure(timed, || format!("the wait {key:?} has no end"))?;
        }
        let ids = |(_, watch): (_, &crate::roster::watches::Watch)| watch.until.clone().unwrap_or_default();
        let watched = self
            .roster
            .watches
            .open
            .iter()
            .map(|(key, watch)| (key, watch.interest.namespace, ids((key, watch))));
        let waited = self.roster.watches.waits.iter();
        let waited = waited.map(|(key, wait)| (key, wait.namespace, wait.open.keys().copied().collect()));
        for (key, namespace, open) in watched.chain(waited) {
            ensure(self.roster.conns.contains_key(&key.conn), || format!("the watch {key:?} is nobody's"))?;
            let runs = |&id| self.find(namespace, id).is_some_and(|job| !job.state.is_final());
            ensure(open.iter().all(runs), || format!("the watch {key:?} waits for what has ended"))?;
        }
        Ok(())
    }

    /// What is in use adds up, and whoever is kept waits at a bucket that is closed.
    fn audit_limits(&self) -> Verdict {
        let limits = &self.roster.limits;
        let mut used: BTreeMap<BucketId, u64> = BTreeMap::new();
        for mark in self.roster.sessions.values().flat_map(|presence| presence.leases.values()) {
            mark.buckets.iter().for_each(|&id| *used.entry(id).or_default() += u64::from(mark.cost));
        }
        for (id, bucket) in limits.buckets() {
            let in_use = used.remove(&id).unwrap_or(0);
            ensure(bucket.in_use == in_use, || format!("{id:?}: {in_use} in use, not {}", bucket.in_use))?;
            ensure(bucket.is_closed || bucket.waiters.is_empty(), || {
                format!("{id:?} is open, and somebody waits")
            })?;
            let timed = bucket.opens_at.is_none_or(|at| self.roster.timers.contains(at, Timer::Bucket(id)));
            ensure(timed, || format!("{id:?}: nothing opens it"))?;
        }
        ensure(used.is_empty(), || format!("in use, but in no bucket: {used:?}"))?;
        let waiters: BTreeSet<Waiter> =
            limits.buckets().flat_map(|(_, bucket)| bucket.waiters.iter().copied()).collect();
        for (&queue, index) in &self.roster.queues {
            for (ring, key) in index.lanes.waiting() {
                let waits = waiters.contains(&(queue, ring, key));
                ensure(waits, || format!("queue {queue}: {ring:?} {key:?} is kept by nothing"))?;
            }
        }
        Ok(())
    }

    /// Nothing keeps the suspect from whoever passes its gate.
    fn is_free(&self, seq: Seq, passes: &impl Fn(NameId) -> bool) -> bool {
        let Some(job) = self.ledger.jobs.get(seq) else { return false };
        let limits = &self.roster.limits;
        let is_closed = |&id: &BucketId| limits.find(id).is_some_and(|found| found.is_closed);
        passes(job.gate) && !limits.claims(&self.ledger.names, job).iter().any(is_closed)
    }

    /// No timer without what it is for; those of kept jobs may come early.
    fn audit_timers(&self) -> Verdict {
        for (at, timer) in self.roster.timers.iter() {
            let job = |seq: Seq| self.ledger.jobs.get(seq);
            let stands = match timer {
                Timer::Due(seq) => {
                    job(seq).is_some_and(|job| job.state == State::Scheduled && job.run_at == at)
                }
                Timer::LeaseEnd(seq) => {
                    job(seq).and_then(|job| self.mark(job)).is_some_and(|mark| mark.ends_at == at)
                }
                Timer::Revoke(seq) => {
                    job(seq).and_then(|job| self.mark(job)).is_some_and(|mark| mark.revoke_at == at)
                }
                Timer::TimeUp(seq) => self.run_of(seq).is_some_and(|run| run.timeout_at == at),
                Timer::Stall(seq) => self.run_of(seq).is_some_and(|run| run.stall_timer_at == at),
                Timer::Flush(seq) => self.run_of(seq).is_some_and(|run| run.told.flush_at == at),
                Timer::Touched(key) => self.roster.touches.get(&key).is_some_and(|(until, _)| *until == at),
                Timer::Expire(seq) => job(seq).is_some_and(|job| job.expires_at() == at),
                Timer::Bucket(id) => {
                    self.roster.limits.find(id).is_some_and(|found| found.opens_at == Some(at))
                }
                Timer::Retries(id) => self
                    .roster
                    .limits
                    .find(id)
                    .and_then(|found| found.retries.as_ref())
                    .is_some_and(|retries| retries.timer_at == at),
                Timer::LimitEnd(id) => self.roster.limits.get(id).is_some_and(|found| found.until_at == at),
                Timer::Session(id) => self.roster.sessions.get(&id).is_some_and(|found| found.timer_at == at),
                Timer::Linger(key) => {
                    self.roster.streams.open.get(&key).is_some_and(|found| found.linger_at == at)
                }
                Timer::Poll(key) => {
                    self.roster.streams.open.get(&key).is_some_and(|found| found.poll.is_some())
                }
                Timer::Remove(seq) => job(seq).is_some_and(|job| job.state.is_final()),
                Timer::Operation(id) => self.is_operation_awake(id),
                Timer::Hold(seq) => {
                    job(seq).is_some_and(|job| job.state == State::Held && job.hold_until() == at)
                }
                Timer::Unclaim(holder) => {
                    self.ledger.claims.get(&holder).is_some_and(|row| row.claim.until == Until::At(at))
                }
                Timer::Tell(id) => {
                    let row = self.ledger.sessions.get(&id);
                    row.and_then(|row| row.due).is_some_and(|due| due.at == at)
                }
                Timer::Schedule(id) => self.roster.schedules.armed(id) == Some(at),
                Timer::Retain(_) => true,
                Timer::Look => self.roster.lookout.at == at,
                Timer::Wait(key) => self.roster.watches.waits.get(&key).is_some_and(|wait| wait.until == at),
            };
            ensure(stands, || format!("a timer for nothing: {timer:?} at {at}"))?;
        }
        for (&id, queue) in &self.roster.queues {
            let Some(&(first, _)) = queue.kept.first() else { continue };
            let mut due = self.roster.timers.iter().take_while(|&(at, _)| at <= first);
            let timed = due.any(|(_, timer)| timer == Timer::Retain(id));
            ensure(timed, || format!("queue {id}: nothing removes its kept jobs"))?;
        }
        Ok(())
    }

    fn audit_names(&self) -> Verdict {
        let mut uses: BTreeMap<NameId, u32> = BTreeMap::new();
        for row in self.ledger.resources.values() {
            row.counted_name().into_iter().for_each(|id| *uses.entry(id).or_default() += 1);
        }
        for job in self.ledger.jobs.iter() {
            for id in job.counted_names() {
                *uses.entry(id).or_default() += 1;
            }
            let named = [job.namespace, job.queue, job.kind, job.key, job.terms, job.gate];
            let known = named.iter().all(|&id| id == 0 || self.ledger.names.get(id).is_some());
            ensure(known, || format!("job {}: a name is gone", job.id))?;
        }
        self.ledger.names.audit(&uses)
    }

    /// Nobody with room waits while there is a job for him.
    fn audit_waiting(&self) -> Verdict {
        if !self.may_lease() {
            return Ok(());
        }
        self.roster.streams.open.iter().try_for_each(|(key, stream)| self.audit_idle(*key, stream))
    }

    fn audit_idle(&self, key: StreamKey, stream: &Stream) -> Verdict {
        let Some(presence) = self.roster.sessions.get(&stream.session) else { return Ok(()) };
        if self.is_shut(key) || !stream.has_room(1) {
            return Ok(());
        }
        if let Some(batch) = stream.batch {
            match self.due(key, batch, self.now) {
                Due::Now(_) => {}
                Due::Never => return Ok(()),
                Due::At(at) => {
                    // Whose turn it is changes when others take jobs; then the time may come later.
                    let latest = at.saturating_add(batch.linger_ms);
                    let is_awake = stream.linger_at > 0 && stream.linger_at <= latest;
                    return ensure(is_awake, || format!("stream {key:?} collects without an end"));
                }
                Due::Lanes(lanes, _) => {
                    let heads = lanes.iter().filter_map(|(_, spot)| self.ledger.jobs.get(spot.seq));
                    let fits = heads.into_iter().any(|job| stream.has_room(self.ledger.cost(job)));
                    return ensure(!fits, || format!("a batch and stream {key:?} miss each other"));
                }
            }
        }
        let passes = |gate| self.passes(stream.session, gate);
        let taste = Taste { kinds: &stream.kinds, passes: &passes };
        for &queue in stream.sources.queues() {
            let Some(index) = self.roster.queues.get(&queue) else { continue };
            let mut suspects = index.oldest_suspects(&stream.kinds).into_iter();
            if suspects.any(|seq| self.is_free(seq, &passes)) {
                let other = index.reserved.is_some() && !presence.leases.is_empty();
                ensure(other, || format!("a suspect of queue {queue} and stream {key:?} miss each other"))?;
            }
            let Some(spot) = index.pick(&self.ledger.jobs, taste) else { continue };
            let fits =
                self.ledger.jobs.get(spot.seq).is_some_and(|job| stream.has_room(self.ledger.cost(job)));
            ensure(!fits, || format!("job seq {} and stream {key:?} miss each other", spot.seq))?;
        }
        Ok(())
    }
}
