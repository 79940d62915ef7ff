//! Versions: the ETag that an answer carries, and the one that a change insists on.

use super::call::{Call, json};
use super::problem::Problem;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use windlass_proto::v1::Code;

/// An answer with the version of its resource; nothing but the version for whoever has it already.
pub(super) fn of_version<W>(call: &Call<W>, version: u64, value: &impl Serialize) -> Response {
    tagged(call, &format!("\"{version}\""), json(StatusCode::OK, value))
}

/// An answer with a tag of what it says.
pub(super) fn of_content<W>(call: &Call<W>, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("an answer of ours is JSON");
    let tag = format!("\"{}\"", &blake3::hash(&text).to_hex()[..16]);
    let answer = (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text).into_response();
    tagged(call, &tag, answer)
}

fn tagged<W>(call: &Call<W>, tag: &str, answer: Response) -> Response {
    let known = call.header(header::IF_NONE_MATCH).split(',').map(str::trim);
    let is_known = known.map(|tag| tag.trim_start_matches("W/")).any(|known| known == tag || known == "*");
    let mut answer = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { answer };
    if let Ok(tag) = HeaderValue::from_str(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// The version that a change insists on; 0: any.
pub(super) fn if_match<W>(call: &Call<W>) -> Result<u64, Problem> {
    let asked = call.header(header::IF_MATCH).trim();
    if asked.is_empty() || asked == "*" {
        return Ok(0);
    }
    let version =
        asked.trim_start_matches("W/").trim_matches('"').parse().ok().filter(|&version| version > 0);
    version.ok_or_else(|| {
        let message = "If-Match is not the ETag of this resource; read it again";
        Problem::new(Code::VersionConflict, message)
    })
}
