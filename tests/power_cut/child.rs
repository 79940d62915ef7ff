//! The child that is cut: a real store at work, which notes what it is about to ask and what was
//! acknowledged, in the order in which it happens.

use super::talk::Talk;
use crate::simulation::bodies::{any_length, headers_of, job_id, payload_of, result_of};
use crate::simulation::random::Random;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use windlass_engine::command::{Change, Enqueue, Fetch, How, JobSpec, Mutation, Select, Settlement, Wishes};
use windlass_engine::frame::{Body, SettleCode, Work};
use windlass_engine::policy::Policy;
use windlass_engine::terms::Terms;
use windlass_engine::{Command, JobId};

/// What a child is told.
pub struct Orders {
    /// The data directory.
    pub data: PathBuf,
    /// Where its notes go.
    pub notes: PathBuf,
    /// Its randomness; also keeps the job ids of several children apart.
    pub seed: u64,
    /// How long it works.
    pub steps: u64,
}

struct Child {
    talk: Talk,
    notes: File,
    random: Random,
    made: u64,
    alive: Vec<JobId>,
}

/// Works until the orders are done, then stops, in order or not.
pub fn run(orders: &Orders) {
    let notes = OpenOptions::new().append(true).open(&orders.notes).expect("the explorer made it");
    let talk = Talk::start(&orders.data, orders.seed).expect("the store opens");
    let random = Random::new(orders.seed);
    let mut child = Child { talk, notes, random, made: orders.seed << 32, alive: Vec::new() };
    child.note("ready");
    for _ in 0..orders.steps {
        match child.random.below(10) {
            0..=4 => child.enqueue(),
            5..=8 => child.work(),
            _ => child.delete(),
        }
    }
    if child.random.chance(50) {
        child.talk.stop().expect("the store stops");
    }
}

impl Child {
    /// One write, so one note, before anything else happens.
    fn note(&mut self, text: &str) {
        self.notes.write_all(text.as_bytes()).expect("notes can be written");
    }

    fn enqueue(&mut self) {
        let jobs: Vec<JobSpec> = (0..=self.random.below(8)).map(|_| self.new_job()).collect();
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        for id in &ids {
            self.note(&format!("enqueue {id}"));
        }
        let enqueue = Enqueue { jobs: jobs.into_iter().map(Ok).collect(), partial: false, wait_ms: None };
        let frames = self.talk.ask(Command::Enqueue(enqueue)).expect("the store works");
        if frames.iter().any(|frame| matches!(frame.body, Body::Enqueued(_))) {
            for id in ids {
                self.note(&format!("enqueued {id}"));
                self.alive.push(id);
            }
        }
    }

    fn new_job(&mut self) -> JobSpec {
        self.made += 1;
        let payload = any_length(&mut self.random, 20_000);
        let id = job_id(self.made, payload, u16::try_from(self.random.below(300)).expect("short"));
        JobSpec {
            id,
            queue: "q".into(),
            kind: "k".into(),
            key: format!("order-{}", self.made),
            payload: payload_of(id),
            headers: headers_of(id),
            wishes: Some(Box::new(Wishes {
                terms: Terms {
                    policy: Policy { keep_done_ms: Some(1 << 40), ..Policy::default() },
                    ..Terms::default()
                },
                ..Wishes::default()
            })),
            ..JobSpec::default()
        }
    }

    fn work(&mut self) {
        let fetch = Fetch {
            stream: 0,
            queues: vec!["q".into()],
            weights: Vec::new(),
            batch: None,
            kinds: Vec::new(),
            slots: 1,
            once: 6,
            wait_ms: 0,
            lease_ms: None,
            close: false,
        };
        let frames = self.talk.ask(Command::Fetch(Box::new(fetch))).expect("the store works");
        let works: Vec<Work> = frames
            .into_iter()
            .flat_map(|frame| if let Body::Deliver { works, .. } = frame.body { works } else { Vec::new() })
            .collect();
        for work in &works {
            self.note(&format!("leased {} {}", work.id, work.fence));
        }
        let mut results = Vec::new();
        for work in works.iter().filter(|work| work.fence % 5 > 0) {
            self.note(&format!("settle {} {}", work.id, work.fence));
            let how = How::Complete(result_of(work.id, work.fence));
            results.push(Settlement { id: work.id, fence: work.fence, how, checkpoint: None, spawn: None });
        }
        self.settle(results);
    }

    fn settle(&mut self, results: Vec<Settlement>) {
        let sent: Vec<(JobId, u64)> = results.iter().map(|result| (result.id, result.fence)).collect();
        if sent.is_empty() {
            return;
        }
        for frame in self.talk.ask(Command::Settle(results)).expect("the store works") {
            let Body::Settled(ones) = frame.body else { continue };
            for (one, (id, fence)) in ones.iter().zip(&sent) {
                assert_eq!(one.code, SettleCode::Settled, "nobody else takes leases here");
                self.note(&format!("settled {id} {fence}"));
            }
        }
    }

    fn delete(&mut self) {
        let mut ids = Vec::new();
        for _ in 0..self.random.below(12) {
            if !self.alive.is_empty() {
                let place = self.random.place(self.alive.len());
                ids.push(self.alive.swap_remove(place));
            }
        }
        if ids.is_empty() {
            return;
        }
        for id in &ids {
            self.note(&format!("delete {id}"));
        }
        let change = Box::new(Change::new(Select::ids(ids.clone()), Mutation::Delete));
        self.talk.ask(Command::Change(change)).expect("the store works");
        for id in ids {
            self.note(&format!("deleted {id}"));
        }
    }
}

/// The orders in the environment, if this process is a child.
pub fn orders() -> Option<Orders> {
    let path = |name: &str| std::env::var_os(name).map(|text| Path::new(&text).to_path_buf());
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    Some(Orders {
        data: path("CHILD_DATA")?,
        notes: path("WATCH_NOTES")?,
        seed: number("CHILD_SEED")?,
        steps: number("CHILD_STEPS")?,
    })
}
