//! Policies: the same message stands at a job, a kind, a queue and a namespace.

use crate::session::form::{Checked, at, at_most, inside, invalid, known, within};
use windlass_engine::limits::RUN_MS_MAX;
use windlass_engine::policy::{Backoff, Ordering, Policy};
use windlass_proto::limits::{ATTEMPTS_MAX, COST_MAX, CRASHES_MAX, DELAY_MS_MAX, LEASE_MS_MAX, PRIORITY_MAX};
use windlass_proto::v1;
use windlass_proto::v1::backoff::Shape;

const DAY_MS: u64 = 86_400_000;
/// Longest first wait of a backoff.
const BASE_MS_MAX: u64 = 7 * DAY_MS;
/// Longest wait of a backoff.
const WAIT_MS_MAX: u64 = 30 * DAY_MS;
/// Waits in a list.
const LIST_MAX: usize = 64;
/// Ended jobs kept for longer are kept this long: a century.
const KEEP_MS_MAX: u64 = 36_500 * DAY_MS;

/// Checks a policy.
pub(super) fn policy(policy: v1::Policy) -> Checked<Policy> {
    let v1::Policy {
        priority,
        max_attempts,
        backoff,
        max_crashes,
        lease_ms,
        timeout_ms,
        stall_ms,
        ttl_ms,
        keep_done_ms,
        keep_dead_ms,
        keep_done_max,
        cost,
        ordering,
    } = policy;
    let ordering = match ordering.map(|ordering| known(ordering, "ordering")).transpose()? {
        None | Some(v1::Ordering::Unspecified) => None,
        Some(v1::Ordering::Fair) => Some(Ordering::Fair),
        Some(v1::Ordering::Serial) => Some(Ordering::Serial),
        Some(v1::Ordering::SerialSkipFailed) => Some(Ordering::SerialSkipFailed),
    };
    let priority = within(priority, 0..=PRIORITY_MAX, "priority")?;
    let backoff = backoff.map(self::backoff).transpose().map_err(|fault| inside("backoff", fault))?;
    let lease_ms = lease_ms.map(|ms| at_most(ms, LEASE_MS_MAX, "lease_ms")).transpose()?;
    Ok(Policy {
        priority: priority.and_then(|priority| u8::try_from(priority).ok()),
        max_attempts: within(max_attempts, 1..=ATTEMPTS_MAX, "max_attempts")?,
        backoff,
        max_crashes: within(max_crashes, 1..=CRASHES_MAX, "max_crashes")?,
        lease_ms,
        timeout_ms: timeout_ms.map(|ms| at_most(ms, RUN_MS_MAX, "timeout_ms")).transpose()?,
        stall_ms: stall_ms.map(|ms| at_most(ms, RUN_MS_MAX, "stall_ms")).transpose()?,
        ttl_ms: ttl_ms.map(|ms| at_most(ms, DELAY_MS_MAX, "ttl_ms")).transpose()?,
        keep_done_ms: keep_done_ms.map(|ms| ms.min(KEEP_MS_MAX)),
        keep_dead_ms: keep_dead_ms.map(|ms| ms.min(KEEP_MS_MAX)),
        keep_done_max,
        cost: within(cost, 1..=COST_MAX, "cost")?,
        ordering,
    })
}

fn backoff(backoff: v1::Backoff) -> Checked<Backoff> {
    let v1::Backoff { shape, base_ms, factor_permille, max_ms, jitter_permille, list_ms } = backoff;
    let is_fixed = match known(shape, "shape")? {
        Shape::Unspecified | Shape::Exponential => false,
        Shape::Fixed | Shape::List => true,
    };
    let list_ms = listed(list_ms, shape == Shape::List as i32)?;
    let base_ms = match at_most(base_ms, BASE_MS_MAX, "base_ms")? {
        0 => Backoff::DEFAULT.base_ms,
        base_ms => base_ms,
    };
    // A first wait over the default bound says by itself that the bound is higher.
    let max_ms = match at_most(max_ms, WAIT_MS_MAX, "max_ms")? {
        0 => Backoff::DEFAULT.max_ms.max(base_ms),
        max_ms if max_ms < base_ms => return Err(invalid("max_ms", "max_ms is less than base_ms")),
        max_ms => max_ms,
    };
    let factor_permille = match (is_fixed, factor_permille) {
        (true, 0 | 1_000) => 1_000,
        (true, _) => return Err(invalid("factor_permille", "only an exponential backoff has a factor")),
        (false, 0) => Backoff::DEFAULT.factor_permille,
        (false, 1_000..=100_000) => factor_permille,
        (false, _) => {
            let message = format!("{factor_permille} is not within 1000 to 100000");
            return Err(invalid("factor_permille", message));
        }
    };
    let jitter_permille = within(jitter_permille, 0..=1_000, "jitter_permille")?;
    Ok(Backoff {
        base_ms,
        factor_permille,
        max_ms,
        jitter_permille: jitter_permille.unwrap_or(Backoff::DEFAULT.jitter_permille),
        list_ms,
    })
}

