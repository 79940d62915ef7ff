//! The fold thread: writes slices into the leaves once the journal holds what they show.

use super::commit::Commit;
use crate::door::{Door, Notice};
use crate::store::StoreError;
use crate::store::fold::{Folder, Slice};
use crate::store::seam::Leaves;
use std::sync::mpsc::Receiver;

/// Runs until the driver hangs up.
///
/// # Errors
/// Any is fatal.
pub fn run<L: Leaves>(
    mut folder: Folder<L>,
    slices: &Receiver<Slice>,
    commit: &Commit,
    door: &Door,
) -> Result<Folder<L>, StoreError> {
    while let Ok(slice) = slices.recv() {
        if !commit.wait_durable(slice.to) {
            break;
        }
        if folder.write(slice)?.is_some() {
            door.notify(Notice::Folded);
        }
    }
    Ok(folder)
}
