//! Presence: a second reading of the rules of sessions and leases, by the broker's own clock. No
//! lease may end without its worker saying so, unless one of these rules says that it is lost; and
//! none may stand when a rule says that it is.

use super::process::Round;
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::command::{Hello, JobTouch, Mutation, Touch};
use windlass_engine::fact::{Fact, Overrun, Record};
use windlass_engine::ids::{Ms, Seq};
use windlass_engine::ledger::Ledger;
use windlass_engine::limits::{
    OVERRUN_GRACE_MS, RESUME_WINDOW_MS, SESSION_TTL_MS_DEFAULT, SESSION_TTL_MS_MAX, SESSION_TTL_MS_MIN,
};
use windlass_engine::order::{DueOrder, Told};
use windlass_engine::{Command, ConnId, JobId, SessionId};

/// Nobody in a simulation asks for a longer lease.
const LEASE_MS_MOST: Ms = 12_000;

/// Who is there and who holds what, as decided so far.
#[derive(Default)]
pub struct Presence {
    sessions: BTreeMap<SessionId, Session>,
    conns: BTreeMap<ConnId, SessionId>,
    leases: BTreeMap<Seq, Lease>,
    ids: BTreeMap<Seq, JobId>,
    /// What the commands of the round under way excuse.
    excuses: Excuses,
}

#[derive(Debug, Default)]
struct Session {
    ttl_ms: u64,
    last_sign: Ms,
    hung_up_at: Option<Ms>,
    conns: BTreeSet<ConnId>,
    /// What it was told to go by.
    told: Told,
    /// When it is told something else.
    due: Option<DueOrder>,
}

#[derive(Clone, Debug)]
struct Lease {
    id: JobId,
    fence: u64,
    session: SessionId,
    /// 0 = with the session.
    ends_at: Ms,
    /// 0 = nobody asked.
    revoke_at: Ms,
    /// When its run has taken too long; 0 = never.
    timeout_at: Ms,
    /// How often its run must be touched; 0 = it need not.
    stall_ms: Ms,
    /// When its worker touched it for certain.
    touched_at: Ms,
}

#[derive(Default)]
struct Excuses {
    /// Sessions that said Bye.
    byes: BTreeSet<SessionId>,
    /// Sessions that were resumed, with all that their worker runs.
    resumed: Vec<(SessionId, BTreeSet<(JobId, u64)>)>,
    /// Jobs that an operator stopped or deleted.
    stopped: BTreeSet<JobId>,
    /// Leases that their worker settled.
    settled: BTreeSet<(SessionId, JobId, u64)>,
    /// Sessions that were silent for too long.
    silent: BTreeSet<SessionId>,
    /// Sessions that began.
    opened: BTreeSet<SessionId>,
    /// Jobs that somebody enqueued.
    enqueued: BTreeSet<JobId>,
}

impl Lease {
    fn clocks(&mut self) -> [&mut Ms; 4] {
        [&mut self.ends_at, &mut self.revoke_at, &mut self.timeout_at, &mut self.touched_at]
    }
}

impl Session {
    /// When it is lost if nothing more is heard of it.
    fn deadline(&self) -> Ms {
        let silence = self.last_sign + self.ttl_ms;
        self.hung_up_at.map_or(silence, |at| silence.min(at + RESUME_WINDOW_MS))
    }
}

