//! Bytes on the wire, written down once: clients in other languages rely on every one of them.
//!
//! The hexadecimal was made by an encoder of its own, not by prost.

use bytes::{Bytes, BytesMut};
use std::fmt::Debug;
use tokio_util::codec::{Decoder, Encoder};
use windlass_proto::frame::{BrokerCodec, ClientCodec, Inbound};
use windlass_proto::limits::FRAME_BYTES_DEFAULT;
use windlass_proto::v1::{
    Beat, ClientFrame, Code, Complete, Deliver, Enqueue, Error, Fetch, Hello, JobSpec, JobTouch, Policy,
    Result, ServerFrame, Settle, Signal, Touch, Welcome, Work, beat, client_frame::Request, fetch,
    result::How, server_frame::Body, signal,
};

const ID: Bytes = Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const FENCE: u64 = 860_000 << 40 | 5;

fn requests() -> Vec<(&'static str, u64, Request)> {
    let job = JobSpec {
        id: ID,
        queue: "mail".into(),
        kind: "send".into(),
        payload: "hi".into(),
        headers: [("a".into(), "b".into())].into(),
        policy: Some(Policy { priority: Some(0), ..Default::default() }),
        ..Default::default()
    };
    let result =
        Result { id: ID, fence: FENCE, how: Some(How::Complete(Complete::default())), ..Default::default() };
    let source = fetch::Source { queue: "mail".into(), weight: 0 };
    let beat = Beat { phase: beat::Phase::Running.into(), busy: 2, ..Default::default() };
    let touch = JobTouch { id: ID, fence: FENCE, extend_ms: Some(30_000), ..Default::default() };
    vec![
        (
            "0000000e0801120a080110012a0470792f31",
            1,
            Request::Hello(Hello { proto_min: 1, proto_max: 1, client: "py/1".into(), ..Default::default() }),
        ),
        (
            "0000003408021a300a2e0a100102030405060708090a0b0c0d0e0f1012046d61696c1a0473656e642202\
             68693a060a01611201627a020800",
            2,
            Request::Enqueue(Enqueue { jobs: vec![job], ..Default::default() }),
        ),
        (
            "000000140803221012060a046d61696c220473656e64280a",
            3,
            Request::Fetch(Fetch {
                sources: vec![source],
                kinds: vec!["send".into()],
                slots: 10,
                ..Default::default()
            }),
        ),
        (
            "0000002408042a200a1e0a100102030405060708090a0b0c0d0e0f1010858080808080d88f0d1a00",
            4,
            Request::Settle(Settle { results: vec![result] }),
        ),
        (
            "0000002d08ac0232280a040801100212200a100102030405060708090a0b0c0d0e0f10108580808080\
             80d88f0d18b0ea01",
            300,
            Request::Touch(Touch { beat: Some(beat), jobs: vec![touch] }),
        ),
    ]
}

fn answers() -> Vec<(&'static str, u64, Body)> {
    let work = Work {
        id: ID,
        fence: FENCE,
        queue: "mail".into(),
        kind: "send".into(),
        payload: "hi".into(),
        attempt: 1,
        ..Default::default()
    };
    vec![
        (
            "0000001e0801121a080112100102030405060708090a0b0c0d0e0f101a0173209875",
            1,
            Body::Welcome(Welcome {
                proto: 1,
                session: ID,
                secret: "s".into(),
                session_ttl_ms: 15_000,
                ..Default::default()
            }),
        ),
        (
            "00000034080352300a2e0a100102030405060708090a0b0c0d0e0f1010858080808080d88f0d22046d61\
             696c2a0473656e643a0268695801",
            3,
            Body::Deliver(Deliver { jobs: vec![work], ..Default::default() }),
        ),
        (
            "00000020621e080112100102030405060708090a0b0c0d0e0f1018858080808080d88f0d",
            0,
            Body::Signal(Signal {
                r#type: signal::Type::Cancel.into(),
                job: ID,
                fence: FENCE,
                ..Default::default()
            }),
        ),
        (
            "0000001108096a0d080212026e6f22056665746368",
            9,
            Body::Error(Error {
                code: Code::Invalid.into(),
                message: "no".into(),
                retry_after_ms: 0,
                field: "fetch".into(),
            }),
        ),
    ]
}

#[test]
fn requests_are_these_bytes() {
    for (hex, id, request) in requests() {
        let frame = ClientFrame { id, request: Some(request) };
        let mut wire = BytesMut::new();
        ClientCodec::new(FRAME_BYTES_DEFAULT).encode(frame.clone(), &mut wire).unwrap();
        assert_eq!(to_hex(&wire), plain(hex));
        let Some(Inbound::Request { frame: read, bytes }) = read_all(broker(), &mut wire) else {
            panic!("refused: {hex}");
        };
        assert_eq!(read, frame);
        assert!(bytes >= hex.len() / 2 - 4);
    }
}

#[test]
fn answers_are_these_bytes() {
    for (hex, id, body) in answers() {
        let frame = ServerFrame { id, body: Some(body) };
        let mut wire = BytesMut::new();
        broker().encode(frame.clone(), &mut wire).unwrap();
        assert_eq!(to_hex(&wire), plain(hex));
        assert_eq!(read_all(ClientCodec::new(FRAME_BYTES_DEFAULT), &mut wire), Some(frame));
    }
}

#[test]
fn frames_may_come_in_any_pieces() {
    let mut wire = Vec::new();
    for (hex, ..) in requests() {
        wire.extend(from_hex(&plain(hex)));
    }
    for piece in 1..wire.len() {
        let (mut codec, mut buffer, mut read) = (broker(), BytesMut::new(), Vec::new());
        for bytes in wire.chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(Inbound::Request { frame, .. }) = codec.decode(&mut buffer).unwrap() {
                read.push(frame.id);
            }
        }
        assert_eq!(read, [1, 2, 3, 4, 300]);
        assert!(codec.decode_eof(&mut buffer).unwrap().is_none());
    }
}

#[test]
fn an_unknown_verb_keeps_its_id() {
    let mut wire = BytesMut::from(&from_hex("0000000608078206010a")[..]);
    wire[3] = 6;
    let Some(Inbound::Request { frame, .. }) = broker().decode(&mut wire).unwrap() else {
        panic!("a verb of the future is no fault of the frame");
    };
    assert_eq!(frame, ClientFrame { id: 7, request: None });
}

#[test]
fn payloads_share_the_buffer_of_their_frame() {
    let hex = plain(requests()[1].0);
    let mut wire = BytesMut::from(&from_hex(&hex)[..]);
    let range = wire.as_ptr_range();
    let Some(Inbound::Request { frame, .. }) = broker().decode(&mut wire).unwrap() else {
        panic!("refused");
    };
    let Some(Request::Enqueue(enqueue)) = frame.request else { panic!("another verb") };
    assert!(range.contains(&enqueue.jobs[0].payload.as_ptr()));
}

fn broker() -> BrokerCodec {
    BrokerCodec::new(FRAME_BYTES_DEFAULT)
}

fn read_all<C: Decoder>(mut codec: C, wire: &mut BytesMut) -> Option<C::Item>
where
    C::Error: Debug,
{
    let item = codec.decode(wire).expect("the bytes are whole");
    assert!(wire.is_empty());
    item
}

fn plain(hex: &str) -> String {
    hex.split_whitespace().collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    digits.map(byte).collect()
}
