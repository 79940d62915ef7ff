//! Ends the process when a call into the store does not come back. It is separate because it must
//! run on a thread of its own: sled has paths on which a failed write is never reported to those
//! who wait for it, and a broker that hangs acknowledges nothing and tells nobody why.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What to do when time is up; the argument says what was under way.
pub(super) type Alarm = Box<dyn FnOnce(&str) + Send>;

#[derive(Default)]
struct Watched {
    under_way: Option<(&'static str, Instant)>,
    /// The watching thread sleeps until it is woken. Otherwise it looks up by itself when the call
    /// is overdue that it saw last, and none that began later is overdue before.
    is_asleep: bool,
    ended: bool,
}

/// Watches one caller's calls, one at a time.
pub(super) struct Watchdog {
    shared: Arc<(Mutex<Watched>, Condvar)>,
    limit: Duration,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the watch. `alarm` is called at most once, from the watching thread.
    pub(super) fn start(limit: Duration, alarm: Alarm) -> std::io::Result<Watchdog> {
        let shared = Arc::new((Mutex::new(Watched::default()), Condvar::new()));
        let watched = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("leaves-watchdog".into()).spawn(move || {
            if let Some(what) = watch(&watched) {
                alarm(what);
            }
        })?;
        Ok(Watchdog { shared, limit, thread: Some(thread) })
    }

    /// Runs one call under watch.
    pub(super) fn during<T>(&self, what: &'static str, call: impl FnOnce() -> T) -> T {
        self.set(Some((what, Instant::now() + self.limit)));
        let result = call();
        self.set(None);
        result
    }

    fn set(&self, under_way: Option<(&'static str, Instant)>) {
        let mut watched = lock(&self.shared.0);
        let must_wake = watched.is_asleep && under_way.is_some();
        watched.under_way = under_way;
        watched.is_asleep &= !must_wake;
        drop(watched);
        if must_wake {
            self.shared.1.notify_one();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        lock(&self.shared.0).ended = true;
        self.shared.1.notify_one();
        if let Some(thread) = self.thread.take() {
            // It ends by itself; if the alarm panicked, the panic hook has said so.
            let _ = thread.join();
        }
    }
}

/// Returns what took too long, or `None` when the watch ended.
fn watch(shared: &(Mutex<Watched>, Condvar)) -> Option<&'static str> {
    let mut watched = lock(&shared.0);
    loop {
        if watched.ended {
            return None;
        }
        watched.is_asleep = watched.under_way.is_none();
        let left = match watched.under_way {
            None => Duration::from_secs(3600),
            Some((what, until)) => match until.checked_duration_since(Instant::now()) {
                None => return Some(what),
                Some(left) => left,
            },
        };
        watched = shared
            .1
            .wait_timeout(watched, left)
            .map_or_else(|poisoned| poisoned.into_inner().0, |(watched, _)| watched);
    }
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The alarm of a serving process: say why, and end. Nothing is unwound, because what would be
/// waited for is what hangs.
pub(super) fn end_process(limit: Duration, folder: &std::path::Path) -> Alarm {
    let folder = folder.to_path_buf();
    Box::new(move |what| {
        let message = format!(
            "{}: {what} has not ended after {limit:?}; the disk hangs or an earlier write failed. \
             The process ends, because it could acknowledge nothing more. \
             Check the disk and the kernel log, then start again\n",
            folder.display()
        );
        // The log may be what hangs, so this goes to standard error directly, and whether it
        // arrives does not matter any more.
        let _ = std::io::stderr().write_all(message.as_bytes());
        std::process::exit(1);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_call_that_takes_too_long_raises_the_alarm_with_its_name() {
        let (heard, alarm) = channel();
        let watchdog = Watchdog::start(
            Duration::from_millis(500),
            Box::new(move |what| heard.send(what.to_string()).unwrap()),
        )
        .unwrap();
        watchdog.during("a quick call", || {});
        std::thread::sleep(Duration::from_millis(700));
        assert!(alarm.try_recv().is_err(), "idle time must not count");
        watchdog.during("a slow call", || {
            assert_eq!(alarm.recv_timeout(Duration::from_secs(5)).unwrap(), "a slow call");
        });
    }
}
