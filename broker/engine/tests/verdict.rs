//! Verdicts: whether what the engine said and did is what the naive broker says and allows.

use crate::allowance::Moment;
use crate::ears::Ears;
use crate::flows;
use crate::reference::{Job, Lease, Model, Stream};
use crate::said::Said;
use crate::unique::Did;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::Fact;
use windlass_engine::command::{Change, Code, Enqueue, Fetch, How, Settlement, Touch};
use windlass_engine::fact::NewLease;
use windlass_engine::frame::{Body, Frame, SettleCode, Work};
use windlass_engine::ids::{JobId, Ms, Request, Seq, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::terms::Gate;

// ---------------------------------------------------------------------- answers

pub(crate) fn check_enqueue(model: &mut Model, enqueue: &Enqueue, answer: Option<&Body>, now: Ms) {
    let Some(Body::Enqueued(ones)) = answer else { panic!("Enqueue is answered by {answer:?}") };
    assert_eq!(ones.len(), enqueue.jobs.len(), "one answer a job");
    for (job, one) in enqueue.jobs.iter().zip(ones) {
        let spec = job.as_ref().expect("histories send what is well formed");
        let stored = one.what.as_ref().expect("it is stored");
        if stored.seq == 0 && one.id == spec.id && model.is_forgotten(spec.id, now) {
            continue;
        }
        let (id, did, state) = model.enqueue(spec, now);
        model.free_keys(now);
        assert_eq!((one.id, Did::of(&stored.outcome)), (id, did), "{spec:?}");
        match state {
            Some(state) => assert_eq!(stored.state, state, "state of {:?}", spec.id),
            None => assert_eq!(stored.seq, 0, "it is gone"),
        }
    }
}

/// What was stored for next runs: bytes by job.
pub(crate) fn check_settle(
    model: &mut Model,
    session: SessionId,
    results: &[Settlement],
    answer: Option<&Body>,
    facts: &[Fact],
    now: Ms,
) -> Vec<(JobId, usize)> {
    let mut saved = Vec::new();
    let Some(Body::Settled(ones)) = answer else { panic!("Settle is answered by {answer:?}") };
    assert_eq!(ones.len(), results.len(), "one answer a result");
    for (result, one) in results.iter().zip(ones) {
        let mut code = model.code(session, result.id, result.fence);
        if code != SettleCode::UnknownJob && model.is_forgotten(result.id, now) {
            // The window is over; when the broker forgets is its own business.
            code = one.code;
        }
        let spawn = || result.spawn.iter().flat_map(|spawn| spawn.iter().flatten());
        if one.code == SettleCode::SpawnRejected && code == SettleCode::Settled {
            assert!(!spawn().all(|spec| flows::may_be_tied(model, spec, spawn())), "refused: {one:?}");
            continue;
        }
        assert_eq!(one.code, code, "settling {:?} fence {}", result.id, result.fence);
        if code == SettleCode::Settled {
            let checkpoint = result.checkpoint.as_ref().filter(|_| !matches!(result.how, How::Complete(_)));
            saved.extend(checkpoint.map(|checkpoint| (result.id, checkpoint.len())));
            let job = model.job(result.id).expect("it is leased");
            let run_at = retry_time(job, &result.how, facts, now);
            model.settle(result.id, &result.how, run_at, now);
            model.free_keys(now);
            for spec in spawn() {
                let _known = model.enqueue(spec, now);
                model.free_keys(now);
            }
        }
        assert_eq!(one.state, model.job(result.id).map(|job| job.state), "state after settling");
    }
    saved
}

/// Where the engine's jitter put a retry; it must lie in the policy's range.
fn retry_time(job: &Job, how: &How, facts: &[Fact], now: Ms) -> Ms {
    let How::Fail { retry_after_ms: None, .. } = how else { return now };
    let returned = facts.iter().find_map(|fact| match fact {
        Fact::Returned { seq, run_at, .. } if *seq == job.seq => Some(*run_at),
        _ => None,
    });
    let Some(run_at) = returned else { return now };
    check_backoff(job, run_at, now);
    run_at
}

/// The retry lies in the policy's range.
pub(crate) fn check_backoff(job: &Job, run_at: Ms, now: Ms) {
    let backoff = job.wishes().terms.policy.backoff.as_ref().expect("histories set it");
    let grown = (1..job.attempt).fold(backoff.base_ms, |delay, _| {
        (delay * u64::from(backoff.factor_permille) / 1_000).min(backoff.max_ms)
    });
    let spread = grown * u64::from(backoff.jitter_permille) / 1_000;
    let delay = run_at - now;
    assert!(
        (grown - spread..=grown + spread).contains(&delay),
        "a retry after {delay}, not {grown} ± {spread}"
    );
}

/// True if a run that stands was touched.
pub(crate) fn check_touch(
    model: &mut Model,
    session: SessionId,
    touch: &Touch,
    answer: Option<&Body>,
    now: Ms,
) -> bool {
    let one = match answer {
        Some(Body::Touched(ones)) => ones.first(),
        // Its checkpoint is to be written first.
        None => None,
        _ => panic!("Touch is answered by {answer:?}"),
    };
    let Some(touch) = touch.jobs.first() else { return false };
    let known = model.job(touch.id).is_some();
    let code = if known { model.code(session, touch.id, touch.fence) } else { SettleCode::UnknownJob };
    assert!(one.is_none_or(|one| one.code == code), "touching {:?}: {one:?}", touch.id);
    let lease = model.job(touch.id).and_then(|job| job.lease.as_mut());
    let Some(lease) = lease.filter(|_| code == SettleCode::Settled) else {
        assert!(one.is_some(), "nothing is waited for");
        return false;
    };
    if let Some(extend_ms) = touch.extend_ms
        && lease.ends_at > 0
    {
        lease.ends_at = now + extend_ms.max(1);
    }
    lease.touched(now);
    if let Some(one) = one {
        assert_eq!(one.cancel, lease.revoke_at > 0, "asked to stop");
        assert_eq!(one.reason.is_empty(), lease.overran.is_none(), "why it is to stop");
        let left = if lease.ends_at > 0 { (lease.ends_at - now).max(1) } else { 0 };
        assert_eq!(one.ends_in_ms, left, "time left");
    }
    true
}

pub(crate) fn check_change(model: &mut Model, change: &Change, answer: Option<&Body>, now: Ms) {
    let Some(Body::Changed { matched, changed, .. }) = answer else {
        panic!("Change is answered by {answer:?}")
    };
    let mut found = 0;
    let mut done = 0;
    for id in model.select(&change.select) {
        found += 1;
        let is_left = change.max == 0 || done < change.max;
        done += u64::from(is_left && model.change(id, &change.to, now));
        model.free_keys(now);
    }
    assert_eq!((*matched, *changed), (found, done), "{change:?}");
}

/// What changed something left one entry of the audit, in the same turn.
pub(crate) fn check_audit(change: &Change, answer: Option<&Body>, facts: &[Fact]) {
    let Some(Body::Changed { changed, .. }) = answer else { return };
    let entries: Vec<(&str, u64)> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Audited { audit, .. } => Some((audit.verb.as_str(), audit.changed)),
            _ => None,
        })
        .collect();
    let expected = if *changed > 0 { vec![(change.to.name(), *changed)] } else { Vec::new() };
    assert_eq!(entries, expected, "{change:?}");
}

