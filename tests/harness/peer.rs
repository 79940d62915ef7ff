//! A raw peer: hand-made frames over a plain socket, so that nothing of the client library stands between
//! a test and the broker.

use super::patience::PATIENCE;
use prost::Message;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::hello::Running;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{ClientFrame, Error, Hello, ServerFrame, Signal, Welcome};

/// One connection.
pub(crate) struct Peer {
    socket: TcpStream,
    next_id: u64,
    /// How many bytes the broker has said on this connection so far.
    pub(crate) heard_bytes: u64,
    /// What the broker said to Hello.
    pub(crate) welcome: Welcome,
    /// What it said unasked while an answer was waited for.
    pub(crate) signals: VecDeque<Signal>,
}

/// The content of an answer of the expected kind; anything else fails the test.
macro_rules! body {
    ($body:expr, $kind:ident) => {{
        let body = $body;
        assert!(
            matches!(body, windlass_proto::v1::server_frame::Body::$kind(_)),
            "not {}: {body:?}",
            stringify!($kind)
        );
        let windlass_proto::v1::server_frame::Body::$kind(content) = body else { unreachable!() };
        content
    }};
}
pub(crate) use body;

/// A Hello that asks for nothing in particular.
pub(crate) fn hello() -> Hello {
    Hello {
        proto_min: 1,
        proto_max: 1,
        client: "raw/1".into(),
        host: "test".into(),
        pid: 7,
        ..Hello::default()
    }
}

/// A frame as it goes over the wire.
pub(crate) fn encode(id: u64, request: Request) -> Vec<u8> {
    framed(&ClientFrame { id, request: Some(request) }.encode_to_vec())
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

impl Peer {
    /// A connection on which nothing was said.
    pub(crate) fn mute(addr: &str) -> Self {
        Self::over(TcpStream::connect(addr).unwrap())
    }

    fn over(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, next_id: 1, heard_bytes: 0, welcome: Welcome::default(), signals: VecDeque::new() }
    }

    /// A connection with a session of its own.
    pub(crate) fn open(addr: &str) -> Self {
        Self::with(addr, hello())
    }

    /// A connection that says this Hello and is welcomed.
    pub(crate) fn with(addr: &str, hello: Hello) -> Self {
        let mut peer = Self::mute(addr);
        let welcome = peer.ask(Request::Hello(hello));
        peer.welcome = body!(welcome, Welcome);
        peer
    }

    /// A connection with a session of its own, if there is a broker just now.
    pub(crate) fn try_open(addr: &str) -> Option<Self> {
        Self::try_with(addr, hello())
    }

    /// A connection that says this Hello, if there is a broker just now that welcomes it.
    pub(crate) fn try_with(addr: &str, hello: Hello) -> Option<Self> {
        let socket = TcpStream::connect(addr).ok()?;
        let mut peer = Self::over(socket);
        peer.try_send(&encode(1, Request::Hello(hello))).ok()?;
        let Body::Welcome(welcome) = peer.hear_answer()?.1 else { return None };
        peer.welcome = welcome;
        Some(peer)
    }

    /// A further connection of the same session.
    pub(crate) fn attached(&self, addr: &str) -> Self {
        Self::with(addr, self.coming_back(None))
    }

    /// Its own end of the connection.
    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// The same connection in other hands, so that one can write while the other reads.
    pub(crate) fn twin(&self) -> Self {
        let socket = self.socket.try_clone().unwrap();
        Self {
            socket,
            next_id: self.next_id,
            heard_bytes: self.heard_bytes,
            welcome: self.welcome.clone(),
            signals: VecDeque::new(),
        }
    }

    /// The Hello of somebody who comes back to this peer's session; without `running` it only attaches.
    pub(crate) fn coming_back(&self, running: Option<Running>) -> Hello {
        let Welcome { session, secret, .. } = self.welcome.clone();
        Hello { resume_session: session, resume_secret: secret, running, ..hello() }
    }

    /// Sends a request. Its id.
    pub(crate) fn say(&mut self, request: Request) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&encode(id, request));
        id
    }

    /// Sends a message of our own making, with its length before it.
    pub(crate) fn say_bytes(&mut self, message: &[u8]) {
        self.send(&framed(message));
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends bytes as they are; the broker may have had enough.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Whether the broker has said something that nobody read yet.
    pub(crate) fn has_unread(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).unwrap();
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The next frame; `None` when the broker has closed the connection.
    pub(crate) fn hear(&mut self) -> Option<ServerFrame> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        self.read(&mut message)?;
        Some(ServerFrame::decode(&message[..]).unwrap())
    }

    fn read(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.socket.read_exact(bytes) {
            Ok(()) => {
                self.heard_bytes += bytes.len() as u64;
                Some(())
            }
            Err(error) => {
                let is_closed = matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                );
                assert!(is_closed, "the broker says nothing: {error}");
                None
            }
        }
    }

    /// The next frame that is no signal.
    pub(crate) fn hear_answer(&mut self) -> Option<(u64, Body)> {
        loop {
            let ServerFrame { id, body } = self.hear()?;
            let body = body.unwrap();
            if let Body::Signal(signal) = body {
                assert_eq!(id, 0, "{signal:?}");
                self.signals.push_back(signal);
                continue;
            }
            return Some((id, body));
        }
    }

    /// The next answer, which must be to this request.
    pub(crate) fn answer(&mut self, id: u64) -> Body {
        let (answered, body) = self.hear_answer().expect("the broker closes the connection");
        assert_eq!(answered, id, "{body:?}");
        body
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, request: Request) -> Body {
        let id = self.say(request);
        self.answer(id)
    }

    /// Sends a request that must be refused.
    pub(crate) fn refused(&mut self, request: Request) -> Error {
        body!(self.ask(request), Error)
    }

    /// The next signal.
    pub(crate) fn signal(&mut self) -> Signal {
        if let Some(signal) = self.signals.pop_front() {
            return signal;
        }
        let frame = self.hear().unwrap();
        assert_eq!(frame.id, 0, "{frame:?}");
        body!(frame.body.unwrap(), Signal)
    }

    /// Waits until the broker has closed the connection, whatever it says before.
    pub(crate) fn is_closed(&mut self) {
        while self.hear().is_some() {}
    }
}
