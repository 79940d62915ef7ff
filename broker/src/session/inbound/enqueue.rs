//! Enqueue: job specifications, one by one.

use super::flow::{self, Ties};
use super::{Rules, policy, schedule, unique};
use crate::session::form::{
    Checked, at, at_most, inside, invalid, job_id, known, name, name_or, text, too_large,
};
use crate::session::passive::{self, Passive};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem::take;
use uuid::Uuid;
use windlass_engine::JobId;
use windlass_engine::command::{Enqueue, Hold, JobSpec, Wishes};
use windlass_engine::limits::{AFTER_PER_ENQUEUE_MAX, HOLD_TTL_MS_DEFAULT, LABEL_BYTES_MAX};
use windlass_engine::sink;
use windlass_engine::terms::{Gate, Terms};
use windlass_proto::limits::{
    DELAY_MS_MAX, ENQUEUE_WAIT_MS_DEFAULT, ENQUEUE_WAIT_MS_MAX, LIMITS_MAX, NEED_LABELS_MAX, TAG_BYTES_MAX,
    TAGS_MAX, TEXT_BYTES_MAX, WEIGHT_MAX,
};
use windlass_proto::v1;
use windlass_proto::v1::enqueue::Wait;

/// Checks an Enqueue. With `partial` a faulty job takes its refusal along; otherwise the first fault
/// refuses the whole.
pub(super) fn enqueue(enqueue: v1::Enqueue, rules: Rules) -> Checked<Enqueue> {
    let v1::Enqueue { jobs, partial, wait, wait_ms } = enqueue;
    let wait_ms = match known(wait, "wait")? {
        Wait::Unspecified | Wait::Accepted if wait_ms > 0 => {
            return Err(invalid("wait_ms", "only with wait FINISHED there is a time to wait"));
        }
        Wait::Unspecified | Wait::Accepted => None,
        Wait::Finished if wait_ms == 0 => Some(ENQUEUE_WAIT_MS_DEFAULT),
        Wait::Finished => Some(at_most(wait_ms, ENQUEUE_WAIT_MS_MAX, "wait_ms")?),
    };
    if jobs.is_empty() {
        return Err(invalid("jobs", "an Enqueue brings at least one job"));
    }
    Ok(Enqueue { jobs: job_specs("jobs", jobs, partial, rules)?, partial, wait_ms })
}

/// Checks the jobs of a list, which is the field of this name.
pub(super) fn job_specs(
    field: &str,
    jobs: Vec<v1::JobSpec>,
    partial: bool,
    rules: Rules,
) -> Checked<Vec<Checked<JobSpec>>> {
    let is_single = jobs.len() == 1;
    let mut seen = HashSet::with_capacity(if is_single { 0 } else { jobs.len() });
    let mut checked: Vec<Checked<JobSpec>> = Vec::with_capacity(jobs.len());
    let mut edges = 0;
    for (index, job) in jobs.into_iter().enumerate() {
        let job = job_spec(job, &checked, rules).and_then(|job| {
            let is_new = is_single || seen.insert(job.id);
            if is_new { Ok(job) } else { Err(invalid("id", "the same id stands twice in this request")) }
        });
        let job = job.map_err(|fault| at(field, index, fault));
        if let Ok(JobSpec { wishes: Some(wishes), .. }) = &job {
            edges += wishes.flow.as_ref().map_or(0, |flow| flow.after.len());
            if edges > AFTER_PER_ENQUEUE_MAX {
                let message = format!("all jobs of a request wait for at most {AFTER_PER_ENQUEUE_MAX} jobs");
                return Err(at(field, index, too_large("after", message)));
            }
        }
        match job {
            Err(fault) if !partial => return Err(fault),
            Ok(_) | Err(_) => checked.push(job),
        }
    }
    Ok(checked)
}

