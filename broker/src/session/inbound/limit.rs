//! Limits: what they bound and by how much, free of contradictions.

use crate::session::form::{Checked, at_most, invalid, optional_name, reason, text, within};
use windlass_engine::command::Scope;
use windlass_engine::limit::{Breaker, Limit};
use windlass_proto::limits::{DELAY_MS_MAX, TEXT_BYTES_MAX};
use windlass_proto::v1;

const DAY_MS: u64 = 86_400_000;
/// Longest time that a rate is meant for.
const PER_MS_MAX: u64 = 30 * DAY_MS;
/// Highest rate, in cost per `per_ms`.
const RATE_MAX: u64 = 1_000_000_000;
/// A burst is at most so many times the rate.
const BURST_RATES_MAX: u64 = 1_000;
/// Longest time that a breaker stays open.
const OPEN_MS_MAX: u64 = DAY_MS;
/// Most ends that a breaker counts.
const SAMPLES_MAX: u32 = 1_000_000;
/// Most cost that may start as a probe.
const PROBES_MAX: u32 = 10_000;

/// What the name of a limit begins with when the name itself says what is paused.
const PAUSE: &str = "pause:";

/// Checks the limit of this name.
pub(super) fn limit(limit: v1::Limit, name: &str, now_ms: u64) -> Checked<(Limit, Scope)> {
    let v1::Limit {
        queue,
        kind,
        key,
        per_key,
        concurrency,
        rate,
        per_ms,
        burst,
        until_at_ms,
        why,
        breaker_failure_permille,
        breaker_min_samples,
        breaker_open_ms,
        breaker_probes,
        retry_permille,
    } = limit;
    within(Some(retry_permille), 0..=1_000, "retry_permille")?;
    let mut scope = Scope {
        queue: optional_name(queue, "queue")?,
        kind: optional_name(kind, "kind")?,
        key: text(key, TEXT_BYTES_MAX, "key")?,
    };
    if let Some(paused) = name.strip_prefix(PAUSE) {
        pause(paused, &mut scope, concurrency)?;
    }
    if per_key && !scope.key.is_empty() {
        return Err(invalid("per_key", "a limit of one key is no limit per key"));
    }
    if until_at_ms > 0 && until_at_ms <= now_ms {
        return Err(invalid("until_at_ms", "this instant is past"));
    }
    at_most(until_at_ms, now_ms.saturating_add(DELAY_MS_MAX), "until_at_ms")?;
    let (rate, per_ms, burst) = self::rate(rate, per_ms, burst)?;
    let breaker = match breaker_failure_permille {
        0 => no_breaker(breaker_min_samples, breaker_open_ms, breaker_probes)?,
        share => Some(breaker(share, breaker_min_samples, breaker_open_ms, breaker_probes)?),
    };
    if concurrency.is_none() && rate == 0 && breaker.is_none() && retry_permille == 0 {
        return Err(invalid("", "a limit bounds something: concurrency, a rate, failures or retries"));
    }
    let why = reason(why);
    let limit = Limit {
        per_key,
        concurrency,
        rate,
        per_ms,
        burst,
        until_at: until_at_ms,
        why,
        breaker,
        retry_permille,
        ..Limit::default()
    };
    Ok((limit, scope))
}

/// `pause:queue/mail` pauses the queue mail, `pause:kind/send` a kind.
fn pause(paused: &str, scope: &mut Scope, concurrency: Option<u32>) -> Checked<()> {
    if concurrency != Some(0) {
        return Err(invalid("concurrency", "a pause has concurrency 0"));
    }
    let (field, named, said) = match paused.split_once('/') {
        Some(("queue", queue)) => ("queue", queue, &mut scope.queue),
        Some(("kind", kind)) => ("kind", kind, &mut scope.kind),
        Some(_) | None => return Ok(()),
    };
    if !said.is_empty() && said != named {
        return Err(invalid(field, format!("the {field} is another one than in the name")));
    }
    named.clone_into(said);
    Ok(())
}

