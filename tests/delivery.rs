//! Who gets which job and keeps it: order, fairness, streams, leases, visibility timeouts, cut and silent
//! connections. Raw peers, so that nothing is done for the worker that it did not ask for.

use crate::harness::{
    Broker, NOTICED_MS_MOST, Peer, Proxy, body, complete, encode, eventually, fail, fetch_once, hello, job,
    stream,
};
use windlass_proto::v1::attempt::Outcome;
use windlass_proto::v1::change::To;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::hello::Running;
use windlass_proto::v1::hello::running::Held;
use windlass_proto::v1::signal::Type;
use windlass_proto::v1::{
    Cancel, Code, DeadReason, Enqueue, Fetch, Hello, JobSpec, JobTouch, JobView, Policy, Put, SettleCode,
    State, Touch, Work, touched,
};

fn of_key(key: &str) -> JobSpec {
    JobSpec { key: key.into(), ..job("k") }
}

fn of_priority(priority: u32) -> JobSpec {
    JobSpec { policy: Some(Policy { priority: Some(priority), ..Policy::default() }), ..job("k") }
}

fn held(works: &[Work]) -> Option<Running> {
    let held = works.iter().map(|work| Held { id: work.id.clone(), fence: work.fence }).collect();
    Some(Running { held })
}

/// A peer whose session ends a second after its last sign of life.
fn mortal(addr: &str) -> Peer {
    Peer::with(addr, Hello { session_ttl_ms: 1_000, ..hello() })
}

/// A worker that is noticed later, where a pause of the machine must not end it.
fn patient(addr: &str) -> Peer {
    Peer::with(addr, Hello { session_ttl_ms: 3_000, ..hello() })
}

#[test]
fn priorities_go_first_keys_take_turns_and_a_lane_is_first_in_first_out() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let jobs = ["a", "a", "b", "b"].map(of_key).into_iter().chain([of_priority(0), of_priority(9)]);
    let ids: Vec<_> = peer.enqueue_all(jobs.collect()).into_iter().map(|one| one.id).collect();
    let works = peer.poll(fetch_once("q", 6));
    let order: Vec<_> = works.iter().map(|work| ids.iter().position(|id| *id == work.id).unwrap()).collect();
    assert_eq!(order, [5, 0, 2, 1, 3, 4]);
}

#[test]
fn low_priorities_do_not_starve() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let jobs = [of_priority(0)].into_iter().chain((0..40).map(|_| of_priority(9)));
    let low = peer.enqueue_all(jobs.collect())[0].id.clone();
    let works = peer.poll(fetch_once("q", 40));
    let place = works.iter().position(|work| work.id == low).unwrap();
    assert!((1..=16).contains(&place), "{place}");
}

#[test]
fn a_stream_holds_what_it_has_slots_for_and_gets_more_as_it_settles() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue_all((0..5).map(|_| job("k")).collect());
    let name = peer.open_stream(stream("q", 2));
    let first = peer.delivery(name).jobs;
    assert_eq!((first.len(), peer.queue("q").ready), (2, 3));
    assert_eq!(peer.settle(&first[0], complete("")), SettleCode::Settled);
    assert_eq!(peer.delivery(name).jobs.len(), 1, "it comes without being asked for");

    // More slots bring more jobs, fewer take nothing away.
    let slots = |slots| Request::Fetch(Fetch { stream: name, slots, ..Fetch::default() });
    let id = peer.say(slots(3));
    let (mut closed, mut delivered) = (0, 0);
    for _ in 0..2 {
        let (answered, body) = peer.hear_answer().unwrap();
        if answered == id {
            body!(body, Closed);
            closed += 1;
        } else {
            delivered += body!(body, Deliver).jobs.len();
        }
    }
    assert_eq!((closed, delivered), (1, 1));
    body!(peer.ask(slots(1)), Closed);
    assert_eq!((peer.queue("q").leased, peer.queue("q").ready), (3, 1));

    let close = peer.say(Request::Fetch(Fetch { stream: name, close: true, ..Fetch::default() }));
    assert!(peer.delivery(name).end);
    body!(peer.answer(close), Closed);
    assert_eq!(peer.settle(&first[1], complete("")), SettleCode::Settled, "the leases stay");
    assert_eq!(peer.queue("q").ready, 1);
}