pub(super) fn job_spec(
    mut spec: v1::JobSpec,
    earlier: &[Checked<JobSpec>],
    rules: Rules,
) -> Checked<JobSpec> {
    let is_group = flow::is_group(&spec)?;
    let wishes =
        if is_plain(&spec) { None } else { Some(Box::new(wishes(&mut spec, is_group, earlier, rules)?)) };
    let v1::JobSpec { id, queue, kind, payload, content_type, content_encoding, headers, key, .. } = spec;
    if payload.len() > rules.payload_bytes_max {
        let message = format!("a payload of {} bytes, at most {}", payload.len(), rules.payload_bytes_max);
        return Err(too_large("payload", message));
    }
    if queue == sink::QUEUE && kind != sink::TEST_KIND {
        let message =
            "here the broker's own deliveries wait; a test is of kind `webhook.test`, its key the sink";
        return Err(invalid("queue", message));
    }
    Ok(JobSpec {
        id: if id.is_empty() { JobId(Uuid::now_v7().into_bytes()) } else { job_id(&id, "id")? },
        queue: name_or(queue, "default", "queue")?,
        kind: if is_group { String::new() } else { name(kind, "kind")? },
        key: text(key, TEXT_BYTES_MAX, "key")?,
        // Copied, so that a small payload does not keep a whole frame of others in memory.
        payload: (&*payload).into(),
        headers: passive::pack_job(Passive { content_type, content_encoding, headers })?,
        run_at: run_at(spec.run_at_ms, spec.delay_ms, rules.now_ms)?,
        wishes,
    })
}

/// The job asks for nothing beyond the plain. Every field of the schema stands here or in `job_spec`.
fn is_plain(spec: &v1::JobSpec) -> bool {
    let v1::JobSpec {
        id: _,
        queue: _,
        kind: _,
        payload: _,
        content_type: _,
        content_encoding: _,
        headers,
        run_at_ms: _,
        delay_ms: _,
        key: _,
        tags,
        policy,
        expires_at_ms: 0,
        weight: 0 | 1,
        limits,
        dedup: None,
        after,
        dep_policy: 0,
        group,
        hold: false,
        hold_ttl_ms: 0,
        run_on_hold_timeout: false,
        need_labels,
    } = spec
    else {
        return false;
    };
    let is_tick = !headers.is_empty() && headers.contains_key(schedule::SCHEDULE);
    let is_listed = [tags, limits].iter().any(|list| !list.is_empty());
    policy.is_none()
        && !is_tick
        && !is_listed
        && after.is_empty()
        && group.is_empty()
        && need_labels.is_empty()
}

/// Takes out of a job what it asks for beyond the plain.
fn wishes(
    spec: &mut v1::JobSpec,
    is_group: bool,
    earlier: &[Checked<JobSpec>],
    rules: Rules,
) -> Checked<Wishes> {
    if spec.weight > WEIGHT_MAX {
        return Err(invalid("weight", format!("{} is not within 1 to {WEIGHT_MAX}", spec.weight)));
    }
    let tick = schedule::tick_of(&mut spec.headers, rules)?;
    let (after, dep_policy, group) = (take(&mut spec.after), spec.dep_policy, take(&mut spec.group));
    let policy =
        spec.policy.take().map(policy::policy).transpose().map_err(|fault| inside("policy", fault))?;
    let dedup = spec.dedup.take().map(|dedup| unique::dedup(dedup, rules)).transpose();
    if tick.is_some() && (spec.hold || !after.is_empty() || !group.is_empty() || is_group) {
        return Err(invalid("headers", "a job that stands for a tick waits for nobody and is in no group"));
    }
    Ok(Wishes {
        expires_at: expires_at(spec.expires_at_ms, spec.run_at_ms)?,
        terms: Terms {
            policy: policy.unwrap_or_default(),
            weight: if spec.weight == 1 { 0 } else { spec.weight },
            tags: tags(take(&mut spec.tags), "tags")?,
        },
        gate: Gate {
            limits: limits(take(&mut spec.limits))?,
            need_labels: need_labels(take(&mut spec.need_labels))?,
        },
        dedup: dedup.map_err(|fault| inside("dedup", fault))?,
        hold: hold(spec)?,
        flow: flow::flow(Ties { after, dep_policy, group, is_group }, earlier)?,
        tick,
    })
}

