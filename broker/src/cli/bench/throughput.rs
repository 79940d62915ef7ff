//! The closed loops: jobs acknowledged a second, and whole lives a second.

use super::Problem;
use super::args::{EnqueueArgs, LifeArgs, Producers, Workers};
use super::broker::Target;
use super::credit::Credit;
use super::meter::Meter;
use super::producer::{Load, Producer};
use super::report::{Parameter, Report};
use super::tally::Tally;
use super::timed::{self, Tasks, unbroken};
use super::worker::Worker;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The workers that complete a backlog.
const DRAIN: Workers = Workers { workers: 2, slots: 1_000 };
/// How often it is looked whether they are through.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Fewest jobs alive by default.
const ALIVE_MIN: u64 = 1_024;

/// `windlass bench enqueue`.
pub(super) async fn enqueue(args: &EnqueueArgs) -> Result<(), Problem> {
    let (connections, load) = load(args.producers, (64, 1, 1), args.common.payload);
    let load = Load { is_timed: true, ..load };
    let target = Target::open(args.elsewhere.addr.as_deref(), &args.common).await?;
    let meter = Meter::open(&target).await?;
    let (tally, credit) = (Rc::new(Tally::new()), Rc::new(Credit::endless()));
    let mut tasks = Tasks::new();
    produce(&mut tasks, &target.addr, (connections, &load), &tally, &credit).await?;
    let stretch = timed::stretch(&mut tasks, &tally, &meter, args.elsewhere.seconds).await?;
    tasks.shutdown().await;
    let mut parameters = producers(connections, &load);
    parameters.push(("payload", args.common.payload.into()));
    parameters.push(("seconds", args.elsewhere.seconds.into()));
    let mut report = Report::timed("enqueue", parameters, &stretch);
    report.requests_refused = Some(tally.refused());
    report.disk_bytes_per_job(&target, tally.done());
    conclude(target, meter).await?;
    Ok(report.print(&args.common.output.open())?)
}

/// `windlass bench life`.
pub(super) async fn life(args: &LifeArgs) -> Result<(), Problem> {
    let (connections, load) = load(args.producers, (2, 256, 1), args.common.payload);
    let load = Load { keep_done_ms: args.keep_done_ms, ..load };
    let slots = u64::from(args.workers.workers) * u64::from(args.workers.slots);
    let alive = args.alive.unwrap_or(ALIVE_MIN.max(2 * slots));
    if alive < load.batch.into() {
        return Err(Problem::Usage("--alive is less than one request's --batch".into()));
    }
    let target = Target::open(args.elsewhere.addr.as_deref(), &args.common).await?;
    let meter = Meter::open(&target).await?;
    let (tally, credit) = (Rc::new(Tally::new()), Rc::new(Credit::alive(alive)));
    let mut tasks = Tasks::new();
    work(&mut tasks, &target.addr, args.workers, &tally, &credit).await?;
    produce(&mut tasks, &target.addr, (connections, &load), &tally, &credit).await?;
    let stretch = timed::stretch(&mut tasks, &tally, &meter, args.elsewhere.seconds).await?;
    tasks.shutdown().await;
    let mut parameters = workers(args.workers);
    parameters.extend(producers(connections, &load));
    parameters.push(("alive", alive));
    parameters.extend(args.keep_done_ms.map(|keep| ("keep-done-ms", keep)));
    parameters.push(("payload", args.common.payload.into()));
    parameters.push(("seconds", args.elsewhere.seconds.into()));
    let mut report = Report::timed("life", parameters, &stretch);
    report.requests_refused = Some(tally.refused());
    report.disk_bytes_per_job(&target, tally.done());
    conclude(target, meter).await?;
    Ok(report.print(&args.common.output.open())?)
}

/// Leaves the broker without the bench's jobs, and ends it if it is ours.
pub(super) async fn conclude(target: Target, meter: Meter) -> Result<(), Problem> {
    clear(&target, &meter).await?;
    meter.close().await;
    target.close().await
}

/// How many connections, and what each does; `otherwise` are connections, in flight and batch.
pub(super) fn load(producers: Producers, otherwise: (u32, u32, u32), payload: u32) -> (u32, Load) {
    let load = Load {
        in_flight: producers.in_flight.unwrap_or(otherwise.1),
        batch: producers.batch.unwrap_or(otherwise.2),
        payload,
        keep_done_ms: None,
        is_timed: false,
    };
    (producers.connections.unwrap_or(otherwise.0), load)
}

/// Starts producers.
pub(super) async fn produce(
    tasks: &mut Tasks,
    addr: &str,
    (connections, load): (u32, &Load),
    tally: &Rc<Tally>,
    credit: &Rc<Credit>,
) -> Result<(), Problem> {
    // All are open before the first begins: with few jobs it may be done before the next is open, and
    // that is no failure.
    let mut opened = Vec::new();
    for _ in 0..connections {
        let open = Producer::open(addr, load, tally.clone(), credit.clone());
        opened.push(unbroken(tasks, open).await??);
    }
    for producer in opened {
        tasks.spawn_local(producer.run());
    }
    Ok(())
}

/// Starts workers.
pub(super) async fn work(
    tasks: &mut Tasks,
    addr: &str,
    workers: Workers,
    tally: &Rc<Tally>,
    credit: &Rc<Credit>,
) -> Result<(), Problem> {
    for _ in 0..workers.workers {
        let open = Worker::open(addr, workers.slots, tally.clone(), credit.clone());
        let worker = unbroken(tasks, open).await??;
        tasks.spawn_local(worker.run());
    }
    Ok(())
}

/// Completes all jobs of the benchmark: how many, and in which time.
pub(super) async fn drain(target: &Target, meter: &Meter) -> Result<(u64, Duration), Problem> {
    let (tally, credit) = (Rc::new(Tally::new()), Rc::new(Credit::endless()));
    let mut tasks = Tasks::new();
    let begun = Instant::now();
    work(&mut tasks, &target.addr, DRAIN, &tally, &credit).await?;
    while unbroken(&mut tasks, meter.alive()).await?? > 0 {
        unbroken(&mut tasks, tokio::time::sleep(DRAIN_LOOK)).await?;
    }
    let took = begun.elapsed();
    tasks.shutdown().await;
    Ok((tally.done(), took))
}

/// Leaves no jobs behind in a broker that is not ours.
pub(super) async fn clear(target: &Target, meter: &Meter) -> Result<(), Problem> {
    if target.own.is_none() {
        drain(target, meter).await?;
    }
    Ok(())
}

/// As on the command line.
pub(super) fn producers(connections: u32, load: &Load) -> Vec<Parameter> {
    vec![
        ("connections", connections.into()),
        ("in-flight", load.in_flight.into()),
        ("batch", load.batch.into()),
    ]
}

/// As on the command line.
pub(super) fn workers(workers: Workers) -> Vec<Parameter> {
    vec![("workers", workers.workers.into()), ("slots", workers.slots.into())]
}
