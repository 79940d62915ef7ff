//! Handlers: functions of users, made alike, so that the worker can call any of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use windlass_proto::v1::Complete;

use super::context::JobContext;
use super::decode;
use super::failure::JobError;
use crate::job::{JSON, Job};

/// A handler of any sort.
pub(super) type Handler = Arc<dyn Fn(JobContext) -> Run + Send + Sync>;

/// A run of a handler.
pub(super) type Run = Pin<Box<dyn Future<Output = Result<Complete, JobError>> + Send>>;

/// What a raw handler may return: nothing, or bytes of some sort. The bytes are kept as the job's result,
/// at most `Welcome.max_payload` of them.
pub trait RawResult {
    /// The bytes of the result.
    fn into_bytes(self) -> Bytes;
}

impl RawResult for () {
    fn into_bytes(self) -> Bytes {
        Bytes::new()
    }
}

/// Implements [`RawResult`] for types that [`Bytes`] can be made of.
macro_rules! raw_results {
    ($($bytes:ty),*) => {$(
        impl RawResult for $bytes {
            fn into_bytes(self) -> Bytes {
                self.into()
            }
        }
    )*};
}

raw_results!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

/// A handler of a typed job: decodes, runs, encodes.
pub(super) fn typed<J, F, Fut, T>(handler: F) -> Handler
where
    J: Job,
    F: Fn(J, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: Serialize,
{
    Arc::new(move |context| match decode::json::<J>(context.payload()) {
        Ok(job) => {
            let run = handler(job, context);
            Box::pin(async move { json(&run.await?) })
        }
        Err(error) => Box::pin(async { Err(error) }),
    })
}

/// A handler that blocks its thread, run where that harms nobody.
pub(super) fn blocking<J, F, T>(handler: F) -> Handler
where
    J: Job,
    F: Fn(J, JobContext) -> Result<T, JobError> + Send + Sync + 'static,
    T: Serialize,
{
    let handler = Arc::new(handler);
    Arc::new(move |context| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let job = decode::json::<J>(context.payload())?;
            let run = tokio::task::spawn_blocking(move || json(&handler(job, context)?));
            run.await.unwrap_or_else(|failed| match failed.try_into_panic() {
                // The panic goes on here and is caught where all others are.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(JobError::from("the runtime is shutting down")),
            })
        })
    })
}

/// A handler of bytes.
pub(super) fn raw<F, Fut, T>(handler: F) -> Handler
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: RawResult,
{
    Arc::new(move |context| {
        let run = handler(context);
        Box::pin(async move { Ok(Complete { result: run.await?.into_bytes(), content_type: String::new() }) })
    })
}

fn json(value: &impl Serialize) -> Result<Complete, JobError> {
    let result = serde_json::to_vec(value)
        .map_err(|error| JobError::permanent(format!("the result is no JSON: {error}")))?;
    // A handler that returns () has no result, not the word "null".
    if result == b"null" {
        return Ok(Complete::default());
    }
    Ok(Complete { result: result.into(), content_type: JSON.to_owned() })
}
