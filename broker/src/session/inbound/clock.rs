//! AdvanceClock: how far the test clock is to go.

use super::super::form::{Checked, at_most, invalid};
use super::Rules;
use windlass_engine::command::AdvanceClock;
use windlass_proto::limits::{ADVANCE_MS_MAX, PATIENCE_MS_MAX};
use windlass_proto::v1;

/// Translates it. Whether there is a test clock is known below.
pub(super) fn advance(advance: v1::AdvanceClock, rules: Rules) -> Checked<AdvanceClock> {
    let v1::AdvanceClock { by_ms, to_at_ms, patience_ms } = advance;
    at_most(by_ms, ADVANCE_MS_MAX, "by_ms")?;
    at_most(patience_ms, PATIENCE_MS_MAX, "patience_ms")?;
    if to_at_ms > 0 {
        if by_ms > 0 {
            return Err(invalid("to_at_ms", "the clock goes by a time or to an instant, not both"));
        }
        if to_at_ms < rules.now_ms {
            let message = format!("it is {} already, and the clock does not go back", rules.now_ms);
            return Err(invalid("to_at_ms", message));
        }
        at_most(to_at_ms, rules.now_ms.saturating_add(ADVANCE_MS_MAX), "to_at_ms")?;
    }
    Ok(AdvanceClock { by_ms, to_at: to_at_ms, patience_ms })
}