/// The waits of a list, which only a list has.
fn listed(list_ms: Vec<u64>, is_list: bool) -> Checked<Vec<u64>> {
    if !is_list && !list_ms.is_empty() {
        return Err(invalid("list_ms", "only a backoff of shape LIST has a list"));
    }
    if is_list && !(1..=LIST_MAX).contains(&list_ms.len()) {
        return Err(invalid("list_ms", format!("a list has 1 to {LIST_MAX} waits, not {}", list_ms.len())));
    }
    for (index, &wait_ms) in list_ms.iter().enumerate() {
        at_most(wait_ms, WAIT_MS_MAX, "").map_err(|fault| at("list_ms", index, fault))?;
    }
    Ok(list_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_asks_the_next_wider_policy() {
        assert_eq!(policy(v1::Policy::default()).unwrap(), Policy::default());
        let unspecified = v1::Policy { ordering: Some(0), ..v1::Policy::default() };
        assert_eq!(policy(unspecified).unwrap(), Policy::default());
        // A 0 is an answer: no limit, whatever wider policies say.
        let zero = v1::Policy { timeout_ms: Some(0), ..v1::Policy::default() };
        assert_eq!(policy(zero).unwrap(), Policy { timeout_ms: Some(0), ..Policy::default() });
    }

    #[test]
    fn a_backoff_takes_the_defaults_that_the_schema_names() {
        assert_eq!(backoff(v1::Backoff::default()).unwrap(), Backoff::DEFAULT);
        let fixed = v1::Backoff { shape: Shape::Fixed.into(), base_ms: 50, ..v1::Backoff::default() };
        assert_eq!(
            backoff(fixed).unwrap(),
            Backoff { base_ms: 50, factor_permille: 1_000, ..Backoff::DEFAULT }
        );
        let slow = v1::Backoff { base_ms: 2 * DAY_MS, ..v1::Backoff::default() };
        assert_eq!(backoff(slow).unwrap().max_ms, 2 * DAY_MS);
    }

    #[test]
    fn every_field_keeps_its_bounds() {
        let bad_backoff = |spoil: fn(&mut v1::Backoff)| {
            let mut backoff = v1::Backoff::default();
            spoil(&mut backoff);
            v1::Policy { backoff: Some(backoff), ..v1::Policy::default() }
        };
        let bad_list = |list_ms| {
            let backoff = v1::Backoff { shape: Shape::List.into(), list_ms, ..v1::Backoff::default() };
            v1::Policy { backoff: Some(backoff), ..v1::Policy::default() }
        };
        let cases = [
            ("priority", v1::Policy { priority: Some(10), ..Default::default() }),
            ("max_attempts", v1::Policy { max_attempts: Some(0), ..Default::default() }),
            ("max_attempts", v1::Policy { max_attempts: Some(10_001), ..Default::default() }),
            ("max_crashes", v1::Policy { max_crashes: Some(0), ..Default::default() }),
            ("lease_ms", v1::Policy { lease_ms: Some(LEASE_MS_MAX + 1), ..Default::default() }),
            ("timeout_ms", v1::Policy { timeout_ms: Some(RUN_MS_MAX + 1), ..Default::default() }),
            ("stall_ms", v1::Policy { stall_ms: Some(RUN_MS_MAX + 1), ..Default::default() }),
            ("cost", v1::Policy { cost: Some(0), ..Default::default() }),
            ("cost", v1::Policy { cost: Some(1_001), ..Default::default() }),
            ("ordering", v1::Policy { ordering: Some(9), ..Default::default() }),
            ("backoff.shape", bad_backoff(|backoff| backoff.shape = 9)),
            ("backoff.base_ms", bad_backoff(|backoff| backoff.base_ms = BASE_MS_MAX + 1)),
            ("backoff.max_ms", bad_backoff(|backoff| backoff.max_ms = WAIT_MS_MAX + 1)),
            ("backoff.max_ms", bad_backoff(|backoff| backoff.max_ms = 4_999)),
            ("backoff.factor_permille", bad_backoff(|backoff| backoff.factor_permille = 999)),
            ("backoff.factor_permille", bad_backoff(|backoff| backoff.factor_permille = 100_001)),
            ("backoff.jitter_permille", bad_backoff(|backoff| backoff.jitter_permille = Some(1_001))),
            ("backoff.list_ms", bad_backoff(|backoff| backoff.list_ms = vec![1])),
            ("backoff.list_ms", bad_backoff(|backoff| backoff.shape = Shape::List.into())),
            ("backoff.list_ms[1]", bad_list(vec![1, WAIT_MS_MAX + 1])),
            ("backoff.list_ms", bad_list(vec![1; 65])),
            ("ttl_ms", v1::Policy { ttl_ms: Some(DELAY_MS_MAX + 1), ..Default::default() }),
        ];
        for (field, broken) in cases {
            let fault = policy(broken).unwrap_err();
            assert_eq!((fault.field.as_str(), fault.code.name()), (field, "INVALID"));
        }
    }
}
