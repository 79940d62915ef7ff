//! Resources: set under a version or removed, and how that is answered.

use super::super::call::{Call, Rehearsal, json};
use super::super::etag;
use super::super::problem::Problem;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1::query::What as Noun;
use windlass_proto::v1::resource::What;
use windlass_proto::v1::{Code, Put, Query, Resource};

/// What is stored now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoredRow {
    /// Its name.
    name: String,
    /// Its version now.
    version: u64,
}

impl StoredRow {
    pub(super) fn new(name: String, version: u64) -> Self {
        Self { name, version }
    }
}

/// Sets a resource, if it has the version that the request insists on.
pub(super) async fn set(
    call: &Call<Rehearsal>,
    sort: &str,
    name: &str,
    what: What,
) -> Result<Response, Problem> {
    let version = set_if(call, sort, name, what, etag::if_match(call)?).await?;
    let mut response = json(StatusCode::OK, &StoredRow { name: name.to_owned(), version });
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Sets a resource, if it has this version; 0: whatever it has.
pub(super) async fn set_if(
    call: &Call<Rehearsal>,
    sort: &str,
    name: &str,
    what: What,
    if_version: u64,
) -> Result<u64, Problem> {
    let resource = Resource { name: format!("{sort}/{name}"), if_version, what: Some(what) };
    let put = Put {
        set: vec![resource],
        dry_run: call.words.dry_run,
        reason: call.words.reason.clone(),
        ..Put::default()
    };
    let stored = call.put(put).await.map_err(|problem| problem.of_resource(sort))?;
    Ok(stored.results.first().map_or(0, |one| one.version))
}

/// Removes a resource, if it has the version that the request insists on. One that is not there is no
/// fault.
pub(super) async fn remove(call: &Call<Rehearsal>, sort: &str, name: &str) -> Result<Response, Problem> {
    let name = format!("{sort}/{name}");
    let insisted = etag::if_match(call)?;
    if insisted > 0 {
        let query = Query { what: Noun::Config.into(), name: name.clone(), ..Query::default() };
        let stored = call.query(query).await?.configs.first().map_or(0, |row| row.version);
        if stored != insisted {
            let message = format!("the stored version is {stored}, not {insisted}; read it again");
            return Err(Problem::new(Code::VersionConflict, message));
        }
    }
    let put = Put {
        remove: vec![name],
        dry_run: call.words.dry_run,
        reason: call.words.reason.clone(),
        ..Put::default()
    };
    match call.put(put).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(problem) if problem.status == 404 => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(problem) => Err(problem),
    }
}
