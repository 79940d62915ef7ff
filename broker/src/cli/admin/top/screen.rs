//! What the screen shows: tabs with rows, what is chosen of them, and the question that is open.

use super::super::survey::Totals;
use super::deed::Deed;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

/// Seconds of history that the small charts show.
pub(super) const HISTORY: usize = 300;
/// How far back errors are counted, one key press after the other.
const WINDOWS_MS: [u64; 3] = [3_600_000, 6 * 3_600_000, 86_400_000];

/// A tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Queues,
    Jobs,
    Workers,
    Errors,
    Schedules,
}

impl Tab {
    pub(super) const ALL: [Self; 6] =
        [Self::Overview, Self::Queues, Self::Jobs, Self::Workers, Self::Errors, Self::Schedules];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Queues => "Queues",
            Self::Jobs => "Jobs",
            Self::Workers => "Workers",
            Self::Errors => "Errors",
            Self::Schedules => "Schedules",
        }
    }

    /// What a table shows of its rows; the first names a row.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Overview => &["severity", "text", "fix"],
            Self::Queues => &[
                "name",
                "ready",
                "leased",
                "scheduled",
                "blocked",
                "dead",
                "oldest_ready_ms",
                "workers",
                "note",
            ],
            Self::Jobs => &["id", "queue", "kind", "state", "attempt", "created_at"],
            Self::Workers => {
                &["id", "client", "host", "pid", "phase", "queues", "slots", "leases", "silent_ms"]
            }
            Self::Errors => &["fingerprint", "count", "dead", "kinds", "message", "last_at"],
            Self::Schedules => {
                &["name", "when", "tz", "next", "last", "runs", "skipped", "failures", "paused"]
            }
        }
    }
}

/// Rows of a tab, and how they are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) rows: Vec<Value>,
    /// What rows have to contain; of jobs, an expression of the filter language.
    pub(super) filter: String,
    /// The column that rows are ordered by; none: as they come.
    pub(super) sort: Option<usize>,
    /// The row that keys are about.
    pub(super) at: usize,
}

/// What lies over the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Over {
    Nothing,
    Help,
    /// All of one row.
    Detail,
    /// A filter is typed.
    Typing(String),
    /// A deed waits for its answer.
    Question(String, Deed),
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Stay,
    Quit,
    /// Rows have to be read anew.
    Look,
    /// Find out how much a deed is about, then ask.
    Ask(Deed),
    Do(Deed),
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) place: String,
    pub(super) tab: Tab,
    views: [View; 6],
    pub(super) over: Over,
    pub(super) is_frozen: bool,
    /// Names of rows that were chosen one by one.
    pub(super) chosen: BTreeSet<String>,
    /// Everything that the filter lets through is meant.
    pub(super) is_all: bool,
    pub(super) window: usize,
    /// The line over the tabs.
    pub(super) head: String,
    pub(super) server: Value,
    /// Jobs that came in and went out, each second.
    pub(super) came: VecDeque<u64>,
    pub(super) went: VecDeque<u64>,
    /// What the last deed came to.
    pub(super) message: String,
    /// Why rows are old.
    pub(super) trouble: Option<String>,
    pub(super) now_ms: u64,
    /// What all queues had done at the last look, for rates.
    pub(super) last: Option<(Instant, Totals)>,
}

impl Screen {
    pub(super) fn new(place: String) -> Self {
        Self {
            place,
            tab: Tab::Overview,
            views: Default::default(),
            over: Over::Nothing,
            is_frozen: false,
            chosen: BTreeSet::new(),
            is_all: false,
            window: 0,
            head: String::new(),
            server: Value::Null,
            came: VecDeque::new(),
            went: VecDeque::new(),
            message: String::new(),
            trouble: None,
            now_ms: 0,
            last: None,
        }
    }

    pub(super) fn view(&self) -> &View {
        &self.views[self.tab as usize]
    }

    pub(super) fn view_mut(&mut self) -> &mut View {
        &mut self.views[self.tab as usize]
    }

    pub(super) fn view_of(&self, tab: Tab) -> &View {
        &self.views[tab as usize]
    }

    pub(super) fn window_ms(&self) -> u64 {
        WINDOWS_MS[self.window % WINDOWS_MS.len()]
    }

    /// Takes new rows of a tab, in the order that was asked for; the same row stays under the keys.
    pub(super) fn fill(&mut self, tab: Tab, rows: Vec<Value>) {
        let first = tab.columns()[0];
        let view = &mut self.views[tab as usize];
        let under = view.rows.get(view.at).map(|row| row[first].clone());
        view.rows = rows;
        if tab != Tab::Jobs && !view.filter.is_empty() {
            let wanted = view.filter.to_lowercase();
            view.rows.retain(|row| row.to_string().to_lowercase().contains(&wanted));
        }
        if let Some(column) = view.sort.and_then(|place| tab.columns().get(place)) {
            view.rows.sort_by(|one, other| order(&one[*column], &other[*column]));
        }
        let again = under.and_then(|name| view.rows.iter().position(|row| row[first] == name));
        view.at = again.unwrap_or(view.at).min(view.rows.len().saturating_sub(1));
    }

    /// Notes a second of traffic.
    pub(super) fn note(&mut self, came: u64, went: u64) {
        for (history, count) in [(&mut self.came, came), (&mut self.went, went)] {
            history.push_back(count);
            if history.len() > HISTORY {
                history.pop_front();
            }
        }
    }

    /// Goes to another tab; what was chosen on this one stays behind.
    pub(super) fn open(&mut self, tab: Tab) {
        self.tab = tab;
        self.over = Over::Nothing;
        self.is_all = false;
        self.chosen.clear();
        self.message.clear();
    }

    /// The row under the keys.
    pub(super) fn row(&self) -> Option<&Value> {
        self.view().rows.get(self.view().at)
    }

    /// What a row is called.
    pub(super) fn name(&self, row: &Value) -> String {
        row[self.tab.columns()[0]].as_str().unwrap_or_default().to_owned()
    }

    /// The names that a deed is about: those chosen, or the one under the keys.
    pub(super) fn names(&self) -> Vec<String> {
        if self.chosen.is_empty() {
            self.row().map(|row| self.name(row)).into_iter().collect()
        } else {
            self.chosen.iter().cloned().collect()
        }
    }

    pub(super) fn ask(&mut self, text: String, deed: Deed) {
        self.over = Over::Question(text, deed);
    }

    /// The same for a program.
    pub(super) fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("server".into(), self.server.clone());
        for tab in Tab::ALL {
            let key = if tab == Tab::Overview { "problems".to_owned() } else { tab.name().to_lowercase() };
            document.insert(key, json!(self.view_of(tab).rows));
        }
        Value::Object(document)
    }
}

/// Numbers from the largest down, texts from A to Z.
fn order(one: &Value, other: &Value) -> std::cmp::Ordering {
    match (one.as_u64(), other.as_u64()) {
        (Some(one), Some(other)) => other.cmp(&one),
        _ => one.to_string().cmp(&other.to_string()),
    }
}
