//! The audit over the wire: who changed what, and why, also after a kill.

use crate::harness::{Broker, Peer, body, hex, job, windlass};
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{AuditView, Bury, Change, Code, Policy, Put, Query, Resource, Selector, resource};

fn audit(peer: &mut Peer) -> Vec<AuditView> {
    peer.rows(Query { what: What::Audit.into(), ..Query::default() }).audits
}

#[test]
fn what_was_changed_is_told_with_who_and_why_and_survives_kill_9() {
    let mut broker = Broker::start();
    let mut peer = broker.peer();
    let id = peer.enqueue(job("k"));
    let select = Selector { ids: vec![id.clone()], queue: "q".into(), ..Selector::default() };
    let bury = Change {
        select: Some(select),
        to: Some(To::Bury(Bury {})),
        reason: "wrong payload".into(),
        ..Change::default()
    };
    peer.ask(Request::Change(Change { dry_run: true, ..bury.clone() }));
    assert_eq!(peer.refused(Request::Change(Change { to: None, ..bury.clone() })).code, Code::Invalid as i32);
    assert!(audit(&mut peer).is_empty(), "nothing was changed yet");
    body!(peer.ask(Request::Change(bury.clone())), Changed);
    body!(peer.ask(Request::Change(bury)), Changed);
    let kind = resource::What::Kind(Policy { max_attempts: Some(3), ..Policy::default() });
    let set = vec![Resource { name: "kind/k".into(), if_version: 0, what: Some(kind) }];
    let put = Put { set, reason: "ticket 9".into(), ..Put::default() };
    peer.ask(Request::Put(put.clone()));
    peer.ask(Request::Put(put));

    let entries = audit(&mut peer);
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.seq, &*entry.verb, entry.changed, entry.target.clone(), &*entry.reason))
        .collect();
    let target = format!("id:{} queue:q", hex(&id));
    assert_eq!(
        told,
        [(1, "bury", 1, target, "wrong payload"), (2, "put", 1, "kind/k".into(), "ticket 9")],
        "what changed nothing leaves no entry"
    );
    assert!(entries.iter().all(|entry| entry.client == "raw/1 test:7" && entry.at_ms > 0));

    broker.kill();
    broker.restart();
    let mut peer = broker.peer();
    assert_eq!(audit(&mut peer), entries);
    let rows = windlass(&["admin", "audit", "--output", "json", "--limit", "1", "--addr", broker.addr()]);
    let rows = rows.ok().json();
    assert_eq!((&rows[0]["verb"], &rows[0]["reason"]), (&"put".into(), &"ticket 9".into()));
    let who = |who: &str| {
        let found = ["admin", "audit", "--who", who, "--since", "1d", "-o", "name", "--quiet"];
        windlass(&[&found[..], &["--addr", broker.addr()]].concat()).ok().lines().len()
    };
    assert_eq!((who("raw/1"), who("nobody")), (2, 0));
    let query = Query { what: What::Audit.into(), name: "x".into(), ..Query::default() };
    let refused = peer.refused(Request::Query(query));
    assert_eq!((refused.code, &*refused.field), (Code::Unsupported as i32, "name"));
}
