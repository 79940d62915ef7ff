//! Bodies of requests: JSON that has no field it should not have, and says where it is wrong.

use super::intake::{self, Refused};
use super::problem::Problem;
use crate::limits::HTTP_CONF_BYTES_MAX;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use windlass_proto::v1::Code;

/// When a body for which there was no room may come again.
const RETRY_AFTER_MS: u64 = 1_000;

/// A JSON body. An empty one is an empty object.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (essence, bytes) = bytes(request, state).await?;
        is_json(&essence)?;
        parse(if is_blank(&bytes) { b"{}" } else { &bytes }).map(Self)
    }
}

/// The body with its media type.
pub(super) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<(String, Bytes), Problem> {
    let content = request.headers().get(header::CONTENT_TYPE);
    let content = content.and_then(|content| content.to_str().ok()).unwrap_or("application/json");
    let essence = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
        match intake::refused(&rejection) {
            Some(slow @ Refused::Slow) => {
                return Problem::invalid(slow.to_string()).with_status(StatusCode::REQUEST_TIMEOUT);
            }
            Some(full @ Refused::Full) => {
                let problem = Problem::new(Code::Exhausted, full.to_string());
                return Problem { retry_after_ms: Some(RETRY_AFTER_MS), ..problem };
            }
            None => {}
        }
        let code =
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { Code::TooLarge } else { Code::Invalid };
        Problem::new(code, rejection.body_text())
    })?;
    Ok((essence, bytes))
}

/// What `curl -d` sends unless it is told otherwise is taken for what it looks like.
pub(super) fn is_json(essence: &str) -> Result<(), Problem> {
    if essence == "application/json"
        || essence.ends_with("+json")
        || essence == "application/x-www-form-urlencoded"
    {
        return Ok(());
    }
    let message = format!("the body is {essence}; send application/json");
    Err(Problem::invalid(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// A JSON body of configuration: lengths and instants may be text (`"every": "15m"` for `every_ms`), and
/// the payload of a job any JSON.
pub(super) struct Written<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Written<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (essence, bytes) = bytes(request, state).await?;
        is_json(&essence)?;
        if bytes.len() > HTTP_CONF_BYTES_MAX {
            let message = format!("a body of configuration has at most {HTTP_CONF_BYTES_MAX} bytes");
            return Err(Problem::new(Code::TooLarge, message));
        }
        let mut value: serde_json::Value = parse(if is_blank(&bytes) { b"{}" } else { &bytes })?;
        super::written::plain(&mut value, "")?;
        read(value).map(Self)
    }
}

/// A list that ends with a fault where it has too many, before the rest of it is read.
pub(super) fn at_most<'de, const MOST: usize, T: serde::Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T, const MOST: usize>(std::marker::PhantomData<T>);
    impl<'de, T: serde::Deserialize<'de>, const MOST: usize> serde::de::Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                if all.len() == MOST {
                    return Err(serde::de::Error::custom(format_args!("there are more than {MOST}")));
                }
                all.push(one);
            }
            Ok(all)
        }
    }
    from.deserialize_seq(Few::<T, MOST>(std::marker::PhantomData))
}

/// Reads JSON; a fault points at its field.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    if text.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid("this is a list, where an object with named fields is expected"));
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut reader);
    match parsed.map(|value| reader.end().map(|()| value)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Problem::invalid(format!("the body is not JSON: {error}"))),
        Err(error) => Err(fault(error)),
    }
}

fn read<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(fault)
}

fn fault(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let pointer = pointer(error.path());
    let error = error.into_inner();
    let problem = Problem::invalid(error.to_string());
    if error.is_data() && !pointer.is_empty() { problem.at(pointer) } else { problem }
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
