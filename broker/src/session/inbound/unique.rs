//! Dedup: what makes two jobs one, and what then happens.

use super::Rules;
use crate::session::form::{Checked, at_most, invalid, known, text};
use windlass_engine::command::{Dedup, DedupUntil, OnConflict};
use windlass_proto::limits::{DEDUP_WINDOW_MS_MAX, TEXT_BYTES_MAX};
use windlass_proto::v1::{self, dedup};

/// Checks a Dedup.
pub(super) fn dedup(dedup: v1::Dedup, rules: Rules) -> Checked<Box<Dedup>> {
    let v1::Dedup { key, whole_namespace, until, window_ms, on_conflict } = dedup;
    if key.is_empty() {
        return Err(invalid("key", "a dedup key is required"));
    }
    let key = text(key, TEXT_BYTES_MAX, "key")?;
    let until = self::until(until, at_most(window_ms, DEDUP_WINDOW_MS_MAX, "window_ms")?)?;
    let on_conflict = match known(on_conflict, "on_conflict")? {
        dedup::OnConflict::Unspecified | dedup::OnConflict::KeepOld => OnConflict::KeepOld,
        dedup::OnConflict::Replace => OnConflict::Replace,
        dedup::OnConflict::RunAfter => OnConflict::RunAfter,
        dedup::OnConflict::CancelRunning => OnConflict::CancelRunning,
        dedup::OnConflict::Reject => OnConflict::Reject,
        dedup::OnConflict::Append => OnConflict::Append,
    };
    if (until, on_conflict) == (DedupUntil::Start, OnConflict::RunAfter) {
        let message = "RUN_AFTER waits for a running job, and UNTIL_START frees the key before it runs";
        return Err(invalid("on_conflict", message));
    }
    let payload_bytes_max = u32::try_from(rules.payload_bytes_max).unwrap_or(u32::MAX);
    Ok(Box::new(Dedup { key, whole_namespace, until, on_conflict, payload_bytes_max }))
}

fn until(until: i32, window_ms: u64) -> Checked<DedupUntil> {
    let until = match known(until, "until")? {
        dedup::Until::Unspecified | dedup::Until::Finish => DedupUntil::Finish,
        dedup::Until::Start => DedupUntil::Start,
        dedup::Until::Window if window_ms == 0 => {
            return Err(invalid("window_ms", "UNTIL_WINDOW says how long"));
        }
        dedup::Until::Window => return Ok(DedupUntil::Window(window_ms)),
    };
    if window_ms > 0 {
        return Err(invalid("window_ms", "a window goes with UNTIL_WINDOW"));
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused_at_its_field() {
        let rules = Rules { payload_bytes_max: 100, now_ms: 0 };
        let good = v1::Dedup { key: "k".into(), ..v1::Dedup::default() };
        assert!(dedup(good.clone(), rules).is_ok());
        let (window, start) = (dedup::Until::Window.into(), dedup::Until::Start.into());
        let after = dedup::OnConflict::RunAfter.into();
        for (field, broken) in [
            ("key", v1::Dedup::default()),
            ("key", v1::Dedup { key: "a\n".into(), ..good.clone() }),
            ("until", v1::Dedup { until: 9, ..good.clone() }),
            ("on_conflict", v1::Dedup { on_conflict: 9, ..good.clone() }),
            ("on_conflict", v1::Dedup { until: start, on_conflict: after, ..good.clone() }),
            ("window_ms", v1::Dedup { until: window, ..good.clone() }),
            ("window_ms", v1::Dedup { until: start, window_ms: 1, ..good.clone() }),
            ("window_ms", v1::Dedup { until: window, window_ms: DEDUP_WINDOW_MS_MAX + 1, ..good.clone() }),
        ] {
            let fault = dedup(broken, rules).unwrap_err();
            assert_eq!((fault.field.as_str(), fault.code.name()), (field, "INVALID"));
        }
    }
}
