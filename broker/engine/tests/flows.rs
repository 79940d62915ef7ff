//! Flows, as naive as can be: after every change everybody who waits is asked whether he still has to.

use crate::dice::Dice;
use crate::reference::{Job, Model};
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::command::{After, Flow, JobSpec};
use windlass_engine::flow::{DepPolicy, EdgeState, Group, On};
use windlass_engine::ids::{JobId, Ms, Seq};
use windlass_engine::ledger::Ledger;
use windlass_engine::ledger::job::State;

/// One job that another one waits for.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) seq: Seq,
    on: On,
    pub(crate) state: EdgeState,
}

/// A group and all that ever counted into it: how each ended last, if it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Team {
    pub(crate) members: BTreeMap<Seq, Option<State>>,
    policy: DepPolicy,
    is_asked: bool,
}

/// What the naive broker knows of flows beside its jobs.
#[derive(Default)]
pub(crate) struct Flows {
    pub(crate) teams: BTreeMap<Seq, Team>,
    /// How jobs ended that are gone.
    gone: BTreeMap<Seq, State>,
    /// The last job of an id that is gone.
    last: BTreeMap<JobId, (Seq, State)>,
    /// Jobs that are called off with all that waits for them.
    called_off: BTreeSet<Seq>,
}

/// Random ties for the jobs of a frame: to jobs that stand, and to those before in the frame.
pub(crate) fn tie(dice: &mut Dice, model: &Model, jobs: &mut [JobSpec]) {
    let ids: BTreeSet<JobId> = jobs.iter().map(|spec| spec.id).collect();
    if ids.len() < jobs.len() {
        return;
    }
    let stand: Vec<&Job> = model.jobs.iter().filter(|job| !ids.contains(&job.spec.id)).collect();
    let mut earlier: Vec<(JobId, bool)> = Vec::new();
    for spec in jobs {
        let known =
            model.jobs.iter().any(|job| job.spec.id == spec.id) || model.removed.contains_key(&spec.id);
        if dice.one_in(8) {
            // A group says nothing that a handler would read.
            (spec.kind, spec.key, spec.run_at) = (String::new(), String::new(), 0);
            spec.payload = Vec::new().into();
            let wishes = spec.wishes.get_or_insert_default();
            (wishes.gate, wishes.dedup) = (Default::default(), None);
        }
        let targets: Vec<JobId> =
            stand.iter().map(|job| job.spec.id).chain(earlier.iter().map(|(id, _)| *id)).collect();
        let groups = stand.iter().filter(|job| job.spec.kind.is_empty() && !job.state.is_final());
        let groups = groups.map(|job| job.spec.id);
        let groups: Vec<JobId> =
            groups.chain(earlier.iter().filter(|(_, is_group)| *is_group).map(|(id, _)| *id)).collect();
        let count = if dice.one_in(2) { dice.roll(4) } else { 0 };
        let after: BTreeSet<JobId> = (0..count).filter_map(|_| dice.of(&targets)).collect();
        let after = after.into_iter().map(|job| {
            let on = [On::Success, On::Success, On::Finish, On::Failure][dice.roll(4) as usize];
            After { job, on }
        });
        let after: Vec<After> = after.collect();
        let group = if dice.one_in(2) { dice.of(&groups) } else { None };
        let group = group.filter(|&group| after.iter().all(|after| after.job != group));
        let policies = [DepPolicy::AllOrCancel, DepPolicy::AllOrHold, DepPolicy::AllOrRun, DepPolicy::Any];
        let policy = policies[dice.roll(4) as usize];
        if !after.is_empty() || group.is_some() || spec.kind.is_empty() {
            spec.wishes.get_or_insert_default().flow = Some(Box::new(Flow { after, policy, group }));
        }
        if !known && spec.wishes.as_ref().is_none_or(|wishes| wishes.dedup.is_none()) {
            earlier.push((spec.id, spec.kind.is_empty()));
        }
    }
}

