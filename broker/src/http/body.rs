//! Bodies of requests: JSON that has no field it should not have, and says where it is wrong.

use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use windlass_proto::v1::Code;

/// A JSON body. An empty one is an empty object.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content = request.headers().get(header::CONTENT_TYPE);
        let content = content.and_then(|content| content.to_str().ok()).unwrap_or("application/json");
        let essence = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        // What `curl -d` sends unless it is told otherwise is taken for what it looks like.
        let is_json = essence == "application/json"
            || essence.ends_with("+json")
            || essence == "application/x-www-form-urlencoded";
        if !is_json {
            let message = format!("the body is {essence}; send application/json");
            return Err(Problem::invalid(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Code::TooLarge
            } else {
                Code::Invalid
            };
            Problem::new(code, rejection.body_text())
        })?;
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        parse(text).map(Self)
    }
}

/// Reads JSON; a fault points at its field.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut reader);
    match parsed.map(|value| reader.end().map(|()| value)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Problem::invalid(format!("the body is not JSON: {error}"))),
        Err(error) => {
            let pointer = pointer(error.path());
            let error = error.into_inner();
            let problem = Problem::invalid(error.to_string());
            Err(if error.is_data() && !pointer.is_empty() { problem.at(pointer) } else { problem })
        }
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            Segment::Enum { variant } => pointer.push_str(&format!("/{variant}")),
            Segment::Unknown => {}
        }
    }
    pointer
}
