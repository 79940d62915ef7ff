//! What handlers say while they run: gathered into few frames, in order, and before their outcome.

use std::time::Duration;

use windlass_client::proto::client_frame::Request;
use windlass_client::proto::server_frame::Body;
use windlass_client::proto::{JobTouch, SettleCode, Touched, Work, touched};
use windlass_client::{Client, JobContext, JobError, Worker, WorkerHandle};

use crate::peer::{Line, Peer, work};

/// A worker with one handler that runs this job.
async fn running(peer: &Peer, work: Work, worker: impl FnOnce(Worker) -> Worker) -> (WorkerHandle, Line) {
    let (client, _line) = peer.client(Client::builder()).await;
    let handle = worker(client.worker()).start();
    let mut line = peer.accept_main().await;
    let (stream, _) = line.hear_fetch().await;
    line.deliver(stream, vec![work]).await;
    (handle, line)
}

/// Hears touches, and answers each, until the outcome comes. What it brings for the next run.
async fn until_settled(line: &mut Line) -> (Vec<JobTouch>, Option<Vec<u8>>) {
    let mut touches = Vec::new();
    loop {
        let frame = line.hear_word().await;
        match frame.request {
            Some(Request::Touch(touch)) => {
                let one = touched::One { code: SettleCode::Settled.into(), ..touched::One::default() };
                let jobs = vec![one; touch.jobs.len()];
                touches.extend(touch.jobs);
                line.say(frame.id, Body::Touched(Touched { jobs })).await;
            }
            Some(Request::Settle(settle)) => {
                line.settled(frame.id, &settle, SettleCode::Settled).await;
                let checkpoint = settle.results[0].checkpoint.clone();
                return (touches, checkpoint.map(|bytes| bytes.to_vec()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_hot_loop_costs_few_frames_and_loses_no_line() {
    let peer = Peer::bind().await;
    let chatty = |context: JobContext| async move {
        for step in 0..1_000u32 {
            context.progress(step);
            context.note(format!("step {step}"));
            context.log(format!("line {step}"));
            context.output("x");
        }
        context.flush().await?;
        Ok::<_, JobError>("")
    };
    let (_handle, mut line) = running(&peer, work(1, "k", ""), |worker| worker.handle_raw("k", chatty)).await;
    let (touches, checkpoint) = until_settled(&mut line).await;
    assert!(touches.len() <= 40, "{} frames", touches.len());
    let lines: Vec<String> =
        touches.iter().flat_map(|touch| &touch.logs).map(|line| line.text.clone()).collect();
    assert_eq!(lines, (0..1_000).map(|step| format!("line {step}")).collect::<Vec<_>>());
    assert!(touches.iter().all(|touch| touch.fence == 1 && touch.logs.len() <= 100));
    let told = touches.iter().rev().find(|touch| touch.progress_permille.is_some()).expect("it was told");
    assert_eq!((told.progress_permille, &*told.note), (Some(999), "step 999"));
    assert_eq!(touches.iter().map(|touch| touch.stream.len()).sum::<usize>(), 1_000);
    assert_eq!(checkpoint, None);
}

#[tokio::test]
async fn a_checkpoint_that_waits_goes_with_the_outcome_and_an_old_one_can_be_read() {
    let peer = Peer::bind().await;
    let resuming = |context: JobContext| async move {
        let last: Option<u32> = context.last_checkpoint_json()?;
        assert_eq!((last, context.stall(), context.timeout()), (Some(7), Some(Duration::from_secs(5)), None));
        assert!(context.checkpoint(vec![0; 65_537]).is_err(), "too large");
        context.checkpoint_json(&8)?;
        Err::<String, _>(JobError::from("not yet"))
    };
    let again = Work { checkpoint: "7".into(), stall_ms: 5_000, ..work(1, "k", "") };
    let (_handle, mut line) = running(&peer, again, |worker| worker.handle_raw("k", resuming)).await;
    let (touches, checkpoint) = until_settled(&mut line).await;
    assert_eq!(checkpoint, Some(b"8".to_vec()));
    assert!(touches.iter().all(|touch| touch.checkpoint.is_none()), "{touches:?}");
}

#[tokio::test]
async fn a_touch_that_finds_the_lease_lost_stops_the_run() {
    let peer = Peer::bind().await;
    let touching = |context: JobContext| async move {
        let lost = context.touch().await;
        assert!(lost.is_err() && context.is_lost() && context.is_cancelled());
        context.log("for nobody");
        Ok::<_, JobError>("")
    };
    let (handle, mut line) =
        running(&peer, work(1, "k", ""), |worker| worker.handle_raw("k", touching)).await;
    let frame = line.hear_word().await;
    assert!(matches!(frame.request, Some(Request::Touch(_))), "{frame:?}");
    let one = touched::One { code: SettleCode::LeaseLost.into(), ..touched::One::default() };
    line.say(frame.id, Body::Touched(Touched { jobs: vec![one] })).await;
    crate::peer::soon("it is counted", async {
        while handle.stats().lost() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
