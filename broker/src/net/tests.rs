//! Connections over real sockets, with a driver that answers as each test wishes.
//!
//! No test sleeps: each waits for a frame, a command or the end of a connection. Where time itself is
//! the matter, the bound is set to nothing, so that the first look at the clock finds it passed.

use super::*;
use crate::door::{Door, Notice, Outbox, Taken, weight};
use crate::limits::{KEEPALIVE, OUTBOX_CHOKE_BYTES, UNACKNOWLEDGED};
use bytes::{Bytes, BytesMut};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;
use windlass_engine::frame::{Body, EnqueuedOne, Outcome, Stored, Welcome, Work};
use windlass_engine::ledger::job::State;
use windlass_engine::part::Slot;
use windlass_engine::{Command, Frame, JobId, Request, SessionId};
use windlass_proto::frame::{ClientCodec, write_frame};
use windlass_proto::limits::FRAME_BYTES_MAX;
use windlass_proto::v1::client_frame::Request as Ask;
use windlass_proto::v1::server_frame::Body as Words;
use windlass_proto::v1::{
    Bye, ClientFrame, Code, Enqueue, Fetch, Hello, JobSpec, ServerFrame, fetch::Source,
};

/// A driver that hands every command to the test and lets the test answer.
struct Fake {
    door: Door,
    address: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    /// What each take of the door brought.
    takes: Receiver<Vec<(Request, Command)>>,
    outboxes: Receiver<Arc<Outbox>>,
    open: HashMap<u64, Arc<Outbox>>,
    /// Taken by the driver, and not yet looked at.
    ahead: VecDeque<(Request, Command)>,
    driver: Option<JoinHandle<()>>,
}

impl Fake {
    fn start(options: NetOptions) -> Self {
        let door = Door::default();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let clock: Clock = Arc::new(|| 1_800_000_000_000);
        let served = tokio::spawn(serve(listener, door.clone(), options, clock, stop.clone()));
        let (to_test, takes) = mpsc::channel();
        let (opened, outboxes) = mpsc::channel();
        let behind = door.clone();
        let driver = Some(std::thread::spawn(move || drive(&behind, &to_test, &opened)));
        Self {
            door,
            address,
            stop,
            served,
            takes,
            outboxes,
            open: HashMap::new(),
            ahead: VecDeque::new(),
            driver,
        }
    }

    /// What the driver takes next.
    fn take(&mut self) -> Vec<(Request, Command)> {
        let take = self.takes.recv().unwrap();
        self.open.extend(self.outboxes.try_iter().map(|outbox| (outbox.conn(), outbox)));
        take
    }

    /// The next command.
    fn next(&mut self) -> (Request, Command) {
        while self.ahead.is_empty() {
            self.ahead = self.take().into();
        }
        self.ahead.pop_front().unwrap()
    }

    /// The next command that is not a sign: while the broker does not read, it speaks for the session.
    fn next_but_signs(&mut self) -> (Request, Command) {
        loop {
            let (to, command) = self.next();
            if !matches!(command, Command::Sign) {
                return (to, command);
            }
        }
    }

    /// Waits for the end of a connection, whatever the network says of it before.
    fn hangup(&mut self) -> Request {
        loop {
            match self.next() {
                (to, Command::Hangup) => return to,
                (_, Command::Sign | Command::Unchoke) => {}
                other => panic!("not the network's word: {other:?}"),
            }
        }
    }

    /// Decides a frame and lets it go. True = the peer has enough unread.
    fn say(&self, to: Request, last: bool, body: Body) -> bool {
        let frame = Frame { to, last, body };
        let outbox = &self.open[&to.conn];
        let is_choked = outbox.reserve(weight(&frame));
        outbox.release(&mut vec![frame]);
        is_choked
    }

    fn outbox(&self, to: Request) -> &Arc<Outbox> {
        &self.open[&to.conn]
    }

    /// A peer that was welcomed, and its connection.
    async fn welcomed(&mut self) -> (Peer, Request) {
        let mut peer = Peer::connect(self.address).await;
        peer.send([(1, Ask::Hello(Hello::default()))]).await;
        let (to, command) = self.next();
        assert!(matches!(command, Command::Hello(_)));
        self.say(to, true, welcome());
        assert!(matches!(peer.hear().await.unwrap().body, Some(Words::Welcome(_))));
        (peer, to)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.door.notify(Notice::Drain);
        self.driver.take().unwrap().join().unwrap();
    }
}

fn drive(door: &Door, to_test: &Sender<Vec<(Request, Command)>>, opened: &Sender<Arc<Outbox>>) {
    let mut taken = Taken::default();
    loop {
        door.take(None, &mut taken);
        taken.signs.clear();
        for (_, outbox) in taken.opened.drain(..) {
            let _the_test_may_be_over = opened.send(outbox);
        }
        let commands = std::mem::take(&mut taken.commands);
        if !commands.is_empty() {
            let _the_test_may_be_over = to_test.send(commands);
        }
        if !taken.notices.is_empty() {
            return;
        }
    }
}

