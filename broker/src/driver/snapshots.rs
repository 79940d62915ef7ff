//! Snapshots: an archive of everything, written by a thread of its own while the broker serves, and
//! handed to the client that asks for it, piece by piece.
//!
//! The thread reads the leaves while folds go on, and then the journal from where the leaves were
//! whole when it began. What it hands over is bounded: it waits until somebody asks for more.

use super::commit::Commit;
use crate::failpoint;
use crate::store::StoreError;
use crate::store::archive::Writer;
use crate::store::journal::{JournalOptions, read_live};
use crate::store::keys;
use crate::store::recovery;
use crate::store::seam::ReadLeaves;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};
use windlass_engine::Blob;
use windlass_engine::command::{Code, Refusal};
use windlass_engine::frame::{Cursor, Rows};

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait to be asked for.
const PIECES_WAITING: usize = 4;
/// A snapshot that nobody asks for is given up after this time: it keeps the journal from being
/// recycled.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a snapshot is taken of.
#[derive(Clone)]
pub struct Source {
    /// The leaves.
    pub leaves: Arc<dyn ReadLeaves>,
    /// The folder of the journal.
    pub journal: PathBuf,
    /// How the journal is read.
    pub options: JournalOptions,
    /// What was committed.
    pub commit: Arc<Commit>,
}

/// The snapshot that is being taken, if one is.
#[derive(Default)]
pub struct Snapshots {
    source: Option<Source>,
    running: Option<Running>,
    taken: u32,
}

struct Running {
    /// Its number, above; below, that of the next piece.
    place: u64,
    pieces: Receiver<Piece>,
    /// The piece before the next: its answer may have been lost.
    last: Blob,
    asked_at: Instant,
}

enum Piece {
    Bytes(Blob),
    End,
    Failed(String),
}

impl Snapshots {
    /// Snapshots of this.
    #[must_use]
    pub fn of(source: Source) -> Self {
        Self { source: Some(source), ..Self::default() }
    }

    /// Gives up a snapshot that nobody asks for.
    pub fn look(&mut self) {
        if self.running.as_ref().is_some_and(|running| running.asked_at.elapsed() > PATIENCE) {
            tracing::warn!("a snapshot is given up: nobody has asked for more of it for a minute");
            self.running = None;
        }
    }

    /// Gives up the snapshot: the disk needs the room that it keeps.
    pub fn give_up(&mut self) {
        self.running = None;
    }

    /// Fills in the piece that was asked for, and where the next one begins.
    ///
    /// # Errors
    /// When there is none to be had; the answer to the client.
    pub fn fill(&mut self, rows: &mut Rows) -> Result<(), Refusal> {
        let Some(row) = &mut rows.export else { return Ok(()) };
        let Some(after) = row.after else {
            let place = self.begin()?;
            rows.cursor = Some(Cursor::Seq(place));
            return Ok(());
        };
        let running = self.running.as_mut().filter(|running| running.place >> 32 == after >> 32);
        let Some(running) = running else {
            return Err(Refusal::new(
                Code::NotFound,
                "cursor",
                "this snapshot was given up; begin a new one",
            ));
        };
        running.asked_at = Instant::now();
        if after + 1 == running.place {
            row.piece = running.last.clone();
        } else if after != running.place {
            return Err(Refusal::new(Code::Invalid, "cursor", "pieces are taken one after the other"));
        } else {
            match running.pieces.try_recv() {
                Ok(Piece::Bytes(bytes)) => {
                    running.place += 1;
                    running.last = bytes.clone();
                    row.piece = bytes;
                }
                Err(TryRecvError::Empty) => {}
                Ok(Piece::End) => {
                    self.running = None;
                    return Ok(());
                }
                Ok(Piece::Failed(message)) => return Err(self.fail(&message)),
                Err(TryRecvError::Disconnected) => return Err(self.fail("its thread has ended")),
            }
        }
        rows.cursor = Some(Cursor::Seq(running.place));
        Ok(())
    }

    fn fail(&mut self, message: &str) -> Refusal {
        self.running = None;
        Refusal::new(Code::NotFound, "cursor", format!("the snapshot could not be taken: {message}"))
    }

    fn begin(&mut self) -> Result<u64, Refusal> {
        let Some(source) = self.source.clone() else {
            return Err(Refusal::new(Code::Unsupported, "what", "there is no disk to take a snapshot of"));
        };
        if self.running.is_some() {
            let message = "another snapshot is being taken; wait for its end";
            return Err(Refusal { retry_after_ms: 5_000, ..Refusal::new(Code::Exhausted, "what", message) });
        }
        self.taken += 1;
        let place = u64::from(self.taken) << 32;
        let (pieces, taken) = sync_channel(PIECES_WAITING);
        let work = move || {
            let mut out = Pieces { pieces, bytes: Vec::new() };
            let end = match write(&source, &mut out) {
                Ok(()) => Piece::End,
                Err(error) => Piece::Failed(error.to_string()),
            };
            let _nobody_waits_for_it_any_more = out.pieces.send(end);
        };
        if let Err(error) = std::thread::Builder::new().name("snapshot".into()).spawn(work) {
            return Err(self.fail(&error.to_string()));
        }
        let (last, asked_at) = (Blob::default(), Instant::now());
        self.running = Some(Running { place, pieces: taken, last, asked_at });
        Ok(place)
    }
}

/// Hands on what is written, in pieces; waits while too many are untaken.
struct Pieces {
    pieces: SyncSender<Piece>,
    bytes: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let piece = Piece::Bytes(std::mem::take(&mut self.bytes).into());
        self.pieces.send(piece).map_err(|_given_up| io::ErrorKind::BrokenPipe.into())
    }
}

/// Everything that was durable before, and maybe more.
fn write(source: &Source, out: &mut Pieces) -> Result<(), StoreError> {
    let refuse = |error| StoreError::io("hand over the snapshot", &source.journal, error);
    // Before Meta is read: what it says of the journal is there until the end.
    let _hold = source.commit.hold();
    let begin = recovery::load_meta(&*source.leaves)?;
    let mut writer = Writer::begin(out, source.options.directory).map_err(refuse)?;
    for class in keys::CLASSES {
        source.leaves.scan(class, &mut |key, value| writer.entry(key, value).map_err(refuse))?;
    }
    failpoint::reach("during_snapshot");
    let end = recovery::load_meta(&*source.leaves)?;
    // The leaves never know more than the journal: this is at or above all that was read of them.
    let last = source.commit.durable();
    let each = &mut |record: crate::store::seam::Record<'_>| writer.batch(record).map_err(refuse);
    read_live(&source.journal, &source.options, (begin.replay_from, last), each)?;
    writer.end(begin.replay_from, last, end).map_err(refuse)?;
    Ok(())
}
