//! The requests of a connection that have no last frame yet.
//!
//! It is separate because two rules lean on it: an id is in use until its last frame, and the broker
//! reads on only while there is room.

use std::collections::VecDeque;
use windlass_engine::command::Refusal;
use windlass_engine::limits::STREAMS_MAX;

/// Results of a Settle that never reach the engine, by their place, in order.
pub(super) type Faults = Vec<(usize, Refusal)>;

/// What is remembered of an open request.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// It stays open until the client closes it, so it does not count.
    pub(super) is_stream: bool,
    /// What its answer says besides that of the engine.
    pub(super) faults: Faults,
}

/// All open requests of a connection, in the order of their ids. Clients are advised to let them rise,
/// and most answers come in order, so both ends are where things happen.
#[derive(Debug)]
pub(super) struct Window {
    open: VecDeque<(u64, Open)>,
    streams: usize,
    most: usize,
}

impl Window {
    /// Room for `most` requests.
    pub(super) fn new(most: u32) -> Self {
        Self { open: VecDeque::new(), streams: 0, most: most as usize }
    }

    /// The id belongs to a request without a last frame.
    pub(super) fn holds(&self, id: u64) -> bool {
        self.place(id).is_ok()
    }

    /// One more request may come. Streams are free up to what a session may have; a flood of Fetches
    /// is a flood of requests.
    pub(super) fn has_room(&self) -> bool {
        let requests = self.open.len() - self.streams;
        requests + self.streams.saturating_sub(STREAMS_MAX) < self.most
    }

    /// A request goes to the engine. Its id is not in use.
    pub(super) fn open(&mut self, id: u64, open: Open) {
        let (Ok(place) | Err(place)) = self.place(id);
        self.streams += usize::from(open.is_stream);
        self.open.insert(place, (id, open));
    }

    /// The last frame of a request leaves.
    pub(super) fn close(&mut self, id: u64) -> Open {
        let closed = self.place(id).ok().and_then(|place| self.open.remove(place));
        let (_, open) = closed.unwrap_or_default();
        self.streams -= usize::from(open.is_stream);
        open
    }

    /// Where the id is, or would be.
    fn place(&self, id: u64) -> Result<usize, usize> {
        match (self.open.front(), self.open.back()) {
            (Some((first, _)), _) if *first == id => Ok(0),
            (_, Some((last, _))) if *last < id => Err(self.open.len()),
            _ => self.open.binary_search_by_key(&id, |(id, _)| *id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_count_unless_they_are_a_flood() {
        let mut window = Window::new(2);
        for id in 1..=STREAMS_MAX as u64 {
            window.open(id, Open { is_stream: true, ..Open::default() });
        }
        window.open(1_000, Open::default());
        assert!(window.has_room());
        window.open(1_001, Open { is_stream: true, ..Open::default() });
        assert!(!window.has_room());
        window.close(1_000);
        assert!(window.has_room() && !window.holds(1_000) && window.holds(1_001));
    }

    #[test]
    fn requests_may_close_in_any_order_and_ids_may_fall() {
        let mut window = Window::new(10);
        for id in [5, 9, 2, 7, 1] {
            window.open(id, Open::default());
        }
        for id in [7, 1, 9] {
            assert!(window.holds(id));
            window.close(id);
            assert!(!window.holds(id));
        }
        assert!(window.holds(2) && window.holds(5) && !window.holds(3));
        window.close(3);
        assert_eq!(window.open.len(), 2);
    }
}
