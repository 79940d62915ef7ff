//! Reports: what handlers say while they run is shown, told, and written: checkpoints at once and then
//! at a distance, log lines in chunks, progress and notes with them or when the run is over.

use crate::blob::Blob;
use crate::command::{Fields, Telling};
use crate::engine::{Engine, Turn};
use crate::fact::{Fact, Report};
use crate::ids::{Ms, Seq};
use crate::ledger::job::{Job, State};
use crate::limits::{RUNS_BYTES_MAX, SMALL_RESULT_BYTES};
use crate::part::Slot;
use crate::roster::{Run, Unwritten};
use alloc::boxed::Box;

impl Engine {
    /// Takes what a handler says of a run that stands. When a checkpoint waits to be written: until then.
    pub(crate) fn hear(&mut self, seq: Seq, telling: Telling, now: Ms, turn: &mut Turn) -> Option<Ms> {
        let is_tight = self.roster.runs_bytes >= RUNS_BYTES_MAX;
        let job = self.ledger.jobs.get(seq)?;
        let saves = telling.checkpoint.is_some();
        let output = telling.output.clone();
        let run = self.roster.any_run(job)?;
        let before = run.told.weight();
        let is_news = run.told.hear(telling, job.attempt, is_tight);
        let (after, due) = (run.told.weight(), run.told.due(now, is_tight));
        self.roster.runs_bytes = self.roster.runs_bytes + after - before;
        if let Some(at) = due {
            self.roster.flush_by(job, at);
        }
        if is_news {
            self.tell_progress(seq, turn);
        }
        if !output.is_empty() {
            self.tell_output(seq, &output, turn);
        }
        if due.is_some_and(|at| at <= now) {
            self.write_report(seq, now, turn);
            return None;
        }
        due.filter(|_| saves)
    }

    /// Takes what is for the next run from a lease that ends now.
    /// Of a large one the last that was taken is kept instead where the disk is nearly full.
    pub(crate) fn save(&mut self, seq: Seq, checkpoint: Blob) {
        if self.pressure.small_results && checkpoint.len() > SMALL_RESULT_BYTES {
            return;
        }
        let Some(run) = self.ledger.jobs.get(seq).and_then(|job| self.roster.any_run(job)) else { return };
        let before = run.told.weight();
        run.told.save(checkpoint);
        let after = run.told.weight();
        self.roster.runs_bytes = self.roster.runs_bytes + after - before;
    }

    /// Writes what waits.
    pub(crate) fn write_report(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let Some(unwritten) = self.roster.take_unwritten(job, now) else { return };
        self.report(seq, unwritten, turn);
    }

    /// Runs that ended in this decision: what they said last is written with their end.
    pub(crate) fn finish_runs(&mut self, turn: &mut Turn) {
        for (seq, mut run) in core::mem::take(&mut self.roster.ended_runs) {
            let Some(job) = self.ledger.jobs.get(seq) else { continue };
            let mut unwritten = run.told.take(0);
            if job.state == State::Completed {
                // There is no next run.
                unwritten.checkpoint = None;
            }
            self.report(seq, unwritten, turn);
        }
    }

    fn report(&mut self, seq: Seq, unwritten: Unwritten, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let Unwritten { checkpoint, progress, note, logs } = unwritten;
        let known = job.reports().cloned().unwrap_or_default();
        let is_low = self.pressure.small_results;
        let report = Report {
            // It was taken, and whoever brought it waits to hear that it is written.
            checkpoint: checkpoint.map(|bytes| (known.checkpoint + 1, bytes)),
            progress,
            note: note.filter(|_| !is_low).map(|note| (known.note + 1, note)),
            logs: logs.filter(|_| !is_low).map(|(lines, bytes)| (known.logs.next, lines, bytes)),
        };
        if report != Report::default() {
            self.decide(turn, Fact::Reported { seq, report: Box::new(report) });
        }
    }

    /// How far its handler is, as it said last.
    pub(crate) fn progress_of(&self, job: &Job) -> u16 {
        let said = self.run_of(job.seq).and_then(|run| run.told.progress);
        said.or_else(|| job.reports().map(|reports| reports.progress)).unwrap_or(0)
    }

    /// What its handler said last: from memory, or with what else is read.
    pub(crate) fn note_of(&self, job: &Job, fields: Fields) -> Slot {
        let said = self.run_of(job.seq).and_then(|run| run.told.note.as_ref());
        match said {
            Some(note) => Slot::of(&note.as_bytes().into()),
            None if fields.history => job.note(),
            None => Slot::Empty,
        }
    }

    /// What a run that goes on has said.
    pub(crate) fn run_of(&self, seq: Seq) -> Option<&Run> {
        let lease = self.ledger.jobs.get(seq)?.lease.as_ref()?;
        self.roster.sessions.get(&lease.session)?.leases.get(&seq)?.run.as_deref()
    }
}
