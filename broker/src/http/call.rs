//! What a request brings besides its body: the namespace, the words of its query string, what it
//! wants back; and how it asks the engine.

use super::Gateway;
use super::bearer;
use super::problem::Problem;
use crate::tokens::Speaker;
use axum::extract::{FromRequestParts, Query as Words};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use uuid::Uuid;
use windlass_proto::limits::is_name;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Change, Changed, Enqueue, Put, Query, Rows, Selector, Stored, enqueued};

/// Names the namespace of a request; without it, it is `default`.
pub(super) const NAMESPACE: &str = "windlass-namespace";
/// Its form in the query string, for those who cannot set a header.
const NAMESPACE_WORD: &str = "namespace";

/// A request to the engine in the making. `T` are the words of the query string that the route knows.
pub(super) struct Call<T = NoWords> {
    pub(super) gateway: Gateway,
    /// Who asks.
    pub(super) speaker: Speaker,
    pub(super) namespace: String,
    pub(super) words: T,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// The route knows none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoWords {}

/// What every mutation takes.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Rehearsal {
    /// Check and count, change nothing.
    #[serde(default, deserialize_with = "yes_or_no")]
    #[param(value_type = Option<bool>)]
    pub(super) dry_run: bool,
    /// For the audit.
    #[serde(default)]
    pub(super) reason: String,
}

impl Rehearsal {
    /// Why: a reason may stand in the body, too, and then it is that one.
    pub(super) fn reason(&self, body: String) -> String {
        if body.is_empty() { self.reason.clone() } else { body }
    }
}

impl<T: DeserializeOwned> FromRequestParts<Gateway> for Call<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        Ok(Self {
            gateway: gateway.clone(),
            speaker: bearer::speaker(gateway, parts).await?,
            namespace: namespace(&parts.uri, &parts.headers)?,
            words: words(&parts.uri)?,
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
        })
    }
}

/// The namespace of a request.
pub(super) fn namespace(uri: &Uri, headers: &HeaderMap) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Word {
        namespace: Option<String>,
    }
    let name = if uri.query().is_some_and(|query| query.contains(NAMESPACE_WORD))
        && let Ok(Words(Word { namespace: Some(name) })) = Words::try_from_uri(uri)
    {
        name
    } else {
        let Some(name) = headers.get(NAMESPACE) else { return Ok("default".to_owned()) };
        name.to_str().unwrap_or_default().to_owned()
    };
    if is_name(&name) {
        return Ok(name);
    }
    Err(Problem::invalid("the namespace is not a name; leave it out for `default`"))
}

/// The words of the query string, without the namespace.
fn words<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let query = uri.query().unwrap_or_default();
    let others = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !name.is_empty() && name != NAMESPACE_WORD
    });
    let others = format!("/?{}", others.collect::<Vec<_>>().join("&"));
    let others: Uri = others.parse().map_err(|_| Problem::invalid("the query string is broken"))?;
    let words = Words::try_from_uri(&others);
    words.map(|Words(words)| words).map_err(|fault| {
        let text = fault.body_text();
        Problem::invalid(text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text))
    })
}

/// `1`, `true` and nothing mean yes.
pub(super) fn yes_or_no<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        other => Err(D::Error::custom(format!("{other:?} is neither true nor false"))),
    }
}

impl<T> Call<T> {
    /// Asks, and takes the answer of whatever verb.
    pub(super) async fn ask(&self, request: Request) -> Result<Body, Problem> {
        Ok(self.gateway.locals().ask(&self.speaker, &self.namespace, request).await?)
    }

    /// Reads.
    pub(super) async fn query(&self, query: Query) -> Result<Rows, Problem> {
        let body = self.ask(Request::Query(query)).await?;
        if let Body::Rows(rows) = body { Ok(rows) } else { Err(crate::local::unexpected(&body).into()) }
    }

    /// Reads what has no further conditions.
    pub(super) async fn read(&self, what: What) -> Result<Rows, Problem> {
        self.query(Query { what: what.into(), ..Query::default() }).await
    }

