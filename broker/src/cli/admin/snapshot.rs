//! `windlass admin snapshot`: everything there is in one file, while the broker serves.

use super::super::failure::{Failure, Outcome};
use super::super::output::size;
use super::super::store::archived;
use super::{Desk, done};
use crate::vault::NewArchive;
use std::path::Path;

/// Takes one; the file is whole, or not there.
pub(super) async fn run(desk: &Desk, file: &Path) -> Outcome {
    let refuse = |code, text: String| Failure::of_store(code, text);
    let mut archive =
        NewArchive::begin(file).map_err(|error| refuse(error.exit_code(), error.to_string()))?;
    let mut failed = None;
    let taken = desk.admin.snapshot(|piece| {
        archive.write(piece).inspect_err(|error| failed = Some(format!("{}: {error}", file.display())))
    });
    if let Err(error) = taken.await {
        return Err(failed.map_or_else(|| error.into(), Failure::failed));
    }
    let summary = archive.end().map_err(|error| refuse(error.exit_code(), error.to_string()))?;
    let (row, bytes) = archived(file, &summary);
    desk.done(&row, &format!("{} holds everything, {}", file.display(), size(bytes)))?;
    done()
}
