//! What the handler of a run has said: what is shown while it runs, and what waits to be written.

use crate::blob::Blob;
use crate::command::Telling;
use crate::ids::Ms;
use crate::limits::{CHECKPOINT_EVERY_MS, LOG_CHUNK_BYTES, LOG_CHUNK_LINES, LOG_WAIT_MS, OUTPUT_RING_BYTES};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Said, as far as it is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// In thousandths.
    pub(crate) progress: Option<u16>,
    pub(crate) note: Option<String>,
    /// The two above are not written yet.
    is_unwritten: bool,
    /// Not written yet.
    checkpoint: Option<Blob>,
    /// When the last checkpoint was written; 0 = none was.
    written_at: Ms,
    /// Lines that are not written yet, behind the number of the attempt.
    logs: Vec<u8>,
    lines: u16,
    /// The end of its output.
    output: VecDeque<u8>,
    /// When what waits is written; 0 = nothing waits.
    pub(crate) flush_at: Ms,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    pub(crate) checkpoint: Option<Blob>,
    pub(crate) progress: Option<u16>,
    pub(crate) note: Option<Blob>,
    pub(crate) logs: Option<(u16, Blob)>,
}

impl Told {
    /// Takes what is said now, and tells whether it is news of how far the run is. Where the memory for
    /// all runs is used up (`is_tight`), notes and output are not remembered.
    pub(crate) fn hear(&mut self, telling: Telling, attempt: u32, is_tight: bool) -> bool {
        let Telling { progress, note, lines, logs, checkpoint, output } = telling;
        let note = note.filter(|note| !is_tight && self.note.as_ref() != Some(note));
        let progress = progress.filter(|_| self.progress != progress);
        let is_news = progress.is_some() || note.is_some();
        self.is_unwritten |= is_news;
        self.progress = progress.or(self.progress);
        if note.is_some() {
            self.note = note;
        }
        if lines > 0 {
            if self.logs.is_empty() {
                self.logs.extend_from_slice(&attempt.to_le_bytes());
            }
            self.logs.extend_from_slice(&logs);
            self.lines = self.lines.saturating_add(lines);
        }
        if checkpoint.is_some() {
            self.checkpoint = checkpoint;
        }
        if !is_tight {
            self.output.extend(output.iter());
            let over = self.output.len().saturating_sub(OUTPUT_RING_BYTES);
            self.output.drain(..over);
        }
        is_news
    }

    /// For the next run, instead of what was said before.
    pub(crate) fn save(&mut self, checkpoint: Blob) {
        self.checkpoint = Some(checkpoint);
    }

    /// When what waits has to be written at the latest. A first checkpoint is written at once, further
    /// ones at a distance, so that a hot loop costs a few writes.
    pub(crate) fn due(&self, now: Ms, is_tight: bool) -> Option<Ms> {
        let next = self.written_at.saturating_add(CHECKPOINT_EVERY_MS).max(now);
        let of_checkpoint = self.checkpoint.as_ref().map(|_| next);
        let is_full = is_tight || self.lines >= LOG_CHUNK_LINES || self.logs.len() >= LOG_CHUNK_BYTES;
        let wait_ms = if is_full { 0 } else { LOG_WAIT_MS };
        let of_logs = (self.lines > 0).then(|| now.saturating_add(wait_ms));
        let waiting = Some(self.flush_at).filter(|&at| at > 0);
        of_checkpoint.into_iter().chain(of_logs).chain(waiting).min()
    }

    /// What is to be written now.
    pub(crate) fn take(&mut self, now: Ms) -> Unwritten {
        let is_unwritten = core::mem::take(&mut self.is_unwritten);
        if self.checkpoint.is_some() {
            self.written_at = now;
        }
        let lines = core::mem::take(&mut self.lines);
        let logs = core::mem::take(&mut self.logs);
        Unwritten {
            checkpoint: self.checkpoint.take(),
            progress: self.progress.filter(|_| is_unwritten),
            note: self.note.as_ref().filter(|_| is_unwritten).map(|note| note.as_bytes().into()),
            logs: (lines > 0).then(|| (lines, logs.into())),
        }
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.is_unwritten || self.checkpoint.is_some() || self.lines > 0
    }

    /// Lines that are not written yet.
    pub(crate) fn fresh_logs(&self) -> Option<Blob> {
        (self.lines > 0).then(|| (&*self.logs).into())
    }

    /// The end of its output.
    pub(crate) fn tail(&self) -> Blob {
        let (one, other) = self.output.as_slices();
        [one, other].concat().into()
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The clock was set.
    pub(crate) fn shift(&mut self, moved: impl Fn(Ms) -> Ms) {
        for at in [&mut self.written_at, &mut self.flush_at] {
            *at = if *at > 0 { moved(*at) } else { 0 };
        }
    }

    /// Bytes that it remembers.
    pub(crate) fn weight(&self) -> usize {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |bytes| bytes.len());
        self.note.as_ref().map_or(0, String::len) + checkpoint + self.logs.len() + self.output.len()
    }
}
