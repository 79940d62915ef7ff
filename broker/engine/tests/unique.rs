//! Uniqueness and holds, as naive as can be: after every change all keys are looked at.

use crate::dice::Dice;
use crate::reference::Model;
use windlass_engine::command::{Dedup, DedupUntil, JobSpec, OnConflict};
use windlass_engine::frame::Outcome;
use windlass_engine::ids::{JobId, Ms, Seq};
use windlass_engine::ledger::job::State;
use windlass_engine::ledger::tables::Until;

/// A dedup key that is taken.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The queue; None = the whole namespace.
    pub(crate) scope: Option<String>,
    pub(crate) key: String,
    pub(crate) holder: Seq,
    pub(crate) id: JobId,
    pub(crate) until: Until,
    /// Who waits for the holder's end.
    pub(crate) next: Option<(Seq, Until)>,
    pub(crate) is_list: bool,
}

/// What was done with a job that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Created,
    Duplicate,
    Replaced,
    Appended,
    Queued,
    Rejected,
}

impl Did {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Created => Self::Created,
            Outcome::Duplicate => Self::Duplicate,
            Outcome::Replaced => Self::Replaced,
            Outcome::Appended => Self::Appended,
            Outcome::QueuedAfter => Self::Queued,
            Outcome::Rejected(_) => Self::Rejected,
        }
    }
}

/// Which job stands for it, what was done, and its state; None = it is gone.
pub(crate) type Answer = (JobId, Did, Option<State>);

/// A random wish to be unique.
pub(crate) fn dedup(dice: &mut Dice) -> Box<Dedup> {
    let until = [DedupUntil::Finish, DedupUntil::Start, DedupUntil::Window(1 + dice.roll(20_000))]
        [dice.roll(3) as usize];
    let on_conflict = [
        OnConflict::KeepOld,
        OnConflict::Replace,
        OnConflict::RunAfter,
        OnConflict::CancelRunning,
        OnConflict::Reject,
        OnConflict::Append,
    ][dice.roll(6) as usize];
    Box::new(Dedup {
        key: ["x", "y"][dice.roll(2) as usize].into(),
        whole_namespace: dice.one_in(4),
        until,
        on_conflict,
        payload_bytes_max: 100,
    })
}

impl Model {
    pub(crate) fn enqueue_unique(&mut self, spec: &JobSpec, dedup: &Dedup, now: Ms) -> Answer {
        let scope = (!dedup.whole_namespace).then(|| spec.queue.clone());
        let place = self.claims.iter().position(|claim| claim.scope == scope && claim.key == dedup.key);
        let Some(place) = place else { return self.take_key(spec, dedup, now) };
        let claim = self.claims[place].clone();
        let holder = self.jobs.iter().find(|job| job.seq == claim.holder).cloned();
        let state = holder.as_ref().map(|job| job.state);
        let is_open = holder.as_ref().is_some_and(|job| job.deliveries == 0 && !job.state.is_final());
        let stands = |did| (claim.id, did, state);
        match dedup.on_conflict {
            OnConflict::KeepOld => stands(Did::Duplicate),
            OnConflict::Reject => stands(Did::Rejected),
            OnConflict::Replace | OnConflict::Append if !is_open => stands(Did::Duplicate),
            OnConflict::Replace => self.take_payload(claim.holder, spec, claim.is_list, now),
            OnConflict::Append => {
                let longer = holder.map_or(0, |job| job.payload) + spec.payload.len() as u64 + 1;
                if !claim.is_list || longer > u64::from(dedup.payload_bytes_max) {
                    return stands(Did::Rejected);
                }
                self.removed.insert(spec.id, (now, 0));
                self.at(claim.holder, |job| job.payload = longer);
                stands(Did::Appended)
            }
            OnConflict::RunAfter => match claim.next {
                Some((next, _)) => self.take_payload(next, spec, false, now),
                None if is_open => self.take_payload(claim.holder, spec, claim.is_list, now),
                None => self.queue_after(place, spec, dedup, now),
            },
            OnConflict::CancelRunning => {
                if let Some((next, _)) = claim.next {
                    self.cancel_seq(next, now);
                    self.claims[place].next = None;
                }
                self.cancel_seq(claim.holder, now);
                self.queue_after(place, spec, dedup, now)
            }
        }
    }

    fn at(&mut self, seq: Seq, change: impl Fn(&mut crate::reference::Job)) {
        self.jobs.iter_mut().filter(|job| job.seq == seq).for_each(change);
    }

