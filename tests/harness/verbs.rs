//! The verbs as a test says them: short ways to ask, and the answers taken apart.

use super::Peer;
use super::peer::body;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::enqueued::One;
use windlass_proto::v1::fetch::Source;
use windlass_proto::v1::result::How;
use windlass_proto::v1::{
    self, Beat, Change, Changed, Complete, Deliver, Enqueue, Fail, Fetch, JobSpec, JobView, Limit, Put,
    Query, QueueView, Resource, Rows, Selector, ServerView, SessionView, Settle, SettleCode, Touch, Work,
    query::What, resource, settled,
};

/// A job of the queue `q` with an id of its own.
pub(crate) fn job(kind: &str) -> JobSpec {
    JobSpec { id: fresh_id(), queue: "q".into(), kind: kind.into(), ..JobSpec::default() }
}

/// An id that no other job of this test run has.
pub(crate) fn fresh_id() -> Bytes {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let process = u64::from(std::process::id());
    [process.to_be_bytes(), number.to_be_bytes()].concat().into()
}

/// An id as the command line writes it.
pub(crate) fn hex(id: &[u8]) -> String {
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// A long poll for up to so many jobs of a queue; it waits until there is one.
pub(crate) fn fetch_once(queue: &str, jobs: u32) -> Fetch {
    Fetch { once: jobs, wait_ms: 60_000, ..stream(queue, 0) }
}

/// A stream with so many slots.
pub(crate) fn stream(queue: &str, slots: u32) -> Fetch {
    Fetch { sources: vec![Source { queue: queue.into(), weight: 0 }], slots, ..Fetch::default() }
}

/// The end of a run.
pub(crate) fn result_of(work: &Work, how: How) -> v1::Result {
    v1::Result { id: work.id.clone(), fence: work.fence, how: Some(how), ..v1::Result::default() }
}

/// It is done.
pub(crate) fn complete(result: &str) -> How {
    How::Complete(Complete { result: result.to_owned().into(), content_type: String::new() })
}

/// It failed, and is tried again at once.
pub(crate) fn fail(message: &str) -> How {
    How::Fail(Fail { message: message.into(), retry_after_ms: Some(0), ..Fail::default() })
}

impl Peer {
    /// Enqueues one job. Its id.
    pub(crate) fn enqueue(&mut self, spec: JobSpec) -> Bytes {
        self.enqueue_all(vec![spec]).remove(0).id
    }

    /// Enqueues jobs in one frame.
    pub(crate) fn enqueue_all(&mut self, jobs: Vec<JobSpec>) -> Vec<One> {
        let answer = self.ask(Request::Enqueue(Enqueue { jobs, ..Enqueue::default() }));
        body!(answer, Enqueued).results
    }

    /// Waits for one job of a queue.
    pub(crate) fn fetch(&mut self, queue: &str) -> Work {
        self.poll(fetch_once(queue, 1)).remove(0)
    }

    /// A long poll to its end.
    pub(crate) fn poll(&mut self, fetch: Fetch) -> Vec<Work> {
        let Deliver { jobs, end, .. } = body!(self.ask(Request::Fetch(fetch)), Deliver);
        assert!(end);
        jobs
    }

    /// Opens a stream. Its name.
    pub(crate) fn open_stream(&mut self, fetch: Fetch) -> u64 {
        self.say(Request::Fetch(fetch))
    }

    /// The next delivery of a stream.
    pub(crate) fn delivery(&mut self, stream: u64) -> Deliver {
        body!(self.answer(stream), Deliver)
    }

    /// Settles one run.
    pub(crate) fn settle(&mut self, work: &Work, how: How) -> SettleCode {
        self.settle_all(vec![result_of(work, how)])[0].code()
    }

    /// Settles runs in one frame.
    pub(crate) fn settle_all(&mut self, results: Vec<v1::Result>) -> Vec<settled::One> {
        body!(self.ask(Request::Settle(Settle { results })), Settled).results
    }

    /// Renews the session.
    pub(crate) fn beat(&mut self) {
        let touch = Touch { beat: Some(Beat::default()), jobs: Vec::new() };
        assert!(body!(self.ask(Request::Touch(touch)), Touched).jobs.is_empty());
    }

    /// Changes one job.
    pub(crate) fn change(&mut self, id: &Bytes, to: To) -> Changed {
        let select = Selector { ids: vec![id.clone()], ..Selector::default() };
        let change = Change { select: Some(select), to: Some(to), ..Change::default() };
        body!(self.ask(Request::Change(change)), Changed)
    }

    /// Pauses a queue.
    pub(crate) fn pause(&mut self, queue: &str) {
        let limit = Limit { queue: queue.into(), concurrency: Some(0), ..Limit::default() };
        let resource = Resource {
            name: format!("limit/pause:queue/{queue}"),
            what: Some(resource::What::Limit(limit)),
            ..Resource::default()
        };
        body!(self.ask(Request::Put(Put { set: vec![resource], ..Put::default() })), Stored);
    }

    /// A job in full, which must exist.
    pub(crate) fn job(&mut self, id: &Bytes) -> JobView {
        let select = Selector { ids: vec![id.clone()], ..Selector::default() };
        let query = Query { select: Some(select), ..reading(What::Job) };
        self.rows(query).jobs.remove(0)
    }

    /// A queue; one that nobody has named yet is empty.
    pub(crate) fn queue(&mut self, name: &str) -> QueueView {
        let query = Query { name: name.into(), ..reading(What::Queues) };
        self.rows(query).queues.pop().unwrap_or_default()
    }

    /// The sessions that are alive.
    pub(crate) fn sessions(&mut self) -> Vec<SessionView> {
        self.rows(reading(What::Sessions)).sessions
    }

    /// The broker itself.
    pub(crate) fn server(&mut self) -> ServerView {
        self.rows(reading(What::Server)).server.remove(0)
    }

    /// What a Query finds.
    pub(crate) fn rows(&mut self, query: Query) -> Rows {
        body!(self.ask(Request::Query(query)), Rows)
    }
}

pub(crate) fn reading(what: What) -> Query {
    Query { what: what.into(), ..Query::default() }
}
