//! The sinks as the engine has them, for who makes the deliveries: their secrets are told to nobody else.

use super::core::Core;
use std::sync::Arc;
use tokio::sync::watch;

/// A place outside that events are delivered to.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where.
    pub url: String,
    /// What signs; the second one only until an instant.
    pub secret: String,
    /// The secret before, and until when it signs, too.
    pub former: Option<(String, u64)>,
}

/// All of them, whenever one comes, changes or goes.
pub type Places = watch::Receiver<Arc<Vec<Place>>>;

/// Tells of them.
pub(super) struct Teller {
    places: watch::Sender<Arc<Vec<Place>>>,
    version: u64,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { places: watch::Sender::new(Arc::default()), version: 0 }
    }

    pub(super) fn places(&self) -> Places {
        self.places.subscribe()
    }

    /// A turn is over.
    pub(super) fn look(&mut self, core: &Core) {
        let (version, sinks) = core.engine().sinks();
        if version == self.version {
            return;
        }
        self.version = version;
        let places = sinks.map(|(namespace, name, sink)| Place {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            url: sink.url.clone(),
            secret: sink.secret.clone(),
            former: sink.former.as_deref().cloned(),
        });
        self.places.send_replace(Arc::new(places.collect()));
    }
}
