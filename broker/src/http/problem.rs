//! What a request hears that is not done: problem details (RFC 9457) with the protocol's code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::any::Any;
use utoipa::ToSchema;
use windlass_proto::v1::{Code, Error};

/// A refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Where the code is explained.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// The code in words.
    pub(super) title: &'static str,
    /// The HTTP status.
    pub(super) status: u16,
    /// What happened, and what to do next.
    pub(super) detail: String,
    /// The protocol's code: INVALID, NOT_FOUND, EXHAUSTED and so on.
    pub(super) code: &'static str,
    /// When trying again makes sense, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_ms: Option<u64>,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<Fault>,
}

/// A field at fault.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    /// A JSON pointer into the request's body.
    pub(super) pointer: String,
    /// What is wrong with it.
    pub(super) detail: String,
}

/// Code of the protocol, its word, where it is explained, its status, its title.
const CODES: &[(Code, &str, &str, StatusCode, &str)] = &[
    (
        Code::Internal,
        "INTERNAL",
        "/docs/HTTP.md#internal",
        StatusCode::INTERNAL_SERVER_ERROR,
        "The broker failed",
    ),
    (Code::Invalid, "INVALID", "/docs/HTTP.md#invalid", StatusCode::BAD_REQUEST, "The request breaks a rule"),
    (
        Code::Unauthenticated,
        "UNAUTHENTICATED",
        "/docs/HTTP.md#unauthenticated",
        StatusCode::UNAUTHORIZED,
        "No valid token",
    ),
    (Code::Denied, "DENIED", "/docs/HTTP.md#denied", StatusCode::FORBIDDEN, "Not allowed"),
    (Code::NotFound, "NOT_FOUND", "/docs/HTTP.md#not_found", StatusCode::NOT_FOUND, "Not found"),
    (
        Code::VersionConflict,
        "VERSION_CONFLICT",
        "/docs/HTTP.md#version_conflict",
        StatusCode::PRECONDITION_FAILED,
        "Changed meanwhile",
    ),
    (
        Code::Exhausted,
        "EXHAUSTED",
        "/docs/HTTP.md#exhausted",
        StatusCode::TOO_MANY_REQUESTS,
        "A bound is reached",
    ),
    (Code::TooLarge, "TOO_LARGE", "/docs/HTTP.md#too_large", StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
    (
        Code::Draining,
        "DRAINING",
        "/docs/HTTP.md#draining",
        StatusCode::SERVICE_UNAVAILABLE,
        "The broker is going down",
    ),
    (
        Code::Unsupported,
        "UNSUPPORTED",
        "/docs/HTTP.md#unsupported",
        StatusCode::NOT_IMPLEMENTED,
        "The broker does not do this",
    ),
];

impl Problem {
    /// A problem of this code.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let known = CODES.iter().find(|(one, ..)| *one == code).unwrap_or(&CODES[0]);
        let (_, word, kind, status, title) = *known;
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: word,
            retry_after_ms: None,
            errors: Vec::new(),
        }
    }

    /// The request breaks a rule.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::Invalid, detail)
    }

    /// What is asked for does not exist.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// The same with another status than the code's usual one.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    /// What is asked for stands in a state that the request does not fit.
    pub(super) fn state(detail: impl Into<String>) -> Self {
        let problem = Self::new(Code::Invalid, detail).with_status(StatusCode::CONFLICT);
        Self { kind: "/docs/HTTP.md#state", title: "In another state", code: "STATE", ..problem }
    }

    /// The lease that a worker speaks of has ended.
    pub(super) fn lease_lost(detail: impl Into<String>) -> Self {
        let title = "The lease has ended";
        Self { kind: "/docs/HTTP.md#lease_lost", title, code: "LEASE_LOST", ..Self::state(detail) }
    }

    /// Says whose fault it is before what it is.
    pub(super) fn titled(mut self, whose: &str) -> Self {
        self.detail = format!("{whose}: {}", self.detail);
        self
    }

    /// The faults as they stand in the body, for a body that is a part of the request's message.
    pub(super) fn within(mut self, read: impl Fn(&str) -> String) -> Self {
        for fault in &mut self.errors {
            fault.pointer = read(&fault.pointer);
        }
        self
    }

    /// The body is one job, its policy beside it.
    pub(super) fn of_one_job(self) -> Self {
        self.within(|pointer| {
            let inner = pointer.strip_prefix("/jobs/0").unwrap_or(pointer);
            inner.strip_prefix("/policy").unwrap_or(inner).to_owned()
        })
    }

    /// The body is a list of jobs, the policy of each beside it.
    pub(super) fn of_jobs(self) -> Self {
        self.within(|pointer| pointer.replacen("/policy/", "/", 1))
    }

    /// The body is the content of one resource.
    pub(super) fn of_resource(self, sort: &str) -> Self {
        self.within(|pointer| {
            let inner = pointer.strip_prefix("/set/0").unwrap_or(pointer);
            inner.strip_prefix(&format!("/{sort}")).unwrap_or(inner).to_owned()
        })
    }

    /// Points at a field of the body.
    pub(super) fn at(mut self, pointer: impl Into<String>) -> Self {
        let fault = Fault { pointer: pointer.into(), detail: self.detail.clone() };
        self.errors.push(fault);
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = error.code();
        let problem = Self::new(code, error.message);
        let problem =
            Self { retry_after_ms: (error.retry_after_ms > 0).then_some(error.retry_after_ms), ..problem };
        if error.field.is_empty() { problem } else { problem.at(pointer(&error.field)) }
    }
}

/// A path inside a message, `jobs[3].queue`, as a JSON pointer (RFC 6901), `/jobs/3/queue`.
fn pointer(field: &str) -> String {
    let mut pointer = String::with_capacity(field.len() + 1);
    pointer.push('/');
    for c in field.chars() {
        match c {
            '.' | '[' => pointer.push('/'),
            ']' => {}
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    pointer
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = serde_json::to_vec(&self).expect("a problem is JSON");
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"windlass\""));
        }
        if let Some(after) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.div_ceil(1_000).max(1)));
        }
        response
    }
}

/// No route has this path.
pub(super) async fn no_such_path() -> Problem {
    Problem::not_found("there is nothing at this path; /openapi.json lists what there is")
}

/// The route does not take this method.
pub(super) async fn no_such_method() -> Problem {
    Problem::invalid("this path does not take this method; /openapi.json lists what there is")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// A handler panicked: a bug, and of this request only.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(what, "a bug in the gateway, please report it");
    Problem::new(Code::Internal, "a bug of the broker; its log says more").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_message_becomes_a_pointer() {
        assert_eq!(pointer("jobs[3].policy.backoff.list_ms[0]"), "/jobs/3/policy/backoff/list_ms/0");
    }
}
