//! A resource as stored: the configuration, row by row.

use super::instant;
use super::message::{Limit, Policy, QueueConf, Schedule, Sink, Written};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;
use windlass_proto::v1::resource::What;

/// A piece of configuration. The field of its sort is there, the others are not.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Resource {
    /// Sort and name, like `queue/mail`, or `namespace`.
    pub name: String,
    /// Rises with every change.
    pub version: u64,
    /// When it was set.
    pub changed_at: Option<String>,
    /// Of a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueConf>,
    /// Of a kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Policy>,
    /// Of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Policy>,
    /// Of a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Of a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Of a sink, without its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
}

impl From<v1::ConfigView> for Resource {
    fn from(view: v1::ConfigView) -> Self {
        let v1::Resource { name, if_version: _, what } = view.resource.unwrap_or_default();
        let row =
            Self { name, version: view.version, changed_at: instant(view.changed_at_ms), ..Self::default() };
        match what {
            Some(What::Queue(conf)) => Self { queue: Some(Written::read(conf)), ..row },
            Some(What::Kind(policy)) => Self { kind: Some(Written::read(policy)), ..row },
            Some(What::Namespace(policy)) => Self { namespace: Some(Written::read(policy)), ..row },
            Some(What::Limit(limit)) => Self { limit: Some(Written::read(limit)), ..row },
            Some(What::Schedule(schedule)) => Self { schedule: Some(Written::read(schedule)), ..row },
            Some(What::Sink(sink)) => Self { sink: Some(Written::read(sink)), ..row },
            // Nobody can set one.
            Some(What::Token(_)) | None => row,
        }
    }
}