/// The other end of a connection.
struct Peer {
    socket: TcpStream,
    codec: ClientCodec,
    arrived: BytesMut,
}

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        Self { socket, codec: ClientCodec::new(FRAME_BYTES_MAX), arrived: BytesMut::new() }
    }

    /// Sends requests in one write.
    async fn send(&mut self, requests: impl IntoIterator<Item = (u64, Ask)>) {
        let mut bytes = BytesMut::new();
        for (id, request) in requests {
            write_frame(&ClientFrame { id, request: Some(request) }, FRAME_BYTES_MAX, &mut bytes).unwrap();
        }
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The next frame; None when the broker has closed the connection.
    async fn hear(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.arrived).unwrap() {
                return Some(frame);
            }
            match self.socket.read_buf(&mut self.arrived).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn refusal(&mut self) -> (u64, Code) {
        match self.hear().await {
            Some(ServerFrame { id, body: Some(Words::Error(error)) }) => (id, error.code()),
            other => panic!("no Error: {other:?}"),
        }
    }
}

fn options() -> NetOptions {
    NetOptions::new([7; 32], 1 << 20, 100)
}

fn welcome() -> Body {
    Body::Welcome(Box::new(Welcome {
        session: SessionId([5; 16]),
        namespace: 1,
        session_ttl_ms: 15_000,
        now: 0,
        epoch: 3,
        leases_kept: Vec::new(),
    }))
}

fn enqueue() -> Ask {
    let job = JobSpec { kind: "k".into(), ..JobSpec::default() };
    Ask::Enqueue(Enqueue { jobs: vec![job], ..Enqueue::default() })
}

fn enqueued() -> Body {
    let stored = Stored { seq: 1, state: State::Ready, outcome: Outcome::Created };
    Body::Enqueued(vec![EnqueuedOne { id: JobId([1; 16]), what: Ok(stored), result: Slot::Empty }])
}

fn stream() -> Ask {
    let sources = vec![Source { queue: "mail".into(), weight: 0 }];
    Ask::Fetch(Fetch { sources, slots: 10, ..Fetch::default() })
}

