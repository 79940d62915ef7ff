//! Schedules: a calendar that has ticks, and the template of their jobs. And which tick a job stands for,
//! when somebody enqueues it by hand.

use super::Rules;
use super::enqueue::job_spec;
use crate::calendar::{Almanac, Fault};
use crate::session::form::{Checked, at_most, inside, invalid, known, name};
use crate::session::words::Word;
use std::collections::BTreeMap;
use windlass_engine::JobId;
use windlass_engine::command::JobSpec;
use windlass_engine::limits::TICKS_MADE_UP_MAX;
use windlass_engine::schedule::{Calendar, CatchUp, Overlap, Schedule, TickOf};
use windlass_proto::limits::DELAY_MS_MAX;
use windlass_proto::v1::schedule::CatchUp as WireCatchUp;
use windlass_proto::v1::{self, DepPolicy};

/// With [`TICK`] it says that a job stands for a tick of this schedule.
pub(super) const SCHEDULE: &str = "schedule";
/// The tick that a job stands for, in milliseconds.
pub(in crate::session) const TICK: &str = "schedule-tick-ms";

const DAY_MS: u64 = 86_400_000;
/// Shortest interval.
const EVERY_MS_MIN: u64 = 1_000;
/// Longest delay of a tick.
const JITTER_MS_MAX: u64 = DAY_MS;
/// How far back ticks are made up for when the schedule does not say.
const WINDOW_MS_DEFAULT: u64 = 365 * DAY_MS;
/// How many ticks are made up for at once when the schedule does not say.
const CATCH_UP_MAX_DEFAULT: u32 = 100;

/// Checks a schedule.
pub(super) fn schedule(schedule: v1::Schedule, rules: Rules) -> Checked<Schedule> {
    let v1::Schedule {
        cron,
        tz,
        every_ms,
        anchor_at_ms,
        jitter_ms,
        job,
        overlap,
        catch_up,
        catch_up_window_ms,
        catch_up_max,
        start_at_ms,
        end_at_ms,
        max_runs,
        paused,
        pause_after_failures,
    } = schedule;
    let calendar = Calendar {
        cron,
        tz,
        every_ms,
        anchor_at: anchor_at_ms,
        start_at: at_most(start_at_ms, rules.now_ms.saturating_add(DELAY_MS_MAX), "start_at_ms")?,
        end_at: end_at_ms,
    };
    let calendar = self::calendar(calendar, rules.now_ms)?;
    let overlap = known(overlap, "overlap")?;
    let (catch_up, catch_up_window_ms, catch_up_max) =
        self::catch_up(known(catch_up, "catch_up")?, catch_up_window_ms, catch_up_max)?;
    Ok(Schedule {
        calendar,
        jitter_ms: at_most(jitter_ms, JITTER_MS_MAX, "jitter_ms")?,
        job: template(job, rules)?,
        overlap: Overlap::heard(overlap),
        catch_up,
        catch_up_window_ms,
        catch_up_max,
        max_runs,
        paused,
        pause_after_failures,
    })
}

/// A calendar without contradictions that has a tick from now on.
fn calendar(calendar: Calendar, now_ms: u64) -> Checked<Calendar> {
    let Calendar { cron, tz, every_ms, anchor_at, start_at, end_at } = &calendar;
    match (cron.is_empty(), *every_ms) {
        (true, 0) => return Err(invalid("cron", "say when: either cron or every_ms")),
        (false, 1..) => return Err(invalid("every_ms", "cron and every_ms exclude each other")),
        (true, 1..EVERY_MS_MIN) => {
            return Err(invalid("every_ms", format!("an interval is at least {EVERY_MS_MIN}")));
        }
        (true, _) if !tz.is_empty() => {
            return Err(invalid("tz", "a time zone says nothing without cron; an interval has none"));
        }
        (false, _) if *anchor_at > 0 => {
            return Err(invalid("anchor_at_ms", "an anchor says nothing without every_ms"));
        }
        (true, _) | (false, _) => {}
    }
    at_most(*every_ms, DELAY_MS_MAX, "every_ms")?;
    if *end_at > 0 && *end_at < *start_at {
        return Err(invalid("end_at_ms", "the end is before the start"));
    }
    let wrong = |Fault { field, message }: Fault| invalid(field, message);
    if Almanac::read(&calendar).map_err(wrong)?.next(now_ms).is_none() {
        let endless = Almanac::read(&Calendar { end_at: 0, ..calendar.clone() }).map_err(wrong)?;
        let is_ended = *end_at > 0 && endless.next(now_ms).is_some();
        return Err(if is_ended {
            invalid("end_at_ms", "there is no tick from now to this end")
        } else {
            invalid("cron", "no instant matches this expression; it would never run")
        });
    }
    Ok(calendar)
}

