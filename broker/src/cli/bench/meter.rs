//! What the broker costs while it is measured: processor time, memory, syncs.

use super::broker::Target;
use super::tally::Tally;
use super::{NAME, Problem};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use windlass_client::proto::ServerView;
use windlass_client::{Admin, Client};

/// A broker refreshes its own figures once a second; this is how often we look whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// After this the figures are taken as they are.
const LOOK_FOR: Duration = Duration::from_millis(1_500);

/// Reads a broker's figures.
#[derive(Debug)]
pub(super) struct Meter {
    client: Client,
    /// Of a process of our own, which the kernel knows exactly.
    pid: Option<u32>,
}

/// What stood at an instant.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    /// Jobs done.
    pub(super) done: u64,
    /// Processor time of the broker; `None` if it does not say.
    pub(super) server_cpu_us: Option<u64>,
    /// Processor time of this process.
    pub(super) own_cpu_us: u64,
    /// Memory of the broker.
    pub(super) rss_bytes: u64,
    /// What the broker says of itself.
    pub(super) view: ServerView,
}

impl Meter {
    /// Connects.
    pub(super) async fn open(target: &Target) -> Result<Self, Problem> {
        let client = Client::builder().name("windlass-bench").connect(&target.addr).await?;
        Ok(Self { client, pid: target.own.as_ref().and_then(super::broker::Own::pid) })
    }

    /// Reads all figures, those of time at one instant.
    pub(super) async fn read(&self, tally: &Tally) -> Result<Reading, Problem> {
        let admin = self.client.admin();
        if let Some((cpu_us, rss_bytes)) = self.pid.and_then(of_process) {
            let (at, done, own_cpu_us) = (Instant::now(), tally.done(), own_cpu_us());
            let view = admin.stats().await?;
            return Ok(Reading { at, done, server_cpu_us: Some(cpu_us), own_cpu_us, rss_bytes, view });
        }
        let view = fresh(&admin).await?;
        Ok(Reading {
            at: Instant::now(),
            done: tally.done(),
            server_cpu_us: Some(view.cpu_us).filter(|&cpu| cpu > 0),
            own_cpu_us: own_cpu_us(),
            rss_bytes: view.rss_bytes,
            view,
        })
    }

    /// Jobs of the benchmark that wait or run.
    pub(super) async fn alive(&self) -> Result<u64, Problem> {
        let queue = self.client.admin().queue(NAME).await?.unwrap_or_default();
        Ok(queue.ready + queue.leased + queue.scheduled)
    }

    /// What the broker says of itself at once.
    pub(super) async fn view(&self) -> Result<ServerView, Problem> {
        Ok(self.client.admin().stats().await?)
    }

    /// Ends the session.
    pub(super) async fn close(self) {
        self.client.close().await;
    }
}

/// The broker's figures just after it has refreshed them.
async fn fresh(admin: &Admin) -> Result<ServerView, Problem> {
    let first = admin.stats().await?;
    let begun = Instant::now();
    while begun.elapsed() < LOOK_FOR {
        tokio::time::sleep(LOOK).await;
        let view = admin.stats().await?;
        if view.cpu_us != first.cpu_us {
            return Ok(view);
        }
    }
    Ok(first)
}

/// Processor time in microseconds and memory in bytes of a process, from the kernel.
fn of_process(pid: u32) -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; the state, field 3, follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)? + field(15)?;
    let cpu_us = ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Some((cpu_us, field(24)? * rustix::param::page_size() as u64))
}

fn own_cpu_us() -> u64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec.unsigned_abs() * 1_000_000 + spent.tv_nsec.unsigned_abs() / 1_000
}
