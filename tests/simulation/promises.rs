//! Promises: whatever a client can read must be durable already, and true. This is the one rule of
//! speaking, checked from the outside.

use super::bodies::{headers_of, message_of, payload_of, result_of};
use super::history::{History, Life};
use windlass_engine::command::{Code, Command, Enqueue, Query, Settlement};
use windlass_engine::fact::{AttemptEnd, Note};
use windlass_engine::frame::{Body, EnqueuedOne, Frame, Outcome, SettleCode, SettledOne, Work};
use windlass_engine::ledger::job::State;
use windlass_engine::limits::HISTORY_MAX;
use windlass_engine::part::Slot;
use windlass_engine::view::JobView;
use windlass_engine::{Blob, SessionId};

/// Checks a frame that has left the broker against what is durable at that moment.
pub fn check(history: &History, session: Option<SessionId>, asked: Option<&Command>, frame: &Frame) {
    match (&frame.body, asked) {
        (Body::Welcome(welcome), _) => {
            assert!(history.sessions.contains(&welcome.session), "a session that is not on disk");
            for id in &welcome.leases_kept {
                let mut held = history.leases.values().filter(|lease| lease.session == welcome.session);
                let kept = held.any(|lease| history.jobs[&lease.seq].new.id == *id);
                assert!(kept, "session {} is told that it has job {id} and never had", welcome.session);
            }
        }
        (Body::Enqueued(ones), Some(Command::Enqueue(enqueue))) => enqueued(history, enqueue, ones),
        (Body::Deliver { works, .. }, _) => {
            works.iter().for_each(|work| delivered(history, session, work));
        }
        (Body::Settled(ones), Some(Command::Settle(results))) => settled(history, results, ones),
        (Body::Rows(rows), Some(Command::Query(Query::Job(_)))) => {
            rows.jobs.iter().for_each(|job| whole(history, job));
        }
        (Body::Error(refusal), Some(Command::Settle(_))) => {
            assert_eq!(refusal.code, Code::Invalid, "who has a session may always settle: {refusal:?}");
        }
        (Body::Enqueued(_) | Body::Settled(_), asked) => panic!("{:?} answers {asked:?}", frame.body),
        _ => {}
    }
}

fn enqueued(history: &History, enqueue: &Enqueue, ones: &[EnqueuedOne]) {
    assert_eq!(enqueue.jobs.len(), ones.len(), "one answer a job");
    for (spec, one) in enqueue.jobs.iter().zip(ones) {
        let spec = spec.as_ref().expect("a simulation asks for nothing malformed");
        let stored = one.what.as_ref().expect("what is well-formed is stored");
        // A job that has the dedup key stands for the one that was sent; the job of a tick is named by it.
        let wishes = spec.wishes.as_ref();
        let other = wishes.is_some_and(|wishes| wishes.dedup.is_some())
            && stored.outcome == Outcome::Duplicate
            || wishes.is_some_and(|wishes| wishes.tick.is_some());
        assert!(spec.id == one.id || other, "answers come in the order asked");
        if stored.seq == 0 {
            let known = history.by_id.keys().any(|(_, id)| *id == one.id);
            assert!(known, "job {} is acknowledged as ended, and never was", one.id);
            continue;
        }
        let life = history.jobs.get(&stored.seq);
        let life = life.unwrap_or_else(|| panic!("job {} is acknowledged and not on disk", one.id));
        assert_eq!(life.new.id, one.id, "job {} is acknowledged as another", one.id);
        assert!(life.new.payload == payload_of(one.id), "the payload of {} is on disk as sent", one.id);
        assert!(life.new.headers == headers_of(one.id), "the headers of {} are on disk as sent", one.id);
    }
}

fn delivered(history: &History, session: Option<SessionId>, work: &Work) {
    let lease = history.leases.get(&work.fence);
    let lease = lease.unwrap_or_else(|| panic!("job {} was delivered before its lease was on disk", work.id));
    assert_eq!(session, Some(lease.session), "job {} is delivered to another than has its lease", work.id);
    assert_eq!(work.attempt, lease.attempt, "the attempt of {} that its worker hears of", work.id);
    let life = &history.jobs[&lease.seq];
    assert_eq!((life.new.id, lease.seq), (work.id, work.seq), "a lease of another job");
    assert!(bytes(&work.payload) == payload_of(work.id), "job {} is delivered as enqueued", work.id);
    assert!(bytes(&work.headers) == headers_of(work.id), "job {} keeps its headers", work.id);
    assert_eq!(history.text(life.new.queue), &*work.queue, "the queue of {}", work.id);
    assert_eq!(history.text(life.new.kind), &*work.kind, "the kind of {}", work.id);
    let number = life.fences.iter().position(|fence| *fence == work.fence).expect("it is one of them");
    assert_eq!(number + 1, work.deliveries as usize, "the number of deliveries of {}", work.id);
}

fn settled(history: &History, results: &[Settlement], ones: &[SettledOne]) {
    assert_eq!(results.len(), ones.len(), "one answer a result");
    for (result, one) in results.iter().zip(ones) {
        let lease = history.leases.get(&result.fence);
        let ended = lease.and_then(|lease| lease.ended);
        match one.code {
            SettleCode::Settled => {
                assert_eq!(ended, Some(true), "the settlement of {} is not on disk", result.id);
            }
            SettleCode::AlreadySettled => {
                let gone = history
                    .by_id
                    .iter()
                    .any(|((_, id), seq)| *id == result.id && history.jobs[seq].removed.is_some());
                assert!(gone || ended == Some(true), "job {} was not settled before", result.id);
            }
            SettleCode::LeaseLost | SettleCode::UnknownJob | SettleCode::SpawnRejected => {}
        }
    }
}

/// One job with all its parts.
fn whole(history: &History, view: &JobView) {
    let life = &history.jobs[&view.seq];
    let is_gone = |slot: &Slot| life.is_emptied && *slot == Slot::Empty;
    let payload = is_gone(&view.payload) || bytes(&view.payload) == payload_of(view.id);
    assert!(payload, "the payload of {}", view.id);
    let headers = is_gone(&view.headers) || bytes(&view.headers) == headers_of(view.id);
    assert!(headers, "the headers of {}", view.id);
    if view.state == State::Completed && !view.result_dropped && !life.is_group() {
        let fence = life.fences[view.deliveries as usize - 1];
        assert!(bytes(&view.result) == result_of(view.id, fence), "the result of {}", view.id);
    }
    assert!(view.history.len() <= HISTORY_MAX as usize, "a history is bounded");
    let mut last = None;
    for slot in &view.history {
        let Slot::Note(note) = slot else { panic!("{slot:?} in the history of {}", view.id) };
        assert!(last.is_none_or(|last| note.number == last + 1), "a history without a hole");
        last = Some(note.number);
        noted(life, note);
    }
}

fn noted(life: &Life, note: &Note) {
    let fence = life.notes[note.number as usize];
    match note.end {
        AttemptEnd::Failed => assert_eq!(note.message, message_of(life.new.id, fence)),
        AttemptEnd::Lost
        | AttemptEnd::Expired
        | AttemptEnd::Released
        | AttemptEnd::Cancelled
        | AttemptEnd::Overran(_) => {}
    }
}

fn bytes(slot: &Slot) -> Blob {
    match slot {
        Slot::Empty => Blob::default(),
        Slot::Bytes(bytes) => bytes.clone(),
        Slot::Part(_) | Slot::Pieces(..) | Slot::Note(_) => panic!("a frame left with {slot:?}"),
    }
}
