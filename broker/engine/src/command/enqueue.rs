//! Enqueue: jobs as their producers describe them.

use super::Refusal;
use crate::blob::Blob;
use crate::flow::{DepPolicy, On};
use crate::ids::{JobId, Ms};
use crate::schedule::TickOf;
use crate::terms::{Gate, Terms};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Jobs to store.
#[derive(Clone, Debug)]
pub struct Enqueue {
    /// The jobs, each checked in form: a spec, or what is wrong with it (only when `partial`).
    pub jobs: Vec<Result<JobSpec, Refusal>>,
    /// Store what can be stored; otherwise all or nothing.
    pub partial: bool,
    /// Answer when the jobs have ended, or after this long.
    pub wait_ms: Option<u64>,
}

/// A job as its producer describes it, or a schedule's template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its identity.
    pub id: JobId,
    /// Queue name.
    pub queue: String,
    /// Kind name; "" = it is a group.
    pub kind: String,
    /// Lane inside the queue; "" = none.
    pub key: String,
    /// Opaque to the broker.
    pub payload: Blob,
    /// Content type and headers: opaque here, encoded by the session floor.
    pub headers: Blob,
    /// Earliest time to run; 0 = now.
    pub run_at: Ms,
    /// What it asks for beyond the plain; most jobs ask for nothing.
    pub wishes: Option<Box<Wishes>>,
}

/// What few jobs ask for. It stands apart, so that all the others are small, and one look tells that they
/// are plain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Not started by then, it expires; 0 = never.
    pub expires_at: Ms,
    /// How it is treated and found.
    pub terms: Terms,
    /// What must be so before it may start.
    pub gate: Gate,
    /// What to do when a job for the same thing exists.
    pub dedup: Option<Box<Dedup>>,
    /// It waits for its confirmation.
    pub hold: Option<Hold>,
    /// What it waits for, and what it counts into; no template has it.
    #[serde(skip)]
    pub flow: Option<Box<Flow>>,
    /// It stands for this tick, which also makes its id; no template has it.
    #[serde(skip)]
    pub tick: Option<TickOf>,
}

impl JobSpec {
    /// What ties it to other jobs.
    #[must_use]
    pub fn flow(&self) -> Option<&Flow> {
        self.wishes.as_ref()?.flow.as_deref()
    }
}

/// What ties a job to other jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// It waits for these, each named once.
    pub after: Vec<After>,
    /// What becomes of it when one of those ends otherwise; of a group, when a member does.
    pub policy: DepPolicy,
    /// It counts into this group.
    pub group: Option<JobId>,
}

/// A job that another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Its identity.
    pub job: JobId,
    /// Which end of it is waited for.
    pub on: On,
}

/// When a job for the same thing exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedup {
    /// What is the same for both.
    pub key: String,
    /// Compared in the whole namespace, not only in the queue.
    pub whole_namespace: bool,
    /// How long the new job has the key.
    pub until: DedupUntil,
    /// What becomes of the new job when another one has it.
    pub on_conflict: OnConflict,
    /// Longest payload of a job that others append to.
    pub payload_bytes_max: u32,
}

/// How long a job has its dedup key. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DedupUntil {
    /// Until it ends.
    Finish,
    /// Until it is first leased.
    Start,
    /// For so long after it was enqueued.
    Window(Ms),
}

/// What becomes of a job whose dedup key is taken. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnConflict {
    /// It is dropped.
    KeepOld,
    /// The other one takes its payload and its time, unless it has started.
    Replace,
    /// It runs after the other one; at most one waits, the newest.
    RunAfter,
    /// The other one is cancelled.
    CancelRunning,
    /// It is refused.
    Reject,
    /// The other one takes its payload in addition to its own, unless it has started.
    Append,
}

/// How a job waits for its confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// For how long.
    pub ttl_ms: Ms,
    /// Then it runs, instead of expiring.
    pub then_run: bool,
}
