//! What keeps a job, as naive as can be: worked out anew for one job from all that the naive broker knows.

use crate::allowance::Moment;
use crate::reference::{Job, Model, Stream};
use std::collections::BTreeSet;
use windlass_engine::flow::EdgeState;
use windlass_engine::frame::Body;
use windlass_engine::ids::{JobId, Ms, Request, Seq};
use windlass_engine::ledger::job::State;
use windlass_engine::view::Cause;

/// Jobs that an answer names of those that one waits for.
const SHOWN_MAX: usize = 10;

/// The engine says the same of this job.
pub(crate) fn check(model: &Model, id: JobId, pressure: bool, answer: Option<&Body>, now: Ms) {
    let job = model.jobs.iter().find(|job| job.spec.id == id).expect("it was just there");
    let Some(Body::Rows(rows)) = answer else { panic!("{answer:?} explains {job:?}") };
    let row = &rows.explains[0];
    assert_eq!((rows.explains.len(), row.id, row.state), (1, id, job.state), "{job:?}");
    match job.state {
        State::Scheduled => {
            let [Cause::Scheduled { for_ms, attempt }] = row.causes[..] else { panic!("{row:?} of {job:?}") };
            assert_eq!((now + for_ms, attempt), (job.run_at, job.attempt), "{job:?}");
        }
        State::Held | State::Blocked => {
            let theirs: Vec<Ties> = row.causes.iter().map(Ties::of).collect();
            assert_eq!(theirs, ties(model, job), "{job:?}");
        }
        State::Ready => check_ready(model, job, pressure, &row.causes, now),
        _ => assert!(row.causes.is_empty(), "{row:?} of {job:?}"),
    }
}

/// One thing that others have to do first.
#[derive(Debug, PartialEq, Eq)]
enum Ties {
    Held,
    /// How many are open, of how many, the first of them, and whether they are members.
    Open(u64, u64, Vec<JobId>, bool),
}

impl Ties {
    fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Held => Self::Held,
            Cause::Blocked { open, of, ids, is_group } => Self::Open(*open, *of, ids.clone(), *is_group),
            other => panic!("{other:?} keeps a job that is held or blocked"),
        }
    }
}

fn ties(model: &Model, job: &Job) -> Vec<Ties> {
    let mut ties = Vec::new();
    let id_of = |seq: Seq| model.jobs.iter().find(|job| job.seq == seq).map(|job| job.spec.id);
    if job.state == State::Held {
        ties.push(Ties::Held);
    }
    let claim = model.claims.iter().find(|claim| claim.next.is_some_and(|(seq, _)| seq == job.seq));
    if let Some(holder) = claim.and_then(|claim| id_of(claim.holder)) {
        ties.push(Ties::Open(1, 1, vec![holder], false));
    }
    if job.waits() {
        let open = job.after.iter().filter(|tie| tie.state == EdgeState::Open);
        let ids: Vec<JobId> = open.filter_map(|tie| id_of(tie.seq)).collect();
        ties.push(Ties::Open(ids.len() as u64, job.after.len() as u64, first(ids), false));
    }
    if let Some(team) = model.flows.teams.get(&job.seq) {
        let open = team.members.iter().filter(|(_, end)| end.is_none());
        let ids: Vec<JobId> = open.filter_map(|(seq, _)| id_of(*seq)).collect();
        if !ids.is_empty() {
            ties.push(Ties::Open(ids.len() as u64, team.members.len() as u64, first(ids), true));
        }
    }
    ties
}

fn first(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.truncate(SHOWN_MAX);
    ids
}

