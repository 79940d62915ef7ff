//! Failures: in which way jobs fail, how often, and a page of that.

use crate::engine::{Asker, Engine, Turn};
use crate::fact::{Failures, Note};
use crate::fingerprint::{fingerprint, masked};
use crate::frame::Rows;
use crate::ids::{Ms, NameId, Seq};
use crate::ledger::names::Name;
use crate::limits::ERRORS_MAX;
use crate::view::ErrorView;
use alloc::string::String;
use alloc::vec::Vec;

/// What one count of [`Failures::recent`] stands for.
const SPAN_MS: Ms = 1_800_000;
/// How many there are: a day.
const SPANS_MAX: usize = 48;
/// Queues and kinds that are named.
const PLACES_MAX: usize = 16;
/// For failures of more sorts than can be told apart.
const OTHERS: &str = "failures of too many sorts to tell apart";

impl Engine {
    /// A job fails: the way it does is counted, and told.
    pub(crate) fn blame(&mut self, seq: Seq, note: &Note, now: Ms, turn: &mut Turn) -> NameId {
        let Some(job) = self.ledger.jobs.get(seq) else { return 0 };
        let (id, queue, kind) = (job.id, job.queue, job.kind);
        let mut name = Name::Error(job.namespace, note.kind.clone(), masked(&note.message));
        let is_new = self.ledger.names.find(&name).is_none();
        if is_new && self.ledger.names.counts().errors >= ERRORS_MAX {
            name = Name::Error(job.namespace, String::new(), OTHERS.into());
        }
        let error = self.intern(turn, name);
        let known = self.ledger.failures.get(&error).map(|row| &row.failures);
        let failures = self.roster.failures.entry(error).or_insert_with(|| match known {
            Some(known) => known.clone(),
            None => none(now),
        });
        (failures.total, failures.last_at, failures.sample) = (failures.total + 1, now, id);
        let span = u32::try_from(now / SPAN_MS).unwrap_or(u32::MAX);
        match failures.recent.last_mut() {
            Some((last, count)) if *last >= span => *count = count.saturating_add(1),
            Some(_) | None => failures.recent.push((span, 1)),
        }
        if failures.recent.len() > SPANS_MAX {
            failures.recent.remove(0);
        }
        for (places, place) in [(&mut failures.queues, queue), (&mut failures.kinds, kind)] {
            if places.len() < PLACES_MAX && !places.contains(&place) {
                places.push(place);
            }
        }
        error
    }

    /// The ways of failing, the most frequent one first.
    pub(super) fn errors_page(
        &self,
        asker: Asker,
        queue: &str,
        kind: &str,
        window_ms: Ms,
        limit: usize,
    ) -> Rows {
        let names = &self.ledger.names;
        let since = asker.now.saturating_sub(window_ms);
        let is_at = |places: &[NameId], name: &str| {
            name.is_empty() || places.iter().any(|place| names.text(*place) == name)
        };
        let mut errors: Vec<ErrorView> = Vec::new();
        for (&error, row) in &self.ledger.failures {
            let Some(Name::Error(of, class, shape)) = names.get(error) else { continue };
            let failures = &row.failures;
            let is_meant = *of == asker.namespace
                && failures.last_at >= since
                && is_at(&failures.queues, queue)
                && is_at(&failures.kinds, kind);
            if !is_meant {
                continue;
            }
            let texts = |ids: &[NameId]| ids.iter().map(|id| names.text(*id).into()).collect();
            errors.push(ErrorView {
                fingerprint: fingerprint(class, shape),
                kind: class.clone(),
                message: shape.clone(),
                count: count(failures, since),
                dead: self.roster.dead_of.get(&error).copied().unwrap_or(0),
                first_at: failures.first_at,
                last_at: failures.last_at,
                sample: failures.sample,
                queues: texts(&failures.queues),
                kinds: texts(&failures.kinds),
            });
        }
        errors.sort_by_key(|error| (core::cmp::Reverse(error.count), error.fingerprint));
        let total = Some(errors.len() as u64);
        errors.truncate(limit);
        Rows { errors, total, ..Rows::default() }
    }
}

fn none(now: Ms) -> Failures {
    Failures {
        total: 0,
        first_at: now,
        last_at: now,
        recent: Vec::new(),
        sample: crate::ids::JobId::default(),
        queues: Vec::new(),
        kinds: Vec::new(),
    }
}

/// How many failed since then, in whole half hours; all, where that is longer than they are told apart.
fn count(failures: &Failures, since: Ms) -> u64 {
    let first = since / SPAN_MS;
    let is_whole = failures.recent.first().is_none_or(|(oldest, _)| first < u64::from(*oldest));
    if is_whole {
        return failures.total;
    }
    let later = failures.recent.iter().filter(|(span, _)| u64::from(*span) >= first);
    later.map(|(_, count)| u64::from(*count)).sum()
}
