//! Frames on their way out, and those that may have to go out once more.
//!
//! Requests are encoded where they are made, straight into one buffer, and leave in whole batches. A batch
//! that has left is kept as long as one of its requests is unanswered: after a cut the same bytes go out
//! again, with the same job ids in them, and nothing is encoded twice.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use windlass_proto::frame::write_frame;
use windlass_proto::v1::ClientFrame;

use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct Outbox {
    buffer: BytesMut,
    /// Frames in the buffer that may have to be sent again.
    buffered: usize,
    /// The number that the batch in the buffer will have.
    filling: u64,
    /// By number, so that one request that waits for minutes keeps no batch but its own.
    kept: BTreeMap<u64, Batch>,
}

/// Frames that have left, or were to leave when the connection broke.
#[derive(Debug)]
struct Batch {
    frames: Bytes,
    /// Frames in it that may have to be sent again.
    unanswered: usize,
}

/// Where the frame of an unanswered request is kept.
#[derive(Debug, Clone)]
pub(super) struct Place {
    batch: u64,
    bytes: Range<usize>,
}

impl Place {
    /// Bytes of the frame, with the length before it.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Outbox {
    /// Queues a frame and keeps it until [`Outbox::forget`].
    pub(super) fn push(&mut self, frame: &ClientFrame, limit: usize) -> Result<Place> {
        let bytes = self.write(frame, limit)?;
        self.buffered += 1;
        Ok(Place { batch: self.filling, bytes })
    }

    /// Queues a frame that makes no sense on another connection.
    pub(super) fn push_once(&mut self, frame: &ClientFrame, limit: usize) -> Result<()> {
        self.write(frame, limit).map(drop)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Everything that is queued, in one piece.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        if self.buffer.is_empty() { None } else { Some(self.close_batch()) }
    }

    /// A new connection begins: nothing is queued, and what was queued is only kept.
    pub(super) fn start_over(&mut self) {
        self.close_batch();
    }

    /// Whether the frame has been taken, hence may have reached the broker.
    pub(super) fn has_left(&self, place: &Place) -> bool {
        place.batch < self.filling
    }

    /// Queues a kept frame once more.
    pub(super) fn again(&mut self, place: &mut Place) {
        let frame = self.frame(place);
        self.forget(place);
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&frame);
        self.buffered += 1;
        *place = Place { batch: self.filling, bytes: start..self.buffer.len() };
    }

    /// The bytes of a kept frame, with the length before it.
    pub(super) fn frame(&self, place: &Place) -> Bytes {
        match self.kept.get(&place.batch) {
            Some(batch) => batch.frames.slice(place.bytes.clone()),
            None => Bytes::copy_from_slice(&self.buffer[place.bytes.clone()]),
        }
    }

    /// The request is answered; its frame need not be kept.
    pub(super) fn forget(&mut self, place: &Place) {
        let Some(batch) = self.kept.get_mut(&place.batch) else {
            self.buffered -= 1;
            return;
        };
        batch.unanswered -= 1;
        if batch.unanswered == 0 {
            self.kept.remove(&place.batch);
        }
    }

    fn write(&mut self, frame: &ClientFrame, limit: usize) -> Result<Range<usize>> {
        let start = self.buffer.len();
        write_frame(frame, limit, &mut self.buffer).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(start..self.buffer.len())
    }

    fn close_batch(&mut self) -> Bytes {
        let frames = self.buffer.split().freeze();
        let unanswered = std::mem::take(&mut self.buffered);
        if unanswered > 0 {
            self.kept.insert(self.filling, Batch { frames: frames.clone(), unanswered });
        }
        self.filling += 1;
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use windlass_proto::v1::client_frame::Request;
    use windlass_proto::v1::{Enqueue, JobSpec};

    const LIMIT: usize = 1_000;

    fn request(id: u64) -> ClientFrame {
        let jobs = vec![JobSpec { kind: "k".into(), ..JobSpec::default() }];
        ClientFrame { id, request: Some(Request::Enqueue(Enqueue { jobs, ..Enqueue::default() })) }
    }

    fn ids(mut bytes: &[u8]) -> Vec<u64> {
        let mut ids = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            ids.push(ClientFrame::decode(frame).unwrap().id);
            bytes = rest;
        }
        ids
    }

    #[test]
    fn a_batch_takes_everything_and_is_kept_until_answered() {
        let mut outbox = Outbox::default();
        let one = outbox.push(&request(1), LIMIT).unwrap();
        let two = outbox.push(&request(2), LIMIT).unwrap();
        assert!(!outbox.has_left(&one));
        assert_eq!(ids(&outbox.take().unwrap()), [1, 2]);
        assert!(outbox.has_left(&two));
        assert!(outbox.take().is_none());
        outbox.forget(&one);
        assert_eq!(ids(&outbox.frame(&two)), [2]);
        outbox.forget(&two);
        assert!(outbox.kept.is_empty());
    }

    #[test]
    fn after_a_cut_only_what_is_unanswered_goes_again() {
        let mut outbox = Outbox::default();
        let one = outbox.push(&request(1), LIMIT).unwrap();
        let mut two = outbox.push(&request(2), LIMIT).unwrap();
        outbox.take();
        let mut three = outbox.push(&request(3), LIMIT).unwrap();
        outbox.push_once(&request(4), LIMIT).unwrap();
        outbox.forget(&one);
        outbox.start_over();
        assert!(outbox.is_empty());
        outbox.again(&mut two);
        outbox.again(&mut three);
        assert_eq!(ids(&outbox.take().unwrap()), [2, 3]);
        outbox.forget(&three);
        outbox.forget(&two);
        assert!(outbox.kept.is_empty());
    }

    #[test]
    fn one_slow_request_keeps_no_batch_but_its_own() {
        let mut outbox = Outbox::default();
        let slow = outbox.push(&request(1), LIMIT).unwrap();
        outbox.take();
        for id in 2..100 {
            let quick = outbox.push(&request(id), LIMIT).unwrap();
            outbox.take();
            outbox.forget(&quick);
        }
        assert_eq!(outbox.kept.len(), 1);
        outbox.forget(&slow);
        assert!(outbox.kept.is_empty());
    }

    #[test]
    fn a_frame_over_the_limit_leaves_no_trace() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(&request(1), 3).is_err());
        assert!(outbox.is_empty() && outbox.buffered == 0);
    }
}
