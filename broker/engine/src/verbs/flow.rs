//! Flow: what ties a new job to others is checked before anything is stored, and stored with it.
//!
//! A job can only name jobs that stand, or that stand before it in the same frame, so there are no
//! cycles: whoever waits came later.

use crate::command::{Code, Flow, JobSpec, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::Fact;
use crate::flow::{Edge, EdgeState, Group, Piece};
use crate::ids::{JobId, Ms, NameId, Seq};
use crate::ledger::job::{Plan, State};
use crate::limits::{AFTER_MAX, AFTER_PER_PIECE, EDGES_MAX};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

/// The jobs of a frame that were stored, or that another one stands for: by the id that was sent, which
/// one stands now; None = it is not kept any more.
pub(crate) type Stands = BTreeMap<JobId, Option<JobId>>;

/// Ties to jobs of the same frame become ties to those that stand for them.
pub(super) fn bind(spec: &mut JobSpec, stands: &Stands) {
    let flow = spec.wishes.as_mut().and_then(|wishes| wishes.flow.as_mut());
    let Some(flow) = flow.filter(|_| !stands.is_empty()) else { return };
    flow.after.retain_mut(|after| match stands.get(&after.job) {
        // Its dedup key outlived it, and so does what came of it.
        Some(None) => false,
        Some(Some(id)) => {
            after.job = *id;
            true
        }
        None => true,
    });
}

impl Engine {
    /// Refuses jobs that are tied to what does not stand. With `partial` such a job is refused alone, and
    /// with it those that are tied to it.
    pub(super) fn admit_flows(
        &self,
        asker: Asker,
        jobs: &mut [Result<JobSpec, Refusal>],
        partial: bool,
    ) -> Result<(), Refusal> {
        if jobs.iter().flatten().all(|spec| spec.flow().is_none()) {
            return Ok(());
        }
        let wanted: usize = jobs.iter().flatten().filter_map(|spec| Some(spec.flow()?.after.len())).sum();
        if self.roster.flows.edges + wanted > EDGES_MAX {
            let message = format!("the broker knows its maximum of {EDGES_MAX} jobs that wait for jobs");
            return Err(Refusal::new(Code::Exhausted, "jobs", message).retry_after(1_000));
        }
        // Of an id that the frame names twice the first is stored.
        let mut places: BTreeMap<JobId, usize> = BTreeMap::new();
        for (place, spec) in jobs.iter().enumerate() {
            if let Ok(spec) = spec {
                places.entry(spec.id).or_insert(place);
            }
        }
        for place in 0..jobs.len() {
            let Ok(spec) = &jobs[place] else { continue };
            let Err(mut refusal) = self.admit_flow(asker, spec, place, &places, jobs) else { continue };
            refusal.field = format!("jobs[{place}].{}", refusal.field);
            if !partial {
                return Err(refusal);
            }
            jobs[place] = Err(refusal);
        }
        Ok(())
    }

    fn admit_flow(
        &self,
        asker: Asker,
        spec: &JobSpec,
        place: usize,
        places: &BTreeMap<JobId, usize>,
        jobs: &[Result<JobSpec, Refusal>],
    ) -> Result<(), Refusal> {
        // What is known already is not stored again, whatever it is tied to.
        let Some(flow) = spec.flow().filter(|_| !self.is_known(asker, spec.id)) else { return Ok(()) };
        let stands = |id: JobId, field: &str| {
            let Some(&before) = places.get(&id) else {
                // Who may not see a job may not hear when it ends, either, nor keep its group open.
                return match self.find(asker.namespace, id).filter(|job| self.is_within(asker, job.queue)) {
                    Some(_) => Ok(()),
                    None => Err(Refusal::new(
                        Code::NotFound,
                        field,
                        format!("there is no job {id}, or none any more"),
                    )),
                };
            };
            if before >= place {
                let message = format!("job {id} has to stand before this one");
                return Err(Refusal::new(Code::Invalid, field, message));
            }
            let is_gone = self.find(asker.namespace, id).is_none() && self.is_known(asker, id);
            if jobs[before].is_err() || is_gone {
                return Err(Refusal::new(
                    Code::NotFound,
                    field,
                    format!("job {id} of this request does not stand"),
                ));
            }
            Ok(())
        };
        if flow.after.len() > AFTER_MAX {
            return Err(Refusal::new(
                Code::TooLarge,
                "after",
                format!("a job waits for at most {AFTER_MAX} jobs"),
            ));
        }
        for (number, after) in flow.after.iter().enumerate() {
            stands(after.job, &format!("after[{number}].job"))?;
        }
        let Some(id) = flow.group else { return Ok(()) };
        stands(id, "group")?;
        if flow.after.iter().any(|after| after.job == id) {
            let message = "a member of a group cannot wait for the group, which waits for it";
            return Err(Refusal::new(Code::Invalid, "group", message));
        }
        let of_frame = places.get(&id).and_then(|&before| jobs[before].as_ref().ok());
        let (is_group, has_ended) = match (self.find(asker.namespace, id), of_frame) {
            (Some(job), _) => (job.is_group(), job.state.is_final()),
            (None, Some(spec)) => (spec.kind.is_empty(), false),
            (None, None) => (false, false),
        };
        if !is_group {
            return Err(Refusal::new(
                Code::Invalid,
                "group",
                format!("job {id} has a kind, so it is no group"),
            ));
        }
        if has_ended {
            return Err(Refusal::new(Code::Invalid, "group", format!("the group {id} has ended")));
        }
        Ok(())
    }

    /// A job of this id stands, or stood lately.
    pub(super) fn is_known(&self, asker: Asker, id: JobId) -> bool {
        self.find(asker.namespace, id).is_some()
            || self.roster.ended_ids.find(asker.now, asker.namespace, id).is_some()
    }

    /// What a new job is tied to stands in its plan, and what it waits for in rows of its own.
    pub(super) fn tie(&mut self, namespace: NameId, seq: Seq, flow: &Flow, plan: &mut Plan, turn: &mut Turn) {
        let edges: Vec<Edge> = flow
            .after
            .iter()
            .filter_map(|after| {
                let job = self.find(namespace, after.job)?;
                let is_over = job.state.is_final();
                let state = if is_over { after.on.judge(job.state) } else { EdgeState::Open };
                Some(Edge { id: after.job, seq: job.seq, on: after.on, state })
            })
            .collect();
        plan.after = !edges.is_empty();
        plan.group = flow.group.and_then(|id| self.find(namespace, id)).map_or(0, |group| group.seq);
        for (piece, edges) in (0..).zip(edges.chunks(AFTER_PER_PIECE.into())) {
            let body = Box::new(Piece { policy: flow.policy, edges: edges.into() });
            self.decide(turn, Fact::AfterSet { waiter: seq, piece, body });
        }
    }

    /// A tied job is stored: it counts into its group, and waits unless there is nothing to wait for.
    pub(super) fn start_flow(&mut self, seq: Seq, flow: &Flow, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let Some(plan) = &job.plan else { return };
        let (of, after, is_group) = (plan.group, plan.after, plan.is_group);
        let (namespace, id) = (job.namespace, job.id);
        self.roster.flows.join(job);
        self.roster.flows.follow(&self.ledger, seq);
        if is_group {
            let body = Box::new(Group { namespace, id, policy: flow.policy, ..Group::default() });
            self.decide(turn, Fact::GroupSet { group: seq, body });
            self.look_at_group(seq);
        }
        if let Some(group) = self.roster.flows.count(&self.ledger.groups, of) {
            group.total += 1;
            group.is_asked = false;
        }
        if after {
            let is_bad = self.ledger.tally(seq).failed > 0;
            self.weigh(seq, is_bad, now, turn);
        }
    }

    /// A job that is retried waits again for those that have not ended.
    pub(super) fn reopen(&mut self, seq: Seq, turn: &mut Turn) {
        let rows = self.ledger.afters.range((seq, 0)..=(seq, u16::MAX));
        let mut changed: Vec<(u16, Piece)> = Vec::new();
        for (&(_, piece), row) in rows {
            let mut body = row.piece.clone();
            for edge in &mut body.edges {
                let state = self.ledger.jobs.get(edge.seq).map(|job| job.state);
                if state.is_some_and(|state| !state.is_final()) {
                    edge.state = EdgeState::Open;
                } else if edge.state == EdgeState::Open {
                    edge.state = edge.on.judge(state.unwrap_or(State::Cancelled));
                }
            }
            if body != row.piece {
                changed.push((piece, body));
            }
        }
        for (piece, body) in changed {
            self.decide(turn, Fact::AfterSet { waiter: seq, piece, body: Box::new(body) });
        }
    }
}
