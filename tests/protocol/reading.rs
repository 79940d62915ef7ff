//! Reading page by page, and configuration with versions.

use crate::harness::{Broker, body, job};
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::resource::What as Content;
use windlass_proto::v1::{
    Code, JobSpec, Policy, Put, Query, QueueConf, Resource, Selector, State, Stored, stored,
};

#[test]
fn jobs_come_page_by_page_each_once_and_in_order() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let payload = |number: u32| JobSpec { payload: number.to_string().into(), ..job("k") };
    peer.enqueue_all((0..250).map(payload).collect());
    peer.enqueue(JobSpec { queue: "other".into(), ..job("k") });
    for (newest_first, limit) in [(false, 100), (true, 70), (false, 0), (true, 1_000)] {
        let select = Selector { queue: "q".into(), ..Selector::default() };
        let mut query =
            Query { what: What::Jobs.into(), select: Some(select), limit, newest_first, ..Query::default() };
        let mut seqs = Vec::new();
        loop {
            let rows = peer.rows(query.clone());
            let most = if limit == 0 { 100 } else { limit as usize };
            assert!(rows.jobs.len() <= most && rows.total == 250 && rows.total_exact, "{}", rows.total);
            for job in &rows.jobs {
                assert!(job.payload.is_empty(), "JOBS leaves out what is of variable size");
                assert_eq!(job.state(), State::Ready);
                seqs.push(job.seq);
            }
            query.cursor = rows.cursor;
            if query.cursor.is_empty() {
                break;
            }
        }
        if newest_first {
            seqs.reverse();
        }
        assert_eq!(seqs.len(), 250);
        assert!(seqs.is_sorted_by(|one, next| one < next), "each once, in order");
    }
}

#[test]
fn a_policy_is_stored_with_its_version_and_counts_for_the_jobs_below_it() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let put = |priority, if_version| {
        let policy = Some(Policy { priority: Some(priority), ..Policy::default() });
        let what = Some(Content::Queue(QueueConf { policy, ..QueueConf::default() }));
        let set = vec![Resource { name: "queue/q".into(), if_version, what }];
        Request::Put(Put { set, ..Put::default() })
    };
    let version = |version| Stored { results: vec![stored::One { version, error: None }] };
    assert_eq!(body!(peer.ask(put(7, 0)), Stored), version(1));
    assert_eq!(body!(peer.ask(put(8, 1)), Stored), version(2));
    let conflict = peer.refused(put(9, 1));
    assert_eq!((conflict.code(), conflict.field.as_str()), (Code::VersionConflict, "set[0].if_version"));
    let queue = peer.queue("q");
    assert_eq!((queue.version, queue.policy.unwrap().priority), (2, Some(8)));

    let own = JobSpec { policy: Some(Policy { priority: Some(1), ..Policy::default() }), ..job("k") };
    let ids = [peer.enqueue(job("k")), peer.enqueue(own)];
    assert_eq!(ids.map(|id| peer.job(&id).priority), [8, 1], "the nearest setting wins");
}
