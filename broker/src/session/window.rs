//! The requests of a connection that have no last frame yet.
//!
//! It is separate because two rules lean on it: an id is in use until its last frame, and the broker
//! reads on only while there is room.

use std::collections::HashMap;
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

/// All open requests of a connection.
#[derive(Debug)]
pub(super) struct Window {
    open: HashMap<u64, Open>,
    streams: usize,
    most: usize,
}

impl Window {
    /// Room for `most` requests.
    pub(super) fn new(most: u32) -> Self {
        Self { open: HashMap::new(), streams: 0, most: most as usize }
    }

    /// The id belongs to a request without a last frame.
    pub(super) fn holds(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// One more request may come. Streams are free up to what a session may have; a flood of Fetches
    /// is a flood of requests.
    pub(super) fn has_room(&self) -> bool {
        let requests = self.open.len() - self.streams;
        requests + self.streams.saturating_sub(STREAMS_MAX) < self.most
    }

    /// A request goes to the engine.
    pub(super) fn open(&mut self, id: u64, open: Open) {
        self.streams += usize::from(open.is_stream);
        self.open.insert(id, open);
    }

    /// The last frame of a request leaves.
    pub(super) fn close(&mut self, id: u64) -> Open {
        let open = self.open.remove(&id).unwrap_or_default();
        self.streams -= usize::from(open.is_stream);
        open
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
}
