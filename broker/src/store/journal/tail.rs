//! Settling the end of a journal that was just read. It is separate from the judgement because it
//! is the one thing that a start writes to it.
//!
//! What was read need not be on disk: a process that was killed left dirty pages, and after a
//! failed sync Linux marks pages clean that never arrived. So the newest header and the newest
//! record are written once more and synced, then a mark takes the place of what a torn commit left
//! behind them and is synced, too, before anything that depends on it is said. In this order: a mark
//! that reached the disk before its record would make damage of a power cut.

use crate::failpoint;

use super::layout::{PAGE, encode_mark, mark_at, seed};
use super::recovery::Found;
use crate::store::error::StoreError;

/// Makes the newest segment on disk what it was found to be.
pub(super) fn settle(newest: &Found, secret: u32) -> Result<(), StoreError> {
    newest.file.write_at(0, &newest.header.encode())?;
    let start = newest.last_record_at.unwrap_or(newest.end);
    let record_bytes = usize::try_from(newest.end - start).expect("a record fits in memory");
    let page_end = (newest.end + 1).next_multiple_of(PAGE).min(newest.header.segment_bytes);
    let bytes = usize::try_from(page_end - start).expect("a record and a page fit in memory");
    let mut tail = vec![0; bytes];
    newest.file.read_at(start, &mut tail[..record_bytes])?;
    newest.file.write_at(start, &tail)?;
    failpoint::reach("before_tail_sync");
    newest.file.sync()?;
    // A segment without a record stays one that holds nothing.
    if newest.last_record_at.is_some()
        && let Some(at) = mark_at(newest.end, newest.header.segment_bytes)
    {
        let mut mark = Vec::new();
        encode_mark(&mut mark, seed(secret, newest.header.generation), at, newest.last_batch);
        newest.file.write_at(at, &mark)?;
        newest.file.sync()?;
    }
    Ok(())
}
