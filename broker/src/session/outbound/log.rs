//! Log: the lines that handlers wrote, out of the chunks in which they are kept.

use super::super::passive;
use super::bytes;
use super::work::filled;
use bytes::Buf;
use windlass_engine::frame::{Cursor, LogRows};
use windlass_proto::v1::LogView;

/// The lines of a page, and where the next one begins.
pub(super) fn lines(page: LogRows) -> (Vec<LogView>, Option<Cursor>) {
    let LogRows { id, chunks, mut skip, limit, next } = page;
    let job = id.map(bytes).unwrap_or_default();
    let mut lines = Vec::new();
    for (version, chunk) in chunks {
        let mut chunk = filled(chunk);
        // Behind the number of the attempt stand its lines.
        let attempt = if chunk.len() > 4 { chunk.get_u32_le() } else { continue };
        let mut place = 0;
        while let Some(line) = passive::unpack_line(&mut chunk) {
            if place >= skip {
                if lines.len() == limit {
                    return (lines, Some(Cursor::Log(version, place)));
                }
                lines.push(LogView { job: job.clone(), attempt, line: Some(line) });
            }
            place += 1;
        }
        skip = 0;
    }
    (lines, next.map(|version| Cursor::Log(version, 0)))
}