#[test]
fn a_job_takes_as_many_slots_as_it_costs_and_an_empty_stream_takes_any() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let costly = JobSpec { policy: Some(Policy { cost: Some(5), ..Policy::default() }), ..job("k") };
    peer.enqueue_all(vec![costly, job("k")]);
    let name = peer.open_stream(stream("q", 3));
    let first = peer.delivery(name).jobs;
    assert_eq!((first.len(), first[0].cost, peer.queue("q").ready), (1, 5, 1));
    peer.settle(&first[0], complete(""));
    assert_eq!(peer.delivery(name).jobs.len(), 1);
}

#[test]
fn a_session_has_sixty_four_streams() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    for _ in 0..64 {
        peer.open_stream(stream("q", 1));
    }
    let refusal = peer.refused(Request::Fetch(stream("q", 1)));
    assert_eq!((refusal.code(), refusal.field.as_str()), (Code::Exhausted, "stream"));
}

#[test]
fn a_long_poll_waits_for_the_first_job_of_a_kind_that_is_asked_for() {
    let broker = Broker::start();
    let (mut worker, mut producer) = (broker.peer(), broker.peer());
    assert_eq!(worker.poll(Fetch { wait_ms: 0, ..fetch_once("q", 1) }), [], "nothing there, nothing waited");
    assert_eq!(worker.poll(Fetch { wait_ms: 1, ..fetch_once("q", 1) }), []);
    let poll = worker.say(Request::Fetch(Fetch { kinds: vec!["wanted".into()], ..fetch_once("q", 10) }));
    let slots = Request::Fetch(Fetch { stream: poll, slots: 2, ..Fetch::default() });
    assert_eq!(worker.refused(slots).field, "slots", "a long poll has none");
    producer.enqueue(job("other"));
    let wanted = producer.enqueue_all(vec![job("wanted"), job("wanted")]);
    let works = body!(worker.answer(poll), Deliver).jobs;
    assert!(works.iter().map(|work| &work.id).eq(wanted.iter().map(|one| &one.id)), "{works:?}");
    assert_eq!(producer.queue("q").ready, 1);
}

#[test]
fn workers_that_wait_are_served_in_turn() {
    let broker = Broker::start();
    let (mut one, mut two, mut producer) = (broker.peer(), broker.peer(), broker.peer());
    let names = [one.open_stream(stream("q", 10)), two.open_stream(stream("q", 10))];
    eventually("both wait", || (producer.queue("q").waiting_streams == 2).then_some(()));
    for _ in 0..6 {
        producer.enqueue(job("k"));
    }
    for (worker, name) in [(&mut one, names[0]), (&mut two, names[1])] {
        let delivered: usize = (0..3).map(|_| worker.delivery(name).jobs.len()).sum();
        assert_eq!(delivered, 3);
    }
}

#[test]
fn a_paused_queue_hands_out_nothing_until_it_is_resumed() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let first = peer.enqueue(job("k"));
    let work = peer.fetch("q");
    peer.pause("q");
    peer.enqueue(job("k"));
    assert_eq!(peer.poll(Fetch { wait_ms: 0, ..fetch_once("q", 1) }), []);
    assert!(peer.queue("q").paused && peer.job(&first).state() == State::Leased);
    assert_eq!(peer.settle(&work, complete("")), SettleCode::Settled, "what runs is not touched");
    let remove = Put { remove: vec!["limit/pause:queue/q".into()], ..Put::default() };
    body!(peer.ask(Request::Put(remove)), Stored);
    peer.fetch("q");
}

