//! The Windlass daemon and its command line.
//!
//! ```text
//!   socket ─ net ─ session ┐
//!   HTTP ─ http ─ local ───┤
//!                          ├─ door ─ driver: one loop, one owner ─ store: journal file, sled
//!   CLI ─── client ─ socket┘          └─ engine: the rules, pure
//! ```

pub mod broker;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
mod disk_usage;
pub mod door;
pub mod driver;
pub mod failpoint;
pub mod history;
pub mod hooks;
pub mod http;
pub mod json;
pub mod limits;
pub mod local;
pub mod metrics;
pub mod net;
pub mod process;
mod reload;
mod secret_file;
pub mod session;
pub mod store;
mod strangers;
mod systemd;
pub mod tls;
pub mod tokens;
pub mod vault;

pub use cli::main;
