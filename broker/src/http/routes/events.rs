//! Events as they happen, as server-sent events (SSE).

use super::super::Gateway;
use super::super::call::Call;
use super::super::pour::pour;
use super::super::problem::Problem;
use super::super::terms::terms;
use super::stats;
use crate::json::Event;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Selector, State, Watch};

/// How often a silent stream says that it lives, so that no proxy cuts it.
const ALIVE: Duration = Duration::from_secs(15);
/// When a browser that was cut off comes back, in milliseconds.
const COME_BACK_MS: u32 = 1_000;

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Which events, and what besides.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsWords {
    /// Names of events, separated by commas, like `job.dead,session.lost`; default: all.
    #[serde(default)]
    names: String,
    /// Of these jobs: `id:`, `queue:`, `kind:`, `key:`, `state:`, each at most once.
    #[serde(default)]
    q: String,
    /// Send the overview as well, at once and every so many seconds.
    #[param(minimum = 1, maximum = 3600)]
    snapshot: Option<u64>,
    /// First the kept events after this one; the header Last-Event-ID means the same.
    last_event_id: Option<u64>,
}

/// Tells events as they happen, as server-sent events: `event:` is the name, `id:` the number, `data:` the
/// event. `event: snapshot` brings the overview, `event: lagged` says that events are missing.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsWords),
    responses((status = 200, description = "A stream that does not end by itself", body = String, content_type = "text/event-stream")))]
async fn events(call: Call<EventsWords>) -> Result<Response, Problem> {
    let watch = watch(&call)?;
    let every = match call.words.snapshot {
        Some(seconds @ 1..=3_600) => Some(Duration::from_secs(seconds)),
        Some(_) => return Err(Problem::invalid("snapshots come every 1 to 3600 seconds").at("/snapshot")),
        None => None,
    };
    let (local, stream) = call.gateway.locals().watch(&call.speaker, &call.namespace, watch).await?;
    let (pieces, body) = pour();
    tokio::spawn(async move {
        let _lives_as_long = local;
        tell(&call, every, stream, pieces).await;
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // So that nginx passes pieces on as they come.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

fn watch(call: &Call<EventsWords>) -> Result<Watch, Problem> {
    let EventsWords { names, q, snapshot: _, last_event_id } = &call.words;
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let last = match (last_event_id, call.header("last-event-id")) {
        (Some(last), _) => Some(*last),
        (None, "") => None,
        (None, text) => {
            let last =
                text.parse().map_err(|_| Problem::invalid("Last-Event-ID is no number of an event"))?;
            Some(last)
        }
    };
    let mut select = Selector::default();
    for (name, value) in terms(q, &["id", "queue", "kind", "key", "state"])? {
        let fault = |what: &str| Problem::invalid(format!("{value:?} is no {what}")).at("/q");
        match name.as_str() {
            "id" => {
                let id: Uuid = value.parse().map_err(|_| fault("id"))?;
                select.ids.push(super::super::call::bytes(id));
            }
            "queue" => select.queue = value,
            "kind" => select.kind = value,
            "key" => select.key = value,
            _ => {
                let state = State::from_str_name(&format!("STATE_{}", value.to_uppercase()));
                let state = state.filter(|&state| state != State::Unspecified);
                select.states.push(state.ok_or_else(|| fault("state"))?.into());
            }
        }
    }
    Ok(Watch {
        names: names.map(str::to_owned).collect(),
        select: (select != Selector::default()).then_some(select),
        from_seq: last.map_or(0, |last| last + 1),
        ..Watch::default()
    })
}

/// Writes events and snapshots until the client is gone, the broker stops, or the client does not keep up.
async fn tell(
    call: &Call<EventsWords>,
    every: Option<Duration>,
    mut stream: crate::local::Stream,
    pieces: mpsc::Sender<Bytes>,
) {
    let mut alive = tokio::time::interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    alive.reset();
    let mut snapshots = tokio::time::interval(every.unwrap_or(Duration::from_secs(3_600)));
    snapshots.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut piece = format!("retry: {COME_BACK_MS}\n\n");
    loop {
        if !piece.is_empty() && pieces.send(piece.into()).await.is_err() {
            return;
        }
        piece = tokio::select! {
            word = stream.next() => match word.map(said) {
                Some(Ok(piece)) => piece,
                Some(Err(last)) => return drop(pieces.send(last.into()).await),
                None => return,
            },
            _ = snapshots.tick(), if every.is_some() => match stats::glance(call).await {
                Ok(overview) => block("snapshot", None, &overview),
                // The next one may succeed.
                Err(_) => String::new(),
            },
            _ = alive.tick() => ": alive\n\n".to_owned(),
            () = call.gateway.drained() => return,
            () = pieces.closed() => return,
        };
    }
}

/// A word of the engine as it is written. `Err`: it is the last.
fn said(word: Body) -> Result<String, String> {
    if let Body::Error(error) = word {
        return Err(block("refused", None, &Problem::from(error)));
    }
    let Body::Event(event) = word else { return Err(String::new()) };
    if event.end {
        return Err(String::new());
    }
    let mut piece = String::new();
    if event.lagged {
        piece.push_str(&block("lagged", None, &serde_json::json!({ "before": event.seq.to_string() })));
    }
    let (name, seq) = (event.name.clone(), event.seq);
    piece.push_str(&block(&name, Some(seq), &Event::from(event)));
    Ok(piece)
}

fn block(name: &str, id: Option<u64>, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).expect("an event of ours is JSON");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {name}\ndata: {data}\n\n")
}