#[test]
fn a_running_job_that_is_cancelled_gets_its_grace_and_then_loses_its_lease() {
    let broker = Broker::start();
    let (mut worker, mut operator) = (broker.peer(), broker.peer());
    let id = operator.enqueue(job("k"));
    let name = worker.open_stream(stream("q", 1));
    let work = worker.delivery(name).jobs.remove(0);
    let cancel = To::Cancel(Cancel { why: "not needed".into(), grace_ms: 300, ..Cancel::default() });
    assert_eq!(operator.change(&id, cancel).changed, 1);
    let signal = worker.signal();
    assert_eq!((signal.r#type(), signal.fence, signal.job.as_ref()), (Type::Cancel, work.fence, &id[..]));
    assert!(signal.reason == "not needed" && (1..=300).contains(&signal.ends_in_ms), "{signal:?}");
    let cancelled = eventually("its grace is over", || ended(&mut operator, &id));
    assert_eq!(cancelled.state(), State::Cancelled);
    assert_eq!(worker.signal().r#type(), Type::LeaseLost);
    assert_eq!(worker.settle(&work, complete("late")), SettleCode::LeaseLost);
}

#[test]
fn a_simple_worker_settles_over_another_connection_of_its_session() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let id = worker.enqueue(job("k"));
    let work = worker.poll(Fetch { lease_ms: 60_000, ..fetch_once("q", 1) }).remove(0);
    assert!((1..=60_000).contains(&work.ends_in_ms), "{}", work.ends_in_ms);
    let mut second = worker.attached(broker.addr());
    drop(worker);
    assert_eq!(second.settle(&work, complete("42")), SettleCode::Settled);
    assert_eq!(second.settle(&work, complete("43")), SettleCode::AlreadySettled);
    let job = second.job(&id);
    assert_eq!((job.state(), &job.result[..], job.deliveries), (State::Completed, &b"42"[..], 1));

    let mut stranger = broker.peer();
    stranger.enqueue(crate::harness::job("k"));
    let work = stranger.fetch("q");
    assert_eq!(second.settle(&work, complete("")), SettleCode::LeaseLost, "it is another session's lease");
    assert_eq!(
        stranger.settle(&Work { fence: work.fence + 1, ..work.clone() }, fail("")),
        SettleCode::LeaseLost
    );
    let unknown = Work { id: crate::harness::fresh_id(), ..work };
    assert_eq!(stranger.settle(&unknown, complete("")), SettleCode::UnknownJob);
}

#[test]
fn a_visibility_timeout_that_runs_out_counts_as_an_attempt_and_runs_again() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let policy = Policy { max_attempts: Some(2), ..Policy::default() };
    let id = worker.enqueue(JobSpec { policy: Some(policy), ..job("k") });
    let short = || Fetch { lease_ms: 300, ..fetch_once("q", 1) };
    let first = worker.poll(short()).remove(0);
    let second = worker.poll(short()).remove(0);
    assert_eq!((second.attempt, second.deliveries, second.crashes), (2, 2, 0));
    assert!(second.fence > first.fence);
    let codes = [worker.settle(&first, complete("late")), worker.settle(&first, fail("late"))];
    assert_eq!(codes, [SettleCode::LeaseLost, SettleCode::LeaseLost]);
    let dead = eventually("its last attempt has run out", || ended(&mut worker, &id));
    assert_eq!((dead.state(), dead.dead_reason()), (State::Dead, DeadReason::Timeout));
    let first = &dead.history[0];
    assert_eq!(first.outcome(), Outcome::Expired);
    let lasted = first.ended_at_ms - first.started_at_ms;
    assert!(lasted >= 300, "{lasted} ms by the broker's clock");
    assert_eq!(worker.settle(&second, complete("late")), SettleCode::LeaseLost);
}

fn ended(peer: &mut Peer, id: &bytes::Bytes) -> Option<JobView> {
    Some(peer.job(id)).filter(|job| job.finished_at_ms > 0)
}

#[test]
fn a_touch_moves_the_end_of_a_visibility_timeout_and_tells_what_is_so() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    let id = worker.enqueue(job("k"));
    let work = worker.poll(Fetch { lease_ms: 20_000, ..fetch_once("q", 1) }).remove(0);
    let mut touch = |fence, extend_ms| {
        let jobs = vec![JobTouch { id: work.id.clone(), fence, extend_ms, ..JobTouch::default() }];
        body!(worker.ask(Request::Touch(Touch { beat: None, jobs })), Touched).jobs.remove(0)
    };
    let asked = touch(work.fence, None);
    assert!(asked.code() == SettleCode::Settled && (1..=20_000).contains(&asked.ends_in_ms), "{asked:?}");
    let extended = touch(work.fence, Some(600_000));
    assert!((599_000..=600_000).contains(&extended.ends_in_ms), "{extended:?}");
    let lost = touched::One { code: SettleCode::LeaseLost.into(), ..touched::One::default() };
    assert_eq!(touch(work.fence + 1, Some(1)), lost);
    let lease = worker.job(&id).lease.unwrap();
    assert!(lease.ends_at_ms >= lease.leased_at_ms + 600_000 && !lease.ends_with_session);
    assert_eq!(worker.settle(&work, complete("")), SettleCode::Settled);
}

