//! The rota: a second reading of schedules. Every instant of a schedule is dealt with once: it makes a job,
//! waits, or is left out and counted, whatever crashes; and nothing else makes jobs in its name.

use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::JobId;
use windlass_engine::fact::{Fact, NewJob, ResourceBody, ResourceKey};
use windlass_engine::ids::{Ms, NameId};
use windlass_engine::ledger::Ledger;
use windlass_engine::limits::TICKS_MADE_UP_MAX;
use windlass_engine::schedule::{Overlap, Progress, Schedule, tick_id};

/// What is known of schedules.
#[derive(Default)]
pub struct Rota {
    confs: BTreeMap<NameId, Schedule>,
    progress: BTreeMap<NameId, Progress>,
    /// Set in this batch: instants before that are nobody's business.
    set: BTreeSet<NameId>,
}

impl Rota {
    /// A batch begins.
    pub fn begin(&mut self) {
        self.set.clear();
    }

    /// Checks a fact; `ledger` = as it was before.
    pub fn admit(&mut self, ledger: &Ledger, fact: &Fact) {
        match fact {
            Fact::ResourceSet { key: ResourceKey::Schedule(schedule), body, .. } => {
                let ResourceBody::Schedule(conf) = &**body else { panic!("{fact:?}") };
                self.confs.insert(*schedule, (**conf).clone());
                self.set.insert(*schedule);
            }
            Fact::ResourceRemoved { key: ResourceKey::Schedule(schedule) } => {
                self.confs.remove(schedule);
            }
            Fact::ScheduleDropped { schedule } => {
                self.progress.remove(schedule);
            }
            Fact::Ticked { schedule, progress } => self.ticked(*schedule, progress),
            Fact::Enqueued { job, .. } => enqueued(ledger, job),
            _ => {}
        }
    }

    fn ticked(&mut self, schedule: NameId, new: &Progress) {
        let conf = self.confs.get(&schedule).unwrap_or_else(|| panic!("nobody set schedule {schedule}"));
        let old = self.progress.insert(schedule, new.clone()).unwrap_or_default();
        assert!(new.cursor >= old.cursor, "schedule {schedule} goes back: {old:?} {new:?}");
        assert!(new.runs >= old.runs && new.skipped >= old.skipped, "{schedule} forgets: {old:?} {new:?}");
        assert!(!(conf.paused && new.runs > old.runs), "schedule {schedule} is paused: {old:?} {new:?}");
        let most = if conf.max_runs == 0 { u64::MAX } else { conf.max_runs.max(old.runs) };
        assert!(new.runs <= most, "schedule {schedule} makes job {} of {most}", new.runs);
        let dealt_with =
            |progress: &Progress| progress.runs + progress.skipped + progress.waiting.len() as u64;
        if self.set.contains(&schedule) {
            return;
        }
        let passed = instants(conf, old.cursor, new.cursor);
        let dealt_with = dealt_with(new) - dealt_with(&old);
        // One that has made all its jobs has no further instants, and of very many the oldest are not counted.
        let least = if conf.max_runs == 0 { passed.min(TICKS_MADE_UP_MAX as u64) } else { 0 };
        let is_fair = (least..=passed).contains(&dealt_with);
        assert!(is_fair, "of {passed} instants {dealt_with} were dealt with: {conf:?} {old:?} {new:?}");
    }

    /// Whether the schedule may cancel the job of its last tick.
    pub fn may_supersede(&self, schedule: NameId) -> bool {
        self.confs.get(&schedule).is_some_and(|conf| conf.overlap == Overlap::CancelRunning)
    }
}

/// How many instants there are behind `after` and up to `until`.
fn instants(conf: &Schedule, after: Ms, until: Ms) -> u64 {
    let calendar = &conf.calendar;
    let (every_ms, phase) = if calendar.cron.is_empty() {
        (calendar.every_ms, calendar.anchor_at % calendar.every_ms)
    } else {
        // The only expressions here mean so many seconds, which make up a minute.
        let seconds = calendar.cron.trim_start_matches("*/").split(' ').next();
        (1_000 * seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(60), 0)
    };
    let up_to = |at: Ms| (at + every_ms - phase) / every_ms;
    up_to(until) - up_to(after)
}

/// G12: the job of a tick has the tick's id, so it exists once as every job does.
fn enqueued(ledger: &Ledger, job: &NewJob) {
    let Some(tick) = job.plan.as_ref().and_then(|plan| plan.tick.as_ref()) else { return };
    let names = &ledger.names;
    let id: JobId = tick_id(names.text(job.namespace), names.text(tick.schedule), tick.at);
    assert_eq!(job.id, id, "the job of a tick has the id of another");
    assert!(ledger.schedules.contains_key(&tick.schedule), "a tick of a schedule that is not there");
}