fn hold(spec: &v1::JobSpec) -> Checked<Option<Hold>> {
    let (ttl_ms, then_run) = (spec.hold_ttl_ms, spec.run_on_hold_timeout);
    match (spec.hold, at_most(ttl_ms, DELAY_MS_MAX, "hold_ttl_ms")?) {
        (false, 0) if !then_run => Ok(None),
        (false, 0) => Err(invalid("run_on_hold_timeout", "it means nothing without hold")),
        (false, _) => Err(invalid("hold_ttl_ms", "it means nothing without hold")),
        (true, 0) => Ok(Some(Hold { ttl_ms: HOLD_TTL_MS_DEFAULT, then_run })),
        (true, ttl_ms) => Ok(Some(Hold { ttl_ms, then_run })),
    }
}

/// A list of tags.
pub(super) fn tags(tags: Vec<String>, field: &str) -> Checked<Vec<String>> {
    if tags.len() > TAGS_MAX {
        return Err(too_large(field, format!("a job has at most {TAGS_MAX} tags")));
    }
    let tags = tags.into_iter().enumerate();
    tags.map(|(index, tag)| text(tag, TAG_BYTES_MAX, "").map_err(|fault| at(field, index, fault))).collect()
}

/// Names of limits, sorted, so that the same ones are the same gate.
fn limits(limits: Vec<String>) -> Checked<Vec<String>> {
    if limits.len() > LIMITS_MAX {
        return Err(too_large("limits", format!("a job names at most {LIMITS_MAX} limits")));
    }
    let limits = limits.into_iter().enumerate();
    let limits: Checked<BTreeSet<String>> =
        limits.map(|(index, limit)| name(limit, "").map_err(|fault| at("limits", index, fault))).collect();
    Ok(limits?.into_iter().collect())
}

fn need_labels(labels: BTreeMap<String, String>) -> Checked<Vec<(String, String)>> {
    if labels.len() > NEED_LABELS_MAX {
        return Err(too_large("need_labels", format!("a job needs at most {NEED_LABELS_MAX} labels")));
    }
    let bytes: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > LABEL_BYTES_MAX {
        return Err(too_large("need_labels", format!("{bytes} bytes of labels, at most {LABEL_BYTES_MAX}")));
    }
    let field = "need_labels";
    let labels = labels.into_iter();
    labels
        .map(|(key, value)| Ok((text(key, TEXT_BYTES_MAX, field)?, text(value, TEXT_BYTES_MAX, field)?)))
        .collect()
}

/// When the job may run; 0 stands for at once.
fn run_at(run_at_ms: u64, delay_ms: u64, now_ms: u64) -> Checked<u64> {
    if run_at_ms > 0 && delay_ms > 0 {
        return Err(invalid("delay_ms", "run_at_ms and delay_ms exclude each other"));
    }
    at_most(delay_ms, DELAY_MS_MAX, "delay_ms")?;
    at_most(run_at_ms, now_ms.saturating_add(DELAY_MS_MAX), "run_at_ms")?;
    Ok(if delay_ms > 0 { now_ms.saturating_add(delay_ms) } else { run_at_ms })
}

/// Compared with what was said, not with the clock: the same job sent again later must not be refused.
fn expires_at(expires_at_ms: u64, run_at_ms: u64) -> Checked<u64> {
    if expires_at_ms > 0 && expires_at_ms <= run_at_ms {
        return Err(invalid("expires_at_ms", "the job would expire before it may run"));
    }
    Ok(expires_at_ms)
}
