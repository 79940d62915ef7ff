//! A job as a producer writes it in JSON: the protocol's names, its policy beside them, times as
//! people write them.

use super::super::super::call::bytes;
use super::super::super::problem::Problem;
use super::super::super::span::{Length, Moment};
use crate::json::message::{Backoff, Dedup, Ordering, Written, of_fields};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;
use windlass_proto::v1::{self, JobSpec, Policy};

/// A new job. `kind` is enough.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewJob {
    /// Made by the client, so that the same request can be sent again safely; default: the broker makes one.
    id: Option<Uuid>,
    /// Which handler runs it; `type` means the same.
    #[serde(alias = "type")]
    #[schema(pattern = "^[A-Za-z0-9._:/-]{1,200}$")]
    kind: String,
    /// Where it waits; default `default`.
    #[schema(pattern = "^[A-Za-z0-9._:/-]{1,200}$")]
    queue: String,
    /// Any JSON.
    #[serde(alias = "data")]
    #[schema(value_type = serde_json::Value)]
    payload: Option<Box<RawValue>>,
    /// Bytes that are no JSON; excludes `payload`.
    payload_base64: Option<String>,
    /// Media type of the payload; default `application/json`.
    #[schema(max_length = 200)]
    content_type: String,
    /// Encoding of the payload.
    #[schema(max_length = 200)]
    content_encoding: String,
    /// Handed to the handler as they are.
    headers: BTreeMap<String, String>,
    /// Its lane.
    #[schema(max_length = 200)]
    key: String,
    /// Share of turns of its key.
    #[schema(minimum = 1, maximum = 1000)]
    weight: Option<u32>,
    /// For search and selection.
    #[schema(max_items = 16)]
    tags: Vec<String>,
    /// Names of further limits that it must pass.
    #[schema(max_items = 8)]
    limits: Vec<String>,
    /// Labels that its worker must have.
    need_labels: BTreeMap<String, String>,
    /// Not before this long from now, like `15m`.
    delay: Option<Length>,
    /// The same in milliseconds.
    delay_ms: Option<u64>,
    /// Not before this instant.
    run_at: Option<Moment>,
    /// If it has not started by then, it is expired.
    expires_at: Option<Moment>,
    /// What to do when a job for the same thing exists.
    dedup: Option<Dedup>,
    /// Waits for these jobs.
    after: Vec<After>,
    /// What becomes of it when one of them ends otherwise than asked: all_or_cancel, all_or_hold, all_or_run, any.
    dep_policy: Option<DepPolicy>,
    /// The group that it counts into.
    group: Option<Uuid>,
    /// Wait for a confirmation.
    hold: bool,
    /// How long at most.
    hold_ttl_ms: u64,
    /// Run when nobody has confirmed it by then; else it is expired.
    run_on_hold_timeout: bool,
    /// 0 to 9, higher first.
    #[schema(maximum = 9)]
    priority: Option<u32>,
    /// How many runs may fail.
    #[schema(minimum = 1, maximum = 10000)]
    max_attempts: Option<u32>,
    /// How long to wait between attempts.
    backoff: Option<Backoff>,
    /// How many workers may die with it.
    #[schema(minimum = 1, maximum = 1000)]
    max_crashes: Option<u32>,
    /// Its lease ends this long after delivery unless it is extended.
    lease_ms: Option<u64>,
    /// Longest run of one attempt.
    timeout_ms: Option<u64>,
    /// The handler must touch it at least this often.
    stall_ms: Option<u64>,
    /// If it has not started this long after it was enqueued, it is expired.
    ttl_ms: Option<u64>,
    /// How long it is kept once it is completed, cancelled or expired.
    keep_done_ms: Option<u64>,
    /// How long it is kept once it is dead.
    keep_dead_ms: Option<u64>,
    /// Slots and units of a limit that it takes.
    #[schema(minimum = 1, maximum = 1000)]
    cost: Option<u32>,
    /// What its key means: fair, serial, serial_skip_failed.
    ordering: Option<Ordering>,
}

/// A job that another one waits for.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct After {
    /// Its id; either this or `index`.
    job: Option<Uuid>,
    /// Its place in the same request, counted from 1.
    index: u32,
    /// Which end is waited for: success, finish, failure.
    on: Option<On>,
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Fields {
            job: Option<Uuid>,
            index: u32,
            on: Option<On>,
        }

        let Fields { job, index, on } = of_fields(deserializer)?;
        Ok(Self { job, index, on })
    }
}

