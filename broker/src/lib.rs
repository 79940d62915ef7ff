//! The Windlass daemon.
//!
//! ```text
//!   socket ─ net ─ session ┐
//!                          ├─ door ─ driver: one loop, one owner ─ store: journal file, sled
//!   CLI ─── client ─ socket┘          └─ engine: the rules, pure
//! ```

pub mod broker;
pub mod clock;
pub mod door;
pub mod driver;
pub mod limits;
pub mod process;
pub mod store;
