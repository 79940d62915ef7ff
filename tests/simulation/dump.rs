//! Comparing ledgers, record by record: whether two engines hold the same truth.

use std::collections::BTreeMap;
use std::fmt::Debug;
use windlass_engine::fact::ResourceKey;
use windlass_engine::ids::{NameId, Seq};
use windlass_engine::ledger::Ledger;
use windlass_engine::ledger::job::Job;
use windlass_engine::ledger::names::Name;
use windlass_engine::ledger::tables::{
    AfterRow, AuditRow, ClaimRow, FailuresRow, FalloutRow, GroupRow, OperationRow, ResourceRow, ScheduleRow,
    SessionRow, TotalsRow,
};
use windlass_engine::{Engine, JobId, OperationId, SessionId};

/// How an engine marks what a replay touched; no run of a broker sees it.
const REPLAYED: u64 = 1 << 63;

/// All that survives a restart, sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    jobs: BTreeMap<Seq, Job>,
    names: BTreeMap<NameId, (u64, Name)>,
    sessions: BTreeMap<SessionId, SessionRow>,
    resources: BTreeMap<ResourceKey, ResourceRow>,
    totals: BTreeMap<NameId, TotalsRow>,
    failures: BTreeMap<NameId, FailuresRow>,
    operations: BTreeMap<OperationId, OperationRow>,
    audits: BTreeMap<u64, AuditRow>,
    claims: BTreeMap<Seq, ClaimRow>,
    afters: BTreeMap<(Seq, u16), AfterRow>,
    groups: BTreeMap<Seq, GroupRow>,
    fallouts: BTreeMap<Seq, FalloutRow>,
    schedules: BTreeMap<NameId, ScheduleRow>,
    /// The next seq, the epoch, and whether the last run ended in order.
    meta: (Seq, u32, bool),
}

impl Dump {
    /// Of an engine that runs, or of one that was only fed with facts.
    pub fn of(engine: &Engine) -> Self {
        let ledger: &Ledger = engine.ledger();
        let mut dump = Self {
            jobs: ledger.jobs.iter().map(|job| (job.seq, job.clone())).collect(),
            names: ledger
                .names
                .iter()
                .map(|(id, since, name)| (id, (since & !REPLAYED, name.clone())))
                .collect(),
            sessions: ledger.sessions.clone(),
            resources: ledger.resources.clone(),
            totals: ledger.totals.clone(),
            failures: ledger.failures.clone(),
            operations: ledger.operations.clone(),
            audits: ledger.audits.clone(),
            claims: ledger.claims.clone(),
            afters: ledger.afters.clone(),
            groups: ledger.groups.clone(),
            fallouts: ledger.fallouts.clone(),
            schedules: ledger.schedules.clone(),
            meta: (ledger.seq_next, ledger.epoch, ledger.stopped),
        };
        dump.jobs.values_mut().for_each(|job| job.since &= !REPLAYED);
        dump.sessions.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.resources.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.totals.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.failures.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.operations.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.audits.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.claims.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.afters.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.groups.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.fallouts.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump.schedules.values_mut().for_each(|row| row.since &= !REPLAYED);
        dump
    }

    /// The ids of all jobs, with their place in the order.
    pub fn ids(&self) -> impl Iterator<Item = (JobId, Seq)> + '_ {
        self.jobs.values().map(|job| (job.id, job.seq))
    }

    /// The first difference in words.
    pub fn compare(&self, other: &Self) -> Result<(), String> {
        differ("job", &self.jobs, &other.jobs)?;
        differ("name", &self.names, &other.names)?;
        differ("session", &self.sessions, &other.sessions)?;
        differ("resource", &self.resources, &other.resources)?;
        differ("totals", &self.totals, &other.totals)?;
        differ("failures", &self.failures, &other.failures)?;
        differ("operation", &self.operations, &other.operations)?;
        differ("audit", &self.audits, &other.audits)?;
        differ("claim", &self.claims, &other.claims)?;
        differ("after", &self.afters, &other.afters)?;
        differ("group", &self.groups, &other.groups)?;
        differ("fallout", &self.fallouts, &other.fallouts)?;
        differ("schedule", &self.schedules, &other.schedules)?;
        if self.meta == other.meta {
            Ok(())
        } else {
            Err(format!("meta: {:?} here, {:?} there", self.meta, other.meta))
        }
    }
}

fn differ<K, V>(what: &str, here: &BTreeMap<K, V>, there: &BTreeMap<K, V>) -> Result<(), String>
where
    K: Ord + Debug,
    V: PartialEq + Debug,
{
    for key in here.keys().chain(there.keys()) {
        let (one, other) = (here.get(key), there.get(key));
        if one != other {
            return Err(format!("{what} {key:?}:\n  here  {one:?}\n  there {other:?}"));
        }
    }
    Ok(())
}
