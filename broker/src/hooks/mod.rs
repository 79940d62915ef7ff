//! Webhooks: makes the deliveries that wait in the queues of sinks, as a worker like any other.

mod cloud_event;
mod send;
mod sign;

pub use sign::fresh_secret;
pub use windlass_engine::sink::{CLIENT, QUEUE, TEST_KIND};

use crate::driver::sinks::{Place, Places};
use crate::local::{Local, Locals};
use crate::tokens::Speaker;
use send::{Sender, Sent};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windlass_engine::sink::KIND;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::fetch::Source;
use windlass_proto::v1::resource::What;
use windlass_proto::v1::result::How;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{
    Bye, Cancelled, Complete, Error, Fail, Fetch, Limit, Put, Release, Resource, Result as Ended, Settle,
    Work,
};

/// Deliveries of one namespace under way at a time.
const SLOTS: u32 = 16;
/// Pause before a conversation that broke is begun anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether a sink may have this address.
///
/// # Errors
/// What is wrong with it.
pub fn check_address(url: &str) -> Result<(), String> {
    // Which addresses may be reached is decided when they are.
    send::address(url, true).map(drop)
}

/// Whether a sink may have this secret.
///
/// # Errors
/// What a secret is.
pub fn check_secret(secret: &str) -> Result<(), String> {
    sign::key(secret).map(drop).map_err(|fault| fault.to_string())
}

/// Makes deliveries until `stop`. `reaches_everything` = to link-local and metadata addresses, too.
pub async fn serve(locals: Locals, mut places: Places, reaches_everything: bool, stop: CancellationToken) {
    let sender = Sender::new(reaches_everything);
    let (mut served, couriers) = (HashSet::new(), TaskTracker::new());
    loop {
        let now: Arc<Vec<Place>> = places.borrow_and_update().clone();
        for place in now.iter() {
            if served.insert(place.namespace.clone()) {
                let courier = Courier {
                    locals: locals.clone(),
                    namespace: place.namespace.clone(),
                    places: places.clone(),
                    sender: sender.clone(),
                };
                couriers.spawn(courier.work(stop.clone()));
            }
        }
        tokio::select! {
            changed = places.changed() => if changed.is_err() { break },
            () = stop.cancelled() => break,
        }
    }
    couriers.close();
    couriers.wait().await;
}

/// Makes the deliveries of one namespace.
#[derive(Clone)]
struct Courier {
    locals: Locals,
    namespace: String,
    places: Places,
    sender: Sender,
}

impl Courier {
    async fn work(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.converse(&stop).await {
                tracing::debug!(namespace = self.namespace, error = error.message, "deliveries pause");
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Takes deliveries and makes them, until the conversation or the broker ends.
    async fn converse(&self, stop: &CancellationToken) -> Result<(), Error> {
        let local = Arc::new(self.locals.own(&Speaker::Broker, &self.namespace, true).await?);
        let sources = vec![Source { queue: QUEUE.to_owned(), weight: 1 }];
        let kinds = vec![KIND.to_owned(), TEST_KIND.to_owned()];
        let mut stream = local.fetch(Fetch { sources, kinds, slots: SLOTS, ..Fetch::default() }).await?;
        loop {
            let said = tokio::select! {
                said = stream.next() => said,
                () = stop.cancelled() => {
                    // What is under way is given back, and made again by the next run of the broker.
                    let _closed = local.ask(Request::Bye(Bye { keep_leases: false })).await;
                    return Ok(());
                }
            };
            match said {
                Some(Body::Deliver(deliver)) => {
                    for work in deliver.jobs {
                        let (courier, local) = (self.clone(), Arc::clone(&local));
                        tokio::spawn(async move { courier.deliver(&local, work).await });
                    }
                }
                Some(Body::Error(error)) => return Err(error),
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    async fn deliver(&self, local: &Local, work: Work) {
        let how = self.attempt(local, &work).await;
        let ended = Ended { id: work.id, fence: work.fence, how: Some(how), ..Ended::default() };
        if let Err(error) = local.ask(Request::Settle(Settle { results: vec![ended] })).await {
            // It is made again, under the same webhook-id.
            tracing::debug!(error = error.message, "a delivery was made and not settled");
        }
    }

    async fn attempt(&self, local: &Local, work: &Work) -> How {
        let place = self.places.borrow().iter().find(|place| self.is_of(place, work)).cloned();
        let Some(place) = place else {
            return How::Cancelled(Cancelled { note: format!("there is no sink {} any more", work.key) });
        };
        let now_ms = self.locals.now_ms();
        let body = cloud_event::body(work, &self.namespace, now_ms);
        let former = place.former.as_ref().filter(|(_, until)| *until > now_ms);
        let secrets: Vec<&str> =
            [place.secret.as_str()].into_iter().chain(former.map(|(secret, _)| secret.as_str())).collect();
        let (id, seconds) = (cloud_event::message_id(work), now_ms / 1_000);
        let signature = match sign::signature(&secrets, &id, seconds, &body) {
            Ok(signature) => signature,
            Err(fault) => return failed("secret", fault.to_string()),
        };
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ];
        match self.sender.post(&place.url, &headers, body.into()).await {
            Sent::Received(status) => {
                let result = format!("{{\"status\":{status}}}").into();
                How::Complete(Complete { result, content_type: "application/json".to_owned() })
            }
            Sent::Gone => pause(local, &place.name).await,
            Sent::Failed(message) => failed("http", message),
        }
    }

    fn is_of(&self, place: &Place, work: &Work) -> bool {
        place.namespace == self.namespace && place.name == work.key
    }
}

/// The name of the limit that pauses a sink.
#[must_use]
pub fn pause_of(sink: &str) -> String {
    format!("pause:sink/{sink}")
}

/// The receiver wants no more: deliveries wait until somebody removes the limit.
async fn pause(local: &Local, sink: &str) -> How {
    let limit = Limit {
        queue: QUEUE.to_owned(),
        key: sink.to_owned(),
        concurrency: Some(0),
        why: "its receiver answered 410 Gone".to_owned(),
        ..Limit::default()
    };
    let name = format!("limit/{}", pause_of(sink));
    let resource = Resource { name, what: Some(What::Limit(limit)), ..Resource::default() };
    let put = Put { set: vec![resource], reason: "410 Gone".to_owned(), ..Put::default() };
    match local.ask(Request::Put(put)).await {
        Ok(_) => How::Release(Release { reason: "410 Gone".to_owned(), ..Release::default() }),
        Err(error) => {
            failed("http", format!("answered 410 Gone, and could not be paused: {}", error.message))
        }
    }
}

fn failed(kind: &str, message: String) -> How {
    How::Fail(Fail { kind: kind.to_owned(), message, ..Fail::default() })
}
