//! What frames hold of parts that change in the turn in which they are read.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names the frame that it is about")]

use super::*;
use crate::store::seam::Leaves;
use crate::store::simulated::SimDisk;
use windlass_engine::command::{
    Change, Dedup, DedupUntil, Enqueue, ErrorNote, Fetch, Hello, How, JobSpec, JobTouch, Mutation,
    OnConflict, Patch, Query, Select, Settlement, Telling, Touch, Wishes,
};
use windlass_engine::part::Slot;
use windlass_engine::{Frame, JobId, SessionId};

const NOW: u64 = 1_800_000_000_000;
const JOB: JobId = JobId([7; 16]);

/// A core over an empty disk, one connection, and the number of its last request.
struct Desk(Core, u64);

impl Desk {
    fn open() -> Self {
        let disk = SimDisk::new();
        let (mut journal, recovered) = disk.open_journal();
        let leaves = disk.open_leaves();
        let options = CoreOptions::default();
        let (mut core, _) = Core::recover(&mut journal, recovered, leaves.reader(), 1, options).unwrap();
        core.start(Start { now: NOW, minutes: 1 }, &mut Turn::new(1)).unwrap();
        Self(core, 0)
    }

    /// One turn over these commands.
    fn ask(&mut self, commands: Vec<Command>) -> Vec<Frame> {
        let mut turn = Turn::new(2);
        let numbered = commands.into_iter().map(|command| {
            self.1 += 1;
            (Request { conn: 1, id: self.1 }, command)
        });
        let numbered: Vec<_> = numbered.collect();
        self.0.turn(NOW, &[], numbered, &mut turn).unwrap();
        turn.frames
    }
}

fn hello() -> Command {
    Command::Hello(Box::new(Hello {
        namespace: "default".into(),
        client: "test/1".into(),
        host: String::new(),
        pid: 1,
        labels: Vec::new(),
        session_ttl_ms: 0,
        resume: None,
        running: None,
        fresh: SessionId([9; 16]),
        token: String::new(),
        reach: windlass_engine::Reach::default(),
    }))
}

fn fetch() -> Command {
    Command::Fetch(Box::new(Fetch { queues: vec!["q".into()], slots: 1, ..Fetch::default() }))
}

fn enqueue(job: JobSpec) -> Command {
    Command::Enqueue(Enqueue { jobs: vec![Ok(job)], partial: false, wait_ms: None })
}

fn fence(frames: &[Frame]) -> u64 {
    let delivered = frames.iter().find_map(|frame| match &frame.body {
        Body::Deliver { works, .. } => works.first(),
        _ => None,
    });
    delivered.expect("a job").fence
}

/// A note, and so many lines that both are written at once.
fn says(note: &str, fence: u64) -> Command {
    let (lines, logs) = (100, vec![b'l'; 1_000]);
    let telling = Telling { note: Some(note.into()), lines, logs, ..Telling::default() };
    let touch = JobTouch { id: JOB, fence, extend_ms: None, telling: Some(Box::new(telling)) };
    Command::Touch(Touch { beat: None, jobs: vec![touch] })
}

#[test]
fn a_note_is_shown_that_another_one_replaces_in_the_same_turn() {
    let mut desk = Desk::open();
    let job = JobSpec { id: JOB, queue: "q".into(), kind: "k".into(), ..JobSpec::default() };
    let first = desk.ask(vec![hello(), fetch(), enqueue(job)]);
    let how = How::Fail { error: Box::new(ErrorNote::default()), fatal: false, retry_after_ms: Some(0) };
    let end = Settlement { id: JOB, fence: fence(&first), how, checkpoint: None, spawn: None };
    let second = desk.ask(vec![says("one", fence(&first)), Command::Settle(vec![end])]);
    let third = desk.ask(vec![Command::Query(Query::Job(JOB)), says("two", fence(&second))]);
    let shown = third.into_iter().find_map(|frame| match frame.body {
        Body::Rows(rows) => rows.jobs.into_iter().next(),
        _ => None,
    });
    assert_eq!(shown.expect("the job").note, Slot::Bytes(b"one"[..].into()));
}

/// A job that is one item of a list.
fn listed(id: JobId, payload: &[u8]) -> Command {
    let dedup = Dedup {
        key: "x".into(),
        whole_namespace: false,
        until: DedupUntil::Finish,
        on_conflict: OnConflict::Append,
        payload_bytes_max: 1_000,
    };
    let wishes = Some(Box::new(Wishes { dedup: Some(Box::new(dedup)), ..Wishes::default() }));
    let (queue, kind, payload) = ("q".into(), "k".into(), payload.into());
    enqueue(JobSpec { id, queue, kind, payload, wishes, ..JobSpec::default() })
}

#[test]
fn a_list_that_was_emptied_begins_with_what_is_appended_next() {
    let mut desk = Desk::open();
    let patch = Patch { payload: Some([][..].into()), ..Patch::default() };
    let change = Change::new(Select::ids(vec![JOB]), Mutation::Patch(Box::new(patch)));
    desk.ask(vec![hello(), listed(JOB, b"one"), Command::Change(Box::new(change))]);
    let frames = desk.ask(vec![listed(JobId([8; 16]), b"two"), fetch()]);
    let delivered = frames.into_iter().find_map(|frame| match frame.body {
        Body::Deliver { works, .. } => works.into_iter().next(),
        _ => None,
    });
    assert_eq!(delivered.expect("the job").payload, Slot::Bytes(b"\x03two"[..].into()));
}
