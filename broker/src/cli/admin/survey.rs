//! One look at the whole broker: what it holds, how fast it goes, and what is wrong with it.

use super::super::findings::Finding;
use super::super::output::{count, length, size};
use super::{Desk, workers};
use std::time::Duration;
use windlass_client::Error;
use windlass_client::proto::beat::Phase;
use windlass_client::proto::{
    KindView, LimitView, QueueView, ScheduleView, Selector, ServerView, SessionView,
};

/// A worker that is silent for so long has missed a sign of life or two.
const SILENT_MS: u64 = 12_000;
/// A loop that is so late cannot tell in time that its worker is alive.
const LAG_MS: u64 = 1_000;
/// A job that waits so long, with workers there, waits for more of them.
const OLD_MS: u64 = 15 * 60_000;
/// A sync so slow is felt by everybody.
const SYNC_US: u64 = 100_000;
/// Room below which jobs are soon refused, and soon nothing goes any more.
const ROOM_LOW: u64 = 1 << 30;
const ROOM_OUT: u64 = 256 << 20;
/// How far back deaths count as news.
const NEWS_MS: u64 = 3_600_000;
/// A tick that is so late has been missed.
const LATE_MS: u64 = 60_000;

/// What there is at one moment.
pub(super) struct Survey {
    pub(super) server: ServerView,
    pub(super) queues: Vec<QueueView>,
    pub(super) workers: Vec<SessionView>,
    pub(super) schedules: Vec<ScheduleView>,
    pub(super) limits: Vec<LimitView>,
    pub(super) kinds: Vec<KindView>,
    /// Jobs that died lately and are still there.
    died: u64,
}

/// What a queue has done in all its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) enqueued: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
}

impl Totals {
    pub(super) fn of(queue: &QueueView) -> Self {
        Self {
            enqueued: queue.enqueued_total,
            completed: queue.completed_total,
            failed: queue.failed_total + queue.crashed_total,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            enqueued: self.enqueued + other.enqueued,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
        }
    }

    /// What came to it since then, a second.
    pub(super) fn rates(self, before: Self, span: Duration) -> Self {
        let rate = |now: u64, then: u64| {
            let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
            (now.saturating_sub(then) * 1_000 + ms / 2) / ms
        };
        Self {
            enqueued: rate(self.enqueued, before.enqueued),
            completed: rate(self.completed, before.completed),
            failed: rate(self.failed, before.failed),
        }
    }

    /// The share of ends that were failures, in permille.
    pub(super) fn failing(self) -> u64 {
        (self.failed * 1_000).checked_div(self.failed + self.completed).unwrap_or(0)
    }
}

impl Survey {
    /// Looks.
    pub(super) async fn take(desk: &Desk) -> Result<Self, Error> {
        let errors = desk.admin.errors(NEWS_MS, Selector::default()).await?;
        let server = desk.admin.stats().await?;
        let since = server.server_at_ms.saturating_sub(NEWS_MS);
        Ok(Self {
            queues: desk.admin.queues().await?,
            workers: workers::others(desk).await?,
            schedules: desk.admin.schedules().await?,
            limits: desk.admin.limits().await?,
            kinds: desk.admin.kinds().await?,
            died: errors.iter().filter(|group| group.last_at_ms >= since).map(|group| group.dead).sum(),
            server,
        })
    }

    /// All queues together.
    pub(super) fn totals(&self) -> Totals {
        self.queues.iter().map(Totals::of).fold(Totals::default(), Totals::plus)
    }

    /// Sessions that take jobs of a queue.
    pub(super) fn workers_of(&self, queue: &str) -> impl Iterator<Item = &SessionView> {
        self.workers.iter().filter(move |session| session.queues.iter().any(|name| name == queue))
    }

    /// What is wrong, the worst first.
    pub(super) fn findings(&self, is_test_clock: bool) -> Vec<Finding> {
        let mut found = self.of_server(is_test_clock);
        found.extend(self.queues.iter().flat_map(|queue| self.of_queue(queue)));
        // Where nobody works at all the queues say so.
        let has_workers = self.workers.iter().any(|session| session.streams > 0);
        found.extend(self.kinds.iter().filter(|_| has_workers).filter_map(of_kind));
        found.extend(self.workers.iter().flat_map(of_worker));
        found.extend(self.schedules.iter().filter_map(|schedule| self.of_schedule(schedule)));
        found.extend(self.limits.iter().filter_map(|limit| self.of_limit(limit)));
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        found
    }

