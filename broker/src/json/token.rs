//! A token: who may do what, without what proves it.

use super::instant;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// producer, worker, viewer, operator, admin.
    pub roles: Vec<String>,
    /// In which queues; `*` at the end stands for anything.
    pub queues: Vec<String>,
    /// In which namespaces, in the same way.
    pub namespaces: Vec<String>,
    /// Not good from then on; null: no end.
    pub expires_at: Option<String>,
    /// When it was last shown to this run of the broker; null: never.
    pub last_used_at: Option<String>,
    /// It may see what jobs carry: payloads, headers, results, logs.
    pub payloads: bool,
}

impl From<v1::TokenView> for Token {
    fn from(view: v1::TokenView) -> Self {
        Self {
            name: view.name,
            roles: view.roles,
            queues: view.queues,
            namespaces: view.namespaces,
            expires_at: instant(view.expires_at_ms),
            last_used_at: instant(view.last_used_at_ms),
            payloads: view.payloads,
        }
    }
}