macro_rules! word {
    ($name:ident, $wire:ty, $prefix:literal, [$($word:literal),*]) => {
        /// A word of the protocol.
        #[derive(Clone, Copy, Debug, Serialize)]
        pub(super) struct $name(i32);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                let known = <$wire>::from_str_name(&format!("{}{}", $prefix, word.to_uppercase()));
                let known = known.map(i32::from).filter(|value| *value != 0);
                known.map(Self).ok_or_else(|| {
                    D::Error::custom(format!("{word:?} is none of {}", [$($word),*].join(", ")))
                })
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($word),*])).into()
            }
        }

        impl ToSchema for $name {}
    };
}

word!(On, v1::after::On, "ON_", ["success", "finish", "failure"]);
word!(DepPolicy, v1::DepPolicy, "DEP_POLICY_", ["all_or_cancel", "all_or_hold", "all_or_run", "any"]);

impl NewJob {
    /// The id it was given.
    pub(super) fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// As it goes to the engine, under this id.
    pub(super) fn spec(self, id: Uuid) -> Result<JobSpec, Problem> {
        let policy = self.policy();
        let (content, payload) = payload(self.payload, self.payload_base64)?;
        if self.delay.is_some() && self.delay_ms.is_some() {
            return Err(Problem::invalid("delay and delay_ms mean the same; give one").at("/delay_ms"));
        }
        Ok(JobSpec {
            id: bytes(id),
            queue: self.queue,
            content_type: if self.kind.is_empty() || !self.content_type.is_empty() {
                self.content_type
            } else {
                content.to_owned()
            },
            kind: self.kind,
            payload,
            content_encoding: self.content_encoding,
            headers: self.headers,
            run_at_ms: self.run_at.map_or(0, |Moment(at)| at),
            delay_ms: self.delay.map_or(self.delay_ms.unwrap_or(0), |Length(ms)| ms),
            expires_at_ms: self.expires_at.map_or(0, |Moment(at)| at),
            key: self.key,
            weight: self.weight.unwrap_or(0),
            limits: self.limits,
            tags: self.tags,
            policy: (policy != Policy::default()).then_some(policy),
            dedup: self.dedup.map(Written::wire),
            after: self.after.into_iter().map(After::wire).collect(),
            dep_policy: self.dep_policy.map_or(0, |DepPolicy(policy)| policy),
            group: self.group.map(bytes).unwrap_or_default(),
            hold: self.hold,
            hold_ttl_ms: self.hold_ttl_ms,
            run_on_hold_timeout: self.run_on_hold_timeout,
            need_labels: self.need_labels,
        })
    }

    fn policy(&self) -> Policy {
        Policy {
            priority: self.priority,
            max_attempts: self.max_attempts,
            backoff: self.backoff.clone().map(Written::wire),
            max_crashes: self.max_crashes,
            lease_ms: self.lease_ms,
            timeout_ms: self.timeout_ms,
            stall_ms: self.stall_ms,
            ttl_ms: self.ttl_ms,
            keep_done_ms: self.keep_done_ms,
            keep_dead_ms: self.keep_dead_ms,
            keep_done_max: None,
            cost: self.cost,
            ordering: self.ordering.map(Written::wire),
        }
    }
}

impl After {
    fn wire(self) -> v1::After {
        v1::After {
            job: self.job.map(bytes).unwrap_or_default(),
            index: self.index,
            on: self.on.map_or(0, |On(on)| on),
        }
    }
}

/// A payload from one of its two forms, with its media type; empty if there is none.
pub(in super::super) fn payload(
    json: Option<Box<RawValue>>,
    base64: Option<String>,
) -> Result<(&'static str, Bytes), Problem> {
    match (json, base64) {
        (Some(_), Some(_)) => {
            Err(Problem::invalid("payload and payload_base64 exclude each other").at("/payload_base64"))
        }
        (Some(json), None) => Ok(("application/json", Box::<str>::from(json).into_string().into())),
        (None, Some(base64)) => match STANDARD.decode(base64.trim()) {
            Ok(bytes) => Ok(("application/octet-stream", bytes.into())),
            Err(_) => Err(Problem::invalid("this is not base64").at("/payload_base64")),
        },
        (None, None) => Ok(("", Bytes::new())),
    }
}