    fn of_server(&self, is_test_clock: bool) -> Vec<Finding> {
        let server = &self.server;
        let mut found = Vec::new();
        if server.draining {
            let fix = "it ends; its supervisor should start it again";
            found.push(Finding::critical("server.draining", "the broker is shutting down", fix));
        }
        if is_test_clock {
            let text = "the broker runs on a test clock: no time passes unless a client says so";
            found.push(Finding::warning("server.test_clock", text, "start it without --test-clock"));
        }
        if server.filesystem == "tmpfs" {
            let text = "the data lies on tmpfs and is gone when the machine is off";
            found.push(Finding::warning("disk.forgets", text, "put the data directory on a disk"));
        }
        let room = format!("{} are free on the disk of the data", size(server.disk_free_bytes));
        if server.disk_free_bytes < ROOM_OUT {
            found.push(Finding::critical("disk.full", room, "free some; jobs are refused until then"));
        } else if server.disk_free_bytes < ROOM_LOW {
            found.push(Finding::warning(
                "disk.low",
                room,
                "free some; below its low mark the broker refuses jobs",
            ));
        }
        if server.fsync_p99_us > SYNC_US {
            let text = format!("1 of 100 syncs takes {} ms or more", server.fsync_p99_us / 1_000);
            found.push(Finding::warning(
                "sync.slow",
                text,
                "`windlass doctor --data DIR` on that machine measures the disk",
            ));
        }
        if server.version != env!("CARGO_PKG_VERSION") {
            let text =
                format!("the broker is {}, this program is {}", server.version, env!("CARGO_PKG_VERSION"));
            found.push(Finding::warning("version.skew", text, "use the program of the same release"));
        }
        if self.died > 0 {
            let text = format!("{} died within the last hour", count(self.died, "job"));
            found.push(Finding::warning("jobs.dying", text, "windlass admin dead groups"));
        }
        found
    }

    fn of_queue(&self, queue: &QueueView) -> Vec<Finding> {
        let name = &queue.name;
        let mut found = Vec::new();
        let has_workers = self.workers_of(name).next().is_some();
        if queue.paused && queue.ready > 0 {
            let why =
                if queue.paused_why.is_empty() { String::new() } else { format!(": {}", queue.paused_why) };
            let text = format!("queue {name} is paused with {} ready{why}", count(queue.ready, "job"));
            found.push(Finding::warning("queue.paused", text, format!("windlass admin queue resume {name}")));
        } else if queue.ready > 0 && !has_workers {
            let text = format!("queue {name} has {} ready and no worker", count(queue.ready, "job"));
            found.push(Finding::critical("queue.no_worker", text, format!("start a worker for {name}")));
        } else if queue.oldest_ready_ms > OLD_MS {
            let age = length(queue.oldest_ready_ms);
            let text = format!("the oldest ready job of queue {name} waits for {age}");
            let fix = format!(
                "more workers, or `windlass admin jobs list --queue {name} --state ready --oldest-first -n 1` and explain it"
            );
            found.push(Finding::warning("queue.old", text, fix));
        }
        found.into_iter().map(|finding| finding.of_queue(name)).collect()
    }

    fn of_schedule(&self, view: &ScheduleView) -> Option<Finding> {
        let name = &view.name;
        let schedule = view.schedule.clone().unwrap_or_default();
        if schedule.paused {
            return (view.failures > 0).then(|| {
                let text = format!("schedule {name} is paused after {} dead jobs in a row", view.failures);
                Finding::warning("schedule.paused", text, format!("windlass admin schedule resume {name}"))
            });
        }
        let is_late = view.next_at_ms > 0 && view.next_at_ms + LATE_MS < self.server.server_at_ms;
        is_late.then(|| {
            let text = format!("schedule {name} is late for its tick");
            Finding::warning("schedule.late", text, format!("windlass admin schedule show {name}"))
        })
    }

