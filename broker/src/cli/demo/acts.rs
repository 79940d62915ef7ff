//! What the demo shows besides plain jobs, an act each: a schedule, a rate limit, a
//! redrive of dead jobs, a flow.

use super::actors::Stage;
use super::{Problem, demo_job, job, output, until};
use bytes::Bytes;
use serde_json::json;
use std::time::Instant;
use windlass_client::proto::change::To;
use windlass_client::proto::{
    Change, JobSpec, Limit, Put, Resource, Retry, Schedule, Selector, State, resource,
};
use windlass_client::{Admin, Client, JobId, NewJob};

/// Newsletters, and how many of them may go out in a second.
const NEWSLETTERS: u64 = 16;
const NEWSLETTERS_PER_SECOND: u64 = 8;
/// Pictures whose original is missing.
const PICTURES: u64 = 8;
/// Where it will be.
const ORIGINAL: &str = "in/late.png";

/// Pictures of an album.
const ALBUM: u64 = 6;

/// Ticks of the schedule, a second apart.
const TICKS: u64 = 3;

/// A part of the demo, and what it showed.
pub(super) struct Act {
    pub(super) name: &'static str,
    /// The tag of its jobs.
    pub(super) tag: &'static str,
    pub(super) jobs: u64,
    pub(super) shown: String,
}

/// A report a second. It begins before the other acts, and is looked at after them.
pub(super) async fn begin_schedule(admin: &Admin) -> Result<(), Problem> {
    let report = json!({"title": "Report", "lines": ["Everything is fine."]});
    let job = demo_job("generate_pdf", &report).tag("schedule").into_spec()?;
    // That of each job is made from the schedule and the tick.
    let job = JobSpec { id: Bytes::new(), ..job };
    let schedule = Schedule { every_ms: 1_000, max_runs: TICKS, job: Some(job), ..Schedule::default() };
    let resource = Resource {
        name: "schedule/report".into(),
        what: Some(resource::What::Schedule(schedule)),
        ..Resource::default()
    };
    admin.put(Put { set: vec![resource], ..Put::default() }).await?;
    Ok(())
}

/// The jobs of the schedule, one for each tick.
pub(super) async fn schedule(admin: &Admin) -> Result<Act, Problem> {
    let select = Selector { tags: vec!["schedule".into()], ..Selector::default() };
    until("the ticks of the schedule", async || {
        let jobs = admin.jobs(select.clone()).page().await?.jobs;
        let completed = jobs.iter().filter(|job| job.state() == State::Completed).count();
        Ok((completed as u64 == TICKS).then_some(()))
    })
    .await?;
    output::line(&format!("schedule   {TICKS} reports, one a second, each tick one job"));
    Ok(Act { name: "schedule", tag: "schedule", jobs: TICKS, shown: "one a second".into() })
}

/// More mail than may be sent at once: the broker paces it, whatever the workers could do.
pub(super) async fn rate_limit(client: &Client, admin: &Admin) -> Result<Act, Problem> {
    let limit = Limit { rate: NEWSLETTERS_PER_SECOND, per_ms: 1_000, burst: 1, ..Limit::default() };
    admin.set_limit("newsletter", limit, 0).await?;
    let newsletter = |number: u64| {
        let to = format!("reader{number}@example.com");
        let mail = json!({"to": to, "subject": "News", "body": "Slowly, please."});
        demo_job("send_email", &mail).tag("newsletter").limit("newsletter")
    };
    let began = Instant::now();
    let jobs = client.enqueue_many((0..NEWSLETTERS).map(newsletter)).await?;
    all(admin, jobs.iter().map(|job| job.id), "the newsletters").await?;
    let took = began.elapsed().as_secs_f64();
    output::line(&format!(
        "limit      {NEWSLETTERS} newsletters at {NEWSLETTERS_PER_SECOND} a second took {took:.1} s, two idle workers or not"
    ));
    let shown = format!("{NEWSLETTERS_PER_SECOND} a second: {took:.1} s");
    Ok(Act { name: "rate limit", tag: "newsletter", jobs: NEWSLETTERS, shown })
}

/// Jobs that died of one cause: it is mended, and all of them run again.
pub(super) async fn redrive(client: &Client, admin: &Admin, stage: &Stage) -> Result<Act, Problem> {
    let picture = |number: u64| {
        let resize = json!({"input": ORIGINAL, "width": 32 + number, "height": 32});
        demo_job("resize_image", &resize).tag("redrive").attempts(1)
    };
    let jobs = client.enqueue_many((0..PICTURES).map(picture)).await?;
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let mut fingerprint = String::new();
    for &id in &ids {
        let dead = until("the death of the pictures", async || {
            Ok(Some(job(admin, id).await?).filter(|job| job.state() == State::Dead))
        });
        fingerprint = dead.await?.error_fingerprint;
    }
    std::fs::copy(stage.out().join(stage.sample()), stage.out().join(ORIGINAL))?;
    let select = Selector { error_fingerprint: fingerprint.clone(), ..Selector::default() };
    let retry = To::Retry(Retry::default());
    let changed = admin.change(Change { select: Some(select), to: Some(retry), ..Change::default() }).await?;
    all(admin, ids, "the pictures").await?;
    output::line(&format!(
        "redrive    {PICTURES} pictures died of one cause ({fingerprint}); it was mended, and {} ran again",
        changed.matched
    ));
    let shown = format!("{} dead ones ran again", changed.matched);
    Ok(Act { name: "redrive", tag: "redrive", jobs: PICTURES, shown })
}

/// Pictures in a group, an album when all of them are done, a mail when the album is: one write.
pub(super) async fn flow(client: &Client, admin: &Admin, stage: &Stage) -> Result<Act, Problem> {
    let group = NewJob::new_group().queue(super::QUEUE);
    let pictures = (0..ALBUM).map(|number| {
        let resize = json!({"input": stage.sample(), "width": 100 + number, "height": 100});
        demo_job("resize_image", &resize).tag("flow").group(group.job_id())
    });
    let pdf = json!({"title": "Album", "lines": ["All pictures are done."]});
    let album = demo_job("generate_pdf", &pdf).tag("flow").after(group.job_id());
    let mail = json!({"to": "ada@example.com", "subject": "Your album", "body": "It is ready."});
    let mail = demo_job("send_email", &mail).tag("flow").after(album.job_id());
    let (group_id, album_id, mail_id) = (group.job_id(), album.job_id(), mail.job_id());
    let pictures: Vec<NewJob> = pictures.collect();
    client.enqueue_many([group].into_iter().chain(pictures).chain([album, mail])).await?;
    all(admin, [group_id, album_id, mail_id], "the mail about the album").await?;
    let ended = async |id| Ok::<_, Problem>(job(admin, id).await?.finished_at_ms);
    let ends = [ended(group_id).await?, ended(album_id).await?, ended(mail_id).await?];
    if !ends.is_sorted() {
        return Err(Problem::Unfinished(format!("the album was not made in its order: {ends:?}")));
    }
    output::line(&format!(
        "flow       {ALBUM} pictures, then their album, then a mail: one write, in this order"
    ));
    let shown = format!("{ALBUM} pictures, album, mail");
    Ok(Act { name: "flow", tag: "flow", jobs: ALBUM + 2, shown })
}

/// Waits until all of these are completed.
async fn all(admin: &Admin, ids: impl IntoIterator<Item = JobId>, what: &'static str) -> Result<(), Problem> {
    for id in ids {
        until(what, async || Ok((job(admin, id).await?.state() == State::Completed).then_some(()))).await?;
    }
    Ok(())
}
