//! What systemd hears of the broker: that it is ready, that its loop turns, how it stands, that it goes.
//!
//! Nothing is said where nobody asked for it (`NOTIFY_SOCKET`).

use crate::local::Locals;
use crate::tokens::Speaker;
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Query, ServerView};

/// How often it is said how the broker stands, unless the watchdog wants to hear more often.
const STATUS: Duration = Duration::from_secs(10);

/// Says that the broker is ready, and from then on that it lives: each time after its loop has answered.
pub(crate) async fn report(locals: Locals, stop: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    tell(&[NotifyState::Ready]);
    let watchdog = sd_notify::watchdog_enabled();
    let mut turns = tokio::time::interval(watchdog.map_or(STATUS, |within| STATUS.min(within / 3)));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = stop.cancelled() => return,
        }
        // A loop that is stuck does not answer, and the watchdog hears nothing.
        let Some(view) = server(&locals).await else { continue };
        let status = format!("{} jobs, {} connections", view.jobs, view.connections);
        let status = NotifyState::Status(&status);
        if watchdog.is_some() { tell(&[NotifyState::Watchdog, status]) } else { tell(&[status]) }
    }
}

/// Says that the broker goes down.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what was begun")]);
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!(%error, "systemd does not hear");
    }
}

async fn server(locals: &Locals) -> Option<ServerView> {
    let query = Query { what: What::Server.into(), ..Query::default() };
    match locals.ask(&Speaker::Broker, "default", Request::Query(query)).await {
        Ok(Body::Rows(rows)) => rows.server.into_iter().next(),
        Ok(_) | Err(_) => None,
    }
}
