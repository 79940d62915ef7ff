//! Settling the end of a journal that was just read. It is separate from the judgement because it
//! is the one thing that a start writes to it.
//!
//! What was read need not be on disk: a process that was killed left dirty pages, and after a
//! failed sync Linux marks pages clean that never arrived. So the newest header and the newest
//! record are written once more, what a torn commit left behind them is zeroed, and both are
//! synced, before anything that depends on them is said.

use super::layout::PAGE;
use super::recovery::Found;
use crate::store::error::StoreError;

/// Makes the newest segment on disk what it was found to be.
pub(super) fn settle(newest: &Found) -> Result<(), StoreError> {
    newest.file.write_at(0, &newest.header.encode())?;
    let start = newest.last_record_at.unwrap_or(newest.end);
    let record_bytes = usize::try_from(newest.end - start).expect("a record fits in memory");
    let page_end = (newest.end + 1).next_multiple_of(PAGE);
    let end = page_end.min(newest.header.segment_bytes);
    let bytes = usize::try_from(end - start).expect("a record and a page fit in memory");
    let mut tail = vec![0; bytes];
    newest.file.read_at(start, &mut tail[..record_bytes])?;
    newest.file.write_at(start, &tail)?;
    newest.file.sync()?;
    Ok(())
}