/// Rate, time and burst, with their defaults.
fn rate(rate: u64, per_ms: u64, burst: u64) -> Checked<(u64, u64, u64)> {
    if rate == 0 {
        for (field, value) in [("per_ms", per_ms), ("burst", burst)] {
            if value > 0 {
                return Err(invalid(field, format!("{field} says nothing without a rate")));
            }
        }
        return Ok((0, 0, 0));
    }
    at_most(rate, RATE_MAX, "rate")?;
    let per_ms = match at_most(per_ms, PER_MS_MAX, "per_ms")? {
        0 => 1_000,
        per_ms => per_ms,
    };
    let burst = match at_most(burst, rate.saturating_mul(BURST_RATES_MAX), "burst")? {
        0 => rate,
        burst => burst,
    };
    Ok((rate, per_ms, burst))
}

fn no_breaker(min_samples: u32, open_ms: u64, probes: u32) -> Checked<Option<Breaker>> {
    let set = [
        ("breaker_min_samples", min_samples > 0),
        ("breaker_open_ms", open_ms > 0),
        ("breaker_probes", probes > 0),
    ];
    match set.iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => {
            Err(invalid(field, format!("{field} says nothing without breaker_failure_permille")))
        }
        None => Ok(None),
    }
}

fn breaker(failure_permille: u32, min_samples: u32, open_ms: u64, probes: u32) -> Checked<Breaker> {
    within(Some(failure_permille), 1..=1_000, "breaker_failure_permille")?;
    within(Some(min_samples), 0..=SAMPLES_MAX, "breaker_min_samples")?;
    within(Some(probes), 0..=PROBES_MAX, "breaker_probes")?;
    Ok(Breaker {
        failure_permille,
        min_samples: if min_samples == 0 { 20 } else { min_samples },
        open_ms: match at_most(open_ms, OPEN_MS_MAX, "breaker_open_ms")? {
            0 => 30_000,
            open_ms => open_ms,
        },
        probes: probes.max(1),
    })
}

#[cfg(test)]
mod tests {
    use super::limit as checked;
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn what_is_left_out_takes_its_default() {
        let rated = v1::Limit { rate: 10, ..v1::Limit::default() };
        let (limit, scope) = checked(rated, "stripe", NOW).unwrap();
        assert_eq!((limit.rate, limit.per_ms, limit.burst), (10, 1_000, 10));
        assert!(scope.queue.is_empty());
        let breaking = v1::Limit { breaker_failure_permille: 500, ..v1::Limit::default() };
        let breaker = checked(breaking, "smtp", NOW).unwrap().0.breaker.unwrap();
        assert_eq!((breaker.min_samples, breaker.open_ms, breaker.probes), (20, 30_000, 1));
        let paused = v1::Limit { concurrency: Some(0), ..v1::Limit::default() };
        assert_eq!(checked(paused, "pause:kind/send", NOW).unwrap().1.kind, "send");
    }

    #[test]
    fn contradictions_are_refused_at_their_field() {
        let one = |field, name, spoil: fn(&mut v1::Limit)| {
            let mut limit = v1::Limit { concurrency: Some(1), ..v1::Limit::default() };
            spoil(&mut limit);
            let fault = checked(limit, name, NOW).unwrap_err();
            assert_eq!(fault.field, field, "{}", fault.message);
        };
        one("", "l", |limit| limit.concurrency = None);
        one("queue", "l", |limit| limit.queue = "a b".into());
        one("queue", "pause:queue/mail", |limit| {
            limit.concurrency = Some(0);
            limit.queue = "bills".into();
        });
        one("concurrency", "pause:queue/mail", |limit| limit.concurrency = Some(3));
        one("concurrency", "pause:queue/mail", |limit| limit.concurrency = None);
        one("per_key", "l", |limit| (limit.per_key, limit.key) = (true, "anna".into()));
        one("until_at_ms", "l", |limit| limit.until_at_ms = NOW);
        one("until_at_ms", "l", |limit| limit.until_at_ms = u64::MAX);
        one("per_ms", "l", |limit| limit.per_ms = 1);
        one("burst", "l", |limit| limit.burst = 1);
        one("rate", "l", |limit| limit.rate = RATE_MAX + 1);
        one("per_ms", "l", |limit| (limit.rate, limit.per_ms) = (1, PER_MS_MAX + 1));
        one("burst", "l", |limit| (limit.rate, limit.burst) = (1, 1_001));
        one("breaker_probes", "l", |limit| limit.breaker_probes = 1);
        one("breaker_failure_permille", "l", |limit| limit.breaker_failure_permille = 1_001);
        one("breaker_open_ms", "l", |limit| {
            (limit.breaker_failure_permille, limit.breaker_open_ms) = (1, OPEN_MS_MAX + 1);
        });
    }
}
