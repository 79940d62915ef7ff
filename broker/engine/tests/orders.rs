//! What the naive broker knows of what sessions were told, and of their labels.

use crate::dice::Dice;
use crate::reference::Model;
use std::collections::BTreeMap;
use windlass_engine::command::{Beat, Tell};
use windlass_engine::frame::Body;
use windlass_engine::ids::{Ms, SessionId};
use windlass_engine::ledger::Ledger;
use windlass_engine::order::{Order, Told};

type Labels = Vec<(String, String)>;

/// What one session was told, will be told, and says of itself.
#[derive(Clone, Debug, Default)]
struct Standing {
    told: Told,
    due: Option<(Ms, Order)>,
    labels: Labels,
}

/// All of them; who was never told anything and has no labels may be missing.
#[derive(Default)]
pub(crate) struct Orders {
    of: BTreeMap<SessionId, Standing>,
}

impl Orders {
    pub(crate) fn is_quiet(&self, id: SessionId) -> bool {
        self.of.get(&id).is_some_and(|standing| standing.told != Told::Run)
    }

    pub(crate) fn labels(&self, id: SessionId) -> Labels {
        self.of.get(&id).map(|standing| standing.labels.clone()).unwrap_or_default()
    }

    pub(crate) fn forget(&mut self, id: SessionId) {
        self.of.remove(&id);
    }

    pub(crate) fn beat(&mut self, id: SessionId, beat: &Beat) {
        if !beat.labels.is_empty() {
            self.of.entry(id).or_default().labels.clone_from(&beat.labels);
        }
    }

    pub(crate) fn due(&self) -> impl Iterator<Item = (Ms, SessionId)> + '_ {
        self.of.iter().filter_map(|(id, standing)| Some((standing.due?.0, *id)))
    }

    pub(crate) fn hear(&mut self, id: SessionId) {
        let standing = self.of.entry(id).or_default();
        if let Some((_, order)) = standing.due.take() {
            standing.told = after(standing.told, order);
        }
    }

    /// Everybody's row says the same.
    pub(crate) fn check(&self, ledger: &Ledger) {
        for (id, row) in &ledger.sessions {
            let mine = self.of.get(id).cloned().unwrap_or_default();
            let theirs = (row.told, row.due.map(|due| (due.at, due.order)), &row.session.labels);
            assert_eq!(theirs, (mine.told, mine.due, &mine.labels), "what {id} was told");
        }
    }
}

fn after(told: Told, order: Order) -> Told {
    match order {
        Order::Quiet => Told::Quiet,
        Order::Resume => Told::Run,
        Order::Terminate => Told::Stop,
        Order::Dump => told,
    }
}

/// Some order for some of the sessions.
pub(crate) fn random(dice: &mut Dice, sessions: &[SessionId]) -> Tell {
    let orders = [Order::Quiet, Order::Resume, Order::Resume, Order::Resume, Order::Terminate, Order::Dump];
    let labels = if dice.one_in(3) { labels(dice) } else { Labels::new() };
    Tell {
        session: if dice.one_in(2) { dice.of(sessions) } else { None },
        labels,
        order: dice.of(&orders).expect("there are some"),
        within_ms: dice.roll(2) * dice.roll(9_000),
        dry_run: dice.one_in(8),
        max: dice.roll(3),
        reason: String::new(),
    }
}

pub(crate) fn labels(dice: &mut Dice) -> Labels {
    vec![("version".into(), dice.roll(2).to_string())]
}

/// The naive broker tells them, and the engine's answer is the same.
pub(crate) fn check_tell(model: &mut Model, asker: SessionId, tell: &Tell, answer: Option<&Body>, now: Ms) {
    let meant: Vec<SessionId> = model
        .sessions
        .keys()
        .copied()
        .filter(|id| *id != asker && tell.session.is_none_or(|one| one == *id))
        .filter(|id| {
            let has = model.orders.of.get(id).map(|standing| standing.labels.clone()).unwrap_or_default();
            tell.labels.iter().all(|label| has.contains(label))
        })
        .collect();
    let matched = meant.len() as u64;
    let wanted = if tell.max == 0 { matched } else { matched.min(tell.max) };
    if !tell.dry_run {
        for (place, id) in (0..wanted).zip(meant) {
            let standing = model.orders.of.entry(id).or_default();
            standing.due = None;
            let at = now + tell.within_ms * place / wanted;
            if at > now {
                standing.due = Some((at, tell.order));
            } else {
                standing.told = after(standing.told, tell.order);
            }
        }
    }
    let Some(Body::Changed { matched: theirs, changed, .. }) = answer else {
        panic!("Tell is answered by {answer:?}")
    };
    assert_eq!((*theirs, *changed), (matched, wanted), "{tell:?}");
}
