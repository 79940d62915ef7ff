//! The open loop: jobs on schedule, timed from the instant at which each was due.

use super::Problem;
use super::args::LatencyArgs;
use super::broker::Target;
use super::credit::Credit;
use super::meter::Meter;
use super::pacer::Pacer;
use super::producer::{Load, Reused, cut, hello, refusal};
use super::report::Report;
use super::tally::{Tally, nanos};
use super::throughput::{clear, work, workers};
use super::timed::{self, Tasks};
use std::rc::Rc;
use std::time::Duration;
use windlass_client::proto::{ServerFrame, server_frame::Body};
use windlass_client::{Connection, Receiver, Sender};

/// `windlass bench latency`.
pub(super) async fn run(args: &LatencyArgs) -> Result<(), Problem> {
    let target = Target::open(args.elsewhere.addr.as_deref(), &args.common).await?;
    let meter = Meter::open(&target).await?;
    let (tally, credit) = (Rc::new(Tally::new()), Rc::new(Credit::endless()));
    let mut tasks = Tasks::new();
    work(&mut tasks, &target.addr, args.workers, &tally, &credit).await?;
    let schedule = Schedule::open(&target.addr, args, tally.clone()).await?;
    tasks.spawn_local(schedule.run());
    let stretch = timed::stretch(&mut tasks, &tally, &meter, args.elsewhere.seconds).await?;
    tasks.shutdown().await;
    let mut parameters = vec![("rate", args.rate.into())];
    parameters.extend(workers(args.workers));
    parameters.push(("payload", args.common.payload.into()));
    parameters.push(("seconds", args.elsewhere.seconds.into()));
    let mut report = Report::timed("latency", parameters, &stretch);
    report.disk_bytes_per_job(&target, tally.done());
    clear(&target, &meter).await?;
    meter.close().await;
    target.close().await?;
    Ok(report.print(&args.common.output.open())?)
}

/// One connection that enqueues what is due, and waits for nothing.
#[derive(Debug)]
struct Schedule {
    sender: Sender,
    receiver: Receiver,
    request: Reused,
    interval: Duration,
    tally: Rc<Tally>,
}

impl Schedule {
    async fn open(addr: &str, args: &LatencyArgs, tally: Rc<Tally>) -> Result<Self, Problem> {
        let (connection, _) = Connection::open(addr, hello()).await?;
        let (sender, receiver) = connection.split();
        let load = Load {
            in_flight: 1,
            batch: 1,
            payload: args.common.payload,
            keep_done_ms: None,
            is_timed: false,
        };
        let interval = Duration::from_secs(1) / args.rate;
        Ok(Self { sender, receiver, request: Reused::new(&load), interval, tally })
    }

    async fn run(mut self) -> Result<(), Problem> {
        let wrong = |error| Problem::own("the timer does not work", &error);
        let mut due_at = self.tally.now();
        let pacer = Pacer::start(self.interval).map_err(wrong)?;
        loop {
            tokio::select! {
                biased;
                due = pacer.due() => {
                    for _ in 0..due.map_err(wrong)? {
                        due_at += nanos(self.interval);
                        self.sender.send(self.request.with(1, due_at))?;
                    }
                    self.sender.flush().await?;
                }
                frame = self.receiver.recv() => {
                    hear(frame?)?;
                    while let Some(frame) = self.receiver.try_recv()? {
                        hear(Some(frame))?;
                    }
                }
            }
        }
    }
}

fn hear(frame: Option<ServerFrame>) -> Result<(), Problem> {
    match frame.ok_or_else(cut)?.body {
        Some(Body::Enqueued(_) | Body::Signal(_)) => Ok(()),
        // A job that was not taken has no latency, and a figure without it would be too good.
        Some(Body::Error(error)) => Err(refusal(error)),
        other => Err(Problem::Own(format!("an unexpected answer to Enqueue: {other:?}"))),
    }
}
