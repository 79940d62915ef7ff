//! Who is logged in: a browser shows its token once and gets a cookie for it.

use super::super::Gateway;
use super::super::bearer::{self, Peer};
use super::super::body::Json;
use super::super::call::{Call, json};
use super::super::problem::Problem;
use crate::limits::{LINK_MS, LOGIN_BYTES_MAX, LOGIN_MS};
use crate::tokens::{Grant, Speaker, Stranger};
use axum::Extension;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::Code;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    // Whoever logs in is a stranger until he has: of him no more is read than a token takes.
    let body = DefaultBodyLimit::max(LOGIN_BYTES_MAX);
    OpenApiRouter::new().routes(routes!(show, begin, end)).routes(routes!(link)).layer(body)
}

/// Who asks.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Session {
    /// The broker asks for tokens.
    tokens: bool,
    /// Name of the token; null: there is none.
    token: Option<String>,
    /// What it is for: producer, worker, viewer, operator, admin.
    roles: Vec<&'static str>,
    /// In which queues.
    queues: Vec<String>,
    /// In which namespaces.
    namespaces: Vec<String>,
    /// It may see what jobs carry.
    payloads: bool,
}

impl Session {
    fn of(grant: &Grant) -> Self {
        Self {
            tokens: true,
            token: Some(grant.name().to_owned()),
            roles: grant.roles().names(),
            queues: grant.queues().patterns(),
            namespaces: grant.namespaces().patterns(),
            payloads: grant.shows_bodies(),
        }
    }
}

/// What proves who somebody is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Proof {
    /// A token.
    #[serde(default)]
    token: String,
    /// Or the code of a link, which is good once and for a minute.
    #[serde(default)]
    code: String,
}

/// Shows who asks. Whoever shows nothing, or nothing good, is told whether a token is asked for.
#[utoipa::path(get, path = "/v1/session", tag = "session", responses((status = 200, description = "Who it is", body = Session)))]
async fn show(State(gateway): State<Gateway>, parts: Parts) -> Response {
    let Some(tokens) = gateway.locals().tokens() else {
        return json(StatusCode::OK, &Session::default());
    };
    let now_ms = gateway.locals().now_ms();
    let by_cookie = || bearer::cookie(&parts).and_then(|id| gateway.logins().find(id, now_ms));
    let grant = bearer::bearer(&parts).and_then(|text| tokens.admit(text, now_ms).ok()).or_else(by_cookie);
    let session = grant.map_or(Session { tokens: true, ..Session::default() }, |grant| Session::of(&grant));
    json(StatusCode::OK, &session)
}

/// Logs a browser in: its cookie stands for the token from now on, for 12 hours.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = Proof,
    responses((status = 200, description = "Who it is, with a cookie", body = Session)))]
async fn begin(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    Json(Proof { token, code }): Json<Proof>,
) -> Result<Response, Problem> {
    let Some(tokens) = gateway.locals().tokens() else {
        return Err(Problem::new(Code::Unsupported, "this broker asks nobody for a token"));
    };
    let now_ms = gateway.locals().now_ms();
    let admitted = if code.is_empty() {
        tokens.admit(&token, now_ms)
    } else {
        gateway.logins().follow(&code, now_ms).ok_or(Stranger::Wrong)
    };
    let grant: Arc<Grant> = match admitted {
        Ok(grant) => grant,
        Err(stranger) => {
            tokio::time::sleep(tokens.failed(peer.ip, &token, now_ms)).await;
            let why =
                if code.is_empty() { stranger.why() } else { "the link was followed before, or is too old" };
            return Err(Problem::new(Code::Unauthenticated, why));
        }
    };
    tracing::info!(token = grant.name(), peer = %peer.ip, "a browser has logged in");
    let id = gateway.logins().begin(Arc::clone(&grant), now_ms);
    let mut response = json(StatusCode::OK, &Session::of(&grant));
    set_cookie(&mut response, &id, LOGIN_MS / 1_000, peer.is_encrypted);
    Ok(response)
}

/// Logs the browser out.
#[utoipa::path(delete, path = "/v1/session", tag = "session", responses((status = 204, description = "Its cookie stands for nobody any more")))]
async fn end(State(gateway): State<Gateway>, Extension(peer): Extension<Peer>, parts: Parts) -> Response {
    if let Some(id) = bearer::cookie(&parts) {
        gateway.logins().end(id);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, "", 0, peer.is_encrypted);
    response
}

/// What stands in a link.
#[derive(Serialize, ToSchema)]
struct Link {
    /// It logs a browser in once.
    code: String,
    /// Within this time.
    good_for_ms: u64,
}

/// Makes a code with which a browser may log in once, within a minute: the dashboard takes it behind `#login=`,
/// where no server and no log sees it.
#[utoipa::path(post, path = "/v1/session/links", tag = "session", responses((status = 201, description = "The code", body = Link)))]
async fn link(call: Call) -> Result<Response, Problem> {
    let Speaker::Token(grant) = &call.speaker else {
        return Err(Problem::new(Code::Unsupported, "this broker asks nobody for a token"));
    };
    let code = call.gateway.logins().link(Arc::clone(grant), call.gateway.locals().now_ms());
    Ok(json(StatusCode::CREATED, &Link { code, good_for_ms: LINK_MS }))
}

/// No script reads it, and no page of somebody else's makes a browser send it.
fn set_cookie(response: &mut Response, id: &str, seconds: u64, is_encrypted: bool) {
    let secure = if is_encrypted { "; Secure" } else { "" };
    let name = bearer::COOKIE;
    let cookie = format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::try_from(cookie).expect("letters and digits may stand in a header");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
}