#[test]
fn a_lease_outlives_the_connection_that_brought_it() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let mut worker = Peer::open(proxy.addr());
    let id = worker.enqueue(job("k"));
    let works = vec![worker.fetch("q")];
    // With another connection the session has its time to live, whatever takes how long here.
    let _beside = worker.attached(broker.addr());
    proxy.cut();
    worker.is_closed();
    let mut resumed = Peer::with(proxy.addr(), worker.coming_back(held(&works)));
    assert_eq!(resumed.welcome.leases_kept, [&id[..]]);
    // The slot of a new stream is taken up by what the session still holds.
    resumed.enqueue(job("k"));
    let name = resumed.open_stream(stream("q", 1));
    assert_eq!(resumed.queue("q").ready, 1);
    assert_eq!(resumed.settle(&works[0], complete("")), SettleCode::Settled);
    assert_eq!(resumed.delivery(name).jobs.len(), 1);
    let job = resumed.job(&id);
    assert_eq!((job.state(), job.deliveries, job.attempt, job.crashes), (State::Completed, 1, 1, 0));
}

#[test]
fn a_worker_whose_connection_closes_loses_its_jobs_long_before_a_timeout() {
    let broker = Broker::start();
    let mut other = broker.peer();
    let mut worker = broker.peer();
    let id = worker.enqueue(job("k"));
    worker.fetch("q");
    let closed_at = other.server().server_at_ms;
    drop(worker);
    let work = other.fetch("q");
    assert_eq!((&work.id, work.attempt, work.crashes, work.deliveries), (&id, 1, 1, 2));
    let job = other.job(&id);
    assert_eq!(job.history[0].outcome(), Outcome::Lost);
    let noticed = job.history[0].ended_at_ms - closed_at;
    assert!(noticed <= NOTICED_MS_MOST, "noticed after {noticed} ms by the broker's clock");
}

#[test]
fn a_worker_that_falls_silent_is_noticed_though_its_connection_stands() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.addr());
    let mut other = broker.peer();
    let mut worker = patient(proxy.addr());
    let id = worker.enqueue(job("k"));
    worker.fetch("q");
    worker.beat();
    proxy.blackhole();
    let silent_from = other.server().server_at_ms;
    let work = other.fetch("q");
    assert_eq!((&work.id, work.crashes), (&id, 1));
    let noticed = other.job(&id).history[0].ended_at_ms.saturating_sub(silent_from);
    assert!(noticed <= NOTICED_MS_MOST, "noticed after {noticed} ms by the broker's clock");
}

#[test]
fn beats_keep_a_session_and_any_byte_is_a_sign_of_life() {
    let broker = Broker::start();
    let mut other = broker.peer();
    let (mut beating, mut dribbling) = (patient(broker.addr()), patient(broker.addr()));
    let ids = other.enqueue_all(vec![job("k"), job("k")]);
    beating.fetch("q");
    dribbling.fetch("q");
    // More than twice the sessions' ttl, by the broker's clock.
    let until = other.server().server_at_ms + 7_000;
    // A frame that takes longer than that to arrive.
    let enqueue =
        Enqueue { jobs: vec![JobSpec { payload: vec![0; 9_000].into(), ..job("k") }], ..Enqueue::default() };
    let mut frame = encode(900, Request::Enqueue(enqueue)).into_iter();
    eventually("that time has passed", || {
        beating.beat();
        dribbling.send(&[frame.next().unwrap()]);
        (other.server().server_at_ms > until).then_some(())
    });
    for one in ids {
        let job = other.job(&one.id);
        assert_eq!((job.state(), job.deliveries), (State::Leased, 1));
    }
}

#[test]
fn a_job_whose_workers_die_with_it_runs_alone_and_ends_as_poison() {
    let broker = Broker::start();
    let mut looking = broker.peer();
    let id = looking.enqueue(job("k"));
    for crashes in 0..3 {
        eventually("it is ready", || (looking.job(&id).crashes == crashes).then_some(()));
        let mut worker = mortal(broker.addr());
        let work = worker.fetch("q");
        assert_eq!((&work.id, work.crashes, work.suspect), (&id, crashes, crashes == 2));
    }
    let dead = eventually("it is dead", || ended(&mut looking, &id));
    assert_eq!((dead.state(), dead.dead_reason(), dead.crashes), (State::Dead, DeadReason::Poison, 3));
    assert_eq!(dead.attempt, 0, "a crash is not an attempt");
}
