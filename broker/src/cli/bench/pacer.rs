//! A schedule that does not wait for anybody: a timer of the kernel, exact to microseconds.
//!
//! Tokio's own timers are exact to a millisecond, which is as long as what is measured.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use std::io;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Says how many jobs have become due.
#[derive(Debug)]
pub(super) struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// The first job is due one `interval` from now.
    pub(super) fn start(interval: Duration) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let every = Timespec {
            tv_sec: i64::try_from(interval.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: interval.subsec_nanos().into(),
        };
        let schedule = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &schedule)?;
        Ok(Self { timer: watched(timer)? })
    }

    /// Waits until jobs are due, and says how many since the last time. Safe to cancel.
    pub(super) async fn due(&self) -> io::Result<u64> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut times = [0; size_of::<u64>()];
            match rustix::io::read(self.timer.get_ref(), &mut times) {
                Ok(_) => return Ok(u64::from_ne_bytes(times)),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "an OwnedFd stays open and the same, which is all that `register`, unsafe, asks"
)]
fn watched(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(timer)
}
