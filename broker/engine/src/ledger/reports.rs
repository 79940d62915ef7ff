//! Reports: what the handlers of a job have said while they ran, as far as it is kept. The bytes are
//! parts; here stands which versions of them.

use crate::fact::Report;
use crate::ids::Seq;
use crate::ledger::job::{Job, length};
use crate::limits::{LOG_BYTES_MAX, LOG_LINES_MAX};
use crate::part::{Part, PartKey, Slot};
use serde::{Deserialize, Serialize};

/// What was said, as far as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// Which version of its part is the checkpoint.
    pub checkpoint: u32,
    /// Its bytes; 0 = there is none.
    pub checkpoint_len: u32,
    /// Which version of its part is the note.
    pub note: u32,
    /// Its bytes; 0 = there is none.
    pub note_len: u16,
    /// How far it is, in thousandths.
    pub progress: u16,
    /// The log.
    pub logs: Logs,
}

/// Which parts are the log: an older half, which goes as a whole when the newer one is full, and the
/// newer one. So the last lines are always there, however they came, and nobody counts those of old parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// The first part of the older half.
    pub first: u32,
    /// The first part of the newer half.
    pub middle: u32,
    /// The version of the next part.
    pub next: u32,
    /// Lines of the newer half.
    pub lines: u16,
    /// Bytes of the newer half.
    pub bytes: u32,
}

impl Logs {
    fn add(&mut self, version: u32, lines: u16, bytes: usize) {
        let is_full =
            self.lines.saturating_add(lines) > LOG_LINES_MAX || self.bytes as usize + bytes > LOG_BYTES_MAX;
        if is_full && self.lines > 0 {
            (self.first, self.middle, self.lines, self.bytes) = (self.middle, version, 0, 0);
        }
        self.next = version + 1;
        self.lines = self.lines.saturating_add(lines);
        self.bytes = self.bytes.saturating_add(length(bytes));
    }
}

impl Reports {
    /// Takes what a handler said.
    pub(crate) fn take(&mut self, report: &Report) {
        if let Some((version, bytes)) = &report.checkpoint {
            (self.checkpoint, self.checkpoint_len) = (*version, length(bytes.len()));
        }
        if let Some((version, note)) = &report.note {
            (self.note, self.note_len) = (*version, u16::try_from(note.len()).unwrap_or(u16::MAX));
        }
        if let Some((version, lines, bytes)) = &report.logs {
            self.logs.add(*version, *lines, bytes.len());
        }
        self.progress = report.progress.unwrap_or(self.progress);
    }
}

impl Job {
    /// What its handlers have said; most say nothing.
    #[must_use]
    pub fn reports(&self) -> Option<&Reports> {
        self.plan.as_ref()?.reports.as_deref()
    }

    /// Where the checkpoint lies.
    #[must_use]
    pub fn checkpoint(&self) -> Slot {
        let place = self.reports().map(|reports| (reports.checkpoint, reports.checkpoint_len));
        place.map_or(Slot::Empty, |(version, len)| self.slot(Part::Checkpoint, version, len))
    }

    /// Where the last note of a handler lies.
    #[must_use]
    pub fn note(&self) -> Slot {
        let place = self.reports().map(|reports| (reports.note, reports.note_len.into()));
        place.map_or(Slot::Empty, |(version, len)| self.slot(Part::Note, version, len))
    }

    /// The parts that are what its handlers have said.
    pub(crate) fn report_parts(&self) -> impl Iterator<Item = PartKey> + '_ {
        let logs = self.reports().map(|reports| reports.logs).unwrap_or_default();
        let key = |part, version| PartKey { seq: self.seq, part, version };
        let others = [self.checkpoint(), self.note()];
        let others = others.into_iter().filter_map(|slot| match slot {
            Slot::Part(key) => Some(key),
            Slot::Empty | Slot::Pieces(..) | Slot::Bytes(_) | Slot::Note(_) => None,
        });
        others.chain((logs.first..logs.next).map(move |version| key(Part::Log, version)))
    }

    /// What is kept for the next run is of no use any more.
    pub(crate) fn drop_checkpoint(&mut self) {
        if let Some(reports) = self.plan.as_mut().and_then(|plan| plan.reports.as_mut()) {
            reports.checkpoint_len = 0;
        }
    }

    /// Bytes of the checkpoint.
    #[must_use]
    pub fn checkpoint_len(&self) -> usize {
        self.reports().map_or(0, |reports| reports.checkpoint_len as usize)
    }

    /// Where a part of the log lies.
    #[must_use]
    pub fn log(&self, version: u32) -> PartKey {
        PartKey { seq: self.seq as Seq, part: Part::Log, version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thousand_lines_stay_and_older_ones_go() {
        for lines in [1u16, 7, 100] {
            let mut logs = Logs::default();
            for version in 0..5_000 {
                logs.add(version, lines, 50 * usize::from(lines));
                let kept = u64::from(logs.next - logs.first) * u64::from(lines);
                let ever = u64::from(logs.next) * u64::from(lines);
                assert!(kept >= ever.min(1_000), "{kept} lines of {ever}");
                assert!(kept <= 2 * u64::from(LOG_LINES_MAX), "{kept} lines");
            }
        }
        let mut logs = Logs::default();
        for version in 0..100 {
            logs.add(version, 100, 400_000);
            assert!(logs.next - logs.first <= 2, "{logs:?}");
        }
    }
}
