//! The description of the API: what all routes have in common is said here, once.

use super::problem::Problem;
use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// Routes whose body has a field that must be there.
const BODIES: &[&str] = &["/enqueue", "/v1/jobs", "/v1/operations"];

/// Completes the description of the routes.
pub(super) fn complete(mut api: OpenApi) -> Value {
    api.info.title = "Windlass".to_owned();
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    api.info.description =
        Some("A broker for background jobs. docs/HTTP.md says how the routes belong together.".to_owned());
    api.info.license = None;
    let components = api.components.get_or_insert_default();
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("wl_<id>_<secret>");
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    // Where the broker was started without tokens, nobody is asked for one.
    let none: [&str; 0] = [];
    api.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", none)]);
    for (path, item) in &mut api.paths.paths {
        let is_plain = path == "/enqueue" || path.starts_with("/results/");
        // A browser logs in for whatever its token reaches.
        let has_namespace = is_plain || path.starts_with("/v1/") && !path.starts_with("/v1/session");
        for operation in operations(item) {
            if let Some(RefOr::T(body)) = &mut operation.request_body
                && !BODIES.contains(&path.as_str())
            {
                body.required = Some(Required::False);
            }
            if has_namespace {
                operation.parameters.get_or_insert_default().push(RefOr::T(namespace()));
            }
            operation.responses.responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(refusal()));
        }
    }
    let mut api = serde_json::to_value(api).expect("a description is JSON");
    unsigned(&mut api);
    api
}

/// Our integers have no sign; the formats of their schemas say so.
fn unsigned(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(format)) = fields.get_mut("format")
                && matches!(format.as_str(), "int32" | "int64")
            {
                format.insert(0, 'u');
            }
            fields.values_mut().for_each(unsigned);
        }
        Value::Array(items) => items.iter_mut().for_each(unsigned),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn namespace() -> Parameter {
    ParameterBuilder::new()
        .name("Windlass-Namespace")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The namespace; default `default`. `?namespace=` means the same."))
        .schema(Some(
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9._:/-]{1,200}$")),
        ))
        .build()
}

/// What is answered where a request is refused.
fn refusal() -> Response {
    let problem = RefOr::Ref(Ref::from_schema_name(Problem::name()));
    ResponseBuilder::new()
        .description("A refusal, or a fault of the broker")
        .content("application/problem+json", ContentBuilder::new().schema(Some(problem)).build())
        .build()
}
