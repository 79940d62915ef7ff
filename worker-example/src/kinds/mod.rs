//! The kinds of jobs that this worker knows: one function a kind, one file a function.

mod generate_pdf;
mod resize_image;
mod send_email;

pub use generate_pdf::generate_pdf;
pub use resize_image::resize_image;
pub use send_email::send_email;

use crate::run::{HandlerError, Run};
use serde_json::Value;
use std::path::Path;

/// Runs one job to its end; `out` is the folder that all files are read from and written to.
///
/// It blocks, on files and on the processor, so async code calls it through `spawn_blocking`.
///
/// # Errors
/// What the kind's own function says, and a permanent failure for a kind without one.
pub fn perform(run: &Run, out: &Path) -> Result<Value, HandlerError> {
    match run.kind.as_str() {
        "send_email" => send_email(run, out),
        "resize_image" => resize_image(run, out),
        "generate_pdf" => generate_pdf(run, out),
        unknown => Err(HandlerError::permanent(format!(
            "this worker has no handler for {unknown:?}, only for send_email, resize_image and generate_pdf"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_fails_for_good_and_is_named() {
        let out = tempfile::tempdir().unwrap();
        let error = perform(&Run::sample("make_coffee", "{}"), out.path()).unwrap_err();
        assert!(error.is_permanent());
        assert!(error.to_string().contains("\"make_coffee\""), "{error}");
    }

    #[test]
    fn an_empty_or_broken_payload_fails_for_good_in_every_kind() {
        let out = tempfile::tempdir().unwrap();
        for kind in ["send_email", "resize_image", "generate_pdf"] {
            for (payload, complaint) in
                [("", "empty"), ("{", "EOF"), ("{}", "missing field"), ("[]", "invalid")]
            {
                let error = perform(&Run::sample(kind, payload), out.path()).unwrap_err();
                assert!(error.is_permanent(), "{kind} {payload}");
                assert!(error.to_string().contains(complaint), "{kind} {payload}: {error}");
            }
        }
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "nothing was written");
    }
}
