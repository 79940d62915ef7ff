//! Is it alive, is it ready: for load balancers, orchestrators and `windlass healthcheck`.

use super::super::{Gateway, UNAVAILABLE};
use crate::tokens::Speaker;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Query, ServerView};

/// The loop has to answer within this, or the process is stuck.
const LOOP_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(healthz))
}

/// What is well, and what is not.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// What keeps it from being ready; empty: nothing.
    failing: Vec<String>,
}

/// The loop turns. Never asks the disk: a restart does not cure a full one.
#[utoipa::path(get, path = "/livez", tag = "health", responses(
    (status = 200, description = "It is alive", body = Health),
    (status = 503, description = "It is stuck", body = Health)))]
async fn livez(State(gateway): State<Gateway>) -> (StatusCode, Json<Health>) {
    match server(&gateway).await {
        Ok(_) => health(Vec::new()),
        Err(failing) => health(vec![failing]),
    }
}

/// It takes jobs and hands them out.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It is ready", body = Health),
    (status = 503, description = "It is not, and says why", body = Health)))]
async fn readyz(State(gateway): State<Gateway>) -> (StatusCode, Json<Health>) {
    ready(&gateway).await
}

/// The same as `/readyz`.
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "It is ready", body = Health),
    (status = 503, description = "It is not, and says why", body = Health)))]
async fn healthz(State(gateway): State<Gateway>) -> (StatusCode, Json<Health>) {
    ready(&gateway).await
}

async fn ready(gateway: &Gateway) -> (StatusCode, Json<Health>) {
    let mut failing = Vec::new();
    if gateway.is_draining() {
        failing.push("the broker is going down".to_owned());
    }
    match server(gateway).await {
        Ok(server) if server.draining && failing.is_empty() => {
            failing.push("the broker is going down".to_owned());
        }
        Ok(_) => {}
        Err(fault) => failing.push(fault),
    }
    health(failing)
}

fn health(failing: Vec<String>) -> (StatusCode, Json<Health>) {
    if failing.is_empty() {
        return (StatusCode::OK, Json(Health { status: "ok", failing }));
    }
    (UNAVAILABLE, Json(Health { status: "unavailable", failing }))
}

async fn server(gateway: &Gateway) -> Result<ServerView, String> {
    let query = Query { what: What::Server.into(), ..Query::default() };
    let asked = gateway.locals().ask(&Speaker::Broker, "default", Request::Query(query));
    match tokio::time::timeout(LOOP_PATIENCE, asked).await {
        Ok(Ok(Body::Rows(rows))) => rows.server.into_iter().next().ok_or_else(|| "no answer".to_owned()),
        Ok(Ok(_)) => Err("an answer of another verb".to_owned()),
        Ok(Err(error)) => Err(error.message),
        Err(_elapsed) => Err(format!("the loop has not turned for {} s", LOOP_PATIENCE.as_secs())),
    }
}
