//! The routes, a noun a file.

mod health;
mod seeds;

use super::Gateway;
use utoipa_axum::router::OpenApiRouter;

/// All of them.
pub(super) fn all() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().merge(health::routes()).merge(seeds::routes())
}
