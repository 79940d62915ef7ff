//! Every route of the gateway against every role.

use super::{Gate, token};
use crate::harness::http;
use serde_json::Value;
use std::collections::BTreeMap;

/// Which of the roles may, by their first letters, and with `-` whoever shows no token. A route without a
/// line fails the test, and a line without a route.
const TABLE: &str = r#"
    GET /livez                                PWVOA-
    GET /readyz                               PWVOA-
    GET /healthz                              PWVOA-
    GET /metrics                              ..VOA
    POST /enqueue                             P...A  {"kind":"k"}
    GET /results/{id}                         P.VOA
    GET /v1/audit                             ..VOA
    GET /v1/config                            ..VOA
    GET /v1/errors                            ..VOA
    GET /v1/events                            ..VOA
    GET /v1/jobs                              ..VOA
    POST /v1/jobs                             P...A  {"kind":"k"}
    GET /v1/jobs/counts                       ..VOA
    DELETE /v1/jobs/{id}                      ...OA
    GET /v1/jobs/{id}                         P.VOA
    PATCH /v1/jobs/{id}                       ...OA  {"key":"k"}
    POST /v1/jobs/{id}/bury                   ...OA
    POST /v1/jobs/{id}/cancel                 ...OA
    POST /v1/jobs/{id}/confirm                ...OA
    GET /v1/jobs/{id}/explain                 P.VOA
    GET /v1/jobs/{id}/logs                    ..VOA
    POST /v1/jobs/{id}/move                   ...OA  {"queue":"x"}
    GET /v1/jobs/{id}/result                  P.VOA
    POST /v1/jobs/{id}/retry                  ...OA
    POST /v1/jobs/{id}/run-now                ...OA
    GET /v1/kinds                             ..VOA
    POST /v1/leases                           .W..A
    POST /v1/leases/{lease}/beat              PWVOA
    POST /v1/leases/{lease}/complete          PWVOA
    POST /v1/leases/{lease}/fail              PWVOA
    POST /v1/leases/{lease}/release           PWVOA
    GET /v1/limits                            ..VOA
    DELETE /v1/limits/{limit}                 ....A
    GET /v1/limits/{limit}                    ..VOA
    PUT /v1/limits/{limit}                    ....A  {"concurrency":1}
    GET /v1/operations                        ..VOA
    POST /v1/operations                       ...OA  {"action":"delete","q":"state:dead"}
    DELETE /v1/operations/{id}                ...OA
    GET /v1/operations/{id}                   ..VOA
    GET /v1/overview                          ..VOA
    GET /v1/queues                            ..VOA
    DELETE /v1/queues/{queue}                 ....A
    GET /v1/queues/{queue}                    ..VOA
    PUT /v1/queues/{queue}                    ....A  {}
    POST /v1/queues/{queue}/pause             ...OA
    POST /v1/queues/{queue}/purge             ...OA
    POST /v1/queues/{queue}/resume            ...OA
    GET /v1/session                           PWVOA-
    POST /v1/session                          PWVOA-
    DELETE /v1/session                        PWVOA-
    POST /v1/session/links                    PWVOA
    GET /v1/scale                             ..VOA
    GET /v1/schedules                         ..VOA
    GET /v1/schedules/next                    PWVOA
    DELETE /v1/schedules/{schedule}           ....A
    GET /v1/schedules/{schedule}              ..VOA
    PUT /v1/schedules/{schedule}              ....A  {"every":"1h","job":{"kind":"k"}}
    POST /v1/schedules/{schedule}/pause       ....A
    POST /v1/schedules/{schedule}/resume      ....A
    POST /v1/schedules/{schedule}/run         ....A
    GET /v1/stats                             ..VOA
    GET /v1/stats/series                      ..VOA
    GET /v1/tokens                            ..VOA
    GET /v1/webhooks                          ..VOA
    DELETE /v1/webhooks/{webhook}             ....A
    GET /v1/webhooks/{webhook}                ..VOA
    PUT /v1/webhooks/{webhook}                ....A  {"url":"http://127.0.0.1:1/"}
    GET /v1/webhooks/{webhook}/deliveries     ..VOA
    POST /v1/webhooks/{webhook}/resume        ....A
    POST /v1/webhooks/{webhook}/rotate        ....A
    POST /v1/webhooks/{webhook}/test          ....A
    GET /v1/workers                           ..VOA
    POST /v1/workers/{id}/dump                ...OA
    POST /v1/workers/{id}/quiet               ...OA
    POST /v1/workers/{id}/resume              ...OA
    POST /v1/workers/{id}/stop                ...OA
"#;

const ROLES: [&str; 5] = ["producer", "worker", "viewer", "operator", "admin"];