impl Presence {
    /// A process came up: everybody has their time to come back.
    pub fn restarted(&mut self, now: Ms, ledger: &Ledger) {
        *self = Self::default();
        for (&id, row) in &ledger.sessions {
            let (ttl_ms, told, due) = (row.session.ttl_ms, row.told, row.due);
            let session = Session { ttl_ms, last_sign: now, told, due, ..Session::default() };
            self.sessions.insert(id, session);
        }
        for job in ledger.jobs.iter() {
            self.ids.insert(job.seq, job.id);
            let Some(lease) = &job.lease else { continue };
            let soonest = now + SESSION_TTL_MS_DEFAULT;
            // Nothing lasts longer than it was given, though the clock was set back meanwhile.
            let latest = |at: Ms, lasts_ms: u32, most_ms: Ms| {
                let lasts_ms = Ms::from(lasts_ms);
                assert!(lasts_ms <= most_ms, "nobody gave job {} that long: {lease:?}", job.seq);
                at.min(now + lasts_ms)
            };
            let ends_at = latest(lease.ends_at, lease.lasts_ms, LEASE_MS_MOST);
            let revoke_at = latest(lease.revoke_at, lease.grace_ms, OVERRUN_GRACE_MS);
            let limits = lease.held_to().filter(|_| lease.overran.is_none()).unwrap_or_default();
            let timeout_ms = Ms::from(limits.timeout_ms);
            let timeout_at = (lease.leased_at + timeout_ms).clamp(soonest, soonest.max(now + timeout_ms));
            let held = Lease {
                id: job.id,
                fence: job.fence,
                session: lease.session,
                ends_at: if lease.ends_at == 0 { 0 } else { ends_at.max(soonest) },
                revoke_at: if lease.overran.is_some() { revoke_at.max(soonest) } else { revoke_at },
                timeout_at: if timeout_ms == 0 { 0 } else { timeout_at },
                stall_ms: limits.stall_ms.into(),
                touched_at: now,
            };
            self.leases.insert(job.seq, held);
        }
    }

    /// Silence in a time in which nobody listened was none.
    pub fn shift(&mut self, by_ms: i64) {
        for session in self.sessions.values_mut() {
            session.last_sign = session.last_sign.saturating_add_signed(by_ms);
            session.hung_up_at = session.hung_up_at.map(|at| at.saturating_add_signed(by_ms));
        }
        for at in self.leases.values_mut().flat_map(Lease::clocks) {
            *at = if *at == 0 { 0 } else { at.saturating_add_signed(by_ms) };
        }
    }

    /// Checks what a round decided.
    pub fn round(&mut self, now: Ms, round: &Round) {
        self.excuses = Excuses::default();
        for conn in &round.signs {
            self.sign(now, *conn);
        }
        for (request, command) in &round.commands {
            self.command(now, request.conn, command);
        }
        for fact in &round.facts {
            self.fact(now, fact);
        }
        self.check_overdue(now);
    }

    fn sign(&mut self, now: Ms, conn: ConnId) {
        let session = self.conns.get(&conn).and_then(|id| self.sessions.get_mut(id));
        if let Some(session) = session {
            session.last_sign = now;
        }
    }

    fn command(&mut self, now: Ms, conn: ConnId, command: &Command) {
        match command {
            Command::Hello(hello) => return self.hello(now, conn, hello),
            Command::Hangup => return self.hang_up(now, conn),
            _ => self.sign(now, conn),
        }
        let Some(&id) = self.conns.get(&conn) else { return };
        match command {
            Command::Enqueue(enqueue) => {
                self.excuses.enqueued.extend(enqueue.jobs.iter().flatten().map(|spec| spec.id));
            }
            Command::Settle(settlements) => {
                let settled = settlements.iter().map(|settled| (id, settled.id, settled.fence));
                self.excuses.settled.extend(settled);
            }
            Command::Touch(touch) => self.touch(now, id, touch),
            Command::Change(change) if matches!(change.to, Mutation::Cancel { .. } | Mutation::Delete) => {
                self.excuses.stopped.extend(change.select.ids.iter().flatten());
            }
            Command::Bye { keep_leases: true } => {
                self.forget(conn);
            }
            Command::Bye { keep_leases: false } => {
                self.excuses.byes.insert(id);
                self.close(id);
            }
            _ => {}
        }
    }

    /// A checkpoint may be refused, and all of the Touch with it.
    fn touch(&mut self, now: Ms, session: SessionId, touch: &Touch) {
        let saves = |job: &JobTouch| job.telling.as_ref().is_some_and(|told| told.checkpoint.is_some());
        if touch.jobs.iter().any(saves) {
            return;
        }
        for lease in self.leases.values_mut().filter(|lease| lease.session == session) {
            if touch.jobs.iter().any(|job| (job.id, job.fence) == (lease.id, lease.fence)) {
                lease.touched_at = now;
            }
        }
    }

