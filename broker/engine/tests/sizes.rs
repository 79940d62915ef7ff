//! What moves through every job's life stays small: a rare field stands behind a box.

use windlass_engine::command::{Command, JobSpec, Settlement};
use windlass_engine::fact::Fact;
use windlass_engine::frame::{EnqueuedOne, Frame, Work};
use windlass_engine::ledger::job::Job;

#[test]
fn what_every_job_moves_through_stays_small() {
    for (name, bytes, most) in [
        ("JobSpec", size_of::<JobSpec>(), 136),
        ("Settlement", size_of::<Settlement>(), 80),
        ("Command", size_of::<Command>(), 128),
        ("Fact", size_of::<Fact>(), 112),
        ("Job", size_of::<Job>(), 144),
        ("Frame", size_of::<Frame>(), 96),
        ("EnqueuedOne", size_of::<EnqueuedOne>(), 72),
        ("Work", size_of::<Work>(), 200),
    ] {
        assert!(bytes <= most, "{name} has {bytes} bytes, at most {most}: put what is rare into a box");
    }
}
