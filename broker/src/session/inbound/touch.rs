//! Touch: beats, leases that are to last longer, and what handlers say.

use crate::session::form::{Checked, at, at_most, inside, invalid, job_id, known, reason, too_large, within};
use crate::session::hello::labels;
use crate::session::passive;
use bytes::Bytes;
use windlass_engine::Blob;
use windlass_engine::command::{Beat, JobTouch, Telling, Touch};
use windlass_proto::limits::{CHECKPOINT_BYTES_MAX, LEASE_MS_MAX};
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
        .map(|(index, job)| job_touch(job).map_err(|fault| at("jobs", index, fault)))
        .collect();
    Ok(Touch { beat, jobs: jobs? })
}

fn beat(beat: v1::Beat) -> Checked<Beat> {
    let v1::Beat { phase, busy, slots, rss_bytes, loop_lag_ms, labels } = beat;
    let phase: Phase = known(phase, "phase")?;
    let labels = self::labels(labels, "labels")?;
    Ok(Beat { phase: phase.into(), busy, slots, rss_bytes, loop_lag_ms, labels })
}

fn job_touch(touch: v1::JobTouch) -> Checked<JobTouch> {
    let v1::JobTouch { id, fence, extend_ms, progress_permille, note, logs, checkpoint, stream } = touch;
    let id = job_id(&id, "id")?;
    let extend_ms = extend_ms.map(|ms| at_most(ms, LEASE_MS_MAX, "extend_ms")).transpose()?;
    let progress = within(progress_permille, 0..=1_000, "progress_permille")?;
    if stream.len() > CHECKPOINT_BYTES_MAX {
        let message = format!("{} bytes of output at once, at most {CHECKPOINT_BYTES_MAX}", stream.len());
        return Err(too_large("stream", message));
    }
    let telling = Telling {
        progress: progress.and_then(|progress| u16::try_from(progress).ok()),
        note: (!note.is_empty()).then(|| reason(note)),
        lines: u16::try_from(logs.len()).unwrap_or(u16::MAX),
        logs: passive::pack_lines(logs)?,
        checkpoint: checkpoint.map(self::checkpoint).transpose()?,
        output: stream[..].into(),
    };
    let is_plain = telling.progress.is_none()
        && telling.note.is_none()
        && telling.lines == 0
        && telling.checkpoint.is_none()
        && telling.output.is_empty();
    Ok(JobTouch { id, fence, extend_ms, telling: (!is_plain).then(|| Box::new(telling)) })
}

/// What a run stores for the next one.
pub(super) fn checkpoint(bytes: Bytes) -> Checked<Blob> {
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        let message = format!("a checkpoint of {} bytes, at most {CHECKPOINT_BYTES_MAX}", bytes.len());
        return Err(too_large("checkpoint", message));
    }
    Ok(bytes[..].into())
}