fn lines() -> Vec<(&'static str, &'static str, &'static str)> {
    let line = |line: &'static str| {
        let (route, rest) = line.trim().split_once("  ")?;
        let (roles, body) = rest.trim().split_once("  ").unwrap_or((rest.trim(), ""));
        Some((route, roles, body))
    };
    TABLE.lines().filter_map(line).collect()
}

/// The path with something in its holes, and what a route has to be told besides.
fn filled(path: &str) -> String {
    let path = path.replace("{id}", "01900000-0000-7000-8000-000000000001");
    let path = path.replace("{lease}", &"A".repeat(96));
    let path = ["{limit}", "{queue}", "{schedule}", "{webhook}"]
        .iter()
        .fold(path, |path, hole| path.replace(hole, "some"));
    match path.as_str() {
        "/v1/schedules/next" => format!("{path}?cron=0+3+*+*+*"),
        "/v1/scale" => format!("{path}?queue=mail"),
        _ => path,
    }
}

#[test]
fn every_route_is_of_certain_roles() {
    let (gate, _) = Gate::new();
    let texts: BTreeMap<&str, String> = ROLES
        .iter()
        .map(|role| {
            (*role, token(&gate.file, &format!("new role-{role} --role {role} --namespace * --payloads")))
        })
        .collect();
    let mut gate = gate;
    gate.reload(super::READ);
    let admin = &texts["admin"];
    // What a route names is there, so that only the role is in question.
    for (path, body) in [
        ("/v1/schedules/some", r#"{"every":"1h","job":{"kind":"k"}}"#),
        ("/v1/webhooks/some", r#"{"url":"http://127.0.0.1:1/"}"#),
    ] {
        assert_eq!(gate.http(admin, "PUT", path, body).status, 200, "{path}");
    }
    let jobs = vec![r#"{"kind":"slow"}"#; 200].join(",");
    assert_eq!(gate.http(admin, "POST", "/v1/jobs", &format!(r#"{{"jobs":[{jobs}]}}"#)).status, 201);
    let slow = r#"{"action":"cancel","q":"kind:slow","per_second":1}"#;
    let slow = gate.http(admin, "POST", "/v1/operations", slow).json();
    let operation = slow["operation"].as_str().unwrap();
    let api = gate.broker.http("GET", "/openapi.json", "").json();
    let mut routes: Vec<String> = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        let verbs = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        routes.extend(verbs.map(|verb| format!("{} {path}", verb.to_uppercase())));
    }
    let mut told: Vec<String> = lines().iter().map(|(route, ..)| (*route).to_owned()).collect();
    routes.sort();
    told.sort();
    assert_eq!(routes, told);
    let addr = gate.broker.http_addr();
    for (route, roles, body) in lines() {
        let (verb, path) = route.split_once(' ').unwrap();
        let path = filled(&path.replace("operations/{id}", &format!("operations/{operation}")));
        // What it is told is all that it goes by; see `a_browser_shows_its_token_once`.
        if route == "POST /v1/session" {
            continue;
        }
        if path == "/v1/events" {
            // It does not end by itself; see `the_end_of_a_token_is_the_end_of_its_session`.
            for role in ["producer", "worker"] {
                assert_eq!(gate.http(&texts[role], verb, &path, body).status, 403, "{route} as {role}");
            }
            continue;
        }
        let nobody = http::ask(&addr, verb, &path, &[], body.as_bytes());
        assert_eq!(nobody.status != 401, roles.contains('-'), "{route}: {}", nobody.text());
        for role in ROLES {
            let reply = gate.http(&texts[role], verb, &path, body);
            let may = roles.contains(&role[..1].to_uppercase());
            assert_eq!(reply.status != 403, may, "{route} as {role}: {} {}", reply.status, reply.text());
            assert_ne!(reply.status, 401, "{route} as {role}");
            // A wrong body would hide who may.
            assert_ne!(reply.status, 400, "{route} as {role}: {}", reply.text());
        }
    }
}

#[test]
fn a_lease_is_settled_with_the_token_that_took_it() {
    let (gate, text) = Gate::new();
    gate.http(&text("shop"), "POST", "/v1/jobs", r#"{"kind":"k","queue":"mail"}"#);
    let taken = gate.http(&text("worker"), "POST", "/v1/leases", r#"{"queues":["mail"]}"#).json();
    let lease = taken["items"][0]["lease"].as_str().unwrap();
    let complete = |name: &str| gate.http(&text(name), "POST", &format!("/v1/leases/{lease}/complete"), "{}");
    let other = complete("admin");
    assert_eq!((other.status, other.json()["code"].clone()), (409, Value::from("LEASE_LOST")));
    assert_eq!(complete("worker").status, 200);
    let bills = gate.http(&text("worker"), "POST", "/v1/leases", r#"{"queues":["bills"]}"#);
    assert_eq!(
        (bills.status, bills.json()["errors"][0]["pointer"].clone()),
        (403, "/sources/0/queue".into())
    );
}