/// A job of a stream, of about this many bytes.
fn deliver(bytes: usize) -> Body {
    let work = Work {
        seq: 1,
        id: JobId([1; 16]),
        fence: 1,
        ends_at: 0,
        now: 0,
        queue: "mail".into(),
        kind: "k".into(),
        key: String::new(),
        payload: Slot::Bytes(vec![1; bytes].into()),
        headers: Slot::Empty,
        attempt: 1,
        max_attempts: 1,
        deliveries: 1,
        crashes: 0,
        snoozes: 0,
        created_at: 0,
        suspect: false,
        cost: 1,
        run: None,
    };
    Body::Deliver { works: vec![work], end: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connections_inherit_what_finds_peers_that_vanished() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let options = socket2::SockRef::from(&socket);
    assert_eq!(options.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    assert!(options.keepalive().unwrap());
    assert_eq!(options.tcp_keepalive_time().unwrap(), KEEPALIVE);
    assert_eq!(options.tcp_keepalive_retries().unwrap(), 2);
}

/// Whoever says nothing gives its place to those who have something to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let hour = Duration::from_secs(3_600);
    let mut fake = Fake::start(NetOptions { strangers_max: 3, handshake: hour, ..options() });
    let (mut welcomed, _) = fake.welcomed().await;
    let mut crowd = Vec::new();
    for _ in 0..3 {
        crowd.push(Peer::connect(fake.address).await);
    }
    let mut peer = Peer::connect(fake.address).await;
    peer.send([(1, Ask::Hello(Hello::default()))]).await;
    // The end of the one that gave way may be heard first.
    let (to, _) = loop {
        let (to, command) = fake.next();
        if !matches!(command, Command::Hangup) {
            break (to, command);
        }
    };
    fake.say(to, true, welcome());
    assert!(matches!(peer.hear().await.unwrap().body, Some(Words::Welcome(_))));
    assert!(crowd[0].hear().await.is_none());
    // Who was welcomed is no stranger, however silent.
    welcomed.send([(2, enqueue())]).await;
    while !matches!(fake.next_but_signs().1, Command::Enqueue(_)) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_come_in_the_order_of_the_requests() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    peer.send((2..=1_000).map(|id| (id, enqueue()))).await;
    let mut answered = 1;
    while answered < 1_000 {
        for (to, command) in fake.take() {
            assert!(matches!(command, Command::Enqueue(_)));
            fake.say(to, true, enqueued());
            answered += 1;
            assert_eq!(to.id, answered);
        }
    }
    for id in 2..=1_000 {
        assert_eq!(peer.hear().await.unwrap().id, id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_may_be_sent_right_behind_hello() {
    let mut fake = Fake::start(options());
    let mut peer = Peer::connect(fake.address).await;
    let job = JobSpec { kind: "k".into(), payload: Bytes::from(vec![1; 100_000]), ..JobSpec::default() };
    let large = Ask::Enqueue(Enqueue { jobs: vec![job], ..Enqueue::default() });
    peer.send([(1, Ask::Hello(Hello::default())), (2, large)]).await;
    let (to, _) = fake.next();
    fake.say(to, true, welcome());
    let (to, _) = fake.next_but_signs();
    fake.say(to, true, enqueued());
    assert_eq!((peer.hear().await.unwrap().id, peer.hear().await.unwrap().id), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_window_is_not_read_until_an_answer_leaves() {
    let terms = Terms::new([7; 32]).with_outstanding_max(2);
    let mut fake = Fake::start(NetOptions { terms, ..options() });
    let (mut peer, _) = fake.welcomed().await;
    // They come in one read and would go to the driver together, were there no window.
    peer.send((2..=6).map(|id| (id, enqueue()))).await;
    let first = fake.take();
    assert_eq!(first.iter().map(|(to, _)| to.id).collect::<Vec<_>>(), [2, 3]);
    for id in 4..=6 {
        fake.say(first[usize::from(id > 4)].0, false, enqueued());
        fake.say(Request { id: id - 2, ..first[0].0 }, true, enqueued());
        assert_eq!(fake.next_but_signs().0.id, id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn while_the_broker_does_not_read_the_session_is_not_silent() {
    let terms = Terms::new([7; 32]).with_outstanding_max(1);
    let mut fake = Fake::start(NetOptions { terms, ..options() });
    let (mut peer, _) = fake.welcomed().await;
    peer.send([(2, enqueue())]).await;
    assert!(matches!(fake.next().1, Command::Enqueue(_)));
    assert!(matches!(fake.next().1, Command::Sign));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_part_of_a_frame_is_a_sign() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    peer.socket.write_all(&[0, 0]).await.unwrap();
    assert!(matches!(fake.next().1, Command::Sign));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_refusal_of_form_never_reaches_the_driver() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    peer.send([(2, Ask::Enqueue(Enqueue::default())), (3, enqueue())]).await;
    assert_eq!(fake.next().0.id, 3);
    assert_eq!(peer.refusal().await, (2, Code::Invalid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_oversize_frame_is_refused_by_its_header() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    // More than a socket buffers comes behind the header: the Error must survive it.
    peer.socket.write_all(&[0xff; 4]).await.unwrap();
    let _cut_in_between = peer.socket.write_all(&vec![0; 1 << 20]).await;
    assert_eq!(peer.refusal().await, (0, Code::TooLarge));
    assert!(peer.hear().await.is_none());
    fake.hangup();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn garbage_is_refused() {
    let fake = Fake::start(options());
    let mut peer = Peer::connect(fake.address).await;
    peer.socket.write_all(b"\0\0\0\x0eGET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(peer.refusal().await, (0, Code::Invalid));
    assert!(peer.hear().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_that_does_not_say_hello_is_cut() {
    let fake = Fake::start(NetOptions { handshake: Duration::ZERO, ..options() });
    let mut peer = Peer::connect(fake.address).await;
    assert!(peer.hear().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_that_does_not_finish_a_frame_is_cut() {
    let mut fake = Fake::start(NetOptions { half_frame: Duration::ZERO, ..options() });
    let (mut peer, _) = fake.welcomed().await;
    peer.socket.write_all(&[0, 0, 0, 9, 8]).await.unwrap();
    assert!(peer.hear().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_that_closes_hangs_up_behind_its_last_command() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    peer.send([(2, enqueue())]).await;
    drop(peer);
    assert!(matches!(fake.next().1, Command::Enqueue(_)));
    fake.hangup();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_choked_peer_is_unchoked_once_it_has_read() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    peer.send([(2, stream())]).await;
    let (to, _) = fake.next();
    let mut delivered = 0;
    loop {
        delivered += 1;
        if fake.say(to, false, deliver(256 << 10)) {
            break;
        }
        // What the kernel has taken is not unread in our memory.
        assert!(delivered < 10_000);
    }
    assert!(fake.outbox(to).queued_bytes() <= OUTBOX_CHOKE_BYTES + (512 << 10));
    for _ in 0..delivered {
        assert_eq!(peer.hear().await.unwrap().id, 2);
    }
    let (_, unchoked) = fake.next_but_signs();
    assert!(matches!(unchoked, Command::Unchoke), "{unchoked:?}");
    while fake.outbox(to).queued_bytes() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Of two peers the one that reads nothing of 64 MiB is cut.
async fn whoever_reads_nothing_is_cut(options: NetOptions) {
    let mut fake = Fake::start(options);
    let (_peer, _) = fake.welcomed().await;
    let (mut peer, to) = fake.welcomed().await;
    peer.send([(2, stream())]).await;
    fake.next();
    // The kernel takes some of it; the rest stays with us until it is too much.
    for _ in 0..256 {
        fake.say(Request { id: 2, ..to }, false, deliver(256 << 10));
    }
    assert_eq!(fake.hangup().conn, to.conn);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_with_too_much_unread_is_cut() {
    whoever_reads_nothing_is_cut(NetOptions { outbox_bytes_max: 1 << 20, ..options() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_many_peers_that_do_not_read_those_with_much_unread_are_cut() {
    // Its own bound is out of reach: it is cut for the sum of all.
    let of_one = usize::MAX;
    let options = NetOptions { outboxes_bytes_max: 1 << 20, outbox_bytes_max: of_one, ..options() };
    whoever_reads_nothing_is_cut(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_many_peers_with_unfinished_frames_those_with_large_ones_are_cut() {
    let mut fake = Fake::start(NetOptions { arrived_bytes_max: 200 << 10, ..options() });
    let (mut idle, _) = fake.welcomed().await;
    let (mut peer, to) = fake.welcomed().await;
    let mut half = (1u32 << 20).to_be_bytes().to_vec();
    half.resize(300 << 10, 8);
    let _cut_off_while_it_writes = peer.socket.write_all(&half).await;
    assert_eq!(fake.hangup().conn, to.conn);
    idle.send([(2, stream())]).await;
    fake.next();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_that_does_not_read_is_cut() {
    let stall = NetOptions { write_stall: Duration::ZERO, outbox_bytes_max: usize::MAX, ..options() };
    let mut fake = Fake::start(stall);
    let (mut peer, _) = fake.welcomed().await;
    peer.send([(2, stream())]).await;
    let (to, _) = fake.next();
    for _ in 0..64 {
        fake.say(to, false, deliver(1 << 20));
    }
    fake.hangup();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_may_write_a_lot_before_it_reads() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    let large = |id: u64| {
        let job = JobSpec { kind: "k".into(), payload: Bytes::from(vec![1; 1 << 20]), ..JobSpec::default() };
        (id, Ask::Enqueue(Enqueue { jobs: vec![job], ..Enqueue::default() }))
    };
    let written = tokio::spawn(async move {
        peer.send((2..=33).map(large)).await;
        for id in 2..=33 {
            assert_eq!(peer.hear().await.unwrap().id, id);
        }
    });
    let mut answered = 1;
    while answered < 33 {
        for (to, command) in fake.take() {
            if matches!(command, Command::Enqueue(_)) {
                fake.say(to, true, enqueued());
                answered += 1;
            }
        }
    }
    written.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn goodbye_is_heard_before_the_connection_closes() {
    let mut fake = Fake::start(options());
    let (mut peer, _) = fake.welcomed().await;
    peer.send([(2, Ask::Bye(Bye::default()))]).await;
    let (to, _) = fake.next();
    fake.say(to, true, Body::Closed);
    fake.say(Request { id: 0, ..to }, false, Body::Cut);
    assert!(matches!(peer.hear().await.unwrap().body, Some(Words::Closed(_))));
    assert!(peer.hear().await.is_none());
    fake.hangup();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_connection_too_many_hears_why_and_is_closed() {
    let mut fake = Fake::start(NetOptions { connections_max: 1, ..options() });
    let (peer, _) = fake.welcomed().await;
    let mut other = Peer::connect(fake.address).await;
    let Some(ServerFrame { id: 0, body: Some(Words::Error(error)) }) = other.hear().await else { panic!() };
    assert_eq!((error.code(), error.retry_after_ms > 0), (Code::Exhausted, true));
    assert!(other.hear().await.is_none());
    drop(peer);
    fake.hangup();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stop_lets_out_what_is_queued() {
    let mut fake = Fake::start(NetOptions { farewell: Duration::from_secs(60), ..options() });
    let (mut peer, _) = fake.welcomed().await;
    let (mut idle, _) = fake.welcomed().await;
    peer.send([(2, stream())]).await;
    let (to, _) = fake.next();
    for _ in 0..64 {
        fake.say(to, false, deliver(256 << 10));
    }
    fake.stop.cancel();
    for _ in 0..64 {
        assert_eq!(peer.hear().await.unwrap().id, 2);
    }
    assert!(peer.hear().await.is_none() && idle.hear().await.is_none());
    drop((peer, idle));
    (&mut fake.served).await.unwrap();
}
