//! Whatever bytes come, the codec answers with a frame, a refusal or an error: it never panics.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tokio_util::codec::{Decoder, Encoder};
use windlass_proto::frame::{BrokerCodec, ClientCodec, FrameError, Inbound};
use windlass_proto::limits::{FRAME_BYTES_DEFAULT, HELLO_BYTES_MAX};
use windlass_proto::v1::{
    ClientFrame, Code, Enqueue, Hello, JobSpec, Put, Resource, Schedule, ServerFrame, Settle,
    client_frame::Request, hello, resource::What, server_frame::Body,
};

#[test]
fn a_frame_cut_anywhere_waits_or_says_so() {
    let whole = rich_frame();
    for end in 0..whole.len() {
        let mut wire = BytesMut::from(&whole[..end]);
        assert!(broker().decode(&mut wire).unwrap().is_none(), "cut at {end}");
        match broker().decode_eof(&mut wire) {
            Ok(None) => assert_eq!(end, 0),
            Err(FrameError::CutShort) => assert!(end > 0),
            other => panic!("cut at {end}: {other:?}"),
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_refused_or_read() {
    let whole = rich_frame();
    for end in 4..whole.len() {
        let mut wire = framed(&whole[4..end]);
        let _outcome = broker().decode(&mut wire);
        assert!(wire.is_empty(), "a whole frame is always taken off");
    }
}

#[test]
fn any_changed_byte_is_survived() {
    let whole = rich_frame();
    for place in 4..whole.len() {
        for change in [0x01, 0x80, 0xff, 0x07] {
            let mut message = whole[4..].to_vec();
            message[place - 4] ^= change;
            let _outcome = broker().decode(&mut framed(&message));
            let _outcome = client().decode(&mut framed(&message));
        }
    }
}

#[test]
fn random_bytes_are_survived() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000 {
        let len = usize::try_from(next(&mut random) % 200).unwrap();
        let message: Vec<u8> = (0..len).map(|_| next(&mut random).to_le_bytes()[0]).collect();
        let mut wire = if round % 2 == 0 { framed(&message) } else { BytesMut::from(&message[..]) };
        let _outcome = broker().decode(&mut wire.clone());
        let _outcome = client().decode(&mut wire);
        assert!(wire.capacity() <= 128 * 1024, "a header must not make the buffer grow");
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    let mut wire = BytesMut::from(&[0xff; 4][..]);
    let before = wire.capacity();
    let error = broker().decode(&mut wire).unwrap_err();
    assert_eq!(error.to_string(), "a frame of 4294967295 bytes is over the limit of 4194304");
    assert!(wire.capacity() <= before, "nothing is allocated for it");
}

#[test]
fn the_buffer_grows_with_what_arrives() {
    let mut wire = BytesMut::new();
    wire.put_u32(4 * 1024 * 1024);
    assert!(broker().decode(&mut wire).unwrap().is_none());
    assert!(wire.capacity() <= 128 * 1024, "{}", wire.capacity());
    let mut codec = broker();
    for arrived in 1..=63 {
        wire.extend_from_slice(&[0; 65_536]);
        assert!(codec.decode(&mut wire).unwrap().is_none());
        assert!(wire.capacity() <= (2 * arrived + 2) * 65_536, "{arrived}: {}", wire.capacity());
    }
}

#[test]
fn a_large_buffer_is_given_back() {
    let mut codec = broker();
    let mut wire = BytesMut::new();
    let payload = Bytes::from(vec![7; 3_000_000]);
    let job = JobSpec { payload, ..Default::default() };
    let frame = request(Request::Enqueue(Enqueue { jobs: vec![job], ..Default::default() }));
    let sent = framed(&frame.encode_to_vec());
    for bytes in sent.chunks(9_000) {
        assert!(codec.decode(&mut wire).unwrap().is_none());
        wire.extend_from_slice(bytes);
    }
    assert!(codec.decode(&mut wire).unwrap().is_some());
    assert!(codec.decode(&mut wire).unwrap().is_none());
    assert!(wire.capacity() < 128 * 1024, "{}", wire.capacity());
}

#[test]
fn the_limit_can_be_moved() {
    let mut codec = BrokerCodec::new(HELLO_BYTES_MAX);
    let frame = framed(&vec![0; HELLO_BYTES_MAX + 1]);
    assert!(matches!(codec.decode(&mut frame.clone()), Err(FrameError::TooLong { .. })));
    codec.set_limit(FRAME_BYTES_DEFAULT);
    assert!(matches!(codec.decode(&mut frame.clone()), Err(FrameError::Undecodable { .. })));
    codec.set_limit(usize::MAX);
    let mut wire = BytesMut::from(&[0x7f; 4][..]);
    assert!(matches!(codec.decode(&mut wire), Err(FrameError::TooLong { .. })), "a hard bound stays");
}

#[test]
fn nothing_over_the_limit_is_written() {
    let payload = Bytes::from(vec![0; 1_000]);
    let job = JobSpec { payload, ..Default::default() };
    let frame = request(Request::Enqueue(Enqueue { jobs: vec![job], ..Default::default() }));
    let mut wire = BytesMut::from(&b"before"[..]);
    let error = ClientCodec::new(1_000).encode(frame.clone(), &mut wire).unwrap_err();
    assert!(matches!(error, FrameError::TooLong { claimed: 1_001.., limit: 1_000 }));
    assert_eq!(&wire[..], b"before");
    ClientCodec::new(2_000).encode(frame, &mut wire).unwrap();
}

#[test]
fn a_refused_frame_does_not_end_the_stream() {
    let jobs = vec![JobSpec::default(); 10_001];
    let frame = request(Request::Enqueue(Enqueue { jobs, ..Default::default() }));
    let mut wire = framed(&frame.encode_to_vec());
    wire.extend_from_slice(&framed(&request(Request::Bye(Default::default())).encode_to_vec()));
    let mut codec = broker();
    let Some(Inbound::Refused(refusal)) = codec.decode(&mut wire).unwrap() else {
        panic!("10,001 jobs are too many");
    };
    assert_eq!((refusal.id, refusal.code), (7, Code::TooLarge));
    let ServerFrame { id: 7, body: Some(Body::Error(error)) } = refusal.into_frame() else {
        panic!("the answer carries the id of the request");
    };
    assert_eq!(error.field, "jobs");
    assert!(matches!(codec.decode(&mut wire).unwrap(), Some(Inbound::Request { .. })));
}

#[test]
fn undecodable_frames_name_their_id() {
    let job = [0x0a, 0x03, 0x12, 0x01, 0xff];
    let mut message = vec![0x08, 0x07, 0x1a, 0x05];
    message.extend(job);
    let error = broker().decode(&mut framed(&message)).unwrap_err();
    let FrameError::Undecodable { id: 7, reason } = error else { panic!("{error}") };
    assert!(reason.contains("UTF-8"), "{reason}");
    let group = [0x08, 0x07, 0x0b, 0x0c];
    let error = broker().decode(&mut framed(&group)).unwrap_err();
    assert!(matches!(error, FrameError::Undecodable { id: 7, .. }), "{error}");
}

fn broker() -> BrokerCodec {
    BrokerCodec::new(FRAME_BYTES_DEFAULT)
}

fn client() -> ClientCodec {
    ClientCodec::new(FRAME_BYTES_DEFAULT)
}

fn request(request: Request) -> ClientFrame {
    ClientFrame { id: 7, request: Some(request) }
}

/// A frame with every kind of field in it, several levels deep. No client sends all verbs at once, but
/// the bytes of one message may follow those of another.
fn rich_frame() -> Vec<u8> {
    let job = JobSpec {
        id: Bytes::from_static(&[9; 16]),
        kind: "k".into(),
        payload: Bytes::from_static(b"payload"),
        headers: [("a".into(), "b".into())].into(),
        tags: vec!["t".into(), "u".into()],
        run_at_ms: 1_700_000_000_000,
        ..Default::default()
    };
    let held = hello::running::Held { id: Bytes::from_static(&[1; 16]), fence: 1 << 60 };
    let running = hello::Running { held: vec![held; 3] };
    let schedule = Schedule { job: Some(job.clone()), cron: "* * * * *".into(), ..Default::default() };
    let resource = Resource { what: Some(What::Schedule(schedule)), ..Default::default() };
    let result = windlass_proto::v1::Result { spawn: vec![job.clone()], fence: 3, ..Default::default() };
    let requests = [
        Request::Hello(Hello { running: Some(running), ..Default::default() }),
        Request::Enqueue(Enqueue { jobs: vec![job; 2], ..Default::default() }),
        Request::Settle(Settle { results: vec![result] }),
        Request::Put(Put { set: vec![resource], ..Default::default() }),
    ];
    let messages: Vec<u8> = requests.into_iter().flat_map(|r| request(r).encode_to_vec()).collect();
    framed(&messages).to_vec()
}

fn framed(message: &[u8]) -> BytesMut {
    let mut wire = BytesMut::new();
    wire.put_u32(u32::try_from(message.len()).expect("tests are small"));
    wire.extend_from_slice(message);
    wire
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
