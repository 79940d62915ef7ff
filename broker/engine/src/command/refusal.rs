//! Refusals: why a command had no effect.

use alloc::string::String;

/// Why a command was refused; the whole answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For machines.
    pub code: Code,
    /// For people: what happened and what to do.
    pub message: String,
    /// The field at fault, like `jobs[3].queue`; "" = none.
    pub field: String,
    /// When it may be tried again; 0 = it makes no sense to.
    pub retry_after_ms: u64,
}

/// The kinds of refusal, the same as the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The client asked for something malformed or contradictory.
    Invalid,
    /// It is not there.
    NotFound,
    /// Somebody else changed it first.
    VersionConflict,
    /// A bound is reached; try later.
    Exhausted,
    /// Over a size bound.
    TooLarge,
    /// The broker is stopping.
    Draining,
    /// The schema has it, this broker does not do it.
    Unsupported,
    /// It is beyond what the client's token allows.
    Denied,
}

impl Code {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Invalid,
        Self::NotFound,
        Self::VersionConflict,
        Self::Exhausted,
        Self::TooLarge,
        Self::Draining,
        Self::Unsupported,
        Self::Denied,
    ];
}

impl Refusal {
    /// A refusal without a retry.
    #[must_use]
    pub fn new(code: Code, field: &str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: field.into(), retry_after_ms: 0 }
    }

    /// The same refusal, worth another try after `ms`.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = ms;
        self
    }
}

impl Code {
    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::NotFound => "NOT_FOUND",
            Self::VersionConflict => "VERSION_CONFLICT",
            Self::Exhausted => "EXHAUSTED",
            Self::TooLarge => "TOO_LARGE",
            Self::Draining => "DRAINING",
            Self::Unsupported => "UNSUPPORTED",
            Self::Denied => "DENIED",
        }
    }
}