    fn cancel_seq(&mut self, seq: Seq, now: Ms) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.seq == seq && !job.state.is_final()) else {
            return;
        };
        let id = job.spec.id;
        match &mut job.lease {
            Some(lease) if !lease.is_cancelled() => lease.cancel(now + 30_000),
            Some(_) => {}
            None => self.cancelled(id, false, now),
        }
    }

    fn take_key(&mut self, spec: &JobSpec, dedup: &Dedup, now: Ms) -> Answer {
        let answer = self.store(spec, now);
        let is_list = dedup.on_conflict == OnConflict::Append;
        let holder = self.last_seq;
        self.at(holder, |job| job.payload += u64::from(is_list));
        let scope = (!dedup.whole_namespace).then(|| spec.queue.clone());
        let until = until(dedup, now);
        let key = dedup.key.clone();
        self.claims.push(Claim { scope, key, holder, id: spec.id, until, next: None, is_list });
        answer
    }

    fn take_payload(&mut self, seq: Seq, spec: &JobSpec, is_list: bool, now: Ms) -> Answer {
        self.removed.insert(spec.id, (now, 0));
        let job = self.jobs.iter_mut().find(|job| job.seq == seq).expect("it waits");
        job.payload = spec.payload.len() as u64 + u64::from(is_list);
        job.run_at = spec.run_at.max(now);
        if matches!(job.state, State::Scheduled | State::Ready) {
            job.wait(job.run_at, now);
        }
        (job.spec.id, Did::Replaced, Some(job.state))
    }

    fn queue_after(&mut self, place: usize, spec: &JobSpec, dedup: &Dedup, now: Ms) -> Answer {
        let holder = self.claims[place].holder;
        if self.jobs.iter().all(|job| job.seq != holder || job.state.is_final()) {
            self.claims.remove(place);
            return self.take_key(spec, dedup, now);
        }
        let (id, _, state) = self.store(spec, now);
        let seq = self.last_seq;
        self.claims[place].next = Some((seq, until(dedup, now)));
        if state == Some(State::Held) {
            return (id, Did::Queued, state);
        }
        if state.is_some_and(State::is_final) {
            return (id, Did::Queued, state);
        }
        self.at(seq, |job| job.state = State::Blocked);
        (id, Did::Queued, Some(State::Blocked))
    }

    /// Looks at every key whether it is still taken.
    pub(crate) fn free_keys(&mut self, now: Ms) {
        for mut claim in std::mem::take(&mut self.claims) {
            let alive = |seq: Seq| self.jobs.iter().find(|job| job.seq == seq && !job.state.is_final());
            claim.next = claim.next.filter(|(next, _)| alive(*next).is_some());
            let holder = alive(claim.holder);
            let is_free = match claim.until {
                Until::Finish => holder.is_none(),
                Until::Start => holder.is_none_or(|job| job.deliveries > 0),
                Until::At(_) => holder.is_none() && claim.next.is_some(),
            };
            if !is_free {
                self.claims.push(claim);
                continue;
            }
            let Some((next, until)) = claim.next else { continue };
            let id = alive(next).expect("it waits").spec.id;
            self.free(next, now);
            if !matches!(until, Until::At(at) if at <= now) {
                self.claims.push(Claim { holder: next, id, until, next: None, is_list: false, ..claim });
            }
        }
    }

    pub(crate) fn confirm(&mut self, id: JobId, now: Ms) {
        let Some(job) = self.job(id) else { return };
        let (seq, run_at) = (job.seq, job.run_at);
        job.wait(run_at, now);
        if job.waits() || job.is_group() {
            job.state = State::Blocked;
        }
        if self.claims.iter().any(|claim| claim.next.is_some_and(|(next, _)| next == seq)) {
            self.at(seq, |job| job.state = State::Blocked);
        }
    }

    pub(crate) fn end_hold(&mut self, id: JobId, now: Ms) {
        let Some(job) = self.job(id) else { return };
        if job.wishes().hold.is_some_and(|hold| hold.then_run) {
            self.confirm(id, now);
        } else {
            self.expired(id, now);
        }
    }

    pub(crate) fn end_window(&mut self, holder: Seq) {
        for claim in self.claims.iter_mut().filter(|claim| claim.holder == holder && claim.next.is_some()) {
            claim.until = Until::Finish;
        }
        self.claims.retain(|claim| claim.holder != holder || claim.next.is_some());
    }
}

fn until(dedup: &Dedup, now: Ms) -> Until {
    match dedup.until {
        DedupUntil::Finish => Until::Finish,
        DedupUntil::Start => Until::Start,
        DedupUntil::Window(ms) => Until::At(now + ms),
    }
}
