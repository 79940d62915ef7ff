//! A stretch of time under load: warm-up, then two readings with the measured time between them.

use super::Problem;
use super::meter::{Meter, Reading};
use super::producer::cut;
use super::tally::{Percentiles, Tally};
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};

/// Everything that loads the broker. Dropped, it stops.
pub(super) type Tasks = JoinSet<Result<(), Problem>>;

/// Between two readings.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) before: Reading,
    pub(super) after: Reading,
    pub(super) latency: Percentiles,
}

/// Warms up, measures for `seconds`, leaves the load running.
pub(super) async fn stretch(
    tasks: &mut Tasks,
    tally: &Tally,
    meter: &Meter,
    seconds: u32,
) -> Result<Stretch, Problem> {
    let seconds = Duration::from_secs(seconds.into());
    let warm_up = (seconds / 10).max(Duration::from_secs(1));
    unbroken(tasks, tokio::time::sleep(warm_up)).await?;
    let before = unbroken(tasks, meter.read(tally)).await??;
    tally.forget_latencies();
    unbroken(tasks, tokio::time::sleep(seconds)).await?;
    let latency = tally.percentiles();
    let after = unbroken(tasks, meter.read(tally)).await??;
    Ok(Stretch { before, after, latency })
}

/// Waits for something while the load runs; a load that ends is a failure.
pub(super) async fn unbroken<T>(tasks: &mut Tasks, until: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::select! {
        done = until => Ok(done),
        Some(ended) = tasks.join_next() => Err(failure(ended).err().unwrap_or_else(cut)),
    }
}

/// Waits for the end of all.
pub(super) async fn ended(tasks: &mut Tasks) -> Result<(), Problem> {
    while let Some(ended) = tasks.join_next().await {
        failure(ended)?;
    }
    Ok(())
}

fn failure(ended: Result<Result<(), Problem>, JoinError>) -> Result<(), Problem> {
    ended.unwrap_or_else(|error| Err(Problem::own("a part of the load broke down", &error)))
}
