//! Jobs: new ones, lists, one in full, what is told about it and done to it.

mod create;
mod list;
mod one;
mod outcome;
mod spec;
mod verbs;

use super::super::Gateway;
pub(super) use list::Counts;
pub(super) use outcome::outcome;
pub(super) use spec::payload;
use utoipa_axum::router::OpenApiRouter;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .merge(list::routes())
        .merge(create::routes())
        .merge(verbs::routes())
        .merge(one::routes())
        .merge(outcome::routes())
}
