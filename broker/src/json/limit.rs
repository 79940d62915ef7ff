//! A limit with what is in use of it.

use super::instant;
use super::message::{Limit, Written};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A limit, and how it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LimitRow {
    /// Its name.
    pub name: String,
    /// As set.
    pub limit: Limit,
    /// Version of its resource.
    pub version: u64,
    /// Cost leased under it now.
    pub in_use: u64,
    /// Lanes that wait on it.
    pub waiting_lanes: u64,
    /// Time until it lets the next job start; 0: at once, or not known.
    pub next_free_ms: u64,
    /// Its breaker is open until then; null: closed.
    pub open_until_at: Option<String>,
}

impl From<v1::LimitView> for LimitRow {
    fn from(view: v1::LimitView) -> Self {
        Self {
            name: view.name,
            limit: Limit::read(view.limit.unwrap_or_default()),
            version: view.version,
            in_use: view.in_use,
            waiting_lanes: view.waiting_lanes,
            next_free_ms: view.next_free_ms,
            open_until_at: instant(view.open_until_at_ms),
        }
    }
}
