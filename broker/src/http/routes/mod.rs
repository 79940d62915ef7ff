//! The routes, a noun a file.

mod audit;
mod changes;
mod config;
mod errors;
mod events;
mod health;
mod jobs;
mod kinds;
mod leases;
mod limits;
mod metrics;
mod operations;
mod queues;
mod schedules;
mod seeds;
mod session;
mod stats;
mod stored;
mod tokens;
mod webhooks;
mod workers;

use super::Gateway;
use utoipa_axum::router::OpenApiRouter;

/// All of them.
pub(super) fn all() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(seeds::routes())
        .merge(jobs::routes())
        .merge(operations::routes())
        .merge(queues::routes())
        .merge(kinds::routes())
        .merge(errors::routes())
        .merge(limits::routes())
        .merge(schedules::routes())
        .merge(workers::routes())
        .merge(leases::routes())
        .merge(events::routes())
        .merge(stats::routes())
        .merge(metrics::routes())
        .merge(audit::routes())
        .merge(config::routes())
        .merge(webhooks::routes())
        .merge(tokens::routes())
        .merge(session::routes())
}
