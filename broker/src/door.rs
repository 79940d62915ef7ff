//! The door to the driver: bounded lanes of commands inwards, outboxes of frames outwards.
//!
//! It is separate because both sides of it are strangers: sockets live on the runtime's threads,
//! the driver on its own.

use crate::limits::{COMMAND_BYTES_PER_TURN, COMMANDS_PER_TURN, OUTBOX_CHOKE_BYTES, QUIET_BYTES, TURN_BYTES};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use windlass_engine::frame::{Body, Work};
use windlass_engine::part::Slot;
use windlass_engine::view::JobView;
use windlass_engine::{Command, ConnId, Frame, Request};

/// Both sides of the driver's loop share it.
#[derive(Clone, Default)]
pub struct Door {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    bytes: AtomicUsize,
    conns: AtomicU64,
    is_deaf: AtomicBool,
    /// Bytes that connections have read and not yet understood.
    arrived: AtomicUsize,
    /// Weight of frames decided and not yet written to their sockets.
    outgoing: Arc<AtomicUsize>,
    /// Requests that were refused before they came to the driver.
    turned_away: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Default)]
struct Inbox {
    lanes: HashMap<ConnId, Lane>,
    /// Connections that were quiet and have sent little, in the order they are served.
    fresh: VecDeque<ConnId>,
    /// Connections that send more than their share, in the order they are served.
    ready: VecDeque<ConnId>,
    notices: Vec<Notice>,
    is_driver_parked: bool,
}

struct Lane {
    commands: VecDeque<(Request, Command, usize)>,
    outbox: Arc<Outbox>,
    is_closing: bool,
}

/// What the broker's own threads tell the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A fold is complete and synced.
    Folded,
    /// What the disk has room for has changed.
    Disk(windlass_engine::engine::Pressure),
    /// Somebody waits for what is measured.
    Measure,
    /// Stop taking new work, tell everybody, end.
    Drain,
}

/// What a turn works on.
#[derive(Default)]
pub struct Taken {
    /// Commands, fair between connections, in order within one.
    pub commands: Vec<(Request, Command)>,
    /// Connections that have sent something, taken yet or not.
    pub signs: Vec<ConnId>,
    /// From the broker's own threads.
    pub notices: Vec<Notice>,
    /// Where answers to these connections go.
    pub opened: Vec<(ConnId, Arc<Outbox>)>,
}

impl Door {
    /// A new connection's line to the driver.
    #[must_use]
    pub fn open(&self) -> Line {
        let conn = self.shared.conns.fetch_add(1, Ordering::Relaxed) + 1;
        let outbox = Arc::new(Outbox::new(conn, self.shared.outgoing.clone()));
        let lane = Lane { commands: VecDeque::new(), outbox: outbox.clone(), is_closing: false };
        self.inbox().lanes.insert(conn, lane);
        Line { door: self.clone(), conn, outbox, arrived: 0 }
    }

    /// Bytes of commands that wait for the driver.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that all connections together have read and not yet understood.
    #[must_use]
    pub fn arrived_bytes(&self) -> usize {
        self.shared.arrived.load(Ordering::Relaxed)
    }

    /// Weight of all frames that are decided and not yet written.
    #[must_use]
    pub fn outgoing_bytes(&self) -> usize {
        self.shared.outgoing.load(Ordering::Relaxed)
    }

