//! `windlass demo`: a broker, workers and a few hundred real jobs in one command, with a retry, a
//! killed worker and a killed broker on the way, and some acts on what else jobs can do.

mod actors;
mod acts;

use super::exit::Exit;
use super::output;
use actors::{Actor, Stage};
use acts::Act;
use clap::Args;
use serde_json::{Value, json};
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use windlass_client::proto::{self, JobView, State};
use windlass_client::{Admin, Client, Error, JobId, NewJob};

const QUEUE: &str = "demo";
/// Where each kind writes.
const FOLDERS: [&str; 3] = ["maildir/new", "images", "pdf"];
const KINDS: [&str; 3] = ["send_email", "resize_image", "generate_pdf"];
/// How long the demo waits for anything before it says that it went wrong.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// See Windlass work: a broker, two workers and a few hundred real jobs of three kinds, on a
/// temporary directory. One job fails and is retried, one worker and then the broker itself are
/// killed with -9; then a rate limit, a redrive of dead jobs, a flow and a schedule have their act. Ends with a table and exit code 0 when every job was done.
#[derive(Args)]
pub(super) struct DemoArgs {
    /// Jobs, shared among the three kinds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    jobs: u32,
    /// Stay up afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// The example worker's own options.
#[derive(Args)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    options: worker_example::Options,
}

/// Runs the example worker, as its own program does.
pub(super) async fn run_worker(args: WorkerArgs) -> ExitCode {
    match worker_example::run(args.options, windlass_client::shutdown_signal()).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error.to_string()),
    }
}

/// Runs the demo.
pub(super) async fn run(args: DemoArgs) -> ExitCode {
    let mut stage = match Stage::set() {
        Ok(stage) => stage,
        Err(error) => return fail(Exit::Failed as u8, &format!("the demo cannot start: {error}")),
    };
    // Whoever ends the demo ends its processes, which are killed when their owner goes, and its files.
    let mut ended_by_the_user = pin!(windlass_client::shutdown_signal());
    let played = tokio::select! {
        played = play(&mut stage, args.jobs) => Some(played),
        () = &mut ended_by_the_user => None,
    };
    match played {
        Some(Ok(())) => {}
        None => {
            stage.end().await;
            return fail(Exit::Failed as u8, "the demo was stopped");
        }
        Some(Err(problem)) => {
            stage.leave_traces();
            return fail(Exit::Failed as u8, &format!("the demo went wrong: {problem}"));
        }
    }
    if args.keep {
        output::line(&format!("\nThe broker stays up at {}. Try:", stage.addr()));
        output::line(&format!("  windlass admin queues --addr {}", stage.addr()));
        output::line(&format!(
            "  windlass enqueue generate_pdf '{{\"title\":\"Hello\",\"lines\":[\"from me\"]}}' --queue demo --addr {}",
            stage.addr()
        ));
        output::line(&format!("What the workers write is in {}. Ctrl-C ends it.", stage.out().display()));
        ended_by_the_user.await;
    }
    stage.end().await;
    ExitCode::SUCCESS
}

fn fail(code: u8, message: &str) -> ExitCode {
    output::complain(message);
    ExitCode::from(code)
}

/// What can go wrong on stage.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Client(#[from] Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0} did not happen within {PATIENCE:?}")]
    Late(&'static str),
    #[error("{0}")]
    Unfinished(String),
}

