//! Touch: beats, and leases that are to last longer.

use crate::session::form::{Checked, at, at_most, inside, invalid, job_id, known, unset};
use crate::session::hello::labels;
use windlass_engine::command::{Beat, JobTouch, Touch};
use windlass_proto::limits::LEASE_MS_MAX;
use windlass_proto::v1::{self, beat::Phase};

/// Checks a Touch.
pub(super) fn touch(touch: v1::Touch) -> Checked<Touch> {
    let v1::Touch { beat, jobs } = touch;
    if beat.is_none() && jobs.is_empty() {
        return Err(invalid("", "a Touch brings a beat, or jobs, or both"));
    }
    let beat = beat.map(self::beat).transpose().map_err(|fault| inside("beat", fault))?;
    let jobs: Checked<Vec<JobTouch>> = jobs
        .into_iter()
        .enumerate()
        .map(|(index, job)| job_touch(&job).map_err(|fault| at("jobs", index, fault)))
        .collect();
    Ok(Touch { beat, jobs: jobs? })
}

fn beat(beat: v1::Beat) -> Checked<Beat> {
    let v1::Beat { phase, busy, slots, rss_bytes, loop_lag_ms, labels } = beat;
    let phase: Phase = known(phase, "phase")?;
    let labels = self::labels(labels, "labels")?;
    Ok(Beat { phase: phase.into(), busy, slots, rss_bytes, loop_lag_ms, labels })
}

fn job_touch(touch: &v1::JobTouch) -> Checked<JobTouch> {
    let v1::JobTouch { id, fence, extend_ms, progress_permille, note, logs, checkpoint, stream } = touch;
    unset(&[
        ("progress_permille", progress_permille.is_some()),
        ("note", !note.is_empty()),
        ("logs", !logs.is_empty()),
        ("checkpoint", checkpoint.is_some()),
        ("stream", !stream.is_empty()),
    ])?;
    let extend_ms = extend_ms.map(|ms| at_most(ms, LEASE_MS_MAX, "extend_ms")).transpose()?;
    Ok(JobTouch { id: job_id(id, "id")?, fence: *fence, extend_ms })
}
