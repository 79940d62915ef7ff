//! A TCP proxy that misbehaves on demand: it cuts, resets in the middle of a frame, falls silent, forgets
//! replies, delays, dribbles, or turns everybody away.

use super::patience::PATIENCE;
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

/// Between two looks at what the proxy is told to do.
const LOOK: Duration = Duration::from_millis(20);
/// Between two bytes that dribble, unless told otherwise.
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
    /// How new connections misbehave.
    manner: Mutex<Manner>,
    is_over: AtomicBool,
    /// Connections so far.
    opened: AtomicUsize,
    lines: Mutex<Vec<Weak<Line>>>,
}

/// How a connection misbehaves.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Bytes pass one by one, with this pause between them.
    drip: Option<Duration>,
    /// What is read at once waits for so long.
    latency: Duration,
    /// It is reset after so many bytes of one direction.
    reset_after: Option<usize>,
}

/// One connection from a client to the broker.
struct Line {
    sockets: [TcpStream; 2],
    /// What the client says is lost on the way.
    is_mute: AtomicBool,
    /// What the broker says is lost on the way.
    is_deaf: AtomicBool,
    manner: Manner,
    /// It is being reset.
    is_reset: AtomicBool,
}

impl Proxy {
    /// A proxy before a broker, which for now behaves.
    pub(crate) fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            is_shut: AtomicBool::new(false),
            manner: Mutex::default(),
            is_over: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
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
        let lines: Vec<_> = self.shared.lines.lock().unwrap().drain(..).collect();
        for line in lines.iter().filter_map(Weak::upgrade) {
            line.close();
        }
    }

    /// All connections stay open, and nothing passes any more in either direction: half-open, as after a
    /// pulled cable.
    pub(crate) fn blackhole(&self) {
        for line in self.shared.open() {
            line.is_mute.store(true, Ordering::Relaxed);
            line.is_deaf.store(true, Ordering::Relaxed);
        }
    }

    /// From now on the clients' words reach the broker, and its answers reach nobody.
    pub(crate) fn lose_replies(&self) {
        for line in self.shared.open() {
            line.is_deaf.store(true, Ordering::Relaxed);
        }
    }

    /// New connections are closed at once, or no longer.
    pub(crate) fn shut(&self, is_shut: bool) {
        self.shared.is_shut.store(is_shut, Ordering::Relaxed);
    }

    /// New connections pass their bytes one by one.
    pub(crate) fn dribble(&self) {
        self.dribble_at(DRIP);
    }

    /// New connections pass their bytes one by one, with this pause.
    pub(crate) fn dribble_at(&self, pause: Duration) {
        self.behave(Manner { drip: Some(pause), ..Manner::default() });
    }

    /// New connections pass their bytes later.
    pub(crate) fn delay(&self, latency: Duration) {
        self.behave(Manner { latency, ..Manner::default() });
    }

    /// New connections are reset after so many bytes of either direction, wherever a frame is then.
    pub(crate) fn reset_after(&self, bytes: usize) {
        self.behave(Manner { reset_after: Some(bytes), ..Manner::default() });
    }

    /// How many connections there have been.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::Relaxed)
    }

    /// New connections pass their bytes as they come.
    pub(crate) fn recover(&self) {
        self.behave(Manner::default());
    }

    fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
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
    fn open(&self) -> Vec<Arc<Line>> {
        self.lines.lock().unwrap().iter().filter_map(Weak::upgrade).collect()
    }

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
            let manner = *self.manner.lock().unwrap();
            if let Ok(line) = Line::open(client, &self.upstream, manner) {
                self.lines.lock().unwrap().push(line);
                self.opened.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Line {
    fn open(client: TcpStream, upstream: &str, manner: Manner) -> io::Result<Weak<Self>> {
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
            manner,
            is_reset: AtomicBool::new(false),
        });
        for is_reply in [false, true] {
            let pumped = Arc::clone(&line);
            thread::spawn(move || {
                let _either_side_has_ended_it = pumped.pump(is_reply);
                // A line on which words are lost does not carry the word that it is closed.
                if !pumped.is_lost(is_reply) && !pumped.is_reset.load(Ordering::Relaxed) {
                    pumped.close();
                }
            });
        }
        // The threads have it: when both have ended, so has it.
        Ok(Arc::downgrade(&line))
    }

    /// Carries bytes in one direction until either side ends.
    fn pump(&self, is_reply: bool) -> io::Result<()> {
        let [client, broker] = &self.sockets;
        let (mut from, mut to) = if is_reply { (broker, client) } else { (client, broker) };
        let mut buffer = [0; 16 << 10];
        let mut left = self.manner.reset_after.unwrap_or(usize::MAX);
        loop {
            if self.is_reset.load(Ordering::Relaxed) {
                return Ok(());
            }
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
            if read > left {
                to.write_all(&buffer[..left])?;
                return self.reset();
            }
            left -= read;
            let Some(drip) = self.manner.drip else {
                thread::sleep(self.manner.latency);
                to.write_all(&buffer[..read])?;
                continue;
            };
            for byte in &buffer[..read] {
                to.write_all(std::slice::from_ref(byte))?;
                thread::sleep(drip);
            }
        }
    }

    /// Both ends find the connection reset as soon as it is dropped.
    fn reset(&self) -> io::Result<()> {
        self.is_reset.store(true, Ordering::Relaxed);
        self.sockets.iter().try_for_each(|socket| SockRef::from(socket).set_linger(Some(Duration::ZERO)))
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
