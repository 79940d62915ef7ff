//! The one error type of the client: what failed, in whose hands it is now, and whether to try again.

use std::fmt;
use std::time::Duration;

use windlass_proto::v1::{self, Code};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// `Display` is one sentence in lower case for people; [`Error::kind`] is for programs.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    field: String,
    retry_after: Option<Duration>,
}

/// The class of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker refused the request; it has had no effect.
    Refused(Code),
    /// The broker could not be reached, and the request was certainly not carried out.
    Unreachable,
    /// The request was sent, but its answer did not come in time: it may have been carried out.
    OutcomeUnknown,
    /// The time that the caller gave ran out before anything was sent.
    Timeout,
    /// The peer broke the protocol, or is not a Windlass broker.
    Protocol,
    /// The lease has ended: the job belongs to somebody else, or waits for somebody.
    LeaseLost,
    /// The request cannot be made: a bad address, a payload that does not serialise, too large a frame.
    Invalid,
    /// The client was closed.
    Closed,
}

impl Error {
    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without any change, and is safe to repeat.
    ///
    /// False for [`ErrorKind::OutcomeUnknown`]: repeating is safe only with the same job id and within
    /// the broker's idempotency window, which the caller has to know.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::Refused(code) => matches!(code, Code::Exhausted | Code::Draining),
            ErrorKind::Unreachable | ErrorKind::Timeout => true,
            ErrorKind::OutcomeUnknown
            | ErrorKind::Protocol
            | ErrorKind::LeaseLost
            | ErrorKind::Invalid
            | ErrorKind::Closed => false,
        }
    }

    /// The failure in words, without its class.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field of the request at fault, as a path like `enqueue.jobs[3].queue`; empty: none in particular.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// When trying again makes sense, if the broker said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: String::new(), retry_after: None }
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    pub(crate) fn io(error: std::io::Error) -> Self {
        Self::unreachable(error.to_string())
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "it is closed")
    }

    pub(crate) fn refused_with(code: Code, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused(code), message)
    }

    /// An answer of another kind than the request asks for.
    pub(crate) fn wrong_answer(wanted: &str) -> Self {
        Self::protocol(format!("the broker answered something else than {wanted}"))
    }

    /// Puts a sentence of ours before the message, to say what was attempted.
    pub(crate) fn context(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<v1::Error> for Error {
    fn from(refusal: v1::Error) -> Self {
        // A code from a newer broker has to be treated as INTERNAL, says the protocol.
        let code = match Code::try_from(refusal.code) {
            Ok(Code::Unspecified) | Err(_) => Code::Internal,
            Ok(code) => code,
        };
        let retry_after = (refusal.retry_after_ms > 0).then(|| Duration::from_millis(refusal.retry_after_ms));
        Self { kind: ErrorKind::Refused(code), message: refusal.message, field: refusal.field, retry_after }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.kind {
            ErrorKind::Refused(code) => {
                write!(f, "the broker refused it as {}", code.name())?;
                ""
            }
            ErrorKind::Unreachable => "the broker cannot be reached",
            ErrorKind::OutcomeUnknown => "the outcome is unknown",
            ErrorKind::Timeout => "the time ran out before anything was sent",
            ErrorKind::Protocol => "the protocol was broken",
            ErrorKind::LeaseLost => "the lease is lost",
            ErrorKind::Invalid => "the request cannot be made",
            ErrorKind::Closed => "the client is closed",
        };
        f.write_str(class)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if !self.field.is_empty() {
            write!(f, " (at {})", self.field)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
