//! What a fold leaves in the store, over many of them.

use super::*;
use crate::store::parts::tests::enqueued;
use crate::store::simulated::SimDisk;
use windlass_engine::fact::{AttemptEnd, Counts, NewLease, Note};
use windlass_engine::{Engine, SessionId};

fn note(number: u32) -> Note {
    Note {
        number,
        attempt: 1,
        end: AttemptEnd::Released,
        kind: String::new(),
        message: "upstream not ready".into(),
        trace: String::new(),
        worker: "py/1 host:1".into(),
        started_at: 1,
        ended_at: 1,
    }
}

/// A job that snoozes with a reason for ever, and the entries its leaf takes in the store.
#[test]
fn a_leaf_does_not_grow_with_every_attempt_there_ever_was() {
    let disk = SimDisk::new();
    let leaves = disk.open_leaves();
    let reader = leaves.reader();
    let mut engine = Engine::new(7);
    let mut parts = Parts::new(reader.clone(), 1 << 20);
    let mut fold = Fold::default();
    let mut folder = Folder::new(leaves, Meta { replay_from: 1, ..Meta::default() });
    let mut batch = 0;
    let mut decide = |fact: Fact, engine: &mut Engine, parts: &mut Parts, fold: &mut Fold| {
        batch += 1;
        engine.replay(batch, &fact).unwrap();
        parts.follow(&fact);
        fold.follow(&fact);
        batch
    };
    decide(enqueued(16), &mut engine, &mut parts, &mut fold);
    let mut sizes = Vec::new();
    for attempt in 0..200u32 {
        let fence = u64::from(attempt) + 1;
        let lease = NewLease { fence, session: SessionId([1; 16]), now: 1, ends_at: 0, limits: None };
        decide(Fact::Leased { seq: 16, lease }, &mut engine, &mut parts, &mut fold);
        let back = Fact::Returned {
            error: 0,
            seq: 16,
            run_at: 1,
            now: 1,
            counts: Counts::Snooze,
            settled: true,
            note: Some(Box::new(note(attempt))),
        };
        let last = decide(back, &mut engine, &mut parts, &mut fold);
        fold.begin(last);
        while fold.is_copying() {
            if let Some(slice) = fold.slice(engine.ledger(), &mut parts, last) {
                folder.write(slice).unwrap();
            }
        }
        fold.end(&mut parts);
        let mut entries = 0;
        reader
            .scan(&keys::parts(1), &mut |_, _| {
                entries += 1;
                Ok(())
            })
            .unwrap();
        sizes.push(entries);
    }
    assert!(*sizes.last().unwrap() <= 20, "one job, ten attempts of history: {:?}", &sizes[190..]);
}
