//! What a handler is given, and the two ways in which it can fail. Nothing here knows the broker.

use serde::de::DeserializeOwned;
use std::fmt::Display;

/// One attempt at one job.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which handler it is for.
    pub kind: String,
    /// The job's id: the same in every attempt, so files named after it are replaced, not doubled.
    pub id: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many attempts remain after this one.
    pub attempts_left: u32,
    /// What the producer sent.
    pub payload: Vec<u8>,
}

impl Run {
    /// Reads the payload as the JSON that the handler expects; fields it does not ask for are ignored.
    ///
    /// # Errors
    /// A permanent failure: the same bytes will not read better next time.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        if self.payload.is_empty() {
            return Err(HandlerError::permanent(format!("the payload of {} is empty", self.kind)));
        }
        serde_json::from_slice(&self.payload).map_err(|error| {
            HandlerError::permanent(format!("the payload is not one of {}: {error}", self.kind))
        })
    }
}

/// Why a handler did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Another attempt would end the same way, so the broker should not make one.
    #[error("{0}")]
    Permanent(String),
    /// Later it may go well.
    #[error("{0}")]
    Retry(String),
}

impl HandlerError {
    /// A failure that no further attempt can mend.
    pub fn permanent(why: impl Display) -> Self {
        Self::Permanent(why.to_string())
    }

    /// A failure that may have passed by the next attempt.
    pub fn retry(why: impl Display) -> Self {
        Self::Retry(why.to_string())
    }

    /// Whether no further attempt can help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }
}

#[cfg(test)]
impl Run {
    /// The first attempt at a job, for the tests of the handlers.
    pub(crate) fn sample(kind: &str, payload: impl Display) -> Self {
        let id = "0190b5a0-0000-7000-8000-000000000001";
        Self {
            kind: kind.into(),
            id: id.into(),
            attempt: 1,
            attempts_left: 2,
            payload: payload.to_string().into(),
        }
    }
}