fn catch_up(wire: WireCatchUp, window_ms: u64, max: u32) -> Checked<(CatchUp, u64, u32)> {
    at_most(window_ms, DELAY_MS_MAX, "catch_up_window_ms")?;
    at_most(max.into(), TICKS_MADE_UP_MAX as u64, "catch_up_max")?;
    let window = if window_ms == 0 { WINDOW_MS_DEFAULT } else { window_ms };
    let nothing = |field: &str| Err(invalid(field, "it says nothing with this catch_up"));
    match CatchUp::heard(wire) {
        CatchUp::None if window_ms > 0 => nothing("catch_up_window_ms"),
        CatchUp::None | CatchUp::Last if max > 0 => nothing("catch_up_max"),
        CatchUp::None => Ok((CatchUp::None, 0, 0)),
        CatchUp::Last => Ok((CatchUp::Last, window, 0)),
        CatchUp::All => Ok((CatchUp::All, window, if max == 0 { CATCH_UP_MAX_DEFAULT } else { max })),
    }
}

/// What every tick enqueues: a job without what only one job can have.
fn template(job: Option<v1::JobSpec>, rules: Rules) -> Checked<JobSpec> {
    let Some(job) = job else { return Err(invalid("job", "a schedule says what it enqueues")) };
    let own = [
        ("id", !job.id.is_empty()),
        ("run_at_ms", job.run_at_ms > 0),
        ("delay_ms", job.delay_ms > 0),
        ("expires_at_ms", job.expires_at_ms > 0),
        // Without a kind it would be a group.
        ("kind", job.kind.is_empty()),
        ("hold", job.hold),
        ("hold_ttl_ms", job.hold_ttl_ms > 0),
        ("run_on_hold_timeout", job.run_on_hold_timeout),
        ("after", !job.after.is_empty()),
        ("dep_policy", job.dep_policy != DepPolicy::Unspecified as i32),
        ("group", !job.group.is_empty()),
        ("headers", job.headers.contains_key(SCHEDULE) || job.headers.contains_key(TICK)),
    ];
    if let Some((field, _)) = own.into_iter().find(|(_, is_set)| *is_set) {
        let message = "a template is of a kind, and has nothing that belongs to one job only";
        return Err(inside("job", invalid(field, message)));
    }
    let spec = job_spec(job, &[], rules).map_err(|fault| inside("job", fault))?;
    Ok(JobSpec { id: JobId::default(), ..spec })
}