    /// Requests that were refused before they came to the driver, since the start, by code.
    #[must_use]
    pub fn turned_away(&self) -> BTreeMap<&'static str, u64> {
        self.shared.turned_away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody is read while so much waits to be folded. Connections look again by themselves.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.shared.is_deaf.store(is_deaf, Ordering::Relaxed);
    }

    /// Whether the driver wants nothing more for now.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.shared.is_deaf.load(Ordering::Relaxed)
    }

    /// Tells the driver something.
    pub fn notify(&self, notice: Notice) {
        let mut inbox = self.inbox();
        inbox.notices.push(notice);
        self.wake(inbox);
    }

    /// Takes what waits; sleeps until `deadline` (None = for ever) when nothing does.
    pub fn take(&self, deadline: Option<Instant>, taken: &mut Taken) {
        let mut inbox = self.inbox();
        while inbox.is_idle() {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            inbox.is_driver_parked = true;
            inbox = match left {
                Some(left) => {
                    let waited = self.shared.wake.wait_timeout(inbox, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.wake.wait(inbox).unwrap_or_else(PoisonError::into_inner),
            };
            inbox.is_driver_parked = false;
        }
        let bytes = inbox.drain(taken);
        drop(inbox);
        self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn push(&self, conn: ConnId, commands: impl Iterator<Item = (u64, Command, usize)>) {
        let mut inbox = self.inbox();
        let Some(lane) = inbox.lanes.get_mut(&conn) else { return };
        let was_empty = lane.commands.is_empty();
        let mut bytes = 0;
        for (id, command, size) in commands {
            bytes += size;
            lane.is_closing |= matches!(command, Command::Hangup);
            lane.commands.push_back((Request { conn, id }, command, size));
        }
        lane.outbox.waiting.fetch_add(bytes, Ordering::Relaxed);
        if was_empty && !lane.commands.is_empty() {
            let queue = if bytes <= QUIET_BYTES { &mut inbox.fresh } else { &mut inbox.ready };
            queue.push_back(conn);
        }
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.wake(inbox);
    }

    fn wake(&self, mut inbox: MutexGuard<'_, Inbox>) {
        let was_parked = std::mem::take(&mut inbox.is_driver_parked);
        drop(inbox);
        if was_parked {
            self.shared.wake.notify_one();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn is_idle(&self) -> bool {
        self.fresh.is_empty() && self.ready.is_empty() && self.notices.is_empty()
    }

    /// One round over the connections that have sent something: a share from each, as far as the
    /// turn's bytes go. Who was quiet and who sends more than his share take turns, so that however many
    /// send without end, a quiet one is heard at once. Returns the bytes taken.
    fn drain(&mut self, taken: &mut Taken) -> usize {
        taken.notices.append(&mut self.notices);
        taken.signs.extend(self.fresh.iter().chain(&self.ready).copied());
        let (mut fresh, mut ready) = (self.fresh.len(), self.ready.len());
        let fresh_share = (TURN_BYTES / 2 / fresh.max(1)).clamp(QUIET_BYTES, COMMAND_BYTES_PER_TURN);
        let (mut total, mut is_fresh) = (0, false);
        while fresh + ready > 0 && total < TURN_BYTES {
            is_fresh = ready == 0 || fresh > 0 && !is_fresh;
            let (queue, left) =
                if is_fresh { (&mut self.fresh, &mut fresh) } else { (&mut self.ready, &mut ready) };
            *left -= 1;
            let Some(conn) = queue.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&conn) else { continue };
            let mut share = 0;
            for _ in 0..COMMANDS_PER_TURN {
                let Some((request, command, bytes)) = lane.commands.pop_front() else { break };
                share += bytes;
                taken.commands.push((request, command));
                if share >= if is_fresh { fresh_share } else { COMMAND_BYTES_PER_TURN } {
                    break;
                }
            }
            total += share;
            lane.outbox.waiting.fetch_sub(share, Ordering::Relaxed);
            if lane.outbox.is_new.swap(false, Ordering::Relaxed) {
                taken.opened.push((conn, lane.outbox.clone()));
            }
            if !lane.commands.is_empty() {
                self.ready.push_back(conn);
            } else if lane.is_closing {
                self.lanes.remove(&conn);
            }
        }
        total
    }
}

/// A connection's side of the door. Dropping it is the hang-up.
pub struct Line {
    door: Door,
    conn: ConnId,
    outbox: Arc<Outbox>,
    arrived: usize,
}

impl Line {
    /// The connection's number.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Hands commands to the driver: request id, command, bytes of its frame. Never blocks; the
    /// caller keeps its window.
    pub fn send(&self, commands: impl IntoIterator<Item = (u64, Command, usize)>) {
        self.door.push(self.conn, commands.into_iter());
    }

    /// The session is not silent, though no whole command came.
    pub fn sign(&self) {
        self.send([(0, Command::Sign, 0)]);
    }

    /// A request was refused before it came to the driver.
    pub fn turn_away(&self, code: &'static str) {
        let mut numbers = self.door.shared.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        *numbers.entry(code).or_default() += 1;
    }

    /// Where the answers come.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// So many bytes of this connection are read and not yet understood.
    pub fn arrived(&mut self, bytes: usize) {
        let shared = &self.door.shared.arrived;
        shared.fetch_add(bytes, Ordering::Relaxed);
        shared.fetch_sub(std::mem::replace(&mut self.arrived, bytes), Ordering::Relaxed);
    }

    /// Bytes of this connection's commands that the driver has not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.arrived(0);
        self.outbox.close();
        self.send([(0, Command::Hangup, 0)]);
    }
}

/// Frames on their way to one peer.
pub struct Outbox {
    conn: ConnId,
    frames: Mutex<Vec<Frame>>,
    ready: Notify,
    /// Weight of frames decided and not yet written to the socket.
    queued: AtomicUsize,
    /// The same of all connections together.
    outgoing: Arc<AtomicUsize>,
    /// Bytes of commands not yet taken by the driver.
    waiting: AtomicUsize,
    is_new: AtomicBool,
    is_closed: AtomicBool,
    is_choked: AtomicBool,
}

impl Outbox {
    fn new(conn: ConnId, outgoing: Arc<AtomicUsize>) -> Self {
        Self {
            conn,
            frames: Mutex::default(),
            ready: Notify::new(),
            queued: AtomicUsize::new(0),
            outgoing,
            waiting: AtomicUsize::new(0),
            is_new: AtomicBool::new(true),
            is_closed: AtomicBool::new(false),
            is_choked: AtomicBool::new(false),
        }
    }

    /// The connection's number.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// The driver decided a frame of this weight. True = the peer has enough unread.
    pub fn reserve(&self, weight: usize) -> bool {
        let queued = self.queued.fetch_add(weight, Ordering::Relaxed) + weight;
        self.outgoing.fetch_add(weight, Ordering::Relaxed);
        queued > OUTBOX_CHOKE_BYTES && !self.is_choked.swap(true, Ordering::Relaxed)
    }

    /// Releases frames whose batch is durable. Takes them out of the vector.
    pub fn release(&self, frames: &mut Vec<Frame>) {
        if self.is_closed.load(Ordering::Relaxed) {
            frames.clear();
            return;
        }
        let mut queue = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.is_empty();
        queue.append(frames);
        drop(queue);
        if was_empty {
            self.ready.notify_one();
        }
    }

    /// Waits for frames and takes all of them.
    pub async fn frames(&self) -> Vec<Frame> {
        loop {
            let frames = self.try_frames();
            if !frames.is_empty() {
                return frames;
            }
            self.ready.notified().await;
        }
    }

    /// Takes the frames that are there.
    #[must_use]
    pub fn try_frames(&self) -> Vec<Frame> {
        std::mem::take(&mut *self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The socket took frames of this weight. True = the peer was choked and may get jobs again:
    /// the caller sends [`Command::Unchoke`].
    #[must_use]
    pub fn written(&self, weight: usize) -> bool {
        let queued = self.queued.fetch_sub(weight, Ordering::Relaxed) - weight;
        self.outgoing.fetch_sub(weight, Ordering::Relaxed);
        queued <= OUTBOX_CHOKE_BYTES / 2 && self.is_choked.swap(false, Ordering::Relaxed)
    }

    /// Weight of what is decided and not yet written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.outgoing.fetch_sub(self.queued_bytes(), Ordering::Relaxed);
    }
}

/// About how many bytes a frame takes, in memory and on the wire.
#[must_use]
pub fn weight(frame: &Frame) -> usize {
    let slot = |slot: &Slot| match slot {
        Slot::Bytes(bytes) => bytes.len(),
        Slot::Note(note) => note.weight(),
        Slot::Empty | Slot::Part(_) | Slot::Pieces(..) => 0,
    };
    64 + match &frame.body {
        Body::Deliver { works, .. } => {
            let run = |work: &Work| work.run.as_ref().map_or(0, |run| slot(&run.checkpoint));
            works.iter().map(|work| 200 + slot(&work.payload) + slot(&work.headers) + run(work)).sum()
        }
        Body::Rows(rows) => {
            let parts = |job: &JobView| -> usize {
                [&job.payload, &job.headers, &job.result].into_iter().chain(&job.history).map(slot).sum()
            };
            let others = rows.queues.len() + rows.sessions.len() + rows.kinds.len() + rows.scales.len() + 1;
            let series = rows.series.iter().map(|row| 100 + 8 * row.values.len());
            let logs = rows.logs.iter().flat_map(|logs| &logs.chunks).map(|(_, chunk)| slot(chunk));
            let jobs = rows.jobs.iter().map(|job| 400 + parts(job));
            let export = rows.export.as_ref().map_or(0, |row| row.piece.len());
            export + jobs.sum::<usize>() + logs.sum::<usize>() + series.sum::<usize>() + 400 * others
        }
        Body::Enqueued(ones) => ones.iter().map(|one| 64 + slot(&one.result)).sum(),
        Body::Event { event, data, .. } => {
            128 + event.as_ref().map_or(0, |event| event.note.len()) + slot(data)
        }
        Body::Settled(ones) => 16 * ones.len(),
        Body::Touched(ones) => 32 * ones.len(),
        Body::Stored(ones) => 32 * ones.len(),
        Body::Welcome(_)
        | Body::Changed { .. }
        | Body::Closed
        | Body::ClockAdvanced { .. }
        | Body::Signal(_)
        | Body::Error(_)
        | Body::Cut => 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_on_one_line_does_not_keep_another_out_of_the_turn() {
        let door = Door::default();
        let (flood, quiet) = (door.open(), door.open());
        flood.send((0..10_000).map(|id| (id, Command::Sign, 0)));
        quiet.send([(7, Command::Sign, 0)]);
        let mut taken = Taken::default();
        door.take(None, &mut taken);
        assert_eq!(taken.commands.len(), COMMANDS_PER_TURN + 1);
        assert!(taken.commands.iter().any(|(request, _)| request.conn == quiet.conn()));
    }

    #[test]
    fn a_dropped_line_hangs_up_behind_its_last_command() {
        let door = Door::default();
        let line = door.open();
        line.send([(1, Command::Sign, 0)]);
        drop(line);
        let mut taken = Taken::default();
        door.take(None, &mut taken);
        assert!(matches!(taken.commands.last(), Some((_, Command::Hangup))));
        assert!(door.inbox().lanes.is_empty());
    }
}
