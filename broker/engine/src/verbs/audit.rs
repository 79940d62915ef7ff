//! The audit: what was changed, when, by whom and why, kept for those who ask later. An entry is one fact
//! of the batch that holds the change; what changed nothing leaves none.

use crate::command::{Change, Tell};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::{Audit, Fact};
use crate::frame::{Cursor, Rows};
use crate::ids::{Ms, NameId, OperationId};
use crate::limits::{
    AUDIT_KEEP_MS, AUDIT_TARGET_BYTES_MAX, AUDIT_TEXT_BYTES_MAX, AUDITS_DROPPED, AUDITS_MAX, PAGE_SCAN_MAX,
};
use crate::verbs::outcome::clipped;
use crate::view::AuditView;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What was done, before it is dated and signed.
struct Done<'a> {
    verb: &'a str,
    target: String,
    reason: &'a str,
    changed: u64,
}

impl Engine {
    /// Jobs were changed, or are going to be in the background.
    pub(super) fn audit_change(
        &mut self,
        asker: Asker,
        change: &Change,
        changed: u64,
        operation: Option<OperationId>,
        turn: &mut Turn,
    ) {
        let target = match operation {
            Some(id) => format!("operation {id}: {}", change.target),
            None => change.target.clone(),
        };
        if changed > 0 || operation.is_some() {
            let done = Done { verb: change.to.name(), target, reason: &change.reason, changed };
            self.audited(asker.namespace, self.signed(asker), asker.now, done, turn);
        }
    }

    /// A change in the background has come to its end, or is given up.
    pub(super) fn audit_end(&mut self, id: OperationId, now: Ms, why: &str, turn: &mut Turn) {
        let Some(operation) = self.ledger.operations.get(&id).map(|row| &row.operation) else { return };
        let (namespace, verb) = (operation.namespace, operation.to.name());
        let (changed, target) = (operation.changed, format!("operation {id} ended"));
        let by = (operation.by.clone(), String::new());
        self.audited(namespace, by, now, Done { verb, target, reason: why, changed }, turn);
    }

    /// A change in the background was ended by an operator.
    pub(super) fn audit_stop(
        &mut self,
        asker: Asker,
        target: String,
        reason: &str,
        changed: u64,
        turn: &mut Turn,
    ) {
        let done = Done { verb: "stop", target, reason, changed };
        self.audited(asker.namespace, self.signed(asker), asker.now, done, turn);
    }

    /// Sessions were told something, or will be.
    pub(super) fn audit_tell(&mut self, asker: Asker, tell: &Tell, changed: u64, turn: &mut Turn) {
        let mut target: Vec<String> = tell.session.iter().map(|id| format!("session:{id}")).collect();
        target.extend(tell.labels.iter().map(|(name, value)| format!("label:{name}={value}")));
        let target = if target.is_empty() { "all".into() } else { target.join(" ") };
        if changed > 0 {
            let done = Done { verb: tell.order.name(), target, reason: &tell.reason, changed };
            self.audited(asker.namespace, self.signed(asker), asker.now, done, turn);
        }
    }

    /// Resources were set and removed by the facts of this turn from `first` on.
    pub(super) fn audit_put(&mut self, asker: Asker, reason: &str, first: usize, turn: &mut Turn) {
        let (mut set, mut removed) = (Vec::new(), Vec::new());
        for fact in &turn.facts[first..] {
            if let Fact::ResourceSet { key, .. } = fact {
                set.push(self.resource_name(*key));
            } else if let Fact::ResourceRemoved { key } = fact {
                removed.push(self.resource_name(*key));
            }
        }
        for (verb, names) in [("put", set), ("remove", removed)] {
            if !names.is_empty() {
                let (target, changed) = (listed(&names), names.len() as u64);
                let done = Done { verb, target, reason, changed };
                self.audited(asker.namespace, self.signed(asker), asker.now, done, turn);
            }
        }
    }

    /// Who asks: the name of the token, and the client in words.
    fn signed(&self, asker: Asker) -> (String, String) {
        (self.token_of(asker.session), self.worker(asker.session))
    }

    fn audited(
        &mut self,
        namespace: NameId,
        (by, client): (String, String),
        at: Ms,
        done: Done<'_>,
        turn: &mut Turn,
    ) {
        let Done { verb, target, reason, changed } = done;
        let audit = Audit {
            namespace,
            at,
            by,
            client: clipped(client, AUDIT_TEXT_BYTES_MAX),
            verb: verb.into(),
            target: clipped(target, AUDIT_TARGET_BYTES_MAX),
            reason: clipped(reason.into(), AUDIT_TEXT_BYTES_MAX),
            changed,
        };
        // The last entry is never dropped, so numbers never repeat.
        let number = self.ledger.audits.last_key_value().map_or(1, |(&last, _)| last + 1);
        self.decide(turn, Fact::Audited { number, audit: Box::new(audit) });
        for _ in 0..AUDITS_DROPPED {
            let Some((&first, row)) = self.ledger.audits.first_key_value() else { return };
            let is_old = first < number && is_over(row.audit.at, at);
            if !is_old && self.ledger.audits.len() <= AUDITS_MAX {
                return;
            }
            self.decide(turn, Fact::AuditDropped { number: first });
        }
    }

    pub(super) fn audits_page(
        &self,
        asker: Asker,
        after: Option<u64>,
        limit: usize,
        newest_first: bool,
    ) -> Rows {
        let audits = &self.ledger.audits;
        let mut rows: Box<dyn Iterator<Item = _>> = match (newest_first, after) {
            (true, after) => Box::new(audits.range(..after.unwrap_or(u64::MAX)).rev()),
            (false, after) => Box::new(audits.range(after.map_or(0, |after| after.saturating_add(1))..)),
        };
        let (mut page, mut last) = (Rows::default(), None);
        for (&number, row) in rows.by_ref().take(PAGE_SCAN_MAX) {
            last = Some(number);
            if row.audit.namespace == asker.namespace && !is_over(row.audit.at, asker.now) {
                page.audits.push(AuditView { number, audit: row.audit.clone() });
            }
            if page.audits.len() == limit {
                break;
            }
        }
        page.cursor = last.filter(|_| rows.next().is_some()).map(Cursor::Seq);
        page
    }
}

fn is_over(at: Ms, now: Ms) -> bool {
    at.saturating_add(AUDIT_KEEP_MS) <= now
}

/// The first names, as many as there is room for, and how many more there are.
fn listed(names: &[String]) -> String {
    let mut text = String::new();
    for (place, name) in names.iter().enumerate() {
        let gap = if place > 0 { ", " } else { "" };
        if text.len() + gap.len() + name.len() + 16 > AUDIT_TARGET_BYTES_MAX {
            return format!("{text} and {} more", names.len() - place);
        }
        text = text + gap + name;
    }
    text
}
