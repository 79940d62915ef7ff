//! Uniqueness: a dedup key has one holder at a time, and whoever comes second does as he asked.

use crate::blob::Blob;
use crate::command::{Code, Dedup, DedupUntil, JobSpec, OnConflict, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::{Fact, Merged};
use crate::frame::{Outcome, Stored};
use crate::ids::{JobId, Ms, NameId, Seq};
use crate::ledger::job::{Job, Pieces, State};
use crate::ledger::names::Name;
use crate::ledger::tables::{Claim, Until};
use crate::limits::{CANCEL_GRACE_MS_DEFAULT, ITEMS_MAX};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

impl Engine {
    /// Stores a job with a dedup key, or does with it what it asks for when the key is taken.
    pub(crate) fn store_unique(
        &mut self,
        asker: Asker,
        spec: JobSpec,
        dedup: &Dedup,
        turn: &mut Turn,
    ) -> (JobId, Stored) {
        let Some(holder) = self.holder_of(asker.namespace, &spec.queue, dedup) else {
            return self.claim(asker, spec, dedup, turn);
        };
        match dedup.on_conflict {
            OnConflict::KeepOld => self.stands(holder, Outcome::Duplicate),
            OnConflict::Reject => self.stands(holder, Outcome::Rejected(Box::new(self.key_taken(holder)))),
            OnConflict::Replace => {
                let is_open = self.is_unstarted(holder);
                if is_open {
                    self.replace(asker, holder, spec, turn)
                } else {
                    self.stands(holder, Outcome::Duplicate)
                }
            }
            OnConflict::Append => self.append(asker, holder, &spec, dedup, turn),
            OnConflict::RunAfter => self.run_after(asker, holder, spec, dedup, turn),
            OnConflict::CancelRunning => self.supersede(asker, holder, spec, dedup, turn),
        }
    }

    /// Why jobs that follow from a run would be refused because of their dedup keys. The run has one
    /// answer, so it hears of that before anything is stored.
    pub(super) fn admit_keys(&self, asker: Asker, jobs: &[Result<JobSpec, Refusal>]) -> Result<(), Refusal> {
        let mut keys: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (place, spec) in jobs.iter().flatten().enumerate() {
            let dedup = spec.wishes.as_ref().and_then(|wishes| wishes.dedup.as_ref());
            let Some(dedup) = dedup.filter(|_| !self.is_known(asker, spec.id)) else { continue };
            let queue = if dedup.whole_namespace { "" } else { &spec.queue };
            let is_first = keys.insert((queue, &dedup.key));
            let holder = self.holder_of(asker.namespace, &spec.queue, dedup);
            let can_be_refused = matches!(dedup.on_conflict, OnConflict::Reject | OnConflict::Append);
            let refusal = if can_be_refused && !is_first {
                Some(Refusal::new(Code::Invalid, "dedup.key", "another job of this spawn has this key"))
            } else if dedup.on_conflict == OnConflict::Reject {
                holder.map(|holder| self.key_taken(holder))
            } else if dedup.on_conflict == OnConflict::Append {
                let job = holder.and_then(|holder| self.ledger.jobs.get(holder));
                let open = job.filter(|job| job.is_unstarted());
                open.and_then(|job| room_to_append(job, &item(&spec.payload), dedup).err())
            } else {
                None
            };
            let Some(refusal) = refusal else { continue };
            let field = format!("jobs[{place}].{}", refusal.field);
            return Err(Refusal { field, ..refusal });
        }
        Ok(())
    }

    fn key_taken(&self, holder: Seq) -> Refusal {
        let message = format!("job {} has this key", self.stands(holder, Outcome::Duplicate).0);
        Refusal::new(Code::Exhausted, "dedup.key", message).retry_after(1_000)
    }

    /// Who has the key now.
    fn holder_of(&self, namespace: NameId, queue: &str, dedup: &Dedup) -> Option<Seq> {
        let scope = if dedup.whole_namespace {
            namespace
        } else {
            self.ledger.names.find(&Name::Queue(namespace, queue.into()))?
        };
        self.roster.claims.holder(scope, &dedup.key)
    }

    fn is_unstarted(&self, seq: Seq) -> bool {
        self.ledger.jobs.get(seq).is_some_and(|job| job.is_unstarted())
    }

    /// The answer that names an older job, with its result if it has one.
    fn stands(&self, holder: Seq, outcome: Outcome) -> (JobId, Stored) {
        match self.ledger.jobs.get(holder) {
            Some(job) => (job.id, Stored { seq: holder, state: job.state, outcome }),
            None => {
                let id = self.ledger.claims.get(&holder).map_or(JobId::default(), |row| row.claim.id);
                (id, Stored { seq: 0, state: State::Completed, outcome })
            }
        }
    }

    /// The key is free: the new job has it now.
    fn claim(&mut self, asker: Asker, mut spec: JobSpec, dedup: &Dedup, turn: &mut Turn) -> (JobId, Stored) {
        let is_list = dedup.on_conflict == OnConflict::Append;
        if is_list {
            spec.payload = item(&spec.payload);
        }
        let (id, until) = (spec.id, until(dedup.until, asker.now));
        let stored = self.store_new(asker, spec, Some(Pieces { is_list, ..Pieces::default() }), turn);
        // A job can be over as soon as it is stored: for what it was to wait for.
        if stored.state.is_final() && !matches!(until, Until::At(_)) {
            return (id, stored);
        }
        let scope = self.scope(asker.namespace, stored.seq, dedup);
        let claim = Claim { scope, key: dedup.key.clone(), id, until, next: None };
        self.decide(turn, Fact::Claimed { holder: stored.seq, claim: Box::new(claim) });
        (id, stored)
    }

    fn scope(&self, namespace: NameId, seq: Seq, dedup: &Dedup) -> NameId {
        let queue = self.ledger.jobs.get(seq).map_or(0, |job| job.queue);
        if dedup.whole_namespace { namespace } else { queue }
    }

    /// The older job takes payload, headers and time of the new one.
    fn replace(&mut self, asker: Asker, seq: Seq, spec: JobSpec, turn: &mut Turn) -> (JobId, Stored) {
        let Some(job) = self.ledger.jobs.get(seq) else { return self.stands(seq, Outcome::Duplicate) };
        let old = job.pieces();
        let pieces = Pieces {
            first: old.last + 1,
            last: old.last + 1,
            headers: old.headers + 1,
            is_list: old.is_list,
        };
        let payload = if pieces.is_list { item(&spec.payload) } else { spec.payload };
        let run_at = Some(self.run_at(spec.run_at, asker.now));
        let (headers, merged) = (Some(spec.headers), Some(Box::new(merged(asker, spec.id))));
        self.decide(turn, Fact::Replaced { seq, pieces, payload, headers, run_at, now: asker.now, merged });
        self.stands(seq, Outcome::Replaced)
    }

    fn append(
        &mut self,
        asker: Asker,
        holder: Seq,
        spec: &JobSpec,
        dedup: &Dedup,
        turn: &mut Turn,
    ) -> (JobId, Stored) {
        let Some(job) = self.ledger.jobs.get(holder).filter(|job| job.is_unstarted()) else {
            return self.stands(holder, Outcome::Duplicate);
        };
        let (pieces, item) = (job.pieces(), item(&spec.payload));
        if let Err(refusal) = room_to_append(job, &item, dedup) {
            return self.stands(holder, Outcome::Rejected(Box::new(refusal)));
        }
        let (version, merged) = (pieces.last + 1, Box::new(merged(asker, spec.id)));
        self.decide(turn, Fact::Appended { seq: holder, version, item, merged });
        self.stands(holder, Outcome::Appended)
    }

    /// At most one job waits for the holder's end: the newest.
    fn run_after(
        &mut self,
        asker: Asker,
        holder: Seq,
        spec: JobSpec,
        dedup: &Dedup,
        turn: &mut Turn,
    ) -> (JobId, Stored) {
        let next = self.ledger.claims.get(&holder).and_then(|row| row.claim.next);
        if let Some((next, _)) = next {
            return self.replace(asker, next, spec, turn);
        }
        if self.is_unstarted(holder) {
            return self.replace(asker, holder, spec, turn);
        }
        self.queue_after(asker, holder, spec, dedup, turn)
    }

    /// Cancels whoever has the key or waits for it.
    fn supersede(
        &mut self,
        asker: Asker,
        holder: Seq,
        spec: JobSpec,
        dedup: &Dedup,
        turn: &mut Turn,
    ) -> (JobId, Stored) {
        let why = "a newer job takes its place";
        let next = self.ledger.claims.get(&holder).and_then(|row| row.claim.next);
        if let Some((next, _)) = next {
            self.cancel(next, why, 0, asker.now, turn);
        }
        let job = self.ledger.jobs.get(holder).filter(|job| !job.state.is_final());
        let is_asked = job.and_then(|job| job.lease.as_ref()).is_some_and(|lease| lease.is_cancelled());
        if job.is_some() && !is_asked {
            self.cancel(holder, why, CANCEL_GRACE_MS_DEFAULT, asker.now, turn);
        }
        self.queue_after(asker, holder, spec, dedup, turn)
    }

    /// The new job waits for the holder's end; if that has come already, it takes the key over.
    fn queue_after(
        &mut self,
        asker: Asker,
        holder: Seq,
        spec: JobSpec,
        dedup: &Dedup,
        turn: &mut Turn,
    ) -> (JobId, Stored) {
        let waits = self.ledger.jobs.get(holder).is_some_and(|job| !job.state.is_final());
        let row = self.ledger.claims.get(&holder).filter(|_| waits);
        let Some(mut claim) = row.map(|row| row.claim.clone()) else {
            if self.ledger.claims.contains_key(&holder) {
                self.decide(turn, Fact::Unclaimed { holder });
            }
            return self.claim(asker, spec, dedup, turn);
        };
        let (id, until) = (spec.id, until(dedup.until, asker.now));
        let Stored { seq, state, .. } = self.store_new(asker, spec, Some(Pieces::default()), turn);
        if state.is_final() {
            return (id, Stored { seq, state, outcome: Outcome::QueuedAfter });
        }
        claim.next = Some((seq, until));
        self.decide(turn, Fact::Claimed { holder, claim: Box::new(claim) });
        self.block(seq, turn);
        let state = self.ledger.jobs.get(seq).map_or(State::Blocked, |job| job.state);
        (id, Stored { seq, state, outcome: Outcome::QueuedAfter })
    }

    /// A job that has a key, or waits for one, has started, ended or gone.
    pub(crate) fn settle_claim(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let is_over = self.ledger.jobs.get(seq).is_none_or(|job| job.state.is_final());
        if let Some(row) = self.ledger.claims.get(&seq) {
            let next = row.claim.next;
            let is_free = match row.claim.until {
                Until::Finish => is_over && !planted!(KeyKept),
                Until::Start => true,
                Until::At(_) => is_over && next.is_some(),
            };
            if !is_free {
                return;
            }
            let claim = row.claim.clone();
            self.decide(turn, Fact::Unclaimed { holder: seq });
            if let Some((next, until)) = next {
                self.pass_claim(claim, next, until, now, turn);
            }
        } else if is_over && let Some(holder) = self.roster.claims.holder_before(seq) {
            let Some(row) = self.ledger.claims.get(&holder) else { return };
            let claim = Claim { next: None, ..row.claim.clone() };
            self.decide(turn, Fact::Claimed { holder, claim: Box::new(claim) });
        }
    }

    /// The job that waited for the key has it now.
    fn pass_claim(&mut self, old: Claim, next: Seq, until: Until, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(next) else { return };
        let is_taken = !matches!(until, Until::At(at) if at <= now);
        if is_taken {
            let claim = Claim { id: job.id, until, next: None, ..old };
            self.decide(turn, Fact::Claimed { holder: next, claim: Box::new(claim) });
        }
        self.unblock(next, now, turn);
    }

    /// The window of a key is over. Who waits for its holder goes on waiting.
    pub(crate) fn end_window(&mut self, holder: Seq, turn: &mut Turn) {
        let Some(row) = self.ledger.claims.get(&holder) else { return };
        if row.claim.next.is_some() {
            let claim = Claim { until: Until::Finish, ..row.claim.clone() };
            return self.decide(turn, Fact::Claimed { holder, claim: Box::new(claim) });
        }
        self.decide(turn, Fact::Unclaimed { holder });
    }
}

fn merged(asker: Asker, id: JobId) -> Merged {
    Merged { namespace: asker.namespace, id, at: asker.now }
}

fn until(until: DedupUntil, now: Ms) -> Until {
    match until {
        DedupUntil::Finish => Until::Finish,
        DedupUntil::Start => Until::Start,
        DedupUntil::Window(ms) => Until::At(now.saturating_add(ms)),
    }
}

/// Why the payload of the job may not be one item longer.
fn room_to_append(job: &Job, item: &Blob, dedup: &Dedup) -> Result<(), Refusal> {
    let pieces = job.pieces();
    let len = u64::from(job.payload_len) + item.len() as u64;
    if !pieces.is_list {
        let message = "the payload of the older job is no list";
        return Err(Refusal::new(Code::Invalid, "dedup.on_conflict", message));
    }
    if len > u64::from(dedup.payload_bytes_max) {
        let message = format!("the list would have {len} bytes, at most {}", dedup.payload_bytes_max);
        return Err(Refusal::new(Code::Exhausted, "payload", message).retry_after(1_000));
    }
    if pieces.last - pieces.first + 1 >= ITEMS_MAX {
        let message = format!("the list has its {ITEMS_MAX} items");
        return Err(Refusal::new(Code::Exhausted, "payload", message).retry_after(1_000));
    }
    Ok(())
}

/// A payload as an item of a list: its length in front, as protobuf writes it.
fn item(payload: &Blob) -> Blob {
    let mut bytes = Vec::with_capacity(payload.len() + 5);
    let mut rest = payload.len();
    while rest > 127 {
        bytes.push(u8::try_from(rest & 127).expect("seven bits") | 128);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("seven bits"));
    bytes.extend_from_slice(payload);
    bytes.into()
}
