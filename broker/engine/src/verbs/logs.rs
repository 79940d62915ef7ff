//! Logs: pages of the lines that handlers have written, the written ones and those that still wait.

use crate::command::Refusal;
use crate::engine::{Asker, Engine};
use crate::frame::{LogRows, Rows};
use crate::ids::JobId;
use crate::limits::PAGE_CHUNKS_MAX;
use crate::part::Slot;
use crate::verbs::query::rows;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Engine {
    /// The lines of a job from a chunk on, without so many of its first ones.
    pub(super) fn logs_page(
        &self,
        asker: Asker,
        id: JobId,
        after: (u32, u32),
        limit: usize,
    ) -> Result<Rows, Refusal> {
        let job = self.asked_for(asker, id)?;
        let logs = job.reports().map(|reports| reports.logs).unwrap_or_default();
        let fresh = self.run_of(job.seq).and_then(|run| run.told.fresh_logs());
        let (asked, limit) = (after.0.max(logs.first), rows(limit));
        let skip = if asked == after.0 { after.1 } else { 0 };
        // Each chunk has a line at least.
        let most = limit.min(PAGE_CHUNKS_MAX);
        let written = (asked..logs.next).map(|version| (version, Slot::Part(job.log(version))));
        let fresh = fresh.filter(|_| asked <= logs.next).map(|bytes| (logs.next, Slot::Bytes(bytes)));
        let mut chunks: Vec<(u32, Slot)> = written.chain(fresh).take(most + 1).collect();
        let next = if chunks.len() > most { chunks.pop().map(|(version, _)| version) } else { None };
        let page = LogRows { id: Some(job.id), chunks, skip, limit, next };
        Ok(Rows { logs: Some(Box::new(page)), ..Rows::default() })
    }
}