/// What keeps a ready job, cause by cause; each stands where it belongs.
fn check_ready(model: &Model, job: &Job, pressure: bool, causes: &[Cause], now: Ms) {
    let moment = Moment::new(model, now);
    let mut causes = causes.iter().peekable();
    let drains = causes.next_if(|cause| matches!(cause, Cause::Draining)).is_some();
    assert_eq!(drains, pressure, "{job:?}");

    let behind = causes.next_if(|cause| matches!(cause, Cause::Serial { .. }));
    let behind =
        behind.map(|cause| if let Cause::Serial { behind, .. } = cause { *behind } else { job.spec.id });
    let first = moment.goes_first(job).filter(|&first| first != job.seq);
    let first = first.and_then(|seq| model.jobs.iter().find(|job| job.seq == seq));
    assert_eq!(behind, first.map(|first| first.spec.id), "{job:?}");

    let mut limits = BTreeSet::new();
    while let Some(Cause::Limit(limit)) = causes.next_if(|cause| matches!(cause, Cause::Limit(_))) {
        assert!(limits.insert(&*limit.name), "{} keeps {job:?} twice", limit.name);
    }
    let (certain, possible) = moment.keepers(job);
    assert!(limits.is_superset(&certain), "{certain:?} keep {job:?}, not only {limits:?}");
    assert!(limits.is_subset(&possible), "only {possible:?} may keep {job:?}, not {limits:?}");

    let is_kept = drains || behind.is_some() || !limits.is_empty();
    match causes.next() {
        Some(Cause::Behind { .. }) => {
            assert!(!is_kept && may_start(model, job), "something else keeps {job:?}");
            let others =
                model.jobs.iter().filter(|other| other.state == State::Ready && other.seq != job.seq);
            let mut rivals = others.filter(|other| other.spec.queue == job.spec.queue);
            assert!(rivals.next().is_some(), "nobody goes before {job:?}");
        }
        cause => check_workers(model, job, cause),
    }
    assert!(causes.next().is_none(), "{job:?}");
}

/// Somebody could take it at once, as far as the naive broker can tell.
fn may_start(model: &Model, job: &Job) -> bool {
    !job.is_suspect()
        && streams_for(model, job).iter().any(|(key, stream)| has_room(model, **key, stream, job))
}

/// Those that fetch such jobs.
fn streams_for<'a>(model: &'a Model, job: &Job) -> Vec<(&'a Request, &'a Stream)> {
    model.streams.iter().filter(|(_, stream)| stream.fetches(job)).collect()
}

fn has_room(model: &Model, key: Request, stream: &Stream, job: &Job) -> bool {
    let is_alone = model.leases(stream.session).any(|(job, _)| job.is_suspect());
    let is_shut = is_alone || model.choked.contains(&key.conn) || model.orders.is_quiet(stream.session);
    !is_shut && stream.slots > 0 && stream.has_room(model.held(key), job.cost()) && stream.runs(job)
}

/// A session may empty itself for a suspect, and takes nothing else until then.
fn may_empty_itself(model: &Model, stream: &Stream) -> bool {
    let mut suspects = model.jobs.iter().filter(|job| job.state == State::Ready && job.is_suspect());
    let mut streams = model.streams.values().filter(|other| other.session == stream.session);
    suspects.any(|suspect| streams.any(|other| other.takes(suspect)))
}

/// Nobody could take it, or everybody who could is busy.
fn check_workers(model: &Model, job: &Job, cause: Option<&Cause>) {
    let able = streams_for(model, job);
    let labelled: Vec<_> = able.iter().filter(|(_, stream)| stream.runs(job)).collect();
    let awake = labelled.iter().filter(|(_, stream)| !model.orders.is_quiet(stream.session)).count();
    match cause {
        Some(Cause::NoWorker { queue, kind }) => {
            assert!(able.is_empty(), "{able:?} run {job:?}");
            assert_eq!((queue, kind), (&job.spec.queue, &job.spec.kind));
        }
        Some(Cause::NoLabels { labels }) => {
            assert!(!able.is_empty() && labelled.is_empty(), "{labelled:?} have the labels for {job:?}");
            assert_eq!(*labels, job.wishes().gate.need_labels);
        }
        Some(Cause::Quiet { workers }) => {
            assert_eq!((*workers, awake), (labelled.len() as u64, 0), "{job:?}");
            assert!(!labelled.is_empty(), "nobody is quiet for {job:?}");
        }
        Some(Cause::Suspect { crashes }) => {
            assert!(job.is_suspect() && awake > 0, "{job:?}");
            assert_eq!(*crashes, job.crashes);
        }
        Some(Cause::NoSlots { workers, cost, .. }) => {
            assert!(!job.is_suspect() && awake > 0, "{job:?}");
            assert_eq!((*workers, *cost), (awake as u64, job.cost()), "{job:?}");
            let roomy = |(key, stream): &&&(&Request, &Stream)| has_room(model, **key, stream, job);
            let mut roomy = labelled.iter().filter(roomy);
            assert!(roomy.all(|(_, stream)| may_empty_itself(model, stream)), "there is room for {job:?}");
        }
        None => assert!(may_start(model, job), "nobody takes {job:?}, and nothing keeps it"),
        other => panic!("{other:?} keeps {job:?}"),
    }
}
