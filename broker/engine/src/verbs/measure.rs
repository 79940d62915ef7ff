//! Kinds, figures for scaling, courses over time: what a Query shows of them.

use super::query::{Page, page};
use crate::command::{Code, Refusal, SeriesQuery};
use crate::engine::{Asker, Engine};
use crate::fact::{ResourceKey, Totals};
use crate::frame::Rows;
use crate::ids::{Ms, NameId};
use crate::ledger::job::State;
use crate::ledger::names::Name;
use crate::limits::PAGE_ROWS_DEFAULT;
use crate::measure::{Histogram, Metric};
use crate::view::{KindView, ScaleView, SeriesView};
use alloc::string::String;
use alloc::vec::Vec;

/// What is measured of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The queue.
    pub queue: NameId,
    /// Its namespace.
    pub namespace: NameId,
    /// Its name.
    pub name: &'a str,
    /// Jobs by state, in the order of [`State::ALL`].
    pub counts: [u64; State::COUNT],
    /// What ever happened.
    pub totals: Totals,
    /// How long jobs were ready before they were leased, since the start.
    pub waits: &'a Histogram,
    /// How long jobs were leased, however that ended, since the start.
    pub runs: &'a Histogram,
    /// Streams and long polls that draw from it.
    pub streams: u64,
    /// Slots of these streams.
    pub slots: u64,
}