async fn play(stage: &mut Stage, jobs: u32) -> Result<(), Problem> {
    let began = Instant::now();
    let addr = stage.start_broker().await?;
    output::line(&format!("broker     listening on {addr}, data in {}", stage.data().display()));
    let first = stage.start_worker("one")?;
    let second = stage.start_worker("two")?;
    output::line(&format!(
        "workers    two processes, {} and {}, four jobs each at a time",
        first.pid(),
        second.pid()
    ));
    let client = Client::connect(&addr).await?;
    let admin = client.admin();

    let slow = client.enqueue(slow_job()).await?.id;
    let flaky = client.enqueue(flaky_job()).await?.id;
    let sent = Instant::now();
    let others: Vec<NewJob> = (0..jobs - 2).map(|number| ordinary_job(number, stage)).collect();
    client.enqueue_many(others).await?;
    output::line(&format!("enqueue    {jobs} jobs of three kinds, on disk after {:.0?}", sent.elapsed()));

    let survivor = kill_worker(&admin, slow, [first, second]).await?;
    kill_broker(stage, &admin, survivor.pid()).await?;
    let replacement = stage.start_worker("three")?;
    output::line(&format!("worker     a new one, {}, takes the lost one's place", replacement.pid()));

    all_done(&admin, u64::from(jobs)).await?;
    let retried = job(&admin, flaky).await?;
    output::line(&format!("retry      {}", history_of(&retried)));
    // Before the acts write more of them.
    let files = FOLDERS.map(|folder| std::fs::read_dir(stage.out().join(folder)).map_or(0, Iterator::count));
    acts::begin_schedule(&admin).await?;
    let acts = [
        acts::rate_limit(&client, &admin).await?,
        acts::redrive(&client, &admin, stage).await?,
        acts::flow(&client, &admin, stage).await?,
        acts::schedule(&admin).await?,
    ];
    summary(&admin, files, jobs, &acts, began.elapsed()).await?;
    stage.keep_until_end([survivor, replacement]);
    Ok(())
}

/// Kills the worker that runs the slow job, and waits until somebody else runs it.
async fn kill_worker(admin: &Admin, slow: JobId, workers: [Actor; 2]) -> Result<Actor, Problem> {
    let leased = |job: &JobView| job.lease.as_ref().map(|lease| lease.worker.clone());
    let victim_name = until("the slow job's lease", async || Ok(leased(&job(admin, slow).await?))).await?;
    let [one, two] = workers;
    let is_one = victim_name.ends_with(&format!(":{}", one.pid()));
    let (mut victim, survivor) = if is_one { (one, two) } else { (two, one) };
    let killed = Instant::now();
    victim.kill().await?;
    output::line(&format!("kill -9    worker {}, while it runs {slow}", victim.pid()));
    until("the lost job's second run", async || {
        let now = job(admin, slow).await?;
        let is_elsewhere = leased(&now).is_some_and(|worker| worker != victim_name);
        Ok((is_elsewhere || now.state() == State::Completed).then_some(()))
    })
    .await?;
    output::line(&format!(
        "recovered  its jobs run again elsewhere after {:.1} s",
        killed.elapsed().as_secs_f64()
    ));
    Ok(survivor)
}

/// Kills the broker and starts it again: the worker keeps its leases, nothing is lost.
async fn kill_broker(stage: &mut Stage, admin: &Admin, survivor: u32) -> Result<(), Problem> {
    let before = admin.stats().await?.jobs;
    stage.kill_broker().await?;
    output::line("kill -9    the broker itself");
    let down = Instant::now();
    stage.start_broker().await?;
    let after = admin.stats().await?.jobs;
    output::line(&format!(
        "recovered  started again after {:.1} s with {after} jobs, {before} before; worker {survivor} goes on",
        down.elapsed().as_secs_f64()
    ));
    if after < before {
        return Err(Problem::Unfinished(format!("{} jobs were lost", before - after)));
    }
    Ok(())
}

async fn all_done(admin: &Admin, jobs: u64) -> Result<(), Problem> {
    let counts = until("the end of all jobs", async || {
        let queue = admin.queue(QUEUE).await?.unwrap_or_default();
        Ok((queue.completed + queue.dead + queue.cancelled >= jobs).then_some(queue))
    })
    .await?;
    if counts.completed == jobs {
        return Ok(());
    }
    Err(Problem::Unfinished(format!(
        "{} of {jobs} jobs completed, {} are dead",
        counts.completed, counts.dead
    )))
}