    fn of_limit(&self, view: &LimitView) -> Option<Finding> {
        (view.open_until_at_ms > self.server.server_at_ms).then(|| {
            let for_ms = view.open_until_at_ms - self.server.server_at_ms;
            let text = format!("the breaker {} is open for another {}", view.name, length(for_ms));
            Finding::warning("breaker.open", text, "too much fails: windlass admin errors")
        })
    }
}

/// Jobs that nobody who is there has a handler for.
fn of_kind(kind: &KindView) -> Option<Finding> {
    (kind.ready > 0 && kind.streams == 0).then(|| {
        let text = format!("no worker takes kind {}, of which {} ready", kind.name, are(kind.ready));
        let fix = format!("deploy a worker that handles {}, or move its jobs", kind.name);
        Finding::critical("kind.no_worker", text, fix)
    })
}

fn are(jobs: u64) -> String {
    format!("{} {}", count(jobs, "job"), if jobs == 1 { "is" } else { "are" })
}

fn of_worker(session: &SessionView) -> Vec<Finding> {
    let mut found = Vec::new();
    let who = format!("worker {} {} ({})", session.client, session.host, session.pid);
    let holds = |what: &str| format!("{who} {what} and holds {}", count(session.leases, "job"));
    if session.leases > 0 && session.last_sign_ms_ago > SILENT_MS {
        let text = holds(&format!("is silent for {}", length(session.last_sign_ms_ago)));
        found.push(Finding::warning("worker.silent", text, "its jobs go back when its session ends"));
    }
    if session.loop_lag_ms > LAG_MS {
        let text = holds(&format!("is {} behind with its own loop", length(session.loop_lag_ms)));
        found.push(Finding::warning(
            "worker.blocked",
            text,
            "a handler blocks it: move the work to a thread",
        ));
    }
    if session.phase() == Phase::Quiet && session.leases == 0 {
        let text = format!("{who} is told to be quiet and has nothing to do");
        found.push(Finding::warning("worker.quiet", text, "windlass admin workers resume, or stop it"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::findings::Severity;
    use super::*;

    fn survey(queue: QueueView, workers: Vec<SessionView>) -> Vec<&'static str> {
        let server = ServerView {
            version: env!("CARGO_PKG_VERSION").into(),
            disk_free_bytes: 1 << 40,
            ..ServerView::default()
        };
        let survey = Survey {
            server,
            queues: vec![queue],
            workers,
            schedules: Vec::new(),
            limits: Vec::new(),
            kinds: Vec::new(),
            died: 0,
        };
        let found = survey.findings(false);
        assert!(found.iter().all(|finding| finding.severity > Severity::Ok && !finding.fix.is_empty()));
        found.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_queue_that_stands_says_why() {
        let queue = |ready, paused| QueueView { name: "mail".into(), ready, paused, ..QueueView::default() };
        let worker = SessionView { queues: vec!["mail".into()], ..SessionView::default() };
        assert_eq!(survey(queue(0, false), Vec::new()), [""; 0]);
        assert_eq!(survey(queue(9, false), Vec::new()), ["queue.no_worker"]);
        assert_eq!(survey(queue(9, true), Vec::new()), ["queue.paused"]);
        assert_eq!(survey(queue(9, false), vec![worker.clone()]), [""; 0]);
        let old = QueueView { oldest_ready_ms: OLD_MS + 1, ..queue(9, false) };
        assert_eq!(
            survey(old, vec![SessionView { loop_lag_ms: 2_000, ..worker }]),
            ["queue.old", "worker.blocked"]
        );
    }

    #[test]
    fn a_kind_that_nobody_has_a_handler_for_is_named() {
        let kind = |ready, streams| KindView { name: "pdf".into(), ready, streams, ..KindView::default() };
        assert_eq!(of_kind(&kind(2, 0)).unwrap().text, "no worker takes kind pdf, of which 2 jobs are ready");
        assert!(of_kind(&kind(0, 0)).is_none() && of_kind(&kind(2, 1)).is_none());
    }

    #[test]
    fn rates_are_what_came_to_it_a_second() {
        let totals = |enqueued, completed, failed| Totals { enqueued, completed, failed };
        let rates = totals(20, 10, 5).rates(totals(10, 10, 2), Duration::from_millis(500));
        assert_eq!(rates, totals(20, 0, 6));
        assert_eq!((totals(0, 3, 1).failing(), totals(9, 0, 0).failing()), (250, 0));
    }
}
