//! What the tests share: the real programs as child processes, a raw peer, a proxy that misbehaves, and
//! patience. Nothing here knows how the broker works inside.

mod broker;
mod cli;
mod example;
pub(crate) mod http;
mod patience;
mod peer;
mod postgres;
mod program;
mod proxy;
mod verbs;

pub(crate) use broker::{Broker, hold_port};
pub(crate) use cli::{Answer, start_windlass, windlass, windlass_killed_at, windlass_reading};
pub(crate) use example::ExampleWorker;
pub(crate) use patience::{NOTICED_MS_MOST, eventually};
pub(crate) use peer::{Peer, body, encode, hello};
pub(crate) use postgres::Postgres;
pub(crate) use program::{Program, raise_open_files};
pub(crate) use proxy::Proxy;
pub(crate) use verbs::{complete, fail, fetch_once, fresh_id, hex, job, reading, result_of, stream};

/// The two programs under test.
pub(crate) const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass-under-test");
/// The relay of the client's examples.
pub(crate) const OUTBOX_RELAY: &str = env!("CARGO_BIN_EXE_outbox-relay-under-test");
/// See [`WINDLASS`].
pub(crate) const WORKER_EXAMPLE: &str = env!("CARGO_BIN_EXE_worker-example-under-test");