async fn summary(
    admin: &Admin,
    files: [usize; 3],
    jobs: u32,
    acts: &[Act],
    took: Duration,
) -> Result<(), Problem> {
    let mut rows = Vec::new();
    let mut completed = 0;
    for ((kind, folder), files) in KINDS.iter().zip(FOLDERS).zip(files) {
        let of_kind = |job: &JobView| job.kind == *kind && job.tags.is_empty();
        let counts = count(admin, of_kind).await?;
        completed += counts.completed;
        rows.push(counts.row(kind, &format!("{files} files in {folder}")));
    }
    for act in acts {
        let counts = count(admin, |job| job.tags.iter().any(|tag| tag == act.tag)).await?;
        if counts.completed < act.jobs {
            let message = format!("{} of {} jobs of the {} completed", counts.completed, act.jobs, act.name);
            return Err(Problem::Unfinished(message));
        }
        rows.push(counts.row(act.name, &act.shown));
    }
    output::line("");
    output::table(&["what", "completed", "attempts", "crashes", "shown"], &rows);
    output::line(&format!(
        "\n{completed} of {jobs} jobs completed in {:.1} s; nothing was lost.",
        took.as_secs_f64()
    ));
    Ok(())
}

/// What became of some jobs.
#[derive(Default)]
struct Counts {
    completed: u64,
    attempts: u64,
    crashes: u64,
}

impl Counts {
    fn row(&self, what: &str, shown: &str) -> Value {
        json!({
            "what": what, "completed": self.completed, "attempts": self.attempts, "crashes": self.crashes,
            "shown": shown,
        })
    }
}

async fn count(admin: &Admin, is_meant: impl Fn(&JobView) -> bool) -> Result<Counts, Problem> {
    let select = proto::Selector { queue: QUEUE.into(), ..Default::default() };
    let mut list = admin.jobs(select).page_size(1_000);
    let mut counts = Counts::default();
    while let Some(job) = list.next().await? {
        if is_meant(&job) {
            counts.completed += u64::from(job.state() == State::Completed);
            counts.attempts += u64::from(job.attempt);
            counts.crashes += u64::from(job.crashes);
        }
    }
    Ok(counts)
}

fn history_of(job: &JobView) -> String {
    match job.history.first() {
        Some(first) => format!(
            "{} failed once (\"{}\") and was done by attempt {}",
            job.kind, first.message, job.attempt
        ),
        None => format!("{} needed {} attempt(s)", job.kind, job.attempt),
    }
}

async fn job(admin: &Admin, id: JobId) -> Result<JobView, Problem> {
    admin.job(id).await?.ok_or_else(|| Problem::Unfinished(format!("job {id} is gone")))
}

/// Asks again and again, for a while.
async fn until<T>(
    what: &'static str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, Problem>,
) -> Result<T, Problem> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = ask().await? {
            return Ok(found);
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Problem::Late(what))
}

fn demo_job(kind: &str, payload: &Value) -> NewJob {
    let backoff = proto::Backoff { base_ms: 1_000, max_ms: 5_000, ..Default::default() };
    NewJob::new(kind)
        .queue(QUEUE)
        .payload(payload.to_string().into_bytes())
        .content_type("application/json")
        .backoff(backoff)
}

/// Takes three seconds, time enough to kill the worker in the middle.
fn slow_job() -> NewJob {
    demo_job(
        "generate_pdf",
        &json!({"title": "Slow", "lines": ["This one takes its time."], "hold_ms": 3_000}),
    )
    .priority(9)
}

/// Its first attempt fails.
fn flaky_job() -> NewJob {
    demo_job(
        "send_email",
        &json!({"to": "flaky@example.com", "subject": "Retry", "body": "Second time lucky.", "fail_first": 1}),
    )
}

fn ordinary_job(number: u32, stage: &Stage) -> NewJob {
    match number % 3 {
        0 => demo_job(
            "send_email",
            &json!({"to": format!("user{number}@example.com"), "subject": "Welcome", "body": "Hello."}),
        ),
        1 => demo_job(
            "resize_image",
            &json!({"input": stage.sample(), "width": 64 + number % 64, "height": 48}),
        ),
        _ => demo_job(
            "generate_pdf",
            &json!({"title": format!("Invoice {number}"), "lines": ["One windlass, 42.00"]}),
        ),
    }
}