pub(crate) fn check_fetch(
    model: &mut Model,
    session: SessionId,
    from: Request,
    fetch: &Fetch,
    answer: Option<&Body>,
    now: Ms,
) {
    if fetch.stream == 0 {
        return match answer {
            Some(Body::Error(refusal)) => assert_eq!(refusal.code, Code::Exhausted, "{refusal:?}"),
            _ => model.open(from, session, fetch, now),
        };
    }
    let key = Request { conn: from.conn, id: fetch.stream };
    let is_poll = model.streams[&key].poll.is_some();
    if fetch.close {
        model.end_stream(key);
    } else if is_poll {
        assert!(matches!(answer, Some(Body::Error(_))), "a long poll has no slots to change");
        return;
    } else if let Some(stream) = model.streams.get_mut(&key) {
        stream.slots = fetch.slots;
    }
    assert!(matches!(answer, Some(Body::Closed)), "a change is answered by {answer:?}");
}

// ---------------------------------------------------------------------- deliveries

/// Every lease of this turn was allowed, in the order they were decided.
pub(crate) fn check_deliveries(model: &mut Model, now: Ms, frames: &[Frame], facts: &[Fact]) {
    for stream in model.streams.values_mut() {
        stream.labels = model.orders.labels(stream.session);
    }
    let mut sent: BTreeMap<Seq, (Request, &Work)> = BTreeMap::new();
    let mut firsts: BTreeSet<Seq> = BTreeSet::new();
    for frame in frames {
        if let Body::Deliver { works, .. } = &frame.body {
            firsts.extend(works.first().map(|work| work.seq));
            check_batch(model, frame.to, works);
            for work in works {
                assert!(sent.insert(work.seq, (frame.to, work)).is_none(), "delivered twice in a turn");
            }
        }
    }
    for fact in facts {
        let Fact::Leased { seq, lease } = fact else { continue };
        let (key, work) = sent.remove(seq).expect("every lease is delivered");
        assert_eq!(work.fence, lease.fence);
        if firsts.contains(seq) {
            check_collected(model, now, *seq, key);
        }
        check_lease(model, now, *seq, key, lease);
    }
    assert!(sent.is_empty(), "delivered without a lease: {sent:?}");
    // A long poll that got something ends.
    let fed: Vec<Request> =
        model.streams.iter().filter(|(_, s)| s.poll.is_some()).map(|(key, _)| *key).collect();
    for key in fed {
        let got = frames.iter().any(|frame| {
            frame.to == key && matches!(&frame.body, Body::Deliver { works, .. } if !works.is_empty())
        });
        if got || model.streams[&key].is_over {
            model.end_stream(key);
        }
    }
}