/// All that the job is tied to stands, or is to stand with it.
pub(crate) fn may_be_tied<'a>(
    model: &Model,
    spec: &JobSpec,
    frame: impl Iterator<Item = &'a JobSpec>,
) -> bool {
    let frame: BTreeSet<JobId> = frame.map(|spec| spec.id).collect();
    let flow = spec.flow();
    let after = flow.into_iter().flat_map(|flow| &flow.after).map(|after| after.job);
    let mut ties = after.chain(flow.and_then(|flow| flow.group));
    ties.all(|id| frame.contains(&id) || model.jobs.iter().any(|job| job.spec.id == id))
}

impl Job {
    pub(crate) fn is_group(&self) -> bool {
        self.spec.kind.is_empty()
    }

    fn policy(&self) -> DepPolicy {
        self.spec.flow().map_or(DepPolicy::default(), |flow| flow.policy)
    }

    fn count(&self, state: EdgeState) -> usize {
        self.after.iter().filter(|dependency| dependency.state == state).count()
    }

    /// Others have to end first.
    pub(crate) fn waits(&self) -> bool {
        let is_met = self.policy() == DepPolicy::Any && self.count(EdgeState::Met) > 0;
        self.count(EdgeState::Open) > 0 && !is_met
    }
}

impl Model {
    /// How the job has ended, if it has.
    fn end_of(&self, seq: Seq) -> Option<State> {
        match self.jobs.iter().find(|job| job.seq == seq) {
            Some(job) => Some(job.state).filter(|state| state.is_final()),
            None => self.flows.gone.get(&seq).copied(),
        }
    }

    /// A job is about to be removed.
    pub(crate) fn goes(&mut self, id: JobId) {
        let Some(job) = self.jobs.iter().find(|job| job.spec.id == id) else { return };
        let end = if job.state.is_final() { job.state } else { State::Cancelled };
        self.flows.gone.insert(job.seq, end);
        self.flows.last.insert(id, (job.seq, end));
    }

    /// The last job was stored: what it is tied to is found, and what has ended already is judged.
    pub(crate) fn start_flow(&mut self, now: Ms) -> State {
        let seq = self.last_seq;
        let place = self.jobs.iter().position(|job| job.seq == seq).expect("it was stored");
        let job = self.jobs[place].clone();
        let Some(flow) = job.spec.flow().cloned() else { return job.state };
        let find = |id: JobId| self.jobs.iter().find(|job| job.spec.id == id);
        let after: Vec<Dependency> = flow
            .after
            .iter()
            .map(|after| {
                let other = find(after.job).map(|job| (job.seq, job.state));
                // The run that spawned this one may have made room by removing that one.
                let (seq, end) = other.unwrap_or_else(|| self.flows.last[&after.job]);
                let state = if end.is_final() { judge(after.on, end) } else { EdgeState::Open };
                Dependency { seq, on: after.on, state }
            })
            .collect();
        let group = flow.group.map(|id| find(id).expect("it stands").seq);
        if let Some(team) = group.and_then(|group| self.flows.teams.get_mut(&group)) {
            team.members.insert(seq, None);
            team.is_asked = false;
        }
        let job = &mut self.jobs[place];
        (job.after, job.group) = (after, group);
        if job.is_group() {
            self.flows.teams.insert(seq, Team { policy: flow.policy, ..Team::default() });
        }
        let job = &mut self.jobs[place];
        if job.state != State::Held && (job.is_group() || !job.after.is_empty()) {
            job.state = State::Blocked;
        }
        if !job.after.is_empty() {
            let is_bad = job.count(EdgeState::Failed) > 0;
            self.weigh(seq, is_bad, now);
        }
        self.jobs[place].state
    }

