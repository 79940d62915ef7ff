//! Operate: changes in the background, a slice at a time, at their pace, until nothing is left or too
//! much has failed again.

use crate::command::{Code, Mutation, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::Fact;
use crate::frame::{Body, Cursor, Rows};
use crate::ids::{Ms, OperationId, Seq};
use crate::limits::{CHANGES_PER_SLICE, PAGE_SCAN_MAX};
use crate::operation::Operation;
use crate::view::OperationView;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

/// Looks at jobs that cost as much as a change.
const LOOKS_PER_CHANGE: usize = 32;

impl Engine {
    /// The next slice of a change. Tells what it cost, in jobs changed.
    pub(crate) fn operate(&mut self, id: OperationId, now: Ms, turn: &mut Turn) -> usize {
        let Some(row) = self.ledger.operations.get(&id) else { return 0 };
        let operation = row.operation.clone();
        let room = match self.roster.operations.fired(id) {
            Ok(room) => room,
            Err((failed, ended)) => {
                let why = format!("{failed} of {ended} failed again");
                self.audit_end(id, now, &why, turn);
                self.end_operation(id, now, why, turn);
                return 1;
            }
        };
        let left =
            if operation.max == 0 { u64::MAX } else { operation.max.saturating_sub(operation.changed) };
        let most = slice(operation.pace.per_second).min(room);
        let (found, looks, cursor) = self.next_jobs(&operation, most.min(left));
        for (changed, &seq) in (operation.changed..).zip(&found) {
            let run_at = spread(&operation, changed).max(now);
            self.mutate(seq, &operation.to, run_at, now, turn);
            self.roster.operations.watch(id, seq);
        }
        let changed = operation.changed + found.len() as u64;
        if changed > operation.changed || cursor.is_some_and(|cursor| cursor > operation.cursor) {
            let cursor = cursor.unwrap_or(operation.cursor).max(operation.cursor);
            self.decide(turn, Fact::OperationMoved { id, cursor, changed });
        }
        if cursor.is_none() || operation.max > 0 && changed >= operation.max {
            self.audit_end(id, now, "", turn);
            self.end_operation(id, now, String::new(), turn);
        } else if room > 0 {
            let at = now.saturating_add(pause(operation.pace.per_second, found.len() as u64));
            self.roster.operations.rearm(id, at, &mut self.roster.timers);
        }
        1 + found.len() + looks / LOOKS_PER_CHANGE
    }

    /// The next jobs to change, at most so many; how many were looked at; and the last of those, or
    /// None when no job is left.
    fn next_jobs(&self, operation: &Operation, most: u64) -> (Vec<Seq>, usize, Option<Seq>) {
        let (mut found, mut looks, mut cursor) = (Vec::new(), 0, Some(operation.cursor));
        let after = Some(operation.cursor);
        let mut rest = self.candidates(operation.namespace, &operation.select, after, false);
        while (found.len() as u64) < most && looks < PAGE_SCAN_MAX {
            let Some(seq) = rest.next().filter(|&seq| seq < operation.until) else {
                return (found, looks, None);
            };
            looks += 1;
            cursor = Some(seq);
            let job = self.selected(operation.namespace, &operation.select, seq);
            if job.is_some_and(|job| operation.to.fits(job)) {
                found.push(seq);
            }
        }
        (found, looks, cursor)
    }

    fn end_operation(&mut self, id: OperationId, now: Ms, why: String, turn: &mut Turn) {
        self.roster.operations.end(id, &mut self.roster.timers);
        self.decide(turn, Fact::OperationEnded { id, at: now, why });
    }

    pub(crate) fn stop_operation(&mut self, asker: Asker, id: OperationId, reason: &str, turn: &mut Turn) {
        let row = self.ledger.operations.get(&id).filter(|row| row.operation.namespace == asker.namespace);
        let Some(row) = row else {
            let refusal = Refusal::new(Code::NotFound, "operation", "no change of this id is known");
            return turn.refuse(asker.from, refusal);
        };
        let (matched, changed) = (row.operation.matched, row.operation.changed);
        if row.operation.is_running() {
            self.end_operation(id, asker.now, "stopped by an operator".into(), turn);
            let target = format!("operation {id}");
            self.audit_stop(asker, target, reason, changed, turn);
        }
        turn.say(asker.from, Body::Changed { matched, changed, sample: Vec::new(), operation: None });
    }

    pub(super) fn operations_page(&self, asker: Asker, after: Option<OperationId>, limit: usize) -> Rows {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.ledger.operations.range((start, Bound::Unbounded));
        let mine = rows.filter(|(_, row)| row.operation.namespace == asker.namespace);
        let mut operations: Vec<OperationView> =
            mine.take(limit + 1).map(|(&id, row)| view(id, &row.operation)).collect();
        let more = operations.len() > limit;
        operations.truncate(limit);
        let cursor = operations.last().filter(|_| more).map(|last| Cursor::Operation(last.id));
        Rows { operations, cursor, ..Rows::default() }
    }
}

/// Jobs changed in one go: at a pace a tenth of a second's share.
fn slice(per_second: u32) -> u64 {
    if per_second == 0 { CHANGES_PER_SLICE } else { u64::from(per_second / 10).clamp(1, CHANGES_PER_SLICE) }
}

/// How long a pace asks to wait after so many changes.
fn pause(per_second: u32, changes: u64) -> Ms {
    if per_second == 0 { 0 } else { (changes * 1_000).div_ceil(per_second.into()) }
}

/// When the next job of a retry runs: the first at once, the last after all of the spread.
fn spread(operation: &Operation, changed: u64) -> Ms {
    let Mutation::Retry { spread_ms, .. } = operation.to else { return 0 };
    let share = u128::from(spread_ms) * u128::from(changed) / u128::from(operation.wanted.max(1));
    operation.started_at.saturating_add(u64::try_from(share).unwrap_or(spread_ms).min(spread_ms))
}

fn view(id: OperationId, operation: &Operation) -> OperationView {
    OperationView {
        id,
        to: operation.to.name(),
        matched: operation.wanted,
        changed: operation.changed,
        started_at: operation.started_at,
        finished_at: operation.finished_at,
        reason: operation.reason.clone(),
        stopped_why: operation.stopped_why.clone(),
        by: operation.by.clone(),
    }
}
