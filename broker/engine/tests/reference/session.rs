//! Sessions of the naive broker: signs of life, and what their end does to jobs.

use super::*;

impl Session {
    pub(super) fn deadline(&self, leases: &[&Lease], has_streams: bool) -> Ms {
        let silence = if self.hangup_at > 0 {
            (self.hangup_at + 3_000).min(self.last_sign + self.ttl)
        } else if self.conns.is_empty() || !leases.is_empty() || has_streams {
            self.last_sign + self.ttl
        } else {
            self.last_sign + self.ttl.max(600_000)
        };
        if has_streams || leases.iter().any(|lease| lease.ends_at == 0) {
            return silence;
        }
        leases.iter().map(|lease| lease.ends_at).fold(silence, Ms::max)
    }
}

impl Model {
    pub(crate) fn sign(&mut self, session: SessionId, now: Ms) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.last_sign = now;
        }
    }

    /// A connection opens a session, or joins one.
    pub(crate) fn attach(&mut self, id: SessionId, conn: ConnId, ttl: Ms, now: Ms) {
        let fresh = Session { ttl, last_sign: now, hangup_at: 0, conns: BTreeSet::new(), seen: true };
        let session = self.sessions.entry(id).or_insert(fresh);
        session.conns.insert(conn);
        (session.last_sign, session.hangup_at, session.seen) = (now, 0, true);
    }

    /// Keeps the listed leases and gives the others back.
    pub(crate) fn take_over(&mut self, id: SessionId, running: &[(JobId, u64)], now: Ms) -> Vec<JobId> {
        self.end_streams(id);
        let held: Vec<(JobId, u64)> = self.leases(id).map(|(job, _)| (job.spec.id, job.fence)).collect();
        let (kept, gone): (Vec<_>, Vec<_>) = held.into_iter().partition(|lease| running.contains(lease));
        gone.into_iter().for_each(|(id, _)| self.give_back(id, now));
        kept.into_iter().map(|(id, _)| id).collect()
    }

    fn give_back(&mut self, id: JobId, now: Ms) {
        let Some(job) = self.job(id) else { return };
        if job.overran().is_some() {
            return self.fail_overrun(id, None, now);
        }
        if job.is_to_stop() {
            return self.cancelled(id, false, now);
        }
        job.attempt -= 1;
        job.settled = false;
        let run_at = job.run_at.min(now);
        job.wait(run_at, now);
    }

    pub(crate) fn bye(&mut self, id: SessionId, conn: ConnId, keep: bool, now: Ms) {
        if keep {
            self.end_streams_of(conn);
            self.drop_conn(conn);
        } else {
            self.take_over(id, &[], now);
            self.close(id);
        }
    }

    pub(crate) fn hangup(&mut self, conn: ConnId, now: Ms) {
        self.streams.retain(|key, _| key.conn != conn);
        self.unbind();
        if let Some(session) = self.drop_conn(conn)
            && session.conns.is_empty()
        {
            session.hangup_at = now;
        }
    }

    fn drop_conn(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.choked.remove(&conn);
        let session = self.sessions.values_mut().find(|session| session.conns.contains(&conn))?;
        session.conns.remove(&conn);
        Some(session)
    }

    fn close(&mut self, id: SessionId) {
        self.orders.forget(id);
        if let Some(session) = self.sessions.remove(&id) {
            self.choked.retain(|conn| !session.conns.contains(conn));
        }
    }

    pub(super) fn lose_session(&mut self, id: SessionId, now: Ms) {
        self.end_streams(id);
        let session = self.sessions[&id].clone();
        let excused = self.unclean && (!session.seen || now < self.started_at + session.ttl + 3_000);
        let bound: Vec<JobId> =
            self.leases(id).filter(|(_, lease)| lease.ends_at == 0).map(|(job, _)| job.spec.id).collect();
        for job in bound {
            self.lose(job, excused, now);
        }
        if self.leases(id).next().is_none() {
            return self.close(id);
        }
        self.choked.retain(|conn| !session.conns.contains(conn));
        let session = self.sessions.get_mut(&id).expect("it stands for its leases");
        session.conns.clear();
        session.hangup_at = now;
    }

    fn lose(&mut self, id: JobId, excused: bool, now: Ms) {
        let Some(job) = self.job(id) else { return };
        if job.overran().is_some() {
            return self.fail_overrun(id, None, now);
        }
        if job.is_to_stop() {
            return self.cancelled(id, false, now);
        }
        job.attempt -= 1;
        job.settled = false;
        if excused {
            return job.wait(now, now);
        }
        job.error = Some("the worker was lost");
        job.crashes += 1;
        let (queue, is_poison) =
            (job.spec.queue.clone(), job.crashes >= job.wishes().terms.policy.max_crashes.unwrap_or(3));
        if is_poison {
            job.end(State::Dead, false, now);
        } else {
            job.wait(now, now);
        }
        let total = self.total(&queue);
        total.crashes += 1;
        total.dead += u64::from(is_poison);
    }

    /// The broker ended and came back; `unclean` = not in order.
    pub(crate) fn restart(&mut self, unclean: bool, now: Ms) {
        (self.started_at, self.unclean) = (now, unclean);
        self.streams.clear();
        self.unbind();
        self.choked.clear();
        self.weighted = 0;
        self.picks.clear();
        self.allowance.restart(now);
        for session in self.sessions.values_mut() {
            session.conns.clear();
            (session.last_sign, session.hangup_at, session.seen) = (now, 0, false);
        }
        self.jobs.iter_mut().filter_map(|job| job.lease.as_mut()).for_each(|lease| lease.restart(now));
    }

    // ------------------------------------------------------------------ streams
}