    fn weigh(&mut self, seq: Seq, is_bad: bool, now: Ms) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.seq == seq) else { return };
        let (id, queue) = (job.spec.id, job.spec.queue.clone());
        let hopeless =
            job.count(EdgeState::Failed) > 0 && job.count(EdgeState::Met) + job.count(EdgeState::Open) == 0;
        match job.policy() {
            DepPolicy::AllOrCancel if is_bad => self.cancelled(id, false, now),
            DepPolicy::AllOrHold if is_bad => (job.state, job.hold_until) = (State::Held, 0),
            DepPolicy::Any if hopeless => {
                job.end(State::Dead, false, now);
                self.total(&queue).dead += 1;
            }
            _ => self.free(seq, now),
        }
    }

    /// A blocked job that nothing blocks any more goes on.
    pub(crate) fn free(&mut self, seq: Seq, now: Ms) {
        let by_key = self.claims.iter().any(|claim| claim.next.is_some_and(|(next, _)| next == seq));
        let Some(job) = self.jobs.iter_mut().find(|job| job.seq == seq) else { return };
        if job.state == State::Blocked && !by_key && !job.waits() && !job.is_group() {
            job.wait(job.run_at, now);
        }
    }

    /// Asks everybody who waits, until nobody has anything to say.
    pub(crate) fn flow(&mut self, now: Ms) {
        while self.tell_one(now) || self.conclude_one(now) {
            self.free_keys(now);
        }
        for seq in self.flows.teams.keys().copied().collect::<Vec<_>>() {
            let lives = |job: &Job| job.seq == seq || job.group == Some(seq);
            if !self.jobs.iter().any(lives) {
                self.flows.teams.remove(&seq);
            }
        }
    }

    /// One who waits hears of one end, if anybody does.
    fn tell_one(&mut self, now: Ms) -> bool {
        let rests = |job: &&Job| matches!(job.state, State::Held | State::Blocked) && job.waits();
        let is_open = |dependency: &Dependency| dependency.state == EdgeState::Open;
        for job in self.jobs.iter().filter(rests) {
            let seq = job.seq;
            let called_off = |dependency: &Dependency| self.flows.called_off.contains(&dependency.seq);
            if job.after.iter().any(|dependency| is_open(dependency) && called_off(dependency)) {
                let id = job.spec.id;
                self.flows.called_off.insert(seq);
                self.cancelled(id, false, now);
                return true;
            }
        }
        for job in self.jobs.iter().filter(rests) {
            let seq = job.seq;
            let ended = job.after.iter().enumerate().filter(|(_, dependency)| is_open(dependency));
            let ended = ended.filter_map(|(place, dependency)| Some((place, self.end_of(dependency.seq)?)));
            let Some((place, end)) = ended.collect::<Vec<_>>().first().copied() else { continue };
            let job = self.jobs.iter_mut().find(|job| job.seq == seq).expect("it waits");
            let state = judge(job.after[place].on, end);
            job.after[place].state = state;
            self.weigh(seq, state == EdgeState::Failed, now);
            return true;
        }
        self.flows.called_off.clear();
        false
    }

    /// One group counts anew, and ends if it can.
    fn conclude_one(&mut self, now: Ms) -> bool {
        for seq in self.flows.teams.keys().copied().collect::<Vec<_>>() {
            let members: Vec<Seq> = self.flows.teams[&seq].members.keys().copied().collect();
            for member in members {
                let is_here = self.jobs.iter().any(|job| job.seq == member);
                let end = self.end_of(member);
                let team = self.flows.teams.get_mut(&seq).expect("it is one");
                let known = team.members.get_mut(&member).expect("it is one of them");
                if is_here || known.is_none() {
                    *known = end;
                }
            }
            let team = self.flows.teams[&seq].clone();
            let is_open = team.members.values().any(Option::is_none);
            let completed = team.members.values().filter(|end| **end == Some(State::Completed)).count();
            let has_failed = completed < team.members.len();
            let Some(job) = self.jobs.iter_mut().find(|job| job.seq == seq) else { continue };
            if job.state != State::Blocked || is_open || job.waits() {
                continue;
            }
            let (id, queue) = (job.spec.id, job.spec.queue.clone());
            match team.policy {
                DepPolicy::AllOrHold if has_failed && !team.is_asked => {
                    (job.state, job.hold_until) = (State::Held, 0);
                    self.flows.teams.get_mut(&seq).expect("it is one").is_asked = true;
                }
                DepPolicy::AllOrCancel if has_failed => self.cancelled(id, false, now),
                DepPolicy::Any if has_failed && completed == 0 => {
                    job.end(State::Dead, false, now);
                    self.total(&queue).dead += 1;
                }
                _ => self.complete(id, now),
            }
            return true;
        }
        false
    }

    /// The job and all that waits for it are called off.
    pub(crate) fn call_off(&mut self, id: JobId) {
        if let Some(job) = self.jobs.iter().find(|job| job.spec.id == id) {
            self.flows.called_off.insert(job.seq);
        }
    }

    /// A job that has ended runs again: it waits for those that run, and a group for its members.
    pub(crate) fn reopen(&mut self, id: JobId) {
        let Some(place) = self.jobs.iter().position(|job| job.spec.id == id) else { return };
        let mut after = std::mem::take(&mut self.jobs[place].after);
        for dependency in &mut after {
            match self.end_of(dependency.seq) {
                None => dependency.state = EdgeState::Open,
                Some(end) if dependency.state == EdgeState::Open => {
                    dependency.state = judge(dependency.on, end);
                }
                Some(_) => {}
            }
        }
        self.jobs[place].after = after;
    }

    /// After a retry.
    pub(crate) fn block_again(&mut self, id: JobId) {
        let Some(job) = self.job(id) else { return };
        let (seq, is_group) = (job.seq, job.is_group());
        if is_group || job.waits() {
            job.state = State::Blocked;
        }
        if is_group && let Some(team) = self.flows.teams.get_mut(&seq) {
            team.is_asked = false;
        }
    }
}

