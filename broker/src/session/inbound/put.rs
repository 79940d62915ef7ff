//! Put: queues, policies of kinds and of the namespace, limits, schedules and sinks.

use super::Rules;
use super::limit::limit;
use super::policy::policy;
use super::schedule::schedule;
use super::sink::sink;
use crate::session::form::{Checked, at, inside, invalid, known, name, reason, unset, unsupported};
use std::collections::HashSet;
use windlass_engine::command::{Put, Scope, SetResource, Target};
use windlass_engine::fact::ResourceBody;
use windlass_engine::queue_conf::{self, QueueConf};
use windlass_proto::v1::queue_conf::{Dispatch, Overflow};
use windlass_proto::v1::{self, resource::What};

/// Checks a Put.
pub(super) fn put(put: v1::Put, rules: Rules) -> Checked<Put> {
    let v1::Put { set, remove, dry_run, reason: why, prune } = put;
    let set: Checked<Vec<SetResource>> = set
        .into_iter()
        .enumerate()
        .map(|(index, resource)| set_resource(resource, rules).map_err(|fault| at("set", index, fault)))
        .collect();
    let remove: Checked<Vec<Target>> = remove
        .into_iter()
        .enumerate()
        .map(|(index, name)| target(name, "").map_err(|fault| at("remove", index, fault)))
        .collect();
    let (set, remove) = (set?, remove?);
    let mut seen = HashSet::new();
    if let Some(index) = set.iter().position(|set| !seen.insert(&set.target)) {
        return Err(at("set", index, invalid("name", "the same resource is set twice")));
    }
    if let Some(index) = remove.iter().position(|target| seen.contains(target)) {
        return Err(at("remove", index, invalid("", "the same resource is set")));
    }
    Ok(Put { set, remove, dry_run, prune, reason: reason(why) })
}

fn set_resource(resource: v1::Resource, rules: Rules) -> Checked<SetResource> {
    let v1::Resource { name, if_version, what } = resource;
    // What cannot be set at all is said before its name is looked at.
    match what {
        None => return Err(invalid("what", "a resource has a content")),
        Some(What::Token(_)) => return Err(unsupported("token")),
        Some(
            What::Queue(_)
            | What::Kind(_)
            | What::Namespace(_)
            | What::Limit(_)
            | What::Schedule(_)
            | What::Sink(_),
        ) => {}
    }
    let target = target(name, "name")?;
    let mut scope = Scope::default();
    let body = match (what, &target) {
        (Some(What::Queue(conf)), Target::Queue(_)) => {
            ResourceBody::Queue(queue_conf(conf).map_err(|fault| inside("queue", fault))?)
        }
        (Some(What::Kind(conf)), Target::Kind(_)) => {
            ResourceBody::Policy(policy(conf).map_err(|fault| inside("kind", fault))?)
        }
        (Some(What::Namespace(conf)), Target::Namespace) => {
            ResourceBody::Policy(policy(conf).map_err(|fault| inside("namespace", fault))?)
        }
        (Some(What::Limit(limit)), Target::Limit(name)) => {
            let (limit, bounded) =
                self::limit(limit, name, rules.now_ms).map_err(|fault| inside("limit", fault))?;
            scope = bounded;
            ResourceBody::Limit(limit)
        }
        (Some(What::Schedule(schedule)), Target::Schedule(_)) => {
            let schedule = self::schedule(schedule, rules).map_err(|fault| inside("schedule", fault))?;
            ResourceBody::Schedule(Box::new(schedule))
        }
        (Some(What::Sink(sink)), Target::Sink(_)) => {
            let sink = self::sink(sink, rules).map_err(|fault| inside("sink", fault))?;
            ResourceBody::Sink(Box::new(sink))
        }
        (
            _,
            Target::Sink(_)
            | Target::Queue(_)
            | Target::Kind(_)
            | Target::Namespace
            | Target::Limit(_)
            | Target::Schedule(_),
        ) => {
            return Err(invalid("name", "the name is of another sort than the content"));
        }
    };
    Ok(SetResource { target, if_version, body, scope })
}

/// What the name of a resource stands for.
fn target(text: String, field: &str) -> Checked<Target> {
    let text = name(text, field)?;
    if text == "namespace" {
        return Ok(Target::Namespace);
    }
    let (sort, rest) = text.split_once('/').unwrap_or((&text, ""));
    let rest = name(rest.to_owned(), field)?;
    match sort {
        "queue" => Ok(Target::Queue(rest)),
        "kind" => Ok(Target::Kind(rest)),
        "limit" => Ok(Target::Limit(rest)),
        "schedule" => Ok(Target::Schedule(rest)),
        "sink" => Ok(Target::Sink(rest)),
        "token" => Err(unsupported(field)),
        _ => {
            Err(invalid(field, "a resource is a queue, kind, limit, schedule, sink or token, or `namespace`"))
        }
    }
}

fn queue_conf(conf: v1::QueueConf) -> Checked<QueueConf> {
    let v1::QueueConf {
        policy,
        max_jobs,
        max_bytes,
        max_payload,
        overflow,
        slo_ms,
        fair_every,
        keep_bytes,
        dispatch,
    } = conf;
    let overflow: Overflow = known(overflow, "overflow")?;
    let dispatch: Dispatch = known(dispatch, "dispatch")?;
    unset(&[
        ("max_jobs", max_jobs > 0),
        ("max_bytes", max_bytes > 0),
        ("max_payload", max_payload > 0),
        ("overflow", !matches!(overflow, Overflow::Unspecified | Overflow::Reject)),
    ])?;
    let policy = policy.map(|policy| self::policy(policy).map_err(|fault| inside("policy", fault)));
    Ok(QueueConf {
        policy: policy.transpose()?.unwrap_or_default(),
        dispatch: match dispatch {
            Dispatch::Unspecified | Dispatch::LongestIdle => queue_conf::Dispatch::LongestIdle,
            Dispatch::Random => queue_conf::Dispatch::Random,
        },
        fair_every,
        keep_bytes,
        slo_ms,
    })
}
