//! Orders: what an operator tells a session as a whole, and what of it stands until it is taken back.

use crate::ids::Ms;
use serde::{Deserialize, Serialize};

/// What a session is told. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Take no more jobs, finish those at hand.
    Quiet,
    /// Take jobs again.
    Resume,
    /// End the process, gracefully.
    Terminate,
    /// Write what the process is doing to its log.
    Dump,
}

/// What a session was told and is to go by from then on. The order is the stored format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// To take jobs, or nothing.
    #[default]
    Run,
    /// To take no more jobs.
    Quiet,
    /// To end.
    Stop,
}

/// An order that a session hears later. The broker tells one session after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueOrder {
    /// What it will hear.
    pub order: Order,
    /// When.
    pub at: Ms,
}

impl Order {
    /// The word on every floor.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Resume => "resume",
            Self::Terminate => "terminate",
            Self::Dump => "dump",
        }
    }
}

impl Told {
    /// What stands once this was told, too.
    #[must_use]
    pub fn after(self, order: Order) -> Self {
        match order {
            Order::Quiet => Self::Quiet,
            Order::Resume => Self::Run,
            Order::Terminate => Self::Stop,
            Order::Dump => self,
        }
    }

    /// What a worker that comes back hears again.
    #[must_use]
    pub fn again(self) -> Option<Order> {
        match self {
            Self::Run => None,
            Self::Quiet => Some(Order::Quiet),
            Self::Stop => Some(Order::Terminate),
        }
    }
}