fn judge(on: On, end: State) -> EdgeState {
    let is_met = match on {
        On::Success => end == State::Completed,
        On::Finish => true,
        On::Failure => end != State::Completed,
    };
    if is_met { EdgeState::Met } else { EdgeState::Failed }
}

/// Both know the same of who waits for whom, and of groups; and nobody waits in vain.
pub(crate) fn check(model: &Model, ledger: &Ledger) {
    for job in model.jobs.iter().filter(|job| !job.after.is_empty()) {
        let theirs: Vec<(Seq, EdgeState)> =
            ledger.after(job.seq).map(|edge| (edge.seq, edge.state)).collect();
        assert_eq!(theirs.len(), job.after.len(), "{job:?}");
        let waits = matches!(job.state, State::Held | State::Blocked) && job.waits();
        if waits {
            let ours: Vec<(Seq, EdgeState)> =
                job.after.iter().map(|dependency| (dependency.seq, dependency.state)).collect();
            assert_eq!(theirs, ours, "{job:?}");
            let mut open = job.after.iter().filter(|dependency| dependency.state == EdgeState::Open);
            assert!(open.all(|dependency| model.end_of(dependency.seq).is_none()), "waits in vain: {job:?}");
        }
    }
    assert!(ledger.groups.keys().eq(model.flows.teams.keys()), "groups");
    for (seq, team) in &model.flows.teams {
        let ended = |state| team.members.values().filter(|end| **end == Some(state)).count() as u64;
        let Group { total, completed, dead, cancelled, expired, is_asked, .. } = ledger.groups[seq].group;
        let theirs = (total, completed, dead, cancelled, expired, is_asked);
        let ours = (
            team.members.len() as u64,
            ended(State::Completed),
            ended(State::Dead),
            ended(State::Cancelled),
            ended(State::Expired),
            team.is_asked,
        );
        assert_eq!(theirs, ours, "group {seq}");
    }
}
