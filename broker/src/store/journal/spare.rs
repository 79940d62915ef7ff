//! The next segment, made ready before it is needed. It is separate because it runs on a thread of
//! its own: filling a file with zeros takes far longer than a commit may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use super::files::{Folder, SegmentFile};
use crate::store::error::StoreError;

/// A wish for a spare: of at least so many bytes, from a recycled file if there is one.
struct Wish {
    bytes: u64,
    recycled: Option<SegmentFile>,
}

/// What became of a wish. A recycled file comes back even when it could not grow: it must be
/// reused in its turn, or the journal would show a hole at the next open.
struct Outcome {
    spare: Option<SegmentFile>,
    error: Option<StoreError>,
}

/// Keeps one spare segment ready.
pub(super) struct SpareMaker {
    wishes: Option<Sender<Wish>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    under_way: bool,
    ready: Option<SegmentFile>,
}

impl SpareMaker {
    pub(super) fn start(folder: Folder) -> Result<SpareMaker, StoreError> {
        let (wishes, inbox) = channel::<Wish>();
        let (outbox, outcomes) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let path = folder.path().to_path_buf();
        let thread = std::thread::Builder::new()
            .name("journal-spare".into())
            .spawn({
                let stop = Arc::clone(&stop);
                move || {
                    for wish in inbox {
                        let outcome = fulfil(&folder, wish, &|| stop.load(Ordering::Relaxed));
                        if outbox.send(outcome).is_err() {
                            break;
                        }
                    }
                }
            })
            .map_err(|source| StoreError::io("start the journal's spare thread", &path, source))?;
        Ok(SpareMaker {
            wishes: Some(wishes),
            outcomes,
            thread: Some(thread),
            stop,
            under_way: false,
            ready: None,
        })
    }

    /// Whether nothing is ready and nothing is being made.
    pub(super) fn is_idle(&mut self) -> bool {
        self.poll();
        self.ready.is_none() && !self.under_way
    }

    /// Asks for a spare; only when idle.
    pub(super) fn request(&mut self, bytes: u64, recycled: Option<SegmentFile>) {
        debug_assert!(self.ready.is_none() && !self.under_way);
        match recycled {
            Some(file) if file.bytes() >= bytes => self.ready = Some(file),
            recycled => {
                let wish = Wish { bytes, recycled };
                let wishes = self.wishes.as_ref().expect("the sender is taken only by drop");
                wishes.send(wish).expect("the thread ends only after the sender is dropped");
                self.under_way = true;
            }
        }
    }

    /// The spare, waiting for one that is being made: making a second meanwhile would be slower.
    /// `None` when there is none or making it failed; the caller makes one and sees the error.
    pub(super) fn take(&mut self) -> Option<SegmentFile> {
        if self.ready.is_none()
            && self.under_way
            && let Ok(outcome) = self.outcomes.recv()
        {
            self.receive(outcome);
        }
        self.ready.take()
    }

    /// Bytes and number of what stands ready.
    pub(super) fn ready(&self) -> Option<u64> {
        self.ready.as_ref().map(SegmentFile::bytes)
    }

    fn poll(&mut self) {
        match self.outcomes.try_recv() {
            Ok(outcome) => self.receive(outcome),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }

    fn receive(&mut self, outcome: Outcome) {
        self.under_way = false;
        self.ready = outcome.spare;
        if let Some(error) = outcome.error {
            // Not fatal: there is a segment to write to, and the next request tries again.
            tracing::warn!(%error, "no spare journal segment could be made ready");
        }
    }
}

impl Drop for SpareMaker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported by the panic hook; here is nothing left to do.
            let _ = thread.join();
        }
    }
}

fn fulfil(folder: &Folder, wish: Wish, stop: &dyn Fn() -> bool) -> Outcome {
    match wish.recycled {
        Some(mut file) => {
            let error = file.grow(wish.bytes, stop).err();
            Outcome { spare: Some(file), error }
        }
        None => match folder.make(wish.bytes, stop) {
            Ok(spare) => Outcome { spare, error: None },
            Err(error) => Outcome { spare: None, error: Some(error) },
        },
    }
}
