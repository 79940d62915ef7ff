//! Hello, Bye and the end of connections: how sessions begin, resume and end.

use crate::command::{Code, Hello, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::event::EventName;
use crate::fact::{Counts, Fact, NewSession, Overrun};
use crate::frame::{Body, Frame, Signal, Welcome};
use crate::ids::{ConnId, JobId, Ms, Request, Seq, SessionId};
use crate::ledger::job::State;
use crate::ledger::names::Name;
use crate::limits::{
    NAMESPACES_MAX, SESSION_TTL_MS_DEFAULT, SESSION_TTL_MS_MAX, SESSION_TTL_MS_MIN, SESSIONS_MAX,
};
use crate::roster::{Presence, Timer};
use crate::verbs::overrun::Said;
use crate::verbs::tell::check_labels;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

impl Engine {
    pub(crate) fn hello(&mut self, now: Ms, from: Request, hello: Hello, turn: &mut Turn) {
        if self.roster.conns.contains_key(&from.conn) {
            let refusal = Refusal::new(Code::Invalid, "", "this connection said Hello before");
            return turn.refuse(from, refusal);
        }
        // A session of another token is as good as none: its leases stay where they are.
        let is_theirs =
            |id: &SessionId| self.ledger.sessions.get(id).is_some_and(|row| row.session.token == hello.token);
        let known = hello.resume.filter(is_theirs);
        let outcome = match (hello.resume, known) {
            (Some(_), None) if hello.running.is_none() => {
                Err(Refusal::new(Code::NotFound, "resume_session", "the session has ended; open a new one"))
            }
            (_, Some(id)) => self.resume(now, id, &hello, turn).map(|kept| (id, kept)),
            (_, None) => self.open(now, &hello, turn).map(|id| (id, Vec::new())),
        };
        let (id, leases_kept) = match outcome {
            Ok(opened) => opened,
            Err(refusal) => return turn.refuse(from, refusal),
        };
        self.attach(now, from.conn, id);
        if !hello.reach.is_all() {
            self.roster.reaches.insert(from.conn, hello.reach);
        }
        let Some(row) = self.ledger.sessions.get(&id) else { return };
        let welcome = Welcome {
            session: id,
            namespace: row.session.namespace,
            session_ttl_ms: row.session.ttl_ms,
            now,
            epoch: self.ledger.epoch,
            leases_kept,
        };
        turn.say(from, Body::Welcome(Box::new(welcome)));
        if hello.running.is_some() {
            self.tell_again(from.conn, id, turn);
            self.remind(now, from.conn, id, turn);
        }
    }

    /// Who comes back hears again which of its jobs are to stop.
    fn remind(&self, now: Ms, conn: ConnId, id: SessionId, turn: &mut Turn) {
        let Some(presence) = self.roster.sessions.get(&id) else { return };
        for (&seq, mark) in presence.leases.iter().filter(|(_, mark)| mark.revoke_at > 0) {
            let Some(job) = self.ledger.jobs.get(seq) else { continue };
            let overran = job.lease.as_ref().and_then(|lease| lease.overran);
            let reason = overran.map_or("cancelled while the connection was away", Overrun::what).into();
            let ends_in_ms = mark.revoke_at.saturating_sub(now);
            let signal = Signal::Cancel { job: job.id, fence: job.fence, reason, ends_in_ms };
            turn.frames.push(Frame::push(conn, Body::Signal(signal)));
        }
    }

    fn open(&mut self, now: Ms, hello: &Hello, turn: &mut Turn) -> Result<SessionId, Refusal> {
        if self.ledger.sessions.len() >= SESSIONS_MAX {
            return Err(Refusal::new(Code::Exhausted, "", "too many sessions").retry_after(1_000));
        }
        check_labels(&hello.labels, "labels")?;
        let name = Name::Namespace(hello.namespace.clone());
        let is_new = self.ledger.names.find(&name).is_none();
        if is_new && self.ledger.names.counts().namespaces >= NAMESPACES_MAX {
            return Err(Refusal::new(Code::Exhausted, "namespace", "too many namespaces"));
        }
        let ttl_ms = match hello.session_ttl_ms {
            0 => SESSION_TTL_MS_DEFAULT,
            asked => asked.clamp(SESSION_TTL_MS_MIN, SESSION_TTL_MS_MAX),
        };
        let session = NewSession {
            namespace: self.intern(turn, name),
            ttl_ms,
            at: now,
            client: hello.client.clone(),
            host: hello.host.clone(),
            pid: hello.pid,
            labels: hello.labels.clone(),
            token: hello.token.clone(),
        };
        let id = hello.fresh;
        self.decide(turn, Fact::SessionOpened { id, session: Box::new(session) });
        self.tell_session(id, EventName::SessionOpened, turn);
        self.roster.sessions.insert(id, Presence { ttl_ms, last_sign: now, ..Presence::default() });
        Ok(id)
    }

    /// A worker that lists what it runs takes its session over: leases it does not list go back,
    /// and streams of its earlier connections end, since nobody may be reading them.
    fn resume(
        &mut self,
        now: Ms,
        id: SessionId,
        hello: &Hello,
        turn: &mut Turn,
    ) -> Result<Vec<JobId>, Refusal> {
        let namespace = self.ledger.sessions.get(&id).map_or(0, |row| row.session.namespace);
        if self.ledger.names.text(namespace) != hello.namespace {
            let message = "the session belongs to another namespace";
            return Err(Refusal::new(Code::Invalid, "namespace", message));
        }
        let Some(running) = &hello.running else { return Ok(Vec::new()) };
        self.end_streams(id, turn);
        let held = self.leases(id);
        let listed: BTreeMap<JobId, u64> = running.iter().copied().collect();
        let mut kept = Vec::new();
        for seq in held {
            let Some(job) = self.ledger.jobs.get(seq) else { continue };
            if listed.get(&job.id) == Some(&job.fence) || planted!(ListIgnored) {
                kept.push(job.id);
            } else {
                self.give_back(seq, now, turn);
            }
        }
        Ok(kept)
    }

    fn attach(&mut self, now: Ms, conn: ConnId, id: SessionId) {
        self.roster.conns.insert(conn, id);
        if let Some(presence) = self.roster.sessions.get_mut(&id) {
            presence.conns.insert(conn);
            presence.hangup_at = 0;
            presence.last_sign = now;
            presence.seen = true;
        }
        self.roster.rearm(id);
    }

    pub(crate) fn bye(&mut self, asker: Asker, keep_leases: bool, turn: &mut Turn) {
        let (id, now) = (asker.session, asker.now);
        let presence = self.roster.sessions.get(&id).filter(|_| !keep_leases);
        let closing = presence.map_or([asker.from.conn].into(), |presence| presence.conns.clone());
        self.answer_touches(asker, &closing.into_iter().collect::<Vec<_>>(), turn);
        if keep_leases {
            for key in self.streams_of(asker.from.conn) {
                self.end_stream(key, turn);
            }
            self.end_watches(asker.from.conn, turn);
            self.answer_waits(asker.from.conn, turn);
            self.forget_conn(asker.from.conn);
            self.roster.rearm(id);
        } else {
            self.end_streams(id, turn);
            for seq in self.leases(id) {
                self.give_back(seq, now, turn);
            }
            self.answer_all_waits(id, turn);
            self.tell_session(id, EventName::SessionClosed, turn);
            self.close_session(id, Some(asker.from.conn), turn);
        }
        turn.say(asker.from, Body::Closed);
        turn.frames.push(Frame::push(asker.from.conn, Body::Cut));
    }

    pub(crate) fn sign(&mut self, now: Ms, conn: ConnId) {
        if let Some(id) = self.roster.conns.get(&conn)
            && let Some(presence) = self.roster.sessions.get_mut(id)
        {
            presence.last_sign = now;
        }
    }

    pub(crate) fn hangup(&mut self, now: Ms, conn: ConnId) {
        let Some(id) = self.forget_conn(conn) else { return };
        if let Some(presence) = self.roster.sessions.get_mut(&id)
            && presence.conns.is_empty()
        {
            presence.hangup_at = now;
            if self.roster.ignores_silence {
                presence.last_sign = now;
            }
            self.roster.rearm(id);
        }
    }

    /// Nothing was heard of the session for too long, or its last connection closed and nobody
    /// came back.
    pub(crate) fn lose_session(&mut self, id: SessionId, now: Ms, turn: &mut Turn) {
        let excused = self.roster.sessions.get(&id).is_some_and(|presence| self.is_excused(presence, now));
        let worked =
            self.roster.sessions.get(&id).is_some_and(|presence| presence.bound + presence.streams > 0);
        self.end_streams(id, turn);
        self.answer_all_waits(id, turn);
        if worked {
            self.tell_session(id, EventName::SessionLost, turn);
        }
        for seq in self.leases(id) {
            if self.is_bound(id, seq) {
                self.lose(seq, now, excused, turn);
            }
        }
        if self.leases(id).is_empty() {
            if !worked {
                self.tell_session(id, EventName::SessionClosed, turn);
            }
            self.close_session(id, None, turn);
        } else {
            self.cut(id, now, turn);
        }
    }

    /// The lease lives by its session's signs of life.
    fn is_bound(&self, id: SessionId, seq: Seq) -> bool {
        let mark = self.roster.sessions.get(&id).and_then(|presence| presence.leases.get(&seq));
        mark.is_some_and(|mark| mark.ends_at == 0)
    }

    /// The session stays for its leases with a visibility timeout; its silent connections do not.
    fn cut(&mut self, id: SessionId, now: Ms, turn: &mut Turn) {
        let Some(presence) = self.roster.sessions.get_mut(&id) else { return };
        presence.hangup_at = now;
        for conn in core::mem::take(&mut presence.conns) {
            self.roster.forget_conn(conn);
            turn.frames.push(Frame::push(conn, Body::Cut));
        }
        self.roster.rearm(id);
    }

    /// Ends a session without leases; its connections are cut, but for the one that said Bye.
    fn close_session(&mut self, id: SessionId, bye: Option<ConnId>, turn: &mut Turn) {
        if let Some(presence) = self.roster.sessions.remove(&id) {
            self.roster.timers.remove(presence.timer_at, Timer::Session(id));
            for conn in presence.conns {
                self.roster.forget_conn(conn);
                if Some(conn) != bye {
                    turn.frames.push(Frame::push(conn, Body::Cut));
                }
            }
            if let Some((queue, _)) = presence.empties_for {
                self.roster.release(queue);
            }
        }
        if let Some(due) = self.ledger.sessions.get(&id).and_then(|row| row.due) {
            self.roster.timers.remove(due.at, Timer::Tell(id));
        }
        self.decide(turn, Fact::SessionClosed { id });
    }

    /// Forgets a connection and its streams.
    fn forget_conn(&mut self, conn: ConnId) -> Option<SessionId> {
        let id = self.roster.forget_conn(conn)?;
        for key in self.streams_of(conn) {
            self.drop_stream(key);
        }
        for key in self.roster.watches.of_conn(conn) {
            self.roster.watches.remove(key, self.now);
        }
        self.drop_waits(conn);
        if let Some(presence) = self.roster.sessions.get_mut(&id) {
            presence.conns.remove(&conn);
        }
        Some(id)
    }

    /// Ends all streams of a session, with their last frame.
    fn end_streams(&mut self, id: SessionId, turn: &mut Turn) {
        let conns: Vec<ConnId> = match self.roster.sessions.get(&id) {
            Some(presence) => presence.conns.iter().copied().collect(),
            None => return,
        };
        for conn in conns {
            for key in self.streams_of(conn) {
                self.end_stream(key, turn);
            }
            self.end_watches(conn, turn);
        }
    }

    fn end_watches(&mut self, conn: ConnId, turn: &mut Turn) {
        for key in self.roster.watches.of_conn(conn) {
            self.end_watch(key, turn);
        }
    }

    fn answer_all_waits(&mut self, id: SessionId, turn: &mut Turn) {
        let conns = self.roster.sessions.get(&id).map(|presence| presence.conns.clone());
        for conn in conns.unwrap_or_default() {
            self.answer_waits(conn, turn);
        }
    }

    fn answer_waits(&mut self, conn: ConnId, turn: &mut Turn) {
        for key in self.roster.watches.waits_of(conn) {
            self.answer_wait(key, turn);
        }
    }

    pub(crate) fn streams_of(&self, conn: ConnId) -> Vec<Request> {
        let range = Request { conn, id: 0 }..=Request { conn, id: u64::MAX };
        self.roster.streams.open.range(range).map(|(&key, _)| key).collect()
    }

    pub(crate) fn leases(&self, id: SessionId) -> Vec<Seq> {
        self.roster
            .sessions
            .get(&id)
            .map(|presence| presence.leases.keys().copied().collect())
            .unwrap_or_default()
    }

    /// A lease goes back uncounted, at its job's old place. It was not settled: a late Settle is
    /// told that the lease is lost.
    fn give_back(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        if let Some(how) = job.lease.as_ref().and_then(|lease| lease.overran) {
            return self.fail_overrun(seq, how, Said::default(), now, turn);
        }
        if job.lease.as_ref().is_some_and(|lease| lease.revoke_at > 0) {
            let end = self.end(job, State::Cancelled, now);
            return self.decide(turn, Fact::Cancelled { seq, end, settled: false, note: None });
        }
        let run_at = job.run_at.min(now);
        let counts = Counts::Nothing;
        self.decide(turn, Fact::Returned { seq, run_at, now, counts, settled: false, note: None, error: 0 });
    }
}
