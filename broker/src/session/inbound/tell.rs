//! Tell: a word to the sessions that are named, or have these labels.

use super::selection::Selection;
use crate::session::form::{Checked, at_most, inside, invalid, known};
use crate::session::hello::labels;
use windlass_engine::command::Tell;
use windlass_engine::order::Order;
use windlass_proto::limits::TELL_WITHIN_MS_MAX;
use windlass_proto::v1::{self, signal::Type};

/// Checks what is told, and to whom. Dry run, bound and reason are the Change's.
pub(super) fn tell(tell: v1::Tell, select: &Selection) -> Checked<Tell> {
    let v1::Tell { r#type, labels, within_ms } = tell;
    let order = order(r#type).map_err(|fault| inside("tell", fault))?;
    let labels = self::labels(labels, "tell.labels")?;
    let within_ms = at_most(within_ms, TELL_WITHIN_MS_MAX, "tell.within_ms")?;
    select.only(&["session", "all"])?;
    if select.is_empty() && labels.is_empty() {
        return Err(invalid("select", "say which sessions: one, those with labels, or `all`"));
    }
    let session = select.session;
    Ok(Tell { session, labels, order, within_ms, dry_run: false, max: 0, reason: String::new() })
}

fn order(kind: i32) -> Checked<Order> {
    match known(kind, "type")? {
        Type::Unspecified => Err(invalid("type", "say what they are told")),
        Type::Quiet => Ok(Order::Quiet),
        Type::Resume => Ok(Order::Resume),
        Type::Terminate => Ok(Order::Terminate),
        Type::Dump => Ok(Order::Dump),
        // These are the broker's own words about a job or a connection.
        Type::Cancel | Type::LeaseLost | Type::Goaway => {
            Err(invalid("type", "sessions are told quiet, resume, terminate or dump"))
        }
    }
}
