//! Named places at which a test ends or stops this process, to see what a start makes of what is left.
//! Only programs built with the feature `failpoints` have them; in the product `reach` is nothing.
//!
//! `WINDLASS_FAILPOINT=NAME:N:kill` ends the process as `kill -9` does when it passes the place for the
//! N-th time; `NAME:N:stop` stops it there until it is sent SIGCONT.

/// Whether this program has failpoints.
pub const ENABLED: bool = cfg!(feature = "failpoints");

/// The process is at the place of this name.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reach(_name: &'static str) {}

/// The process is at the place of this name.
#[cfg(feature = "failpoints")]
pub fn reach(name: &'static str) {
    armed::reach(name);
}

#[cfg(feature = "failpoints")]
mod armed {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Order {
        name: String,
        nth: u64,
        signal: Signal,
        passed: AtomicU64,
    }

    static ORDER: OnceLock<Option<Order>> = OnceLock::new();

    pub(super) fn reach(name: &'static str) {
        let Some(order) = ORDER.get_or_init(read) else { return };
        if order.name == name && order.passed.fetch_add(1, Ordering::Relaxed) + 1 == order.nth {
            kill_process(getpid(), order.signal).expect("a process may signal itself");
        }
    }

    fn read() -> Option<Order> {
        let text = std::env::var("WINDLASS_FAILPOINT").ok()?;
        let parsed = parse(&text);
        Some(parsed.unwrap_or_else(|| {
            panic!("WINDLASS_FAILPOINT is {text}, but must be NAME:N:kill or NAME:N:stop")
        }))
    }

    fn parse(text: &str) -> Option<Order> {
        let mut words = text.split(':');
        let (name, nth) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let signal = match words.next()? {
            "kill" => Signal::KILL,
            "stop" => Signal::STOP,
            _ => return None,
        };
        Some(Order { name, nth, signal, passed: AtomicU64::new(0) })
    }
}
