//! The codecs of both sides, fed in pieces.

use bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;
use windlass_proto::frame::{BrokerCodec, ClientCodec, Inbound, write_frame};

/// Longest frame here: the lengths that a frame claims are compared with it.
const LIMIT: usize = 64 << 10;

/// A stream of bytes, whose first byte says in which pieces it comes, as both sides read it.
pub fn frame(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let size = usize::from(size).max(1);
    let requests = decode(&mut BrokerCodec::new(LIMIT), stream, size);
    for request in requests.into_iter().filter_map(request) {
        assert_eq!(
            again(&mut BrokerCodec::new(LIMIT), &request).and_then(self::request).as_ref(),
            Some(&request)
        );
    }
    for answer in decode(&mut ClientCodec::new(LIMIT), stream, size) {
        assert_eq!(again(&mut ClientCodec::new(LIMIT), &answer).as_ref(), Some(&answer));
    }
}

fn request(inbound: Inbound) -> Option<windlass_proto::v1::ClientFrame> {
    match inbound {
        Inbound::Request { frame, .. } => Some(frame),
        Inbound::Refused(refusal) => {
            assert!(!refusal.message.is_empty(), "a refusal says why");
            None
        }
    }
}

fn decode<C: Decoder>(codec: &mut C, mut stream: &[u8], size: usize) -> Vec<C::Item> {
    let (mut arrived, mut items) = (BytesMut::new(), Vec::new());
    while stream.has_remaining() {
        let piece = size.min(stream.len());
        arrived.extend_from_slice(&stream[..piece]);
        stream.advance(piece);
        loop {
            match codec.decode(&mut arrived) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(_) => return items,
            }
            assert!(items.len() <= 64 << 10, "an item without bytes");
        }
        assert!(
            arrived.capacity() <= 4 * LIMIT + 2 * size,
            "room is made for what came, not for what is claimed"
        );
    }
    items
}

/// What was understood is written, and understood again. What got longer by it need not fit.
fn again<C: Decoder>(codec: &mut C, item: &impl prost::Message) -> Option<C::Item> {
    let mut bytes = BytesMut::new();
    write_frame(item, 4 * LIMIT, &mut bytes).expect("it came in a frame");
    codec.decode(&mut bytes).ok().flatten()
}