/// A batch is no larger than it may be, and of one lane if it is to be.
fn check_batch(model: &Model, key: Request, works: &[Work]) {
    let Some(batch) = model.streams.get(&key).and_then(|stream| stream.batch) else { return };
    assert!(works.len() <= batch.max as usize, "a batch of {}, {batch:?}", works.len());
    let jobs = works.iter().filter_map(|work| model.jobs.iter().find(|job| job.seq == work.seq));
    let lanes: BTreeSet<_> = jobs.map(|job| (&job.spec.queue, lane_of(job))).collect();
    assert!(!batch.same_key || lanes.len() <= 1, "of several lanes: {lanes:?}");
}

/// Enough jobs were there for the batch that begins with this one, or one had waited long enough.
fn check_collected(model: &Model, now: Ms, seq: Seq, key: Request) {
    let Some(stream) = model.streams.get(&key) else { return };
    let Some(first) = model.jobs.iter().find(|job| job.seq == seq) else { return };
    if stream.is_over || first.is_suspect() {
        return;
    }
    let is_one = stream.batch.is_some_and(|batch| batch.same_key);
    let of_lane =
        |job: &&Job| !is_one || (&job.spec.queue, lane_of(job)) == (&first.spec.queue, lane_of(first));
    let ready = model.jobs.iter().filter(|job| job.state == State::Ready && !job.is_suspect());
    let mine: Vec<&Job> = ready.filter(|job| stream.takes(job)).filter(of_lane).collect();
    assert!(!stream.collects(&mine, now), "{stream:?} did not wait for more than {} jobs", mine.len());
}

fn check_lease(model: &mut Model, now: Ms, seq: Seq, key: Request, lease: &NewLease) {
    let stream = model.streams.get(&key).cloned().unwrap_or_else(|| panic!("{key:?} is no stream"));
    let job = model.jobs.iter().find(|job| job.seq == seq).cloned().expect("it exists");
    assert_eq!((job.state, stream.session), (State::Ready, lease.session), "{job:?}");
    assert!(stream.takes(&job), "{job:?} is not what {stream:?} fetches");
    let moment = Moment::new(model, now);
    assert!(moment.may_start(&job), "a limit or another one of its key keeps {job:?}");
    assert!(!model.choked.contains(&key.conn), "its peer does not read");
    assert!(!model.orders.is_quiet(stream.session), "it was told to take no more jobs");
    assert!(lease.fence > model.last_fence, "fences rise");
    assert!(stream.has_room(model.held(key), job.cost()), "{stream:?} has no room for {job:?}");
    assert!(job.retried || job.attempt < job.max_attempts(), "one attempt too many: {job:?}");
    let empty = model.leases(stream.session).next().is_none();
    assert!(empty || !job.is_suspect(), "a suspect runs alone");
    let alone = model.leases(stream.session).all(|(other, _)| !other.is_suspect());
    assert!(alone, "nothing runs beside a suspect");
    check_order(&moment, model, &stream, &job, empty, model.held(key));
    model.allowance.started(&job, now);
    if !job.is_suspect() {
        *model.picks.entry(job.spec.queue.clone()).or_default() += 1;
    }
    model.last_fence = lease.fence;
    let bound = model.streams.get_mut(&key).expect("it is open");
    bound.picked(&job.spec.queue);
    if let Some((left, _)) = &mut bound.poll {
        *left -= 1;
    }
    let of = stream.poll.is_none().then_some(key);
    let ends_at = if stream.lease_ms == 0 { 0 } else { now + stream.lease_ms };
    assert_eq!(lease.ends_at, ends_at, "when it ends");
    let job = model.jobs.iter_mut().find(|job| job.seq == seq).expect("it exists");
    job.state = State::Leased;
    job.attempt += 1;
    job.deliveries += 1;
    job.settled = false;
    job.fence = lease.fence;
    job.lease = Some(Lease::new(&job.spec, stream.session, of, ends_at, now));
    model.free_keys(now);
}

