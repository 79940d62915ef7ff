//! Who may speak to the broker, and for what.

use super::super::Gateway;
use super::super::call::{Call, json};
use super::super::problem::Problem;
use crate::json::Token;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_proto::v1::query::What;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list))
}

/// All tokens that reach the namespace.
#[derive(Serialize, ToSchema)]
struct TokenList {
    items: Vec<Token>,
}

/// Lists tokens, without what proves them. They are changed in the broker's file, and nowhere else.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, description = "All of them", body = TokenList)))]
async fn list(call: Call) -> Result<Response, Problem> {
    let items = call.read(What::Tokens).await?.tokens.into_iter().map(Token::from).collect();
    Ok(json(StatusCode::OK, &TokenList { items }))
}