    /// Reads what is told of one job.
    pub(super) async fn of_job(&self, what: What, id: Uuid) -> Result<Rows, Problem> {
        self.query(Query { what: what.into(), select: Some(one(id)), ..Query::default() }).await
    }

    /// Changes jobs, or tells sessions.
    pub(super) async fn change(&self, change: Change) -> Result<Changed, Problem> {
        let body = self.ask(Request::Change(change)).await?;
        if let Body::Changed(changed) = body {
            Ok(changed)
        } else {
            Err(crate::local::unexpected(&body).into())
        }
    }

    /// Gives jobs to the engine.
    pub(super) async fn enqueue(&self, enqueue: Enqueue) -> Result<Vec<enqueued::One>, Problem> {
        let body = self.ask(Request::Enqueue(enqueue)).await?;
        if let Body::Enqueued(enqueued) = body {
            Ok(enqueued.results)
        } else {
            Err(crate::local::unexpected(&body).into())
        }
    }

    /// Checks what would be enqueued, as far as its form tells.
    pub(super) async fn check(&self, enqueue: Enqueue) -> Result<(), Problem> {
        Ok(self.gateway.locals().check(&self.speaker, Request::Enqueue(enqueue))?)
    }

    /// Configures.
    pub(super) async fn put(&self, put: Put) -> Result<Stored, Problem> {
        let body = self.ask(Request::Put(put)).await?;
        let Body::Stored(stored) = body else { return Err(crate::local::unexpected(&body).into()) };
        match stored.results.iter().find_map(|one| one.error.clone()) {
            Some(error) => Err(error.into()),
            None => Ok(stored),
        }
    }

    /// A header as text; empty if there is none.
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// How long the client is willing to wait for the answer (RFC 7240), in seconds, at most `most`.
    pub(super) fn wait_s(&self, most: u64) -> Option<u64> {
        let prefer = self.headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        let wait = prefer.flat_map(|value| value.split([',', ';'])).find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            (name.trim().eq_ignore_ascii_case("wait")).then(|| value.trim().trim_matches('"').parse().ok())?
        });
        wait.map(|wait: u64| wait.min(most))
    }
}

/// One job.
pub(super) fn one(id: Uuid) -> Selector {
    Selector { ids: vec![bytes(id)], ..Selector::default() }
}

/// An id as the protocol has it.
pub(super) fn bytes(id: Uuid) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(id.as_bytes())
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> axum::response::Response {
    use axum::response::IntoResponse;
    let text = serde_json::to_vec(value).expect("an answer of ours is JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_stands_in_the_query_string_or_in_a_header() {
        let mut headers = HeaderMap::new();
        let of = |uri: &str, headers: &HeaderMap| namespace(&uri.parse().unwrap(), headers).unwrap();
        assert_eq!(of("/v1/jobs", &headers), "default");
        headers.insert(NAMESPACE, "shop".parse().unwrap());
        assert_eq!(of("/v1/jobs?limit=3", &headers), "shop");
        assert_eq!(of("/v1/jobs?limit=3&namespace=a%3Ab", &headers), "a:b");
        // A rehearsal asks nobody else whether it is a name.
        headers.insert(NAMESPACE, "{}".parse().unwrap());
        for uri in ["/v1/jobs", "/v1/jobs?namespace=", "/v1/jobs?namespace=%7B%7D"] {
            assert!(namespace(&uri.parse().unwrap(), &headers).unwrap_err().detail.contains("name"), "{uri}");
        }
    }

    #[test]
    fn a_word_that_the_route_does_not_know_is_refused_by_its_name() {
        let read = |uri: &str| words::<Rehearsal>(&uri.parse().unwrap());
        assert!(read("/x?dry_run=1&namespace=n").unwrap().dry_run);
        assert!(read("/x?dry_run").unwrap().dry_run);
        assert!(!read("/x").unwrap().dry_run);
        assert!(read("/x?dryrun=1").unwrap_err().detail.contains("dryrun"));
        assert!(read("/x?dry_run=maybe").unwrap_err().detail.contains("maybe"));
    }
}
