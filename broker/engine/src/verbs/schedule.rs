//! Schedules: their ticks become jobs, once each. The engine asks for the next ticks and is told; what it
//! decides then, the job and how far the schedule has come, stands in one batch.
//!
//! ```text
//! timer ─► attend ─► TickWanted ─► whoever reads calendars ─► Tick ─► meet ─► a job
//!             ▲                                                         │
//!             └───────── the last job ends ◄── waits for that ──────────┘
//! ```

use crate::command::{Code, JobSpec, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::event::EventName;
use crate::fact::{Fact, ResourceBody, ResourceKey};
use crate::frame::{Outcome, Rows};
use crate::ids::{JobId, Ms, NameId, Request, Seq, SessionId};
use crate::ledger::job::State;
use crate::ledger::names::Name;
use crate::ledger::tables::ScheduleRow;
use crate::limits::{CANCEL_GRACE_MS_DEFAULT, CLAIMS_MAX, LATE_MS, TICKS_MADE_UP_MAX, TICKS_WAITING_MAX};
use crate::roster::Schedules;
use crate::roster::schedules::AT_ONCE;
use crate::schedule::{CatchUp, Overlap, Progress, Schedule, Tick, TickOf, TickWanted, tick_id};
use crate::terms::{Gate, Terms};
use crate::verbs::query::Page;
use crate::view::ScheduleView;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Engine {
    /// The next question about a calendar, to be answered by [`crate::Command::Tick`] in the same turn.
    pub fn wanted(&mut self) -> Option<TickWanted> {
        while let Some(schedule) = self.roster.schedules.wanted.pop_first() {
            let Some((conf, progress)) = self.scheduled(schedule) else { continue };
            let (after, next) = (progress.cursor, progress.next);
            let is_due = next > 0 && self.fire_at(schedule, conf, next) <= self.now;
            if is_due && !self.has_room_for(schedule, &conf.job) {
                self.roster.schedules.stalled.insert(schedule);
                continue;
            }
            let missed = self.missed_until(conf);
            let (until, most) = match next {
                _ if !is_due => (after, 0),
                next if next <= missed => (missed, conf.made_up()),
                next => (next, TICKS_MADE_UP_MAX),
            };
            return Some(TickWanted { schedule, calendar: conf.calendar.clone(), after, until, most });
        }
        None
    }

    /// Ticks up to here were not seen to in time.
    fn missed_until(&self, conf: &Schedule) -> Ms {
        self.now.saturating_sub(LATE_MS.saturating_add(conf.jitter_ms))
    }

    fn fire_at(&self, schedule: NameId, conf: &Schedule, tick: Ms) -> Ms {
        tick.saturating_add(conf.jitter(self.ledger.names.text(schedule), tick))
    }

    /// What a schedule says, and how far it has come.
    fn scheduled(&self, schedule: NameId) -> Option<(&Schedule, &Progress)> {
        let ResourceBody::Schedule(conf) = &self.ledger.resources.get(&ResourceKey::Schedule(schedule))?.body
        else {
            return None;
        };
        Some((conf, &self.ledger.schedules.get(&schedule)?.progress))
    }

    /// A schedule's time has come: its next tick, or the end of the job that a tick waits for.
    pub(crate) fn attend(&mut self, schedule: NameId, now: Ms, turn: &mut Turn) {
        self.roster.schedules.arm(schedule, None, &mut self.roster.timers);
        let Some((conf, progress)) = self.scheduled(schedule) else { return };
        if !self.has_room_for(schedule, &conf.job) {
            self.roster.schedules.stalled.insert(schedule);
            return;
        }
        if !progress.waiting.is_empty() && !self.is_open(progress.last_seq) {
            let (conf, mut progress) = (conf.clone(), progress.clone());
            let tick = progress.waiting.remove(0);
            self.run_tick(schedule, &conf, &mut progress, tick, turn);
            let is_last = progress.next == 0;
            self.write_progress(schedule, progress, turn);
            if is_last {
                // It counted as the last of so many jobs, and may have made none.
                self.want(schedule);
            }
        }
        let Some((conf, progress)) = self.scheduled(schedule) else { return };
        if progress.next > 0 && self.fire_at(schedule, conf, progress.next) <= now {
            self.roster.schedules.wanted.insert(schedule);
        } else {
            self.arm(schedule);
        }
    }

    /// There is room for one more job of this kind.
    fn has_room_for(&self, schedule: NameId, job: &JobSpec) -> bool {
        let is_open = !self.draining && !self.pressure.no_enqueue;
        let has_place = self.ledger.jobs.len() < self.jobs_max
            && (self.ledger.claims.len() < CLAIMS_MAX || job.wishes.is_none());
        let names = template_names(self.namespace_of(schedule), job);
        is_open && has_place && self.ledger.names.has_room(names).is_ok()
    }

    pub(super) fn namespace_of(&self, name: NameId) -> NameId {
        self.ledger.names.get(name).map_or(0, Name::namespace)
    }

    fn is_open(&self, seq: Seq) -> bool {
        self.ledger.jobs.get(seq).is_some_and(|job| !job.state.is_final())
    }

    /// Sets when the schedule is seen to next.
    fn arm(&mut self, schedule: NameId) {
        let Some((conf, progress)) = self.scheduled(schedule) else { return };
        let at = if !progress.waiting.is_empty() && !self.is_open(progress.last_seq) {
            Some(AT_ONCE)
        } else {
            (progress.next > 0).then(|| self.fire_at(schedule, conf, progress.next))
        };
        self.roster.schedules.arm(schedule, at, &mut self.roster.timers);
    }

    // ------------------------------------------------------------------ ticks

    /// The ticks that were asked for.
    pub(crate) fn ticked(&mut self, now: Ms, tick: &Tick, turn: &mut Turn) {
        let schedule = tick.schedule;
        let Some((conf, progress)) = self.scheduled(schedule) else { return };
        let (conf, mut progress) = (conf.clone(), progress.clone());
        let before = progress.clone();
        let is_late = tick.until <= self.missed_until(&conf);
        let run = made_up(&conf, tick, is_late, now);
        let left_out = tick.left_out + (tick.due.len() - run.len()) as u64;
        if !planted!(TickAgain) {
            progress.cursor = progress.cursor.max(tick.until);
        }
        progress.next = tick.next;
        progress.skipped = progress.skipped.saturating_add(left_out);
        for &at in run {
            self.meet(schedule, &conf, &mut progress, at, turn);
        }
        if is_full(&conf, &progress) {
            progress.next = 0;
        }
        if progress != before {
            self.write_progress(schedule, progress, turn);
        }
        if is_late && left_out > 0 {
            let name = self.ledger.names.text(schedule);
            let note = format!("{left_out} ticks of {name} were missed and left out");
            self.tell_schedule(schedule, EventName::ScheduleMissed, note, turn);
        }
        self.arm(schedule);
    }

    /// A tick's time has come.
    fn meet(&mut self, schedule: NameId, conf: &Schedule, progress: &mut Progress, at: Ms, turn: &mut Turn) {
        if is_full(conf, progress) {
            return;
        }
        let is_busy = self.is_open(progress.last_seq) || !progress.waiting.is_empty();
        let may_wait = match conf.overlap {
            _ if !is_busy => return self.run_tick(schedule, conf, progress, at, turn),
            Overlap::Allow => return self.run_tick(schedule, conf, progress, at, turn),
            Overlap::Skip => 0,
            Overlap::BufferOne => 1,
            Overlap::BufferAll => TICKS_WAITING_MAX,
            Overlap::CancelRunning => {
                progress.skipped += progress.waiting.len() as u64;
                progress.waiting.clear();
                self.supersede_tick(progress.last_seq, turn);
                if !self.is_open(progress.last_seq) {
                    return self.run_tick(schedule, conf, progress, at, turn);
                }
                1
            }
        };
        if progress.waiting.len() < may_wait {
            progress.waiting.push(at);
        } else {
            progress.skipped = progress.skipped.saturating_add(1);
        }
    }

    /// Cancels the job of the last tick, unless that was asked before.
    fn supersede_tick(&mut self, seq: Seq, turn: &mut Turn) {
        let job = self.ledger.jobs.get(seq).filter(|job| !job.state.is_final());
        let is_asked = job.and_then(|job| job.lease.as_ref()).is_some_and(|lease| lease.is_cancelled());
        if job.is_some() && !is_asked {
            self.cancel(seq, "the next tick takes its place", CANCEL_GRACE_MS_DEFAULT, self.now, turn);
        }
    }

    /// The tick becomes a job, unless it is one already.
    fn run_tick(
        &mut self,
        schedule: NameId,
        conf: &Schedule,
        progress: &mut Progress,
        at: Ms,
        turn: &mut Turn,
    ) {
        if !self.has_room_for(schedule, &conf.job) {
            progress.skipped = progress.skipped.saturating_add(1);
            return;
        }
        let name: String = self.ledger.names.text(schedule).into();
        let mut spec = conf.job.clone();
        spec.wishes.get_or_insert_default().tick = Some(TickOf { schedule: name, at });
        let asker = Asker {
            from: Request { conn: 0, id: 0 },
            session: SessionId([0; 16]),
            namespace: self.namespace_of(schedule),
            now: self.now,
        };
        let (id, stored) = self.store(asker, spec, turn);
        let is_new = !matches!(stored.outcome, Outcome::Duplicate | Outcome::Rejected(_));
        progress.runs += u64::from(is_new);
        progress.skipped += u64::from(!is_new);
        // A job that only has the same dedup key is not its own: nobody would tell it of that job's end.
        let is_own = self.ledger.jobs.get(stored.seq).is_some_and(|job| job.schedule() == schedule);
        let seq = if is_own { stored.seq } else { 0 };
        (progress.last_at, progress.last_job, progress.last_seq) = (at, id, seq);
    }

    /// The id of the job that stands for a tick.
    pub(super) fn id_of(&self, namespace: NameId, tick: &TickOf) -> JobId {
        tick_id(self.ledger.names.text(namespace), &tick.schedule, tick.at)
    }

    /// Jobs may stand for ticks of schedules that exist.
    pub(super) fn admit_ticks(
        &self,
        namespace: NameId,
        jobs: &[Result<JobSpec, Refusal>],
    ) -> Result<(), Refusal> {
        for (place, spec) in jobs.iter().enumerate() {
            let wishes = spec.as_ref().ok().and_then(|spec| spec.wishes.as_ref());
            let Some(tick) = wishes.and_then(|wishes| wishes.tick.as_ref()) else { continue };
            let named = self.ledger.names.find(&Name::Schedule(namespace, tick.schedule.clone()));
            if named.is_none_or(|id| self.scheduled(id).is_none()) {
                let message = format!("there is no schedule {}", tick.schedule);
                return Err(Refusal::new(Code::NotFound, &format!("jobs[{place}].headers"), message));
            }
        }
        Ok(())
    }

    /// Writes down how far the schedule has come. Dead jobs are counted elsewhere.
    fn write_progress(&mut self, schedule: NameId, progress: Progress, turn: &mut Turn) {
        let failures = self.ledger.schedules.get(&schedule).map_or(0, |row| row.progress.failures);
        let progress = Box::new(Progress { failures, ..progress });
        self.decide(turn, Fact::Ticked { schedule, progress });
    }

    /// A job of the schedule has ended, or is gone.
    pub(crate) fn tick_ended(&mut self, schedule: NameId, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some((conf, progress)) = self.scheduled(schedule) else { return };
        let failures = match self.ledger.jobs.get(seq).map(|job| job.state) {
            Some(State::Dead) => progress.failures.saturating_add(1),
            Some(State::Completed) => 0,
            Some(_) | None => progress.failures,
        };
        // Other ends may come while a tick is seen to, which must not be paused half-way.
        let is_one_more = failures > progress.failures;
        let pauses = is_one_more && !conf.paused && (1..=failures).contains(&conf.pause_after_failures);
        if failures != progress.failures {
            let progress = Box::new(Progress { failures, ..progress.clone() });
            self.decide(turn, Fact::Ticked { schedule, progress });
        }
        if pauses {
            self.pause_itself(schedule, failures, now, turn);
        } else {
            self.arm(schedule);
        }
    }

    /// Too many of its jobs are dead: somebody has to look.
    fn pause_itself(&mut self, schedule: NameId, failures: u32, now: Ms, turn: &mut Turn) {
        let key = ResourceKey::Schedule(schedule);
        let Some(row) = self.ledger.resources.get(&key) else { return };
        let ResourceBody::Schedule(conf) = &row.body else { return };
        let before = conf.clone();
        let body = Box::new(ResourceBody::Schedule(Box::new(Schedule { paused: true, ..(*before).clone() })));
        let version = row.version + 1;
        self.decide(turn, Fact::ResourceSet { key, version, body, at: now });
        self.reschedule(schedule, Some(&before), now, turn);
        let name = self.ledger.names.text(schedule);
        let note = format!("{name} paused itself: its last {failures} jobs are dead");
        self.tell_schedule(schedule, EventName::SchedulePaused, note, turn);
    }

    // ------------------------------------------------------------------ coming, changing, going

    /// A schedule was set; `before` = what it said until now.
    pub(super) fn reschedule(
        &mut self,
        schedule: NameId,
        before: Option<&Schedule>,
        now: Ms,
        turn: &mut Turn,
    ) {
        let Some(row) = self.ledger.resources.get(&ResourceKey::Schedule(schedule)) else { return };
        let ResourceBody::Schedule(conf) = &row.body else { return };
        let goes_on =
            before.is_some_and(|before| before.calendar == conf.calendar && !before.paused && !conf.paused);
        let row = self.ledger.schedules.get(&schedule);
        let mut progress = row.map(|row| row.progress.clone()).unwrap_or_default();
        if !goes_on || progress.next == 0 {
            // Ticks that it did not have, or that fell into its pause, are not made up for.
            progress.cursor = progress.cursor.max(now);
            progress.next = 0;
        }
        let waiting = progress.waiting.len();
        progress.waiting.truncate(may_wait(conf, progress.runs));
        let dropped = waiting - progress.waiting.len();
        progress.skipped = progress.skipped.saturating_add(dropped as u64);
        if !conf.paused && before.is_some_and(|before| before.paused) {
            progress.failures = 0;
        }
        if row.is_none_or(|row| row.progress != progress) {
            self.decide(turn, Fact::Ticked { schedule, progress: Box::new(progress) });
        }
        self.roster.schedules.forget(schedule, &mut self.roster.timers);
        self.want(schedule);
    }

    /// Asks for the next tick, unless there is none to wait for.
    fn want(&mut self, schedule: NameId) {
        let Some((conf, progress)) = self.scheduled(schedule) else { return };
        if conf.paused || is_full(conf, progress) {
            self.arm(schedule);
        } else {
            self.roster.schedules.wanted.insert(schedule);
        }
    }

    /// A schedule was removed; its jobs stay.
    pub(super) fn unschedule(&mut self, schedule: NameId, turn: &mut Turn) {
        self.roster.schedules.forget(schedule, &mut self.roster.timers);
        if self.ledger.schedules.contains_key(&schedule) {
            self.decide(turn, Fact::ScheduleDropped { schedule });
        }
    }

    /// A run begins: every schedule asks for its next tick, because the rules of time zones may have
    /// changed with the program.
    pub(crate) fn load_schedules(&mut self) {
        let all: Vec<NameId> = self.ledger.schedules.keys().copied().collect();
        all.into_iter().for_each(|schedule| self.want(schedule));
    }

    pub(super) fn schedules_page(&self, asker: Asker, name: &str, after: &str, limit: usize) -> Rows {
        let ids = self.ledger.schedules.keys().copied();
        let Page { rows, cursor, total } = self.page_of(asker.namespace, ids, (name, after), limit);
        let view = |(name, id): (&str, NameId)| {
            let row = self.ledger.resources.get(&ResourceKey::Schedule(id))?;
            let (conf, progress) = self.scheduled(id)?;
            let (schedule, progress) = (conf.clone(), progress.clone());
            Some(ScheduleView { name: name.into(), schedule, version: row.version, progress })
        };
        let schedules = rows.into_iter().filter_map(view).collect();
        Rows { schedules, cursor, total, ..Rows::default() }
    }

    /// Every schedule is seen to when it has something to do.
    pub(crate) fn audit_schedules(&self) -> Result<(), String> {
        for (&id, ScheduleRow { progress, .. }) in &self.ledger.schedules {
            let what = |what: &str| Err(format!("schedule {}: {what}", self.ledger.names.text(id)));
            let Some((conf, _)) = self.scheduled(id) else { return what("nobody set it") };
            let Schedules { wanted, stalled, .. } = &self.roster.schedules;
            if wanted.contains(&id) || stalled.contains(&id) {
                continue;
            }
            if conf.paused && !(progress.next == 0 && progress.waiting.is_empty()) {
                return what("paused, and waits for something");
            }
            let armed = self.roster.schedules.armed(id);
            let ready = !progress.waiting.is_empty() && !self.is_open(progress.last_seq);
            if (progress.next > 0 || ready) && armed.is_none() {
                return what("nothing wakes it");
            }
            if ready && armed.is_some_and(|at| at > self.now) {
                return what("its tick waits for what has ended");
            }
        }
        let is_set = |key: &ResourceKey| {
            let ResourceKey::Schedule(id) = key else { return true };
            self.ledger.schedules.contains_key(id)
        };
        if self.ledger.resources.keys().all(is_set) { Ok(()) } else { Err("a schedule has no row".into()) }
    }
}

/// It has made all the jobs that it was to make.
fn is_full(conf: &Schedule, progress: &Progress) -> bool {
    conf.max_runs > 0 && progress.runs.saturating_add(progress.waiting.len() as u64) >= conf.max_runs
}

/// How many of its ticks may still wait when it is set anew, after so many jobs.
fn may_wait(conf: &Schedule, runs: u64) -> usize {
    match (conf.paused, conf.max_runs) {
        (true, _) => 0,
        (false, 0) => TICKS_WAITING_MAX,
        (false, max_runs) => usize::try_from(max_runs.saturating_sub(runs)).unwrap_or(TICKS_WAITING_MAX),
    }
}

/// Which of the ticks are seen to. Of those that nobody saw to in time, as many as are made up for.
fn made_up<'a>(conf: &Schedule, tick: &'a Tick, is_late: bool, now: Ms) -> &'a [Ms] {
    if !is_late {
        return &tick.due;
    }
    // The next tick is not too late yet: it stands for all before it.
    let is_covered = conf.catch_up == CatchUp::Last && (1..=now).contains(&tick.next);
    let most = if is_covered { 0 } else { conf.made_up() };
    let oldest = now.saturating_sub(conf.catch_up_window_ms);
    let first = tick.due.partition_point(|&at| at < oldest);
    &tick.due[first.max(tick.due.len().saturating_sub(most))..]
}

/// The names that a job of the template brings.
pub(super) fn template_names(namespace: NameId, job: &JobSpec) -> impl Iterator<Item = Name> {
    let key = (!job.key.is_empty()).then(|| Name::Key(namespace, job.key.clone()));
    let wishes = job.wishes.iter().flat_map(|wishes| {
        let terms = (wishes.terms != Terms::default()).then(|| Name::Terms(wishes.terms.clone()));
        let gate = (wishes.gate != Gate::default()).then(|| Name::Gate(wishes.gate.clone()));
        terms.into_iter().chain(gate)
    });
    let queue = Name::Queue(namespace, job.queue.clone());
    let kind = Name::Kind(namespace, job.kind.clone());
    [queue, kind].into_iter().chain(key).chain(wishes)
}
