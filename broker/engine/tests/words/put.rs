//! Words about configuration.

use super::spec::{policy_words, spec_words};
use super::{Words, duration};
use crate::world::DAWN;
use windlass_engine::command::{JobSpec, Put, Scope, SetResource, Target};
use windlass_engine::fact::ResourceBody;
use windlass_engine::limit::{Breaker, Limit};
use windlass_engine::queue_conf::{Dispatch, QueueConf};
use windlass_engine::schedule::{Calendar, CatchUp, Overlap, Schedule};
use windlass_engine::sink::Sink;

/// `pause mail`, `resume mail`, `set queue=mail attempts=3`, `remove kind=send`, `namespace`,
/// `set schedule=nightly every=1h overlap=one`,
/// `set limit=stripe rate=10/1s burst=5`, `set limit=one of_queue=mail per_key concurrency=1`.
pub(super) fn put_words(rest: &str) -> Put {
    let mut put = Put::default();
    for part in rest.split(" / ") {
        let mut words = Words::of(part);
        put.dry_run |= words.flag("dry");
        put.prune |= words.flag("prune");
        let if_version = u64::from(words.number("if_version").unwrap_or(0));
        let verb = words.names.remove(0);
        let target = if matches!(verb, "pause" | "resume") {
            Target::Limit(format!("pause:queue/{}", words.names[0]))
        } else if let Some(sink) = words.values.remove("sink") {
            Target::Sink(sink.into())
        } else if let Some(queue) = words.values.remove("queue") {
            Target::Queue(queue.into())
        } else if let Some(kind) = words.values.remove("kind") {
            Target::Kind(kind.into())
        } else if let Some(limit) = words.values.remove("limit") {
            Target::Limit(limit.into())
        } else if let Some(schedule) = words.values.remove("schedule") {
            Target::Schedule(schedule.into())
        } else {
            assert!(words.flag("namespace"), "nothing named in '{part}'");
            Target::Namespace
        };
        match verb {
            "pause" => {
                let limit = Limit {
                    concurrency: Some(0),
                    why: words.text("why", "paused"),
                    until_at: words.ms("until").map_or(0, |ms| ms.saturating_add(DAWN)),
                    ..Limit::default()
                };
                let body = ResourceBody::Limit(limit);
                let scope = Scope { queue: words.names.remove(0).into(), ..Scope::default() };
                put.set.push(SetResource { target, if_version, body, scope });
            }
            "set" => {
                let mut scope = Scope {
                    queue: words.text("of_queue", ""),
                    kind: words.text("of_kind", ""),
                    key: words.text("of_key", ""),
                };
                let body = match target {
                    Target::Limit(_) => ResourceBody::Limit(limit_words(&mut words)),
                    Target::Queue(_) => ResourceBody::Queue(queue_words(&mut words)),
                    Target::Namespace | Target::Kind(_) => ResourceBody::Policy(policy_words(&mut words)),
                    Target::Schedule(_) => ResourceBody::Schedule(Box::new(schedule_words(&mut words))),
                    Target::Sink(_) => ResourceBody::Sink(Box::new(sink_words(&mut words, &mut scope))),
                };
                put.set.push(SetResource { target, if_version, body, scope });
            }
            "resume" => {
                words.names.remove(0);
                put.remove.push(target);
            }
            "remove" => put.remove.push(target),
            other => panic!("nothing is put by '{other}'"),
        }
        words.finish(part);
    }
    put
}

fn schedule_words(words: &mut Words<'_>) -> Schedule {
    let instant = |ms: Option<u64>| ms.map_or(0, |ms| ms.saturating_add(DAWN));
    Schedule {
        calendar: Calendar {
            every_ms: words.ms("every").expect("schedules of tests have intervals"),
            anchor_at: instant(words.ms("anchor").or(Some(0))),
            start_at: instant(words.ms("start")),
            end_at: instant(words.ms("end")),
            ..Calendar::default()
        },
        jitter_ms: words.ms("jitter").unwrap_or(0),
        overlap: match words.text("overlap", "skip").as_str() {
            "skip" => Overlap::Skip,
            "one" => Overlap::BufferOne,
            "all" => Overlap::BufferAll,
            "cancel" => Overlap::CancelRunning,
            "allow" => Overlap::Allow,
            other => panic!("{other} is no overlap"),
        },
        catch_up: match words.text("catch_up", "last").as_str() {
            "last" => CatchUp::Last,
            "none" => CatchUp::None,
            "all" => CatchUp::All,
            other => panic!("{other} is no way to catch up"),
        },
        catch_up_window_ms: words.ms("window").unwrap_or(366 * 86_400_000),
        catch_up_max: words.number("most").unwrap_or(100),
        max_runs: words.number("max_runs").unwrap_or(0).into(),
        paused: words.flag("paused"),
        pause_after_failures: words.number("pause_after").unwrap_or(0),
        job: JobSpec { queue: words.text("to", "mail"), ..spec_words(0, words) },
    }
}

/// Its jobs are named as what a limit bounds is.
fn sink_words(words: &mut Words<'_>, scope: &mut Scope) -> Sink {
    let Scope { queue, kind, key } = core::mem::take(scope);
    let (url, secret) = (words.text("url", "http://here"), words.text("secret", "whsec"));
    let secret = if secret == "none" { String::new() } else { secret };
    Sink { url, secret, former: None, names: words.list("events", ""), queue, kind, key }
}

fn queue_words(words: &mut Words<'_>) -> QueueConf {
    QueueConf {
        dispatch: if words.flag("random") { Dispatch::Random } else { Dispatch::LongestIdle },
        fair_every: words.number("fair_every").unwrap_or(0),
        keep_bytes: words.number("keep_bytes").unwrap_or(0).into(),
        slo_ms: words.ms("slo").unwrap_or(0),
        policy: policy_words(words),
    }
}

fn limit_words(words: &mut Words<'_>) -> Limit {
    let rate = words.text("rate", "0/1s");
    let (rate, per) = rate.split_once('/').expect("so many in so long");
    let rate = rate.parse().expect("a rate is a number");
    Limit {
        per_key: words.flag("per_key"),
        concurrency: words.number("concurrency"),
        rate,
        per_ms: duration(per),
        burst: words.number("burst").map_or(rate, u64::from),
        until_at: words.ms("until").map_or(0, |ms| ms.saturating_add(DAWN)),
        retry_permille: words.number("retries").unwrap_or(0),
        breaker: words.number("breaker").map(|failure_permille| Breaker {
            failure_permille,
            min_samples: words.number("samples").unwrap_or(1),
            open_ms: words.ms("open").unwrap_or(1_000),
            probes: words.number("probes").unwrap_or(1),
        }),
        ..Limit::default()
    }
}
