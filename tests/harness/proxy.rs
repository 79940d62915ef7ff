//! A TCP proxy that misbehaves on demand: it cuts, falls silent, forgets replies, dribbles, or turns
//! everybody away.

use super::patience::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Between two looks at what the proxy is told to do.
const LOOK: Duration = Duration::from_millis(20);
/// Between two bytes that dribble.
const DRIP: Duration = Duration::from_millis(1);

/// Stands between clients and a broker.
pub(crate) struct Proxy {
    addr: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    /// New connections are closed at once.
    is_shut: AtomicBool,
    /// New connections dribble.
    dribbles: AtomicBool,
    is_over: AtomicBool,
    lines: Mutex<Vec<Arc<Line>>>,
}

/// One connection from a client to the broker.
struct Line {
    sockets: [TcpStream; 2],
    /// What the client says is lost on the way.
    is_mute: AtomicBool,
    /// What the broker says is lost on the way.
    is_deaf: AtomicBool,
    dribbles: bool,
}

impl Proxy {
    /// A proxy before a broker, which for now behaves.
    pub(crate) fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            is_shut: AtomicBool::new(false),
            dribbles: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            lines: Mutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { addr, shared }
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Closes all connections; new ones are welcome.
    pub(crate) fn cut(&self) {
        for line in self.shared.lines.lock().unwrap().drain(..) {
            line.close();
        }
    }

    /// All connections stay open, and nothing passes any more in either direction: half-open, as after a
    /// pulled cable.
    pub(crate) fn blackhole(&self) {
        for line in &*self.shared.lines.lock().unwrap() {
            line.is_mute.store(true, Ordering::Relaxed);
            line.is_deaf.store(true, Ordering::Relaxed);
        }
    }

    /// From now on the clients' words reach the broker, and its answers reach nobody.
    pub(crate) fn lose_replies(&self) {
        for line in &*self.shared.lines.lock().unwrap() {
            line.is_deaf.store(true, Ordering::Relaxed);
        }
    }

    /// New connections are closed at once, or no longer.
    pub(crate) fn shut(&self, is_shut: bool) {
        self.shared.is_shut.store(is_shut, Ordering::Relaxed);
    }

    /// New connections pass their bytes one by one.
    pub(crate) fn dribble(&self) {
        self.shared.dribbles.store(true, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the accepting thread, so that it sees that it is over.
        let _nobody_accepts_any_more = TcpStream::connect(&self.addr);
    }
}

impl Shared {
    fn accept(&self, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let Ok(client) = client else { continue };
            if self.is_shut.load(Ordering::Relaxed) {
                continue;
            }
            // The broker may be down at this moment; the client finds its connection closed.
            if let Ok(line) = Line::open(client, &self.upstream, self.dribbles.load(Ordering::Relaxed)) {
                self.lines.lock().unwrap().push(line);
            }
        }
    }
}

impl Line {
    fn open(client: TcpStream, upstream: &str, dribbles: bool) -> io::Result<Arc<Self>> {
        let broker = TcpStream::connect(upstream)?;
        for socket in [&client, &broker] {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(LOOK))?;
            socket.set_write_timeout(Some(PATIENCE))?;
        }
        let line = Arc::new(Self {
            sockets: [client, broker],
            is_mute: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            dribbles,
        });
        for is_reply in [false, true] {
            let pumped = Arc::clone(&line);
            thread::spawn(move || {
                let _either_side_has_ended_it = pumped.pump(is_reply);
                // A line on which words are lost does not carry the word that it is closed.
                if !pumped.is_lost(is_reply) {
                    pumped.close();
                }
            });
        }
        Ok(line)
    }

    /// Carries bytes in one direction until either side ends.
    fn pump(&self, is_reply: bool) -> io::Result<()> {
        let [client, broker] = &self.sockets;
        let (mut from, mut to) = if is_reply { (broker, client) } else { (client, broker) };
        let mut buffer = [0; 16 << 10];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.is_lost(is_reply) {
                continue;
            }
            if !self.dribbles {
                to.write_all(&buffer[..read])?;
                continue;
            }
            for byte in &buffer[..read] {
                to.write_all(std::slice::from_ref(byte))?;
                thread::sleep(DRIP);
            }
        }
    }

    fn is_lost(&self, is_reply: bool) -> bool {
        let is_lost = if is_reply { &self.is_deaf } else { &self.is_mute };
        is_lost.load(Ordering::Relaxed)
    }

    fn close(&self) {
        for socket in &self.sockets {
            let _closed_already = socket.shutdown(Shutdown::Both);
        }
    }
}