/// Jobs of one lane share these.
fn lane_of(job: &Job) -> (u8, &str, &str, &Gate) {
    (job.level, &job.spec.kind, &job.spec.key, &job.wishes().gate)
}

/// The right queue, the right level, the head of its lane.
fn check_order(moment: &Moment<'_>, model: &Model, stream: &Stream, job: &Job, empty: bool, held: u32) {
    let ready = |queue: &str, suspect: bool| -> Vec<&Job> {
        let jobs = model.jobs.iter().filter(|job| job.state == State::Ready && job.spec.queue == queue);
        let mine = jobs.filter(|job| job.is_suspect() == suspect && stream.runs(job));
        mine.filter(|job| !moment.is_kept(job)).collect()
    };
    // Who collects jobs of one key takes the first lane that is full or late.
    let is_of_one_key = stream.batch.is_some_and(|batch| batch.same_key);
    let earlier = if is_of_one_key { Vec::new() } else { stream.before(&job.spec.queue) };
    for queue in earlier {
        assert!(!empty || ready(queue, true).is_empty(), "a suspect of an earlier queue was passed over");
        let others = ready(queue, false);
        let fit = !others.is_empty() && others.iter().all(|other| stream.has_room(held, other.cost()));
        assert!(!fit, "an earlier queue was passed over by {stream:?} {:?}: {others:?}", job.spec.queue);
    }
    let rivals = ready(&job.spec.queue, job.is_suspect());
    if job.is_suspect() {
        return assert!(rivals.iter().all(|other| other.seq >= job.seq), "suspects go by age");
    }
    assert!(!empty || ready(&job.spec.queue, true).is_empty(), "an empty session takes the suspect first");
    let lane = |other: &&&Job| lane_of(other) == lane_of(job);
    assert!(rivals.iter().filter(lane).all(|other| other.seq >= job.seq), "first in, first out: {job:?}");
    if is_of_one_key {
        return;
    }
    let picks = model.picks.get(&job.spec.queue).copied().unwrap_or(0);
    if picks % 16 == 15 {
        let ready = model.jobs.iter().filter(|other| other.state == State::Ready);
        // It started, whatever the naive broker thinks may keep it.
        let oldest =
            rivals.iter().fold(job, |oldest, other| if other.seq < oldest.seq { other } else { oldest });
        let older = ready.filter(|other| other.spec.queue == job.spec.queue && other.seq < oldest.seq);
        let is_seen = older.count() < 32;
        assert!(!is_seen || oldest.level == job.level, "the sixteenth pick is of the level of the oldest");
    } else {
        assert!(rivals.iter().all(|other| other.level <= job.level), "the best level goes first");
    }
}

// ---------------------------------------------------------------------- the whole

/// The streams that had to end did, with one last frame each, and no others.
pub(crate) fn check_ends(model: &Model, (ears, said): (&Ears, &Said), world: &World, frames: &[Frame]) {
    let last: Vec<Request> = frames
        .iter()
        .filter(|frame| frame.last && matches!(frame.body, Body::Deliver { .. }))
        .map(|frame| frame.to)
        .collect();
    let set: BTreeSet<Request> = last.iter().copied().collect();
    assert_eq!(set.len(), last.len(), "two last frames");
    assert_eq!(set, model.ends, "streams that end");
    for (request, asked) in &world.asked {
        let open = world.conns.values().any(|conn| *conn == request.conn);
        let waits = model.streams.contains_key(request)
            || ears.listens(*request)
            || said.waits(*request)
            || asked.is_mute;
        assert!(asked.is_over || waits || !open, "nobody answers {request:?}");
    }
}

