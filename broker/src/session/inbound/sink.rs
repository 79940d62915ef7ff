//! Sinks: where events are delivered to, and which.

use super::{Rules, selection};
use crate::hooks;
use crate::session::form::{Checked, at, inside, invalid, too_large};
use windlass_engine::event::EventName;
use windlass_engine::sink::Sink;
use windlass_proto::limits::EVENT_NAMES_MAX;
use windlass_proto::v1;

/// Longest address, in bytes.
const URL_BYTES_MAX: usize = 1_024;

/// Deliveries are told apart by what an event itself holds.
const FIELDS: &[&str] = &["queue", "kind", "key", "all"];

/// Checks a sink. Its secret may be absent: then the stored one stays.
pub(super) fn sink(sink: v1::Sink, rules: Rules) -> Checked<Sink> {
    let v1::Sink { url, secret, names, select } = sink;
    if url.len() > URL_BYTES_MAX {
        return Err(too_large("url", format!("an address has at most {URL_BYTES_MAX} bytes")));
    }
    hooks::check_address(&url).map_err(|fault| invalid("url", fault))?;
    if !secret.is_empty() {
        hooks::check_secret(&secret).map_err(|fault| invalid("secret", fault))?;
    }
    if names.len() > EVENT_NAMES_MAX {
        return Err(too_large("names", format!("at most {EVENT_NAMES_MAX} names of events")));
    }
    let names: Checked<Vec<String>> =
        names.iter().enumerate().map(|(index, name)| event(index, name)).collect();
    let (kind, key) =
        select.as_ref().map(|select| (select.kind.clone(), select.key.clone())).unwrap_or_default();
    let queue = match select {
        None => String::new(),
        Some(select) => {
            let chosen =
                selection::selection(Some(select), rules.now_ms).map_err(|fault| inside("select", fault))?;
            chosen.only(FIELDS)?;
            chosen.select.queue
        }
    };
    Ok(Sink { url, secret, former: None, names: names?, queue, kind, key })
}

/// The word of an event that is delivered. A lost worker is a lost session.
fn event(index: usize, name: &str) -> Checked<String> {
    let name = if name == "worker.lost" { EventName::SessionLost.name() } else { name };
    match EventName::find(name) {
        Some(EventName::JobOutput | EventName::JobProgress) => Err(at(
            "names",
            index,
            invalid("", "output and progress are for who watches, not for deliveries"),
        )),
        Some(event) => Ok(event.name().to_owned()),
        None => Err(at("names", index, invalid("", "no event is called so"))),
    }
}