    fn hello(&mut self, now: Ms, conn: ConnId, hello: &Hello) {
        let known = hello.resume.filter(|id| self.sessions.contains_key(id));
        let id = match (known, hello.resume, &hello.running) {
            (None, Some(_), None) => return,
            (Some(id), _, running) => {
                if let Some(running) = running {
                    self.excuses.resumed.push((id, running.iter().copied().collect()));
                }
                id
            }
            (None, _, _) => {
                let ttl_ms = match hello.session_ttl_ms {
                    0 => SESSION_TTL_MS_DEFAULT,
                    asked => asked.clamp(SESSION_TTL_MS_MIN, SESSION_TTL_MS_MAX),
                };
                self.sessions.insert(hello.fresh, Session { ttl_ms, ..Session::default() });
                self.excuses.opened.insert(hello.fresh);
                hello.fresh
            }
        };
        self.conns.insert(conn, id);
        let session = self.sessions.get_mut(&id).expect("just found or made");
        session.conns.insert(conn);
        session.hung_up_at = None;
        session.last_sign = now;
    }

    fn forget(&mut self, conn: ConnId) -> Option<&mut Session> {
        let id = self.conns.remove(&conn)?;
        let session = self.sessions.get_mut(&id)?;
        session.conns.remove(&conn);
        Some(session)
    }

    fn hang_up(&mut self, now: Ms, conn: ConnId) {
        if let Some(session) = self.forget(conn)
            && session.conns.is_empty()
        {
            session.hung_up_at = Some(now);
        }
    }

    fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            session.conns.iter().for_each(|conn| {
                self.conns.remove(conn);
            });
        }
    }

    fn fact(&mut self, now: Ms, fact: &Fact) {
        match fact {
            Fact::SessionOpened { id, .. } => {
                assert!(self.excuses.opened.contains(id), "session {id} was opened for nobody");
            }
            Fact::SessionClosed { id } => self.close(*id),
            Fact::Enqueued { seq, job } => {
                let is_of_tick = job.plan.as_ref().is_some_and(|plan| plan.tick.is_some());
                let is_asked = is_of_tick || self.excuses.enqueued.contains(&job.id);
                assert!(is_asked, "nobody enqueued job {}", job.id);
                self.ids.insert(*seq, job.id);
            }
            Fact::Leased { seq, lease } => {
                let told = self.sessions.get(&lease.session).map(|session| session.told);
                assert_eq!(
                    told,
                    Some(Told::Run),
                    "job {seq} is leased to nobody, or to one who takes no more"
                );
                let limits = lease.limits.unwrap_or_default();
                let timeout_ms = Ms::from(limits.timeout_ms);
                let held = Lease {
                    id: self.ids[seq],
                    fence: lease.fence,
                    session: lease.session,
                    ends_at: lease.ends_at,
                    revoke_at: 0,
                    timeout_at: if timeout_ms == 0 { 0 } else { lease.now + timeout_ms },
                    stall_ms: limits.stall_ms.into(),
                    touched_at: lease.now,
                };
                let old = self.leases.insert(*seq, held);
                assert!(old.is_none(), "job {seq} is leased twice at a time: {old:?}");
            }
            Fact::Extended { seq, ends_at, .. } => self.lease(*seq).ends_at = *ends_at,
            Fact::CancelAsked { seq, revoke_at, .. } => self.lease(*seq).revoke_at = *revoke_at,
            Fact::Overran { seq, how, revoke_at, .. } => {
                let lease = self.lease(*seq);
                let is_over = match how {
                    Overrun::TimedOut => lease.timeout_at > 0 && lease.timeout_at <= now,
                    Overrun::Stalled => lease.stall_ms > 0 && lease.touched_at + lease.stall_ms <= now,
                };
                assert!(is_over, "at {now} job {seq} is stopped too early: {lease:?} {fact:?}");
                (lease.revoke_at, lease.timeout_at) = (*revoke_at, 0);
            }
            Fact::Told { id, order, at, .. } => {
                let Some(session) = self.sessions.get_mut(id) else {
                    // It said Bye later in this round.
                    assert!(self.excuses.byes.contains(id), "nobody is told: {fact:?}");
                    return;
                };
                session.due = (*at > now).then_some(DueOrder { order: *order, at: *at });
                if session.due.is_none() {
                    session.told = session.told.after(*order);
                }
            }
            // A group, which nobody ever held.
            Fact::Completed { delivery: 0, .. } => {}
            Fact::Completed { .. }
            | Fact::Returned { settled: true, .. }
            | Fact::Died { settled: true, .. }
            | Fact::Cancelled { settled: true, .. } => self.settled(fact),
            Fact::Returned { .. } | Fact::Died { .. } | Fact::Cancelled { .. } | Fact::Removed { .. } => {
                self.lost(now, fact);
            }
            _ => {}
        }
    }

    fn lease(&mut self, seq: Seq) -> &mut Lease {
        self.leases.get_mut(&seq).unwrap_or_else(|| panic!("job {seq} has no lease"))
    }

    fn settled(&mut self, fact: &Fact) {
        let Record::Job(seq) = fact.record() else { return };
        let lease = self.leases.remove(&seq).unwrap_or_else(|| panic!("nobody held job {seq}: {fact:?}"));
        let by_its_worker = self.excuses.settled.contains(&(lease.session, lease.id, lease.fence));
        assert!(by_its_worker, "nobody settled {lease:?}: {fact:?}");
    }

    /// A lease that ended without its worker must be lost by a rule.
    fn lost(&mut self, now: Ms, fact: &Fact) {
        let Record::Job(seq) = fact.record() else { return };
        let Some(lease) = self.leases.remove(&seq) else { return };
        let excuses = &self.excuses;
        let unlisted = |(id, listed): &(SessionId, BTreeSet<(JobId, u64)>)| {
            *id == lease.session && !listed.contains(&(lease.id, lease.fence))
        };
        if excuses.byes.contains(&lease.session)
            || excuses.resumed.iter().any(unlisted)
            || excuses.stopped.contains(&lease.id)
            || lease.revoke_at > 0 && lease.revoke_at <= now
            || lease.ends_at > 0 && lease.ends_at <= now
            || lease.ends_at == 0 && excuses.silent.contains(&lease.session)
        {
            return;
        }
        let session = self.sessions.get_mut(&lease.session);
        let session = session.unwrap_or_else(|| panic!("{lease:?} outlived its session: {fact:?}"));
        let silent = lease.ends_at == 0 && session.deadline() <= now;
        assert!(silent, "at {now} a lease was taken from a living worker: {lease:?} {session:?} {fact:?}");
        // Its connections are cut; other leases with a visibility timeout may still stand.
        session.hung_up_at = Some(now);
        for conn in std::mem::take(&mut session.conns) {
            self.conns.remove(&conn);
        }
        self.excuses.silent.insert(lease.session);
    }

    /// What is lost by a rule is taken back at once.
    fn check_overdue(&self, now: Ms) {
        for (seq, lease) in &self.leases {
            let deadline = match self.sessions.get(&lease.session) {
                Some(session) if lease.ends_at == 0 => session.deadline(),
                Some(_) => lease.ends_at,
                None => 0,
            };
            let session = self.sessions.get(&lease.session);
            assert!(deadline > now, "at {now} job {seq} should have been taken back: {lease:?} {session:?}");
            let revoked = lease.revoke_at > 0 && lease.revoke_at <= now;
            assert!(!revoked, "at {now} job {seq} should have been revoked: {lease:?}");
            let in_time = lease.revoke_at > 0 || lease.timeout_at == 0 || lease.timeout_at > now;
            assert!(in_time, "at {now} job {seq} should have been asked to stop: {lease:?}");
        }
        for (id, session) in &self.sessions {
            let is_told = session.due.is_none_or(|due| due.at > now);
            assert!(is_told, "at {now} session {id} should have been told: {session:?}");
        }
    }
}
