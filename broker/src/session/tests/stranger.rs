//! How long a Hello may be: short, unless its beginning proves that a worker comes back.

use super::*;
use prost::Message;
use windlass_proto::limits::{RUNNING_MAX, STRANGER_BYTES_MAX};

/// The Hello of a worker that comes back with so many leases, as it goes over the wire.
fn coming_back(secret: Bytes, leases: usize) -> BytesMut {
    let held = (0..leases)
        .map(|number| {
            let id = Bytes::copy_from_slice(&(number as u128 + 1).to_be_bytes());
            hello::running::Held { id, fence: 3 << 40 | number as u64 }
        })
        .collect();
    let resume_session = Bytes::copy_from_slice(&SESSION.0);
    let hello = Hello {
        client: "c".repeat(200),
        resume_session,
        resume_secret: secret,
        running: Some(hello::Running { held }),
        ..Hello::default()
    };
    framed(hello)
}

fn framed(hello: Hello) -> BytesMut {
    let frame = ClientFrame { id: 1, request: Some(Request::Hello(hello)) }.encode_to_vec();
    let mut bytes = BytesMut::from(&u32::try_from(frame.len()).unwrap().to_be_bytes()[..]);
    bytes.extend_from_slice(&frame);
    bytes
}

fn secret() -> Bytes {
    let mut first = session(terms());
    asked(ask(&mut first, 1, Request::Hello(Hello::default())));
    first.take(vec![answer(1, welcome())]);
    let Some(Words::Welcome(welcome)) = said(&mut first).remove(0).body else { panic!("no Welcome") };
    welcome.secret
}

#[test]
fn a_worker_comes_back_with_all_its_leases_however_they_arrive() {
    let whole = coming_back(secret(), RUNNING_MAX);
    assert!(whole.len() > 8 * STRANGER_BYTES_MAX);
    for piece in [1, 7, 4_096, whole.len()] {
        let mut session = session(terms());
        let mut arrived = BytesMut::new();
        let mut verdict = None;
        for bytes in whole.chunks(piece) {
            assert!(verdict.is_none());
            arrived.extend_from_slice(bytes);
            verdict = session.read(&mut arrived, NOW);
        }
        let Command::Hello(taken) = asked(verdict.unwrap()) else { panic!("no Hello") };
        assert_eq!(taken.running.map(|running| running.len()), Some(RUNNING_MAX));
    }
}

#[test]
fn a_long_hello_without_the_secret_is_refused_at_its_beginning() {
    let mut wrong = secret().to_vec();
    wrong[0] ^= 1;
    for secret in [Bytes::new(), wrong.into()] {
        let mut arrived = coming_back(secret, RUNNING_MAX);
        arrived.truncate(4 + STRANGER_BYTES_MAX);
        let verdict = session(terms()).read(&mut arrived, NOW).unwrap();
        assert_eq!(closed(verdict), (0, Code::Unauthenticated, "resume_secret".into()));
    }
}

#[test]
fn a_stranger_says_no_more_than_a_little() {
    let labels = |count: usize| {
        let label = |number| (format!("l{number}"), "v".repeat(180));
        framed(Hello { labels: (0..count).map(label).collect(), ..Hello::default() })
    };
    assert!(matches!(session(terms()).read(&mut labels(20), NOW), Some(Verdict::Ask(_))));
    let mut long = labels(30);
    long.truncate(4 + STRANGER_BYTES_MAX);
    assert_eq!(closed(session(terms()).read(&mut long, NOW).unwrap()), (0, Code::TooLarge, String::new()));
    // A length beyond all bounds is refused by itself.
    let mut length = BytesMut::from(&[0, 2, 0, 0][..]);
    assert_eq!(closed(session(terms()).read(&mut length, NOW).unwrap()).1, Code::TooLarge);
    // Until its beginning is there, nothing is decided, and nothing more than it is kept.
    let mut half = labels(30);
    half.truncate(4_000);
    assert!(session(terms()).read(&mut half, NOW).is_none());
    assert!(half.capacity() < 2 * STRANGER_BYTES_MAX + 4_096, "{}", half.capacity());
}
