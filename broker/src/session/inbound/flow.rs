//! Flow: what ties a job to others, and what a group may say.

use crate::session::form::{Checked, at, invalid, job_id, known, too_large};
use bytes::Bytes;
use std::collections::HashSet;
use windlass_engine::JobId;
use windlass_engine::command::{After, Code, Flow, JobSpec, Refusal};
use windlass_engine::flow::{DepPolicy, On};
use windlass_proto::limits::AFTER_MAX;
use windlass_proto::v1::{self, after};

/// The fields of a job that tie it to others.
pub(super) struct Ties {
    pub(super) after: Vec<v1::After>,
    pub(super) dep_policy: i32,
    pub(super) group: Bytes,
    /// The job is a group itself.
    pub(super) is_group: bool,
}

/// Checks what ties a job to others; `earlier` are the jobs that stand before it in its request.
pub(super) fn flow(ties: Ties, earlier: &[Checked<JobSpec>]) -> Checked<Option<Box<Flow>>> {
    let Ties { after, dep_policy, group, is_group } = ties;
    if after.len() > AFTER_MAX {
        return Err(too_large("after", format!("a job waits for at most {AFTER_MAX} jobs")));
    }
    let policy = match known(dep_policy, "dep_policy")? {
        v1::DepPolicy::Unspecified => None,
        v1::DepPolicy::AllOrCancel => Some(DepPolicy::AllOrCancel),
        v1::DepPolicy::AllOrHold => Some(DepPolicy::AllOrHold),
        v1::DepPolicy::AllOrRun => Some(DepPolicy::AllOrRun),
        v1::DepPolicy::Any => Some(DepPolicy::Any),
    };
    if policy.is_some() && after.is_empty() && !is_group {
        return Err(invalid("dep_policy", "it means nothing without after"));
    }
    let group = if group.is_empty() { None } else { Some(job_id(&group, "group")?) };
    if after.is_empty() && group.is_none() && policy.is_none() {
        return Ok(None);
    }
    let mut seen = HashSet::with_capacity(after.len());
    let mut checked = Vec::with_capacity(after.len());
    for (number, after) in after.into_iter().enumerate() {
        let field = if after.index > 0 { "index" } else { "job" };
        let after = one(after, earlier).and_then(|after| {
            let is_new = seen.insert(after.job);
            if is_new { Ok(after) } else { Err(invalid(field, "this job is waited for already")) }
        });
        checked.push(after.map_err(|fault| at("after", number, fault))?);
    }
    Ok(Some(Box::new(Flow { after: checked, policy: policy.unwrap_or_default(), group })))
}

fn one(after: v1::After, earlier: &[Checked<JobSpec>]) -> Checked<After> {
    let v1::After { job, index, on } = after;
    let on = match known(on, "on")? {
        after::On::Unspecified | after::On::Success => On::Success,
        after::On::Finish => On::Finish,
        after::On::Failure => On::Failure,
    };
    if index > 0 && !job.is_empty() {
        return Err(invalid("index", "job and index exclude each other"));
    }
    let job = if index > 0 { indexed(index, earlier)? } else { job_id(&job, "job")? };
    Ok(After { job, on })
}

/// The job at this place of the request, counted from 1.
fn indexed(index: u32, earlier: &[Checked<JobSpec>]) -> Checked<JobId> {
    match earlier.get(index as usize - 1) {
        Some(Ok(spec)) => Ok(spec.id),
        Some(Err(_)) => {
            let message = format!("job {index} of this request was refused");
            Err(Refusal::new(Code::NotFound, "index", message))
        }
        None => {
            let message = format!("only the {} jobs before this one can be waited for", earlier.len());
            Err(invalid("index", message))
        }
    }
}

