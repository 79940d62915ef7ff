//! What the user of a client or a worker has chosen, and the Hello that follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_proto::limits::{PROTO_VERSION, TEXT_BYTES_MAX, cut};
use windlass_proto::v1::Hello;

use crate::limits::WINDOW_DEFAULT;
use crate::metrics::Metrics;
use crate::millis;
use crate::tls::Tls;

/// The settings of a link.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) host_port: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) token: String,
    pub(crate) namespace: String,
    pub(crate) client: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) session_ttl: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) give_up_after: Duration,
    pub(crate) window: u32,
    pub(crate) metrics: Metrics,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host_port: String::new(),
            tls: None,
            token: String::new(),
            namespace: String::new(),
            client: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            labels: BTreeMap::new(),
            session_ttl: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            give_up_after: Duration::from_secs(30),
            window: WINDOW_DEFAULT,
            metrics: Metrics::default(),
        }
    }
}

impl Settings {
    /// The Hello of a new session.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            proto_min: PROTO_VERSION,
            proto_max: PROTO_VERSION,
            token: self.token.clone(),
            namespace: self.namespace.clone(),
            client: cut(&self.client, TEXT_BYTES_MAX).to_owned(),
            host: host(),
            pid: std::process::id(),
            labels: self.labels.clone(),
            session_ttl_ms: millis::of(self.session_ttl),
            ..Hello::default()
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret, and debug output ends up in logs.
        f.debug_struct("Settings")
            .field("host_port", &self.host_port)
            .field("namespace", &self.namespace)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// The name of this machine; empty where the system does not tell it this way.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    cut(name.trim(), TEXT_BYTES_MAX).to_owned()
}
