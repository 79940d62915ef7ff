//! Reading a journal that somebody else appends to. It is separate because it holds nothing, judges
//! nothing, and relies on its caller: what it reads is durable, and is not recycled meanwhile.

use super::JournalOptions;
use super::files::{Folder, SegmentFile};
use super::layout::{FirstBlock, HEADER_BYTES, Header};
use super::recovery::Walk;
use crate::store::error::StoreError;
use crate::store::seam::EachRecord;
use std::path::Path;

/// Hands every record from batch `from` to batch `to`, in order.
///
/// # Errors
/// When they are not all there, and whatever `each` returns.
pub fn read_live(
    folder: &Path,
    options: &JournalOptions,
    (from, to): (u64, u64),
    each: EachRecord<'_>,
) -> Result<(), StoreError> {
    let mut headed = Vec::new();
    for file in Folder::new(folder).open_named()? {
        // A file that is being made a segment holds nothing that is asked for.
        if let Some(header) = header_of(&file, options)? {
            headed.push((header, file));
        }
    }
    headed.sort_by_key(|(header, _)| header.generation);
    let begins: Vec<u64> = headed.iter().skip(1).map(|(header, _)| header.first_batch).collect();
    let mut next = from;
    for (place, (header, file)) in headed.iter().enumerate() {
        let is_needed = begins.get(place).is_none_or(|&next| next > from);
        let mut walk = Walk::new(file, header, options.secret);
        while is_needed && walk.expected <= to {
            let Some(record) = walk.next()? else { break };
            next = record.batch + 1;
            if record.batch >= from {
                each(record)?;
            }
        }
    }
    if next > to {
        return Ok(());
    }
    let what = format!("the journal was read to batch {}, and is needed up to batch {to}", next - 1);
    Err(StoreError::Mismatch { what })
}

fn header_of(file: &SegmentFile, options: &JournalOptions) -> Result<Option<Header>, StoreError> {
    let mut block = [0; HEADER_BYTES];
    if file.bytes() < HEADER_BYTES as u64 {
        return Ok(None);
    }
    file.read_at(0, &mut block)?;
    match Header::decode(&block, options.directory, file.path())? {
        FirstBlock::Header(header) => Ok(Some(header)),
        FirstBlock::Unreadable => Ok(None),
    }
}