/// Whether the job is a group. A forgotten kind must not make one: a group has an id, so that its members
/// can name it, and nothing that only a handler could read.
pub(super) fn is_group(spec: &v1::JobSpec) -> Checked<bool> {
    if !spec.kind.is_empty() {
        return Ok(false);
    }
    let only_jobs = [
        ("payload", !spec.payload.is_empty()),
        ("content_type", !spec.content_type.is_empty()),
        ("content_encoding", !spec.content_encoding.is_empty()),
        ("headers", !spec.headers.is_empty()),
        ("run_at_ms", spec.run_at_ms > 0),
        ("delay_ms", spec.delay_ms > 0),
        ("key", !spec.key.is_empty()),
        ("limits", !spec.limits.is_empty()),
        ("dedup", spec.dedup.is_some()),
        ("need_labels", !spec.need_labels.is_empty()),
    ];
    let message = match only_jobs.iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => format!("a job has a kind; without one it is a group, which has no {field}"),
        None if spec.id.is_empty() => "a job has a kind; without one it is a group, which has an id".into(),
        None => return Ok(true),
    };
    Err(invalid("kind", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(id: u8) -> JobSpec {
        JobSpec { id: JobId([id; 16]), ..JobSpec::default() }
    }

    fn by_index(index: u32) -> v1::After {
        v1::After { index, ..v1::After::default() }
    }

    fn ties(after: Vec<v1::After>) -> Ties {
        Ties { after, dep_policy: 0, group: Bytes::new(), is_group: false }
    }

    #[test]
    fn an_index_counts_the_jobs_before_from_one() {
        let refused = Refusal::new(Code::Invalid, "kind", "");
        let earlier = [Ok(spec(1)), Err(refused), Ok(spec(3))];
        let checked = flow(ties(vec![by_index(3), by_index(1)]), &earlier).unwrap().unwrap();
        assert_eq!(checked.after.iter().map(|after| after.job.0[0]).collect::<Vec<_>>(), [3, 1]);
        let id = |id: u8| v1::After { job: Bytes::from(vec![id; 16]), ..v1::After::default() };
        for (field, code, after) in [
            ("after[0].index", "INVALID", vec![by_index(4)]),
            ("after[0].index", "NOT_FOUND", vec![by_index(2)]),
            ("after[0].index", "INVALID", vec![v1::After { index: 1, ..id(1) }]),
            ("after[0].job", "INVALID", vec![v1::After::default()]),
            ("after[0].on", "INVALID", vec![v1::After { on: 9, ..id(1) }]),
            ("after[1].job", "INVALID", vec![id(1), id(1)]),
            ("after[1].index", "INVALID", vec![id(1), by_index(1)]),
            ("after", "TOO_LARGE", (0..=AFTER_MAX).map(|_| id(7)).collect()),
        ] {
            let fault = flow(ties(after), &earlier).unwrap_err();
            assert_eq!((fault.field.as_str(), fault.code.name()), (field, code));
        }
        let any = v1::DepPolicy::Any.into();
        assert_eq!(flow(Ties { dep_policy: any, ..ties(Vec::new()) }, &[]).unwrap_err().field, "dep_policy");
        assert_eq!(flow(Ties { dep_policy: 9, ..ties(Vec::new()) }, &[]).unwrap_err().field, "dep_policy");
        assert!(flow(Ties { dep_policy: any, is_group: true, ..ties(Vec::new()) }, &[]).unwrap().is_some());
        let short = Ties { group: Bytes::from_static(b"x"), ..ties(Vec::new()) };
        assert_eq!(flow(short, &[]).unwrap_err().field, "group");
    }

    #[test]
    fn a_forgotten_kind_makes_no_group() {
        let group = v1::JobSpec { id: Bytes::from_static(&[1; 16]), ..v1::JobSpec::default() };
        assert_eq!(is_group(&group), Ok(true));
        assert_eq!(is_group(&v1::JobSpec { kind: "k".into(), ..group.clone() }), Ok(false));
        for forgotten in [
            v1::JobSpec::default(),
            v1::JobSpec { payload: Bytes::from_static(b"x"), ..group.clone() },
            v1::JobSpec { delay_ms: 1, ..group.clone() },
            v1::JobSpec { key: "k".into(), ..group.clone() },
            v1::JobSpec { dedup: Some(v1::Dedup::default()), ..group },
        ] {
            assert_eq!(is_group(&forgotten).unwrap_err().field, "kind");
        }
    }
}