/// Both hold the same jobs, sessions and totals, and nobody waits in vain.
pub(crate) fn check_state(model: &Model, world: &World, pressure: bool) {
    let ledger = world.engine.ledger();
    assert_eq!(ledger.jobs.len(), model.jobs.len(), "the number of jobs");
    let counted: usize = State::ALL.into_iter().map(|state| world.engine.count_of(state)).sum();
    assert_eq!(counted, model.jobs.len(), "jobs by state");
    for mine in &model.jobs {
        let job = ledger.jobs.get(mine.seq).unwrap_or_else(|| panic!("{mine:?} is missing"));
        let theirs = (job.id, job.state, job.attempt, job.crashes, job.snoozes, job.deliveries, job.fence);
        let ours =
            (mine.spec.id, mine.state, mine.attempt, mine.crashes, mine.snoozes, mine.deliveries, mine.fence);
        assert_eq!(theirs, ours, "{mine:?}");
        assert_eq!((job.settled, job.level), (mine.settled, mine.level), "{mine:?}");
        assert!(mine.state != State::Scheduled || job.run_at == mine.run_at, "{mine:?} {}", job.run_at);
        let error = ledger.names.error(job.error).map(|(_, shape)| shape);
        assert_eq!(error, mine.error, "how it failed: {mine:?}");
        assert_eq!((u64::from(job.payload_len), job.is_emptied()), (mine.payload, mine.emptied), "{mine:?}");
        assert_eq!(job.result_len() as u64, mine.result, "{mine:?}");
        assert!(mine.state != State::Held || job.hold_until() == mine.hold_until, "{mine:?}");
        let holder = job.lease.as_ref().map(|lease| lease.session);
        assert_eq!(holder, mine.lease.as_ref().map(|lease| lease.session), "{mine:?}");
        assert!(holder.is_none_or(|id| model.sessions.contains_key(&id)), "held by nobody: {mine:?}");
    }
    check_claims(model, world);
    model.orders.check(ledger);
    flows::check(model, ledger);
    assert!(ledger.sessions.keys().eq(model.sessions.keys()), "sessions");
    for (name, totals) in &model.totals {
        let row = ledger.totals.iter().find(|(id, _)| ledger.names.text(**id) == name);
        assert_eq!(row.map(|(_, row)| row.totals).unwrap_or_default(), *totals, "totals of {name}");
    }
    if !pressure && world.engine.next_deadline() != Some(0) {
        check_nobody_waits(model, world.now);
    }
}

fn check_nobody_waits(model: &Model, now: Ms) {
    let moment = Moment::new(model, now);
    let ready: Vec<&Job> =
        model.jobs.iter().filter(|job| job.state == State::Ready && !moment.is_kept(job)).collect();
    for (key, stream) in &model.streams {
        let held = model.held(*key);
        let leases: Vec<&Job> = model.leases(stream.session).map(|(job, _)| job).collect();
        let is_shut = model.choked.contains(&key.conn) || model.orders.is_quiet(stream.session);
        if is_shut || leases.iter().any(|job| job.is_suspect()) {
            continue;
        }
        assert!(
            !leases.is_empty() || !ready.iter().any(|job| job.is_suspect() && stream.takes(job)),
            "an idle session and a suspect miss each other"
        );
        // A session may be emptying itself for a suspect that one of its streams fetches, also if a limit
        // keeps that one by now.
        let claims = |job: &&&Job| {
            let mut streams = model.streams.values().filter(|other| other.session == stream.session);
            job.is_suspect() && streams.any(|other| other.takes(job))
        };
        if model.jobs.iter().filter(|job| job.state == State::Ready).any(|job| claims(&&job)) {
            continue;
        }
        let late = |job: &&&Job| stream.batch.is_none_or(|batch| job.run_at + batch.linger_ms <= now);
        if !ready.iter().filter(|job| stream.takes(job)).all(|job| late(&job)) {
            continue;
        }
        for queue in &stream.queues {
            let mine: Vec<&&Job> =
                ready.iter().filter(|job| job.spec.queue == *queue && stream.takes(job)).collect();
            let fit = !mine.is_empty() && mine.iter().all(|job| stream.has_room(held, job.cost()));
            assert!(!fit, "{stream:?} waits in vain for {:?} and {} others", mine[0], mine.len() - 1);
        }
    }
}

/// Both know the same dedup keys.
fn check_claims(model: &Model, world: &World) {
    let ledger = world.engine.ledger();
    assert_eq!(ledger.claims.len(), model.claims.len(), "{:?}", model.claims);
    for mine in &model.claims {
        let row = ledger.claims.get(&mine.holder).unwrap_or_else(|| panic!("{mine:?} is missing"));
        let scope = ledger.names.text(row.claim.scope);
        assert_eq!(scope, mine.scope.as_deref().unwrap_or("default"), "{mine:?}");
        assert_eq!((&row.claim.key, row.claim.until, row.claim.next), (&mine.key, mine.until, mine.next));
    }
}
