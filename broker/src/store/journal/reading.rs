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

/// How much of a damaged journal can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The first batch of the segment that it begins with.
    pub first_batch: u64,
    /// The last batch before the damage, or before the end.
    pub last_batch: u64,
    /// The newest batch that is anywhere in the journal; what lies between cannot be told.
    pub newest: u64,
}

/// Hands every record from batch `from` on, in order, up to the first damage.
///
/// # Errors
/// `Missing` when the journal does not reach back to `from`, and whatever `each` returns.
pub fn read_prefix(
    folder: &Path,
    options: &JournalOptions,
    from: u64,
    each: EachRecord<'_>,
) -> Result<Prefix, StoreError> {
    let mut headed = Vec::new();
    for file in Folder::new(folder).open_named()? {
        if let Some(header) = header_of(&file, options)? {
            headed.push((header, file));
        }
    }
    headed.sort_by_key(|(header, _)| header.generation);
    let Some(start) = headed.iter().rposition(|(header, _)| header.follows < from.max(1)) else {
        let what = format!("batch {from} is needed, and no segment that can be read reaches back to it");
        return Err(StoreError::Missing { path: folder.to_path_buf(), what });
    };
    let first = &headed[start].0;
    let mut prefix = Prefix { first_batch: first.first_batch, last_batch: first.follows, newest: 0 };
    let (mut is_whole, mut generation) = (true, first.generation);
    for (header, file) in &headed[start..] {
        is_whole &= header.generation == generation && header.follows == prefix.last_batch;
        generation += 1;
        let mut walk = Walk::new(file, header, options.secret);
        while let Some(record) = walk.next()? {
            prefix.newest = prefix.newest.max(record.batch);
            if is_whole && record.batch >= from {
                each(record)?;
            }
        }
        if is_whole {
            prefix.last_batch = walk.expected - 1;
        }
        let end = walk.at;
        while let Some((_, batch)) = walk.find_successor_from(end.max(walk.at), u64::MAX)? {
            prefix.newest = prefix.newest.max(batch);
            walk.expected = batch + 1;
        }
    }
    prefix.newest = prefix.newest.max(prefix.last_batch);
    Ok(prefix)
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