impl Engine {
    /// What is measured of every queue of every namespace.
    pub fn measured(&self) -> impl Iterator<Item = Measured<'_>> {
        self.ledger.names.after(&Name::Queue(0, String::new())).map_while(|(queue, row)| {
            let Name::Queue(namespace, name) = row else { return None };
            Some(self.measure(queue, *namespace, name))
        })
    }

    fn measure<'a>(&'a self, queue: NameId, namespace: NameId, name: &'a str) -> Measured<'a> {
        let index = self.roster.queues.get(&queue);
        Measured {
            queue,
            namespace,
            name,
            counts: index
                .map_or([0; State::COUNT], |index| index.states.each_ref().map(|set| set.len() as u64)),
            totals: self.ledger.totals.get(&queue).map(|row| row.totals).unwrap_or_default(),
            waits: index.map_or(&Histogram::NONE, |index| &index.waits),
            runs: index.map_or(&Histogram::NONE, |index| &index.runs),
            streams: index.map_or(0, |index| index.streams.into()),
            slots: index.map_or(0, |index| index.slots),
        }
    }

    /// Age of the oldest ready job of a queue.
    #[must_use]
    pub fn oldest_ready_ms(&self, queue: NameId, now: Ms) -> Ms {
        let oldest = self.roster.oldest(queue, State::Ready).and_then(|seq| self.ledger.jobs.get(seq));
        oldest.map_or(0, |job| now.saturating_sub(job.run_at.max(job.created_at)))
    }

    /// The whole queue is paused.
    #[must_use]
    pub fn is_paused(&self, queue: NameId) -> bool {
        self.ledger.pause(queue).is_some()
    }

    /// The totals of kinds, as the store holds them.
    pub(crate) fn load_kinds(&mut self) {
        for (&of, row) in &self.ledger.totals {
            if let Some(Name::Kind(..)) = self.ledger.names.get(of) {
                self.roster.kinds.of(of).totals = row.totals;
            }
        }
    }

    pub(super) fn kinds_page(&self, asker: Asker, name: &str, after: &str, limit: usize) -> Rows {
        let start = Name::Kind(asker.namespace, after.into());
        let named = self.ledger.names.after(&start).map_while(|(id, row)| {
            let Name::Kind(of, text) = row else { return None };
            (*of == asker.namespace).then_some((text.as_str(), id))
        });
        let Page { rows, cursor, total } = page(named, (name, after), limit);
        let kinds = rows.into_iter().map(|(text, id)| self.kind_view(asker.namespace, text, id)).collect();
        Rows { kinds, cursor, total, ..Rows::default() }
    }

    fn kind_view(&self, namespace: NameId, name: &str, kind: NameId) -> KindView {
        let row = self.roster.kinds.get(kind);
        let streams = |of| u64::from(self.roster.kinds.get(of).map_or(0, |row| row.streams));
        let totals = row.map(|row| row.totals).unwrap_or_default();
        let conf = self.ledger.resources.get(&ResourceKey::Kind(kind));
        KindView {
            name: name.into(),
            counts: row.map_or([0; State::COUNT], |row| row.states.map(u64::from)),
            completed: totals.completed,
            failed: totals.failed_attempts,
            streams: streams(kind) + streams(namespace),
            conf: conf.map(|row| (row.version, row.body.clone())),
        }
    }

    pub(super) fn scale_page(
        &self,
        asker: Asker,
        (name, after): (&str, &str),
        window_ms: Ms,
        limit: usize,
    ) -> Rows {
        let named = self.queues_after(asker, after);
        let Page { rows, cursor, total } = page(named, (name, after), limit);
        let mut scales: Vec<ScaleView> =
            rows.into_iter().map(|(text, id)| self.scale_view(text, id, window_ms)).collect();
        if scales.is_empty() && !name.is_empty() {
            // Who scales asks before the first job is there, and expects numbers.
            scales.push(self.scale_view(name, 0, window_ms));
        }
        Rows { scales, cursor, total, ..Rows::default() }
    }

    fn scale_view(&self, name: &str, id: NameId, window_ms: Ms) -> ScaleView {
        let index = self.roster.queues.get(&id);
        ScaleView {
            id,
            name: name.into(),
            ready: self.roster.count(id, State::Ready) as u64,
            leased: self.roster.count(id, State::Leased) as u64,
            slots: index.map_or(0, |index| index.slots),
            streams: index.map_or(0, |index| index.streams.into()),
            window_ms,
            backlog_ms: 0,
            desired_workers: 0,
        }
    }

    /// Rows that the driver fills: it keeps the courses, and the engine knows who may see them.
    pub(super) fn series_page(&self, asker: Asker, query: &SeriesQuery) -> Result<Rows, Refusal> {
        let metrics = if query.metrics.is_empty() { &Metric::ALL[..] } else { &query.metrics };
        let limit = if query.limit == 0 { PAGE_ROWS_DEFAULT } else { query.limit };
        let (mut queues, mut cursor) = (Vec::new(), None);
        if query.each {
            let named = self.queues_after(asker, &query.after);
            let page = page(named, ("", &query.after), (limit / metrics.len()).max(1));
            queues.extend(page.rows.into_iter().map(|(text, id)| Some((id, String::from(text)))));
            cursor = page.cursor;
        } else if query.queue.is_empty() {
            queues.push(None);
        } else {
            let name = Name::Queue(asker.namespace, query.queue.clone());
            let id = self.ledger.names.find(&name).ok_or_else(|| {
                Refusal::new(Code::NotFound, "select.queue", "no job was ever enqueued into this queue")
            })?;
            queues.push(Some((id, query.queue.clone())));
        }
        let row = |metric, queue: &Option<(NameId, String)>| SeriesView {
            metric,
            queue: queue.clone(),
            namespace: asker.namespace,
            start_at: 0,
            step_ms: query.step_ms,
            window_ms: query.window_ms,
            values: Vec::new(),
        };
        let series = queues.iter().flat_map(|queue| metrics.iter().map(move |&metric| row(metric, queue)));
        Ok(Rows { series: series.collect(), cursor, ..Rows::default() })
    }

    /// The queues of a namespace whose names come after one, by name, as far as the asker may see them.
    pub(super) fn queues_after(
        &self,
        asker: Asker,
        after: &str,
    ) -> impl Iterator<Item = (&str, NameId)> + use<'_> {
        let namespace = asker.namespace;
        let queues =
            self.ledger.names.after(&Name::Queue(namespace, after.into())).map_while(move |(id, row)| {
                let Name::Queue(of, text) = row else { return None };
                (*of == namespace).then_some((text.as_str(), id))
            });
        let reach = self.roster.reaches.get(&asker.from.conn);
        queues.filter(move |(name, _)| reach.is_none_or(|reach| reach.covers(name)))
    }
}
