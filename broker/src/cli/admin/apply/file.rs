//! The file that `apply` reads and `config` prints: a table for each sort of resource, in it one for
//! each name, in that the message of the protocol.

use crate::json::message::{Limit, Policy, QueueConf, Schedule, Sink, Written};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windlass_client::proto::Resource;
use windlass_client::proto::resource::What;

/// Configuration, declared.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Policy>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    queue: BTreeMap<String, QueueConf>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    kind: BTreeMap<String, Policy>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limit: BTreeMap<String, Limit>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    schedule: BTreeMap<String, Schedule>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sink: BTreeMap<String, Sink>,
}

impl File {
    /// Reads a file's text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())
    }

    /// A file's text.
    pub(super) fn print(&self) -> String {
        let table = toml::Table::try_from(self).expect("our tables have names as keys and no odd numbers");
        toml::to_string_pretty(&table).expect("a table is TOML")
    }

    /// What is declared.
    pub(super) fn resources(self) -> Vec<Resource> {
        let named = |sort: &str, name: String, what| Resource {
            name: format!("{sort}/{name}"),
            what: Some(what),
            ..Resource::default()
        };
        let namespace = self.namespace.map(|policy| Resource {
            name: "namespace".to_owned(),
            what: Some(What::Namespace(policy.wire())),
            ..Resource::default()
        });
        let queues =
            self.queue.into_iter().map(|(name, conf)| named("queue", name, What::Queue(conf.wire())));
        let kinds =
            self.kind.into_iter().map(|(name, policy)| named("kind", name, What::Kind(policy.wire())));
        let limits =
            self.limit.into_iter().map(|(name, limit)| named("limit", name, What::Limit(limit.wire())));
        let schedules = self
            .schedule
            .into_iter()
            .map(|(name, schedule)| named("schedule", name, What::Schedule(schedule.wire())));
        let sinks = self.sink.into_iter().map(|(name, sink)| named("sink", name, What::Sink(sink.wire())));
        let first = namespace.into_iter().chain(queues).chain(kinds);
        first.chain(limits).chain(schedules).chain(sinks).collect()
    }
}

impl FromIterator<Resource> for File {
    /// The file that declares these. The secrets of sinks are not shown, and stay as they are stored where
    /// a file names none; for tokens a file has no place.
    fn from_iter<T: IntoIterator<Item = Resource>>(resources: T) -> Self {
        let mut file = Self::default();
        for Resource { name, what, .. } in resources {
            let name = name.split_once('/').map(|(_, name)| name.to_owned()).unwrap_or_default();
            match what {
                Some(What::Namespace(policy)) => file.namespace = Some(Policy::read(policy)),
                Some(What::Queue(conf)) => drop(file.queue.insert(name, QueueConf::read(conf))),
                Some(What::Kind(policy)) => drop(file.kind.insert(name, Policy::read(policy))),
                Some(What::Limit(limit)) => drop(file.limit.insert(name, Limit::read(limit))),
                Some(What::Schedule(schedule)) => {
                    file.schedule.insert(name, Schedule::read(schedule));
                }
                Some(What::Sink(sink)) => drop(file.sink.insert(name, Sink::read(sink))),
                Some(What::Token(_)) | None => {}
            }
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"[kind.send_email]
max_attempts = 7

[kind.send_email.backoff]
base_ms = 1000
shape = "exponential"

[limit."pause:queue/mail"]
concurrency = 0
why = "smtp is down"

[namespace]
priority = 3

[queue.mail]
dispatch = "random"

[queue.mail.policy]
ordering = "serial"

[schedule.nightly]
cron = "0 3 * * *"

[schedule.nightly.job]
kind = "report"
payload = "{}"
"#;

    #[test]
    fn a_file_is_what_its_resources_say() {
        let file = File::parse(TEXT).unwrap();
        let resources = File::parse(TEXT).unwrap().resources();
        let names: Vec<&str> = resources.iter().map(|resource| resource.name.as_str()).collect();
        assert_eq!(
            names,
            ["namespace", "queue/mail", "kind/send_email", "limit/pause:queue/mail", "schedule/nightly"]
        );
        let back: File = resources.into_iter().collect();
        assert_eq!(back, file);
        assert_eq!(back.print(), TEXT);
    }

    #[test]
    fn a_mistake_is_told_with_what_would_be_right() {
        for (text, told) in [
            ("[queue.mail]\npolicy = { max_attemps = 3 }", "max_attempts"),
            ("[queues.mail]", "queue"),
            ("[queue.mail]\ndispatch = \"any\"", "longest_idle, random"),
            ("[queue.mail]\nslo_ms = \"soon\"", "slo_ms"),
            ("queue.mail", "line 1"),
        ] {
            let fault = File::parse(text).unwrap_err();
            assert!(fault.contains(told), "{text}: {fault}");
        }
    }
}
