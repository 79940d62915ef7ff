//! Change: an operator's mutations of all jobs that a selector means.
//!
//! ```text
//! Change ─► survey, some thousand jobs a turn ─► few: all of them now, in this turn
//!                                             └► many, or at a pace: an operation (operate)
//! ```
//! The survey counts before anything is changed, so that `matched` is known and a dry run is the same
//! but for its end. A job is looked at again before it is changed: it may be another one by then.

use crate::command::{Change, Code, Mutation, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::Fact;
use crate::frame::Body;
use crate::ids::{Ms, OperationId, Seq};
use crate::ledger::names::Name;
use crate::limits::{
    CHANGE_BYTES_MAX, CHANGE_IDS_MAX, CHANGE_NOW_MAX, OPERATION_BYTES_MAX, OPERATIONS_MAX,
    OPERATIONS_RUNNING_MAX, PAGE_SCAN_MAX, SURVEYS_MAX,
};
use crate::operation::Operation;
use crate::roster::Survey;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Ids shown back as a sample.
pub(super) const SAMPLE_MAX: usize = 10;

impl Engine {
    pub(crate) fn change(&mut self, asker: Asker, change: Change, turn: &mut Turn) {
        if let Err(refusal) = self.check_change(asker, &change) {
            return turn.refuse(asker.from, refusal);
        }
        let survey = Survey {
            asker,
            change: Box::new(change),
            after: None,
            until: self.ledger.seq_next,
            matched: 0,
            fit: 0,
            found: Vec::new(),
        };
        self.survey(survey, asker.now, turn);
    }

    fn check_change(&self, asker: Asker, change: &Change) -> Result<(), Refusal> {
        if change.select.ids.as_ref().is_some_and(|ids| ids.len() > CHANGE_IDS_MAX) {
            let message = format!("a Change names at most {CHANGE_IDS_MAX} ids");
            return Err(Refusal::new(Code::TooLarge, "select.ids", message));
        }
        if change.to.payload_bytes() > 0 && self.pressure.no_enqueue {
            let message = "the store has no room for more payloads now";
            return Err(Refusal::new(Code::Exhausted, "", message).retry_after(250));
        }
        if self.roster.surveys.len() >= SURVEYS_MAX {
            let message = "too many changes are being counted";
            return Err(Refusal::new(Code::Exhausted, "", message).retry_after(1_000));
        }
        let namespace = asker.namespace;
        let (field, new) = match &change.to {
            Mutation::Move(queue) => ("move.queue", Some(Name::Queue(namespace, queue.clone()))),
            Mutation::Patch(patch) => {
                let key = patch.key.as_ref().filter(|key| !key.is_empty());
                ("patch.key", key.map(|key| Name::Key(namespace, key.clone())))
            }
            Mutation::Retry { .. }
            | Mutation::Cancel { .. }
            | Mutation::Delete
            | Mutation::Confirm
            | Mutation::RunAt(_)
            | Mutation::Bury => ("", None),
        };
        self.ledger.names.has_room(new.into_iter()).map_err(|what| {
            Refusal::new(Code::Exhausted, field, format!("the broker knows its maximum of {what} names"))
        })
    }

    /// The oldest survey goes on.
    pub(crate) fn survey_on(&mut self, now: Ms, turn: &mut Turn) {
        if let Some(survey) = self.roster.surveys.pop_front()
            && self.roster.conns.contains_key(&survey.asker.from.conn)
        {
            self.survey(survey, now, turn);
        }
    }

    /// Looks at some more jobs, and concludes after the last.
    fn survey(&mut self, mut survey: Survey, now: Ms, turn: &mut Turn) {
        let (namespace, change) = (survey.asker.namespace, &survey.change);
        let mut is_over = true;
        for (looks, seq) in self.candidates(namespace, &change.select, survey.after, false).enumerate() {
            if seq >= survey.until {
                break;
            }
            if looks == PAGE_SCAN_MAX {
                is_over = false;
                break;
            }
            survey.after = Some(seq);
            let Some(job) = self.selected(namespace, &change.select, seq) else { continue };
            survey.matched += 1;
            if change.to.fits(job) {
                survey.fit += 1;
                if survey.fit <= CHANGE_NOW_MAX {
                    survey.found.push(seq);
                }
            }
        }
        if is_over {
            self.conclude(&survey, now, turn);
        } else {
            self.roster.surveys.push_back(survey);
        }
    }

    /// All jobs are counted: the change is made, or begins, or was only asked about.
    fn conclude(&mut self, survey: &Survey, now: Ms, turn: &mut Turn) {
        let Survey { asker, change, matched, fit, found, .. } = survey;
        let wanted = if change.max == 0 { *fit } else { change.max.min(*fit) };
        let named = found.iter().filter_map(|seq| Some(self.ledger.jobs.get(*seq)?.id));
        let sample: Vec<[u8; 16]> = named.map(|id| id.0).take(SAMPLE_MAX).collect();
        let say = |changed, operation| Body::Changed { matched: *matched, changed, sample, operation };
        if change.dry_run {
            return turn.say(asker.from, say(wanted, None));
        }
        if let Some(id) = change.operation
            && let Some(row) = self.ledger.operations.get(&id)
        {
            return match known(*asker, id, &row.operation) {
                Ok(body) => turn.say(asker.from, body),
                Err(refusal) => turn.refuse(asker.from, refusal),
            };
        }
        let is_paced = change.pace.per_second > 0
            || change.pace.stop_failure_permille > 0
            || matches!(change.to, Mutation::Retry { spread_ms: 1.., .. });
        let bytes = wanted.saturating_mul(change.to.payload_bytes() as u64);
        let in_background = is_paced || wanted > CHANGE_NOW_MAX || bytes > CHANGE_BYTES_MAX;
        let operation = Operation {
            namespace: asker.namespace,
            select: change.select.clone(),
            to: change.to.clone(),
            pace: change.pace,
            max: change.max,
            reason: change.reason.clone(),
            by: self.token_of(asker.session),
            matched: *matched,
            wanted,
            changed: 0,
            cursor: 0,
            until: survey.until,
            started_at: now,
            finished_at: 0,
            stopped_why: String::new(),
        };
        if in_background && wanted > 0 {
            match self.begin(change.operation, operation, now, turn) {
                Ok(id) => {
                    self.audit_change(*asker, change, 0, Some(id), turn);
                    turn.say(asker.from, say(0, Some(id)));
                }
                Err(refusal) => turn.refuse(asker.from, refusal),
            }
            return;
        }
        let most = usize::try_from(wanted).unwrap_or(usize::MAX);
        let changed = self.change_now(survey, found.iter().take(most), now, turn);
        self.audit_change(*asker, change, changed, None, turn);
        if let Some(id) = change.operation {
            self.make_room(turn);
            let done = Operation { changed, finished_at: now, ..briefly(operation) };
            self.decide(turn, Fact::OperationStarted { id, operation: Box::new(done) });
        }
        turn.say(asker.from, say(changed, None));
    }

    fn change_now<'a>(
        &mut self,
        survey: &Survey,
        found: impl Iterator<Item = &'a Seq>,
        now: Ms,
        turn: &mut Turn,
    ) -> u64 {
        let mut changed = 0;
        for &seq in found {
            let job = self.selected(survey.asker.namespace, &survey.change.select, seq);
            if job.is_some_and(|job| survey.change.to.fits(job)) {
                self.mutate(seq, &survey.change.to, now, now, turn);
                changed += 1;
            }
        }
        changed
    }

    /// Begins a change in the background.
    fn begin(
        &mut self,
        id: Option<OperationId>,
        operation: Operation,
        now: Ms,
        turn: &mut Turn,
    ) -> Result<OperationId, Refusal> {
        let id = id.ok_or_else(|| {
            let message = "this change goes on in the background, so it needs an id of 16 bytes";
            Refusal::new(Code::Invalid, "operation", message)
        })?;
        if operation.weight() > OPERATION_BYTES_MAX {
            let field = if operation.to.payload_bytes() > 0 {
                "patch.payload"
            } else if operation.select.ids.is_none() {
                "select.filter"
            } else {
                "select.ids"
            };
            let message =
                "too much to remember for a change in the background; say it shorter, or of fewer jobs";
            return Err(Refusal::new(Code::TooLarge, field, message));
        }
        if self.roster.operations.len() >= OPERATIONS_RUNNING_MAX {
            let message = format!("{OPERATIONS_RUNNING_MAX} changes are under way");
            return Err(Refusal::new(Code::Exhausted, "operation", message).retry_after(5_000));
        }
        self.make_room(turn);
        self.roster.operations.begin(id, &operation, now, &mut self.roster.timers);
        self.decide(turn, Fact::OperationStarted { id, operation: Box::new(operation) });
        Ok(id)
    }

    /// Forgets the change that ended first when there are too many to remember.
    fn make_room(&mut self, turn: &mut Turn) {
        if self.ledger.operations.len() < OPERATIONS_MAX {
            return;
        }
        let ended = self.ledger.operations.iter().filter(|(_, row)| !row.operation.is_running());
        let first = ended.min_by_key(|(_, row)| row.operation.finished_at).map(|(&id, _)| id);
        if let Some(id) = first {
            self.decide(turn, Fact::OperationRemoved { id });
        }
    }
}

/// What is said of a change that was asked for before.
fn known(asker: Asker, id: OperationId, operation: &Operation) -> Result<Body, Refusal> {
    if operation.namespace != asker.namespace {
        return Err(Refusal::new(Code::Invalid, "operation", "another namespace has a change of this id"));
    }
    Ok(Body::Changed {
        matched: operation.matched,
        changed: operation.changed,
        sample: Vec::new(),
        operation: operation.is_running().then_some(id),
    })
}

/// What is remembered of a change that is over: not how it chose or what it wrote.
fn briefly(operation: Operation) -> Operation {
    let to = match operation.to {
        Mutation::Patch(_) => Mutation::Patch(Box::default()),
        Mutation::Cancel { grace_ms, dependents, .. } => {
            Mutation::Cancel { why: String::new(), grace_ms, dependents }
        }
        to @ (Mutation::Retry { .. }
        | Mutation::Delete
        | Mutation::Confirm
        | Mutation::RunAt(_)
        | Mutation::Move(_)
        | Mutation::Bury) => to,
    };
    Operation { select: crate::command::Select::default(), to, ..operation }
}
