//! How a handler says that its job did not end well, and what is to happen then.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use windlass_proto::limits::{self, cut};
use windlass_proto::v1::result::How;
use windlass_proto::v1::{Cancelled, Fail, Release};

use crate::millis;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a job did not complete, and what becomes of it.
///
/// Every error converts by `?` into "failed, try again as the policy says": those of `std`, `anyhow`'s,
/// `&str` and `String`. The other ends are said by name. Like `anyhow::Error` it is no
/// `std::error::Error` itself; that is what makes the conversion possible.
///
/// ```
/// use std::time::Duration;
/// use windlass_client::JobError;
///
/// fn send(to: &str) -> Result<(), JobError> {
///     if !to.contains('@') {
///         return Err(JobError::permanent("this is no address"));
///     }
///     if to.ends_with("@slow.example") {
///         return Err(JobError::snooze(Duration::from_secs(3_600)));
///     }
///     std::fs::read("template.html")?;
///     Ok(())
/// }
/// ```
pub struct JobError {
    verdict: Verdict,
    kind: String,
    message: String,
    trace: String,
}

/// What becomes of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It failed; tried again after this time, or as the policy says. Counted as an attempt.
    Retry(Option<Duration>),
    /// It failed, and no further attempt can help: it is dead.
    Permanent,
    /// It comes back after this time; not counted.
    Snooze(Duration),
    /// It stopped because it was asked to.
    Cancelled,
}

impl JobError {
    /// No further attempt can help: the job is dead at once.
    #[must_use]
    pub fn permanent<E: Into<BoxError>>(error: E) -> Self {
        Self { verdict: Verdict::Permanent, ..Self::from(error) }
    }

    /// Failed; tried again after this long, whatever the backoff says; at most a year.
    #[must_use]
    pub fn retry_after<E: Into<BoxError>>(after: Duration, error: E) -> Self {
        Self { verdict: Verdict::Retry(Some(after)), ..Self::from(error) }
    }

    /// Not now: the job comes back after this long, at most a year, and no attempt is counted. Zero gives
    /// it back at once.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::bare(Verdict::Snooze(delay))
    }

    /// The handler stopped because its token was cancelled. If somebody has cancelled the job, that is its
    /// end; if the run took too long or stalled, the attempt has failed; if the worker is stopping or has lost its broker, the job is given back, uncounted.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::bare(Verdict::Cancelled)
    }

    /// Gives the failure a class of its own, cut at 128 bytes; default the name of the error's type.
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Adds a stack trace, or whatever helps to find the place; cut at 16 KiB.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = trace.into();
        self
    }

    /// What becomes of the job.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The error with its causes, or empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn is_panic(&self) -> bool {
        self.kind == PANIC
    }

    pub(crate) fn into_how(self) -> How {
        let fail = |fatal, after: Option<Duration>| {
            How::Fail(Fail {
                kind: cut(&self.kind, limits::FAIL_KIND_BYTES_MAX).to_owned(),
                message: cut(&self.message, limits::FAIL_MESSAGE_BYTES_MAX).to_owned(),
                trace: cut(&self.trace, limits::FAIL_TRACE_BYTES_MAX).to_owned(),
                fatal,
                retry_after_ms: after.map(millis::of),
            })
        };
        match self.verdict {
            Verdict::Retry(after) => fail(false, after),
            Verdict::Permanent => fail(true, None),
            Verdict::Snooze(delay) => {
                let reason = cut(&self.message, limits::REASON_BYTES_MAX).to_owned();
                How::Release(Release { delay_ms: millis::of(delay), reason, ..Release::default() })
            }
            Verdict::Cancelled => {
                let note = cut(&self.message, limits::REASON_BYTES_MAX).to_owned();
                How::Cancelled(Cancelled { note })
            }
        }
    }

    fn bare(verdict: Verdict) -> Self {
        Self { verdict, kind: String::new(), message: String::new(), trace: String::new() }
    }
}

impl<E: Into<BoxError>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self {
            verdict: Verdict::Retry(None),
            kind: class_of::<E>(),
            message: with_causes(error.into().as_ref()),
            trace: String::new(),
        }
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.verdict, self.message)
    }
}

/// Short ways to say what an error means, on the `Result` that has it.
pub trait JobResultExt<T> {
    /// No further attempt can help. See [`JobError::permanent`].
    ///
    /// # Errors
    /// The error that was there.
    fn permanent(self) -> Result<T, JobError>;

    /// Tried again after this long. See [`JobError::retry_after`].
    ///
    /// # Errors
    /// The error that was there.
    fn retry_after(self, after: Duration) -> Result<T, JobError>;
}

impl<T, E: Into<BoxError>> JobResultExt<T> for Result<T, E> {
    fn permanent(self) -> Result<T, JobError> {
        self.map_err(JobError::permanent)
    }

    fn retry_after(self, after: Duration) -> Result<T, JobError> {
        self.map_err(|error| JobError::retry_after(after, error))
    }
}

/// The class of a panic.
pub(super) const PANIC: &str = "panic";

/// The type of an error is the best class that there is without asking; a text has none.
fn class_of<E>() -> String {
    let name = std::any::type_name::<E>();
    if name.contains("str") && !name.contains("::") || name.contains("String") || name.contains("dyn ") {
        "error".to_owned()
    } else {
        name.to_owned()
    }
}

fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors print their cause themselves; saying it twice helps nobody.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(error: JobError) -> Fail {
        match error.into_how() {
            How::Fail(fail) => fail,
            How::Complete(_) | How::Release(_) | How::Cancelled(_) => panic!("no failure"),
        }
    }

    #[test]
    fn any_error_is_a_retry_with_its_causes_and_its_class() {
        fn read() -> Result<(), JobError> {
            std::fs::read("/does/not/exist")?;
            Ok(())
        }
        let fail = fail(read().unwrap_err());
        assert!(!fail.fatal);
        assert_eq!(fail.retry_after_ms, None);
        assert_eq!(fail.kind, "std::io::error::Error");
        assert!(fail.message.contains("No such file"));
    }

    #[test]
    fn texts_are_errors_too() {
        let from_str = fail(JobError::from("no room"));
        assert_eq!((from_str.kind.as_str(), from_str.message.as_str()), ("error", "no room"));
        assert_eq!(fail(JobError::from(String::from("x"))).kind, "error");
    }

    #[test]
    fn the_verdict_decides_the_end() {
        assert!(fail(JobError::permanent("x")).fatal);
        let later = fail(JobError::retry_after(Duration::from_secs(2), "x"));
        assert_eq!(later.retry_after_ms, Some(2_000));
        let How::Release(release) = JobError::snooze(Duration::from_millis(7)).into_how() else {
            panic!("a snooze is a release");
        };
        assert_eq!(release.delay_ms, 7);
        assert!(matches!(JobError::cancelled().into_how(), How::Cancelled(_)));
    }

    #[test]
    fn long_texts_are_cut_at_the_bounds_of_the_protocol() {
        let long = "ä".repeat(20_000);
        let fail = fail(JobError::from(long.clone()).with_kind(long.clone()).with_trace(long));
        assert!(fail.kind.len() <= 200 && fail.message.len() <= 4_096 && fail.trace.len() <= 16_384);
    }
}
