//! Keeps docs/PROTOCOL.md true where a program can check it: codes, verbs, the names in its tables.

use prost::Message;
use windlass_proto::v1::{ClientFrame, Code, Enqueue, SettleCode};

const PAGE: &str = include_str!("../../docs/PROTOCOL.md");

#[test]
fn every_code_has_its_row() {
    for number in 1.. {
        let Ok(code) = Code::try_from(number) else { break };
        let retry = if code.is_retryable() { "yes" } else { "no" };
        let row = format!("| {} | {} | {retry} |", code.name(), code.meaning());
        assert!(PAGE.contains(&row), "docs/PROTOCOL.md lacks: {row}");
    }
    for number in 1.. {
        let Ok(code) = SettleCode::try_from(number) else { break };
        let row = format!("| {} | {} |", code.name(), code.meaning());
        assert!(PAGE.contains(&row), "docs/PROTOCOL.md lacks: {row}");
    }
}

#[test]
fn every_verb_has_its_section() {
    let verbs = ["Sessions", "Enqueue", "Fetch", "Settle", "Touch", "Change", "Query", "Watch", "Put", "Bye"];
    for verb in verbs {
        assert!(PAGE.contains(&format!("\n## {verb}\n")), "docs/PROTOCOL.md lacks {verb}");
    }
}

#[test]
fn the_page_stays_short() {
    assert!(PAGE.lines().count() <= 600, "a page of the reference is read whole or not at all");
}

/// The field numbers that the appendix writes by hand.
#[test]
fn the_producer_of_the_appendix_knows_its_numbers() {
    let job = b"\x0a\x01i\x1a\x01k\x22\x01p";
    let enqueue = Enqueue::decode(&[&[0x0a, 9], &job[..]].concat()[..]).unwrap();
    let job = &enqueue.jobs[0];
    assert_eq!((&job.id[..], &job.kind[..], &job.payload[..]), (&b"i"[..], "k", &b"p"[..]));
    let frame = ClientFrame::decode(&[0x08, 2, 0x1a, 0][..]).unwrap();
    assert!(matches!(frame.request, Some(windlass_proto::v1::client_frame::Request::Enqueue(_))));
}
