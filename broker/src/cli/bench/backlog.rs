//! A full queue: filling it, what it takes, and the way back after kill -9.

use super::Problem;
use super::args::BacklogArgs;
use super::broker::Target;
use super::credit::Credit;
use super::meter::Meter;
use super::report::Report;
use super::tally::Tally;
use super::throughput::{drain, load, produce, producers};
use super::timed::{Tasks, ended};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Longest wait for a fold that is under way when the queue is full.
const REST: Duration = Duration::from_secs(30);
/// How often it is looked whether it is over; the broker looks at itself once a second.
const REST_LOOK: Duration = Duration::from_millis(1_100);

/// `windlass bench backlog`.
pub(super) async fn run(args: &BacklogArgs) -> Result<(), Problem> {
    let (connections, load) = load(args.producers, (4, 4, 500), args.common.payload);
    let mut target = Target::open(None, &args.common).await?;
    let meter = Meter::open(&target).await?;
    let (tally, credit) = (Rc::new(Tally::new()), Rc::new(Credit::once(args.jobs)));
    let load = super::producer::Load { is_timed: true, ..load };
    let mut tasks = Tasks::new();
    let before = meter.read(&tally).await?;
    let begun = Instant::now();
    produce(&mut tasks, &target.addr, (connections, &load), &tally, &credit).await?;
    ended(&mut tasks).await?;
    let filled = begun.elapsed();
    rest(&meter).await?;
    let after = meter.read(&tally).await?;
    meter.close().await;

    let mut parameters = vec![("jobs", args.jobs)];
    parameters.extend(producers(connections, &load));
    parameters.push(("payload", args.common.payload.into()));
    let mut report = Report::counted("backlog", parameters, (&before, &after), filled);
    report.requests_refused = Some(tally.refused());
    report.disk_bytes_per_job(&target, tally.done());
    restart(&mut target, &mut report, args).await?;
    target.close().await?;
    Ok(report.print(&args.common.output.open())?)
}

async fn restart(target: &mut Target, report: &mut Report, args: &BacklogArgs) -> Result<(), Problem> {
    let Some(own) = &mut target.own else { return Ok(()) };
    let (addr, took) = own.restart().await?;
    target.addr = addr;
    report.restart_ms = Some(took.as_secs_f64() * 1_000.0);
    let meter = Meter::open(target).await?;
    let alive = meter.alive().await?;
    if alive != args.jobs {
        let message = format!("{} jobs were acknowledged, {alive} are there after kill -9", args.jobs);
        return Err(Problem::Own(message));
    }
    report.restarted_rss_bytes = Some(meter.read(&Tally::new()).await?.rss_bytes);
    if args.drain {
        let (jobs, took) = drain(target, &meter).await?;
        report.drain_jobs_per_s = Some(jobs as f64 / took.as_secs_f64());
    }
    meter.close().await;
    Ok(())
}

/// Waits until what the filling has left to do is done, so that memory and disk are those of a queue at
/// rest.
async fn rest(meter: &Meter) -> Result<(), Problem> {
    let begun = Instant::now();
    let mut last = (0, 0);
    while begun.elapsed() < REST {
        tokio::time::sleep(REST_LOOK).await;
        let view = meter.view().await?;
        if (view.folds_total, view.unfolded_bytes) == last {
            break;
        }
        last = (view.folds_total, view.unfolded_bytes);
    }
    Ok(())
}
