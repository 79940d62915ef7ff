//! What stands in a path: the name of a noun, or the id of a job, an operation or a worker.

use super::problem::Problem;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use uuid::Uuid;

/// A name; `/` in it is written `%2F`.
pub(super) struct Name(pub(super) String);

/// An id, a UUID.
pub(super) struct Id(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|fault| Problem::invalid(fault.body_text()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Name(text) = Name::from_request_parts(parts, state).await?;
        let id = text.parse().ok().filter(|id: &Uuid| !id.is_nil());
        id.map(Self).ok_or_else(|| Problem::not_found(format!("{text:?} is no id; ids are UUIDs")))
    }
}