/// The tick that the headers of a job name, taken out of them.
pub(super) fn tick_of(headers: &mut BTreeMap<String, String>, rules: Rules) -> Checked<Option<TickOf>> {
    let Some(schedule) = headers.remove(SCHEDULE) else { return Ok(None) };
    let schedule = name(schedule, "headers")?;
    let latest = rules.now_ms.saturating_add(DELAY_MS_MAX);
    let at = headers.remove(TICK).and_then(|at| at.parse().ok());
    let Some(at) = at.filter(|at| (1..=latest).contains(at)) else {
        return Err(invalid("headers", format!("with {SCHEDULE} goes {TICK}, an instant in milliseconds")));
    };
    Ok(Some(TickOf { schedule, at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of November 2026, 00:00 UTC.
    const NOW: u64 = 1_793_491_200_000;
    const RULES: Rules = Rules { payload_bytes_max: 100, now_ms: NOW };

    fn nightly() -> v1::Schedule {
        let job = v1::JobSpec { kind: "report".into(), ..v1::JobSpec::default() };
        v1::Schedule { cron: "30 2 * * *".into(), job: Some(job), ..v1::Schedule::default() }
    }

    #[test]
    fn what_is_left_out_takes_its_default() {
        let checked = schedule(nightly(), RULES).unwrap();
        assert_eq!((checked.overlap, checked.catch_up), (Overlap::Skip, CatchUp::Last));
        assert_eq!((checked.catch_up_window_ms, checked.catch_up_max), (WINDOW_MS_DEFAULT, 0));
        let all = v1::Schedule { catch_up: WireCatchUp::All.into(), ..nightly() };
        assert_eq!(schedule(all, RULES).unwrap().catch_up_max, CATCH_UP_MAX_DEFAULT);
        assert_eq!(checked.job.id, JobId::default());
        assert_eq!(checked.job.queue, "default");
    }

    #[test]
    fn what_never_runs_or_contradicts_itself_is_refused_at_its_field() {
        let one = |field: &str, spoil: fn(&mut v1::Schedule)| {
            let mut broken = nightly();
            spoil(&mut broken);
            let fault = schedule(broken, RULES).unwrap_err();
            assert_eq!((fault.field.as_str(), fault.code.name()), (field, "INVALID"), "{}", fault.message);
        };
        one("cron", |schedule| schedule.cron.clear());
        one("cron", |schedule| schedule.cron = "0 0 30 2 *".into());
        one("cron", |schedule| schedule.cron = "0 0 31 4,6,9,11 *".into());
        one("cron", |schedule| schedule.cron = "60 * * * *".into());
        one("cron", |schedule| schedule.cron = "* * * *".into());
        one("cron", |schedule| schedule.cron = "* * * * * * *".into());
        one("cron", |schedule| schedule.cron = "@daily".into());
        one("cron", |schedule| schedule.cron = "ж * * * *".into());
        one("cron", |schedule| schedule.cron = "*".repeat(300));
        one("tz", |schedule| schedule.tz = "Europe/Atlantis".into());
        one("tz", |schedule| schedule.tz = "../etc/passwd".into());
        one("every_ms", |schedule| schedule.every_ms = 1_000);
        one("every_ms", |schedule| (schedule.cron, schedule.every_ms) = (String::new(), 999));
        one("every_ms", |schedule| (schedule.cron, schedule.every_ms) = (String::new(), u64::MAX));
        one("tz", |schedule| {
            (schedule.cron, schedule.every_ms, schedule.tz) = (String::new(), 1_000, "UTC".into());
        });
        one("anchor_at_ms", |schedule| schedule.anchor_at_ms = 1);
        one("end_at_ms", |schedule| (schedule.start_at_ms, schedule.end_at_ms) = (NOW + 2, NOW + 1));
        one("end_at_ms", |schedule| schedule.end_at_ms = NOW);
        one("end_at_ms", |schedule| schedule.end_at_ms = NOW + 1);
        one("start_at_ms", |schedule| schedule.start_at_ms = u64::MAX);
        one("jitter_ms", |schedule| schedule.jitter_ms = DAY_MS + 1);
        one("overlap", |schedule| schedule.overlap = 9);
        one("catch_up", |schedule| schedule.catch_up = 9);
        one("catch_up_max", |schedule| schedule.catch_up_max = 1);
        one("catch_up_max", |schedule| (schedule.catch_up, schedule.catch_up_max) = (3, 1_001));
        one("catch_up_window_ms", |schedule| (schedule.catch_up, schedule.catch_up_window_ms) = (2, 1));
        one("catch_up_window_ms", |schedule| schedule.catch_up_window_ms = u64::MAX);
    }

    #[test]
    fn a_template_is_a_job_without_what_only_one_job_can_have() {
        let one = |field: &str, spoil: fn(&mut v1::JobSpec)| {
            let mut broken = nightly();
            broken.job.iter_mut().for_each(spoil);
            assert_eq!(schedule(broken, RULES).unwrap_err().field, field);
        };
        one("job.id", |job| job.id = bytes::Bytes::from_static(&[1; 16]));
        one("job.run_at_ms", |job| job.run_at_ms = 1);
        one("job.delay_ms", |job| job.delay_ms = 1);
        one("job.expires_at_ms", |job| job.expires_at_ms = 1);
        one("job.hold", |job| job.hold = true);
        one("job.after", |job| job.after.push(v1::After::default()));
        one("job.group", |job| job.group = bytes::Bytes::from_static(&[1; 16]));
        one("job.headers", |job| drop(job.headers.insert(TICK.into(), "1".into())));
        one("job.kind", |job| job.kind.clear());
        one("job.payload", |job| job.payload = vec![0; 101].into());
        one("job.policy.cost", |job| {
            job.policy = Some(v1::Policy { cost: Some(0), ..v1::Policy::default() });
        });
        let none = v1::Schedule { job: None, ..nightly() };
        assert_eq!(schedule(none, RULES).unwrap_err().field, "job");
    }

    #[test]
    fn a_job_names_its_tick_by_two_headers() {
        let named = |pairs: &[(&str, &str)]| {
            let mut headers = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            tick_of(&mut headers, RULES).map(|tick| (tick, headers.len()))
        };
        let tick = TickOf { schedule: "s".into(), at: 7 };
        assert_eq!(named(&[(SCHEDULE, "s"), (TICK, "7"), ("a", "b")]).unwrap(), (Some(tick), 1));
        // A worker that hands on all headers of its job does not name that tick again.
        assert_eq!(named(&[(TICK, "7")]).unwrap(), (None, 1));
        for broken in
            [&[(SCHEDULE, "s")][..], &[(SCHEDULE, "a b"), (TICK, "7")], &[(SCHEDULE, "s"), (TICK, "x")]]
        {
            assert_eq!(named(broken).unwrap_err().field, "headers");
        }
    }
}
